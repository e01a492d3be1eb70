//! What `doctor()` asks that SQL cannot know: keys, files, addresses, and what this process was started with. No key is part of an
//! answer, in whatever form.

use image_gen_engine::egress::{Destination, Egress};
use image_gen_engine::http::{blocking, origin};
use image_gen_engine::provider;
use pgrx::prelude::*;

use crate::keys::Keys;
use crate::worker::own_machine;
use crate::{plan, settings, shared, snapshot};

/// How this server was started: whether the library is preloaded, the launcher has started, there is room for another database's
/// worker, and how many authorities the machine trusts.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
fn server_facts() -> TableIterator<
    'static,
    (
        name!(preloaded, bool),
        name!(launched, bool),
        name!(has_room, bool),
        name!(authorities, i32),
        name!(pause_points, bool),
    ),
> {
    let shared = shared::get();
    TableIterator::once((
        shared.is_some(),
        shared.is_some_and(shared::Shared::has_launcher),
        shared.is_none_or(shared::Shared::has_room),
        i32::try_from(blocking::trusted_authorities()).unwrap_or(i32::MAX),
        !settings::text(&settings::PAUSE_POINTS).is_empty(),
    ))
}

/// What is wrong with the file of keys as it is now; NULL when nothing is.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
fn secrets_problem() -> Option<String> {
    Keys::load(&settings::text(&settings::SECRETS_FILE)).1
}

/// Which of these names have no key or address now.
#[pg_extern(schema = "image_gen_internal", volatile, strict, parallel_unsafe)]
fn missing_keys(names: Vec<String>) -> Vec<String> {
    let keys = Keys::load(&settings::text(&settings::SECRETS_FILE)).0;
    names.into_iter().filter(|name| !keys.has(name)).collect()
}

/// What is wrong with the setting image_gen.provider_preferences of this session; NULL when nothing is.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
fn preferences_problem() -> Option<String> {
    plan::admission::preferences_problem()
}

/// Why no webhook can be sent to a URL; NULL when it can.
#[pg_extern(schema = "image_gen_internal", volatile, strict, parallel_unsafe)]
fn webhook_problem(url: &str) -> Option<String> {
    let Some(origin) = origin(url) else { return Some("it is no http(s) URL".into()) };
    settings::egress().check(Destination::Webhook, &origin).err()
}

/// The providers, each with the names of keys and addresses that it needs, and why its address may not be called.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
#[allow(clippy::type_complexity)] // the columns of a row
fn provider_facts() -> TableIterator<
    'static,
    (
        name!(id, String),
        name!(known, bool),
        name!(draws, bool),
        name!(bills, bool),
        name!(needs, Vec<String>),
        name!(missing, Vec<String>),
        name!(forbidden, Option<String>),
    ),
> {
    let snapshot = snapshot::current();
    let keys = Keys::load(&settings::text(&settings::SECRETS_FILE)).0;
    let egress = Egress { own_machine: own_machine(&keys), ..settings::egress() };
    let rows = snapshot.providers().iter().map(|row| {
        let Some(adapter) = provider::find(&row.kind) else {
            return (row.id.clone(), false, false, true, vec![], vec![], None);
        };
        let key = provider::named_key(adapter, row.key_name.as_deref());
        let address = adapter.address_name().filter(|_| row.base_url.is_none());
        let needs: Vec<String> = key.into_iter().chain(address).map(str::to_owned).collect();
        let missing = needs.iter().filter(|name| !keys.has(name)).cloned().collect();
        let own = adapter.address_name().is_some();
        let destination = if own { Destination::OwnMachine } else { Destination::Provider };
        let forbidden = row.base_url.as_deref().and_then(|url| match origin(url) {
            Some(origin) => egress.check(destination, &origin).err(),
            None => Some("its base_url is no http(s) URL".into()),
        });
        (row.id.clone(), true, adapter.draws(), adapter.bills(), needs, missing, forbidden)
    });
    TableIterator::new(rows.collect::<Vec<_>>())
}

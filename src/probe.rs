//! A question to a provider, from a session: is it there, and does it take its key? Nothing is submitted, and nothing costs anything.

use std::time::{Duration, Instant};

use image_gen_engine::egress::{Destination, Egress};
use image_gen_engine::http::{blocking, may_carry_key};
use image_gen_engine::provider::{self, probe};
use image_gen_engine::redact::Redactor;
use pgrx::prelude::*;

use crate::errors::{Code, fail};
use crate::keys::Keys;
use crate::worker::own_machine;
use crate::{session, settings, snapshot};

/// What a provider answers to a free question: `standing` is ready, reachable, unwell, unauthorised, out_of_credit, unreachable, no_key,
/// no_address or nothing_to_ask.
#[pg_extern(schema = "image_gen_internal", volatile, strict, parallel_unsafe)]
#[allow(clippy::type_complexity)] // the columns of a row
pub fn probe_provider(
    id: &str,
    at_most: f64,
) -> TableIterator<
    'static,
    (
        name!(standing, String),
        name!(http_status, Option<i32>),
        name!(seconds, Option<f64>),
        name!(message, Option<String>),
    ),
> {
    let snapshot = snapshot::current();
    let Some(row) = snapshot.provider(id) else {
        fail(
            Code::Unknown,
            &format!("there is no provider \"{id}\""),
            "SELECT id FROM image_gen.providers lists them.",
        );
    };
    let said = |standing: &str, message: String| {
        TableIterator::once((standing.to_owned(), None, None, Some(message)))
    };
    let Some(adapter) = provider::find(&row.kind) else {
        return said("nothing_to_ask", format!("this version has no adapter of kind {}", row.kind));
    };
    if adapter.draws() {
        return said("nothing_to_ask", "it draws its images itself".into());
    }
    let keys = Keys::load(&settings::text(&settings::SECRETS_FILE)).0;
    let name = provider::named_key(adapter, row.key_name.as_deref());
    // Of several the first: each has its account.
    let key = name.and_then(|name| keys.pool(name).first().and_then(|name| keys.get(name)));
    if let (Some(name), None) = (name, &key) {
        return said("no_key", format!("there is no key {name}"));
    }
    let address = match (&row.base_url, adapter.address_name()) {
        (Some(url), _) => url.clone(),
        (None, None) => adapter.base_url().to_owned(),
        (None, Some(name)) => match keys.get(name) {
            Some(url) => url.reveal().to_owned(),
            None => return said("no_address", format!("there is no address {name}")),
        },
    };
    let timeout = Duration::from_secs_f64(at_most.clamp(0.1, 60.0));
    let (mut request, tells) = probe::question(adapter, &address, timeout);
    if adapter.address_name().is_some() {
        request.destination = Destination::OwnMachine;
    }
    let egress = Egress { own_machine: own_machine(&keys), ..settings::egress() };
    let redactor = Redactor::new(key.iter().cloned().chain(keys.all()));
    let key = key.filter(|_| may_carry_key(&request.url, &address, adapter.own_domains()));
    let asked = session::aside("image_gen probe", move || {
        let begun = Instant::now();
        let mut answer = blocking::ask(&egress, &request, key.as_ref());
        if let Ok(response) = &mut answer
            && !response.is_success()
            && let Some(clean) = redactor.cleaned_excerpt(&response.body)
        {
            response.body = clean;
        }
        Ok((probe::read(adapter, tells, answer), begun.elapsed().as_secs_f64()))
    });
    match asked {
        Ok((found, took)) => TableIterator::once((
            found.standing.as_str().to_owned(),
            found.http_status.map(i32::from),
            Some(took),
            found.message,
        )),
        Err(why) => said("unreachable", why),
    }
}

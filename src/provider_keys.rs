//! The keys of a provider as they can be shown: their names, and what all workers of the cluster know of each.

use image_gen_engine::key_use::{self, Standing};
use image_gen_engine::provider;
use image_gen_engine::secret::numbered;
use pgrx::prelude::*;

use crate::shared;
use crate::worker::monotonic;

/// The keys of a provider whose row says this, among the names that are configured; `others` are those that other rows name. The names
/// of the columns are those of the view `image_gen.provider_keys`.
#[pg_extern(schema = "image_gen_internal", volatile, parallel_unsafe)]
#[expect(clippy::type_complexity, reason = "the columns of a view")]
pub fn keys_of_provider(
    kind: &str,
    base_url: Option<&str>,
    key_name: Option<&str>,
    configured: Option<Vec<String>>,
    others: Option<Vec<String>>,
) -> TableIterator<
    'static,
    (
        name!(key_name, String),
        name!(state, &'static str),
        name!(last_error_code, Option<&'static str>),
        name!(rest_seconds, Option<f64>),
        name!(failures, Option<i64>),
        name!(in_flight, Option<i64>),
    ),
> {
    let adapter = provider::find(kind);
    let usual = adapter.and_then(|adapter| provider::named_key(adapter, key_name));
    let base_url = base_url.or(adapter.map(|adapter| adapter.base_url())).unwrap_or_default();
    let others = others.unwrap_or_default();
    let is_of = |name: &String, usual: &str| {
        name == usual || numbered(name).is_some_and(|(base, _)| base == usual) && !others.contains(name)
    };
    let mut names: Vec<String> = match usual {
        Some(usual) => configured.unwrap_or_default().into_iter().filter(|name| is_of(name, usual)).collect(),
        None => vec![],
    };
    // A name that only stands for those with a number is none.
    let numbers = |name: &String| numbered(name).map_or(0, |(_, number)| number);
    names.sort_by_key(numbers);
    let rows: Vec<_> = names
        .into_iter()
        .map(|name| {
            let id = key_use::id(base_url.trim_end_matches('/'), &name);
            let known = shared::get().map(|shared| {
                let now = monotonic();
                shared.keys.get(id).map(|key| key.standing(now)).unwrap_or_default()
            });
            let rest = known.and_then(|known| known.rest);
            (
                name,
                known.as_ref().map_or("unknown", Standing::state),
                rest.map(|(code, _)| code.as_str()),
                rest.map(|(_, left)| left as f64 / 1e6),
                known.map(|known| i64::from(known.failures)),
                known.map(|known| i64::from(known.in_flight)),
            )
        })
        .collect();
    TableIterator::new(rows)
}

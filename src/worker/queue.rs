//! Typed calls of the functions in `sql/queue/`. They are called through SELECT, so that looking for work costs no
//! transaction id when there is none.

mod claim;
mod epoch;
mod images;
mod upkeep;

use std::time::Duration;

pub use claim::{Catalogue, Claimed, Estimates, catalogue_now, claim, claim_alone, waiting};
pub use epoch::{fenced, hold, start_epoch, suspects};
use image_gen_engine::health;
pub use images::{bytes, image, labels};
use pgrx::JsonB;
use pgrx::prelude::*;
use rust_decimal::Decimal;
use serde_json::json;
pub use upkeep::{all_over_to, clock_set_back, note_all_over, prune, reconcile, sweep_inputs, take_over};

use super::io::{Balance, Rewrite};
use super::limits::Limit;
use super::transaction::{Failed, as_worker, within};
use super::user_code;
use crate::settings;

fn spi(error: spi::Error) -> Failed {
    Failed::Error(error.to_string())
}

fn on_uncertain() -> &'static str {
    match settings::ON_UNCERTAIN.get() {
        settings::OnUncertain::Review => "review",
        settings::OnUncertain::Retry => "retry",
    }
}

/// Jobs that a user wants stopped; of those in hand that have not begun, also those that are over.
pub fn cancellations(extension: pg_sys::Oid, in_hand: Vec<i64>) -> Result<Vec<i64>, Failed> {
    within(extension, "look for cancels", || {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT * FROM image_gen_internal.open_cancel_requests($1)",
                None,
                &[in_hand.into()],
            )?;
            rows.map(|row| row.get::<i64>(1)).collect::<Result<Vec<_>, _>>()
        })
        .map(|found| found.into_iter().flatten().collect())
        .map_err(spi)
    })
}

/// Shows the health of providers.
pub fn health(extension: pg_sys::Oid, rows: Vec<health::Row>) -> Result<(), Failed> {
    let rows = serde_json::to_value(rows).unwrap_or_default();
    within(extension, "write health", || {
        Spi::connect(|client| {
            client
                .select("SELECT image_gen_internal.record_breakers($1)", None, &[JsonB(rows).into()])
                .map(drop)
        })
        .map_err(spi)
    })
}

/// Shows what is left on an account.
pub fn balance(extension: pg_sys::Oid, balance: &Balance) -> Result<(), Failed> {
    within(extension, "write a balance", || {
        Spi::connect(|client| {
            let digits = |amount: Decimal| amount.to_string();
            let arguments = [
                balance.provider.as_str().into(),
                balance.key_name.as_deref().into(),
                digits(balance.amount).into(),
                balance.credits.map(digits).into(),
            ];
            let call = "SELECT image_gen_internal.record_account_balance($1, $2, $3::numeric, $4::numeric)";
            client.select(call, None, &arguments).map(drop)
        })
        .map_err(spi)
    })
}

/// A softer prompt by the rules; `None` when none applies.
pub fn rewrite(extension: pg_sys::Oid, prompt: &str) -> Result<Option<String>, Failed> {
    within(extension, "rewrite a prompt", || {
        Spi::connect(|client| {
            let call = "SELECT nullif(image_gen.rewrite_prompt($1), $1)";
            client.select(call, Some(1), &[prompt.into()])?.first().get_one::<String>()
        })
        .map_err(spi)
    })
}

/// A softer prompt by the administrator's own function, which runs as its owner and gets two seconds.
pub fn rewrite_by(
    extension: pg_sys::Oid,
    function: &str,
    refused: &Rewrite,
) -> Result<Option<String>, Failed> {
    let context = json!({"job_id": refused.job_id, "refused_by": refused.refused_by});
    let signature =
        if function.contains('(') { function.to_owned() } else { format!("{function}(text, jsonb)") };
    as_worker(extension, "call image_gen.prompt_rewriter", || {
        user_code::call(&signature, None, Duration::from_secs(2), |name| {
            Spi::connect_mut(|client| {
                let arguments = [refused.prompt.as_str().into(), JsonB(context).into()];
                let call = format!("SELECT {name}($1, $2)::text");
                client.update(&call, Some(1), &arguments)?.first().get_one::<String>()
            })
            .map_err(spi)
        })
    })
}

/// In how long the next callback is due.
pub fn callbacks_due(extension: pg_sys::Oid) -> Result<Option<Duration>, Failed> {
    within(extension, "look for callbacks", || {
        Spi::connect(|client| {
            client
                .select("SELECT image_gen_internal.next_callback_in()", Some(1), &[])?
                .first()
                .get_one::<f64>()
        })
        .map(|due| due.and_then(|s| Duration::try_from_secs_f64(s).ok()))
        .map_err(spi)
    })
}

/// What worker_status should show; `None` leaves it as it is.
#[derive(Default)]
pub struct Note {
    /// Names of the keys that are there.
    pub keys: Option<Vec<String>>,
    /// What went wrong; empty where nothing is wrong any more.
    pub error: Option<String>,
    /// How much may be in flight.
    pub limit: Option<Limit>,
}

/// Shows it.
pub fn note(extension: pg_sys::Oid, note: Note) -> Result<(), Failed> {
    within(extension, "note", || {
        Spi::connect(|client| {
            let (cap, reason) = note.limit.map(|l| (l.cap as i32, l.reason)).unzip();
            let arguments = [note.keys.into(), note.error.into(), cap.into(), reason.into()];
            client
                .select("SELECT image_gen_internal.record_worker_state($1, $2, $3, $4)", None, &arguments)
                .map(drop)
        })
        .map_err(spi)
    })
}

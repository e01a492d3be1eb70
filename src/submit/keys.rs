//! Idempotency keys: the jobs that they belong to.

use std::collections::HashMap;

use pgrx::prelude::*;

use super::Submission;
use super::row::Receipt;
use crate::statement::{Element, Row, Statement, argument};

/// An idempotency key, and the hash of the arguments that it stands for.
pub(super) struct Key {
    pub(super) name: String,
    pub(super) hash: Vec<u8>,
}

impl Key {
    pub(super) fn of(submission: &Submission) -> Option<Key> {
        Some(Key { name: submission.key.clone()?, hash: submission.hash()? })
    }
}

/// Finds the jobs that keys belong to, of submissions without a receipt; an error when one was queued with other arguments.
pub(super) fn same_jobs(owner: pg_sys::Oid, keys: &[Option<Key>], receipts: &mut [Option<Receipt>]) {
    thread_local! {
        static SAME: Statement = Statement::new(
            "SELECT j.id, j.status, j.model, j.estimated_seconds, j.estimated_cost, j.created_at, j.warnings, j.request_hash, j.seed, j.batch,
                    j.idempotency_key
               FROM image_gen.jobs j
              WHERE j.owner = $1 AND j.idempotency_key = ANY ($2) AND j.idempotency_key IS NOT NULL",
            &[pg_sys::OIDOID, pg_sys::TEXTARRAYOID],
        );
    }
    let open = keys.iter().zip(&*receipts).enumerate().filter(|(_, (_, receipt))| receipt.is_none());
    let open: HashMap<&str, usize> =
        open.filter_map(|(at, (key, _))| Some((key.as_ref()?.name.as_str(), at))).collect();
    if open.is_empty() {
        return;
    }
    let names = Element::TEXT.array(open.keys().map(|name| argument(*name)));
    let read =
        |row: &Row| (Receipt::read(row), row.get::<Vec<u8>>(8), row.get::<&str>(11).map(str::to_owned));
    for (receipt, hash, name) in SAME.with(|s| s.run(&[argument(owner), names], read)) {
        let found = name.and_then(|name| Some((open.get(name.as_str())?, name)));
        let Some((at, name)) = found else { continue };
        if hash.as_deref() != keys[*at].as_ref().map(|key| key.hash.as_slice()) {
            crate::errors::conflict(
                &format!("idempotency key \"{name}\" belongs to a job with other arguments"),
                &format!("That job is {}.", receipt.id),
                "Repeat the call with the same arguments, or use another key.",
            );
        }
        receipts[*at] = Some(receipt);
    }
}

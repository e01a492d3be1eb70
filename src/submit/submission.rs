//! What a caller asks for, checked and admitted.

use std::ffi::CStr;

use image_gen_engine::admission::{Purpose, content};
use image_gen_engine::catalogue::Snapshot;
use image_gen_engine::job::{Invalid, Operation, RawRequest};
use pgrx::prelude::*;
use serde_json::json;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::rights::{self, Rights};
use super::{arguments, row, styles};
use crate::errors::{Code, fail};
use crate::plan::admission::{Answer, Wanted, answered};
use crate::plan::{Checked, check, new_job_id};
use crate::statement::Argument;

/// The largest metadata of one job, in bytes of JSON.
const MAX_METADATA: usize = 65_536;

/// The longest campaign, shot or ticket, in characters. Assets are indexed by them: what does not fit there would fail when
/// the image is paid for.
const MAX_LABEL: usize = 255;

/// What a caller asks for: a request, and what is to be done with it.
#[derive(Clone)]
pub struct Submission {
    pub(super) operation: Operation,
    pub(super) request: RawRequest,
    /// The model as the caller wrote it.
    pub(super) model: Option<String>,
    pub(super) style: Option<styles::Wish>,
    pub(super) metadata: Metadata,
    /// `provider_preferences`, as JSON.
    pub(super) preferences: Option<String>,
    pub(super) key: Option<String>,
    pub(super) deadline: Option<pg_sys::TimestampTz>,
    pub(super) max_cost: Option<AnyNumeric>,
    pub(super) allow_unpriced: bool,
    /// The image of the same request since then will do.
    pub(super) reuse: Option<pg_sys::TimestampTz>,
    /// The generate_batch() that it came with.
    pub(super) batch: Option<String>,
    /// The job that it comes from, where no image that goes in says so.
    pub(super) parent: Option<String>,
    /// How it comes from that one, where its operation does not say so.
    pub(super) relation: Option<String>,
}

/// The caller's own JSON: passed on as it is.
#[derive(Clone)]
pub struct Metadata {
    pub(super) datum: Argument,
    pub(super) text: String,
}

impl Metadata {
    /// `None` is an empty object.
    pub(super) fn new(datum: Argument) -> Self {
        let datum = datum.or_else(|| pgrx::JsonB(json!({})).into_datum());
        let text = datum.map(json_text).unwrap_or_default();
        Metadata { datum, text }
    }
}

impl Metadata {
    /// Which of the entries that are copied to assets is too long.
    pub(super) fn too_long(&self) -> Option<&'static str> {
        if self.text.len() <= MAX_LABEL {
            return None;
        }
        let entries: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&self.text).ok()?;
        let long = |name: &&str| match entries.get(*name) {
            Some(serde_json::Value::String(text)) => text.chars().count() > MAX_LABEL,
            // As text it has up to twice as many characters: PostgreSQL writes spaces.
            Some(other) => other.to_string().len() * 2 > MAX_LABEL,
            None => false,
        };
        ["campaign", "shot", "ticket"].into_iter().find(long)
    }
}

/// A jsonb as text.
pub fn json_text(datum: pg_sys::Datum) -> String {
    // SAFETY: a datum of type jsonb; its text is copied.
    unsafe {
        let json = pg_sys::pg_detoast_datum(datum.cast_mut_ptr::<pg_sys::varlena>());
        let root = &raw mut (*json.cast::<pg_sys::Jsonb>()).root;
        let size = pgrx::varsize_any(json) as i32;
        let text = pg_sys::JsonbToCString(std::ptr::null_mut(), root, size);
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        pg_sys::pfree(text.cast());
        owned
    }
}

impl Submission {
    /// A request with no terms beside it.
    pub(super) fn new(operation: Operation, request: RawRequest, metadata: Metadata) -> Self {
        Submission {
            operation,
            request,
            model: None,
            style: None,
            metadata,
            preferences: None,
            key: None,
            deadline: None,
            max_cost: None,
            allow_unpriced: false,
            reuse: None,
            batch: None,
            parent: None,
            relation: None,
        }
    }

    /// The idempotency key, as JSON.
    pub fn set_key(&mut self, key: Option<&RawValue>) {
        self.key = key.and_then(arguments::text);
    }

    /// What is wrong whatever the request.
    pub(super) fn check(&self) {
        if !self.metadata.text.starts_with('{') {
            fail(
                Code::Argument,
                "metadata is not a JSON object",
                r#"Write for example metadata => '{"campaign": "aurora-launch", "shot": "hero", "ticket": "MKT-2241"}'."#,
            );
        }
        if self.metadata.text.len() > MAX_METADATA {
            fail(
                Code::TooLarge,
                "metadata is larger than 64 kB",
                "Store large data in a table of your own, under the job's id.",
            );
        }
        if let Some(name) = self.metadata.too_long() {
            fail(
                Code::Argument,
                &format!("metadata.{name} is longer than {MAX_LABEL} characters"),
                "It names what assets are found by, and is stored with each: put longer texts under another name.",
            );
        }
        if self.key.as_ref().is_some_and(|key| key.is_empty() || key.chars().count() > 255) {
            fail(
                Code::Argument,
                "the idempotency key is empty or longer than 255 characters",
                "Use the id of what the image is for, such as a row's key.",
            );
        }
    }

    /// Of the arguments, where there is a key. Nothing in it depends on the session: not the time zone, not how a number was
    /// written.
    pub(super) fn hash(&self) -> Option<Vec<u8>> {
        self.key.as_ref()?;
        let all = json!([
            self.operation,
            self.request,
            self.model,
            self.style,
            self.metadata.text,
            self.preferences,
            self.deadline,
            self.max_cost.as_ref().map(|amount| amount.normalize().to_owned()),
            self.allow_unpriced
        ]);
        Some(Sha256::digest(all.to_string().as_bytes()).to_vec())
    }

    pub(super) fn check_deadline(&self) {
        // SAFETY: the clock.
        let late = self.deadline.filter(|deadline| *deadline <= unsafe { pg_sys::GetCurrentTimestamp() });
        if let Some(deadline) = late {
            let shown = row::timestamp_text(deadline).unwrap_or_default();
            fail(
                Code::Argument,
                &format!("the deadline {shown} has passed"),
                "A job is not sent after its deadline: give a time in the future.",
            );
        }
    }

    /// Checks the request and admits it. Writes nothing.
    pub(super) fn draft(&mut self, snapshot: &Snapshot, rights: &mut Rights) -> Draft {
        let hint = "Give an amount in USD from 0 up, or leave it out.";
        let max_cost = self.max_cost.as_ref().map(|max_cost| rights::amount("max_cost", max_cost, hint));
        rights.check_options(snapshot, self.request.options.as_ref());
        let job_id = new_job_id();
        let checked = check(&job_id, self.operation, std::mem::take(&mut self.request));
        let checked = answered(checked.map_err(|invalid: Invalid| invalid.into()));
        let warnings = answered(content(snapshot, &checked.request.prompt));
        let wanted = Wanted {
            allowance: rights.allowance(snapshot),
            job_id: &job_id,
            operation: self.operation,
            request: &checked.request,
            priority: checked.priority,
            model: self.model.as_deref(),
            preferences: self.preferences.as_deref(),
            max_cost,
            allow_unpriced: self.allow_unpriced,
        };
        let mut answer = answered(wanted.ask(snapshot, Purpose::Queue));
        answer.admission.warnings.extend(warnings);
        answer.admission.warnings.extend(styles::left_out(&checked.request));
        Draft { job_id, checked, answer }
    }
}

/// A request that was checked and admitted.
pub(super) struct Draft {
    pub(super) job_id: String,
    pub(super) checked: Checked,
    pub(super) answer: Answer,
}

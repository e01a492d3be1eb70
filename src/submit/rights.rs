//! What the caller may ask for: the policies of its role, how much of it, the campaigns that it may book on, and amounts within
//! bounds.

use std::ffi::CStr;

use image_gen_engine::allowance::{Allowance, Names};
use image_gen_engine::catalogue::Snapshot;
use image_gen_engine::policy;
use pgrx::prelude::*;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::errors::{Code, fail};
use crate::settings;
use crate::statement::{Statement, argument};

/// What `image_gen_internal.check_amount` says in SQL: from 0 up, below this, and so many digits after the point.
const BELOW: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);
const DIGITS: u32 = 18;

/// An amount from outside as a decimal; an error that names the argument, and says what to give, where it is beyond bounds.
pub fn amount(name: &str, amount: &AnyNumeric, hint: &str) -> Decimal {
    // As it is written; one with more zeros than a decimal has, without them.
    let exact = Decimal::from_str_exact(&amount.to_string());
    match exact.or_else(|_| Decimal::from_str_exact(amount.normalize())) {
        Ok(decimal) if !decimal.is_sign_negative() && decimal < BELOW && decimal.scale() <= DIGITS => decimal,
        _ => {
            let shown: String = amount.to_string().chars().take(40).collect();
            let bounds = "It must be below 1,000,000,000, with at most 18 digits after the point.";
            fail(Code::Argument, &format!("{name} is {shown}"), &format!("{hint} {bounds}"))
        }
    }
}

/// What a role may ask for, with all that it is a member of.
pub fn allowance(snapshot: &Snapshot, role: pg_sys::Oid) -> Allowance {
    // SAFETY: look-ups in the system caches, in a transaction; a role that is gone is a member of none.
    let is_member = |of: pg_sys::Oid| unsafe { pg_sys::is_member_of_role(role, of) };
    // SAFETY: the same; it is there as long as the extension is.
    let admin = unsafe { pg_sys::get_role_oid(c"image_gen_admin".as_ptr(), true) };
    match admin != pg_sys::InvalidOid && is_member(admin) {
        true => Allowance::everything(),
        false => snapshot.allowance(|of| is_member(pg_sys::Oid::from(of))),
    }
}

/// What a caller was found to be allowed: jobs that are queued together ask for it once.
pub struct Rights {
    caller: pg_sys::Oid,
    allowance: Option<Allowance>,
    campaign: Option<String>,
}

impl Rights {
    /// Nothing is known yet.
    pub fn of(caller: pg_sys::Oid) -> Self {
        Rights { caller, allowance: None, campaign: None }
    }

    /// What the caller may ask for.
    pub fn allowance(&mut self, snapshot: &Snapshot) -> &Allowance {
        let caller = self.caller;
        self.allowance.get_or_insert_with(|| allowance(snapshot, caller))
    }

    /// An error for an option that the caller may not use.
    pub fn check_options(&mut self, snapshot: &Snapshot, options: Option<&Map<String, Value>>) {
        let Some(options) = options.filter(|options| !options.is_empty()) else { return };
        if let Names::Only(allowed) = &self.allowance(snapshot).options
            && let Err(invalid) = policy::check_options(options, allowed)
        {
            fail(Code::Privilege, &invalid.message, &invalid.hint);
        }
    }

    /// An error for a model without a price that the caller may not ask for.
    pub fn check_unpriced(&mut self, snapshot: &Snapshot, allow_unpriced: bool) {
        if allow_unpriced && !self.allowance(snapshot).unpriced {
            fail(
                Code::Privilege,
                &format!("allow_unpriced is not granted to role \"{}\"", role_name(self.caller)),
                "Leave it out: it is needed only where a budget or max_cost applies to a model without a price. \
                 An administrator grants it with image_gen.set_role_policy(), or adds a row to image_gen.prices.",
            );
        }
    }

    /// An error for a role that would have too many jobs, or queue too many within a minute.
    pub fn make_room(&mut self, snapshot: &Snapshot, new: usize) {
        thread_local! {
            static ROOM: Statement = Statement::new(
                "SELECT image_gen_internal.check_queue_quota($1, $2, $3)",
                &[pg_sys::OIDOID, pg_sys::INT8OID, pg_sys::INT8OID],
            );
            static RATE: Statement = Statement::new(
                "SELECT image_gen_internal.check_request_rate($1, $2, $3, $4)",
                &[pg_sys::OIDOID, pg_sys::INT8OID, pg_sys::INT8OID, pg_sys::TEXTOID],
            );
        }
        let caller = argument(self.caller);
        let (new, allowance) = (argument(new as i64), self.allowance(snapshot));
        let setting = settings::MAX_QUEUED_PER_ROLE.get();
        let most = allowance.max_queued.map(i64::from).or((setting != 0).then_some(i64::from(setting)));
        if let Some(most) = most {
            ROOM.with(|s| s.run(&[caller, argument(most), new], |_| ()));
        }
        if let Some(most) = allowance.requests_per_minute {
            RATE.with(|s| s.run(&[caller, argument(i64::from(most)), new, argument(a_minute_ago())], |_| ()));
        }
    }

    /// An error for a campaign that the caller may not book on. Of one that is open to every user nothing is asked.
    pub fn check_booking(&mut self, snapshot: &Snapshot, metadata: &super::Metadata) {
        thread_local! {
            static BOOKING: Statement =
                Statement::new("SELECT image_gen_internal.check_campaign($1, $2)", &[pg_sys::OIDOID, pg_sys::JSONBOID]);
        }
        #[derive(Deserialize)]
        struct Booked {
            campaign: Option<String>,
        }
        if !snapshot.has_grants() || !metadata.text.contains("\"campaign\"") {
            return;
        }
        // What is no text is left to the database, which has a text for everything.
        let named = serde_json::from_str(&metadata.text).ok().and_then(|booked: Booked| booked.campaign);
        let open = named.as_ref().is_some_and(|name| !snapshot.is_granted(name));
        if !open && (named.is_none() || named != self.campaign) {
            BOOKING.with(|s| s.run(&[argument(self.caller), metadata.datum], |_| ()));
            self.campaign = named;
        }
    }
}

/// The lowest id that a job of the last minute can have: ids begin with the time, which a transaction that stays open does not
/// hold back.
fn a_minute_ago() -> String {
    // SAFETY: the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() } / 1000 + EPOCH;
    format!("gen_{}", ulid::Ulid::from_parts(u64::try_from(now - 60_000).unwrap_or(0), 0))
}

/// PostgreSQL's 2000-01-01, in milliseconds of Unix time.
const EPOCH: i64 = 946_684_800_000;

fn role_name(role: pg_sys::Oid) -> String {
    // SAFETY: a look-up; the name is copied. NULL where the role is gone.
    let name = unsafe { pg_sys::GetUserNameFromId(role, true) };
    match name.is_null() {
        true => role.to_u32().to_string(),
        // SAFETY: a text that ends with a NUL.
        false => unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned(),
    }
}

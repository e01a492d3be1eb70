//! What the caller may ask for: the policies of its role, the campaigns that it may book on, and amounts within bounds.

use image_gen_engine::catalogue::Snapshot;
use pgrx::prelude::*;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::errors::{Code, fail};
use crate::statement::{Argument, Statement, argument};

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

/// What a caller was found to be allowed: jobs that are queued together ask for it once.
pub struct Rights {
    caller: pg_sys::Oid,
    unpriced: bool,
    options: Option<Map<String, Value>>,
    campaign: Option<String>,
}

impl Rights {
    /// Nothing is known yet.
    pub fn of(caller: pg_sys::Oid) -> Self {
        Rights { caller, unpriced: false, options: None, campaign: None }
    }

    /// An error for an option that the caller may not use.
    pub fn check_options(&mut self, options: Option<&Map<String, Value>>) {
        let Some(options) = options.filter(|options| !options.is_empty()) else { return };
        if self.options.as_ref() != Some(options) {
            check_policy(self.caller, argument(pgrx::JsonB(Value::Object(options.clone()))), false);
            self.options = Some(options.clone());
        }
    }

    /// An error for a model without a price that the caller may not ask for.
    pub fn check_unpriced(&mut self, allow_unpriced: bool) {
        if allow_unpriced && !self.unpriced {
            check_policy(self.caller, None, true);
            self.unpriced = true;
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

fn check_policy(caller: pg_sys::Oid, options: Argument, allow_unpriced: bool) {
    thread_local! {
        static POLICY: Statement = Statement::new(
            "SELECT image_gen_internal.check_role_policy($1, $2, $3)",
            &[pg_sys::OIDOID, pg_sys::JSONBOID, pg_sys::BOOLOID],
        );
    }
    POLICY.with(|s| s.run(&[argument(caller), options, argument(allow_unpriced)], |_| ()));
}

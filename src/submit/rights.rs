//! What the caller may ask for: the policies of its role, the campaigns that it may book on, and amounts within bounds.

use pgrx::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::TEXT;
use crate::errors::{Code, fail};
use crate::plan::_caller;
use crate::statement::{Argument, Statement, argument};

/// What `image_gen._bounded` says in SQL: from 0 up, below this, and so many digits after the point.
const BELOW: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);
const DIGITS: u32 = 18;

/// An amount from outside as a decimal; an error that names the argument where it is beyond bounds.
pub fn bounded(name: &str, amount: &AnyNumeric) -> Decimal {
    // As it is written; one with more zeros than a decimal has, without them.
    let exact = Decimal::from_str_exact(&amount.to_string());
    match exact.or_else(|_| Decimal::from_str_exact(amount.normalize())) {
        Ok(decimal) if !decimal.is_sign_negative() && decimal < BELOW && decimal.scale() <= DIGITS => decimal,
        _ => {
            let shown: String = amount.to_string().chars().take(40).collect();
            fail(
                Code::Argument,
                &format!("{name} is {shown}"),
                "Give an amount in USD from 0 up, or leave it out. It must be below 1,000,000,000, with at most 18 digits after the point.",
            )
        }
    }
}

/// An error for an option that the caller may not use.
pub fn check_options(options: Option<&Map<String, Value>>) {
    if let Some(options) = options.filter(|options| !options.is_empty()) {
        check_policy(argument(pgrx::JsonB(Value::Object(options.clone()))), false);
    }
}

/// An error for a model without a price that the caller may not ask for, and for a campaign that it may not book on. `text` is
/// the metadata as text: what does not name a campaign costs no query.
pub fn check(text: &str, metadata: Argument, allow_unpriced: bool) {
    thread_local! {
        static BOOKING: Statement =
            Statement::new("SELECT image_gen._check_booking($1::name, $2)", &[TEXT, pg_sys::JSONBOID]);
    }
    if allow_unpriced {
        check_policy(None, true);
    }
    if text.contains("\"campaign\"") {
        BOOKING.with(|s| s.run(&[argument(_caller()), metadata], |_| ()));
    }
}

fn check_policy(options: Argument, allow_unpriced: bool) {
    thread_local! {
        static POLICY: Statement = Statement::new(
            "SELECT image_gen._check_policy($1::name, $2, $3)",
            &[TEXT, pg_sys::JSONBOID, pg_sys::BOOLOID],
        );
    }
    POLICY.with(|s| s.run(&[argument(_caller()), options, argument(allow_unpriced)], |_| ()));
}

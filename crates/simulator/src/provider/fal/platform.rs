//! The platform API, `https://api.fal.ai/v1` at the real vendor: prices and the account's balance.

use hyper::StatusCode;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::desk::Desk;
use crate::price::number;

use super::{NAME, models};

/// What an unlimited account says it started with, in US dollars.
const MONEY: Decimal = Decimal::from_parts(10_000, 0, 0, false, 0);
/// How many prices are told at once.
const MOST_PRICES: usize = 50;

pub(super) fn pricing(desk: &Desk<'_>) -> Answer {
    let asked = desk.call.query.iter().filter(|(name, _)| name == "endpoint_id");
    let names: Vec<&str> =
        asked.flat_map(|(_, names)| names.split(',')).filter(|name| !name.is_empty()).collect();
    if names.is_empty() || names.len() > MOST_PRICES {
        let text = format!("endpoint_id must name 1 to {MOST_PRICES} endpoints");
        return wrong(StatusCode::BAD_REQUEST, "validation_error", &text);
    }
    let mut prices = Vec::new();
    for name in names {
        let Some(model) = models::find(name) else {
            return wrong(StatusCode::NOT_FOUND, "not_found", &format!("Endpoint '{name}' not found"));
        };
        let (price, unit) = model.price.listed();
        let price = number(price);
        prices.push(json!({"endpoint_id": name, "unit_price": price, "unit": unit, "currency": "USD"}));
    }
    Answer::ok("answered", json!({"prices": prices, "has_more": false, "next_cursor": null}))
}

pub(super) fn billing(desk: &Desk<'_>, key: &str) -> Answer {
    if !desk.config.administers(key) {
        return wrong(StatusCode::FORBIDDEN, "authorization_error", "An admin API key is required");
    }
    let mut body = json!({"username": "simulator"});
    if desk.call.query("expand") == Some("credits") {
        let left = desk.money_left(NAME, MONEY);
        body["credits"] = json!({"current_balance": number(left), "currency": "USD"});
    }
    Answer::ok("answered", body)
}

fn wrong(status: StatusCode, kind: &str, message: &str) -> Answer {
    let error: Value = json!({"error": {"type": kind, "message": message}});
    Answer::rejected(status, error)
}

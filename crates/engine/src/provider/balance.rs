//! What is left on an account.

use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::Value;

use crate::http::{Auth, HttpRequest};

/// What an account has left, as the provider says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Balance {
    /// In USD. Below zero is a debt.
    pub amount: Decimal,
    /// In the provider's own credits, where it counts in those.
    pub credits: Option<Decimal>,
}

impl Balance {
    /// True when something can still be bought.
    pub fn has_credit(&self) -> bool {
        self.amount > Decimal::ZERO
    }

    /// An account in US dollars.
    pub(super) fn dollars(amount: &Value) -> Option<Self> {
        signed(amount).map(|amount| Balance { amount, credits: None })
    }

    /// An account in credits of one cent.
    pub(super) fn cents(credits: &Value) -> Option<Self> {
        let credits = signed(credits)?;
        Some(Balance { amount: credits.checked_mul(CENT)?, credits: Some(credits) })
    }
}

const CENT: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

/// The question for a balance: answers are short, and nothing waits for them.
pub(super) fn ask(url: String, auth: Auth) -> HttpRequest {
    HttpRequest { timeout: Duration::from_secs(20), max_bytes: 1 << 20, ..HttpRequest::get(url, Some(auth)) }
}

/// A JSON number, or one in a string, as an exact decimal: its digits, not its double.
pub(super) fn signed(value: &Value) -> Option<Decimal> {
    let text = match value {
        Value::Number(n) => n.to_string(),
        Value::String(s) => s.trim().to_owned(),
        _ => return None,
    };
    text.parse().or_else(|_| Decimal::from_scientific(&text)).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{TABLE, find};
    use super::*;
    use crate::http::{HttpResponse, Method, may_carry_key};

    fn read(kind: &str, status: u16, body: Value) -> Option<Balance> {
        let body = body.to_string().into_bytes();
        find(kind).unwrap().read_balance(&HttpResponse { status, headers: vec![], body })
    }

    #[test]
    fn four_providers_are_asked_with_their_key_at_their_own_addresses() {
        let asked = |kind: &str, base: &str| {
            let adapter = find(kind).unwrap();
            let request = adapter.balance(base)?;
            assert_eq!(request.method, Method::Get);
            assert!(request.auth.is_some() && adapter.key_name().is_some(), "{kind}");
            assert!(may_carry_key(&request.url, base, adapter.own_domains()), "{}", request.url);
            Some(request.url)
        };
        for (kind, url) in [
            ("stability", Some("https://api.stability.ai/v1/user/balance")),
            ("bfl", Some("https://api.bfl.ai/v1/credits")),
            ("openrouter", Some("https://openrouter.ai/api/v1/key")),
            ("fal", Some("https://api.fal.ai/v1/account/billing?expand=credits")),
            ("openai", None),
            ("replicate", None),
            ("google", None),
            ("ideogram", None),
            ("a1111", None),
            ("comfyui", None),
            ("preview", None),
        ] {
            assert_eq!(asked(kind, find(kind).unwrap().base_url()).as_deref(), url, "{kind}");
        }
        assert_eq!(TABLE.len(), 11, "a new provider has its line above");
        // Behind a proxy, or at a stand-in, all of it is there.
        for (kind, url) in [
            ("stability", "http://sim:1/x/v1/user/balance"),
            ("bfl", "http://sim:1/x/v1/credits"),
            ("openrouter", "http://sim:1/x/key"),
            ("fal", "http://sim:1/x/v1/account/billing?expand=credits"),
        ] {
            assert_eq!(asked(kind, "http://sim:1/x").as_deref(), Some(url));
            assert_eq!(asked(kind, "http://sim:1/x/").as_deref(), Some(url));
        }
    }

    #[test]
    fn balances_are_read_to_the_digit() {
        let openrouter = json!({"data": {"limit": 5, "limit_remaining": 1.25, "usage": 3.75}});
        let fal = json!({"username": "u", "credits": {"current_balance": 24.5, "currency": "USD"}});
        for (kind, body, amount, credits) in [
            ("stability", json!({"credits": 12.3}), "0.123", Some("12.3")),
            ("stability", json!({"credits": 0}), "0", Some("0")),
            ("bfl", json!({"credits": 7}), "0.07", Some("7")),
            ("bfl", json!({"credits": "7.5"}), "0.075", Some("7.5")),
            ("bfl", json!({"credits": -1}), "-0.01", Some("-1")),
            ("bfl", json!({"credits": 1e3}), "10", Some("1000")),
            ("openrouter", openrouter, "1.25", None),
            ("openrouter", json!({"data": {"limit_remaining": 0}}), "0", None),
            ("fal", fal, "24.5", None),
            ("fal", json!({"credits": {"current_balance": 0}}), "0", None),
        ] {
            let balance = read(kind, 200, body.clone()).unwrap_or_else(|| panic!("{kind} {body}"));
            let text = |d: Decimal| d.normalize().to_string();
            assert_eq!(
                (text(balance.amount).as_str(), balance.credits.map(text).as_deref()),
                (amount, credits)
            );
            assert_eq!(balance.has_credit(), !amount.starts_with('-') && amount != "0");
        }
    }

    #[test]
    fn what_does_not_say_a_balance_is_no_balance_and_never_zero() {
        for kind in ["stability", "bfl", "openrouter", "fal", "openai"] {
            for (status, body) in [
                (200, json!({})),
                (200, json!(null)),
                (200, json!({"credits": null, "data": {}})),
                (200, json!({"credits": {"current_balance": null}, "data": {"limit_remaining": null}})),
                (200, json!({"credits": "many", "data": {"limit_remaining": []}})),
                (200, json!({"username": "u"})),
                (401, json!({"credits": 7, "data": {"limit_remaining": 7}})),
                (403, json!({"credits": {"current_balance": 0}})),
                (500, json!({"credits": 0})),
            ] {
                assert_eq!(read(kind, status, body.clone()), None, "{kind} {status} {body}");
            }
        }
        let euro = json!({"credits": {"current_balance": 24.5, "currency": "EUR"}});
        assert_eq!(read("fal", 200, euro), None);
    }
}

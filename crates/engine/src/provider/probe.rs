//! Whether a provider is there and takes its key, found out by a free question.

use std::time::Duration;

use super::Provider;
use crate::failure::{ErrorCode, excerpt};
use crate::http::{HttpRequest, HttpResponse, TransportError};

/// How a provider stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It answers, and takes the key.
    Ready,
    /// It answers; nothing that costs nothing shows whether the key is right.
    Reachable,
    /// It answers, and cannot work just now.
    Unwell,
    /// It answers, and does not take the key.
    Unauthorised,
    /// It answers, and the account is empty.
    OutOfCredit,
    /// No answer.
    Unreachable,
}

impl Standing {
    /// As SQL has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Ready => "ready",
            Standing::Reachable => "reachable",
            Standing::Unwell => "unwell",
            Standing::Unauthorised => "unauthorised",
            Standing::OutOfCredit => "out_of_credit",
            Standing::Unreachable => "unreachable",
        }
    }
}

/// What was found out.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// How it stands.
    pub standing: Standing,
    /// The status of its answer.
    pub http_status: Option<u16>,
    /// For people; NULL where there is nothing to add.
    pub message: Option<String>,
}

/// What a provider is asked, and whether the answer tells about the key.
pub fn question(provider: &dyn Provider, base: &str, timeout: Duration) -> (HttpRequest, bool) {
    let asked = provider.probe(base);
    let tells = asked.is_some();
    let request = asked.unwrap_or_else(|| HttpRequest::get(base, None));
    (HttpRequest { timeout, max_bytes: MAX_ANSWER_BYTES, ..request }, tells)
}

/// Lists of models are long.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// What an answer says. `tells`: it would say so, were the key wrong.
pub fn read(provider: &dyn Provider, tells: bool, answer: Result<HttpResponse, TransportError>) -> Finding {
    let response = match answer {
        Ok(response) => response,
        Err(why) => {
            let (standing, message) = match why {
                TransportError::NotSent(why)
                | TransportError::MaybeSent(why)
                | TransportError::Forbidden(why) => (Standing::Unreachable, why),
                TransportError::TooLarge => {
                    (Standing::Unwell, "its answer is larger than any honest one".into())
                }
            };
            return Finding { standing, http_status: None, message: Some(excerpt(&message)) };
        }
    };
    let http_status = Some(response.status);
    if response.is_success() {
        let standing = if tells { Standing::Ready } else { Standing::Reachable };
        return Finding { standing, http_status, message: None };
    }
    let failed = provider.read_error(&response).failed;
    let standing = match failed.failure.code() {
        ErrorCode::Auth | ErrorCode::PolicyBlock if tells => Standing::Unauthorised,
        ErrorCode::InsufficientCredits => Standing::OutOfCredit,
        // Where nothing of the kind is offered, any answer at all shows that it is there.
        _ if !tells && response.status < 500 => {
            return Finding { standing: Standing::Reachable, http_status, message: None };
        }
        _ => Standing::Unwell,
    };
    Finding { standing, http_status, message: Some(failed.message) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{TABLE, find};
    use super::*;
    use crate::http::{Method, may_carry_key};

    fn found(kind: &str, status: u16, body: Value) -> Standing {
        let provider = find(kind).unwrap();
        let tells = question(provider, "http://sim:1/x", Duration::from_secs(1)).1;
        let body = body.to_string().into_bytes();
        read(provider, tells, Ok(HttpResponse { status, headers: vec![], body })).standing
    }

    #[test]
    fn each_provider_is_asked_what_costs_nothing_and_its_key_goes_to_its_own_hosts() {
        for (kind, url) in [
            ("bfl", Some("https://api.bfl.ai/v1/credits")),
            ("openai", Some("https://api.openai.com/v1/models")),
            ("stability", Some("https://api.stability.ai/v1/user/balance")),
            ("fal", Some("https://api.fal.ai/v1/models/pricing?endpoint_id=fal-ai/flux/schnell")),
            ("replicate", Some("https://api.replicate.com/v1/account")),
            ("openrouter", Some("https://openrouter.ai/api/v1/key")),
            ("google", Some("https://generativelanguage.googleapis.com/v1beta/models")),
            ("ideogram", None),
            ("a1111", Some("http://own:7860/sdapi/v1/options")),
            ("comfyui", Some("http://own:7860/system_stats")),
            ("preview", None),
        ] {
            let provider = find(kind).unwrap();
            let own = provider.address_name().is_some();
            let base = if own { "http://own:7860" } else { provider.base_url() };
            let asked = provider.probe(base);
            assert_eq!(asked.as_ref().map(|asked| asked.url.as_str()), url, "{kind}");
            let Some(asked) = asked else { continue };
            assert_eq!(asked.method, Method::Get, "{kind}");
            assert!(own || asked.auth.is_some(), "{kind}");
            assert!(may_carry_key(&asked.url, base, provider.own_domains()), "{kind}");
        }
        assert_eq!(TABLE.len(), 11, "a new provider has its line above");
    }

    #[test]
    fn an_answer_says_whether_the_key_is_taken() {
        let wrong = json!({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}});
        let google = json!({"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT",
                            "details": [{"reason": "API_KEY_INVALID"}]}});
        for (kind, status, body, standing) in [
            ("openai", 200, json!({"data": []}), Standing::Ready),
            ("openai", 401, wrong, Standing::Unauthorised),
            ("google", 400, google, Standing::Unauthorised),
            ("bfl", 403, json!({"detail": "Not authenticated"}), Standing::Unauthorised),
            ("bfl", 402, json!({"detail": "Insufficient credits"}), Standing::OutOfCredit),
            ("replicate", 401, json!({"title": "Unauthenticated", "detail": "no"}), Standing::Unauthorised),
            ("stability", 429, json!({"name": "rate_limit_exceeded"}), Standing::Unwell),
            ("openai", 503, json!({}), Standing::Unwell),
            ("comfyui", 200, json!({"system": {}}), Standing::Ready),
            // Nothing that is free shows whether the key is right.
            ("ideogram", 404, json!({"detail": "Not found"}), Standing::Reachable),
            ("ideogram", 401, json!({"detail": "no"}), Standing::Reachable),
            ("ideogram", 200, json!({}), Standing::Reachable),
            ("ideogram", 503, json!({}), Standing::Unwell),
        ] {
            assert_eq!(found(kind, status, body.clone()), standing, "{kind} {status} {body}");
        }
        for error in [
            TransportError::NotSent("refused".into()),
            TransportError::MaybeSent("no answer".into()),
            TransportError::Forbidden("private".into()),
        ] {
            let finding = read(find("bfl").unwrap(), true, Err(error));
            assert_eq!((finding.standing, finding.http_status), (Standing::Unreachable, None));
            assert!(finding.message.is_some());
        }
    }
}

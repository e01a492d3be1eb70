//! Messages to webhooks, signed as <https://www.standardwebhooks.com> has it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use crate::egress::Destination;
use crate::http::{Body, HttpRequest, Method};
use crate::secret::Key;
use crate::trace_context::is_traceparent;

/// What a secret begins with: no key of a provider is ever used to sign.
const PREFIX: &str = "whsec_";
/// How long a receiver has to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What is read of an answer; nothing in it matters.
const MAX_ANSWER: usize = 1 << 20;

/// A message on its way: its request, signed now. `timestamp` is in seconds since 1970. The error says what is wrong with the
/// secret, and nothing of it.
pub fn request(
    url: &str,
    id: &str,
    timestamp: i64,
    payload: Value,
    secret: &Key,
) -> Result<HttpRequest, String> {
    let signature = sign(secret, id, timestamp, &payload.to_string())?;
    let mut headers = vec![
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signature),
    ];
    // Who asked for the job finds the receiver's part in the same trace.
    let parent = payload["data"]["traceparent"].as_str().filter(|parent| is_traceparent(parent));
    headers.extend(parent.map(|parent| ("traceparent", parent.to_owned())));
    Ok(HttpRequest {
        method: Method::Post,
        url: url.to_owned(),
        destination: Destination::Webhook,
        auth: None,
        headers,
        body: Body::Json(payload),
        timeout: TIMEOUT,
        max_bytes: MAX_ANSWER,
    })
}

fn sign(secret: &Key, id: &str, timestamp: i64, body: &str) -> Result<String, String> {
    let encoded = secret.reveal().strip_prefix(PREFIX).ok_or("the secret does not begin with whsec_")?;
    let bytes = STANDARD.decode(encoded).map_err(|_| "the secret is no base64 after whsec_")?;
    if !(24..=64).contains(&bytes.len()) {
        return Err("the secret has fewer than 24 or more than 64 bytes".into());
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&bytes).map_err(|_| "the secret cannot be used")?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_published_example_is_signed_as_published() {
        let signed =
            sign(&Key::new(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn the_published_library_verifies_what_is_sent() {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
        let payload = json!({"type": "job.succeeded", "data": {"id": "gen_01", "url": "https://x.example/ä?a=1&b=\"2\""}});
        let request = request("https://x.example/hook", "msg_1", now, payload, &Key::new(SECRET)).unwrap();
        let mut headers = http::HeaderMap::new();
        for (name, value) in &request.headers {
            headers.insert(*name, value.parse().unwrap());
        }
        let Body::Json(body) = &request.body else { panic!("it is JSON") };
        let library = standardwebhooks::Webhook::new(SECRET).unwrap();
        library.verify(body.to_string().as_bytes(), &headers).unwrap();
        assert!(library.verify(b"{}", &headers).is_err());
    }

    #[test]
    fn what_is_no_secret_signs_nothing_and_is_not_shown() {
        for wrong in ["sk-provider-key", "whsec_", "whsec_!!!", "whsec_c2hvcnQ=", ""] {
            let error = sign(&Key::new(wrong), "id", 0, "{}").unwrap_err();
            assert!(wrong.len() < 7 || !error.contains(&wrong[6..]), "{error}");
        }
    }
}

//! Asking before money is spent. What a client brings back from its person is bound to one call of one caller, is good for a while, and
//! once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ElicitRequest, ElicitRequestParams, ElicitationAction,
    InputRequest, InputRequests, InputRequiredResult, ProtocolVersion, RequestStateCodec, SealOptions,
};
use rmcp::service::RequestContext;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::database::Caller;
use crate::fault::{Code, Fault};

/// How long an answer of a person is good for.
const GOOD_FOR: Duration = Duration::from_secs(600);
/// How long a client of old, which answers at once, is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// So many answers are remembered as used. Each is forgotten when it would be too old anyway.
const MOST_USED: usize = 10_000;
/// The key of our question among those of a result.
const QUESTION: &str = "spend";

/// What a signed state says: which question it was, and what it was about.
#[derive(Serialize, Deserialize)]
struct Asked {
    nonce: String,
    cost: Value,
}

/// What asks.
pub struct Consent {
    codec: RequestStateCodec,
    used: Mutex<HashMap<String, Instant>>,
}

impl Consent {
    /// With a key of this process: what was asked before a restart is asked again.
    pub fn new() -> Result<Self, Fault> {
        let codec = RequestStateCodec::try_new(random::<32>()?.to_vec())
            .map_err(|error| Fault::new(Code::Database, error.to_string(), ""))?;
        Ok(Consent { codec, used: Mutex::default() })
    }

    /// Lets a call through (`None`), or says what to ask, or refuses. `standing` is that of spending_consent().
    pub async fn ask(
        &self,
        tool: &str,
        arguments: &Value,
        standing: &Value,
        request: &CallToolRequestParams,
        caller: &Caller,
        context: &RequestContext<RoleServer>,
    ) -> Result<Option<CallToolResponse>, Fault> {
        let says = |key: &str| standing.get(key) == Some(&Value::Bool(true));
        if !can_ask(context) {
            return match says("within_budget") {
                // The budget is the limit: whether there is room is said by the call itself.
                true => Ok(None),
                false => Err(unasked(tool, standing)),
            };
        }
        if !says("needs_confirmation") {
            return Ok(None);
        }
        let question = question(tool, standing);
        let modern = context
            .protocol_version()
            .is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str());
        if !modern {
            let params = elicitation(&question)?;
            let answer = context.peer.create_elicitation_with_timeout(params, Some(PATIENCE)).await;
            let answer = answer.map_err(|error| {
                Fault::new(
                    Code::ConfirmationRequired,
                    format!("the person was not asked: {error}"),
                    "Try again.",
                )
            })?;
            return match answer.action {
                ElicitationAction::Accept if agreed(answer.content.as_ref()) => Ok(None),
                _ => Err(declined()),
            };
        }
        let bound = binding(tool, arguments, caller);
        if let (Some(state), Some(answers)) = (&request.request_state, &request.input_responses) {
            let asked: Asked = self.codec.open_json_with(state, &bound).map_err(|error| {
                Fault::new(
                    Code::ConfirmationRequired,
                    format!("this is no answer to a question about this call: {error}"),
                    "Call it again without requestState.",
                )
            })?;
            self.use_up(&asked.nonce)?;
            let answer = answers.get(QUESTION).cloned().unwrap_or_default();
            if answer.get("action") != Some(&json!("accept")) || !agreed(answer.get("content")) {
                return Err(declined());
            }
            if asked.cost == standing.get("estimated_cost").cloned().unwrap_or_default() {
                return Ok(None);
            }
            // What it costs has changed since: that was not agreed to.
        }
        let asked = Asked {
            nonce: hex(&random::<16>()?),
            cost: standing.get("estimated_cost").cloned().unwrap_or_default(),
        };
        let sealing = SealOptions::new().associated_data(&bound).ttl(GOOD_FOR);
        let state = self
            .codec
            .seal_json_with(&asked, &sealing)
            .map_err(|error| Fault::new(Code::Database, error.to_string(), ""))?;
        let asking = InputRequest::Elicitation(ElicitRequest::new(elicitation(&question)?));
        let requests = InputRequests::from([(QUESTION.to_owned(), asking)]);
        Ok(Some(InputRequiredResult::new(Some(requests), Some(state)).into()))
    }

    /// Each answer counts once.
    fn use_up(&self, nonce: &str) -> Result<(), Fault> {
        let now = Instant::now();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, at| now.duration_since(*at) <= GOOD_FOR);
        if used.contains_key(nonce) {
            return Err(Fault::new(
                Code::ConfirmationRequired,
                "this answer was used already",
                "Call it again without requestState.",
            ));
        }
        if used.len() >= MOST_USED {
            return Err(Fault::new(Code::Busy, "too many answers at once", "Try again in some minutes."));
        }
        used.insert(nonce.to_owned(), now);
        Ok(())
    }
}

/// Whether the client can ask its person by a form.
pub fn can_ask(context: &RequestContext<RoleServer>) -> bool {
    let elicits = context.client_capabilities().and_then(|can| can.elicitation);
    // One that names no way is one of old, which knows forms alone.
    elicits.is_some_and(|ways| ways.form.is_some() || ways.url.is_none())
}

/// Why a call is not made for a client that cannot ask, where no budget limits it.
pub fn unasked(tool: &str, standing: &Value) -> Fault {
    Fault::new(
        Code::ConfirmationRequired,
        format!(
            "{tool} spends money ({}), no budget limits it, and this client cannot ask a person",
            cost(standing)
        ),
        "An administrator sets a budget in SQL: SELECT image_gen.set_budget('role', '<role>', 5). Or use a client that supports elicitation.",
    )
}

fn cost(standing: &Value) -> String {
    match standing.get("estimated_cost") {
        Some(Value::Number(cost)) => format!("about {cost} USD"),
        _ => "of unknown price".to_owned(),
    }
}

fn question(tool: &str, standing: &Value) -> String {
    let limit = match standing.get("within_budget") == Some(&Value::Bool(true)) {
        true => "A budget limits it.",
        false => "No budget limits it.",
    };
    format!("{tool}: {}. {limit} Go ahead?", cost(standing))
}

fn elicitation(question: &str) -> Result<ElicitRequestParams, Fault> {
    let asked = json!({"mode": "form", "message": question, "requestedSchema": {
        "type": "object", "required": ["confirm"],
        "properties": {"confirm": {"type": "boolean", "title": "Spend it", "description": "Yes: the call is made."}}}});
    serde_json::from_value(asked).map_err(|error| Fault::new(Code::Database, error.to_string(), ""))
}

fn agreed(content: Option<&Value>) -> bool {
    content.and_then(|content| content.get("confirm")) == Some(&Value::Bool(true))
}

fn declined() -> Fault {
    Fault::new(Code::Declined, "the person said no", "Nothing was spent. Ask what they want instead.")
}

/// What an answer is about: this caller, this tool, these arguments.
fn binding(tool: &str, arguments: &Value, caller: &Caller) -> Vec<u8> {
    Sha256::digest(json!([caller.name(), tool, arguments]).to_string()).to_vec()
}

/// Bytes that no one can guess.
pub fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Fault::new(Code::Unreachable, format!("no randomness: {error}"), ""))?;
    Ok(bytes)
}

/// Bytes as hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! Tasks of MCP (`io.modelcontextprotocol/tasks`). A task is a job, and its id is the job's: nothing of it is kept here, so it outlives
//! this process, and row security says whose it is.

use rmcp::model::{
    CreateTaskResult, DetailedTask, ElicitRequest, ElicitRequestParams, GetTaskResult, InputRequest,
    InputRequests, Task, TaskPayload, TaskStatus, UpdateTaskParams,
};
use serde_json::{Value, json};

use super::{Agent, object};
use crate::database::Caller;
use crate::fault::{Code, Fault};
use crate::statements;

/// A job as a task has it, beside what `get_generation` says.
const JOB: &str = "SELECT jsonb_build_object('status', s.status, 'created_at', to_char(s.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), \
    'changed_at', to_char(coalesce(s.finished_at, clock_timestamp()) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), \
    'model', s.model, 'estimated_seconds', trim_scale(s.estimated_seconds), 'error_code', s.error_code, 'error_message', s.error_message, \
    'why', (s.waiting_for).message) FROM image_gen.status($1) s";
/// The key of the question about a job that waits for a person.
const QUESTION: &str = "review";

impl Agent {
    /// The task of a job that was just queued.
    pub async fn task_of(&self, caller: &Caller, id: &str) -> Result<CreateTaskResult, Fault> {
        let job = self.shared.database.json(caller, JOB, &[&id]).await?;
        Ok(CreateTaskResult::new(told(id, &job, &Value::Null)))
    }

    /// How a task stands, with its result where it is over.
    pub async fn task(&self, caller: &Caller, id: &str) -> Result<GetTaskResult, Fault> {
        let database = &self.shared.database;
        let job = database.json(caller, JOB, &[&id]).await?;
        let asked = json!({"id": id});
        let sql = statements::of_tool("get_generation").unwrap_or_default();
        let generation = database.json(caller, sql, &[&asked]).await?;
        let task = told(id, &job, &generation);
        let payload = match job["status"].as_str().unwrap_or_default() {
            "queued" | "running" => TaskPayload::Working,
            "canceled" => TaskPayload::Cancelled,
            "needs_review" => TaskPayload::InputRequired { input_requests: question(&job)? },
            _ => {
                let shown = self.shown(caller, "get_generation", &asked, generation).await?;
                // The result is that of the tool that was called: its schema is that of a receipt.
                let mut result = serde_json::to_value(shown)
                    .map_err(|error| Fault::new(Code::Database, error.to_string(), ""))?;
                result["structuredContent"] = receipt(id, &job);
                result["isError"] = (job["status"] != "succeeded").into();
                TaskPayload::Completed { result: object(result) }
            }
        };
        Ok(GetTaskResult::new(DetailedTask::new(task, payload)))
    }

    /// What a person says about a job that waits for one.
    pub async fn answer_task(
        &self,
        caller: &Caller,
        request: UpdateTaskParams,
        can_ask: bool,
    ) -> Result<(), Fault> {
        // A key that is not asked about is none of ours, as the protocol has it.
        let Some(answer) = request.input_responses.get(QUESTION) else { return Ok(()) };
        if answer.get("action") != Some(&json!("accept")) {
            return Ok(());
        }
        let said = answer.get("content").cloned().unwrap_or_default();
        let arguments = json!({"id": request.task_id, "action": said.get("action"), "prompt": said.get("prompt"),
            "model": said.get("model"), "note": said.get("note")});
        super::check("resolve_review", &arguments.to_string())?;
        if super::spends(&arguments) && !can_ask {
            // It was no person who said it.
            let standing =
                self.shared.database.json(caller, statements::CONSENT_AGAIN, &[&request.task_id]).await?;
            if standing.get("within_budget") != Some(&Value::Bool(true)) {
                return Err(super::consent::unasked("resolve_review", &standing));
            }
        }
        let sql = statements::of_tool("resolve_review").unwrap_or_default();
        self.shared.database.json(caller, sql, &[&arguments]).await.map(drop)
    }

    /// Stops a job.
    pub async fn cancel(&self, caller: &Caller, id: &str) -> Result<(), Fault> {
        let sql = statements::of_tool("cancel_generation").unwrap_or_default();
        self.shared.database.json(caller, sql, &[&json!({"id": id})]).await.map(drop)
    }
}

fn text(job: &Value, key: &str) -> String {
    job.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn told(id: &str, job: &Value, generation: &Value) -> Task {
    let status = match job["status"].as_str().unwrap_or_default() {
        "queued" | "running" => TaskStatus::Working,
        "canceled" => TaskStatus::Cancelled,
        "needs_review" => TaskStatus::InputRequired,
        _ => TaskStatus::Completed,
    };
    let mut task = Task::new(id, status, text(job, "created_at"), text(job, "changed_at"));
    let why = [text(job, "why"), text(job, "error_message")].into_iter().find(|said| !said.is_empty());
    task.status_message = why.map(|said| said.chars().take(300).collect());
    let estimate =
        || job["estimated_seconds"].as_f64().map(|seconds| (seconds * 1000.0).clamp(500.0, 8000.0) as u64);
    task.poll_interval_ms = generation["next_poll_ms"].as_u64().or_else(estimate);
    task
}

/// The answer of the tool that was called, now that it is over.
fn receipt(id: &str, job: &Value) -> Value {
    let status = match job["status"].as_str() {
        Some("succeeded") => "succeeded",
        _ => "failed",
    };
    json!({"id": id, "status": status, "model": job["model"], "estimated_seconds": job["estimated_seconds"], "created_at": job["created_at"]})
}

fn question(job: &Value) -> Result<InputRequests, Fault> {
    let message =
        format!("This image needs a person ({}): {}", text(job, "error_code"), text(job, "error_message"));
    let message: String = message.chars().take(500).collect();
    let asked = json!({"mode": "form", "message": message, "requestedSchema": {"type": "object", "required": ["action"], "properties": {
        "action": {"type": "string", "title": "What to do", "enum": ["rewrite", "switch_model", "retry", "reject"]},
        "prompt": {"type": "string", "title": "For rewrite: other words"},
        "model": {"type": "string", "title": "For switch_model: its name"},
        "note": {"type": "string", "title": "For people"}}}});
    let params: ElicitRequestParams =
        serde_json::from_value(asked).map_err(|error| Fault::new(Code::Database, error.to_string(), ""))?;
    Ok(InputRequests::from([(QUESTION.to_owned(), InputRequest::Elicitation(ElicitRequest::new(params)))]))
}

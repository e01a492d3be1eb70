//! The MCP server: what a client asks becomes SQL of its caller. Protocol text is untrusted: it is read by types, bounded, and never a
//! part of a statement.

pub mod answer;
pub mod consent;
pub mod http;
pub mod offer;
pub mod resources;
pub mod tasks;

use std::sync::Arc;
use std::time::Duration;

use image_gen_tools::decisions as d;
use image_gen_tools::input as i;
use image_gen_tools::operations as o;
use image_gen_tools::{Effect, read};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ContentBlock, GetTaskParams,
    GetTaskResult, Implementation, JsonObject, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, PaginatedRequestParams, ProgressNotificationParam, ReadResourceRequestParams,
    ReadResourceResponse, ServerCapabilities, ServerConfig, Tool, UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use serde_json::Value;

use crate::completions::Completions;
use crate::database::{Caller, Database, Scope, begin, first};
use crate::fault::{Code, Fault};
use crate::statements;

/// The most bytes of the arguments of a call: an image that came with it is among them.
const MOST_ARGUMENT_BYTES: usize = 4 << 20;

const INSTRUCTIONS: &str = "Images as jobs in a database, with budgets. Ask get_credits before a batch. generate_image and its siblings return an id at \
once; settle waits for several, get_generation for one. Give related images the same metadata.campaign, each its own metadata.shot, and an \
idempotency_key: a call that is repeated with it costs nothing more. What a safety filter refuses is tried again in softer words by itself; \
what is left then is in list_reviews. Budgets are set by people, in SQL.";

/// What all requests share.
pub struct Shared {
    /// Where everything is.
    pub database: Database,
    /// Hears of jobs that are over.
    pub completions: Completions,
    /// Asks before money is spent.
    pub consent: consent::Consent,
}

impl Shared {
    /// Connects when it is first asked something.
    pub fn new(database: Database) -> Result<Arc<Self>, Fault> {
        let completions = Completions::listen(database.config().clone());
        Ok(Arc::new(Shared { database, completions, consent: consent::Consent::new()? }))
    }
}

/// The handler of MCP's requests.
#[derive(Clone)]
pub struct Agent {
    shared: Arc<Shared>,
    /// Who is at the other end of a pipe; of HTTP each request says it.
    caller: Option<Caller>,
}

/// Serves one client over standard input and output, until that ends.
pub async fn serve_stdio(database: Database, caller: Caller) -> Result<(), Fault> {
    let shared = Shared::new(database)?;
    // What is wrong with the database is said now, and not in the middle of a conversation.
    shared.database.rows(&caller, "SELECT 1 FROM image_gen.worker_status", &[]).await?;
    let agent = Agent { shared, caller: Some(caller) };
    let failed =
        |error: String| Fault::new(Code::InvalidRequest, format!("the conversation ended: {error}"), "");
    let running =
        agent.serve(rmcp::transport::stdio_pipes()).await.map_err(|error| failed(error.to_string()))?;
    running.waiting().await.map_err(|error| failed(error.to_string()))?;
    Ok(())
}

impl Agent {
    /// A handler whose callers come with their requests.
    pub fn over_http(shared: Arc<Shared>) -> Self {
        Agent { shared, caller: None }
    }

    /// Who asks. Over HTTP the token was looked up before the request came here.
    fn caller(&self, context: &RequestContext<RoleServer>) -> Result<Caller, Fault> {
        let of_request = || {
            let parts = context.extensions.get::<axum::http::request::Parts>()?;
            parts.extensions.get::<Caller>().cloned()
        };
        self.caller.clone().or_else(of_request).ok_or_else(|| {
            Fault::new(
                Code::Forbidden,
                "the request does not say who asks",
                "Send Authorization: Bearer with a token.",
            )
        })
    }

    async fn call(
        &self,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, Fault> {
        let caller = self.caller(context)?;
        let name = request.name.as_ref();
        let (Some(tool), Some(sql)) = (image_gen_tools::by_name(name), statements::of_tool(name)) else {
            return Err(Fault::new(
                Code::NotFound,
                "there is no such tool",
                "tools/list has those that are there.",
            ));
        };
        caller.check(scope(tool.effect))?;
        let arguments = Value::Object(request.arguments.clone().unwrap_or_default());
        let text = arguments.to_string();
        if text.len() > MOST_ARGUMENT_BYTES {
            let said = format!("the arguments have {} bytes", text.len());
            return Err(Fault::new(
                Code::InvalidRequest,
                said,
                "At most 4 MB: name images by https URL or asset:ID.",
            ));
        }
        check(name, &text)?;
        let waits = arguments.get("wait_seconds").and_then(Value::as_u64);
        let ids: Vec<String> = match name {
            "settle" => {
                serde_json::from_value(arguments.get("ids").cloned().unwrap_or_default()).unwrap_or_default()
            }
            "get_generation" if waits.unwrap_or(0) > 0 => {
                arguments.get("id").and_then(Value::as_str).map(str::to_owned).into_iter().collect()
            }
            _ => vec![],
        };
        if !ids.is_empty() {
            let seconds = waits.unwrap_or(40).min(d::LONGEST_WAIT.into());
            self.follow(&caller, &ids, Duration::from_secs(seconds), context).await?;
        }
        let answer = match self.ask_first(&tool, &arguments, &request, &caller, context).await? {
            Some(response) => return Ok(response),
            None => {
                let mut connection = self.shared.database.connection().await?;
                let transaction = begin(&mut connection, &caller).await?;
                let statement = transaction.prepare_cached(sql).await?;
                let answer = first(&transaction.query(&statement, &[&arguments]).await?)?;
                transaction.commit().await?;
                answer
            }
        };
        if tool.effect == Effect::Spends
            && context.client_capabilities().is_some_and(|can| can.supports_tasks())
            && let Some(id) = answer.get("id").and_then(Value::as_str)
        {
            return self.task_of(&caller, id).await.map(CallToolResponse::Task);
        }
        Ok(self.shown(&caller, name, &arguments, answer).await?.into())
    }

    /// What must be asked or refused before a call that spends; `None` lets it through.
    async fn ask_first(
        &self,
        tool: &image_gen_tools::Tool,
        arguments: &Value,
        request: &CallToolRequestParams,
        caller: &Caller,
        context: &RequestContext<RoleServer>,
    ) -> Result<Option<CallToolResponse>, Fault> {
        let database = &self.shared.database;
        let standing = match statements::operation(tool.name) {
            Some(operation) => database.json(caller, statements::CONSENT, &[&operation, arguments]).await?,
            None if tool.name == "resolve_review" && spends(arguments) => {
                let id = arguments.get("id").and_then(Value::as_str).unwrap_or_default();
                database.json(caller, statements::CONSENT_AGAIN, &[&id]).await?
            }
            None => return Ok(None),
        };
        self.shared.consent.ask(tool.name, arguments, &standing, request, caller, context).await
    }

    /// Waits for jobs, and says that it does.
    async fn follow(
        &self,
        caller: &Caller,
        ids: &[String],
        limit: Duration,
        context: &RequestContext<RoleServer>,
    ) -> Result<(), Fault> {
        let token = context.meta.get_progress_token();
        let tell = |seconds: f64| {
            if let Some(token) = token.clone() {
                let total = limit.as_secs_f64();
                let progress = ProgressNotificationParam::new(token, seconds.min(total)).with_total(total);
                let peer = context.peer.clone();
                // A client that does not listen holds up nothing.
                tokio::spawn(async move { peer.notify_progress(progress.with_message("rendering")).await });
            }
        };
        let waiting = self.shared.completions.wait(&self.shared.database, caller, ids, limit, tell);
        tokio::select! {
            waited = waiting => waited,
            () = context.ct.cancelled() => Err(Fault::new(Code::Declined, "the call was canceled", "The generations go on.")),
        }
    }

    /// An answer with the images that belong to it.
    async fn shown(
        &self,
        caller: &Caller,
        tool: &str,
        arguments: &Value,
        answer: Value,
    ) -> Result<CallToolResult, Fault> {
        let ids = answer::finished(tool, arguments, &answer);
        let images = match ids.is_empty() {
            true => vec![],
            false => resources::images(&self.shared.database, caller, &ids).await?,
        };
        let preview = match images.first() {
            Some(image) => resources::preview(&self.shared.database, caller, image).await?,
            None => None,
        };
        Ok(answer::result(answer, &images, preview))
    }
}

/// Whether this decision calls a provider once more.
fn spends(arguments: &Value) -> bool {
    let action = arguments.get("action").cloned().unwrap_or_default();
    serde_json::from_value::<d::Action>(action).is_ok_and(d::Action::spends)
}

/// What a token must allow for this.
fn scope(effect: Effect) -> Scope {
    match effect {
        Effect::Reads => Scope::Read,
        Effect::Spends | Effect::Ends => Scope::Spend,
        Effect::Decides => Scope::Review,
    }
}

/// Reads the arguments by their types: what is wrong is said with its JSON path.
fn check(tool: &str, json: &str) -> Result<(), Fault> {
    fn of<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, Fault> {
        Ok(read::read("$", json)?)
    }
    let out_of_range = |path: &str, hint: String| {
        Err(Fault::new(Code::InvalidRequest, format!("{path}: out of range"), hint))
    };
    match tool {
        "generate_image" => of::<i::GenerateImage>(json).map(drop),
        "get_generation" => match of::<d::FollowGeneration>(json)?.wait_seconds {
            Some(seconds) if seconds > d::LONGEST_WAIT => {
                out_of_range("$.wait_seconds", format!("Use 0 to {}, then ask again.", d::LONGEST_WAIT))
            }
            _ => Ok(()),
        },
        "list_recent_generations" => Ok(of::<i::ListRecentGenerations>(json)?.check()?),
        "get_credits" => of::<i::GetCredits>(json).map(drop),
        "edit_image" => of::<o::EditImage>(json).map(drop),
        "upscale_image" => of::<o::UpscaleImage>(json).map(drop),
        "vary_image" => of::<o::VaryImage>(json).map(drop),
        "transfer_style" => of::<o::TransferStyle>(json).map(drop),
        "estimate" => of::<d::Estimate>(json).map(drop),
        "cancel_generation" => of::<d::CancelGeneration>(json).map(drop),
        "choose_model" => of::<d::ChooseModel>(json).map(drop),
        "settle" => {
            let asked = of::<d::Settle>(json)?;
            if asked.ids.is_empty() || asked.ids.len() > d::MOST_SETTLED as usize {
                return out_of_range("$.ids", format!("Give 1 to {} ids.", d::MOST_SETTLED));
            }
            match asked.wait_seconds {
                Some(seconds) if seconds > d::LONGEST_WAIT => {
                    out_of_range("$.wait_seconds", format!("Use 0 to {}, then ask again.", d::LONGEST_WAIT))
                }
                _ => Ok(()),
            }
        }
        "list_reviews" => match of::<d::ListReviews>(json)?.limit {
            Some(limit) if !(1..=d::MOST_REVIEWS).contains(&limit) => {
                out_of_range("$.limit", format!("Use 1 to {}.", d::MOST_REVIEWS))
            }
            _ => Ok(()),
        },
        "resolve_review" => of::<d::ResolveReview>(json).map(drop),
        _ => Err(Fault::new(Code::NotFound, "there is no such tool", "")),
    }
}

impl ServerHandler for Agent {
    fn get_info(&self) -> ServerConfig {
        let capabilities =
            ServerCapabilities::builder().enable_tools().enable_resources().enable_tasks().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("image-gen", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(offer::tools()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        offer::tools().into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if image_gen_tools::by_name(&request.name).is_none() {
            return Err(ErrorData::invalid_params(
                "there is no such tool; tools/list has those that are there",
                None,
            ));
        }
        match self.call(request, &context).await {
            Ok(response) => Ok(response),
            // For the model to read, and not for the client to hide.
            Err(fault) => Ok(failed(&fault).into()),
        }
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let caller = self.caller(&context).map_err(protocol)?;
        caller.check(Scope::Read).map_err(protocol)?;
        let listed = resources::list(&self.shared.database, &caller).await.map_err(protocol)?;
        Ok(ListResourcesResult::with_all_items(listed))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(vec![resources::template()]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let caller = self.caller(&context).map_err(protocol)?;
        caller.check(Scope::Read).map_err(protocol)?;
        let read = resources::read(&self.shared.database, &caller, &request.uri).await;
        read.map(Into::into).map_err(protocol)
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let caller = self.caller(&context).map_err(protocol)?;
        caller.check(Scope::Read).map_err(protocol)?;
        self.task(&caller, &request.task_id).await.map_err(protocol)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let caller = self.caller(&context).map_err(protocol)?;
        caller.check(Scope::Review).map_err(protocol)?;
        self.answer_task(&caller, request, consent::can_ask(&context)).await.map_err(protocol)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let caller = self.caller(&context).map_err(protocol)?;
        caller.check(Scope::Spend).map_err(protocol)?;
        self.cancel(&caller, &request.task_id).await.map_err(protocol)
    }
}

/// A fault as the result of a tool.
pub fn failed(fault: &Fault) -> CallToolResult {
    let json = answer::fitted(fault.json());
    let mut result = CallToolResult::error(vec![ContentBlock::text(json.to_string())]);
    result.structured_content = Some(json);
    result
}

/// A fault of a request that is no tool.
fn protocol(fault: Fault) -> ErrorData {
    let data = Some(fault.json());
    match fault.code {
        Code::NotFound => ErrorData::resource_not_found(fault.message, data),
        Code::Unreachable | Code::Database => ErrorData::internal_error(fault.message, data),
        _ => ErrorData::invalid_params(fault.message, data),
    }
}

/// A JSON object; empty where it is none.
fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}

//! What buttons do: each is a form with the session's own token, and SQL of its visitor.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::login::Visitor;
use super::{Console, Refused};
use crate::database::Scope;
use crate::statements;

/// The form below a job that waits for a person.
#[derive(Deserialize)]
pub struct Resolving {
    csrf: String,
    action: String,
    #[serde(default)]
    prompt: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    note: String,
}

/// Decides about a job that waits for a person.
pub async fn resolve(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<Resolving>,
) -> Result<Response, Refused> {
    visitor.check(&console, &form.csrf)?;
    visitor.caller.check(Scope::Review)?;
    let some = |text: &str| match text.trim() {
        "" => Value::Null,
        text => text.into(),
    };
    let prompt = if form.action == "rewrite" { some(&form.prompt) } else { Value::Null };
    let model = if form.action == "switch_model" { some(&form.model) } else { Value::Null };
    let arguments = json!({"id": id, "action": form.action, "prompt": prompt, "model": model, "url": some(&form.url), "note": some(&form.note)});
    done(&console, &visitor, "resolve_review", &arguments).await?;
    Ok(Redirect::to("/reviews").into_response())
}

/// A button.
#[derive(Deserialize)]
pub struct Pressed {
    csrf: String,
}

/// Stops a job.
pub async fn cancel(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<Pressed>,
) -> Result<Response, Refused> {
    visitor.check(&console, &form.csrf)?;
    visitor.caller.check(Scope::Spend)?;
    done(&console, &visitor, "cancel_generation", &json!({"id": id})).await?;
    Ok(Redirect::to(&format!("/job/{id}")).into_response())
}

/// Makes one of a set the final one.
pub async fn pick(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(asset): Path<i64>,
    Form(form): Form<Pressed>,
) -> Result<Response, Refused> {
    visitor.check(&console, &form.csrf)?;
    visitor.caller.check(Scope::Spend)?;
    console
        .database
        .json(&visitor.caller, "SELECT to_jsonb(p.asset_id) FROM image_gen.pick($1) p LIMIT 1", &[&asset])
        .await?;
    Ok(Redirect::to("/sets").into_response())
}

async fn done(console: &Console, visitor: &Visitor, tool: &str, arguments: &Value) -> Result<(), Refused> {
    let sql = statements::of_tool(tool).unwrap_or_default();
    console.database.json(&visitor.caller, sql, &[arguments]).await?;
    Ok(())
}

//! What the pages show.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Html;
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::types::ToSql;

use super::layout::{or_dash, page, rows, table, text};
use super::login::Visitor;
use super::{Console, Refused, chart};
use crate::database::Scope;
use crate::fault::{Code, Fault};

type Shown = Result<Html<String>, Refused>;

async fn ask(
    console: &Console,
    visitor: &Visitor,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Value, Refused> {
    visitor.caller.check(Scope::Read)?;
    Ok(console.database.json(&visitor.caller, sql, parameters).await?)
}

fn shown(visitor: &Visitor, title: &str, here: &str, live: bool, content: &Markup) -> Shown {
    Ok(Html(page(visitor, title, here, live, content).into_string()))
}

/// A part of an address.
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The campaigns of the newest jobs, and how each stands.
const CAMPAIGNS: &str = "SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY c.last DESC), '[]') FROM (
    SELECT j.metadata ->> 'campaign' AS campaign, count(*) AS jobs, count(*) FILTER (WHERE j.status = 'succeeded') AS done,
           count(*) FILTER (WHERE j.status IN ('queued', 'running')) AS open, count(*) FILTER (WHERE j.status = 'needs_review') AS review,
           count(*) FILTER (WHERE j.status IN ('failed', 'canceled')) AS failed, trim_scale(sum(j.known_cost))::text AS known_cost, max(j.seq) AS last,
           (SELECT max(a.id) FROM image_gen.campaign_assets a WHERE a.job_id = (array_agg(j.id ORDER BY j.seq DESC) FILTER (WHERE j.status = 'succeeded'))[1]) AS asset
      FROM (SELECT n.* FROM image_gen.jobs n ORDER BY n.seq DESC LIMIT 2000) j GROUP BY 1 ORDER BY max(j.seq) DESC LIMIT 100) c";

/// All campaigns.
pub async fn campaigns(State(console): State<Arc<Console>>, visitor: Visitor) -> Shown {
    let found = ask(&console, &visitor, CAMPAIGNS, &[]).await?;
    let content = html! {
        @if rows(&found).is_empty() { p class="quiet" { "Nothing was queued yet." } }
        ul class="cards" {
            @for one in rows(&found) {
                @let name = text(&one, "campaign");
                li {
                    @if let Some(asset) = one["asset"].as_i64() { img src=(format!("/image/{asset}")) alt="" loading="lazy"; }
                    h2 { a href=(format!("/campaign?name={}", encoded(&name))) { @if name.is_empty() { "without a campaign" } @else { (name) } } }
                    p { (text(&one, "done")) " of " (text(&one, "jobs")) " done" }
                    p class="quiet" {
                        (text(&one, "open")) " under way, " (text(&one, "review")) " for a person, " (text(&one, "failed")) " failed; known cost " (or_dash(&one, "known_cost"))
                    }
                }
            }
        }
    };
    shown(&visitor, "Campaigns", "/", true, &content)
}

/// Which campaign.
#[derive(Deserialize)]
pub struct Named {
    #[serde(default)]
    name: String,
}

/// The jobs of a campaign, by the index that campaigns have; or the newest without one.
macro_rules! sheet {
    ($jobs:literal) => {
        concat!(
            "SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.seq), '[]') FROM (
             SELECT j.seq, j.id, j.status, coalesce(j.metadata ->> 'shot', j.id) AS shot, j.prompt, j.model, j.seed, j.error_code, trim_scale(j.known_cost)::text AS known_cost,
                    (t.waiting_for).message AS waits, (SELECT jsonb_agg(a.id ORDER BY a.position) FROM image_gen.campaign_assets a WHERE a.job_id = j.id) AS assets
               FROM (", $jobs, ") j CROSS JOIN LATERAL (SELECT s.waiting_for FROM image_gen.job_status s WHERE s.id = j.id OFFSET 0) t) s"
        )
    };
}
const CAMPAIGN: &str = sheet!(
    "SELECT n.* FROM image_gen.jobs n
      WHERE image_gen_internal.abbreviate(image_gen_internal.metadata_entry(n.metadata, 'campaign'), 100) = image_gen_internal.abbreviate($1, 100)
        AND n.metadata ->> 'campaign' = $1 ORDER BY n.seq DESC LIMIT 200"
);
const WITHOUT: &str = sheet!(
    "SELECT r.* FROM (SELECT n.* FROM image_gen.jobs n ORDER BY n.seq DESC LIMIT 2000) r WHERE coalesce(r.metadata ->> 'campaign', '') = $1 ORDER BY r.seq DESC LIMIT 200"
);

/// The contact sheet of a campaign, as it is now.
pub async fn campaign(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Query(named): Query<Named>,
) -> Shown {
    let sql = if named.name.is_empty() { WITHOUT } else { CAMPAIGN };
    let found = ask(&console, &visitor, sql, &[&named.name]).await?;
    if rows(&found).is_empty() {
        return Err(Fault::new(Code::NotFound, "there is no such campaign, or it is not yours", "").into());
    }
    let content = html! {
        ul class="cards" { @for one in rows(&found) { (card(&one)) } }
    };
    let title = if named.name.is_empty() { "Without a campaign" } else { &named.name };
    shown(&visitor, title, "/campaign", true, &content)
}

fn card(one: &Value) -> Markup {
    let (shot, status, id) = (text(one, "shot"), text(one, "status"), text(one, "id"));
    html! {
        li {
            @for asset in rows(&one["assets"]) {
                a href=(format!("/image/{asset}/whole")) { img src=(format!("/image/{asset}")) alt=(format!("{shot}: {}", text(one, "prompt"))) loading="lazy"; }
            }
            h2 { a href=(format!("/job/{id}")) { (shot) } }
            p { strong class=(status) { (status) } " " span class="quiet" { (text(one, "error_code")) " " (text(one, "waits")) } }
            p { (text(one, "prompt").chars().take(200).collect::<String>()) }
            p class="quiet" { (text(one, "model")) ", seed " (text(one, "seed")) ", known cost " (or_dash(one, "known_cost")) }
        }
    }
}

const JOB: &str = "SELECT jsonb_build_object('job', to_jsonb(s) || jsonb_build_object('shot', coalesce(s.metadata ->> 'shot', s.id), 'waits', (s.waiting_for).message),
      'calls', (SELECT coalesce(jsonb_agg(jsonb_build_object('number', a.number, 'provider', a.provider, 'model', a.model, 'status', a.status, 'code', a.error_code,
          'message', a.error_message, 'prompt', a.prompt, 'seed', a.seed, 'cost', trim_scale(a.billed_cost)::text, 'source', a.cost_source, 'sent', a.sent_at) ORDER BY a.number), '[]')
          FROM image_gen.attempts a WHERE a.job_id = s.id),
      'assets', (SELECT coalesce(jsonb_agg(a.id ORDER BY a.position), '[]') FROM image_gen.campaign_assets a WHERE a.job_id = s.id),
      'images', (SELECT coalesce(jsonb_agg(jsonb_build_object('id', a.id, 'width', a.width, 'height', a.height, 'type', a.content_type, 'bytes', a.byte_size,
          'cost', trim_scale(a.billed_cost)::text, 'sha256', a.sha256, 'url', a.url) ORDER BY a.position), '[]') FROM image_gen.campaign_assets a WHERE a.job_id = s.id))
    FROM image_gen.status($1) s";

/// A job's whole story.
pub async fn job(State(console): State<Arc<Console>>, visitor: Visitor, Path(id): Path<String>) -> Shown {
    let found = ask(&console, &visitor, JOB, &[&id]).await?;
    let job = &found["job"];
    let status = text(job, "status");
    let facts = [
        "operation",
        "model",
        "provider",
        "seed",
        "attempts",
        "billed_cost",
        "known_cost",
        "currency",
        "cost_source",
        "estimated_seconds",
        "created_at",
        "finished_at",
        "metadata",
    ];
    let content = html! {
        p { strong class=(status) { (status) } " " (text(job, "error_code")) " " (text(job, "error_message")) " " span class="quiet" { (text(job, "waits")) } }
        ul class="cards" {
            @for asset in rows(&found["assets"]) {
                li { a href=(format!("/image/{asset}/whole")) { img src=(format!("/image/{asset}")) alt=(text(job, "prompt")); } }
            }
        }
        h2 { "Asked" }
        p { (text(job, "prompt")) }
        table { caption class="quiet" { "Facts" } tbody { @for fact in facts { tr { th scope="row" { (fact) } td { (or_dash(job, fact)) } } } } }
        h2 { "Calls" }
        (table("Calls to providers", &[("number", "Call"), ("provider", "Provider"), ("model", "Model"), ("status", "Status"), ("code", "Code"), ("message", "Said"),
            ("prompt", "Prompt"), ("seed", "Seed"), ("cost", "Cost"), ("source", "Known from"), ("sent", "Sent")], &rows(&found["calls"])))
        h2 { "Images" }
        (table("Images", &[("id", "Asset"), ("width", "Width"), ("height", "Height"), ("type", "Type"), ("bytes", "Bytes"), ("cost", "Cost"), ("sha256", "SHA-256"), ("url", "URL")], &rows(&found["images"])))
        @if status == "queued" || status == "running" {
            form method="post" action=(format!("/job/{}/cancel", encoded(&id))) {
                input type="hidden" name="csrf" value=(visitor.csrf);
                button { "Cancel it" }
            }
        }
    };
    shown(&visitor, &text(job, "shot"), "/job", true, &content)
}

const REVIEWS: &str = "SELECT coalesce(jsonb_agg(to_jsonb(q) ORDER BY q.waiting_since, q.id), '[]') FROM (
    SELECT r.id, r.why, r.error_message, r.campaign, coalesce(r.shot, r.id) AS shot, r.prompt, r.model, r.seed, r.prompts_tried, trim_scale(r.spent)::text AS spent, r.waiting_since,
           image_gen_internal.role_name(r.owner) AS owner
      FROM image_gen.review_queue r ORDER BY r.waiting_since, r.id LIMIT 50) q";

/// What waits for a person.
pub async fn reviews(State(console): State<Arc<Console>>, visitor: Visitor) -> Shown {
    let found = ask(&console, &visitor, REVIEWS, &[]).await?;
    let content = html! {
        @if rows(&found).is_empty() { p class="quiet" { "Nothing waits for a person." } }
        @for one in rows(&found) {
            @let id = text(&one, "id");
            section aria-label=(text(&one, "shot")) {
                h2 { a href=(format!("/job/{}", encoded(&id))) { (text(&one, "shot")) } }
                p { strong class="needs_review" { (text(&one, "why")) } " " (text(&one, "error_message")) }
                p class="quiet" { "of " (text(&one, "owner")) ", " (or_dash(&one, "campaign")) ", " (text(&one, "model")) ", seed " (text(&one, "seed")) ", known cost " (or_dash(&one, "spent")) }
                p { "All prompts tried:" }
                ol { @for prompt in rows(&one["prompts_tried"]) { li { (prompt.as_str().unwrap_or_default()) } } }
                form method="post" action=(format!("/reviews/{}", encoded(&id))) {
                    input type="hidden" name="csrf" value=(visitor.csrf);
                    label { "Other words" textarea name="prompt" rows="3" maxlength="32000" { (text(&one, "prompt")) } }
                    label { "Another model" input name="model" maxlength="200"; }
                    label { "URL of the image, to approve" input name="url" type="url" maxlength="4000"; }
                    label { "Note" input name="note" maxlength="1000"; }
                    div class="row" {
                        button name="action" value="rewrite" { "Again in other words" } " "
                        button name="action" value="switch_model" { "Again with the model" } " "
                        button name="action" value="retry" { "Again as it was" } " "
                        button name="action" value="approve" { "Approve" } " "
                        button name="action" value="reject" { "Reject" }
                    }
                }
            }
        }
    };
    shown(&visitor, "Reviews", "/reviews", true, &content)
}

const SETS: &str = "SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.last DESC), '[]') FROM (
    SELECT v.set_id, max(v.asset_id) AS last, jsonb_agg(jsonb_build_object('asset', v.asset_id, 'state', v.state, 'model', v.model, 'seed', v.seed, 'prompt', v.prompt,
           'cost', trim_scale(v.known_cost)::text) ORDER BY v.asset_id) AS variants
      FROM image_gen.variants v GROUP BY v.set_id ORDER BY max(v.asset_id) DESC LIMIT 30) s";

/// Images to choose from.
pub async fn sets(State(console): State<Arc<Console>>, visitor: Visitor) -> Shown {
    let found = ask(&console, &visitor, SETS, &[]).await?;
    let content = html! {
        @if rows(&found).is_empty() { p class="quiet" { "There are no sets: generate_variants() makes one." } }
        @for set in rows(&found) {
            section aria-label=(text(&set, "set_id")) {
                h2 { (text(&set, "set_id")) }
                ul class="cards" {
                    @for one in rows(&set["variants"]) {
                        @let asset = text(&one, "asset");
                        li {
                            a href=(format!("/image/{asset}/whole")) { img src=(format!("/image/{asset}")) alt=(text(&one, "prompt")) loading="lazy"; }
                            p { strong class=(text(&one, "state")) { (text(&one, "state")) } " " span class="quiet" { (text(&one, "model")) ", seed " (text(&one, "seed")) ", " (or_dash(&one, "cost")) } }
                            @if text(&one, "state") != "final" {
                                form method="post" action=(format!("/pick/{asset}")) {
                                    input type="hidden" name="csrf" value=(visitor.csrf);
                                    button aria-label=(format!("Pick asset {asset}")) { "Pick" }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    shown(&visitor, "Variants", "/sets", true, &content)
}

const BUDGETS: &str = "SELECT coalesce(jsonb_agg(jsonb_build_object('scope', c.scope, 'period', c.period, 'limit', trim_scale(c.limit_amount)::text, 'spent', trim_scale(c.spent)::text,
    'reserved', trim_scale(c.reserved)::text, 'available', trim_scale(c.available)::text, 'unknown', c.unknown_costs,
    'part', round(100 * (c.spent + c.reserved) / nullif(c.limit_amount, 0), 1)::float8)), '[]') FROM image_gen.credits() c";
const BY_DAY: &str = "SELECT coalesce(jsonb_agg(jsonb_build_object('day', left(r.dimension ->> 'day', 10), 'cost', r.known_cost::float8, 'text', trim_scale(r.known_cost)::text) ORDER BY r.dimension ->> 'day'), '[]')
    FROM image_gen.cost_report(date_trunc('day', now()) - interval '29 days', NULL, '{day}') r WHERE r.currency = 'USD'";
const BY_CAMPAIGN: &str = "SELECT coalesce(jsonb_agg(jsonb_build_object('campaign', c.campaign, 'jobs', c.jobs, 'images', c.images, 'calls', c.calls, 'refusals', c.refusals,
    'billed', trim_scale(c.billed)::text, 'currency', c.currency, 'unknown', c.unknown_costs) ORDER BY c.billed DESC NULLS FIRST), '[]') FROM image_gen.cost_by_campaign c";

/// Budgets with bars, and what was spent.
pub async fn money(State(console): State<Arc<Console>>, visitor: Visitor) -> Shown {
    let budgets = ask(&console, &visitor, BUDGETS, &[]).await?;
    let days = ask(&console, &visitor, BY_DAY, &[]).await?;
    let campaigns = ask(&console, &visitor, BY_CAMPAIGN, &[]).await?;
    let content = html! {
        h2 { "Budgets" }
        ul class="cards" {
            @for one in rows(&budgets) {
                @let name = format!("{}, {}", text(&one, "scope"), text(&one, "period"));
                li {
                    h3 { (name) }
                    @if let Some(part) = one["part"].as_f64() { progress max="100" value=(part.clamp(0.0, 100.0)) aria-label=(format!("{name}: used")) {} }
                    p { "spent " (or_dash(&one, "spent")) ", reserved " (or_dash(&one, "reserved")) " of " (or_dash(&one, "limit")) " USD; available " (or_dash(&one, "available")) }
                    @if one["unknown"].as_i64().unwrap_or(0) > 0 { p class="quiet" { (text(&one, "unknown")) " calls of unknown cost" } }
                }
            }
        }
        h2 { "The last 30 days" }
        (chart::bars(&rows(&days)))
        h2 { "Campaigns" }
        (table("What was billed, by campaign", &[("campaign", "Campaign"), ("jobs", "Jobs"), ("images", "Images"), ("calls", "Calls"), ("refusals", "Refusals"), ("billed", "Billed"), ("currency", "Currency"), ("unknown", "Unknown costs")], &rows(&campaigns)))
    };
    shown(&visitor, "Money", "/money", true, &content)
}

const WORKER: &str = "SELECT coalesce(jsonb_agg(to_jsonb(w)), '[]') FROM image_gen.worker_status w";
const QUEUE: &str = "SELECT coalesce(jsonb_agg(to_jsonb(q)), '[]') FROM image_gen.queue_stats q";
const HEALTH: &str = "SELECT coalesce(jsonb_agg(to_jsonb(h) ORDER BY h.provider, h.model), '[]') FROM image_gen.provider_health h";

/// Providers, queue and worker.
pub async fn health(State(console): State<Arc<Console>>, visitor: Visitor) -> Shown {
    let worker = ask(&console, &visitor, WORKER, &[]).await?;
    let queue = ask(&console, &visitor, QUEUE, &[]).await?;
    let providers = ask(&console, &visitor, HEALTH, &[]).await?;
    let content = html! {
        (table("Worker", &[("running", "Running"), ("mode", "Mode"), ("running_since", "Since"), ("in_flight", "In flight"), ("in_flight_cap", "At most"), ("ready", "Ready"), ("fenced", "Fenced"), ("last_error", "Last error"), ("last_error_at", "At")], &rows(&worker)))
        (table("Queue", &[("ready", "Ready"), ("waiting", "Waiting"), ("in_flight", "In flight"), ("blocked", "For another job")], &rows(&queue)))
        (table("Providers, of the last day", &[("provider", "Provider"), ("model", "Model"), ("state", "State"), ("since", "Since"), ("in_flight", "In flight"), ("calls", "Calls"), ("success_rate", "Success"), ("p50_seconds", "Half within s"), ("p95_seconds", "95 % within s"), ("balance", "Balance"), ("last_error_code", "Last error")], &rows(&providers)))
    };
    shown(&visitor, "Health", "/health", true, &content)
}

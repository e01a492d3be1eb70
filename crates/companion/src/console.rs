//! A web page for people: server-rendered, whole without JavaScript, from one origin. What it shows and does is SQL of whoever is logged in.

mod actions;
mod chart;
mod layout;
mod login;
mod views;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use rmcp::model::RequestStateCodec;
use tokio::sync::Semaphore;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;

use crate::completions::Completions;
use crate::database::Database;
use crate::fault::{Code, Fault};
use crate::mcp::consent::random;
use crate::mcp::http::{Door, Gate, serve_router};
use login::Visitor;

/// The most pages that are told of changes at a time; others are read again by hand.
const MOST_STREAMS: usize = 300;
/// The most bytes of a form.
const MOST_FORM_BYTES: usize = 256 << 10;

/// What all requests share.
pub struct Console {
    database: Database,
    completions: Completions,
    gate: Arc<Gate>,
    codec: RequestStateCodec,
    streams: Arc<Semaphore>,
    hosts: Vec<String>,
}

/// Serves it until it is told to stop.
pub async fn serve(database: Database, door: Door, told: impl FnOnce(SocketAddr)) -> Result<(), Fault> {
    let codec = RequestStateCodec::try_new(random::<32>()?.to_vec())
        .map_err(|error| Fault::new(Code::Database, error.to_string(), ""))?;
    let console = Arc::new(Console {
        completions: Completions::listen(database.config().clone()),
        gate: Gate::new(database.clone(), door.rate),
        codec,
        streams: Arc::new(Semaphore::new(MOST_STREAMS)),
        hosts: door.hosts.clone(),
        database,
    });
    serve_router(routes(console), &door, told).await
}

fn routes(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", get(views::campaigns))
        .route("/campaign", get(views::campaign))
        .route("/job/{id}", get(views::job))
        .route("/job/{id}/cancel", post(actions::cancel))
        .route("/reviews", get(views::reviews))
        .route("/reviews/{id}", post(actions::resolve))
        .route("/sets", get(views::sets))
        .route("/pick/{asset}", post(actions::pick))
        .route("/money", get(views::money))
        .route("/health", get(views::health))
        .route("/image/{id}", get(small_image))
        .route("/image/{id}/whole", get(whole_image))
        .route("/events", get(events))
        .route("/login", get(login::form).post(login::enter))
        .route("/logout", post(login::leave))
        // Browsers ask for it whatever a page says.
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .route("/console.css", get(|| file("text/css; charset=utf-8", include_str!("console/console.css"))))
        .route(
            "/console.js",
            get(|| file("text/javascript; charset=utf-8", include_str!("console/console.js"))),
        )
        .layer(axum::extract::DefaultBodyLimit::max(MOST_FORM_BYTES))
        .layer(from_fn_with_state(console.clone(), called_by_its_name))
        .layer(from_fn(guarded))
        .with_state(console)
}

async fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// What a browser may do with our answers: nothing that is not here.
async fn guarded(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (
            "content-security-policy",
            "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        // With none at all, a browser's own form would not say its origin either.
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page somewhere can make a name of its own lead to this machine: then the name is not ours.
async fn called_by_its_name(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match named.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => named,
    };
    let ours = ["localhost", "127.0.0.1", "[::1]"].contains(&name)
        || console.hosts.iter().any(|host| host == name || host == named);
    let origin = request.headers().get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let same = origin.is_none_or(|origin| origin.split_once("://").is_some_and(|(_, host)| host == named));
    match ours && same {
        true => next.run(request).await,
        false => Refused(Fault::new(
            Code::Forbidden,
            "this is not asked by its own page",
            "Open it as http://localhost, or say --allow-host.",
        ))
        .into_response(),
    }
}

/// A fault as a page.
pub struct Refused(Fault);

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Refused(fault)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self.0.code {
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::Forbidden => StatusCode::FORBIDDEN,
            Code::Busy => StatusCode::TOO_MANY_REQUESTS,
            Code::Unreachable | Code::Database => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        (status, Html(layout::fault(&self.0).into_string())).into_response()
    }
}

async fn small_image(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<i64>,
) -> Result<Response, Refused> {
    image(&console, &visitor, "SELECT image_gen.thumbnail($1)", id).await
}

async fn whole_image(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Path(id): Path<i64>,
) -> Result<Response, Refused> {
    image(&console, &visitor, "SELECT image_gen.asset_bytes($1)", id).await
}

/// The bytes of an image as what they are, and as nothing that a browser would run.
async fn image(console: &Console, visitor: &Visitor, sql: &str, id: i64) -> Result<Response, Refused> {
    let rows = console.database.rows(&visitor.caller, sql, &[&id]).await?;
    let bytes: Option<Vec<u8>> = rows.first().map_or(Ok(None), |row| row.try_get(0)).map_err(Fault::from)?;
    let missing = || Fault::new(Code::NotFound, "its bytes are not here", "");
    let bytes = bytes.ok_or_else(missing)?;
    let kind = image::guess_format(&bytes).map_err(|_| missing())?.to_mime_type();
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok((headers, bytes).into_response())
}

/// Tells a page that something has changed: it asks for itself again, with its own rights.
async fn events(State(console): State<Arc<Console>>, _: Visitor) -> Result<Response, Refused> {
    let Ok(place) = console.streams.clone().try_acquire_owned() else {
        return Err(Fault::new(Code::Busy, "too many pages are open", "Read the page again by hand.").into());
    };
    let heard = WatchStream::from_changes(console.completions.subscribe()).map(move |_| {
        // Kept as long as the stream is.
        let _ = &place;
        Ok::<_, Infallible>(Event::default().data("changed"))
    });
    Ok(Sse::new(heard).keep_alive(KeepAlive::default()).into_response())
}

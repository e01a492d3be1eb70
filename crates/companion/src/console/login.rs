//! Who is there: a token, or a role and its password, becomes a signed cookie. A cookie is made at a login and never taken over from before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::{ConnectInfo, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::html;
use rmcp::model::SealOptions;
use serde::{Deserialize, Serialize};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use super::{Console, Refused, layout};
use crate::database::Caller;
use crate::fault::{Code, Fault};
use crate::mcp::consent::{hex, random};

/// How long a login lasts.
const LASTS: Duration = Duration::from_secs(8 * 3600);
const COOKIE: &str = "image_gen_console";
/// What a cookie is sealed for, so that nothing else that is sealed is one.
const SEALED_FOR: &[u8] = b"console session";

#[derive(Serialize, Deserialize)]
struct Session {
    id: String,
    /// The SHA-256 of its token, so that one that is revoked ends the session.
    token: Option<String>,
    role: Option<String>,
}

/// Someone who is logged in.
pub struct Visitor {
    /// On whose behalf statements run.
    pub caller: Caller,
    /// What each form brings back.
    pub csrf: String,
    session: String,
}

impl Visitor {
    /// As the page shows it.
    pub fn name(&self) -> &str {
        self.caller.role.as_deref().unwrap_or_default()
    }

    /// Whether a form is one of this session's.
    pub fn check(&self, console: &Console, csrf: &str) -> Result<(), Refused> {
        let opened = console.codec.open_with(csrf, &csrf_of(&self.session));
        opened.map(drop).map_err(|_| {
            Fault::new(
                Code::Forbidden,
                "this form is not from this session",
                "Read the page again, and repeat it.",
            )
            .into()
        })
    }
}

fn csrf_of(session: &str) -> Vec<u8> {
    format!("console form of {session}").into_bytes()
}

impl FromRequestParts<Arc<Console>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Console>) -> Result<Self, Response> {
        visitor(&parts.headers, console).await.map_err(|fault| match fault {
            Some(fault) => Refused(fault).into_response(),
            None => Redirect::to("/login").into_response(),
        })
    }
}

/// Who sends these headers; no fault where it is no one.
async fn visitor(headers: &HeaderMap, console: &Console) -> Result<Visitor, Option<Fault>> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let sealed = cookies.flat_map(|all| all.split(';')).find_map(|one| {
        let (name, value) = one.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    });
    let session: Session = console.codec.open_json_with(sealed.ok_or(None)?, SEALED_FOR).map_err(|_| None)?;
    let caller = match (&session.token, session.role) {
        (Some(hash), _) => match console.gate.caller_of_hash(&unhex(hash)).await {
            Ok(caller) => caller,
            Err(fault) if fault.code == Code::Forbidden => return Err(None),
            Err(fault) => return Err(Some(fault)),
        },
        (None, Some(role)) => Caller::of_role(Some(role)),
        (None, None) => return Err(None),
    };
    let csrf =
        console.codec.seal_with(b"", &SealOptions::new().associated_data(&csrf_of(&session.id)).ttl(LASTS));
    Ok(Visitor { caller, csrf, session: session.id })
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// The form.
pub async fn form() -> Html<String> {
    page("")
}

fn page(wrong: &str) -> Html<String> {
    let content = html! {
        @if !wrong.is_empty() { p role="alert" class="failed" { (wrong) } }
        form method="post" action="/login" {
            label { "Token" input type="password" name="token" autocomplete="current-password"; }
            p class="quiet" { "or a role of the database and its password" }
            label { "Role" input name="role" autocomplete="username" maxlength="63"; }
            label { "Password" input type="password" name="password" autocomplete="off"; }
            button { "Log in" }
        }
    };
    Html(layout::bare("Log in", &content).into_string())
}

/// What the form says.
#[derive(Deserialize)]
pub struct Entering {
    #[serde(default)]
    token: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    password: String,
}

/// Lets someone in.
pub async fn enter(
    State(console): State<Arc<Console>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Form(said): Form<Entering>,
) -> Response {
    match entered(&console, from, said).await {
        Ok(cookie) => {
            let mut response = Redirect::to("/").into_response();
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            response
        }
        Err(fault) => {
            let status = if fault.code == Code::Busy {
                StatusCode::TOO_MANY_REQUESTS
            } else {
                StatusCode::UNAUTHORIZED
            };
            (status, page(&fault.message)).into_response()
        }
    }
}

async fn entered(console: &Console, from: SocketAddr, said: Entering) -> Result<HeaderValue, Fault> {
    let id = hex(&random::<16>()?);
    let found = match said.token.trim() {
        "" => password_of(console, &said.role, &said.password).await.map(|role| Session {
            id,
            token: None,
            role: Some(role),
        }),
        token => console.gate.caller(token).await.map(|_| Session {
            id,
            token: Some(hex(&crate::mcp::http::hash(token))),
            role: None,
        }),
    };
    let session = match found {
        Ok(session) => session,
        Err(fault) => {
            console.gate.guessed(from.ip())?;
            return Err(fault);
        }
    };
    let options = SealOptions::new().associated_data(SEALED_FOR).ttl(LASTS);
    let sealed = console
        .codec
        .seal_json_with(&session, &options)
        .map_err(|error| Fault::new(Code::Database, error.to_string(), ""))?;
    cookie(&sealed, LASTS.as_secs())
}

fn cookie(value: &str, seconds: u64) -> Result<HeaderValue, Fault> {
    let text = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    HeaderValue::from_str(&text).map_err(|error| Fault::new(Code::Database, error.to_string(), ""))
}

/// The role whose password this is: PostgreSQL says so.
async fn password_of(console: &Console, role: &str, password: &str) -> Result<String, Fault> {
    let wrong = || Fault::new(Code::Forbidden, "this is no token, and no role with this password", "");
    if role.is_empty()
        || role.len() > 63
        || password.is_empty()
        || role.contains('\0')
        || password.contains('\0')
    {
        return Err(wrong());
    }
    // Where the server asks for no password, every one is right: then a login by password is none.
    let guess = hex(&random::<16>()?);
    for (tried, right) in [(guess.as_str(), false), (password, true)] {
        let mut config = console.database.config().clone();
        config.user(role).password(tried);
        let connected = tokio::time::timeout(Duration::from_secs(10), config.connect(NoTls)).await;
        match connected.map_err(|_| Fault::new(Code::Busy, "the database does not answer", ""))? {
            Ok(_) if right => {}
            Ok(_) => {
                return Err(Fault::new(
                    Code::Forbidden,
                    "the server asks this role for no password: use a token",
                    "",
                ));
            }
            Err(error) if !right && error.code() == Some(&SqlState::INVALID_PASSWORD) => {}
            Err(_) => return Err(wrong()),
        }
    }
    let sql = "SELECT r.rolsuper OR NOT pg_catalog.pg_has_role(r.oid, 'member') FROM pg_catalog.pg_roles r WHERE r.rolname = $1";
    let rows = console.database.rows(&Caller::of_role(None), sql, &[&role]).await?;
    match rows.first().map(|row| row.try_get::<_, bool>(0)) {
        Some(Ok(false)) => Ok(role.to_owned()),
        _ => Err(Fault::new(Code::Forbidden, "the console may not become this role", "")),
    }
}

/// A form with nothing else in it.
#[derive(Deserialize)]
pub struct Leaving {
    csrf: String,
}

/// Ends a session in this browser.
pub async fn leave(
    State(console): State<Arc<Console>>,
    visitor: Visitor,
    Form(form): Form<Leaving>,
) -> Result<Response, Refused> {
    visitor.check(&console, &form.csrf)?;
    let mut response = Redirect::to("/login").into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie("", 0)?);
    Ok(response)
}

//! Streamable HTTP, on loopback unless it is said otherwise. Without sessions: each request brings its token, is looked up, and runs in a
//! transaction of its role, so a token that is revoked is of no use from the next request on.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use super::{Agent, Shared};
use crate::database::{Caller, Database};
use crate::fault::{Code, Fault};

/// So many times its rate a token may ask at once.
const BURST: u32 = 3;
/// An address whose tokens are wrong may ask so many times less often.
const STRANGER: u32 = 10;
/// So many are remembered before those that have been quiet are forgotten.
const MOST_REMEMBERED: usize = 10_000;
/// Pages of this machine: they need a token as all others do.
const OWN_ORIGINS: [&str; 3] = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"];

/// What is kept of a token.
pub fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

fn unknown() -> Fault {
    Fault::new(
        Code::Forbidden,
        "the token is not valid: unknown, expired or revoked",
        "An administrator makes one: image-gen token create.",
    )
}

/// What our tokens look like: nothing else is looked up.
const TOKEN: (&str, usize) = ("igt_", 68);

/// Where and for whom it listens.
#[derive(Clone, Debug)]
pub struct Door {
    /// The address.
    pub listen: SocketAddr,
    /// Names by which it may be called, besides those of loopback.
    pub hosts: Vec<String>,
    /// Origins of web pages that may call it, besides those of loopback.
    pub origins: Vec<String>,
    /// Other addresses than loopback are meant.
    pub public: bool,
    /// Requests of one token in a second.
    pub rate: u32,
}

/// Who is let in.
pub struct Gate {
    database: Database,
    tokens: DefaultKeyedRateLimiter<i64>,
    strangers: DefaultKeyedRateLimiter<IpAddr>,
}

fn quota((rate, burst): (u32, u32)) -> Quota {
    let one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(one(rate)).allow_burst(one(burst))
}

impl Gate {
    /// For tokens of this database.
    pub fn new(database: Database, rate: u32) -> Arc<Self> {
        let tokens = RateLimiter::keyed(quota((rate, rate.saturating_mul(BURST))));
        let strangers = RateLimiter::keyed(quota(((rate / STRANGER).max(1), (rate / 2).max(BURST))));
        Arc::new(Gate { database, tokens, strangers })
    }

    /// Whose token this is.
    pub async fn caller(&self, token: &str) -> Result<Caller, Fault> {
        if !token.starts_with(TOKEN.0) || token.len() != TOKEN.1 {
            return Err(unknown());
        }
        self.caller_of_hash(&hash(token)).await
    }

    /// Whose token has this SHA-256.
    pub async fn caller_of_hash(&self, hash: &[u8]) -> Result<Caller, Fault> {
        let sql = "SELECT id, role::text, scopes FROM image_gen.token_identity($1)";
        let rows = self.database.rows(&Caller::of_role(None), sql, &[&hash]).await?;
        let row = rows.first().ok_or_else(unknown)?;
        Ok(Caller {
            token: Some(row.try_get(0)?),
            role: Some(row.try_get(1)?),
            scopes: Some(row.try_get(2)?),
        })
    }

    /// Counts a wrong guess of this address: too many are a fault.
    pub fn guessed(&self, from: IpAddr) -> Result<(), Fault> {
        let wait = |_| Fault::new(Code::Busy, "too many wrong guesses", "Wait a while.");
        self.strangers.check_key(&from).map_err(wait)
    }

    /// Lets in whoever has a token, as often as is good for all.
    pub async fn admit(&self, headers: &HeaderMap, from: IpAddr) -> Result<Caller, Refusal> {
        if self.tokens.len() > MOST_REMEMBERED {
            self.tokens.retain_recent();
        }
        if self.strangers.len() > MOST_REMEMBERED {
            self.strangers.retain_recent();
        }
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
        let found = match token {
            Some(token) => self.caller(token).await,
            None => {
                Err(Fault::new(Code::Forbidden, "there is no token", "Send Authorization: Bearer with one."))
            }
        };
        match found {
            Ok(caller) => match self.tokens.check_key(&caller.token.unwrap_or_default()) {
                Ok(()) => Ok(caller),
                Err(_) => Err(Refusal::TooMany),
            },
            Err(fault) if fault.code == Code::Forbidden => match self.strangers.check_key(&from) {
                Ok(()) => Err(Refusal::Unknown(fault)),
                Err(_) => Err(Refusal::TooMany),
            },
            Err(fault) => Err(Refusal::Broken(fault)),
        }
    }
}

/// Why a request is not let in.
pub enum Refusal {
    /// No token, or none that is valid.
    Unknown(Fault),
    /// Too many requests.
    TooMany,
    /// The database could not be asked.
    Broken(Fault),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Refusal::Unknown(fault) => {
                let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"image-gen\"")];
                (StatusCode::UNAUTHORIZED, challenge, Json(fault.json())).into_response()
            }
            Refusal::TooMany => {
                let fault = Fault::new(Code::Busy, "too many requests", "Wait as long as next_poll_ms says.");
                (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], Json(fault.json()))
                    .into_response()
            }
            Refusal::Broken(fault) => {
                tracing::warn!("the database cannot be asked about tokens: {}", fault.message);
                let fault = Fault::new(fault.code, "the database cannot be asked", "Try again later.");
                (StatusCode::SERVICE_UNAVAILABLE, Json(fault.json())).into_response()
            }
        }
    }
}

async fn guard(
    State(gate): State<Arc<Gate>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let caller = match gate.admit(request.headers(), from.ip()).await {
        Ok(caller) => caller,
        Err(refusal) => {
            let response = refusal.into_response();
            tracing::info!(%from, status = response.status().as_u16(), "not let in");
            return response;
        }
    };
    // Nothing behind this needs it any more, and what is not there is not logged.
    request.headers_mut().remove(header::AUTHORIZATION);
    let (token, role) = (caller.token.unwrap_or_default(), caller.role.clone().unwrap_or_default());
    request.extensions_mut().insert(caller);
    let response = next.run(request).await;
    tracing::info!(%method, token, role, status = response.status().as_u16(), ms = began.elapsed().as_millis() as u64, "mcp");
    response
}

/// The routes: `/mcp`, behind the gate.
pub fn routes(shared: Arc<Shared>, door: &Door) -> Router {
    let gate = Gate::new(shared.database.clone(), door.rate);
    let mut config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_max_request_body_bytes(5 << 20)
        .with_allowed_origins(OWN_ORIGINS.map(str::to_owned).into_iter().chain(door.origins.iter().cloned()))
        .enforce_origin_validation();
    config.allowed_hosts.extend(door.hosts.iter().cloned());
    let service = StreamableHttpService::new(
        move || Ok(Agent::over_http(shared.clone())),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    Router::new().nest_service("/mcp", service).layer(from_fn_with_state(gate, guard))
}

/// Listens until it is told to stop.
pub async fn serve(shared: Arc<Shared>, door: Door, told: impl FnOnce(SocketAddr)) -> Result<(), Fault> {
    let router = routes(shared, &door);
    serve_router(router, &door, told).await
}

/// Listens with these routes until SIGINT or SIGTERM.
pub async fn serve_router(router: Router, door: &Door, told: impl FnOnce(SocketAddr)) -> Result<(), Fault> {
    if !door.listen.ip().is_loopback() && !door.public {
        return Err(Fault::new(
            Code::InvalidRequest,
            format!("{} is not this machine alone", door.listen),
            "Tokens would pass the network in the clear: put a proxy with TLS in front of 127.0.0.1, or say --public where one is.",
        ));
    }
    let refused = |error: std::io::Error| {
        Fault::new(
            Code::Unreachable,
            format!("{}: {error}", door.listen),
            "Is the port taken? Choose another one with --listen.",
        )
    };
    let listener = TcpListener::bind(door.listen).await.map_err(refused)?;
    told(listener.local_addr().map_err(refused)?);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stopped()).await.map_err(refused)
}

async fn stopped() {
    let interrupted = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminated) => tokio::select! {
            _ = interrupted => {}
            _ = terminated.recv() => {}
        },
        Err(_) => {
            let _ = interrupted.await;
        }
    }
}

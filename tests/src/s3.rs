//! A server that speaks S3: `s3s-fs`, which verifies signatures, behind a look at what a real one verifies besides: the region, and the
//! clock.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// The bucket that it has.
pub const BUCKET: &str = "images";
/// Who may use it.
pub const KEY_ID: &str = "AKIATESTTESTTEST";
/// And how that is proved.
pub const SECRET: &str = "test-secret-of-the-store";
/// The region that its requests must be signed for.
pub const REGION: &str = "eu-test-1";

/// A running server. Ends when it is dropped.
pub struct S3 {
    port: u16,
    folder: PathBuf,
    state: Arc<State>,
    _runtime: Runtime,
}

#[derive(Default)]
struct State {
    /// Every request gets a 503.
    out: AtomicBool,
    /// Seconds by which its clock is ahead.
    ahead: AtomicI64,
    requests: AtomicUsize,
    log: Mutex<BTreeMap<String, usize>>,
}

impl S3 {
    /// Starts one with an empty bucket.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("image_gen_s3_{}_{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join(BUCKET)).expect("a folder");
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(&folder).expect("a file system"));
        service.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let service = service.build();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state: Arc<State> = Arc::default();
        runtime.spawn(serve(listener, service, state.clone()));
        S3 { port, folder, state, _runtime: runtime }
    }

    /// What `image_gen.asset_store` is set to.
    pub fn address(&self) -> String {
        format!("s3://{BUCKET}/live?endpoint=http://127.0.0.1:{}&region={REGION}", self.port)
    }

    /// The environment of a server that may use it.
    pub fn env() -> [(String, String); 2] {
        [("AWS_ACCESS_KEY_ID".into(), KEY_ID.into()), ("AWS_SECRET_ACCESS_KEY".into(), SECRET.into())]
    }

    /// It is out, or back.
    pub fn out(&self, out: bool) {
        self.state.out.store(out, Ordering::SeqCst);
    }

    /// Its clock is so many seconds ahead.
    pub fn ahead(&self, seconds: i64) {
        self.state.ahead.store(seconds, Ordering::SeqCst);
    }

    /// How many requests it has seen.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// How many there were, by method and status.
    ///
    /// # Panics
    /// Never.
    pub fn log(&self) -> BTreeMap<String, usize> {
        self.state.log.lock().unwrap().clone()
    }

    /// All whole objects: their names in the bucket, and their bytes.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        files(&self.folder.join(BUCKET), &self.folder.join(BUCKET), &mut found);
        found
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The files below a folder, but for hidden ones.
pub fn files(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            files(root, &path, found);
        } else if let (Ok(inside), Ok(bytes)) = (path.strip_prefix(root), std::fs::read(&path)) {
            found.insert(inside.to_string_lossy().into_owned(), bytes);
        }
    }
}

async fn serve(listener: TcpListener, service: S3Service, state: Arc<State>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (service, state) = (service.clone(), state.clone());
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let (service, state) = (service.clone(), state.clone());
                async move {
                    let method = request.method().to_string();
                    state.requests.fetch_add(1, Ordering::SeqCst);
                    let response = match refused(&request, &state) {
                        Some((status, code)) => said(status, code),
                        None => match service.call(request.map(s3s::Body::from)).await {
                            Ok(response) => response,
                            Err(_) => said(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
                        },
                    };
                    let entry = format!("{method} {}", response.status().as_u16());
                    *state.log.lock().unwrap().entry(entry).or_default() += 1;
                    Ok::<_, Infallible>(response)
                }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            let _ = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}

fn said(status: StatusCode, code: &str) -> Response<s3s::Body> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
    let mut response = Response::new(s3s::Body::from(body));
    *response.status_mut() = status;
    response
}

/// What a real server refuses before it looks at the signature.
fn refused(request: &Request<Incoming>, state: &State) -> Option<(StatusCode, &'static str)> {
    if state.out.load(Ordering::SeqCst) {
        return Some((StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"));
    }
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let asked = |name: &str| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=').map(|v| v.replace("%2F", "/")))
    };
    let credential = match header("authorization") {
        Some(text) => text.split("Credential=").nth(1)?.split(',').next()?.to_owned(),
        None => asked("X-Amz-Credential")?,
    };
    if credential.split('/').nth(2) != Some(REGION) {
        return Some((StatusCode::BAD_REQUEST, "AuthorizationHeaderMalformed"));
    }
    let date = header("x-amz-date").map(str::to_owned).or_else(|| asked("X-Amz-Date"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs() as i64);
    let skew = now + state.ahead.load(Ordering::SeqCst) - seconds(&date)?;
    let presigned = header("authorization").is_none();
    (skew.abs() > 900 && !presigned).then_some((StatusCode::FORBIDDEN, "RequestTimeTooSkewed"))
}

/// `20261130T070000Z` in seconds since 1970.
fn seconds(date: &str) -> Option<i64> {
    let part = |from: usize, to: usize| date.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(9, 11)?, part(11, 13)?, part(13, 15)?);
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

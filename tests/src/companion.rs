//! The companion's program (`image-gen`), and clients of MCP that know the protocol and nothing else.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::stage::DATABASE;
use crate::{Stage, process};

/// The program, built from what is here now.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "-q", "-p", "image_gen_companion", "--message-format=json-render-diagnostics"]);
        let output = build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).output().expect("cargo");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let built = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let executable = built.filter_map(|one| one["executable"].as_str().map(PathBuf::from)).next_back();
        executable.expect("the program")
    })
}

/// The program as a login of a stage's database.
pub fn command(stage: &Stage, login: &str) -> Command {
    let mut command = Command::new(program());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("PGHOST", stage.cluster.socket_folder()).env("PGPORT", "5432");
    command.env("PGUSER", login).env("PGDATABASE", DATABASE);
    command
}

/// What the program says to these arguments.
pub fn run(stage: &Stage, login: &str, arguments: &[&str]) -> Output {
    command(stage, login).args(arguments).stdin(Stdio::null()).output().expect("the program")
}

/// What a client can do, beside calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Can {
    /// Nothing.
    Nothing,
    /// Ask its person, who says yes or no.
    Ask(bool),
    /// Follow tasks.
    Tasks,
}

impl Can {
    fn capabilities(self) -> Value {
        match self {
            Can::Nothing => json!({}),
            Can::Ask(_) => json!({"elicitation": {"form": {}}}),
            Can::Tasks => {
                json!({"extensions": {"io.modelcontextprotocol/tasks": {}}, "elicitation": {"form": {}}})
            }
        }
    }
}

/// The `_meta` of a request in the protocol of 2026.
pub fn meta(can: Can) -> Value {
    json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": can.capabilities(),
           "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"}})
}

/// A client at the other end of a pipe.
pub struct Pipe {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    can: Can,
    modern: bool,
    next: i64,
    /// The notifications so far.
    pub notified: Vec<Value>,
    /// What its person was asked so far.
    pub asked: Vec<Value>,
}

impl Pipe {
    /// A client that speaks the protocol of 2025: it is introduced first.
    pub fn open(stage: &Stage, login: &str, can: Can) -> Self {
        let mut pipe = Pipe::start(stage, login, can, false);
        let said = pipe.request("initialize", json!({"protocolVersion": "2025-11-25", "capabilities": can.capabilities(), "clientInfo": {"name": "test", "version": "1"}}));
        assert_eq!(said["protocolVersion"], "2025-11-25", "{said}");
        pipe.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        pipe
    }

    /// A client that speaks the protocol of 2026: each request says who it is.
    pub fn modern(stage: &Stage, login: &str, can: Can) -> Self {
        Pipe::start(stage, login, can, true)
    }

    fn start(stage: &Stage, login: &str, can: Can, modern: bool) -> Self {
        let mut command = command(stage, login);
        let mut child =
            command.arg("mcp").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Pipe { child, input, output, can, modern, next: 0, notified: vec![], asked: vec![] }
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input, "{message}").expect("it listens");
    }

    /// The whole answer to a request.
    ///
    /// # Panics
    /// When there is none.
    pub fn answer(&mut self, method: &str, mut params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        if self.modern {
            let mut said = meta(self.can);
            if let Some(more) = params["_meta"].as_object() {
                said.as_object_mut().expect("an object").extend(more.clone());
            }
            params["_meta"] = said;
        }
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let mut line = String::new();
            assert!(
                self.output.read_line(&mut line).expect("text") > 0,
                "{method}: the conversation has ended"
            );
            let message: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
            match (message.get("method").and_then(Value::as_str), message.get("id")) {
                (Some("elicitation/create"), Some(asked)) => {
                    self.asked.push(message["params"].clone());
                    let yes = self.can == Can::Ask(true);
                    let action = if yes { "accept" } else { "decline" };
                    let reply = json!({"jsonrpc": "2.0", "id": asked, "result": {"action": action, "content": {"confirm": yes}}});
                    self.send(&reply);
                }
                (Some(_), None) => self.notified.push(message),
                (None, Some(of)) if *of == id => return message,
                _ => panic!("not expected: {message}"),
            }
        }
    }

    /// The result of a request.
    ///
    /// # Panics
    /// When it is an error.
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params);
        answer.get("result").cloned().unwrap_or_else(|| panic!("{method}: {answer}"))
    }

    /// The result of a tool.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.request("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// The answer of a tool that must succeed.
    ///
    /// # Panics
    /// When it fails.
    pub fn done(&mut self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments);
        assert_ne!(result["isError"], true, "{tool}: {result}");
        result["structuredContent"].clone()
    }

    /// The code and the hint of a tool that must fail.
    ///
    /// # Panics
    /// When it succeeds.
    pub fn refused(&mut self, tool: &str, arguments: Value) -> (String, String) {
        let result = self.call(tool, arguments);
        assert_eq!(result["isError"], true, "{tool}: {result}");
        let error = &result["structuredContent"]["error"];
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        (text("code"), text("hint"))
    }

    /// Kills the server as a crash would.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it has ended");
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server over HTTP, gone when dropped.
pub struct Http {
    child: Child,
    address: SocketAddr,
    log: std::thread::JoinHandle<String>,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, in lower case.
    pub headers: String,
    /// The first cookie that was set: name=value.
    pub cookie: String,
    /// The body, out of its chunks.
    pub body: String,
}

impl Reply {
    /// The answer in it: the body itself, or the last event.
    ///
    /// # Panics
    /// When there is none.
    pub fn json(&self) -> Value {
        let mut events = self.body.lines().filter_map(|line| line.strip_prefix("data:"));
        let text = events.rfind(|line| line.contains("jsonrpc")).unwrap_or(&self.body);
        serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{self:?}: {e}"))
    }
}

impl Http {
    /// Starts `image-gen mcp --http`, or another server that says where it listens.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(stage: &Stage, login: &str, arguments: &[&str]) -> Self {
        let mut command = command(stage, login);
        command.args(arguments).args(["--listen", "127.0.0.1:0"]);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut log = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(said.read_line(&mut line).expect("text") > 0, "it does not listen: {log}");
            log.push_str(&line);
            if let Some(url) = line.trim().strip_prefix("listening on http://") {
                break url.split('/').next().and_then(|a| a.parse().ok()).expect("an address");
            }
        };
        let log = std::thread::spawn(move || {
            let _ = said.read_to_string(&mut log);
            log
        });
        Http { child, address, log }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request with these headers.
    ///
    /// # Panics
    /// When the connection breaks.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head.push_str(&format!("Host: {}\r\n", self.address));
        }
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).expect("it listens");
        let mut raw = vec![];
        stream.read_to_end(&mut raw).expect("an answer");
        let raw = String::from_utf8_lossy(&raw);
        let (head, body) = raw.split_once("\r\n\r\n").unwrap_or((&raw, ""));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let set = head.lines().find_map(|line| {
            line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        });
        let cookie = set.and_then(|(_, value)| value.split(';').next()).unwrap_or_default().to_owned();
        let headers = head.to_lowercase();
        let body = match headers.contains("transfer-encoding: chunked") {
            true => dechunked(body),
            false => body.to_owned(),
        };
        Reply { status, headers, cookie, body }
    }

    /// Sends a request of MCP with a token, as the protocol of 2026 has it.
    pub fn ask(
        &self,
        token: &str,
        can: Can,
        method: &str,
        mut params: Value,
        more: &[(&str, &str)],
    ) -> Reply {
        params["_meta"] = meta(can);
        let name = params["name"]
            .as_str()
            .or(params["uri"].as_str())
            .or(params["taskId"].as_str())
            .unwrap_or_default()
            .to_owned();
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let bearer = format!("Bearer {token}");
        let mut headers = vec![
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", method),
            ("Authorization", bearer.as_str()),
        ];
        if !name.is_empty() {
            headers.push(("Mcp-Name", &name));
        }
        headers.extend_from_slice(more);
        self.send("POST", "/mcp", &headers, &body)
    }

    /// The result of a tool.
    pub fn call(&self, token: &str, tool: &str, arguments: Value) -> Value {
        let reply =
            self.ask(token, Can::Nothing, "tools/call", json!({"name": tool, "arguments": arguments}), &[]);
        let answer = reply.json();
        answer.get("result").cloned().unwrap_or_else(|| panic!("{tool}: {reply:?}"))
    }

    /// Ends it, and gives what it has logged.
    pub fn stop(mut self) -> String {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        process::signal(pid, Signal::TERM);
        self.child.wait().expect("it has ended");
        let log = std::mem::replace(&mut self.log, std::thread::spawn(String::new));
        log.join().expect("its log")
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn dechunked(body: &str) -> String {
    let (mut rest, mut whole) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || !after.is_char_boundary(size.min(after.len())) {
            break;
        }
        let (chunk, after) = after.split_at(size.min(after.len()));
        whole.push_str(chunk);
        rest = after.trim_start_matches("\r\n");
    }
    whole
}

/// A token of a role, made by the program as an administrator.
pub fn token(stage: &Stage, role: &str, scopes: &str) -> String {
    let made = run(stage, "postgres", &["token", "create", "--for", role, "--scopes", scopes]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).expect("text").trim().to_owned()
}

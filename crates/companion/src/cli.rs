//! The command line. It is for people and scripts: a table or words, `--json` for programs, and an exit code by what went wrong.

pub mod images;
pub mod requests;
pub mod skill;
pub mod tokens;

use std::io::{IsTerminal, Write, stderr, stdout};
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use serde_json::{Value, json};

use crate::completions::Completions;
use crate::database::{Caller, Database};
use crate::fault::{Code, Fault};
use crate::mcp::{self, http};
use crate::statements;

const AFTER_HELP: &str = "Without --database the variables of libpq count: PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE.
Exit codes: 0 done; 1 to 12 what the database says (2 a wrong argument, 3 not found, 5 no room in a budget, 7 not allowed, 12 not reachable);
20 failed, 21 needs a person, 22 canceled, 23 not over yet, 24 refused by a safety filter, 25 too late. See docs/agents.md.";

/// Images as jobs inside PostgreSQL: for agents by MCP, and for shells.
#[derive(Debug, Parser)]
#[command(name = "image-gen", version, after_help = AFTER_HELP)]
pub struct Command {
    /// Connection string; without it the variables of libpq.
    #[arg(long, global = true, env = "IMAGE_GEN_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// Run as this role, of which the login is a member.
    #[arg(long, global = true)]
    role: Option<String>,
    /// Say it as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Log more.
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Serve agents: over standard input and output, or with --http over Streamable HTTP.
    Mcp(Mcp),
    /// Serve people: a web page.
    Console(Page),
    /// Make, list and revoke tokens for HTTP.
    #[command(subcommand)]
    Token(tokens::Token),
    /// Queue an image, wait for it, and save it.
    Generate(requests::Generate),
    /// Queue a change of an image, wait for it, and save it.
    Edit(requests::Edit),
    /// Wait for generations, and save their images.
    Wait(requests::Wait),
    /// Save the images of a generation, and open the first.
    Open(images::Open),
    /// Write the contact sheet of a campaign or a batch.
    Sheet(images::Sheet),
    /// What a generation would cost.
    Estimate(requests::Request),
    /// What may still be spent.
    Credits,
    /// What is wrong with the installation, and what to do about it.
    Doctor,
    /// The skill that teaches an agent to use this.
    #[command(subcommand)]
    Skill(skill::Skill),
    /// Write completions for a shell.
    Completions {
        /// Which.
        shell: clap_complete::Shell,
    },
    /// Write the manual page.
    Man,
}

/// How agents are served.
#[derive(Debug, Args)]
struct Mcp {
    /// Over Streamable HTTP, at /mcp.
    #[arg(long)]
    http: bool,
    /// Where.
    #[arg(long, default_value = "127.0.0.1:8901", requires = "http")]
    listen: SocketAddr,
    /// A name by which it may be called, besides localhost.
    #[arg(long, requires = "http")]
    allow_host: Vec<String>,
    /// The origin of a web page that may call it.
    #[arg(long, requires = "http")]
    allow_origin: Vec<String>,
    /// Another address than loopback is meant: a proxy with TLS is in front of it.
    #[arg(long, requires = "http")]
    public: bool,
    /// Requests of one token in a second; three times as many may come at once.
    #[arg(long, requires = "http", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Connections to the database at most.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=200))]
    connections: u16,
}

/// How people are served.
#[derive(Debug, Args)]
struct Page {
    /// Where.
    #[arg(long, default_value = "127.0.0.1:8902")]
    listen: SocketAddr,
    /// A name by which it may be called, besides localhost.
    #[arg(long)]
    allow_host: Vec<String>,
    /// Another address than loopback is meant: a proxy with TLS is in front of it.
    #[arg(long)]
    public: bool,
}

impl Command {
    /// How much is logged.
    pub fn log_level(&self) -> tracing::Level {
        match (&self.what, self.verbose) {
            (_, true) => tracing::Level::DEBUG,
            (What::Mcp(mcp), _) if mcp.http => tracing::Level::INFO,
            _ => tracing::Level::WARN,
        }
    }
}

/// Where the commands run, and for whom.
pub struct Session {
    /// The database.
    pub database: Database,
    /// On whose behalf.
    pub caller: Caller,
    /// Whether programs read it.
    pub json: bool,
}

impl Session {
    /// The answer of a tool.
    pub async fn tool(&self, name: &str, arguments: &Value) -> Result<Value, Fault> {
        let sql = statements::of_tool(name).unwrap_or_default();
        self.database.json(&self.caller, sql, &[arguments]).await
    }

    /// Waits for these jobs, with a bar on a terminal.
    pub async fn wait(&self, ids: &[String], limit: Duration) -> Result<(), Fault> {
        let completions = Completions::listen(self.database.config().clone());
        // Hidden where no one looks.
        let bar = indicatif::ProgressBar::new_spinner();
        bar.set_message(format!("waiting for {} of them", ids.len()));
        bar.enable_steady_tick(Duration::from_millis(120));
        let tell = |seconds: f64| bar.set_message(format!("rendering, {seconds:.0} s"));
        let waited = completions.wait(&self.database, &self.caller, ids, limit, tell).await;
        bar.finish_and_clear();
        waited
    }

    /// Writes an answer: as JSON, or as lines for people.
    pub fn say(&self, answer: &Value, lines: &[String]) -> Result<(), Fault> {
        let text = match self.json {
            true => answer.to_string(),
            false => lines.join("\n"),
        };
        write_out(format!("{text}\n").as_bytes())
    }
}

/// Writes to standard output; that no one reads any more is no fault.
pub fn write_out(bytes: &[u8]) -> Result<(), Fault> {
    match stdout().write_all(bytes).and_then(|()| stdout().flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Fault::new(Code::InvalidRequest, format!("the output cannot be written: {error}"), ""))
        }
        _ => Ok(()),
    }
}

/// Runs a command, says what went wrong, and gives the exit code.
pub async fn run(command: Command) -> u8 {
    let json = command.json;
    match obey(command).await {
        Ok(code) => code,
        Err(fault) => {
            let said = match json {
                true => fault.json().to_string(),
                false if fault.hint.is_empty() => format!("error: {}", fault.message),
                false => format!("error: {}\nhint: {}", fault.message, fault.hint),
            };
            // As people's terminals are: what a role has written is no command to them.
            let plain: String =
                said.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect();
            let _ = writeln!(stderr(), "{plain}");
            fault.code.exit()
        }
    }
}

async fn obey(command: Command) -> Result<u8, Fault> {
    let connections = match &command.what {
        What::Mcp(mcp) => mcp.connections.into(),
        What::Console(_) => 8,
        _ => 2,
    };
    match command.what {
        What::Skill(skill) => return skill::run(skill).map(|()| 0),
        What::Completions { shell } => {
            let mut written = vec![];
            clap_complete::generate(shell, &mut Command::command(), "image-gen", &mut written);
            return write_out(&written).map(|()| 0);
        }
        What::Man => {
            let mut written = vec![];
            clap_mangen::Man::new(Command::command())
                .render(&mut written)
                .map_err(|error| Fault::new(Code::InvalidRequest, error.to_string(), ""))?;
            return write_out(&written).map(|()| 0);
        }
        _ => {}
    }
    let session = Session {
        database: Database::new(command.database.as_deref(), connections)?,
        caller: Caller::of_role(command.role.clone()),
        json: command.json,
    };
    match command.what {
        What::Mcp(asked) => serve(session, asked).await.map(|()| 0),
        What::Console(asked) => open_console(session, asked).await.map(|()| 0),
        What::Token(token) => tokens::run(&session, token).await.map(|()| 0),
        What::Generate(asked) => requests::generate(&session, asked).await,
        What::Edit(asked) => requests::edit(&session, asked).await,
        What::Wait(asked) => requests::wait(&session, asked).await,
        What::Open(asked) => images::open(&session, asked).await.map(|()| 0),
        What::Sheet(asked) => images::sheet(&session, asked).await.map(|()| 0),
        What::Estimate(asked) => requests::estimate(&session, asked).await.map(|()| 0),
        What::Credits => credits(&session).await.map(|()| 0),
        What::Doctor => doctor(&session).await,
        What::Completions { .. } | What::Man | What::Skill(_) => Ok(0),
    }
}

async fn serve(session: Session, asked: Mcp) -> Result<(), Fault> {
    if !asked.http {
        if std::io::stdin().is_terminal() {
            tracing::warn!("an agent speaks to this, not a person: see docs/agents.md");
        }
        return mcp::serve_stdio(session.database, session.caller).await;
    }
    let door = http::Door {
        listen: asked.listen,
        hosts: asked.allow_host,
        origins: asked.allow_origin,
        public: asked.public,
        rate: asked.rate,
    };
    let told = |address: SocketAddr| {
        // What a script reads to know the port.
        let _ = writeln!(stderr(), "listening on http://{address}/mcp");
    };
    http::serve(mcp::Shared::new(session.database)?, door, told).await
}

async fn open_console(session: Session, asked: Page) -> Result<(), Fault> {
    let door = http::Door {
        listen: asked.listen,
        hosts: asked.allow_host,
        origins: vec![],
        public: asked.public,
        rate: 20,
    };
    let told = |address: SocketAddr| {
        let _ = writeln!(stderr(), "listening on http://{address}/");
    };
    crate::console::serve(session.database, door, told).await
}

async fn credits(session: &Session) -> Result<(), Fault> {
    let answer = session.tool("get_credits", &json!({})).await?;
    let amount = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        value => value.to_string(),
    };
    let mut lines = vec![match &answer["available"] {
        Value::Null => "available: no limit".to_owned(),
        some => format!("available: {some} USD"),
    }];
    lines.extend(answer["limits"].as_array().into_iter().flatten().map(|limit| {
        format!(
            "{}, {}: limit {}, spent {}, reserved {}, available {}",
            plain(&limit["scope"]),
            plain(&limit["period"]),
            amount(&limit["limit"]),
            amount(&limit["spent"]),
            amount(&limit["reserved"]),
            amount(&limit["available"])
        )
    }));
    session.say(&answer, &lines)
}

async fn doctor(session: &Session) -> Result<u8, Fault> {
    let there = "SELECT to_jsonb(EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.pronamespace = to_regnamespace('image_gen') AND p.proname = 'doctor'))";
    if session.database.json(&session.caller, there, &[]).await? != Value::Bool(true) {
        return Err(Fault::new(
            Code::NotSupported,
            "this version of the extension has no doctor()",
            "Update it: make install.",
        ));
    }
    let sql = "SELECT coalesce(jsonb_agg(to_jsonb(d)), '[]') FROM image_gen.doctor() AS d";
    let found = session.database.json(&session.caller, sql, &[]).await?;
    let rows = found.as_array().cloned().unwrap_or_default();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells = row.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
            cells.map(|(name, value)| format!("{name}: {}", plain(value))).collect::<Vec<_>>().join(", ")
        })
        .collect();
    session.say(&found, &lines)?;
    Ok(0)
}

/// A value as text, without what moves a terminal's cursor.
pub fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

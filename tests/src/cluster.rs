//! A PostgreSQL server of its own: its own data folder and socket, gone when dropped.

mod copies;

pub use copies::Copy;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use rustix::process::Signal;

use crate::process::{self, is_alive, kill9};
use crate::session::{Notices, Session};
use crate::template::{self, ServerUser, bindir, said};
use crate::wait::{eventually, secs, wait_until};

/// The key that the server of a test has for BFL.
pub const BFL_KEY: &str = "test-bfl-key";
/// The key that the server of a test has for OpenAI.
pub const OPENAI_KEY: &str = "test-openai-key";

/// What a cluster is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The library is in `shared_preload_libraries`.
    pub preload: bool,
    /// Writes reach the disk. Off is faster, and enough for everything but the loss of the machine.
    pub fsync: bool,
    /// More lines for postgresql.conf.
    pub conf: Vec<String>,
    /// The server's environment, besides PATH.
    pub env: Vec<(String, String)>,
    /// The settings `image_gen.allowed_provider_hosts` and `image_gen.allowed_image_hosts`.
    pub allowed_hosts: String,
    /// The soft limit of open files that the server is started with.
    pub open_files: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        let key = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Options {
            preload: true,
            fsync: false,
            conf: vec![],
            env: vec![key("BFL_API_KEY", BFL_KEY), key("OPENAI_API_KEY", OPENAI_KEY)],
            allowed_hosts: "127.0.0.1:*".into(),
            open_files: None,
        }
    }
}

impl Options {
    /// The defaults with a key for every provider that has keys, and these lines of postgresql.conf.
    pub fn all_keys(lines: &[&str]) -> Self {
        const OTHERS: [&str; 6] = [
            "STABILITY_API_KEY",
            "FAL_API_KEY",
            "REPLICATE_API_TOKEN",
            "OPENROUTER_API_KEY",
            "GEMINI_API_KEY",
            "IDEOGRAM_API_KEY",
        ];
        let mut options = Options::conf(lines);
        options.env.extend(OTHERS.map(|name| (name.to_owned(), format!("test-{}", name.to_lowercase()))));
        options
    }

    /// The defaults and these lines of postgresql.conf.
    pub fn conf(lines: &[&str]) -> Self {
        Options { conf: lines.iter().map(|l| (*l).to_owned()).collect(), ..Options::default() }
    }
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Waits until all sessions have ended.
    Smart,
    /// Ends all sessions.
    Fast,
    /// As a crash would.
    Immediate,
}

/// A server.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    open_files: Option<u64>,
    env: Vec<(String, String)>,
    postmaster: Mutex<Option<Child>>,
}

/// Folders of clusters are `PID-NUMBER` in here, by the process of the test.
fn base() -> PathBuf {
    std::env::temp_dir().join("image_gen_clusters")
}

impl Cluster {
    /// Starts a server.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(options: Options) -> Self {
        Cluster::with_data(options, |data| {
            said(Command::new("cp").args(["-a", "--reflink=auto"]).arg(template::data_folder()).arg(data));
        })
    }

    /// Starts a server with the data folder that `make` makes.
    fn with_data(options: Options, make: impl FnOnce(&Path)) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        fs::create_dir_all(base()).expect("a folder for temporary files");
        let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = base().join(name);
        ServerUser::get().make_folder(&folder);
        make(&folder.join("data"));
        let cluster = Cluster {
            folder,
            open_files: options.open_files,
            env: options.env.clone(),
            postmaster: Mutex::new(None),
        };
        cluster.configure(&configuration(&options, &cluster.folder));
        cluster.start_again();
        cluster
    }

    /// The folder of its socket: what libpq takes as the host.
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Adds lines to postgresql.conf. They hold after [`Cluster::reload`] or a restart.
    pub fn configure(&self, lines: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .open(self.data().join("postgresql.conf"))
            .expect("postgresql.conf");
        writeln!(file, "{lines}").expect("room on the disk");
    }

    /// Makes the server read its configuration again. It does so soon after.
    pub fn reload(&self) {
        process::signal(self.postmaster_pid(), Signal::HUP);
    }

    /// Starts the server again after it was stopped or killed.
    ///
    /// # Panics
    /// When it does not start within a minute.
    pub fn start_again(&self) {
        let (program, before) = match self.open_files {
            None => (bindir().join("postgres"), vec![]),
            Some(n) => {
                let server = bindir().join("postgres").display().to_string();
                (
                    PathBuf::from("/bin/sh"),
                    vec!["-c".into(), format!("ulimit -Sn {n}; exec \"$0\" \"$@\""), server],
                )
            }
        };
        let log =
            OpenOptions::new().create(true).append(true).open(self.folder.join("log")).expect("a log file");
        let mut command = ServerUser::get().command(program);
        command.args(before).arg("-D").arg(self.data()).envs(self.env.iter().cloned()).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(log);
        *self.lock() = Some(command.spawn().expect("the server starts"));
        eventually("the server starts", secs(60), || {
            let ended = self.lock().as_mut().and_then(|child| child.try_wait().expect("our own child"));
            assert!(ended.is_none(), "the server ended with {ended:?}:\n{}", self.log());
            self.try_connect("postgres", "postgres").ok()
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.postmaster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pid of the postmaster.
    ///
    /// # Panics
    /// While the server is stopped.
    pub fn postmaster_pid(&self) -> i32 {
        self.lock().as_ref().expect("the server runs").id() as i32
    }

    /// Stops the server, and says how long that took and how it ended.
    ///
    /// # Panics
    /// When it takes longer than a minute.
    pub fn stop(&self, mode: Mode) -> (Duration, ExitStatus) {
        let start = Instant::now();
        let signal = match mode {
            Mode::Smart => Signal::TERM,
            Mode::Fast => Signal::INT,
            Mode::Immediate => Signal::QUIT,
        };
        process::signal(self.postmaster_pid(), signal);
        let status = self.ended();
        (start.elapsed(), status)
    }

    /// Kills the postmaster, and nothing else of the server; gives the processes that it leaves behind. The server
    /// can start again when they have ended.
    pub fn kill_postmaster(&self) -> Vec<i32> {
        let pid = self.postmaster_pid();
        // Stopped first: a process it starts between the look and the kill would be missed, and holds the shared memory.
        process::signal(pid, Signal::STOP);
        wait_until("the postmaster has stopped", secs(10), || process::is_stopped(pid));
        let left = process::children(pid);
        kill9(pid);
        self.ended();
        left
    }

    /// Kills one process of the server, and waits until the server has recovered from that. It may have ended by itself.
    ///
    /// # Panics
    /// When it does not recover within half a minute.
    pub fn crash(&self, pid: i32) {
        let lets_in = || self.try_connect("postgres", "postgres").ok();
        let mut witness = eventually("the server lets in", secs(30), lets_in);
        if process::try_signal(pid, Signal::KILL) {
            wait_until("all sessions end", secs(10), || witness.try_rows("SELECT 1").is_err());
        }
        eventually("the server recovers", secs(30), lets_in);
    }

    fn ended(&self) -> ExitStatus {
        let status = eventually("the server ends", secs(60), || {
            self.lock().as_mut().and_then(|child| child.try_wait().expect("our own child"))
        });
        *self.lock() = None;
        status
    }

    /// Stops and starts the server.
    pub fn restart(&self, mode: Mode) {
        self.stop(mode);
        self.start_again();
    }

    /// A connection, or why there is none.
    pub fn try_connect(&self, user: &str, database: &str) -> Result<Session, postgres::Error> {
        let mut config = Client::configure();
        let application = std::thread::current().name().unwrap_or("test").to_owned();
        config.host_path(&self.folder).port(PORT).user(user).dbname(database).application_name(&application);
        let notices = Notices::default();
        let heard = notices.clone();
        config.notice_callback(move |notice| heard.push(notice.message()));
        config.connect(NoTls).map(|client| Session::new(client, notices))
    }

    /// A connection.
    ///
    /// # Panics
    /// When there is none.
    pub fn connect(&self, user: &str, database: &str) -> Session {
        self.try_connect(user, database)
            .unwrap_or_else(|e| panic!("{user} cannot connect to {database}: {e:?}"))
    }

    /// A connection of the superuser.
    pub fn admin(&self, database: &str) -> Session {
        self.connect("postgres", database)
    }

    /// All that the server has logged.
    pub fn log(&self) -> String {
        fs::read(self.folder.join("log"))
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .unwrap_or_default()
    }

    /// The pid of the worker of a database, if it has one.
    pub fn find_worker(&self, database: &str) -> Option<i32> {
        let mut admin = self.try_connect("postgres", "postgres").ok()?;
        let pid = admin.text(&format!(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'image_gen worker' AND datname = '{database}'
                AND application_name LIKE 'image_gen % epoch %'"
        ));
        pid.parse().ok()
    }

    /// Waits until the worker of a database is held, and gives the reason.
    pub fn held(&self, database: &str) -> String {
        let mut admin = self.admin(database);
        eventually("the worker is held", secs(20), || {
            let why = admin.text("SELECT fenced FROM image_gen.worker_status WHERE running");
            (!why.is_empty()).then_some(why)
        })
    }

    /// Waits until the worker of a database has looked for work, from beginning to end, after this call.
    pub fn worker_looks(&self, database: &str) {
        let mut admin = self.admin("postgres");
        let sql = format!(
            "SELECT query_start FROM pg_stat_activity WHERE backend_type = 'image_gen worker' AND datname = '{database}'"
        );
        // The first of them may have begun before.
        for _ in 0..3 {
            let seen = admin.text(&sql);
            wait_until("the worker looks", secs(20), || admin.text(&sql) != seen);
        }
    }

    /// The pid of the worker of a database: waits until it is ready.
    pub fn worker_pid(&self, database: &str) -> i32 {
        eventually("a worker", secs(20), || self.find_worker(database))
    }
}

/// Only the name of a socket: the server does not listen on the network.
const PORT: u16 = 5432;

fn configuration(options: &Options, folder: &Path) -> String {
    let switch = |on| if on { "on" } else { "off" };
    let mut lines = vec![
        "listen_addresses = ''".to_owned(),
        format!("port = {PORT}"),
        format!("unix_socket_directories = '{}'", folder.display()),
        format!("fsync = {}", switch(options.fsync)),
        "shared_buffers = '16MB'".into(),
        "max_connections = 60".into(),
        "max_prepared_transactions = 5".into(),
        "log_line_prefix = '%m [%p] %b '".into(),
        format!("shared_preload_libraries = '{}'", if options.preload { "image_gen" } else { "" }),
        format!("image_gen.allowed_provider_hosts = '{}'", options.allowed_hosts),
        format!("image_gen.allowed_image_hosts = '{}'", options.allowed_hosts),
    ];
    lines.extend(options.conf.iter().cloned());
    lines.join("\n")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "--- end of the server's log\n{}\n---",
                lines[lines.len().saturating_sub(40)..].join("\n")
            );
        }
        if let Some(mut child) = self.lock().take() {
            // Nothing may panic here: this also runs when a test has failed.
            let running = |child: &mut Child| child.try_wait().is_ok_and(|ended| ended.is_none());
            let start = Instant::now();
            if running(&mut child) {
                process::try_signal(child.id() as i32, Signal::QUIT);
            }
            while running(&mut child) {
                if start.elapsed() > secs(10) {
                    let _ = child.kill();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        // A process of the server that is still ending may write once more.
        if fs::remove_dir_all(&self.folder).is_err() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Ends servers and removes folders that a killed test run has left behind.
fn sweep() {
    for entry in fs::read_dir(base()).into_iter().flatten().flatten() {
        let folder = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner: Option<i32> = name.split('-').next().and_then(|pid| pid.parse().ok());
        if owner.is_none_or(is_alive) {
            continue;
        }
        let pid_file = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
        let pid: Option<i32> = pid_file.lines().next().and_then(|pid| pid.parse().ok());
        let ours = |pid: &i32| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(&*folder.to_string_lossy())
        };
        if let Some(pid) = pid.filter(ours) {
            process::signal(pid, Signal::QUIT);
            wait_until("an abandoned server ends", secs(20), || !is_alive(pid));
        }
        let _ = fs::remove_dir_all(folder);
    }
}

/// Gives a file, or whatever is there, to the user that servers run as.
pub fn give_to_server(path: &Path) {
    ServerUser::get().own(path);
}

/// Writes a file that only the server can read, with this mode.
///
/// # Panics
/// When that fails.
pub fn write_private(path: &Path, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let mut file = File::create(path).expect("a new file");
    file.set_permissions(fs::Permissions::from_mode(mode)).expect("our own file");
    file.write_all(text.as_bytes()).expect("room on the disk");
    ServerUser::get().own(path);
}

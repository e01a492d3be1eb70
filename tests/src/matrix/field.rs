//! A server whose worker can be held at named places, and the jobs on it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io};

use serde_json::json;

use crate::process::{descriptors, memory_kb};
use crate::session::Session;
use crate::stage::{DATABASE, Stage};
use crate::template::ServerUser;
use crate::wait::{eventually, secs, wait_until};
use crate::{Options, Sim};

/// How a provider answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// With the image.
    Sync,
    /// With an id to ask for.
    Poll,
    /// With an id that we chose.
    Ours,
    /// It is not sent anywhere.
    Here,
}

/// A kind of provider.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The id of the provider.
    pub name: &'static str,
    /// The rest of the arguments of a job that goes to it and nowhere else.
    pub arguments: &'static str,
    /// How it answers.
    pub manner: Manner,
    /// It has a safety filter.
    pub refuses: bool,
    /// It takes an image.
    pub edits: bool,
}

impl Kind {
    /// The argument that names the model.
    pub fn model(&self) -> &'static str {
        self.arguments.split(", ").next().unwrap_or_default()
    }
}

const fn kind(name: &'static str, arguments: &'static str, manner: Manner, refuses: bool) -> Kind {
    Kind { name, arguments, manner, refuses, edits: false }
}

const fn edits(kind: Kind) -> Kind {
    Kind { edits: true, ..kind }
}

/// Each kind of provider.
pub const KINDS: [Kind; 7] = [
    edits(kind("openai", "model => 'openai:gpt-image-2'", Manner::Sync, true)),
    edits(kind("a1111", "model => 'a1111:sd-local', width => 256, height => 256", Manner::Sync, false)),
    kind("bfl", "model => 'bfl:flux-1.1-pro', width => 256, height => 256", Manner::Poll, true),
    kind("fal", "model => 'fal:flux-schnell', width => 512, height => 512", Manner::Poll, true),
    kind("replicate", "model => 'replicate:flux-schnell'", Manner::Poll, true),
    edits(kind("comfyui", "model => 'comfyui:sd-xl-base', width => 256, height => 256", Manner::Ours, false)),
    kind("preview", "model => 'preview:preview', width => 64, height => 64", Manner::Here, false),
];

/// A stage on which everything can be killed.
pub struct Field {
    /// The server and the providers.
    pub stage: Stage,
    folder: PathBuf,
    /// Descriptors of the postmaster and of a worker that has done nothing yet, and that one's memory in kB.
    start: (usize, usize, u64),
}

impl Field {
    /// A server with keys for all providers, whose images take `seconds`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(seconds: f64, conf: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("image_gen_pause_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        ServerUser::get().make_folder(&folder);
        let pause = format!("image_gen.pause_points = '{}'", folder.display());
        // Crashes in a row are all that happens here.
        let quick = "image_gen.max_restart_pause = 0";
        let lines: Vec<&str> = [pause.as_str(), "image_gen.rescan_interval = '1s'", quick]
            .into_iter()
            .chain(conf.iter().copied())
            .collect();
        let stage = Stage::with(Options::all_keys(&lines));
        stage.sim.configure(&json!({"render_seconds": seconds}));
        stage.admin().run(&format!(
            "UPDATE image_gen.models SET typical_seconds = {seconds};
             UPDATE image_gen.providers SET enabled = true;
             SELECT image_gen.set_budget('workspace', NULL, 1000000)"
        ));
        let start = weight(&stage);
        Field { stage, folder, start }
    }

    /// A process that comes to this place from now on is held there.
    ///
    /// # Panics
    /// Without room on the disk.
    pub fn hold(&self, place: &str) {
        fs::write(self.folder.join(format!("{place}.hold")), "").expect("room on the disk");
    }

    /// Those who are held at this place go on.
    pub fn release(&self, place: &str) {
        gone_is_fine(fs::remove_file(self.folder.join(format!("{place}.hold"))));
    }

    /// This job is the death of the worker that brings it to this place.
    ///
    /// # Panics
    /// Without room on the disk.
    pub fn poison(&self, place: &str, job: &str) {
        fs::write(self.folder.join(format!("{place}.poison.{job}")), "").expect("room on the disk");
    }

    /// It is so no longer.
    pub fn cure(&self, place: &str, job: &str) {
        gone_is_fine(fs::remove_file(self.folder.join(format!("{place}.poison.{job}"))));
    }

    /// No process is held any more, and the providers are themselves again.
    pub fn let_go(&self) {
        self.stage.sim.clear_rules();
        for file in self.files().filter(|name| name.ends_with(".hold")) {
            gone_is_fine(fs::remove_file(self.folder.join(file)));
        }
    }

    /// Forgets who came to which place.
    pub fn forget_places(&self) {
        self.files().for_each(|name| gone_is_fine(fs::remove_file(self.folder.join(name))));
    }

    /// Forgets which jobs came to which place. Those that are held stay so.
    pub fn forget_reached(&self) {
        let reached = self.files().filter(|name| name.contains(".reached."));
        reached.for_each(|name| gone_is_fine(fs::remove_file(self.folder.join(name))));
    }

    /// The jobs that came to this place.
    pub fn reached(&self, place: &str) -> Vec<String> {
        let prefix = format!("{place}.reached.");
        self.files().filter_map(|name| name.strip_prefix(&prefix).map(str::to_owned)).collect()
    }

    /// Waits until all these jobs are held at this place.
    ///
    /// # Panics
    /// When they do not come there.
    pub fn all_reach(&self, place: &str, jobs: &[String]) {
        wait_until(&format!("{} jobs come to {place}", jobs.len()), secs(20), || {
            let reached = self.reached(place);
            jobs.iter().all(|job| reached.contains(job))
        });
    }

    /// The main thread is held inside a transaction.
    pub fn holds_transaction(&self) -> bool {
        self.files().any(|name| name.starts_with("flush_") && name.ends_with(".hold"))
    }

    fn files(&self) -> impl Iterator<Item = String> + use<> {
        let all = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        all.map(|file| file.file_name().to_string_lossy().into_owned())
    }

    /// A connection, as soon as the server lets in.
    pub fn connect(&self, user: &str) -> Session {
        eventually("the server lets in", secs(60), || self.stage.cluster.try_connect(user, DATABASE).ok())
    }

    /// The pid of the worker, whatever it is at.
    pub fn any_worker(&self) -> Option<i32> {
        let mut admin = self.stage.cluster.try_connect("postgres", "postgres").ok()?;
        let workers = format!(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'image_gen worker' AND datname = '{DATABASE}'"
        );
        admin.try_rows(&workers).ok()?.first()?.first()?.parse().ok()
    }

    /// The simulator.
    pub fn sim(&self) -> &Sim {
        &self.stage.sim
    }

    /// What is left behind when all jobs have ended: locks, transactions, descriptors, memory.
    ///
    /// # Panics
    /// When the server is down.
    pub fn leaks(&self) -> Vec<String> {
        let worker = self.stage.worker();
        let mut admin = self.connect("postgres");
        let mut left = vec![];
        let queries = [
            ("rows in the queue", "SELECT count(*) FROM image_gen_internal.queue".to_owned()),
            ("rows in waits", "SELECT count(*) FROM image_gen_internal.job_dependencies".to_owned()),
            ("locks of the worker", format!("SELECT count(*) FROM pg_locks WHERE pid = {worker}")),
            (
                "open transactions of the worker",
                format!(
                    "SELECT count(*) FROM pg_stat_activity
                      WHERE pid = {worker} AND (state LIKE 'idle in%' OR xact_start IS NOT NULL)"
                ),
            ),
            (
                "more workers than one",
                format!(
                    "SELECT count(*) - 1 FROM pg_stat_activity
                      WHERE backend_type = 'image_gen worker' AND datname = '{DATABASE}'"
                ),
            ),
            (
                "prepared transactions, or replication slots",
                "SELECT (SELECT count(*) FROM pg_prepared_xacts) + (SELECT count(*) FROM pg_replication_slots)"
                    .into(),
            ),
        ];
        for (what, query) in queries {
            // A transaction that is just open may be a look for work.
            let mut count = 1;
            for _ in 0..100 {
                count = admin.number(&query);
                if count == 0 {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            if count != 0 {
                left.push(format!("{count} {what}"));
            }
        }
        let (before, now) = (self.start, weight(&self.stage));
        // Connections to seven providers are kept open, some for each that was busy at once.
        if now.0 > before.0 + 8 || now.1 > before.1 + 200 || now.2 > before.2 + 100_000 {
            left.push(format!(
                "(descriptors of the postmaster, of the worker, kB of the worker): {before:?} became {now:?}"
            ));
        }
        left
    }
}

fn weight(stage: &Stage) -> (usize, usize, u64) {
    let worker = stage.worker();
    (descriptors(stage.cluster.postmaster_pid()), descriptors(worker), memory_kb(worker).0)
}

/// Two may clear up at a time.
fn gone_is_fine(removed: io::Result<()>) {
    match removed {
        Ok(()) => {}
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => panic!("a file of our own cannot be removed: {why}"),
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

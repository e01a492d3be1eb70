//! The simulator of the providers, in this process, and its ledger.

use std::net::TcpStream;
use std::sync::Arc;

use image_gen_simulator::{Config, Rule, Simulator, Totals};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

use tokio::runtime::{Builder, Runtime};

use crate::wait::{secs, wait_until};

/// A running simulator, on threads of its own.
pub struct Sim {
    simulator: Simulator,
    // Last: it must outlive the simulator.
    runtime: Arc<Runtime>,
}

impl Sim {
    /// Starts one whose images take 0.2 s.
    pub fn start() -> Self {
        raise_file_limit();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        Sim::on(Arc::new(runtime))
    }

    /// Starts another one, with rules and a ledger of its own, on the same threads.
    pub fn another(&self) -> Self {
        Sim::on(self.runtime.clone())
    }

    fn on(runtime: Arc<Runtime>) -> Self {
        let simulator = runtime.block_on(Simulator::start(Config::default())).expect("a free port");
        Sim { simulator, runtime }
    }

    /// The base URL of Black Forest Labs.
    pub fn bfl(&self) -> String {
        format!("{}/bfl", self.simulator.url())
    }

    /// The base URL of OpenAI.
    pub fn openai(&self) -> String {
        format!("{}/openai/v1", self.simulator.url())
    }

    /// All providers that it plays, each with its base URL.
    pub fn providers(&self) -> Vec<(&'static str, String)> {
        const PATHS: [(&str, &str); 10] = [
            ("a1111", "/a1111"),
            ("bfl", "/bfl"),
            ("comfyui", "/comfyui"),
            ("fal", "/fal"),
            ("google", "/google/v1beta"),
            ("ideogram", "/ideogram"),
            ("openai", "/openai/v1"),
            ("openrouter", "/openrouter/api/v1"),
            ("replicate", "/replicate/v1"),
            ("stability", "/stability"),
        ];
        PATHS.map(|(id, path)| (id, format!("{}{path}", self.simulator.url()))).to_vec()
    }

    /// Changes the configuration by a JSON merge patch.
    ///
    /// # Panics
    /// When the patch makes no sense.
    pub fn configure(&self, patch: &Value) {
        self.simulator.set_config(self.simulator.config().merged(patch).expect("a configuration"));
    }

    /// Lets something go wrong, see the simulator's documentation.
    ///
    /// # Panics
    /// When the rule makes no sense.
    pub fn rule(&self, rule: Value) -> u64 {
        self.simulator.add_rule(serde_json::from_value::<Rule>(rule).expect("a rule"))
    }

    /// Nothing goes wrong any more.
    pub fn clear_rules(&self) {
        self.simulator.clear_rules();
    }

    /// Cuts the providers off from the network, or lets them back.
    ///
    /// # Panics
    /// When it does not come to that.
    pub fn cut_off(&self, cut: bool) {
        self.simulator.cut_off(cut);
        wait_until("the network changes", secs(20), || {
            TcpStream::connect(self.simulator.address()).is_err() == cut
        });
    }

    /// The providers forget what they have accepted.
    pub fn lose_state(&self) {
        self.simulator.lose_state();
    }

    /// What happened so far and what it cost.
    pub fn totals(&self) -> Totals {
        self.simulator.totals()
    }

    /// How many submissions arrived.
    pub fn submits(&self) -> u64 {
        self.totals().all.submits
    }

    /// What all of them cost, in USD.
    pub fn billed(&self) -> String {
        self.totals().all.billed.to_string()
    }

    /// All requests, oldest first.
    pub fn entries(&self) -> Vec<Value> {
        self.simulator.entries()
    }

    /// The submissions whose prompt contains this text, oldest first.
    pub fn submits_of(&self, prompt: &str) -> Vec<Value> {
        let wanted =
            |e: &Value| e["phase"] == "submit" && e["prompt"].as_str().is_some_and(|p| p.contains(prompt));
        self.entries().into_iter().filter(wanted).collect()
    }

    /// What the submissions whose prompt contains this text cost: `(how many are billed, their sum in micro-USD)`.
    pub fn billed_of(&self, prompt: &str) -> (usize, i64) {
        let prices: Vec<i64> =
            self.submits_of(prompt).iter().filter_map(|e| e["billed"].as_str()).map(micros).collect();
        (prices.len(), prices.iter().sum())
    }
}

/// A decimal amount as millionths; an empty text is `i64::MIN`, so that unknown never equals zero.
///
/// # Panics
/// When it is no amount.
pub fn micros(amount: &str) -> i64 {
    if amount.is_empty() {
        return i64::MIN;
    }
    let (whole, part) = amount.split_once('.').unwrap_or((amount, ""));
    let part = format!("{part:0<6}");
    assert!(part.len() == 6 || part[6..].bytes().all(|b| b == b'0'), "{amount} is finer than a millionth");
    format!("{whole}{}", &part[..6]).parse().expect("an amount")
}

/// A thousand tasks need more than a thousand sockets.
fn raise_file_limit() {
    let now = getrlimit(Resource::Nofile);
    // A refusal means that it is as high as it can be.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
}

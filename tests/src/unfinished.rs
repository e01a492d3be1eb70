//! One job in each state before its end, and how each of them must end in another place.

use serde_json::json;

use crate::cluster::{Cluster, Options};
use crate::sim::Sim;
use crate::stage::{DATABASE, Stage, check_money};

/// The ids of the jobs.
#[derive(Debug)]
pub struct Unfinished {
    /// Accepted by the provider: there is a remote id.
    pub accepted: String,
    /// Sent, and what became of it is unknown.
    pub unknown: String,
    /// Not sent: its provider has no place for it.
    pub unsent: String,
    /// Waits for the image of the accepted one.
    pub waiting: String,
}

/// Settings with which a worker looks often.
pub fn watchful() -> Options {
    Options::conf(&["image_gen.rescan_interval = '100ms'"])
}

impl Unfinished {
    /// Queues them, and waits until each is where it should be.
    pub fn queue(stage: &Stage) -> Self {
        stage.sim.configure(&json!({"render_seconds": 4.0}));
        stage.sim.rule(json!({"phase": "submit", "prompt_contains": "unknown", "times": 1, "fault": "hang"}));
        stage.admin().run("UPDATE image_gen.providers SET max_in_flight = 2 WHERE id = 'bfl'");
        let mut alice = stage.alice();
        let accepted = alice.generate("accepted");
        stage.accepted(1);
        let unknown = alice.generate("unknown");
        stage.submitted(2);
        let unsent = alice.generate("unsent");
        let waiting = alice.text(&format!("SELECT id FROM image_gen.edit('job:{accepted}', 'waiting')"));
        Unfinished { accepted, unknown, unsent, waiting }
    }

    /// A server that holds a copy of them does nothing for itself: jobs can be queued and canceled, and no provider is called.
    ///
    /// # Panics
    /// Otherwise.
    pub fn are_held(&self, cluster: &Cluster, sim: &Sim, says: &str) {
        let why = cluster.held(DATABASE);
        assert!(why.contains(says), "{why}");
        sim.clear_rules();
        let before = sim.totals().all.requests;
        let mut alice = cluster.connect("alice", DATABASE);
        let [id, warnings] =
            alice.rows("SELECT id, warnings FROM image_gen.generate('held')").remove(0).try_into().unwrap();
        assert!(warnings.contains(r#""code": "fenced""#), "{warnings}");
        cluster.worker_looks(DATABASE);
        assert_eq!(alice.job(&id).status, "queued");
        alice.run(&format!("SELECT image_gen.cancel('{id}')"));
        assert_eq!(alice.job(&id).status, "canceled");
        assert_eq!(alice.sqlstate("SELECT image_gen.resume()"), "42501");
        assert_eq!(sim.totals().all.requests, before, "a provider was called");
        crate::wait_until("the log says so", crate::wait::secs(15), || {
            cluster.log().contains("paid work is fenced off")
        });
    }

    /// After `resume()` each of them ends as it must, and none was sent twice.
    ///
    /// # Panics
    /// Otherwise.
    pub fn end_once(&self, cluster: &Cluster, sim: &Sim) {
        let counts =
            cluster.admin(DATABASE).rows("SELECT requeued + followed, ended FROM image_gen.resume('tested')");
        assert_eq!(counts, [["3", "1"]]);
        let mut alice = cluster.connect("alice", DATABASE);
        alice.all_succeed(&[self.accepted.clone(), self.unsent.clone(), self.waiting.clone()]);
        let job = alice.done(&self.unknown);
        assert_eq!((job.status.as_str(), job.error_code.as_str()), ("needs_review", "uncertain"), "{job:?}");
        for prompt in ["accepted", "unknown", "unsent", "waiting"] {
            assert_eq!(sim.submits_of(prompt).len(), 1, "{prompt}");
        }
        assert_eq!(cluster.admin(DATABASE).text("SELECT fenced FROM image_gen.worker_status"), "");
        assert_eq!(cluster.admin(DATABASE).number("SELECT count(*) FROM image_gen_internal.queue"), 0);
        check_money(cluster);
    }
}

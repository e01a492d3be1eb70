//! A server with the extension, a simulator in place of its providers, and two ordinary users.

use std::time::Duration;

use crate::cluster::{Cluster, Options};
use crate::session::Session;
use crate::sim::Sim;
use crate::wait::{secs, wait_until};

/// The database of a stage.
pub const DATABASE: &str = "shop";

/// A server with the extension in the database `shop`, whose providers are the simulator.
pub struct Stage {
    /// The server.
    pub cluster: Cluster,
    /// The providers. Ends after the server, so that the server never sees them go.
    pub sim: Sim,
}

impl Stage {
    /// A stage with the default options.
    pub fn start() -> Self {
        Stage::with(Options::default())
    }

    /// A stage whose server has these lines in postgresql.conf.
    pub fn conf(lines: &[&str]) -> Self {
        Stage::with(Options::conf(lines))
    }

    /// A stage with these options.
    pub fn with(options: Options) -> Self {
        let stage = Stage { cluster: Cluster::start(options), sim: Sim::start() };
        let mut admin = stage.cluster.admin("postgres");
        for user in ["alice", "bob", "mallory"] {
            admin.run(&format!("CREATE ROLE {user} LOGIN"));
        }
        admin.run(&format!("CREATE DATABASE {DATABASE}"));
        stage.install(DATABASE);
        admin.run("GRANT image_gen_user TO alice, bob");
        stage
    }

    /// Creates the extension in a database, with the simulator as its providers.
    pub fn install(&self, database: &str) {
        self.cluster.admin(database).run("CREATE EXTENSION image_gen");
        self.aim(database);
    }

    /// Points a database's providers at the simulator, and expects images after 0.2 s.
    pub fn aim(&self, database: &str) {
        let mut admin = self.cluster.admin(database);
        for (provider, url) in self.sim.providers() {
            admin.run(&format!("UPDATE image_gen.providers SET base_url = '{url}' WHERE id = '{provider}'"));
        }
        admin.run("UPDATE image_gen.models SET typical_seconds = 0.2");
    }

    /// A connection of a user to the stage's database.
    pub fn connect(&self, user: &str) -> Session {
        self.cluster.connect(user, DATABASE)
    }

    /// A connection of the ordinary user alice.
    pub fn alice(&self) -> Session {
        self.connect("alice")
    }

    /// A connection of the ordinary user bob.
    pub fn bob(&self) -> Session {
        self.connect("bob")
    }

    /// A connection of the superuser.
    pub fn admin(&self) -> Session {
        self.connect("postgres")
    }

    /// The pid of the worker: waits until it is ready.
    pub fn worker(&self) -> i32 {
        self.cluster.worker_pid(DATABASE)
    }

    /// Waits until this many submissions have arrived.
    pub fn submitted(&self, n: u64) -> Duration {
        wait_until(&format!("{n} submissions"), secs(20), || self.sim.submits() >= n)
    }

    /// Waits until this many tasks are accepted and their remote ids are committed.
    pub fn accepted(&self, n: i64) -> Duration {
        let mut admin = self.admin();
        wait_until(&format!("{n} committed remote ids"), secs(20), || {
            admin.number("SELECT count(*) FROM image_gen.attempts WHERE remote_id IS NOT NULL") >= n
        })
    }

    /// Queues a job, waits for its image, and so proves that the worker has passed everything before it.
    pub fn sentinel(&self) {
        let mut alice = self.alice();
        let id = alice.generate("sentinel");
        alice.all_succeed(&[id]);
    }

    /// Fails unless, in every job, the cost is the sum over its attempts and over its assets, and no row contradicts itself.
    pub fn check_money(&self) {
        check_money(&self.cluster);
    }
}

/// Fails unless, in every job of this server's stage, the cost is the sum over its attempts and over its assets, and no row
/// contradicts itself.
///
/// # Panics
/// Then.
pub fn check_money(cluster: &Cluster) {
    let wrong = cluster.admin(DATABASE).rows(
            "SELECT j.id, j.status, j.billed_cost, j.known_cost, a.total, c.total
               FROM image_gen.jobs j
               LEFT JOIN (SELECT job_id, sum(billed_cost) AS total, bool_or(billed_cost IS NULL) AS unknown FROM image_gen.attempts GROUP BY 1) a ON a.job_id = j.id
               LEFT JOIN (SELECT job_id, sum(known_cost) AS total, sum(billed_cost) AS billed FROM image_gen.campaign_assets GROUP BY 1) c ON c.job_id = j.id
              WHERE j.finished_at IS NOT NULL
                AND (j.known_cost IS DISTINCT FROM a.total OR j.billed_cost IS DISTINCT FROM CASE WHEN NOT a.unknown THEN a.total END
                     OR j.status = 'succeeded' AND (j.known_cost IS DISTINCT FROM c.total OR j.billed_cost IS DISTINCT FROM c.billed))",
        );
    assert!(wrong.is_empty(), "job, attempts and assets disagree about the cost: {wrong:?}");
    // What triggers hold of updates is so of all rows.
    let wrong = cluster.admin(DATABASE).rows(
        "SELECT j.id, j.status, j.finished_at, j.error_code FROM image_gen.jobs j
          WHERE (j.finished_at IS NULL) <> (j.status IN ('queued', 'running'))
             OR (j.error_code IS NULL) <> (j.status IN ('queued', 'running', 'succeeded'))
         UNION ALL
         SELECT q.job_id, q.state, NULL, NULL FROM image_gen_internal.queue q WHERE (q.state = 'running') <> (q.epoch IS NOT NULL)",
    );
    assert!(wrong.is_empty(), "rows contradict themselves: {wrong:?}");
}

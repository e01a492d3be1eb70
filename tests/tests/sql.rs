//! Golden SQL tests (`golden/`, run by `pg_regress`) and two-session tests (`isolation/`, run by `pg_isolation_regress`).
//!
//! Their server has no worker, so that nothing happens but what the tests do: the library is not preloaded and there
//! is no room for background processes.
//!
//! After a wanted change of an answer or of the schema:
//! `UPDATE_EXPECT=1 cargo test -p image_gen_tests --test sql`, then read the diff.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image_gen_tests::{Cluster, Options};

/// In this order, in one database: the first creates the extension.
const GOLDEN: [&str; 13] = [
    "install",
    "schema_lock",
    "comments",
    "generate_errors",
    "generate",
    "operations",
    "decide",
    "prompts",
    "styles",
    "story",
    "money",
    "state_machine",
    "tools",
];

const ISOLATION: [&str; 9] = [
    "claim_claim",
    "cancel_claim",
    "cancel_journal",
    "idempotency",
    "epoch_journal",
    "late_commit",
    "review_claim",
    "wait_close",
    "rerun_rerun",
];

#[test]
fn sql_answers_as_written_down() {
    let suite = Suite::start("golden", "regress/pg_regress");
    // It makes the database of this name itself, with the settings that its answers depend on.
    suite.run(&GOLDEN, &["--dbname=golden", "--encoding=UTF8", "--no-locale"]);
}

#[test]
fn two_sessions_get_on_with_each_other() {
    let suite = Suite::start("isolation", "isolation/pg_isolation_regress");
    suite.cluster.admin("postgres").run("CREATE DATABASE isolation");
    let mut admin = suite.cluster.admin("isolation");
    admin.run("CREATE EXTENSION image_gen");
    for setup in ["../sql/worker.sql", "setup.sql"] {
        admin.run(&fs::read_to_string(suite.input.join(setup)).unwrap());
    }
    drop(admin);
    suite.run(&ISOLATION, &["--use-existing", "--dbname=isolation"]);
}

#[test]
fn a_dump_can_be_restored() {
    // N5, P16: what users and administrators have written comes back, and nothing stands in its way.
    let cluster = without_worker();
    let mut admin = cluster.admin("postgres");
    admin.run("CREATE DATABASE old");
    admin.run("CREATE DATABASE new");
    let mut old = cluster.admin("old");
    old.run("CREATE EXTENSION image_gen");
    old.run(
        "UPDATE image_gen.providers SET base_url = 'https://bfl.example', enabled = false WHERE id = 'bfl'",
    );
    old.run("INSERT INTO image_gen.providers (id, kind) VALUES ('studio', 'openai')");
    old.run("INSERT INTO image_gen.prices (provider_kind, model, unit, amount) VALUES ('bfl', 'flux-2-pro', 'image', 0.03)");
    old.run(
        "INSERT INTO image_gen.models (name, provider_kind, remote_name, sizes) VALUES ('house-1', 'bfl', 'x', '{\"fixed\": [[512, 512]]}');
         INSERT INTO image_gen.refusal_steps (step, action, model) VALUES (2, 'switch_model', 'house-1');
         INSERT INTO image_gen.model_rules (position, rule, draft, models, reason) VALUES (5, 'house', true, '{house-1}', 'ours');
         INSERT INTO image_gen.rewrite_rules (position, pattern, replacement) VALUES (1, 'Acme', 'a brand');
         UPDATE image_gen.rewrite_rules SET enabled = false WHERE position = 50;
         UPDATE image_gen.palettes SET enabled = false WHERE position = 20;
         INSERT INTO image_gen.lint_rules (position, rule, pattern, message) VALUES (20, 'house', 'acme', 'write ACME');
         SELECT image_gen.set_style('acme', suffix => 'soft light', models => '{flux-2-pro}');
         SELECT image_gen.create_character('mira', 'a girl with red braids');
         INSERT INTO image_gen.request_rules (position, rule, pattern, operation, reason) VALUES (1, 'ours', 'banner', 'generate', 'ours')",
    );
    let kept = old.generate_with("prompt => 'kept', model => 'preview', idempotency_key => 'k'");
    old.run(&format!("SELECT image_gen.edit('job:{kept}', 'waits for it')"));
    let reviewed = old.generate_with("prompt => 'reviewed', model => 'preview'");
    old.run(&format!(
        "SELECT image_gen_internal.close_job('{reviewed}', 'needs_review', 'uncertain', 'who knows');
         DELETE FROM image_gen_internal.queue WHERE job_id = '{reviewed}';
         SELECT image_gen.claim_review()"
    ));

    let shown = old.generate_with("prompt => 'shown', model => 'preview'");
    old.run(&format!(
        "UPDATE image_gen.jobs SET status = 'succeeded', finished_at = now() WHERE id = '{shown}';
         INSERT INTO image_gen.campaign_assets (job_id, position, url, provider, model, seed, prompt, cost_source, owner)
         SELECT j.id, p, 'https://x.example/' || p, 'preview', 'preview', 1, 'x', 'unknown', j.owner FROM image_gen.jobs j, generate_series(1, 2) p WHERE j.id = '{shown}';
         DELETE FROM image_gen_internal.queue WHERE job_id = '{shown}';
         SELECT image_gen.pick(max(id)) FROM image_gen.campaign_assets"
    ));

    let dump = client(&cluster, "pg_dump").arg("--dbname=old").output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dump.sql");
    fs::write(&file, dump.stdout).unwrap();
    let mut psql = client(&cluster, "psql");
    let restored =
        psql.args(["-Xq", "--dbname=new", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&file).output().unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));

    let mut new = cluster.admin("new");
    for kept in [
        "SELECT * FROM image_gen.providers ORDER BY id",
        "SELECT * FROM image_gen.models ORDER BY name, provider_kind",
        "SELECT provider_kind, model, unit, quality, amount, origin FROM image_gen.prices ORDER BY 1, 2, 3, 4, 5",
        "SELECT id, seq, status, prompt, seed, parameters, owner, idempotency_key, created_at FROM image_gen.jobs ORDER BY id",
        "SELECT step, action, model, origin FROM image_gen.refusal_steps ORDER BY 1",
        "SELECT position, rule, models, origin FROM image_gen.model_rules ORDER BY 1",
        "SELECT pattern, replacement, enabled, origin FROM image_gen.rewrite_rules ORDER BY 1",
        "SELECT * FROM image_gen.palettes ORDER BY 1",
        "SELECT * FROM image_gen.lint_rules ORDER BY 1",
        "SELECT * FROM image_gen.request_rules ORDER BY 1",
        "SELECT * FROM image_gen.picks",
        "SELECT * FROM image_gen.styles",
        "SELECT * FROM image_gen.characters",
        "SELECT set_id, asset_id, state FROM image_gen.variants ORDER BY 2",
        "SELECT * FROM image_gen.reviews ORDER BY 1",
        "SELECT * FROM image_gen.review_queue ORDER BY 1",
    ] {
        assert_eq!(new.rows(kept), old.rows(kept), "{kept}");
    }
    // The next job gets a number of its own.
    new.generate_with("prompt => 'next', model => 'preview'");
}

/// A server on which nothing happens but what its sessions do.
fn without_worker() -> Cluster {
    Cluster::start(Options {
        preload: false,
        env: vec![],
        // That no worker runs is known here.
        conf: vec!["max_worker_processes = 0".into(), "client_min_messages = error".into()],
        ..Options::default()
    })
}

/// A client program that connects to the server as its superuser.
fn client(cluster: &Cluster, program: &str) -> Command {
    let mut command = Command::new(Path::new(&pg_config("--bindir")).join(program));
    command.env("PGHOST", cluster.socket_folder()).env("PGPORT", "5432").env("PGUSER", "postgres");
    command
}

/// A folder of tests, the program that runs them, and their server.
struct Suite {
    cluster: Cluster,
    program: PathBuf,
    input: PathBuf,
}

impl Suite {
    fn start(folder: &str, program: &str) -> Self {
        let pgxs = PathBuf::from(pg_config("--pgxs"));
        let program = pgxs.ancestors().nth(2).expect("…/src/makefiles/pgxs.mk").join("test").join(program);
        assert!(
            program.exists(),
            "{} is missing: it comes with the server's development package (Debian: postgresql-server-dev-15)",
            program.display()
        );
        let input = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        Suite { cluster: without_worker(), program, input }
    }

    fn run(&self, tests: &[&str], options: &[&str]) {
        let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join(self.input.file_name().unwrap());
        let _ = fs::remove_dir_all(&output);
        fs::create_dir_all(&output).unwrap();
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let said = Command::new(&self.program)
            .arg(option("inputdir", &self.input))
            .arg(option("outputdir", &output))
            .arg(option("host", self.cluster.socket_folder()))
            .arg(format!("--bindir={}", pg_config("--bindir")))
            .args(["--port=5432", "--user=postgres"])
            .args(options)
            .args(tests)
            .env("PG_REGRESS_DIFF_OPTS", "-U3")
            .output()
            .unwrap();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            return self.accept(tests, &output);
        }
        if !said.status.success() {
            let diffs = fs::read_to_string(output.join("regression.diffs")).unwrap_or_default();
            panic!(
                "{}{}{diffs}",
                String::from_utf8_lossy(&said.stdout),
                String::from_utf8_lossy(&said.stderr)
            );
        }
    }

    /// Makes the answers of this run the expected ones. (One of them is a link to `schema.lock.sql`.)
    fn accept(&self, tests: &[&str], output: &Path) {
        for test in tests {
            let file = format!("{test}.out");
            let answer = fs::read(output.join("results").join(&file)).unwrap();
            assert!(!answer.starts_with(b"syntax error"), "{test} is not understood");
            fs::write(self.input.join("expected").join(&file), answer).unwrap();
        }
    }
}

fn pg_config(flag: &str) -> String {
    let program = std::env::var_os("PG_CONFIG").unwrap_or("pg_config".into());
    let output = Command::new(program).arg(flag).output().expect("pg_config runs");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

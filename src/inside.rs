//! Tests that run inside a back end: what can be seen there alone, by [`crate::snapshot`], [`crate::statement`] and memory.
//! `make inside` runs them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(missing_docs)]

use std::process::Command;
use std::sync::Arc;

use image_gen_engine::catalogue::Snapshot;
use pgrx::prelude::*;

use crate::snapshot;

/// What the library needs of its server.
#[cfg(test)]
pub fn settings() -> Vec<&'static str> {
    vec!["shared_preload_libraries = 'image_gen'", "max_worker_processes = 0", "autovacuum = off"]
}

fn run(sql: &str) {
    Spi::run(sql).unwrap();
}

fn text(sql: &str) -> String {
    Spi::get_one(sql).unwrap().unwrap()
}

/// Runs SQL in another session, which commits it.
fn elsewhere(sql: &str) {
    // SAFETY: set when the server started, and never again.
    let server = unsafe { std::ffi::CStr::from_ptr((&raw const pg_sys::my_exec_path).cast()) };
    let psql = std::path::Path::new(server.to_str().unwrap()).with_file_name("psql");
    let folder = text("SELECT split_part(current_setting('unix_socket_directories'), ',', 1)");
    let connection = format!(
        "host='{folder}' port={} dbname='{}' user='{}'",
        text("SELECT current_setting('port')"),
        text("SELECT current_database()::text"),
        text("SELECT current_user::text")
    );
    let output =
        Command::new(psql).args(["-qX", "-v", "ON_ERROR_STOP=1", "-c", sql, &connection]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn priority(of: &Snapshot, provider: &str) -> Option<i32> {
    of.providers().iter().find(|p| p.id == provider).map(|p| p.priority)
}

/// Bytes in memory contexts that outlive a transaction, and in those of the transaction itself.
fn memory() -> usize {
    // SAFETY: the root of all contexts; counting changes nothing.
    unsafe { pg_sys::MemoryContextMemAllocated(pg_sys::TopMemoryContext, true) }
}

const GENERATE: &str = "SELECT status FROM image_gen.generate('a fox', model => 'flux-1.1-pro')";

#[pg_schema]
mod tests {
    use super::*;

    #[pg_test]
    fn a_snapshot_is_kept_as_long_as_nothing_changes() {
        let first = snapshot::current();
        run("CREATE TABLE of_no_concern (n int); INSERT INTO of_no_concern VALUES (1)");
        run(GENERATE);
        assert!(Arc::ptr_eq(&first, &snapshot::current()), "it was read again for nothing");
    }

    #[pg_test]
    fn a_sessions_own_change_is_seen_at_once_and_its_rollback_too() {
        assert_eq!(priority(&snapshot::current(), "bfl"), Some(10));
        run("UPDATE image_gen.providers SET priority = 11 WHERE id = 'bfl'");
        assert_eq!(priority(&snapshot::current(), "bfl"), Some(11), "uncommitted, and its own");
        // A subtransaction that changes it, reads it, and is rolled back.
        run("DO $$
             BEGIN
               UPDATE image_gen.providers SET priority = 12 WHERE id = 'bfl';
               PERFORM image_gen.explain('generate', '{\"prompt\": \"x\"}');
               RAISE division_by_zero;
             EXCEPTION WHEN division_by_zero THEN NULL;
             END $$");
        assert_eq!(priority(&snapshot::current(), "bfl"), Some(11), "what was rolled back");
    }

    #[pg_test]
    fn another_sessions_change_is_seen_once_it_is_committed() {
        let before = snapshot::current();
        elsewhere("UPDATE image_gen.providers SET priority = 77 WHERE id = 'ideogram'");
        let after = snapshot::current();
        assert_eq!((priority(&before, "ideogram"), priority(&after, "ideogram")), (Some(70), Some(77)));
        elsewhere("UPDATE image_gen.providers SET priority = 70 WHERE id = 'ideogram'");
        assert_eq!(priority(&snapshot::current(), "ideogram"), Some(70));
    }

    #[pg_test]
    fn a_change_that_another_session_rolls_back_is_never_seen() {
        let before = snapshot::current();
        elsewhere("BEGIN; UPDATE image_gen.providers SET priority = 78 WHERE id = 'fal'; ROLLBACK");
        assert_eq!(priority(&snapshot::current(), "fal"), priority(&before, "fal"));
    }

    #[pg_test]
    fn kept_plans_follow_what_is_done_to_the_tables() {
        run(GENERATE);
        run("ALTER TABLE image_gen.jobs ADD COLUMN noted text DEFAULT 'later'");
        run("CREATE INDEX jobs_noted ON image_gen.jobs (noted)");
        run(GENERATE);
        run("ALTER TABLE image_gen.jobs DROP COLUMN noted");
        run("ALTER TABLE image_gen_internal.queue SET (fillfactor = 60)");
        run(GENERATE);
        run("ANALYZE image_gen.jobs");
        run(GENERATE);
        assert_eq!(text("SELECT count(*)::text FROM image_gen.jobs WHERE prompt = 'a fox'"), "4");
        assert_eq!(text("SELECT count(*)::text FROM image_gen_internal.queue"), "4");
    }

    #[pg_test]
    fn a_snapshot_does_not_outlive_the_extension() {
        run("UPDATE image_gen.providers SET priority = 13 WHERE id = 'bfl'");
        assert_eq!(priority(&snapshot::current(), "bfl"), Some(13));
        run("DROP EXTENSION image_gen CASCADE");
        run("CREATE EXTENSION image_gen");
        assert_eq!(priority(&snapshot::current(), "bfl"), Some(10), "the new one's");
        run(GENERATE);
    }

    /// What ten thousand calls leave in memory: nothing that grows with them.
    fn leaves_nothing_behind(call: &str) {
        let many = |n: u32| run(&format!("DO $$ BEGIN FOR i IN 1..{n} LOOP {call} END LOOP; END $$"));
        many(2_000);
        let before = memory();
        many(10_000);
        let grown = memory().saturating_sub(before);
        assert!(grown < 2_000_000, "{grown} bytes more after 10,000 calls");
    }

    #[pg_test]
    fn ten_thousand_jobs_of_one_transaction_leave_nothing_behind() {
        leaves_nothing_behind(&format!("PERFORM * FROM ({GENERATE}) g;"));
    }

    #[pg_test]
    fn ten_thousand_questions_leave_nothing_behind() {
        leaves_nothing_behind("PERFORM image_gen.explain('generate', '{\"prompt\": \"x\"}');");
    }

    #[pg_test]
    fn ten_thousand_refused_calls_leave_nothing_behind() {
        leaves_nothing_behind(
            "BEGIN PERFORM image_gen.generate('x', steps => -1); EXCEPTION WHEN OTHERS THEN NULL; END;",
        );
    }
}

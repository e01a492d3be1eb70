//! Who has changed what: `audit_log`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::cluster::write_private;
use image_gen_tests::wait::{secs, wait_until};
use image_gen_tests::{Session, Stage};

/// An administrator who is no superuser.
fn carol(stage: &Stage) -> Session {
    stage.admin().run("CREATE ROLE carol LOGIN; GRANT image_gen_admin TO carol");
    stage.connect("carol")
}

#[test]
fn what_decides_about_money_addresses_and_rights_is_written_down_with_who_changed_it() {
    let stage = Stage::start();
    let (mut admin, mut carol) = (stage.admin(), carol(&stage));
    let changes = [
        (
            "provider.changed",
            "bfl",
            "UPDATE image_gen.providers SET base_url = 'https://evil.example', key_name = 'PATH' WHERE id = 'bfl'",
            true,
        ),
        ("provider.changed", "bfl", "UPDATE image_gen.providers SET enabled = false WHERE id = 'bfl'", false),
        (
            "policy.created",
            "alice",
            "SELECT image_gen.set_role_policy('alice', allow_unpriced => true)",
            false,
        ),
        ("policy.changed", "alice", "SELECT image_gen.set_role_policy('alice')", false),
        ("policy.removed", "alice", "SELECT image_gen.drop_role_policy('alice')", false),
        ("campaign.created", "aurora bob", "SELECT image_gen.grant_campaign('aurora', 'bob')", false),
        ("campaign.removed", "aurora bob", "SELECT image_gen.revoke_campaign('aurora')", false),
        ("budget.created", "role - bob day", "SELECT image_gen.set_budget('role', 'bob', 5, 'day')", false),
        ("budget.changed", "role - bob day", "SELECT image_gen.set_budget('role', 'bob', 6, 'day')", false),
        (
            "budget.removed",
            "role - bob day",
            "SELECT image_gen.set_budget('role', 'bob', NULL, 'day')",
            false,
        ),
        ("jobs.reassigned", "alice", "SELECT image_gen.reassign_jobs('alice', 'bob')", false),
        ("work.resumed", "shop", "SELECT image_gen.resume('a test')", false),
        ("jobs.pruned", "", "SELECT image_gen.prune('1 day')", false),
        (
            "price.created",
            "bfl flux-2-pro",
            "INSERT INTO image_gen.prices (provider_kind, model, unit, amount) VALUES ('bfl', 'flux-2-pro', 'image', 1)",
            false,
        ),
    ];
    // (The worker says which keys it has as soon as it is there.)
    let rows = "SELECT count(*) FROM image_gen.audit_log WHERE action NOT LIKE 'key.%'";
    for (action, object, statement, by_superuser) in changes {
        let who = if by_superuser { &mut admin } else { &mut carol };
        let name = who.text("SELECT current_user");
        // What is rolled back has not happened.
        let before = who.number(rows);
        who.run(&format!("BEGIN; {statement}; ROLLBACK"));
        assert_eq!(who.number(rows), before, "{statement}");
        who.run(statement);
        let last = who.rows("SELECT action, object, role, login, details::text FROM image_gen.audit_log WHERE action NOT LIKE 'key.%' ORDER BY at DESC LIMIT 1").remove(0);
        assert_eq!(last[0], action, "{statement}: {last:?}");
        assert!(last[1] == object || object.is_empty(), "{statement}: {last:?}");
        assert_eq!(last[2..4], [name.clone(), name], "{statement}: {last:?}");
        assert_eq!(who.number(rows), before + 1, "{statement}");
    }
    let change = "SELECT details -> 'old' ->> 'base_url' LIKE 'http%', details -> 'new' ->> 'base_url', details -> 'new' ->> 'key_name'
                    FROM image_gen.audit_log WHERE action = 'provider.changed' AND details -> 'new' ? 'key_name'";
    assert_eq!(carol.rows(change), [["t", "https://evil.example", "PATH"]]);
    // What changes nothing is no change.
    let before = carol.number(rows);
    carol.run("UPDATE image_gen.providers SET priority = priority");
    assert_eq!(carol.number(rows), before);
    // SET ROLE does not hide who was logged in.
    admin.run("GRANT carol TO bob; GRANT image_gen_user TO bob");
    let mut bob = stage.bob();
    bob.run("SET ROLE carol; SELECT image_gen.set_budget('workspace', NULL, 100)");
    assert_eq!(
        carol.rows("SELECT role, login FROM image_gen.audit_log WHERE action NOT LIKE 'key.%' ORDER BY at DESC LIMIT 1"),
        [["carol", "bob"]]
    );
}

#[test]
fn a_decided_review_is_written_down_and_a_job_is_not() {
    let stage = Stage::start();
    let mut alice = stage.alice();
    let mut admin = stage.admin();
    let before = admin.number("SELECT count(*) FROM image_gen.audit_log WHERE action NOT LIKE 'key.%'");
    stage.sim.rule(
        serde_json::json!({"prompt_contains": "[lost]", "phase": "submit", "fault": "drop_after_accept"}),
    );
    let id = alice.generate_with("prompt => '[lost]', model => 'bfl:flux-1.1-pro'");
    assert_eq!(alice.done(&id).status, "needs_review");
    let batch = "SELECT count(*) FROM image_gen.generate_batch('[{\"shot\": \"a\", \"prompt\": \"a\"}, {\"shot\": \"b\", \"prompt\": \"b\"}]', max_cost => 5)";
    assert_eq!(alice.number(batch), 2);
    let all = alice.column("SELECT id FROM image_gen.jobs WHERE batch IS NOT NULL");
    alice.all_succeed(&all);
    admin.run("SELECT image_gen.claim_review()");
    let counted = "SELECT count(*) FROM image_gen.audit_log WHERE action NOT LIKE 'key.%'";
    assert_eq!(admin.number(counted), before, "jobs, batches and claims leave nothing");
    admin.run(&format!(
        "SELECT image_gen.resolve_review('{id}', 'reject', billed_cost => 0, note => 'words about a person')"
    ));
    let row = admin.rows("SELECT action, object, details -> 'new' ->> 'action', details::text LIKE '%person%' FROM image_gen.audit_log WHERE action NOT LIKE 'key.%' ORDER BY at DESC LIMIT 1");
    assert_eq!(row, [["review.changed", id.as_str(), "reject", "f"]]);
    assert_eq!(admin.number(counted), before + 1);
}

#[test]
fn what_is_written_down_is_only_added_and_leaves_by_one_way_that_is_written_down_itself() {
    let stage = Stage::start();
    let (mut admin, mut carol) = (stage.admin(), carol(&stage));
    carol.run("SELECT image_gen.set_budget('workspace', NULL, 100)");
    // The old rows are made by a superuser's hand: the clock is not ours.
    admin.run("INSERT INTO image_gen.audit_log (at, role, login, action, object) SELECT now() - '1 year'::interval, 'x', 'x', 'budget.changed', 'old' FROM generate_series(1, 3)");
    let tries = [
        "UPDATE image_gen.audit_log SET role = 'someone'",
        "DELETE FROM image_gen.audit_log",
        "TRUNCATE image_gen.audit_log",
        "SET session_replication_role = replica; DELETE FROM image_gen.audit_log",
    ];
    for statement in tries {
        // The owner of the table too, who must take the triggers off first.
        assert_eq!(admin.sqlstate(statement), "42501", "{statement}");
        if !statement.starts_with("SET") {
            assert_eq!(carol.sqlstate(statement), "42501", "{statement}");
        }
    }
    admin.run("RESET session_replication_role");
    let insert = "INSERT INTO image_gen.audit_log (role, login, action, object) VALUES ('bob', 'bob', 'budget.changed', 'forged')";
    assert_eq!(carol.sqlstate(insert), "42501");
    assert_eq!(carol.sqlstate("SELECT image_gen_internal.record_audit('budget.changed', 'forged')"), "42501");
    for age in ["0 days", "29 days", "-1 day"] {
        assert_eq!(carol.sqlstate(&format!("SELECT image_gen.purge_audit_log('{age}')")), "22023", "{age}");
    }
    assert_eq!(carol.sqlstate("SELECT image_gen.purge_audit_log(NULL)"), "22023");
    assert_eq!(stage.alice().sqlstate("SELECT image_gen.purge_audit_log('1 year')"), "42501");
    assert_eq!(stage.alice().sqlstate("SELECT * FROM image_gen.audit_log"), "42501");
    assert_eq!(carol.number("SELECT image_gen.purge_audit_log('100 days')"), 3);
    let said =
        carol.rows("SELECT role, details ->> 'rows' FROM image_gen.audit_log WHERE action = 'audit.purged'");
    assert_eq!(said, [["carol", "3"]]);
    assert_eq!(carol.number("SELECT count(*) FROM image_gen.audit_log WHERE action = 'budget.created'"), 1);
    // That it was done cannot be removed, however old it gets.
    assert_eq!(admin.sqlstate("DELETE FROM image_gen.audit_log WHERE action = 'audit.purged'"), "42501");
    assert_eq!(admin.sqlstate("DELETE FROM image_gen.audit_log WHERE action = 'budget.created'"), "42501");
}

#[test]
fn names_of_keys_that_come_go_and_change_are_written_down_and_never_a_key() {
    let path = std::env::temp_dir().join(format!("image_gen_audit_{}", std::process::id()));
    write_private(&path, "BFL_API_KEY=first-value\nFAL_API_KEY=stays-so\n", 0o600);
    let stage = Stage::conf(&[&format!("image_gen.secrets_file = '{}'", path.display())]);
    stage.worker();
    let mut admin = stage.admin();
    wait_until("keys are known", secs(20), || {
        admin.number("SELECT count(*) FROM image_gen.audit_log WHERE action LIKE 'key.%'") >= 2
    });
    let since = admin.text("SELECT clock_timestamp()");
    let seen = format!(
        "SELECT action || ' ' || object FROM image_gen.audit_log WHERE action LIKE 'key.%' AND at > '{since}' ORDER BY 1"
    );
    write_private(&path, "BFL_API_KEY=second-value\nGEMINI_API_KEY=new-one\n", 0o600);
    stage.cluster.reload();
    wait_until("a reload is written down", secs(20), || admin.column(&seen).len() >= 3);
    assert_eq!(
        admin.column(&seen),
        ["key.added GEMINI_API_KEY", "key.removed FAL_API_KEY", "key.replaced BFL_API_KEY"]
            .map(str::to_owned)
    );
    let all = admin.text("SELECT string_agg(l::text, ' ') FROM image_gen.audit_log l");
    assert!(
        !["first-value", "second-value", "new-one", "stays-so"].iter().any(|key| all.contains(key)),
        "{all}"
    );
    let _ = std::fs::remove_file(path);
}

#[test]
fn a_request_that_was_turned_away_is_written_down_and_a_flood_of_them_folded() {
    let stage = Stage::start();
    let (mut alice, mut admin) = (stage.alice(), stage.admin());
    let edit = |alice: &mut Session, host: &str| {
        alice.text(&format!("SELECT id FROM image_gen.edit('https://{host}:9443/a.png', 'x')"))
    };
    let first = edit(&mut alice, "localhost");
    assert_eq!(alice.done(&first).status, "failed");
    let rows = "SELECT object, details ->> 'destination', role FROM image_gen.audit_log WHERE action = 'egress.denied'";
    wait_until("it is written down", secs(20), || !admin.rows(rows).is_empty());
    assert_eq!(admin.rows(rows), [["localhost:9443", "image", "image_gen_worker"]]);
    let more: Vec<String> = (0..30).map(|_| edit(&mut alice, "localhost")).collect();
    assert!(alice.all_done(&more).iter().all(|job| job.status == "failed"));
    stage.sentinel();
    assert_eq!(admin.rows(rows).len(), 1, "the others are told together, later");
}

//! Whose jobs are whose: an owner is a role, not a name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::Stage;

/// How many rows of each kind a session sees.
const SEEN: &str = "SELECT (SELECT count(*) FROM image_gen.jobs), (SELECT count(*) FROM image_gen.attempts),
    (SELECT count(*) FROM image_gen.campaign_assets), (SELECT count(*) FROM image_gen_internal.blobs), (SELECT count(*) FROM image_gen.recent()),
    (SELECT coalesce(sum(c.calls), 0) FROM image_gen.cost_by_campaign c)";

#[test]
fn a_renamed_role_keeps_its_jobs_and_a_new_role_of_the_old_name_has_none() {
    let stage = Stage::conf(&["image_gen.keep_bytes = all"]);
    let mut admin = stage.admin();
    admin.run("SELECT image_gen.set_budget('role', 'alice', 1)");
    let id = stage
        .alice()
        .generate_with("'a fox', idempotency_key => 'fox', metadata => '{\"campaign\": \"spring\"}'");
    stage.alice().all_succeed(std::slice::from_ref(&id));
    let shot = "SELECT id FROM image_gen.generate_batch('[{\"shot\": \"hero\", \"prompt\": \"x\"}]', idempotency_key => 'batch')";
    let batch = stage.alice().text(shot);
    stage.alice().all_succeed(std::slice::from_ref(&batch));
    admin.run("ALTER ROLE alice RENAME TO alicia; CREATE ROLE alice LOGIN; GRANT image_gen_user TO alice");

    let mut renamed = stage.connect("alicia");
    assert_eq!(renamed.rows(SEEN), [["2", "2", "2", "2", "2", "2"]]);
    assert_eq!(renamed.text(&format!("SELECT owner::text FROM image_gen.jobs WHERE id = '{id}'")), "alicia");
    assert_eq!(
        renamed.column(
            "SELECT DISTINCT dimension ->> 'owner' FROM image_gen.cost_report(dimensions => '{owner}')"
        ),
        ["alicia"]
    );
    let again =
        renamed.generate_with("'a fox', idempotency_key => 'fox', metadata => '{\"campaign\": \"spring\"}'");
    assert_eq!(again, id, "the same key is the same job, whatever its owner is called");
    assert_eq!(renamed.text(shot), batch);
    assert_eq!(renamed.column("SELECT scope FROM image_gen.credits() WHERE NOT unlimited"), ["role:alicia"]);

    let mut new = stage.alice();
    assert_eq!(new.rows(SEEN), [["0", "0", "0", "0", "0", "0"]]);
    assert_eq!(
        new.column("SELECT scope FROM image_gen.credits() WHERE NOT unlimited"),
        [""; 0],
        "nor its limit"
    );
    assert_eq!(new.sqlstate(&format!("SELECT * FROM image_gen.cancel('{id}')")), "42704");
    assert_eq!(new.sqlstate(&format!("SELECT image_gen.upscale('job:{id}')")), "42704");
    let own = new.generate_with("'a fox', idempotency_key => 'fox'");
    assert_ne!(own, id);
    new.all_succeed(&[own]);
    assert_eq!(stage.sim.submits(), 3);
    // Folded totals are those of each.
    admin.run("SELECT image_gen_internal.fold_spending(1000)");
    assert_eq!(renamed.number("SELECT sum(calls) FROM image_gen.cost_report()"), 2);
    assert_eq!(new.number("SELECT sum(calls) FROM image_gen.cost_report()"), 1);
    stage.check_money();
}

#[test]
fn what_a_dropped_role_had_is_shown_and_can_be_given_to_another() {
    let stage = Stage::conf(&["image_gen.keep_bytes = all"]);
    let mut admin = stage.admin();
    admin.run("CREATE ROLE leaver LOGIN; GRANT image_gen_user TO leaver; SELECT image_gen.set_budget('role', 'bob', 1)");
    let mut leaver = stage.connect("leaver");
    let done =
        leaver.generate_with("'hers', idempotency_key => 'k', metadata => '{\"campaign\": \"spring\"}'");
    leaver.all_succeed(std::slice::from_ref(&done));
    let bobs = stage.bob().generate_with("'his', idempotency_key => 'k'");
    stage.bob().all_succeed(std::slice::from_ref(&bobs));
    stage.sim.configure(&serde_json::json!({"render_seconds": 2.0}));
    let in_flight = leaver.generate("on its way");
    stage.submitted(3);
    let oid = admin.text("SELECT 'leaver'::regrole::oid::text");
    drop(leaver);
    admin.run("DROP ROLE leaver");

    // Whoever may see all sees whose it was; what is in flight ends.
    assert_eq!(
        admin.column("SELECT DISTINCT owner::text FROM image_gen.jobs ORDER BY 1"),
        [oid.as_str(), "bob"]
    );
    assert_eq!(
        admin.text("SELECT image_gen.reassign_jobs('{oid}', 'bob')".replace("{oid}", &oid).as_str()),
        "1"
    );
    assert!(
        admin.notices().iter().any(|n| n.contains("1 jobs of role") && n.contains("in flight")),
        "{:?}",
        admin.notices()
    );
    admin.all_succeed(std::slice::from_ref(&in_flight));
    assert_eq!(admin.text(&format!("SELECT image_gen.reassign_jobs('{oid}', 'bob')")), "1");

    let mut bob = stage.bob();
    assert_eq!(bob.rows(SEEN), [["3", "3", "3", "3", "3", "3"]]);
    assert_eq!(
        bob.generate_with("'his', idempotency_key => 'k'"),
        bobs,
        "a key that both have used is the new owner's job"
    );
    assert_eq!(admin.column("SELECT DISTINCT owner::text FROM image_gen.campaign_assets"), ["bob"]);
    admin.run("SELECT image_gen_internal.fold_spending(1000)");
    assert_eq!(bob.number("SELECT sum(calls) FROM image_gen.cost_report()"), 3);
    assert_eq!(
        admin.rows("SELECT budget, problem FROM image_gen.check_budgets()"),
        Vec::<Vec<String>>::new()
    );
    let spent = bob.text("SELECT spent::text FROM image_gen.credits() WHERE scope = 'role:bob'");
    assert_eq!(
        spent,
        bob.text("SELECT sum(billed_cost)::text FROM image_gen.attempts"),
        "they count in its limit"
    );

    for (call, code) in [
        ("SELECT image_gen.reassign_jobs('bob', 'bob')", "22023"),
        ("SELECT image_gen.reassign_jobs('nobody', 'bob')", "42704"),
        ("SELECT image_gen.reassign_jobs('99999999999', 'bob')", "42704"),
        ("SELECT image_gen.reassign_jobs('bob', NULL)", "42704"),
    ] {
        assert_eq!(admin.sqlstate(call), code, "{call}");
    }
    assert_eq!(bob.sqlstate("SELECT image_gen.reassign_jobs('alice', 'bob')"), "42501");
    stage.check_money();
}

#[test]
fn jobs_that_wait_are_reassigned_and_run_as_the_new_owners() {
    let stage = Stage::conf(&["image_gen.max_in_flight = 1"]);
    let mut admin = stage.admin();
    stage.sim.configure(&serde_json::json!({"render_seconds": 1.0}));
    let ids: Vec<String> = (0..4).map(|n| stage.alice().generate(&format!("job {n}"))).collect();
    stage.submitted(1);
    let moved = admin.number("SELECT image_gen.reassign_jobs('alice', 'bob')");
    assert_eq!(moved, 3, "the one in flight stays");
    admin.all_succeed(&ids);
    assert_eq!(
        admin.rows("SELECT owner::text, count(*) FROM image_gen.attempts GROUP BY 1 ORDER BY 1"),
        [["alice", "1"], ["bob", "3"]]
    );
    assert_eq!(stage.sim.submits(), 4);
    stage.check_money();
}

#[test]
fn a_limit_of_a_role_is_that_roles_whatever_it_is_called() {
    let stage = Stage::start();
    let mut admin = stage.admin();
    admin.run("CREATE ROLE \"Team A\"; GRANT \"Team A\" TO alice; SELECT image_gen.set_budget('role', 'Team A', 0.01)");
    assert_eq!(stage.alice().sqlstate("SELECT image_gen.generate('too dear')"), "53400");
    admin.run("ALTER ROLE \"Team A\" RENAME TO team_b; CREATE ROLE \"Team A\"");
    let error = stage.alice().error("SELECT image_gen.generate('too dear')");
    assert!(error.message().contains("role:team_b"), "{}", error.message());
    admin.run("SELECT image_gen.set_budget('role', 'team_b', 5); SELECT image_gen.grant_credits(1, 'role', 'team_b')");
    let id = stage.alice().generate("affordable");
    stage.alice().all_succeed(&[id]);
    // SET ROLE leads out of no login's limits, nor does a new name of the login.
    let oid = admin.text("SELECT 'team_b'::regrole::oid::text");
    admin.run("DROP ROLE team_b");
    assert_eq!(
        admin.column("SELECT scope FROM image_gen.credits() WHERE scope LIKE 'role:%' AND NOT unlimited"),
        [format!("role:{oid}")]
    );
    admin.run(&format!("SELECT image_gen.set_budget('role', '{oid}', NULL)"));
    assert_eq!(
        admin.number("SELECT count(*) FROM image_gen.budgets"),
        0,
        "the limit of a role that is gone can be removed"
    );
    assert_eq!(admin.sqlstate(&format!("SELECT image_gen.set_budget('role', '{oid}', 1)")), "42704");
    stage.check_money();
}

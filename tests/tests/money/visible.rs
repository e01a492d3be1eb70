//! What one may see of a budget, who may book on a campaign, and how long one waits for another's transaction.

use image_gen_tests::wait::secs;
use image_gen_tests::wait_until;

use crate::common::{PRO, check_books, credits, no_deadlock, stage};

#[test]
fn a_free_preview_shows_nothing_of_what_others_have_spent() {
    // A13
    let stage = stage(&["bfl", "preview"], &[]);
    let (mut admin, mut alice, mut bob) = (stage.admin(), stage.alice(), stage.bob());
    for (scope, key) in [("campaign", "secret"), ("ticket", "T-1"), ("metadata:team", "red")] {
        admin.run(&format!("SELECT image_gen.set_budget('{scope}', '{key}', 0.1)"));
    }
    let metadata = "metadata => '{\"campaign\": \"secret\", \"ticket\": \"T-1\", \"team\": \"red\"}'";
    let spent = alice.generate_with(&format!("prompt => 'a cup', {metadata}, {PRO}"));
    alice.all_succeed(&[spent]);
    let free = bob.generate_with(&format!("prompt => 'a look', model => 'preview', {metadata}"));
    bob.all_succeed(&[free]);
    let shown = "SELECT scope, spent, reserved, limit_amount, available, unknown_costs FROM image_gen.credits() WHERE scope NOT LIKE 'role:%' ORDER BY 1";
    let own_part = |scope: &str, spent: &str| [scope, spent, "0", "", "", "0"].map(str::to_owned).to_vec();
    let scopes = ["campaign:secret", "metadata:team:red", "ticket:T-1"];
    assert_eq!(bob.rows(shown), scopes.map(|scope| own_part(scope, "0")), "of others nothing");
    let mine: Vec<String> =
        alice.column(&format!("SELECT trim_scale(spent) || coalesce(available::text, '') FROM ({shown}) s"));
    assert_eq!(mine, ["0.04"; 3], "alice sees her own part");
    // An error says no more.
    for budget in ["campaign", "ticket", "team"] {
        let key = match budget {
            "campaign" => "secret",
            "ticket" => "T-1",
            _ => "red",
        };
        let error = bob.error(&format!(
            "SELECT image_gen.generate('x', model => 'bfl:flux-1.1-pro', n => 1, metadata => '{{\"{budget}\": \"{key}\"}}'), image_gen.generate('y', model => 'bfl:flux-1.1-pro', metadata => '{{\"{budget}\": \"{key}\"}}')"
        ));
        assert_eq!(error.code().code(), "53400", "{error:?}");
        let told = format!("{} {:?} {:?}", error.message(), error.detail(), error.hint());
        assert!(!told.contains("spent") && !told.contains("0.06") && !told.contains("0.02"), "{told}");
    }
    // Those to whom it was granted see how it stands.
    admin.run("SELECT image_gen.grant_campaign('secret', 'bob')");
    assert_eq!(credits(&mut bob, "campaign:secret"), "0.04 0 0.06");
    check_books(&stage);
}

#[test]
fn a_campaign_is_open_until_it_is_granted() {
    // A13
    let stage = stage(&["preview"], &[]);
    let (mut admin, mut alice, mut bob) = (stage.admin(), stage.alice(), stage.bob());
    let book = |campaign: &str| {
        format!(
            "SELECT id FROM image_gen.generate('x', model => 'preview', metadata => '{{\"campaign\": {campaign}}}')"
        )
    };
    bob.run(&book("\"aurora\""));
    admin.run("CREATE ROLE marketing; GRANT marketing TO alice; SELECT image_gen.grant_campaign('aurora', 'marketing')");
    alice.run(&book("\"aurora\""));
    let error = bob.error(&book("\"aurora\""));
    assert_eq!(error.code().code(), "42501", "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("grant_campaign")), "{error:?}");
    // Through every function, and however the name is written: what counts is metadata ->> 'campaign'.
    for call in [
        "generate_batch('{\"a\": {\"prompt\": \"x\", \"model\": \"preview\"}}', '{\"metadata\": {\"campaign\": \"aurora\"}}')",
        "generate_batch('{\"a\": {\"prompt\": \"x\", \"model\": \"preview\", \"metadata\": {\"campaign\": \"aurora\"}}}')",
        "generate('x', model => 'preview', metadata => '{\"campaign\": \"\\u0061urora\"}')",
        "generate('x', model => 'preview', metadata => '{\"campaign\": \"other\", \"campaign\": \"aurora\"}')",
    ] {
        assert_eq!(bob.sqlstate(&format!("SELECT image_gen.{call}")), "42501", "{call}");
    }
    bob.run(&book("\"aurora2\""));
    // The oid counts, not the name; and the last grant that goes opens it, with a word about it.
    admin.run("ALTER ROLE marketing RENAME TO brand; CREATE ROLE marketing; GRANT marketing TO bob");
    alice.run(&book("\"aurora\""));
    assert_eq!(bob.sqlstate(&book("\"aurora\"")), "42501");
    admin.run("SELECT image_gen.revoke_campaign('aurora', 'brand')");
    assert!(
        admin.notices().iter().any(|notice| notice.contains("open to every user")),
        "{:?}",
        admin.notices()
    );
    bob.run(&book("\"aurora\""));
}

#[test]
fn the_wait_for_a_budget_is_bounded_and_names_who_holds_it() {
    // A13
    let stage = stage(&["bfl"], &["image_gen.budget_lock_timeout = '300ms'"]);
    let (mut admin, mut alice, mut holder) = (stage.admin(), stage.alice(), stage.bob());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 1)");
    holder.run("SET application_name = 'a forgotten psql'; BEGIN");
    let held = holder.generate_with(&format!("prompt => 'held', {PRO}"));
    let pid = holder.pid();
    let generate = format!("SELECT id FROM image_gen.generate(prompt => 'x', {PRO})");
    for statement in [
        generate.clone(),
        r#"SELECT image_gen.generate_batch('{"a": {"prompt": "x"}}', '{"model": "bfl:flux-1.1-pro"}')"#
            .to_string(),
    ] {
        let error = alice.error(&statement);
        assert_eq!(error.code().code(), "55P03", "{error:?}");
        let detail = error.detail().unwrap_or_default();
        assert!(
            detail.contains(&format!("pid {pid} (application 'a forgotten psql', idle in transaction")),
            "{detail}"
        );
        assert!(error.hint().is_some_and(|hint| hint.contains("budget_lock_timeout")), "{error:?}");
    }
    for statement in [
        "SELECT image_gen.set_budget('workspace', NULL, 2)",
        "SELECT image_gen.grant_credits(1)",
        "SELECT image_gen.recount_budgets()",
    ] {
        assert_eq!(admin.sqlstate(statement), "55P03", "{statement}");
    }
    // The session's own lock_timeout is as it was, and a shorter one counts.
    assert_eq!(alice.text("SELECT current_setting('lock_timeout')"), "0");
    alice.run("SET image_gen.budget_lock_timeout = '1h'; SET lock_timeout = '100ms'");
    assert_eq!(alice.sqlstate(&generate), "55P03");
    assert_eq!(alice.text("SELECT current_setting('lock_timeout')"), "100ms");
    holder.run("COMMIT");
    alice.run("BEGIN");
    let id = alice.generate_with(&format!("prompt => 'now', {PRO}"));
    assert_eq!(alice.text("SELECT current_setting('lock_timeout')"), "100ms", "within the transaction too");
    alice.run("COMMIT");
    alice.all_succeed(&[id]);
    holder.all_succeed(&[held]);
    no_deadlock(&stage);
    check_books(&stage);
}

#[test]
fn set_role_does_not_lead_out_of_the_budget_of_the_login() {
    // A5
    let stage = stage(&["bfl"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run(
        "CREATE ROLE team IN ROLE image_gen_user; GRANT team TO alice; SELECT image_gen.set_budget('role', 'alice', 0.05)",
    );
    alice.run("SET ROLE team");
    let id = alice.generate_with(&format!("prompt => 'as the team', {PRO}"));
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.generate(prompt => 'once more', {PRO})")), "53400");
    alice.run("RESET ROLE");
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.generate(prompt => 'as herself', {PRO})")), "53400");
    wait_until("it is over", secs(20), || {
        admin.text(&format!("SELECT status FROM image_gen.jobs WHERE id = '{id}'")) == "succeeded"
    });
    wait_until("it is booked", secs(20), || credits(&mut admin, "role:alice") == "0.04 0 0.01");
    assert_eq!(
        admin.text(&format!("SELECT owner || ' ' || login FROM image_gen.jobs WHERE id = '{id}'")),
        "team alice"
    );
    check_books(&stage);
}

#[test]
fn credits_lists_the_batches_that_are_under_way_and_no_others() {
    // F14
    let stage = stage(&["preview"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let batches = "SELECT count(*) FROM image_gen.credits() WHERE scope LIKE 'batch:%'";
    alice.run("BEGIN");
    let ids = alice.column(
        "SELECT id FROM image_gen.generate_batch('{\"a\": {\"prompt\": \"x\"}}', '{\"model\": \"preview\"}', max_cost => 1)",
    );
    assert_eq!(alice.number(batches), 1);
    alice.run("COMMIT");
    alice.all_succeed(&ids);
    assert_eq!((alice.number(batches), admin.number(batches)), (0, 0));
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.budgets WHERE scope = 'batch'"), 1);
}

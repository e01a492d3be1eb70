//! What nobody knows the cost of: no price before, or no answer after.

use image_gen_tests::{Session, Stage};
use serde_json::json;

use crate::common::{PRO, check_books, check_calls, credits, ended, stage};

/// A job that was sent and accepted, and whose answer was lost: it may cost 0.04.
fn lost(stage: &Stage, session: &mut Session, prompt: &str, more: &str) -> String {
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": prompt, "fault": "drop_after_accept"}));
    let id = session.generate_with(&format!("prompt => '{prompt}', {PRO}{more}"));
    assert_eq!(ended(session, &id), "needs_review uncertain");
    id
}

fn reservations(session: &mut Session) -> Vec<Vec<String>> {
    session
        .rows("SELECT job_id, trim_scale(reserved), reason, budgets FROM image_gen.reservations ORDER BY 1")
}

#[test]
fn a_model_without_a_price_needs_leave() {
    let stage = stage(&["fal"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 1)");
    let call = |more: &str| {
        format!("prompt => 'unpriced', model => 'fal:flux-2-dev', width => 512, height => 512{more}")
    };
    for more in ["", ", max_cost => 0.5"] {
        let error = alice.error(&format!("SELECT image_gen.generate({})", call(more)));
        assert_eq!(error.code().code(), "53400", "{error:?}");
        assert!(error.hint().is_some_and(|h| h.contains("allow_unpriced")), "{error:?}");
    }
    // Whose budget it is does not say so; an administrator does.
    let leave = format!("SELECT image_gen.generate({})", call(", allow_unpriced => true"));
    let error = alice.error(&leave);
    assert_eq!(error.code().code(), "42501", "{error:?}");
    assert!(error.hint().is_some_and(|h| h.contains("set_role_policy")), "{error:?}");
    assert_eq!(stage.sim.submits(), 0);
    grant_unpriced(&mut admin);
    let id = alice.generate_with(&call(", allow_unpriced => true"));
    alice.all_succeed(std::slice::from_ref(&id));
    let job = alice.job(&id);
    assert_eq!((job.billed_cost.as_str(), job.cost_source.as_str()), ("", "unknown"), "{job:?}");
    let seen = "SELECT concat_ws(' ', spent, unknown_costs, reserved) FROM image_gen.credits() WHERE scope = 'workspace'";
    assert_eq!(alice.text(seen), "0 1 0");
    assert!(reservations(&mut alice).is_empty(), "nobody could say how much to hold");
    // The provider's console says it.
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.settle_cost('{id}', 1, 0.0123456789)")), "42501");
    admin.run(&format!("SELECT image_gen.settle_cost('{id}', 1, 0.0123456789)"));
    assert_eq!(alice.text(seen), "0.0123456789 0 0");
    assert_eq!(alice.job(&id).billed_cost, "0.0123456789");
    let asset =
        alice.text(&format!("SELECT sum(billed_cost) FROM image_gen.campaign_assets WHERE job_id = '{id}'"));
    assert_eq!(asset, "0.0123456789");
    check_books(&stage);
}

/// An administrator lets alice ask for models whose price is unknown.
fn grant_unpriced(admin: &mut Session) {
    admin.run("SELECT image_gen.set_role_policy('alice', allow_unpriced => true)");
}

#[test]
fn several_pictures_share_what_is_settled_to_the_last_digit() {
    let stage = stage(&["fal"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 1)");
    admin.run("DELETE FROM image_gen.prices WHERE provider_kind = 'fal' AND model = 'flux-1.1-pro'");
    grant_unpriced(&mut admin);
    let id = alice.generate_with("prompt => 'three', model => 'fal:flux-1.1-pro', n => 3, width => 512, height => 512, allow_unpriced => true");
    alice.all_succeed(std::slice::from_ref(&id));
    admin.run(&format!("SELECT image_gen.settle_cost('{id}', 1, 0.1)"));
    let shares = alice.column(&format!(
        "SELECT billed_cost FROM image_gen.campaign_assets WHERE job_id = '{id}' ORDER BY position"
    ));
    assert_eq!(shares, ["0.033334", "0.033333", "0.033333"]);
    assert_eq!(credits(&mut alice, "workspace"), "0.1 0 0.9");
    check_books(&stage);
}

#[test]
fn what_may_have_been_billed_stays_reserved_until_its_cost_is_known() {
    let stage = stage(&["bfl"], &["image_gen.breaker_failures = 0"]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 0.17)");
    let ids: Vec<String> = ["rejected", "settled", "delivered", "retried"]
        .iter()
        .map(|what| lost(&stage, &mut alice, &format!("lost {what}"), ""))
        .collect();
    stage.sim.clear_rules();
    assert_eq!(credits(&mut alice, "workspace"), "0 0.16 0.01");
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.generate(prompt => 'more', {PRO})")), "53400");
    let held: Vec<Vec<String>> = ids
        .iter()
        .map(|id| vec![id.clone(), "0.04".into(), "unknown cost".into(), "{workspace}".into()])
        .collect();
    assert_eq!(reservations(&mut alice), held);
    assert!(reservations(&mut stage.bob()).is_empty(), "what others hold is theirs");
    // A rejected job may still have been billed.
    alice.run(&format!("SELECT image_gen.resolve_review('{}', 'reject')", ids[0]));
    assert_eq!(credits(&mut alice, "workspace"), "0 0.16 0.01");
    admin.run(&format!("SELECT image_gen.settle_cost('{}', 1, 0)", ids[0]));
    assert_eq!(credits(&mut alice, "workspace"), "0 0.12 0.05");
    admin.run(&format!("SELECT image_gen.settle_cost('{}', 1, 0.04)", ids[1]));
    assert_eq!(credits(&mut alice, "workspace"), "0.04 0.08 0.05");
    let delivered = format!(
        "SELECT image_gen.resolve_review('{}', 'approve', url => 'https://example.org/a.png', billed_cost => 0.04)",
        ids[2]
    );
    assert_eq!(alice.sqlstate(&delivered), "42501");
    admin.run(&delivered);
    assert_eq!(credits(&mut alice, "workspace"), "0.08 0.04 0.05");
    // Once more: the first call stays held, and the second one needs room of its own.
    let again = format!("SELECT image_gen.resolve_review('{}', 'retry')", ids[3]);
    assert_eq!(alice.sqlstate(&again), "42501", "it may be there already");
    admin.run(&again);
    alice.all_succeed(&ids[3..]);
    assert_eq!(credits(&mut alice, "workspace"), "0.12 0.04 0.01");
    alice.run(&format!("SELECT image_gen.resolve_review('{}', 'retry')", ids[1]));
    assert_eq!(ended(&mut alice, &ids[1]), "needs_review budget_exceeded");
    let unknown = alice.text("SELECT unknown_costs FROM image_gen.credits() WHERE scope = 'workspace'");
    assert_eq!(unknown, "1");
    admin.run(&format!("SELECT image_gen.settle_cost('{}', 1, 0.04)", ids[3]));
    assert_eq!(credits(&mut alice, "workspace"), "0.16 0 0.01");
    for what in ["rejected", "settled", "delivered"] {
        assert_eq!(stage.sim.submits_of(what).len(), 1, "{what}");
    }
    check_calls(&stage, &mut admin, "lost retried");
    check_books(&stage);
}

#[test]
fn invoices_settle_and_are_compared() {
    // N13
    let stage = stage(&["fal", "bfl"], &["image_gen.breaker_failures = 0"]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 1)");
    grant_unpriced(&mut admin);
    let unpriced = alice.generate_with("prompt => 'unpriced', model => 'fal:flux-2-dev', width => 512, height => 512, allow_unpriced => true");
    let priced =
        alice.generate_with("prompt => 'priced', model => 'fal:flux-1.1-pro', width => 512, height => 512");
    let same =
        alice.generate_with("prompt => 'same', model => 'fal:flux-1.1-pro', width => 512, height => 512");
    let quiet =
        alice.generate_with("prompt => 'quiet', model => 'fal:flux-1.1-pro', width => 512, height => 512");
    alice.all_succeed(&[unpriced.clone(), priced.clone(), same.clone(), quiet.clone()]);
    let remote = |session: &mut Session, id: &str| {
        session
            .text(&format!("SELECT remote_id FROM image_gen.attempts WHERE job_id = '{id}' AND number = 1"))
    };
    let lines = format!(
        "[{{\"remote_id\": \"{}\", \"amount\": 0.011}}, {{\"remote_id\": \"{}\", \"amount\": 0.03}}, {{\"remote_id\": \"{}\", \"amount\": 0.02}},
          {{\"remote_id\": \"{}\", \"amount\": 0.02}}, {{\"remote_id\": \"stranger\", \"amount\": 0.5}}]",
        remote(&mut admin, &unpriced),
        remote(&mut admin, &priced),
        remote(&mut admin, &same),
        remote(&mut admin, &same),
    );
    let import = format!(
        "SELECT invoice_id, matched, settled FROM image_gen.import_invoice('fal', now() - interval '1 day', now() + interval '1 day', NULL, '{lines}')"
    );
    assert_eq!(admin.rows(&import), [["1", "4", "1"]]);
    assert_eq!(alice.job(&unpriced).billed_cost, "0.011");
    assert_eq!(alice.job(&priced).billed_cost, "0.04", "what is booked is not changed");
    let diff = admin.rows(
        "SELECT what, coalesce(job_id, remote_id), invoiced, booked, difference, unknown_costs FROM image_gen.invoice_diff ORDER BY what, 2",
    );
    let row = |cells: [&str; 6]| cells.map(str::to_owned).to_vec();
    let expected = vec![
        row(["differs", &priced, "0.03", "0.04", "-0.01", "0"]),
        row(["not invoiced", &quiet, "", "0.04", "-0.04", "0"]),
        row(["not ours", "stranger", "0.5", "", "0.5", "0"]),
        row(["total", "", "0.581", "0.131", "0.450", "0"]),
    ];
    assert_eq!(diff, expected);
    // The same invoice once more settles nothing.
    assert_eq!(admin.rows(&import)[0][1..], ["4", "0"]);
    check_books(&stage);
}

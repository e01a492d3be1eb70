//! Periods: a job counts in the one in which it was queued, and each one begins anew. A test cannot turn the clock, so it
//! makes what happened older.

use image_gen_tests::{Session, Stage};
use serde_json::json;

use crate::common::{PRO, check_all, check_books, credits, stage};

/// Everything so far happened this much earlier.
fn pass(admin: &mut Session, time: &str) {
    admin.run(&format!(
        "UPDATE image_gen_internal.budget_charges SET at = at - interval '{time}';
         UPDATE image_gen.jobs SET created_at = created_at - interval '{time}';
         UPDATE image_gen_internal.budget_totals SET since = since - interval '{time}';
         UPDATE image_gen.budget_changes SET valid_from = valid_from - interval '{time}', valid_until = valid_until - interval '{time}'"
    ));
}

fn one(stage: &Stage, session: &mut Session, more: &str) {
    let id = session.generate_with(&format!("prompt => 'one', {PRO}{more}"));
    session.all_succeed(&[id]);
    check_books(stage);
}

fn refused(session: &mut Session, more: &str) {
    assert_eq!(
        session.sqlstate(&format!("SELECT image_gen.generate(prompt => 'refused', {PRO}{more})")),
        "53400"
    );
}

#[test]
fn each_period_begins_anew() {
    let stage = stage(&["bfl"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    for (period, time) in [
        ("day", "1 day"),
        ("week", "7 days"),
        ("month", "31 days"),
        ("quarter", "92 days"),
        ("year", "366 days"),
        ("1 hour", "61 minutes"),
        ("rolling 30 days", "30 days 1 minute"),
    ] {
        admin.run(&format!(
            "SELECT image_gen.set_budget('campaign', '{period}', 0.05, '{period}', time_zone => 'Asia/Tokyo');
             SELECT image_gen.grant_campaign('{period}', 'alice')"
        ));
        let more = format!(", metadata => '{{\"campaign\": \"{period}\"}}'");
        let name = format!("campaign:{period}");
        for _ in 0..2 {
            one(&stage, &mut alice, &more);
            refused(&mut alice, &more);
            assert_eq!(credits(&mut alice, &name), "0.04 0 0.01", "{period}");
            pass(&mut admin, time);
            // Before anybody has queued in the new period it is free already.
            assert_eq!(credits(&mut alice, &name), "0 0 0.05", "{period}");
            check_books(&stage);
        }
        one(&stage, &mut alice, &more);
        assert_eq!(credits(&mut alice, &name), "0.04 0 0.01", "{period}");
        admin.run(&format!("SELECT image_gen.set_budget('campaign', '{period}', NULL, '{period}')"));
    }
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 0.05)");
    refused(&mut alice, "");
    check_all(&stage);
}

#[test]
fn periods_follow_the_wall_clock_of_their_zone() {
    let stage = stage(&["bfl"], &[]);
    let mut admin = stage.admin();
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 1, 'day', time_zone => 'Europe/Berlin')");
    let mut bounds = |period: &str, zone: &str, at: &str| {
        admin.text(&format!(
            "SELECT concat_ws(' ', to_char(image_gen_internal.period_start(b, m) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI'),
                              to_char(image_gen_internal.period_end(b, m) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI'))
               FROM (SELECT (jsonb_populate_record(b, jsonb_build_object('period', '{period}', 'time_zone', '{zone}'))).* FROM image_gen.budgets b) b,
                    LATERAL (SELECT '{at}'::timestamptz) AS t(m)"
        ))
    };
    // The day on which clocks go forward has 23 hours, the other one 25.
    assert_eq!(bounds("day", "Europe/Berlin", "2026-03-29 12:00Z"), "2026-03-28T23:00 2026-03-29T22:00");
    assert_eq!(bounds("day", "Europe/Berlin", "2026-10-25 12:00Z"), "2026-10-24T22:00 2026-10-25T23:00");
    assert_eq!(bounds("day", "Asia/Tokyo", "2026-05-01 14:59Z"), "2026-04-30T15:00 2026-05-01T15:00");
    assert_eq!(bounds("week", "UTC", "2026-11-22 23:59Z"), "2026-11-16T00:00 2026-11-23T00:00");
    assert_eq!(bounds("month", "America/New_York", "2026-03-31 12:00Z"), "2026-03-01T05:00 2026-04-01T04:00");
    assert_eq!(bounds("quarter", "UTC", "2026-12-31 23:00Z"), "2026-10-01T00:00 2027-01-01T00:00");
    assert_eq!(bounds("year", "Asia/Tokyo", "2026-12-31 15:00Z"), "2026-12-31T15:00 2027-12-31T15:00");
}

#[test]
fn a_job_counts_in_the_period_in_which_it_was_queued() {
    let stage = stage(&["bfl"], &[]);
    stage.sim.configure(&json!({"render_seconds": 1.5}));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 0.05, 'day'); SELECT image_gen.set_budget('role', 'alice', 1)");
    let id = alice.generate_with(&format!("prompt => 'yesterday', {PRO}"));
    stage.accepted(1);
    assert_eq!(credits(&mut alice, "workspace"), "0 0.04 0.01");
    pass(&mut admin, "1 day");
    assert_eq!(credits(&mut alice, "workspace"), "0 0 0.05");
    let today = alice.generate_with(&format!("prompt => 'today', {PRO}"));
    alice.all_succeed(&[id, today]);
    assert_eq!(credits(&mut alice, "workspace"), "0.04 0 0.01");
    assert_eq!(credits(&mut alice, "role:alice"), "0.08 0 0.92");
    check_all(&stage);
}

#[test]
fn grants_and_other_amounts_end() {
    let stage = stage(&["bfl"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let limit = |session: &mut Session| {
        session.text("SELECT trim_scale(limit_amount) FROM image_gen.credits() WHERE scope = 'workspace'")
    };
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 0.05, 'month')");
    one(&stage, &mut alice, "");
    refused(&mut alice, "");
    // A grant is for this month.
    assert_eq!(
        admin.text(
            "SELECT trim_scale(available) FROM image_gen.grant_credits(0.04, note => 'for the launch')"
        ),
        "0.05"
    );
    assert!(admin.truth(
        "SELECT valid_until = (date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC'
           FROM image_gen.budget_changes"
    ));
    one(&stage, &mut alice, "");
    pass(&mut admin, "31 days");
    assert_eq!(credits(&mut alice, "workspace"), "0 0 0.05", "a new month, and the grant is gone");
    // Another amount for a while; the newest counts; a grant comes on top.
    admin.run(
        "SELECT image_gen.set_budget('workspace', NULL, 3, 'month', until => clock_timestamp() + '2 hours');
         SELECT image_gen.set_budget('workspace', NULL, 2, 'month', until => clock_timestamp() + '1 hour');
         SELECT image_gen.grant_credits(0.5, until => clock_timestamp() + '30 minutes')",
    );
    let mut seen = vec![limit(&mut alice)];
    for _ in 0..4 {
        admin.run("UPDATE image_gen.budget_changes SET valid_from = valid_from - interval '29 min 59 s', valid_until = valid_until - interval '30 min 1 s'");
        seen.push(limit(&mut alice));
    }
    assert_eq!(seen, ["2.5", "2", "3", "3", "0.05"]);
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.budget_changes"), 4, "they are kept");
    // A grant to a total is for good.
    admin.run("SELECT image_gen.set_budget('workspace', NULL, NULL, 'month'); SELECT image_gen.set_budget('workspace', NULL, 1); SELECT image_gen.grant_credits(1)");
    assert!(admin.truth("SELECT valid_until = 'infinity' FROM image_gen.budget_changes"));
    check_all(&stage);
}

#[test]
fn a_teams_budget_is_for_its_members() {
    let stage = stage(&["bfl"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("CREATE ROLE studio; CREATE ROLE brand; GRANT studio TO brand; GRANT brand TO alice");
    admin.run("SELECT image_gen.set_budget('role', 'studio', 0.05); SELECT image_gen.set_budget('role', 'brand', 1)");
    one(&stage, &mut alice, "");
    refused(&mut alice, "");
    assert_eq!(credits(&mut alice, "role:studio"), "0.04 0 0.01");
    assert_eq!(credits(&mut alice, "role:brand"), "0.04 0 0.96");
    // Bob is in no team, and a superuser is not in all of them.
    one(&stage, &mut stage.bob(), "");
    one(&stage, &mut admin, "");
    assert_eq!(credits(&mut admin, "role:studio"), "0.04 0 0.01");
    // Each sees his own: workspace, himself, his teams, and what his jobs count in.
    admin.run("SELECT image_gen.set_budget('campaign', 'secret', 1); SELECT image_gen.set_budget('role', 'bob', 1); SELECT image_gen.set_budget('workspace', NULL, 1)");
    let seen = |session: &mut Session| session.column("SELECT scope FROM image_gen.credits()").join(" ");
    assert_eq!(seen(&mut alice), "workspace role:brand role:studio role:alice");
    assert_eq!(seen(&mut stage.bob()), "workspace role:bob");
    one(&stage, &mut stage.bob(), ", metadata => '{\"campaign\": \"secret\"}'");
    assert_eq!(seen(&mut stage.bob()), "workspace role:bob campaign:secret");
    assert_eq!(seen(&mut admin), "workspace role:bob role:brand role:studio campaign:secret role:postgres");
    check_all(&stage);
}

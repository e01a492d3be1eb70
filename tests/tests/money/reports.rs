//! After: what each campaign, ticket and quarter cost, as the providers' ledger has it.

use serde_json::json;

use crate::common::{PRO, check_all, refuse, stage};

#[test]
fn reports_are_the_ledger() {
    // S69, S70, S71
    let stage = stage(&["bfl", "ideogram", "openai"], &[]);
    refuse(&stage, "a woman");
    let (mut admin, mut alice, mut bob) = (stage.admin(), stage.alice(), stage.bob());
    let metadata = |campaign: &str, ticket: &str, shot: &str| {
        format!(
            "metadata => '{{\"campaign\": \"{campaign}\", \"ticket\": \"{ticket}\", \"shot\": \"{shot}\"}}'"
        )
    };
    let mut ids = vec![];
    for (n, (campaign, ticket)) in
        [("aurora", "MKT-1"), ("aurora", "MKT-2"), ("summer", "MKT-2")].iter().enumerate()
    {
        ids.push(alice.generate_with(&format!(
            "prompt => '[{campaign}] [{ticket}] {n}', {PRO}, {}",
            metadata(campaign, ticket, "hero")
        )));
    }
    // A billed refusal, two steps, and an image of bob's that has no campaign.
    ids.push(alice.generate_with(&format!(
        "prompt => 'a woman [aurora] [MKT-1]', model => 'ideogram:ideogram-v2a', {}",
        metadata("aurora", "MKT-1", "lifestyle")
    )));
    ids.push(bob.generate_with("prompt => 'bob [none]', model => 'openai:gpt-image-2', n => 2, quality => 'low', width => 1024, height => 1024"));
    admin.all_succeed(&ids);
    for (view, key, values) in [
        ("cost_by_campaign", "campaign", ["aurora", "summer"]),
        ("cost_by_ticket", "ticket", ["MKT-1", "MKT-2"]),
    ] {
        for value in values {
            let (_, billed) = stage.sim.billed_of(&format!("[{value}]"));
            let calls = stage.sim.submits_of(&format!("[{value}]")).len();
            let booked = admin.rows(&format!("SELECT (billed * 1000000)::bigint, calls, unknown_costs FROM image_gen.{view} WHERE {key} = '{value}'"));
            assert_eq!(booked, [[billed.to_string(), calls.to_string(), "0".into()]], "{view} {value}");
            let assets = admin.text(&format!("SELECT (sum(billed_cost) * 1000000)::bigint FROM image_gen.campaign_assets WHERE {key} = '{value}'"));
            assert_eq!(assets, billed.to_string(), "the cost story and the asset story are one");
        }
    }
    let aurora = admin.rows("SELECT jobs, images, calls, billed, refusals, retries, wasted FROM image_gen.cost_by_campaign WHERE campaign = 'aurora'");
    assert_eq!(aurora, [["3", "3", "4", "0.16", "1", "1", "0.04"]]);
    // The whole, by whatever dimension, is the ledger's total.
    let total = stage.sim.totals().all.billed.normalize().to_string();
    for dimensions in [
        "{}",
        "{campaign}",
        "{ticket}",
        "{shot}",
        "{owner}",
        "{batch}",
        "{operation}",
        "{provider}",
        "{model}",
        "{status}",
        "{error_code}",
        "{cost_source}",
        "{day}",
        "{week}",
        "{month}",
        "{quarter}",
        "{year}",
        "{metadata:ticket}",
        "{campaign,quarter,provider}",
    ] {
        let sum = admin.text(&format!(
            "SELECT trim_scale(sum(billed)) FROM image_gen.cost_report(dimensions => '{dimensions}')"
        ));
        assert_eq!(sum, total, "{dimensions}");
    }
    let quarter = admin.rows(
        "SELECT dimension ->> 'quarter' = to_char(now(), 'YYYY-\"Q\"Q') FROM image_gen.cost_report(date_trunc('quarter', now()), date_trunc('quarter', now()) + interval '3 months', '{quarter}')",
    );
    assert_eq!(quarter, [["t"]]);
    assert!(admin.rows("SELECT 1 FROM image_gen.cost_report(to_time => date_trunc('quarter', now()) - interval '1 s')").is_empty());
    // Each sees his own.
    let own = |session: &mut image_gen_tests::Session| {
        session.text("SELECT string_agg(DISTINCT owner::text, ' ') FROM image_gen.spending")
    };
    assert_eq!((own(&mut alice), own(&mut bob)), ("alice".to_owned(), "bob".to_owned()));
    assert_eq!(bob.rows("SELECT campaign, images FROM image_gen.cost_by_campaign"), [["", "2"]]);
    // P30: tokens are kept where the provider counts them, and are what it billed.
    let tokens = admin.text("SELECT tokens FROM image_gen.spending WHERE provider = 'openai'");
    let tokens: serde_json::Value = serde_json::from_str(&tokens).unwrap();
    assert!(tokens["text_in"].as_i64() > Some(0) && tokens["image_out"].as_i64() > Some(0), "{tokens}");
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.spending WHERE tokens IS NULL"), 5);
    check_all(&stage);
}

#[test]
fn a_launch_is_compared_with_a_designer() {
    // S78: four shots, 90 minutes at 80 USD an hour.
    let stage = stage(&["bfl"], &[]);
    let mut alice = stage.alice();
    stage.sim.configure(&json!({"render_seconds": 0.1}));
    let ids: Vec<String> =
        (0..4).map(|n| alice.generate_with(&format!("prompt => 'shot {n}', {PRO}"))).collect();
    alice.all_succeed(&ids);
    let row = alice.rows(
        "SELECT images, billed, designer_rate_per_hour, designer_minutes_per_image, designer_cost, saved FROM image_gen.cost_report(designer_rate => 80)",
    );
    assert_eq!(row, [["4", "0.16", "80", "22.5", "120", "119.84"]]);
    assert_eq!(alice.rows("SELECT designer_cost, saved FROM image_gen.cost_report()"), [["", ""]]);
    assert_eq!(alice.sqlstate("SELECT image_gen.cost_report(designer_rate => -1)"), "22023");
    check_all(&stage);
}

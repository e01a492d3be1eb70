//! Prices change: what is booked stays, and reports can be asked what it would be now.

use crate::common::{PRO, check_all, check_books, credits, stage};

#[test]
fn a_corrected_price_changes_no_booking() {
    // N13. fal says no cost, so its calls are priced by the table; BFL's are its own word.
    let stage = stage(&["fal", "bfl"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 1)");
    let fal = "model => 'fal:flux-1.1-pro', width => 512, height => 512";
    let mut ids: Vec<String> =
        (0..3).map(|n| alice.generate_with(&format!("prompt => 'priced {n}', {fal}"))).collect();
    ids.push(alice.generate_with(&format!("prompt => 'reported', {PRO}")));
    alice.all_succeed(&ids);
    check_all(&stage);
    let report = "SELECT dimension ->> 'provider', billed, restated_cost FROM image_gen.cost_report(dimensions => '{provider}', restated => true)";
    assert_eq!(alice.rows(report), [["fal", "0.12", "0.12"], ["bfl", "0.04", "0.04"]]);
    admin.run(
        "UPDATE image_gen.prices SET amount = 0.05 WHERE provider_kind = 'fal' AND model = 'flux-1.1-pro'",
    );
    admin.run(
        "UPDATE image_gen.prices SET amount = 0.99 WHERE provider_kind = 'bfl' AND model = 'flux-1.1-pro'",
    );
    assert_eq!(
        alice.rows(report),
        [["fal", "0.12", "0.15"], ["bfl", "0.04", "0.04"]],
        "a provider's word has no price"
    );
    assert_eq!(credits(&mut alice, "workspace"), "0.16 0 0.84");
    assert_eq!(alice.rows("SELECT restated_cost FROM image_gen.cost_report()"), [[""]]);
    // From yesterday on another price: what was before has the old one.
    admin.run(
        "UPDATE image_gen.prices SET valid_to = current_date - 1 WHERE provider_kind = 'fal' AND model = 'flux-1.1-pro';
         INSERT INTO image_gen.prices (provider_kind, model, unit, amount, valid_from) VALUES ('fal', 'flux-1.1-pro', 'begun_megapixel', 0.07, current_date - 1)",
    );
    admin.run(&format!(
        "UPDATE image_gen.attempts SET created_at = created_at - interval '10 days' WHERE job_id = '{}'",
        ids[0]
    ));
    assert_eq!(alice.rows(report)[0], ["fal", "0.12", "0.19"]);
    let id = alice.generate_with(&format!("prompt => 'new price', {fal}"));
    alice.all_succeed(std::slice::from_ref(&id));
    assert_eq!(alice.job(&id).billed_cost, "0.07");
    check_books(&stage);
}

#[test]
fn a_price_in_another_currency_is_booked_in_it() {
    let stage = stage(&["fal"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run(
        "INSERT INTO image_gen.prices (provider_kind, model, unit, amount, currency) VALUES ('fal', 'flux-1.1-pro', 'image', 0.035, 'EUR')",
    );
    let fal = "model => 'fal:flux-1.1-pro', width => 512, height => 512";
    let estimate = alice.rows("SELECT estimated_cost, currency, warnings -> 0 ->> 'code' FROM image_gen.estimate('generate', '{\"prompt\": \"x\", \"model\": \"fal:flux-1.1-pro\"}')");
    assert_eq!(estimate, [["", "USD", "unpriced"]]);
    let id = alice.generate_with(&format!("prompt => 'euro', n => 2, {fal}"));
    let usd = alice.generate_with("prompt => 'dollar', model => 'fal:flux-dev', width => 512, height => 512");
    alice.all_succeed(&[id.clone(), usd]);
    let booked = alice.rows(&format!("SELECT billed_cost, currency FROM image_gen.jobs WHERE id = '{id}'"));
    assert_eq!(booked, [["0.070", "EUR"]]);
    let assets = alice.rows(&format!(
        "SELECT trim_scale(billed_cost), currency FROM image_gen.campaign_assets WHERE job_id = '{id}'"
    ));
    assert_eq!(assets, vec![["0.035", "EUR"]; 2]);
    let by_currency =
        alice.rows("SELECT currency, billed, images FROM image_gen.cost_report() ORDER BY currency");
    assert_eq!(by_currency, [["EUR", "0.07", "2"], ["USD", "0.025", "1"]]);
    assert_eq!(
        alice.rows("SELECT currency, billed FROM image_gen.cost_by_campaign ORDER BY currency"),
        [["EUR", "0.07"], ["USD", "0.025"]]
    );
    // A budget in USD cannot hold it.
    admin.run("SELECT image_gen.set_budget('workspace', NULL, 1)");
    assert_eq!(credits(&mut alice, "workspace"), "0.025 0 0.975");
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.generate(prompt => 'euro', {fal})")), "53400");
    check_books(&stage);
}

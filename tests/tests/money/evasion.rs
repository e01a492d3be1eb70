//! An ordinary user tries everything to spend more than its budget. The judge is the providers' ledger.

use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Session, Stage, wait_until};
use rust_decimal::Decimal;
use serde_json::json;

use crate::common::check_books;
use crate::property::Dice;

/// What is allowed to go wrong for one who tries: no room, no right, no such job, not now, no such argument.
const REFUSALS: [&str; 9] = ["53400", "42501", "42704", "55000", "22023", "23505", "0A000", "22004", "2BP01"];

/// Models whose estimates are what their providers bill: so no bill is a surprise.
const MODELS: [&str; 4] = [
    "model => 'bfl:flux-1.1-pro', width => 256, height => 256",
    "model => 'ideogram:ideogram-v2a'",
    "model => 'ideogram:ideogram-v2a', n => 2",
    "model => 'flux-1.1-pro', width => 512, height => 512",
];

/// Models without a price.
const UNPRICED: [&str; 2] =
    ["model => 'fal:flux-2-dev', width => 512, height => 512", "model => 'fal:owner/app'"];

const FATES: [&str; 6] = ["", "", "[refused]", "[lost]", "[cut]", "[failing]"];

fn fates(stage: &Stage) {
    for (word, fault) in [
        ("[refused]", json!("refuse")),
        ("[lost]", json!("drop_after_accept")),
        ("[cut]", json!("drop_mid_body")),
        ("[failing]", json!("task_error")),
    ] {
        stage.sim.rule(json!({"phase": "submit", "prompt_contains": word, "fault": fault}));
    }
}

/// Metadata that could pass for something else.
const METADATA: [&str; 8] = [
    "{}",
    "{\"campaign\": \"a\"}",
    "{\"campaign\": null}",
    "{\"campaign\": [\"a\"]}",
    "{\"campaign\": \"A \", \"owner\": \"bob\", \"batch\": \"bat_x\", \"login\": \"bob\"}",
    "{\"campaign\": \"a\", \"billed_cost\": 0, \"cost_source\": \"reported\"}",
    "{\"workspace\": \"other\", \"role\": \"bob\", \"metadata:campaign\": \"b\"}",
    "{\"ticket\": \"T-1\", \"campaign\": {\"campaign\": \"b\"}}",
];

/// One try: what alice says next.
fn say(dice: &mut Dice, ids: &[String], n: u64) -> String {
    let fate = dice.pick(&FATES);
    let metadata = dice.pick(&METADATA);
    let id = match ids.is_empty() {
        true => "gen_none".to_owned(),
        false => ids[dice.roll(ids.len() as u64) as usize].clone(),
    };
    let cost = dice.pick(&["0", "0.01", "0.04", "1e30", "-1", "'NaN'", "NULL"]);
    match dice.roll(20) {
        0..=5 => {
            let mut call = format!("prompt => 'a woman {fate} {n}', {}, metadata => '{metadata}'", dice.pick(&MODELS));
            if dice.roll(3) == 0 {
                call += &format!(", idempotency_key => 'key {}'", dice.roll(4));
            }
            if dice.roll(4) == 0 {
                call += &format!(", max_cost => {}", dice.pick(&["0", "0.05", "1e-40", "99999999", "1e10"]));
            }
            format!("SELECT id FROM image_gen.generate({call})")
        }
        6 => format!(
            "SELECT id FROM image_gen.generate('x {fate}', {}, allow_unpriced => true, metadata => '{metadata}')",
            dice.pick(&UNPRICED)
        ),
        7 => format!("SELECT id FROM image_gen.generate('x {fate}', {})", dice.pick(&UNPRICED)),
        8 => format!(
            "SELECT id FROM image_gen.generate_batch('{{\"a\": {{\"prompt\": \"x {fate}\"}}, \"b\": {{\"prompt\": \"y\", \"allow_unpriced\": {}}}}}',
                '{{\"model\": \"bfl:flux-1.1-pro\", \"metadata\": {metadata}}}', max_cost => {})",
            dice.roll(3) == 0,
            dice.pick(&["0.09", "0", "50", "NULL"])
        ),
        9 => format!("SELECT id FROM image_gen.cancel('{id}')"),
        10..=14 => {
            let action = dice.pick(&[
                "'reject'",
                "'retry'",
                "'rewrite', prompt => 'a cup'",
                "'switch_model', model => 'ideogram:ideogram-v2a'",
                "'approve', url => 'https://example.org/a.png'",
            ]);
            let cost = if dice.roll(2) == 0 { format!(", billed_cost => {cost}") } else { String::new() };
            format!("SELECT id FROM image_gen.resolve_review('{id}', {action}{cost})")
        }
        15 => format!("SELECT id FROM image_gen.settle_cost('{id}', 1, {cost}, force => true)"),
        16 => dice
            .pick(&[
                "SELECT image_gen.set_budget('workspace', NULL, 100)",
                "SELECT image_gen.grant_credits(100)",
                "SELECT image_gen.set_role_policy('alice', allow_unpriced => true)",
                "UPDATE image_gen.attempts SET billed_cost = 0, cost_source = 'reported'",
                "DELETE FROM image_gen_internal.budget_charges",
                "SELECT image_gen_internal.record_cost('x', 1, 0, 'review', NULL, true)",
                "SELECT image_gen_internal.reserve('{}', false)",
                "SELECT image_gen.import_invoice('bfl', '2000-01-01', '2100-01-01', 0, '[]')",
            ])
            .to_owned(),
        17 => "SET ROLE team".to_owned(),
        18 => "RESET ROLE".to_owned(),
        _ => "SELECT id FROM image_gen.claim_review(2)".to_owned(),
    }
}

/// A round under a budget of 0.50: everything that alice says is from the seed.
fn round(seed: u64, limit: &str) {
    let stage = Stage::with(Options::all_keys(&["image_gen.breaker_failures = 0"]));
    stage.sim.configure(&json!({"render_seconds": 0.05}));
    fates(&stage);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run(&format!(
        "UPDATE image_gen.providers SET enabled = id IN ('bfl', 'ideogram', 'fal');
         CREATE ROLE team IN ROLE image_gen_user; GRANT team TO alice;
         SELECT image_gen.set_budget({limit}, 0.5)"
    ));
    let mut dice = Dice(seed);
    let mut ids: Vec<String> = vec![];
    let (mut said, mut refused) = (0, 0);
    for n in 0..120 {
        let statement = say(&mut dice, &ids, n);
        said += 1;
        match alice.try_rows(&statement) {
            Ok(rows) => ids.extend(
                rows.into_iter().filter_map(|row| row.into_iter().next()).filter(|id| id.starts_with("gen_")),
            ),
            Err(error) => {
                let error = error.as_db_error().unwrap_or_else(|| panic!("{statement}: {error:?}"));
                assert!(REFUSALS.contains(&error.code().code()), "seed {seed}, {statement}: {error:?}");
                refused += 1;
            }
        }
        if n % 10 == 9 {
            all_over(&mut admin);
        }
    }
    all_over(&mut admin);
    check_books(&stage);
    let billed: Decimal = stage.sim.billed().parse().unwrap();
    let standing = admin.rows(&format!(
        "SELECT spent + reserved, spent, reserved FROM image_gen.credits() WHERE scope = concat_ws(':', {})",
        limit.replace(", NULL", "")
    ));
    println!("seed {seed}, {limit}: {said} said, {refused} refused, billed {billed}, standing {standing:?}");
    let counted: Decimal = standing[0][0].parse().unwrap();
    assert!(billed <= counted, "seed {seed}: {billed} was billed, {counted} counts");
    assert!(counted <= "0.5".parse().unwrap(), "seed {seed}: {counted} of 0.5");
    assert!(
        said - refused > 30 && refused > 20 && billed > "0.1".parse().unwrap(),
        "the round was none: {said} {refused} {billed}"
    );
}

fn all_over(admin: &mut Session) {
    wait_until("all have ended", secs(60), || {
        admin.number("SELECT count(*) FROM image_gen.jobs WHERE finished_at IS NULL") == 0
    });
}

#[test]
fn no_words_of_an_ordinary_user_spend_more_than_its_budget() {
    // A5
    for (n, limit) in ["'workspace', NULL", "'role', 'alice'"].into_iter().enumerate() {
        round(20_261_129 + n as u64, limit);
    }
}

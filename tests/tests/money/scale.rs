//! Batches with a limit of their own are never forgotten: thousands of them must not be felt.

use crate::common::{PRO, check_books, stage};

#[test]
fn old_limits_cost_nothing() {
    let stage = stage(&["bfl"], &[]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run(
        "INSERT INTO image_gen.budgets (scope, key, amount, set_by) SELECT 'batch', 'bat_' || n, 1, 'alice' FROM generate_series(1, 20000) n;
         INSERT INTO image_gen.budgets (scope, key, amount, set_by) SELECT 'campaign', 'c' || n, 1, 'alice' FROM generate_series(1, 20000) n;
         INSERT INTO image_gen.budget_totals (budget_id, since) SELECT id, '-infinity' FROM image_gen.budgets;
         ANALYZE image_gen.budgets, image_gen.budget_totals",
    );
    // What every job asks again and again reads a few rows, by the index.
    let read = |session: &mut image_gen_tests::Session| {
        session.number("SELECT (pg_stat_get_xact_tuples_returned('image_gen.budgets'::regclass) + pg_stat_get_xact_tuples_fetched('image_gen.budgets'::regclass))")
    };
    admin.run("BEGIN");
    assert_eq!(
        admin.number("SELECT count(*) FROM image_gen._applicable('alice', '{\"campaign\": \"c7\", \"shot\": \"x\"}', 'bat_9')"),
        2
    );
    let rows = read(&mut admin);
    admin.run("COMMIT");
    println!("{rows} rows of 40000 were read");
    assert!(rows < 100, "{rows} rows were read");
    let shots = "{\"x\": {\"prompt\": \"x\"}, \"y\": {\"prompt\": \"y\"}}";
    let ids = alice.column(&format!("SELECT id FROM image_gen.generate_batch('{shots}', '{{\"model\": \"bfl:flux-1.1-pro\"}}', max_cost => 0.1)"));
    let one = alice.generate_with(&format!("prompt => 'one', metadata => '{{\"campaign\": \"c7\"}}', {PRO}"));
    alice.all_succeed(&ids);
    alice.all_succeed(&[one]);
    check_books(&stage);
}

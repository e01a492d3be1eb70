//! What an ordinary role can write into the arguments of its calls harms nothing but its own call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use image_gen_tests::hostile::{Call, calls};
use image_gen_tests::picture::{data_uri, photo};
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Stage, wait_until};
use postgres::error::SqlState;
use rust_decimal::Decimal;
use serde_json::Value;

/// How many calls are made.
const CALLS: usize = 504;

#[test]
fn five_hundred_hostile_submissions_end_as_errors_of_their_caller_or_as_jobs_that_end() {
    let stage = Stage::with(Options::all_keys(&["image_gen.rescan_interval = '100ms'"]));
    let (mut admin, mut bystander, mut alice) = (stage.admin(), stage.bob(), stage.alice());
    let theirs = bystander.generate("of bob alone");
    bystander.all_succeed(std::slice::from_ref(&theirs));
    let asset = admin.text(&format!("SELECT id FROM image_gen.campaign_assets WHERE job_id = '{theirs}'"));
    let (worker, backend) = (stage.worker(), bystander.pid());
    // Its argument has the caller's metadata in it.
    admin.run(
        "CREATE ROLE cms; CREATE SCHEMA cms AUTHORIZATION cms; SET ROLE cms;
         CREATE TABLE cms.told (job text);
         CREATE FUNCTION cms.tell(event jsonb) RETURNS void LANGUAGE sql
           AS $$ INSERT INTO cms.told VALUES (event #>> '{job,id}') $$;
         RESET ROLE; SELECT image_gen.on_finish('cms.tell(jsonb)')",
    );
    let started = admin.text("SELECT pg_postmaster_start_time()");

    let photo = data_uri(&photo(64, 64, 7));
    let mut broken = vec![];
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for Call { what, sql } in
        calls(&mut admin, CALLS, &photo, &[format!("asset:{asset}"), format!("job:{theirs}")])
    {
        let end = match alice.try_rows(&sql) {
            Ok(_) => "taken".to_owned(),
            Err(e) => match e.as_db_error() {
                Some(error) => {
                    if *error.code() == SqlState::INTERNAL_ERROR || error.severity() != "ERROR" {
                        broken.push(format!("{what}: {} {}", error.code().code(), cut(error.message())));
                    }
                    error.code().code().to_owned()
                }
                None => {
                    broken.push(format!("{what}: the connection is lost: {e:?}"));
                    alice = stage.alice();
                    "lost".to_owned()
                }
            },
        };
        *ends.entry(end).or_default() += 1;
    }
    println!("{CALLS} calls: {ends:?}");
    assert!(broken.is_empty(), "{} of {CALLS}:\n{}", broken.len(), broken.join("\n"));

    wait_until("all jobs end", secs(120), || {
        admin.number("SELECT count(*) FROM image_gen.jobs WHERE status IN ('queued', 'running')") == 0
    });
    wait_until("all are told", secs(60), || {
        admin.number("SELECT count(*) FROM image_gen_internal.callback_queue") == 0
    });
    assert_eq!(
        admin.number("SELECT count(*) FROM cms.told"),
        admin.number("SELECT count(*) FROM image_gen.jobs WHERE owner = 'alice'::regrole")
    );
    let ended = "SELECT status, error_code, count(*) FROM image_gen.jobs GROUP BY 1, 2 ORDER BY 1, 2";
    println!("{:?}", admin.rows(ended));
    let misread = "SELECT count(*) FROM image_gen.jobs WHERE error_message LIKE 'the job is not understood%'";
    assert_eq!(admin.number(misread), 0, "what the worker cannot read is refused at the call");
    assert!(admin.number("SELECT count(*) FROM image_gen.jobs WHERE owner = 'alice'::regrole") > 0);
    assert_eq!(admin.text("SELECT pg_postmaster_start_time()"), started, "the server did not crash");
    assert_eq!(stage.worker(), worker, "the worker is the same process");
    assert_eq!(bystander.pid(), backend, "the bystander's session lives on");
    assert_eq!(admin.text("SELECT last_error FROM image_gen.worker_status"), "");
    stage.sentinel();
    stage.check_money();
    // A model without a price costs what is not known, and that is no figure. All else is booked as it is billed.
    let unknown = "FROM image_gen.attempts WHERE billed_cost IS NULL";
    // (Nor is what a task cost that failed after it was taken on.)
    let priced = format!("SELECT count(*) {unknown} AND estimated_cost IS NOT NULL AND status = 'succeeded'");
    assert_eq!(admin.number(&priced), 0);
    let unknown = admin.column(&format!("SELECT remote_id {unknown}"));
    // The catalogue has a price per image for this one, and none of the tokens that go in, which are billed, too.
    let in_part = |entry: &&Value| entry["provider"] == "google" && entry["model"] == "gemini-3-pro-image";
    let is_known = |entry: &&Value| !unknown.iter().any(|id| entry["remote_id"] == id.as_str());
    let entries = stage.sim.entries();
    let submits = entries.iter().filter(|entry| entry["phase"] == "submit");
    let billed: Decimal = submits
        .filter(|entry| is_known(entry) && !in_part(entry))
        .filter_map(|entry| entry["billed"].as_str())
        .map(|amount| amount.parse::<Decimal>().unwrap())
        .sum();
    // A preview is drawn here, and asks no provider.
    let booked = admin.rows(
        "SELECT sum(sends), trim_scale(sum(billed_cost)
                  FILTER (WHERE (provider, model) <> ('google', 'gemini-3-pro-image')))
           FROM image_gen.attempts WHERE provider <> 'preview'",
    );
    let ledger = [stage.sim.submits().to_string(), billed.normalize().to_string()];
    assert_eq!(booked[0], ledger, "each request is an attempt, which is booked as it is billed");
    let unseen = bystander.number("SELECT count(*) FROM image_gen.jobs WHERE owner <> current_user::regrole");
    assert_eq!(unseen, 0, "no job of another role is shown");
}

/// The beginning of a message, which may repeat an argument.
fn cut(message: &str) -> String {
    message.chars().take(200).collect()
}

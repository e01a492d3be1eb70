//! Reuse: a request that was made before has the image of then, and costs nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::wait::secs;
use image_gen_tests::{Stage, wait_until};

const SAME: &str = "prompt => 'a red fox', model => 'gpt-image-2', reuse => '30 days'";

#[test]
fn an_identical_request_has_the_picture_of_the_earlier_one_at_no_cost() {
    let stage = Stage::start();
    let (mut admin, mut alice, mut bob) = (stage.admin(), stage.alice(), stage.bob());
    let first = alice.generate_with(SAME);
    // Under way, or there.
    assert_eq!(alice.generate_with(SAME), first);
    alice.all_succeed(std::slice::from_ref(&first));
    assert_eq!(
        alice.rows(&format!("SELECT id, status, estimated_cost FROM image_gen.generate({SAME}, metadata => '{{\"campaign\": \"spring\"}}')")),
        [[first.as_str(), "succeeded", "0"]]
    );
    assert_eq!(stage.sim.submits(), 1);
    assert_eq!(
        alice.rows("SELECT count(*), count(DISTINCT job_id), min(saved) = (SELECT billed_cost FROM image_gen.jobs) FROM image_gen.reuses WHERE metadata <> '{}'"),
        [["1", "1", "t"]]
    );
    assert_eq!(alice.number("SELECT count(*) FROM image_gen.reuses"), 2);
    // Anything else is another image: of another role, other words, another seed, another size, or not long ago enough.
    assert_ne!(bob.generate_with(SAME), first);
    assert_eq!(bob.number("SELECT count(*) FROM image_gen.reuses"), 0);
    for other in [
        "prompt => 'a red fox', model => 'gpt-image-2'",
        "prompt => 'a blue fox', model => 'gpt-image-2', reuse => '30 days'",
        "prompt => 'a red fox', model => 'gpt-image-2', seed => 7, reuse => '30 days'",
        "prompt => 'a red fox', model => 'gpt-image-2', width => 1024, height => 1536, reuse => '30 days'",
        "prompt => 'a red fox', model => 'preview', reuse => '30 days'",
    ] {
        assert_ne!(alice.generate_with(other), first, "{other}");
    }
    admin.run(&format!(
        "UPDATE image_gen.jobs SET created_at = created_at - interval '31 days' WHERE id = '{first}'"
    ));
    assert_ne!(alice.generate_with(SAME), first);
    assert_eq!(alice.sqlstate("SELECT image_gen.generate('x', reuse => '-1 day')"), "22023");
    stage.check_money();
}

#[test]
fn a_picture_that_cannot_be_had_any_more_is_made_again() {
    let stage = Stage::start();
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let first = alice.generate_with(SAME);
    alice.all_succeed(std::slice::from_ref(&first));
    admin.run("UPDATE image_gen.campaign_assets SET url_expires_at = clock_timestamp(); DELETE FROM image_gen_internal.blobs");
    assert_ne!(alice.generate_with(SAME), first);
}

#[test]
fn shots_of_a_batch_and_rows_of_a_table_share_a_picture() {
    let stage = Stage::start();
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    let batch = "SELECT count(DISTINCT id) FROM image_gen.generate_batch('{\"a\": {\"prompt\": \"x\", \"seed\": 1}, \"b\": {\"prompt\": \"x\", \"seed\": 1}, \"c\": {\"prompt\": \"y\", \"seed\": 1}}',
                 '{\"model\": \"preview\", \"reuse\": \"1 day\"}')";
    assert_eq!(alice.number(batch), 2);
    admin.run("GRANT CREATE ON SCHEMA public TO alice");
    alice.run("CREATE TABLE public.articles (id bigint PRIMARY KEY, title text, url text)");
    alice.run("SELECT image_gen.attach('public.articles', template => '{title}', into_column => 'url', arguments => '{\"model\": \"preview\", \"reuse\": \"1 day\"}')");
    alice.run("INSERT INTO public.articles SELECT n, 'the same' FROM generate_series(1, 3) n");
    let written = |n: i64| {
        format!(
            "SELECT count(*) = {n} AND count(DISTINCT url) = 1 FROM public.articles WHERE url IS NOT NULL AND title = 'the same'"
        )
    };
    wait_until("all have the one image", secs(30), || alice.truth(&written(3)));
    // One that is there already is written, too.
    alice.run("INSERT INTO public.articles VALUES (4, 'the same')");
    wait_until("the fourth has it", secs(30), || alice.truth(&written(4)));
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.jobs"), 3);
    // A row that wants another image calls off none that others wait for.
    alice.run("BEGIN; INSERT INTO public.articles VALUES (5, 'shared'), (6, 'shared'); UPDATE public.articles SET title = 'other' WHERE id = 5; COMMIT");
    wait_until("both have theirs", secs(30), || {
        alice.number("SELECT count(DISTINCT url) FROM public.articles WHERE id IN (5, 6)") == 2
    });
}

//! What becomes of jobs that ended long ago, and of what they cost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};

use image_gen_tests::sim::micros;
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Session, Stage, eventually, wait_until};
use serde_json::json;

/// All reports by what is kept, as the caller of the session sees them.
fn reports(session: &mut Session) -> Vec<Vec<String>> {
    const DIMENSIONS: [&str; 9] = [
        "",
        "campaign",
        "ticket,campaign",
        "owner,operation",
        "provider,model",
        "status,error_code,cost_source",
        "day,provider",
        "week,month,quarter,year",
        "campaign,ticket,owner,operation,provider,model,status,error_code,cost_source,day",
    ];
    let mut all = vec![];
    for zone in ["UTC", "Asia/Kathmandu"] {
        session.run(&format!("SET timezone = '{zone}'"));
        for dimensions in DIMENSIONS {
            all.extend(session.rows(&format!(
                "SELECT '{dimensions}', * FROM image_gen.cost_report(dimensions => '{{{dimensions}}}', restated => true, designer_rate => 80)
                  ORDER BY dimension, currency"
            )));
        }
    }
    session.run("RESET timezone");
    all.extend(session.rows("SELECT * FROM image_gen.cost_report(now() - interval '1 hour', now(), '{provider}') ORDER BY dimension"));
    all.extend(session.rows("SELECT * FROM image_gen.cost_by_campaign ORDER BY campaign, currency"));
    all.extend(session.rows("SELECT * FROM image_gen.cost_by_ticket ORDER BY ticket, currency"));
    all.extend(session.rows(
        "SELECT scope, trim_scale(spent), unknown_costs, trim_scale(reserved), trim_scale(available) FROM image_gen.credits() WHERE scope NOT LIKE 'batch:%' ORDER BY 1, 3",
    ));
    all.extend(session.rows("SELECT provider, what, invoiced, booked, difference FROM image_gen.invoice_diff WHERE what = 'total' ORDER BY 1"));
    all
}

/// What a new budget would say about the past, for each kind of period.
fn new_budgets(admin: &mut Session) -> Vec<Vec<String>> {
    let mut all = vec![];
    for scope in ["'workspace', NULL", "'role', 'bob'", "'campaign', 'aurora'", "'ticket', 'T-1'"] {
        for period in ["total", "week", "9 days"] {
            admin.run("BEGIN");
            all.extend(admin.rows(&format!("SELECT * FROM image_gen.set_budget({scope}, 1000, '{period}')")));
            admin.run("ROLLBACK");
        }
    }
    all
}

const JOBS: &str = "SELECT count(*) FROM image_gen.jobs";
const CHECK: &str = "SELECT * FROM image_gen.check_budgets()";

#[test]
fn what_is_pruned_stays_in_every_report_and_budget() {
    let stage = Stage::conf(&["image_gen.keep_bytes = 'all'", "image_gen.breaker_failures = 0"]);
    let mut admin = stage.admin();
    admin.run(
        "GRANT SELECT ON image_gen.invoice_diff, image_gen.invoices, image_gen.invoice_lines TO image_gen_user;
         SELECT image_gen.set_budget('workspace', NULL, 100);
         SELECT image_gen.set_budget('campaign', 'aurora', 50, 'month');
         SELECT image_gen.set_budget('role', 'alice', 20, '30 days')",
    );
    stage.sim.rule(json!({"prompt_contains": "[refused]", "phase": "submit", "times": 3, "fault": "refuse"}));
    stage.sim.rule(json!({"prompt_contains": "[outage]", "phase": "submit", "times": 2, "fault": {"kind": "status", "code": 503}}));
    stage.sim.rule(
        json!({"prompt_contains": "[wrong]", "phase": "submit", "fault": {"kind": "status", "code": 422}}),
    );
    stage.sim.rule(
        json!({"prompt_contains": "[content]", "fault": {"kind": "refuse", "stage": "content"}, "times": 1}),
    );
    let mut ids = vec![];
    let (mut alice, mut bob) = (stage.alice(), stage.bob());
    for n in 0..12 {
        let what =
            ["a fox", "a woman [content]", "[wrong]", "a fox [outage]", "a woman [refused]", "a fox"][n % 6];
        let model = ["bfl:flux-1.1-pro", "flux-1.1-pro", "openai:gpt-image-2.6-flare"][n % 3];
        let metadata = format!(
            r#"{{"campaign": "{}", "ticket": "T-{}", "shot": "s{n}"}}"#,
            ["aurora", "borealis"][n % 2],
            n % 3
        );
        let arguments = format!(
            "prompt => '{what} {n}', model => '{model}', width => 1024, height => 1024, metadata => '{metadata}'"
        );
        ids.push(if n % 2 == 0 { &mut alice } else { &mut bob }.generate_with(&arguments));
    }
    ids.push(
        alice.generate_with("prompt => 'no metadata', model => 'preview', width => 64, height => 64, n => 2"),
    );
    alice.text(
        "SELECT count(*) FROM image_gen.generate_batch('{\"a\": {\"prompt\": \"a fox\"}, \"b\": {\"prompt\": \"an owl\"}}',
           '{\"metadata\": {\"campaign\": \"aurora\"}, \"width\": 256, \"height\": 256}', max_cost => 1)",
    );
    wait_until("all end", secs(60), || admin.number("SELECT count(*) FROM image_gen_internal.queue") == 0);
    // A price that was wrong: restated says so, before and after.
    admin.run("INSERT INTO image_gen.prices (provider_kind, model, unit, amount) VALUES ('bfl', 'flux-1.1-pro', 'image', 0.05)");
    admin
        .run("SELECT image_gen.import_invoice('bfl', now() - interval '1 day', now() + interval '1 day', 1)");
    assert!(admin.rows(CHECK).is_empty());
    let look = |session: &mut Session| reports(session);
    let before = [look(&mut alice), look(&mut bob), look(&mut admin)];
    let budgets = new_budgets(&mut admin);
    let pictures = admin
        .rows("SELECT a.*, md5(image_gen.asset_bytes(a.id)) FROM image_gen.campaign_assets a ORDER BY id");
    assert!(before[2].len() > 50 && pictures.len() > 10, "{} {}", before[2].len(), pictures.len());
    let open = admin.number(
        "SELECT count(*) FROM image_gen.jobs j WHERE status = 'needs_review'
            OR EXISTS (SELECT FROM image_gen.attempts a WHERE a.job_id = j.id AND a.billed_cost IS NULL)",
    );
    let all = admin.number(JOBS);

    // In two steps, so that the archive gets a second part.
    assert_eq!(admin.number("SELECT image_gen.prune('0 s', 5)"), 5);
    assert_eq!([look(&mut alice), look(&mut bob), look(&mut admin)], before);
    assert!(admin.rows(CHECK).is_empty());
    assert_eq!(admin.number("SELECT image_gen.prune('0 s')"), all - open - 5);

    assert_eq!([look(&mut alice), look(&mut bob), look(&mut admin)], before);
    assert_eq!(new_budgets(&mut admin), budgets);
    assert!(admin.rows(CHECK).is_empty(), "{:?}", admin.rows(CHECK));
    admin.run("SELECT image_gen.recount_budgets()");
    assert_eq!(look(&mut admin), before[2]);
    assert_eq!(admin.number(JOBS), open);
    assert_eq!(
        admin.rows(
            "SELECT a.*, md5(image_gen.asset_bytes(a.id)) FROM image_gen.campaign_assets a ORDER BY id"
        ),
        pictures
    );
    // The cap of the batch has ended with it; the archive is smaller than what it stands for.
    assert_eq!(admin.number("SELECT count(*) FROM image_gen.budgets WHERE scope = 'batch'"), 0);
    let total = admin.text("SELECT sum(billed) FROM image_gen.cost_report()");
    assert_eq!(micros(&total), micros(&stage.sim.billed()));
    // A period that passes takes the charges of pruned jobs with it.
    admin.run("UPDATE image_gen_internal.budget_totals SET since = clock_timestamp() WHERE budget_id IN (SELECT id FROM image_gen.budgets WHERE period <> 'total')");
    admin.run("SELECT image_gen.prune('0 s'); UPDATE image_gen.jobs SET created_at = created_at - interval '1 hour'; SELECT image_gen.prune('0 s')");
    assert_eq!(
        admin.number("SELECT count(*) FROM image_gen_internal.budget_charges c JOIN image_gen.budgets b ON b.id = c.budget_id WHERE pruned AND b.period <> 'total'"),
        0
    );
}

#[test]
fn what_is_not_over_or_not_known_is_never_pruned() {
    let stage = Stage::conf(&["image_gen.shutdown_grace = 0"]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    stage.sim.rule(json!({"prompt_contains": "[drop]", "phase": "submit", "fault": "drop_after_accept"}));
    let done = alice.generate_with("prompt => 'a fox', idempotency_key => 'k', max_cost => 1");
    let uncertain = alice.generate("[drop]");
    let closed = alice.generate("[drop] too");
    let needed = alice.generate("an owl");
    alice.all_succeed(&[done.clone(), needed.clone()]);
    alice.done(&uncertain);
    alice.done(&closed);
    admin.run(&format!("SELECT image_gen.resolve_review('{closed}', 'reject')"));
    // As if another transaction were about to commit a job that waits for this one.
    admin
        .run(&format!("INSERT INTO image_gen_internal.job_dependencies (needs, seq, checked) VALUES ('{needed}', 999999, true)"));
    stage.sim.configure(&json!({"render_seconds": 20}));
    let running = alice.generate("slow");
    stage.accepted(3);
    let waiting = alice.text(&format!("SELECT id FROM image_gen.upscale('job:{running}')"));

    assert_eq!(admin.number("SELECT image_gen.prune('0 s')"), 1);
    let left = admin.column("SELECT id FROM image_gen.jobs ORDER BY seq");
    assert_eq!(left, [uncertain, closed.clone(), needed, running, waiting]);

    // It is gone for its owner too, who learns where the image is; its key is free.
    for call in [
        format!("image_gen.status('{done}')"),
        format!("image_gen.wait('{{{done}}}')"),
        format!("image_gen.cancel('{done}')"),
    ] {
        let error = alice.error(&format!("SELECT * FROM {call}"));
        assert_eq!(error.code().code(), "42704", "{call}");
        assert!(error.hint().unwrap().contains("campaign_assets"), "{error}");
    }
    assert_eq!(alice.sqlstate(&format!("SELECT image_gen.upscale('job:{done}')")), "42704");
    let asset = alice.text(&format!("SELECT id FROM image_gen.campaign_assets WHERE job_id = '{done}'"));
    alice.run(&format!("SELECT image_gen.upscale('asset:{asset}')"));
    assert_ne!(alice.generate_with("prompt => 'an owl', idempotency_key => 'k'"), done);

    // Known at last: it goes.
    admin.run(&format!("SELECT image_gen.settle_cost('{closed}', 1, 0.04)"));
    assert_eq!(admin.number("SELECT image_gen.prune('0 s')"), 1);
    for wrong in ["NULL", "'-1 day'", "'1 day', 0", "'1 day', NULL"] {
        assert_eq!(admin.sqlstate(&format!("SELECT image_gen.prune({wrong})")), "22023", "{wrong}");
    }
    assert_eq!(alice.sqlstate("SELECT image_gen.prune('0 s')"), "42501");
}

/// Writes finished jobs, each with one call of 0.04 USD and an asset, that ended this long ago.
fn history(admin: &mut Session, count: u64, age: &str) {
    admin.run(&format!(
        "WITH jobs AS (
           INSERT INTO image_gen.jobs (id, operation, task, status, prompt, model, seed, owner, billed_cost, cost_source, created_at, finished_at)
           SELECT image_gen_internal.new_job_id(), 'generate', 'generate', 'succeeded', 'old ' || n, 'flux-1.1-pro', n, 'alice', 0.04, 'reported',
                  clock_timestamp() - interval '{age}', clock_timestamp() - interval '{age}' FROM generate_series(1, {count}) n
           RETURNING id, created_at
         ), calls AS (
           INSERT INTO image_gen.attempts (job_id, number, provider, model, status, prompt, seed, seed_honored, billed_cost, cost_source, owner, epoch, created_at, finished_at)
           SELECT j.id, 1, 'bfl', 'flux-1.1-pro', 'succeeded', 'old', 1, true, 0.04, 'reported', 'alice', 0, j.created_at, j.created_at FROM jobs j
         )
         INSERT INTO image_gen.campaign_assets (job_id, position, url, provider, model, seed, prompt, billed_cost, cost_source, owner)
         SELECT j.id, 1, 'https://cdn.example/x', 'bfl', 'flux-1.1-pro', 1, 'old', 0.04, 'reported', 'alice' FROM jobs j"
    ));
}

#[test]
fn the_worker_prunes_in_small_batches_and_waits_for_no_lock() {
    let stage = Stage::with(Options::conf(&["autovacuum = off"]));
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    history(&mut admin, 1500, "3 days");
    history(&mut admin, 5, "1 day");
    let spent = "SELECT jobs, calls, images, billed FROM image_gen.cost_by_campaign";
    let before = admin.rows(spent);
    // What each statement removes.
    admin.run(
        "CREATE TABLE public.removed (jobs bigint);
         GRANT INSERT ON public.removed TO image_gen_worker;
         CREATE FUNCTION public.count_removed() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
           INSERT INTO public.removed SELECT count(*) FROM gone;
           RETURN NULL;
         END $$;
         CREATE TRIGGER count_removed AFTER DELETE ON image_gen.jobs REFERENCING OLD TABLE AS gone
           FOR EACH STATEMENT EXECUTE FUNCTION public.count_removed()",
    );
    stage.sentinel();
    assert_eq!(
        admin.number("SELECT count(*) FROM public.removed"),
        0,
        "nothing is pruned until somebody says so"
    );

    // Somebody looks at one job and at the call of another for a long time.
    let mut somebody = stage.admin();
    somebody.run("BEGIN");
    somebody.run("SELECT FROM image_gen.jobs WHERE prompt = 'old 700' FOR UPDATE");
    somebody.run("SELECT FROM image_gen.attempts WHERE job_id = (SELECT id FROM image_gen.jobs WHERE prompt = 'old 800') FOR UPDATE");
    admin.run("ALTER SYSTEM SET image_gen.retain_jobs = '2d'");
    stage.cluster.reload();
    let old = "SELECT count(*) FROM image_gen.jobs WHERE prompt LIKE 'old %' AND finished_at < now() - interval '2 days'";
    let mut sentinels = 1;
    eventually("the old jobs are gone", secs(60), || {
        // Work goes on beside it.
        let id = alice.generate("beside");
        alice.all_succeed(&[id]);
        sentinels += 1;
        (admin.number(old) == 2).then_some(())
    });
    assert_eq!(
        admin.number(&format!("{JOBS} WHERE prompt LIKE 'old %'")),
        7,
        "the two that are locked, and five that are young"
    );
    let batches = admin.rows("SELECT max(jobs), sum(jobs), count(*) FROM public.removed");
    assert_eq!(batches[0][1], "1498");
    assert!(batches[0][0].parse::<u64>().unwrap() <= 100, "{batches:?}");
    assert_eq!(admin.text("SELECT last_error FROM image_gen.worker_status"), "");
    somebody.run("COMMIT");
    assert_eq!(admin.number("SELECT image_gen.prune('2 days')"), 2);

    assert_eq!(
        admin.number(
            "SELECT count(*) FROM image_gen.attempts WHERE job_id NOT IN (SELECT id FROM image_gen.jobs)"
        ),
        0
    );
    assert_eq!(
        admin.number(
            "SELECT count(*) FROM image_gen.campaign_assets WHERE provider = 'bfl' AND prompt = 'old'"
        ),
        1505
    );
    assert!(
        admin.number("SELECT count(*) FROM image_gen_internal.spending_archive") <= 40,
        "{:?}",
        admin.rows("TABLE image_gen_internal.spending_archive")
    );
    let number = |text: &String| micros(text);
    let now: Vec<i64> = admin.rows(spent)[0].iter().map(number).collect();
    let then: Vec<i64> = before[0].iter().map(number).collect();
    let added = sentinels * 1_000_000;
    assert_eq!(now, [then[0] + added, then[1] + added, then[2] + added, then[3] + sentinels * 40_000]);
}

#[test]
fn a_lock_on_a_whole_table_does_not_hold_the_worker_up_for_pruning() {
    let stage = Stage::conf(&["autovacuum = off"]);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    history(&mut admin, 10, "3 days");
    let mut somebody = stage.admin();
    somebody.run("BEGIN; LOCK TABLE image_gen_internal.spending_archive IN ACCESS EXCLUSIVE MODE");
    admin.run("ALTER SYSTEM SET image_gen.retain_jobs = '2d'");
    stage.cluster.reload();
    wait_until("pruning has given up", secs(20), || {
        admin.text("SELECT last_error FROM image_gen.worker_status").contains("lock timeout")
    });
    let id = alice.generate("beside");
    alice.all_succeed(&[id]);
    assert_eq!(admin.number(&format!("{JOBS} WHERE prompt LIKE 'old %'")), 10);
    somebody.run("COMMIT");
    stage.cluster.reload();
    wait_until("they are gone", secs(20), || admin.number(&format!("{JOBS} WHERE prompt LIKE 'old %'")) == 0);
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn budgets_stay_right_while_jobs_are_pruned_beside_them() {
    let stage = Stage::start();
    let mut admin = stage.admin();
    stage.sim.configure(&json!({"render_seconds": 0.05}));
    admin.run(
        "UPDATE image_gen.models SET typical_seconds = 0.05;
         SELECT image_gen.set_budget('workspace', NULL, 100);
         SELECT image_gen.set_budget('role', 'alice', 100, 'month');
         SELECT image_gen.set_budget('workspace', NULL, 100, '1 hour')",
    );
    let stop = AtomicBool::new(false);
    let until_stopped = |mut work: Box<dyn FnMut() + Send>| {
        while !stop.load(Ordering::Relaxed) {
            work();
        }
    };
    let pruned = std::thread::scope(|scope| {
        let pruners: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (mut session, mut pruned) = (stage.admin(), 0);
                    while !stop.load(Ordering::Relaxed) {
                        pruned += session.number("SELECT image_gen.prune('0 s', 7)");
                    }
                    pruned
                })
            })
            .collect();
        let mut counter = stage.admin();
        scope.spawn(move || {
            until_stopped(Box::new(move || {
                counter.run("SELECT image_gen.recount_budgets()");
                counter.run("SELECT image_gen.set_budget('campaign', 'aurora', 100, 'total')");
                counter.run("SELECT image_gen.set_budget('campaign', 'aurora', NULL, 'total')");
            }));
        });
        // A failure must not leave them at it.
        let _end = StopAtEnd(&stop);
        let (mut alice, mut bob) = (stage.alice(), stage.bob());
        let metadata = r#"metadata => '{"campaign": "aurora"}', width => 256, height => 256"#;
        for n in 0..150 {
            alice.generate_with(&format!("prompt => 'a {n}', {metadata}"));
            bob.generate_with(&format!("prompt => 'b {n}', {metadata}"));
        }
        wait_until("all are pruned", secs(60), || admin.number(JOBS) == 0);
        stop.store(true, Ordering::Relaxed);
        pruners.into_iter().map(|p| p.join().unwrap()).sum::<i64>()
    });
    assert_eq!(pruned, 300);
    let totals = stage.sim.totals().all;
    assert_eq!((totals.submits, totals.billed_calls), (300, 300));
    admin.run("SELECT image_gen.set_budget('campaign', 'aurora', 100, 'total')");
    assert!(admin.rows(CHECK).is_empty(), "{:?}", admin.rows(CHECK));
    let billed = micros(&stage.sim.billed());
    for row in admin.rows("SELECT scope, spent, reserved FROM image_gen.credits() WHERE scope NOT LIKE 'role:%' AND period <> 'x'") {
        assert_eq!((micros(&row[1]), micros(&row[2])), (billed, 0), "{row:?}");
    }
    assert_eq!(micros(&admin.text("SELECT sum(billed) FROM image_gen.cost_by_campaign")), billed);
    assert_eq!(admin.text("SELECT sum(jobs) FROM image_gen.cost_by_campaign"), "300");
}

//! Reports add up totals that are kept and the rows that are not in them yet: they say what all rows say, whatever happens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use image_gen_tests::{Options, Session, Stage, history};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A stage whose server has no worker: nothing is folded but what the test folds.
fn without_worker() -> Stage {
    let options = Options::conf(&["max_worker_processes = 0"]);
    let stage = Stage::with(Options { preload: false, ..options });
    stage.admin().run("GRANT image_gen_admin TO mallory");
    stage
}

/// The same as cost_by_campaign or cost_by_ticket, from one row for each call.
fn plain(by: &str) -> String {
    format!(
        "SELECT j.{by}, j.currency, sum(j.jobs)::bigint AS jobs, sum(j.images)::bigint AS images, sum(j.calls)::bigint AS calls,
                CASE sum(j.unknown_costs) WHEN 0 THEN coalesce(trim_scale(sum(j.billed)), 0) END AS billed, coalesce(trim_scale(sum(j.billed)), 0) AS known_cost,
                sum(j.unknown_costs)::bigint AS unknown_costs, sum(j.refusals)::bigint AS refusals, sum(j.retries)::bigint AS retries,
                coalesce(trim_scale(sum(j.wasted)), 0) AS wasted, min(j.first_call) AS first_call, max(j.last_call) AS last_call
           FROM (SELECT s.{by}, s.currency, max(s.jobs) AS jobs, sum(s.images) AS images, sum(s.calls) AS calls, sum(s.billed_cost) AS billed,
                        count(*) FILTER (WHERE s.billed_cost IS NULL) AS unknown_costs, coalesce(sum(s.jobs) FILTER (WHERE s.status = 'refused'), 0) AS refusals,
                        sum(s.retries) AS retries, sum(s.billed_cost) FILTER (WHERE s.status <> 'succeeded') AS wasted,
                        min(s.at) AS first_call, max(s.last_call) AS last_call
                   FROM image_gen_internal.spending_rows s GROUP BY s.{by}, s.currency, s.job_id) j
          GROUP BY j.{by}, j.currency"
    )
}

/// Time zone, period and dimensions of reports.
const REPORTS: [(&str, &str, &str, &str); 6] = [
    ("UTC", "NULL", "NULL", ""),
    ("UTC", "NULL", "NULL", "day,campaign"),
    ("UTC", "now() - interval '3 days'", "now() - interval '30 hours'", "provider,status"),
    ("Asia/Kolkata", "date_trunc('day', now()) - interval '2 days'", "NULL", "model,error_code,cost_source"),
    ("America/New_York", "now() - interval '4 days'", "date_trunc('day', now())", "owner,operation"),
    ("Europe/Berlin", "NULL", "NULL", "week,ticket"),
];

/// What credits() must say of the caller.
const PLAIN_CREDITS: &str = "
    SELECT trim_scale((SELECT coalesce(sum(s.billed_cost), 0) FROM image_gen_internal.spending_rows s WHERE s.owner = current_user::regrole AND s.currency = 'USD')),
           (SELECT count(*) FROM image_gen_internal.spending_rows s WHERE s.owner = current_user::regrole AND s.billed_cost IS NULL),
           trim_scale((SELECT coalesce(sum(r.reserved), 0) FROM image_gen.reservations r WHERE r.owner = current_user::regrole))";

/// Fails unless every report is what the rows come to, for each reader.
fn check(readers: &mut [Session], what: &str) {
    for session in readers {
        for by in ["campaign", "ticket"] {
            let report = session.rows(&format!("SELECT * FROM image_gen.cost_by_{by} ORDER BY 1, 2"));
            let rows = session.rows(&format!("SELECT * FROM ({}) p ORDER BY 1, 2", plain(by)));
            assert_eq!(report, rows, "{by}, after {what}");
        }
        // A key of metadata is not in the totals: all calls are read for it.
        let figures =
            "currency, jobs, images, calls, billed, known_cost, unknown_costs, refusals, retries, wasted";
        for (zone, from, to, dimensions) in REPORTS {
            session.run(&format!("SET timezone = '{zone}'"));
            let report =
                |dimensions: &str| format!("image_gen.cost_report({from}, {to}, '{{{dimensions}}}')");
            let some = format!("SELECT dimension, {figures} FROM {} ORDER BY 1, 2", report(dimensions));
            let more = format!("{dimensions},metadata:x");
            let all = format!(
                "SELECT dimension - 'metadata:x', {figures} FROM {} ORDER BY 1, 2",
                report(more.trim_start_matches(','))
            );
            assert_eq!(
                session.rows(&some),
                session.rows(&all),
                "{dimensions} from {from} to {to} in {zone}, after {what}"
            );
        }
        session.run("RESET timezone");
        let credits = "SELECT trim_scale(spent), unknown_costs, trim_scale(reserved) FROM image_gen.credits() WHERE scope = 'role:' || current_user";
        assert_eq!(session.rows(credits), session.rows(PLAIN_CREDITS), "after {what}");
    }
}

fn any(admin: &mut Session, dice: &mut StdRng, from: &str) -> Option<String> {
    let all = admin.column(from);
    (!all.is_empty()).then(|| all[dice.random_range(0..all.len())].clone())
}

/// Runs statements, unless a transaction that is kept open is in the way: then none of them.
fn unless_locked(admin: &mut Session, statements: &str) {
    if admin.try_rows(statements).is_err() {
        admin.run("ROLLBACK");
    }
}

const OVER: &str =
    "SELECT format('''%s'', %s', job_id, number) FROM image_gen.attempts WHERE status <> 'running'";

/// One thing that happens to the jobs of a database. `slow` and `holder` keep transactions open over several of them.
fn step(
    admin: &mut Session,
    slow: &mut Session,
    holder: &mut Session,
    dice: &mut StdRng,
    open: &mut [bool; 2],
) -> String {
    let cost = ["NULL", "0", "0.04", "0.123456", "12.5"][dice.random_range(0..5)];
    match dice.random_range(0..16) {
        0..3 => {
            let owner = ["alice", "bob"][dice.random_range(0..2)];
            let metadata = ["{}", "{\"campaign\": \"a\"}", "{\"campaign\": \"b\", \"ticket\": \"T-1\"}"]
                [dice.random_range(0..3)];
            let end = ["COMMIT", "ROLLBACK"][usize::from(dice.random_range(0..4) == 0)];
            admin.run(&format!("BEGIN; SET LOCAL ROLE {owner}; SELECT FROM image_gen.generate('one', metadata => '{metadata}'); {end}"));
            format!("a job of {owner}, {end}")
        }
        3 if !open[0] => {
            // Its number is lower than those of jobs that end before it can be seen.
            slow.run("BEGIN; SELECT FROM image_gen.generate('late', metadata => '{\"campaign\": \"a\"}')");
            open[0] = true;
            "a job that is committed late".into()
        }
        3 | 4 if open[0] => {
            slow.run("COMMIT");
            open[0] = false;
            "its commit".into()
        }
        4..7 => {
            let Some(id) = any(admin, dice, "SELECT job_id FROM image_gen_internal.queue") else {
                return "nothing".into();
            };
            let (job, call, code) = [
                ("succeeded", "succeeded", "NULL"),
                ("failed", "refused", "'safety_filter'"),
                ("needs_review", "uncertain", "'uncertain'"),
            ][dice.random_range(0..3)];
            admin.run(&format!(
                "BEGIN;
                 INSERT INTO image_gen.attempts (job_id, number, provider, model, status, error_code, prompt, seed, seed_honored, billed_cost, cost_source,
                                                 owner, epoch, created_at, finished_at, estimated_cost, sends)
                 SELECT j.id, n.n + (SELECT coalesce(max(e.number), 0) FROM image_gen.attempts e WHERE e.job_id = j.id), CASE n.n WHEN 1 THEN 'bfl' ELSE 'fal' END, j.model, CASE n.n WHEN n.most THEN '{call}' ELSE 'failed' END, {code}, 'p', 1, true,
                        CASE n.n WHEN n.most THEN {cost} ELSE 0 END, CASE WHEN n.n = n.most AND {cost} IS NULL THEN 'unknown' ELSE 'priced' END, j.owner, 0,
                        now() - interval '5 days' * {ago} + interval '14 hours' * n.n, now(), 0.05, CASE n.n WHEN n.most THEN 1 ELSE {sends} END
                   FROM image_gen.jobs j, (SELECT generate_series(1, k) AS n, k AS most FROM (SELECT {calls} AS k) o) n WHERE j.id = '{id}';
                 SELECT image_gen_internal.close_job('{id}', '{job}', {code}, {message});
                 SELECT image_gen_internal.insert_assets('{{{id},{id}}}', '{{1,2}}', '{{https://a,https://b}}', NULL, NULL, NULL, NULL, NULL, NULL, NULL) WHERE '{job}' = 'succeeded';
                 DELETE FROM image_gen_internal.queue WHERE job_id = '{id}';
                 COMMIT",
                ago = dice.random::<f64>(),
                calls = dice.random_range(1..3),
                sends = dice.random_range(0..5),
                message = if code == "NULL" { "NULL" } else { "'because'" },
            ));
            format!("the end of a job, {job}")
        }
        7 => {
            let Some(id) = any(admin, dice, "SELECT id FROM image_gen.jobs WHERE status = 'needs_review'")
            else {
                return "nothing".into();
            };
            let action = ["'approve', url => 'https://c'", "'reject'", "'retry'"][dice.random_range(0..3)];
            unless_locked(admin, &format!("SELECT FROM image_gen.resolve_review('{id}', {action})"));
            format!("a review, {action}")
        }
        8 | 9 => {
            let Some(call) = any(admin, dice, OVER) else { return "nothing".into() };
            let end = ["COMMIT", "ROLLBACK"][dice.random_range(0..2)];
            let settle = format!("SELECT FROM image_gen.settle_cost({call}, {cost}, force => true)");
            unless_locked(admin, &format!("BEGIN; {settle}; {end}"));
            format!("a correction to {cost}, {end}")
        }
        10 if !open[1] => {
            let Some(call) = any(admin, dice, OVER) else { return "nothing".into() };
            let other = format!("7.{}", dice.random_range(100_000..999_999));
            holder.run(&format!("BEGIN; SELECT FROM image_gen.settle_cost({call}, {other}, force => true)"));
            assert!(
                !admin.truth("SELECT image_gen_internal.fold_spending(1000)"),
                "nothing is folded while a job is changed"
            );
            open[1] = true;
            "a correction that stays open".into()
        }
        10 | 11 if open[1] => {
            let end = ["COMMIT", "ROLLBACK"][dice.random_range(0..2)];
            holder.run(end);
            open[1] = false;
            format!("its {end}")
        }
        12 if !open[1] && dice.random_range(0..3) == 0 => {
            admin.run(&format!("SELECT image_gen.prune('0 s', {})", dice.random_range(1..10)));
            "a prune".into()
        }
        13 if !open[1] && dice.random_range(0..4) == 0 => {
            let by_hand = [
                "DELETE FROM image_gen.campaign_assets WHERE id = (SELECT min(id) FROM image_gen.campaign_assets)",
                "UPDATE image_gen.jobs SET metadata = '{\"campaign\": \"c\"}' WHERE seq = (SELECT min(seq) FROM image_gen.jobs)",
                "DELETE FROM image_gen.jobs WHERE seq = (SELECT min(seq) FROM image_gen.jobs WHERE finished_at IS NOT NULL)",
            ][dice.random_range(0..3)];
            admin.run(by_hand);
            by_hand.into()
        }
        _ => {
            let jobs = dice.random_range(1..8);
            let more = admin.text(&format!("SELECT image_gen_internal.fold_spending({jobs})"));
            format!("a fold of {jobs}: {more}")
        }
    }
}

#[test]
fn reports_say_what_the_rows_say_whatever_happens() {
    let stage = without_worker();
    let mut admin = stage.admin();
    admin.run("SET lock_timeout = '300ms'; SET statement_timeout = '20s'");
    let mut readers = [stage.alice(), stage.bob(), stage.connect("mallory")];
    for seed in 0..2 {
        let mut dice = StdRng::seed_from_u64(seed);
        let (mut slow, mut holder, mut open) = (stage.alice(), stage.admin(), [false, false]);
        for n in 0..100 {
            let what = step(&mut admin, &mut slow, &mut holder, &mut dice, &mut open);
            check(&mut readers, &format!("{what} (seed {seed}, step {n})"));
        }
        for (open, session) in open.into_iter().zip([&mut slow, &mut holder]) {
            if open {
                session.run("ROLLBACK");
            }
        }
        while admin.truth("SELECT image_gen_internal.fold_spending(3)") {}
        check(&mut readers, "all is folded");
        let left = admin.number("SELECT count(*) FROM image_gen_internal.unfolded_jobs() u(seq) JOIN image_gen.jobs j USING (seq) WHERE j.status IN ('succeeded', 'failed', 'canceled')");
        assert_eq!(left, 0, "all that is over is folded");
        assert!(admin.rows("SELECT * FROM image_gen.check_budgets()").is_empty());
    }
    assert!(
        admin.number("SELECT sum(calls) FROM image_gen_internal.spending_totals") > 10,
        "something was folded"
    );
}

/// How many pages a statement reads.
fn pages(session: &mut Session, read: &str) -> u64 {
    let plan =
        session.column(&format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) SELECT * FROM image_gen.{read}"));
    let line = plan.iter().find(|line| line.trim_start().starts_with("Buffers:")).expect("buffers").clone();
    let number = |word: &str| -> u64 {
        let after = line.split_once(word).map_or("0", |(_, after)| after);
        after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    number("shared hit=") + number("read=")
}

#[test]
fn what_is_read_does_not_grow_with_the_history() {
    const READS: [&str; 6] = [
        "recent(20)",
        "recent(20, campaign => 'campaign 35')",
        "recent(20, campaign => 'none')",
        "credits()",
        "cost_by_campaign",
        "cost_by_ticket",
    ];
    let stage = without_worker();
    let mut admin = stage.admin();
    let measure = |admin: &mut Session, jobs: u64| -> Vec<u64> {
        history::fill(admin, jobs, 90);
        while admin.truth("SELECT image_gen_internal.fold_spending(2000)") {}
        admin.run("VACUUM ANALYZE");
        let mut alice = stage.alice();
        let mut look = || READS.iter().map(|read| pages(&mut alice, read)).collect();
        // The first look fills the session's caches.
        let _: Vec<u64> = look();
        look()
    };
    let few = measure(&mut admin, 4000);
    let many = measure(&mut admin, 28_000);
    for ((read, few), many) in READS.iter().zip(few).zip(many) {
        println!("{read}: {few} pages, and {many} with eight times the history");
        // An index may be a level higher; indexes of what is rewritten often are looser.
        assert!(many <= few + few / 2 + 40, "{read}: {few} pages, and {many} with eight times the history");
    }
    assert!(admin.rows("SELECT * FROM image_gen_internal.spending_discrepancies()").is_empty());
}

//! What the tests of money share: a stage with some providers, how budgets stand, and the proof that all figures agree.

use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Session, Stage, wait_until};
use serde_json::{Value, json};

/// A job that costs 0.04 USD at BFL.
pub const PRO: &str = "model => 'bfl:flux-1.1-pro', width => 256, height => 256";

/// A stage with these providers and no others.
pub fn stage(providers: &[&str], conf: &[&str]) -> Stage {
    let stage = Stage::with(Options::all_keys(conf));
    let list = providers.join("', '");
    let mut admin = stage.admin();
    admin.run(&format!("UPDATE image_gen.providers SET enabled = false WHERE id NOT IN ('{list}')"));
    // Choices depend on which keys there are: the worker has said so.
    wait_until("the worker has told its keys", secs(20), || {
        admin.truth("SELECT cardinality(configured_keys) >= 8 FROM image_gen.worker_status")
    });
    stage
}

/// Whoever is asked refuses a prompt with this text in it; some providers bill that.
pub fn refuse(stage: &Stage, text: &str) {
    stage.sim.rule(json!({"phase": "submit", "prompt_contains": text, "fault": "refuse"}));
}

/// `spent reserved available` of a budget, as `credits()` shows it.
pub fn credits(session: &mut Session, scope: &str) -> String {
    session.text(&format!(
        "SELECT concat_ws(' ', trim_scale(spent), trim_scale(reserved), trim_scale(available)) FROM image_gen.credits()
          WHERE scope = '{scope}'"
    ))
}

/// All calls of a job in order: `provider:model status code cost`.
pub fn story(session: &mut Session, job: &str) -> Vec<String> {
    session.column(&format!(
        "SELECT concat_ws(' ', provider || ':' || model, status, error_code, coalesce(trim_scale(billed_cost)::text, '?'))
           FROM image_gen.attempts WHERE job_id = '{job}' ORDER BY number"
    ))
}

/// Status and error code of a job.
pub fn ended(session: &mut Session, job: &str) -> String {
    let job = session.done(job);
    format!("{} {}", job.status, job.error_code).trim_end().to_owned()
}

/// Fails unless budgets, jobs, attempts and assets agree to the last digit, and only jobs under way and calls of unknown cost
/// hold anything.
pub fn check_books(stage: &Stage) {
    let mut admin = stage.admin();
    let wrong = admin.rows("SELECT * FROM image_gen.check_budgets()");
    assert!(wrong.is_empty(), "check_budgets: {wrong:?}");
    let split = admin.rows(
        "SELECT b.budget_id, b.spent, b.reserved, s.spent, s.reserved
           FROM image_gen_internal.budget_standings((SELECT array_agg(id) FROM image_gen.budgets), clock_timestamp()) b
          CROSS JOIN LATERAL (SELECT coalesce(sum(c.spent), 0) AS spent, coalesce(sum(c.reserved), 0) AS reserved
                                FROM image_gen_internal.budget_charges c WHERE c.budget_id = b.budget_id AND c.at >= b.since) s
          WHERE b.spent <> s.spent OR b.reserved <> s.reserved",
    );
    assert!(split.is_empty(), "totals differ from the charges: {split:?}");
    let idle = admin.rows(
        "SELECT c.job_id, c.reserved, j.status FROM image_gen_internal.budget_charges c JOIN image_gen.jobs j ON j.id = c.job_id
           JOIN image_gen.budgets b ON b.id = c.budget_id
          WHERE c.reserved <> 0 AND j.finished_at IS NOT NULL
            AND NOT EXISTS (SELECT FROM image_gen.attempts a WHERE a.job_id = j.id AND a.billed_cost IS NULL)",
    );
    assert!(idle.is_empty(), "held for nothing: {idle:?}");
    stage.check_money();
}

/// One call as one side has it: the provider, and USD to the last digit; `None` is unknown.
type Call = (String, Option<String>);

/// A call, and how it ended.
type Booked = (Call, String);

/// A decimal number without zeros at its end.
fn trimmed(amount: &str) -> String {
    if amount.contains('.') {
        amount.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        amount.to_owned()
    }
}

/// The calls of the attempts whose prompt contains a text, oldest first.
fn booked(admin: &mut Session, tag: &str) -> Vec<Booked> {
    let rows = admin.rows(&format!(
        "SELECT provider, billed_cost, status FROM image_gen.attempts, generate_series(1, sends)
          WHERE strpos(prompt, '{tag}') > 0 AND provider <> 'person' ORDER BY job_id, number"
    ));
    let call = |row: Vec<String>| {
        let cost = (!row[1].is_empty()).then(|| trimmed(&row[1]));
        ((row[0].clone(), cost), row[2].clone())
    };
    rows.into_iter().map(call).collect()
}

/// Fails unless the attempts with this text in their prompt, which is that of one job, are the simulator's submissions one to
/// one, each with its cost. An uncertain one may never have arrived; one of unknown cost may have cost anything.
pub fn check_calls(stage: &Stage, admin: &mut Session, tag: &str) {
    let sent: Vec<(String, String)> = stage
        .sim
        .submits_of(tag)
        .iter()
        .map(|e: &Value| {
            (
                e["provider"].as_str().unwrap_or_default().to_owned(),
                trimmed(e["billed"].as_str().unwrap_or("0")),
            )
        })
        .collect();
    let booked = booked(admin, tag);
    let mut left = sent.iter().peekable();
    for ((provider, cost), status) in &booked {
        let same = left.peek().is_some_and(|(p, billed)| {
            // A task that was called off is not followed: that it failed in the end, and cost nothing, nobody has asked.
            p == provider
                && (cost.as_ref().is_none_or(|c| c == billed) || status == "canceled" && billed == "0")
        });
        assert!(
            same || (status == "uncertain" && cost.is_none()),
            "{tag}: {booked:?} and the ledger {sent:?}"
        );
        if same {
            left.next();
        }
    }
    assert!(left.peek().is_none(), "{tag}: {booked:?}, and more in the ledger: {sent:?}");
}

/// Fails unless all books agree with each other and with the providers' ledger: calls and money, provider by provider. An
/// uncertain call may have arrived or not, and have been billed or not.
pub fn check_all(stage: &Stage) {
    check_books(stage);
    let sent: Vec<_> =
        stage.sim.totals().by_provider.into_iter().filter(|(_, tally)| tally.submits > 0).collect();
    let booked = stage.admin().rows(
        "SELECT provider, coalesce(sum(sends) FILTER (WHERE status <> 'uncertain'), 0),
                coalesce(sum(sends) FILTER (WHERE status = 'uncertain'), 0), trim_scale(coalesce(sum(billed_cost), 0))
           FROM image_gen.attempts WHERE provider NOT LIKE 'dead%' AND provider <> 'person' AND sends > 0 GROUP BY provider",
    );
    for (id, tally) in &sent {
        let row = booked.iter().find(|row| row[0] == **id);
        let row = row.unwrap_or_else(|| panic!("{id} was called, and no attempt says so"));
        let (certain, uncertain): (u64, u64) = (row[1].parse().unwrap(), row[2].parse().unwrap());
        assert!(
            (certain..=certain + uncertain).contains(&tally.submits),
            "{id}: {} calls, {row:?}",
            tally.submits
        );
        let billed = tally.billed.normalize().to_string();
        assert!(billed == row[3] || uncertain > 0, "{id}: billed {billed}, {row:?}");
    }
    for row in &booked {
        assert!(row[1] == "0" || sent.iter().any(|(id, _)| **id == row[0]), "no call arrived: {row:?}");
    }
}

/// Fails when the server had to break a deadlock.
pub fn no_deadlock(stage: &Stage) {
    let log = stage.cluster.log();
    assert!(!log.contains("deadlock detected"), "{log}");
}

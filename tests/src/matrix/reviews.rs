//! After the kills: what waits for a person is decided by owners, reviewers and administrators in turn, and the budget still counts
//! what the providers billed.

use rust_decimal::Decimal;

use super::audit::token;
use super::field::Field;
use crate::session::Session;

/// What the owner of a job tries, to be rid of a call that may have been billed.
const EVASIONS: [&str; 4] = [
    "'reject', billed_cost => 0",
    "'retry'",
    "'approve', url => 'https://example.org/a.png'",
    "'switch_model', model => 'bfl:flux-1.1-pro'",
];

/// A job with calls of unknown cost, and what the budget has of it.
struct Waiting {
    id: String,
    prompt: String,
    number: String,
    before: Vec<String>,
}

/// Decides all jobs whose fate is uncertain; what went wrong with the money, in words.
///
/// # Panics
/// When the server is down.
pub fn decide(field: &Field) -> Vec<String> {
    let mut admin = field.connect("postgres");
    admin.run(
        "CREATE ROLE rita LOGIN IN ROLE image_gen_reviewer; CREATE ROLE carol LOGIN IN ROLE image_gen_admin",
    );
    let (mut owner, mut reviewer, mut administrator) =
        (field.connect("alice"), field.connect("rita"), field.connect("carol"));
    let mut wrong = vec![];
    let jobs = waiting(&mut admin);
    for (n, job) in jobs.iter().enumerate() {
        let id = &job.id;
        for evasion in EVASIONS {
            let code = match owner.try_rows(&format!("SELECT image_gen.resolve_review('{id}', {evasion})")) {
                Ok(_) => "nothing".to_owned(),
                Err(error) => {
                    error.code().map_or_else(|| format!("{error:?}"), |code| code.code().to_owned())
                }
            };
            if code != "42501" {
                wrong.push(format!("the owner of {id} says {evasion} and gets {code}"));
            }
        }
        let billed = billed(field, &job.prompt);
        let known: Decimal = job.before[0].parse().expect("a sum");
        let cost = (billed - known).max(Decimal::ZERO);
        match n % 3 {
            0 => owner.run(&format!("SELECT image_gen.resolve_review('{id}', 'reject')")),
            1 => reviewer.run(&format!("SELECT image_gen.resolve_review('{id}', 'reject', billed_cost => {cost})")),
            _ => administrator.run(&format!(
                "SELECT image_gen.settle_cost('{id}', {}, {cost}); SELECT image_gen.resolve_review('{id}', 'reject')",
                job.number
            )),
        }
        let after = standing(&mut admin, id);
        let right = match n % 3 {
            // What it cost has not been said: all stays as it was.
            0 => after == job.before,
            _ => {
                after[0].parse::<Decimal>().is_ok_and(|spent| spent >= billed)
                    && after[1].parse() == Ok(Decimal::ZERO)
            }
        };
        if !right {
            wrong.push(format!("{id}: billed {billed}; the budget had {:?}, and has {after:?}", job.before));
        }
    }
    for row in admin.rows("SELECT * FROM image_gen.check_budgets()") {
        wrong.push(format!("check_budgets: {row:?}"));
    }
    println!("{} uncertain calls decided by owners, reviewers and administrators", jobs.len());
    wrong
}

/// Spent and held in the budget, for one job.
fn standing(admin: &mut Session, id: &str) -> Vec<String> {
    let row = admin.rows(&format!(
        "SELECT spent, reserved FROM image_gen_internal.budget_charges WHERE job_id = '{id}'"
    ));
    row.into_iter().next().unwrap_or_else(|| vec!["0".into(), "0".into()])
}

fn waiting(admin: &mut Session) -> Vec<Waiting> {
    let rows = admin.rows(
        "SELECT j.id, j.prompt, max(a.number) FROM image_gen.jobs j JOIN image_gen.attempts a ON a.job_id = j.id
          WHERE j.status = 'needs_review' AND a.billed_cost IS NULL
          GROUP BY 1, 2 HAVING count(*) = 1 ORDER BY 1",
    );
    rows.into_iter()
        .map(|row| {
            let [id, prompt, number] = row.try_into().expect("three columns");
            let before = standing(admin, &id);
            Waiting { id, prompt, number, before }
        })
        .collect()
}

/// What the providers have billed for a job.
fn billed(field: &Field, prompt: &str) -> Decimal {
    let submits = field.sim().submits_of(token(prompt));
    submits.iter().filter_map(|entry| entry["billed"].as_str()?.parse::<Decimal>().ok()).sum()
}

//! The promises, checked against the simulator's ledger: nothing lost, nothing paid twice, no money invented.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::AddAssign;

use rust_decimal::Decimal;

use super::field::Field;

/// What must not be in the books of the budget when all jobs have ended.
const BUDGET: [(&str, &str); 2] = [
    (
        "a job counts in the budget with another amount, or still holds some (id, status, cost, spent, reserved)",
        "SELECT j.id, j.status, j.known_cost, c.spent, c.reserved FROM image_gen.jobs j LEFT JOIN image_gen_internal.budget_charges c ON c.job_id = j.id
          WHERE coalesce(c.spent, 0) <> coalesce(j.known_cost, 0) OR j.cost_source IS DISTINCT FROM 'unknown' AND c.reserved <> 0",
    ),
    (
        "the budget's totals and entries are not the sum of its charges",
        "SELECT t.spent, t.reserved, e.spent, e.reserved, c.spent, c.reserved FROM image_gen_internal.budget_totals t,
                (SELECT coalesce(sum(spent), 0) AS spent, coalesce(sum(reserved), 0) AS reserved FROM image_gen_internal.budget_entries) e,
                (SELECT sum(spent) AS spent, sum(reserved) AS reserved FROM image_gen_internal.budget_charges) c
          WHERE t.spent + e.spent <> c.spent OR t.reserved + e.reserved <> c.reserved",
    ),
];

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many jobs there were.
    pub jobs: u64,
    /// How many kills.
    pub kills: u64,
    /// Jobs by how they ended.
    pub ended: BTreeMap<String, u64>,
    /// Committed jobs that are gone, or never ended.
    pub lost: u64,
    /// Jobs with a second paid call.
    pub paid_twice: u64,
    /// Jobs whose books and whose ledger differ.
    pub money: u64,
    /// Attempts whose fate is unknown.
    pub uncertain: u64,
    /// Those of them that the provider did bill.
    pub uncertain_billed: u64,
    /// Those that never arrived.
    pub never_arrived: u64,
    /// Those of which more could have been known.
    pub avoidable: u64,
    /// Jobs that kill their worker.
    pub poisons: u64,
    /// How often they did.
    pub poison_deaths: u64,
    /// How often another job was in hand when the worker died.
    pub innocent_deaths: u64,
    /// Jobs without poison that the storm itself has killed the worker with, the third time while they ran alone.
    pub condemned_by_kills: u64,
    /// Promises that were broken, in words.
    pub violations: Vec<String>,
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Report) {
        for (sum, more) in [
            (&mut self.jobs, other.jobs),
            (&mut self.kills, other.kills),
            (&mut self.lost, other.lost),
            (&mut self.paid_twice, other.paid_twice),
            (&mut self.money, other.money),
            (&mut self.uncertain, other.uncertain),
            (&mut self.uncertain_billed, other.uncertain_billed),
            (&mut self.never_arrived, other.never_arrived),
            (&mut self.avoidable, other.avoidable),
            (&mut self.poisons, other.poisons),
            (&mut self.poison_deaths, other.poison_deaths),
            (&mut self.innocent_deaths, other.innocent_deaths),
            (&mut self.condemned_by_kills, other.condemned_by_kills),
        ] {
            *sum += more;
        }
        other.ended.into_iter().for_each(|(how, n)| *self.ended.entry(how).or_default() += n);
        self.violations.extend(other.violations);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended: Vec<String> = self.ended.iter().map(|(how, n)| format!("{n} {how}")).collect();
        let avoidable = match self.avoidable {
            0 => "all unavoidable".to_owned(),
            n => format!("{n} AVOIDABLE"),
        };
        write!(
            f,
            "jobs {}, kills {}, lost {}, paid twice {}, money differences {}, uncertain {} ({avoidable}; {} of them billed, {} never arrived)\n\
             poisons {} (with {} deaths; {} others in hand, {} condemned by kills of the storm)\n\
             ended: {}",
            self.jobs,
            self.kills,
            self.lost,
            self.paid_twice,
            self.money,
            self.uncertain,
            self.uncertain_billed,
            self.never_arrived,
            self.poisons,
            self.poison_deaths,
            self.innocent_deaths,
            self.condemned_by_kills,
            ended.join(", ")
        )?;
        self.violations.iter().take(40).try_for_each(|v| write!(f, "\nVIOLATION: {v}"))
    }
}

#[derive(Debug)]
struct Call {
    provider: String,
    billed: Option<Decimal>,
    refused: bool,
    accepted: bool,
}

#[derive(Debug)]
struct Attempt {
    provider: String,
    status: String,
    cost: Option<Decimal>,
    remote_id: String,
    sends: usize,
}

/// Checks all jobs of a field, which have ended. `known`: those whose commit the caller has seen.
///
/// # Panics
/// When the server is down.
pub fn check(field: &Field, known: &[String]) -> Report {
    let mut report = Report::default();
    let mut admin = field.connect("postgres");
    let ledger = ledger(field);
    let mut attempts: HashMap<String, Vec<Attempt>> = HashMap::new();
    for row in admin.rows(
        "SELECT job_id, provider, status, billed_cost, remote_id, sends FROM image_gen.attempts ORDER BY job_id, number",
    ) {
        let [job, provider, status, cost, remote_id, sends] = row.try_into().expect("six columns");
        let (cost, sends) = (cost.parse().ok(), sends.parse().expect("a number"));
        attempts.entry(job).or_default().push(Attempt { provider, status, cost, remote_id, sends });
    }
    let jobs = admin.rows(
        "SELECT j.id, j.prompt, j.status,
                coalesce(j.error_code, '') || CASE j.error_code WHEN 'invalid_request' THEN ': ' || j.error_message ELSE '' END, (SELECT count(DISTINCT a.attempt) FROM image_gen.campaign_assets a WHERE a.job_id = j.id),
                coalesce(j.parameters ->> 'n', '1')
           FROM image_gen.jobs j",
    );
    let known_here = |id: &String| jobs.iter().any(|row| row[0] == *id);
    for id in known.iter().filter(|id| !known_here(id)) {
        report.lost += 1;
        report.violations.push(format!("{id} was committed, and is gone"));
    }
    for row in &jobs {
        let [id, prompt, status, code, brought, wanted] = row.as_slice() else { unreachable!("six columns") };
        report.jobs += 1;
        let none = (vec![], vec![]);
        let tried = attempts.get(id).unwrap_or(&none.0);
        let last = tried.last().filter(|_| status == "failed").map(|a| format!(" at {}", a.provider));
        let how = format!("{status} {code}{}", last.unwrap_or_default());
        *report.ended.entry(how.trim_end().to_owned()).or_default() += 1;
        let called = ledger.get(token(prompt)).unwrap_or(&none.1);
        if matches!(status.as_str(), "queued" | "running") {
            report.lost += 1;
            report.violations.push(format!("{id} is still {status}: {tried:?}"));
        }
        let winners = tried.iter().filter(|a| a.status == "succeeded").count();
        if (status == "succeeded") != (winners > 0) || brought.parse() != Ok(winners) {
            report.violations.push(format!("{id} {status}: {winners} winners, {brought} brought images"));
        }
        let most = wanted.parse().expect("a number");
        let untouched = code == "worker_died";
        one_job(&mut report, &format!("{id} {prompt:?} {how}"), untouched, most, tried, called);
    }
    for row in admin.rows(
        "SELECT j.id, j.status, j.billed_cost, j.known_cost, a.total, c.total
           FROM image_gen.jobs j
           LEFT JOIN (SELECT job_id, sum(billed_cost) AS total, bool_or(billed_cost IS NULL) AS unknown FROM image_gen.attempts GROUP BY 1) a ON a.job_id = j.id
           LEFT JOIN (SELECT job_id, sum(known_cost) AS total FROM image_gen.campaign_assets GROUP BY 1) c ON c.job_id = j.id
          WHERE j.finished_at IS NOT NULL
            AND (j.known_cost IS DISTINCT FROM a.total OR j.billed_cost IS DISTINCT FROM CASE WHEN NOT a.unknown THEN a.total END
                 OR j.status = 'succeeded' AND j.known_cost IS DISTINCT FROM c.total)",
    ) {
        report.money += 1;
        report.violations.push(format!("(job, status, job, attempts, assets) {row:?}"));
    }
    for (what, wrong) in BUDGET {
        for row in admin.rows(wrong) {
            report.money += 1;
            report.violations.push(format!("{what}: {row:?}"));
        }
    }
    report.violations.extend(field.leaks());
    report
}

/// One job's attempts against what the providers have of it. `untouched`: it kills the worker that touches it, and is asked for no more.
/// `most`: how many images are wanted, and so the most calls that may be paid.
fn one_job(report: &mut Report, job: &str, untouched: bool, most: usize, tried: &[Attempt], called: &[Call]) {
    let paid = called.iter().filter(|c| !c.refused && c.billed.is_some_and(|b| !b.is_zero())).count();
    // One's own machine sends no bill. It forgets with a crash what it has done, and may then do it again.
    let forgot = tried.iter().filter(|a| a.status == "failed" && a.cost.is_some_and(|c| c.is_zero())).count();
    let accepted = called.iter().filter(|c| !c.refused && c.accepted).count();
    if paid > most || accepted > most + forgot {
        report.paid_twice += 1;
        report.violations.push(format!("{job}: paid {paid}, accepted {accepted}: {tried:?} {called:?}"));
    }
    // Each attempt of known cost takes its call off the ledger; what is left must be the uncertain ones'.
    let mut left: Vec<&Call> = called.iter().collect();
    let mut differs = false;
    for attempt in tried.iter().filter(|a| a.provider != "preview") {
        let Some(cost) = attempt.cost.filter(|cost| !cost.is_zero()) else { continue };
        let same = |c: &&Call| c.provider == attempt.provider && c.billed == Some(cost);
        // Who is called off is booked at the price that was named at the acceptance. That the filter would have refused
        // the image, and nothing been billed, was not waited for.
        let unheard = |c: &&Call| attempt.status == "canceled" && c.provider == attempt.provider && c.refused;
        match left.iter().position(same).or_else(|| left.iter().position(unheard)) {
            Some(found) => drop(left.remove(found)),
            None => differs = true,
        }
    }
    for attempt in tried.iter().filter(|a| a.cost.is_none()) {
        let billed = left.iter().position(|c| c.provider == attempt.provider && c.billed.is_some());
        let arrived = left.iter().position(|c| c.provider == attempt.provider);
        if attempt.status == "uncertain" {
            report.uncertain += 1;
            report.uncertain_billed += u64::from(billed.is_some());
            report.never_arrived += u64::from(arrived.is_none());
            // What is known by an id can be asked for; what is not sent anywhere cannot be on its way.
            let known = !attempt.remote_id.is_empty()
                || ["preview", "comfyui", "a1111"].contains(&attempt.provider.as_str());
            if known && !untouched {
                report.avoidable += 1;
                report.violations.push(format!("{job}: avoidable: {attempt:?}"));
            }
        }
        if let Some(found) = billed.or(arrived) {
            left.remove(found);
        }
    }
    differs |= left.iter().any(|c| c.billed.is_some_and(|b| !b.is_zero()));
    let sent = called.len();
    let tries: usize = tried.iter().filter(|a| a.provider != "preview").map(|a| a.sends).sum();
    if sent > tries {
        report.violations.push(format!("{job}: {sent} requests and {tries} attempts: {tried:?} {called:?}"));
    }
    if differs {
        report.money += 1;
        report.violations.push(format!("{job}: the ledger has {called:?}, the attempts {tried:?}"));
    }
}

/// All submissions by the token at the beginning of their prompts.
fn ledger(field: &Field) -> HashMap<String, Vec<Call>> {
    let mut ledger: HashMap<String, Vec<Call>> = HashMap::new();
    for entry in field.sim().entries().into_iter().filter(|e| e["phase"] == "submit") {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let call = Call {
            provider: text("provider"),
            billed: text("billed").parse().ok(),
            refused: entry["refused"] == true,
            accepted: entry["accepted"] == true,
        };
        ledger.entry(token(&text("prompt")).to_owned()).or_default().push(call);
    }
    ledger
}

/// Prompts begin with `[…]`, which no other prompt of the run does, and softer words leave alone.
pub(super) fn token(prompt: &str) -> &str {
    prompt.find(']').map_or(prompt, |end| &prompt[..=end])
}

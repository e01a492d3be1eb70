//! What the tests of routing share: a stage with some providers, and a job's story.

use std::collections::BTreeMap;

use image_gen_tests::{Options, Session, Stage};
use serde_json::Value;

/// The name of each provider's key.
const KEYS: [(&str, &str); 8] = [
    ("bfl", "BFL_API_KEY"),
    ("openai", "OPENAI_API_KEY"),
    ("stability", "STABILITY_API_KEY"),
    ("fal", "FAL_API_KEY"),
    ("replicate", "REPLICATE_API_TOKEN"),
    ("google", "GEMINI_API_KEY"),
    ("ideogram", "IDEOGRAM_API_KEY"),
    ("openrouter", "OPENROUTER_API_KEY"),
];

/// Options of a server that has keys for these providers, and these lines in postgresql.conf.
pub fn options(providers: &[&str], conf: &[&str]) -> Options {
    let known = |(provider, _): &&(&str, &str)| providers.contains(provider);
    let key = |(provider, name): &(&str, &str)| ((*name).to_owned(), format!("test-{provider}-key"));
    Options { env: KEYS.iter().filter(known).map(key).collect(), ..Options::conf(conf) }
}

/// A stage with these providers and no others.
pub fn stage(providers: &[&str], conf: &[&str]) -> Stage {
    let stage = Stage::with(options(providers, conf));
    let list = providers.join("', '");
    stage.admin().run(&format!("UPDATE image_gen.providers SET enabled = false WHERE id NOT IN ('{list}')"));
    stage
}

/// An image of alice's whose bytes are in the database, as an argument. It costs one call of BFL or of a stand-in.
pub fn picture(stage: &Stage) -> String {
    let mut alice = stage.alice();
    let id =
        alice.generate_with("prompt => 'a source', model => 'flux-1.1-pro', width => 512, height => 512");
    alice.all_succeed(std::slice::from_ref(&id));
    format!(
        "asset:{}",
        alice.text(&format!("SELECT id FROM image_gen.campaign_assets WHERE job_id = '{id}'"))
    )
}

/// All calls of a job that were sent, in order: `provider:model status code`. (One that a worker had begun when it was told to end was not.)
pub fn story(session: &mut Session, job: &str) -> Vec<String> {
    session.column(&format!(
        "SELECT concat_ws(' ', provider || ':' || model, status, error_code)
           FROM image_gen.attempts WHERE job_id = '{job}' AND sends > 0 ORDER BY number"
    ))
}

/// How many submissions arrived at each provider, and what they cost.
pub fn ledger(stage: &Stage) -> BTreeMap<String, (u64, String)> {
    let used = stage.sim.totals().by_provider.into_iter().filter(|(_, tally)| tally.submits > 0);
    used.map(|(id, tally)| (id.to_owned(), (tally.submits, tally.billed.normalize().to_string()))).collect()
}

/// The same as the attempts have it, without those that the simulator does not play: their ids begin with `dead`, or it was
/// a person.
fn booked(admin: &mut Session) -> BTreeMap<String, (u64, String)> {
    let rows = admin.rows(
        "SELECT provider, sum(sends), trim_scale(coalesce(sum(billed_cost), 0)) FROM image_gen.attempts
          WHERE provider NOT LIKE 'dead%' AND provider <> 'person' AND sends > 0 GROUP BY provider",
    );
    rows.into_iter().map(|row| (row[0].clone(), (row[1].parse().unwrap(), row[2].clone()))).collect()
}

/// Fails unless each attempt is exactly one submission, each submission an attempt, and all the money is booked.
pub fn check_ledger(stage: &Stage) {
    assert_eq!(ledger(stage), booked(&mut stage.admin()), "the ledger (left) and the attempts differ");
    stage.check_money();
}

/// The providers that got a submission with this text in its prompt, oldest first.
pub fn asked(stage: &Stage, prompt: &str) -> Vec<String> {
    let provider = |entry: &Value| entry["provider"].as_str().unwrap_or_default().to_owned();
    stage.sim.submits_of(prompt).iter().map(provider).collect()
}

//! Whatever happens to jobs, in whatever order: the books agree with each other and with the providers' ledger.

use image_gen_tests::process::is_alive;
use image_gen_tests::wait::secs;
use image_gen_tests::{Options, Session, Stage, eventually, wait_until};
use serde_json::json;

use crate::common::{check_books, check_calls, credits, no_deadlock};

/// SplitMix64: the same seed, the same story.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.roll(all.len() as u64) as usize]
    }
}

/// What a round does to the worker while its jobs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Nothing,
    Terminate,
    Kill,
}

/// Faults by a word in the prompt, so that each job brings its own fate along. Where several match the first one strikes, so
/// those that strike once, at one provider, come first.
fn fates(stage: &Stage) {
    let fates = [
        ("[refused]", json!("refuse")),
        ("[early]", json!({"kind": "refuse", "stage": "request"})),
        ("[lost]", json!("drop_after_accept")),
        ("[cut]", json!("drop_mid_body")),
        ("[failing]", json!("task_error")),
        ("[empty]", json!("empty")),
    ];
    for (word, fault) in fates {
        stage.sim.rule(json!({"phase": "submit", "prompt_contains": word, "fault": fault}));
    }
    for provider in ["bfl", "ideogram", "fal", "openai", "google"] {
        let word = format!("[no {provider}]");
        stage.sim.rule(json!({"provider": provider, "phase": "submit", "prompt_contains": word, "fault": {"kind": "status", "code": 402}}));
        let word = format!("[{provider} refuses]");
        stage.sim.rule(
            json!({"provider": provider, "phase": "submit", "prompt_contains": word, "fault": "refuse"}),
        );
        let word = format!("[{provider} busy]");
        stage.sim.rule(json!({"provider": provider, "phase": "submit", "prompt_contains": word, "fault": {"kind": "rate_limited", "retry_after": 1}, "times": 2}));
    }
}

const FATES: [&str; 18] = [
    "",
    "",
    "",
    "[refused]",
    "[early]",
    "[lost]",
    "[cut]",
    "[failing]",
    "[empty]",
    "[no bfl]",
    "[no fal]",
    "[no bfl] [no fal]",
    "[bfl refuses]",
    "[ideogram refuses]",
    "[fal busy]",
    "[google refuses]",
    "[openai refuses]",
    "[bfl busy]",
];

const MODELS: [&str; 9] = [
    "model => 'flux-1.1-pro', width => 512, height => 512",
    "model => 'flux-1.1-pro', width => 512, height => 512, n => 3",
    "model => 'fal:flux-1.1-pro', width => 512, height => 512, n => 3",
    "model => 'ideogram:ideogram-v2a', n => 4",
    "model => 'ideogram-v2a'",
    "model => 'openai:gpt-image-2', quality => 'low', width => 1024, height => 1024, n => 2",
    "model => 'google:gemini-nano-banana-2.1'",
    "model => 'stability:stable-image-core'",
    "model => 'fal:flux-2-dev', width => 512, height => 512",
];

fn budgets(admin: &mut Session, dice: &mut Dice) {
    for (scope, key) in [
        ("workspace", "NULL"),
        ("role", "'alice'"),
        ("campaign", "'a'"),
        ("campaign", "'b'"),
        ("metadata:team", "'red'"),
    ] {
        if dice.roll(4) == 0 {
            continue;
        }
        let amount = dice.roll(120) as f64 / 100.0 + 0.1;
        let period = dice.pick(&["total", "day", "month", "2 hours"]);
        // On top of what rounds before have spent.
        admin.run(&format!(
            "SELECT image_gen.set_budget('{scope}', {key}, b.spent + b.reserved + {amount}, '{period}')
               FROM image_gen.set_budget('{scope}', {key}, 0, '{period}') b"
        ));
    }
}

/// Queues a job with a fate, or several; gives their ids. What a budget refuses is refused.
fn queue(session: &mut Session, dice: &mut Dice, tag: &str) -> Vec<String> {
    let fate = dice.pick(&FATES);
    let soft = dice.pick(&["a lamp", "a woman with a lamp"]);
    let campaign = dice.pick(&["a", "b", "c"]);
    let mut call = format!(
        "prompt => '{soft} {fate} {tag}', {}, allow_unpriced => true, metadata => '{{\"campaign\": \"{campaign}\", \"team\": \"red\"}}'",
        dice.pick(&MODELS)
    );
    if dice.roll(5) == 0 {
        call += &format!(", max_cost => {}", 0.03 + dice.roll(12) as f64 / 100.0);
    }
    match session.try_rows(&format!("SELECT id FROM image_gen.generate({call})")) {
        Ok(rows) => rows.into_iter().map(|row| row[0].clone()).collect(),
        Err(error) => {
            let error = error.as_db_error().unwrap_or_else(|| panic!("{error:?}"));
            assert!(["53400", "0A000"].contains(&error.code().code()), "{call}: {error:?}");
            vec![]
        }
    }
}

/// One round: jobs, people who cancel, a blow to the worker, and what is left when all have ended.
fn round(stage: &Stage, seed: u64, blow: Blow) -> usize {
    let mut dice = Dice(seed);
    let (mut admin, mut alice) = (stage.admin(), stage.alice());
    admin.run("SELECT image_gen.set_budget(scope, coalesce(key, role::text), NULL, coalesce(rolling::text, period)) FROM image_gen.budgets WHERE scope <> 'batch'");
    budgets(&mut admin, &mut dice);
    let mut tags = vec![];
    let mut ids = vec![];
    for n in 0..24 {
        let tag = format!("[r{seed} j{n}]");
        let queued = queue(&mut alice, &mut dice, &tag);
        if !queued.is_empty() {
            tags.push(tag);
            ids.extend(queued);
        }
        if dice.roll(5) == 0 && !ids.is_empty() {
            let id = &ids[dice.roll(ids.len() as u64) as usize];
            alice.run(&format!("SELECT image_gen.cancel('{id}')"));
        }
        if n == 12 && blow == Blow::Terminate {
            let worker = stage.worker();
            admin.run(&format!("SELECT pg_terminate_backend({worker})"));
            wait_until("the worker ends", secs(20), || !is_alive(worker));
        }
    }
    if blow == Blow::Kill {
        stage.cluster.crash(stage.worker());
        admin = eventually("the server lets in again", secs(30), || {
            stage.cluster.try_connect("postgres", image_gen_tests::stage::DATABASE).ok()
        });
    }
    wait_until("all have ended", secs(60), || {
        admin.number("SELECT count(*) FROM image_gen.jobs WHERE finished_at IS NULL") == 0
    });
    check_books(stage);
    for tag in &tags {
        check_calls(stage, &mut admin, tag);
    }
    // The rest is known: people look it up, and nothing is held any more.
    let unknown =
        admin.rows("SELECT job_id, number FROM image_gen.attempts WHERE billed_cost IS NULL ORDER BY 1, 2");
    for row in unknown {
        let cost = dice.roll(7) as f64 / 100.0;
        admin.run(&format!("SELECT image_gen.settle_cost('{}', {}, {cost})", row[0], row[1]));
    }
    check_books(stage);
    let held = admin.rows("SELECT * FROM image_gen.reservations");
    assert!(held.is_empty(), "{held:?}");
    assert!(!credits(&mut admin, "role:postgres").is_empty());
    ids.len()
}

/// So many rounds, each from a seed of its own.
fn rounds(stage: &Stage, first_seed: u64, rounds: u64) {
    stage.sim.configure(&json!({"render_seconds": 0.1, "refusal_rate": 0.1}));
    stage.admin().run(
        "UPDATE image_gen.providers SET enabled = false WHERE id NOT IN ('bfl', 'ideogram', 'fal', 'openai', 'google', 'stability')",
    );
    stage.admin().run("SELECT image_gen.set_role_policy('alice', allow_unpriced => true)");
    fates(stage);
    let mut dice = Dice(first_seed);
    let mut jobs = 0;
    for n in 0..rounds {
        let blow = match n % 4 {
            1 => Blow::Terminate,
            3 => Blow::Kill,
            _ => Blow::Nothing,
        };
        let seed = dice.roll(1 << 40);
        println!("round {n}: seed {seed}, {blow:?}");
        jobs += round(stage, seed, blow);
    }
    let mut admin = stage.admin();
    let ends = "SELECT status, error_code, count(*) FROM image_gen.jobs GROUP BY 1, 2 ORDER BY 1, 2";
    println!("{jobs} jobs: {:?}", admin.rows(ends));
    let costs = "SELECT status, cost_source, count(*), sum(billed_cost) FROM image_gen.attempts GROUP BY 1, 2 ORDER BY 1, 2";
    println!("{:?}", admin.rows(costs));
    no_deadlock(stage);
}

/// A number from the environment, for longer runs and for those that found something.
fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|s| s.parse().ok()).unwrap_or(usual)
}

fn hard_life(more: &str) -> Stage {
    let conf = [
        "image_gen.breaker_failures = 0",
        "image_gen.outage_timeout = 0",
        "image_gen.max_in_flight = 16",
        more,
    ];
    Stage::with(Options { fsync: true, ..Options::all_keys(&conf) })
}

#[test]
fn any_story_adds_up() {
    // N3
    rounds(&hard_life(""), setting("MONEY_SEED", 20_261_122), setting("MONEY_ROUNDS", 8));
}

#[test]
fn any_story_adds_up_where_uncertain_calls_are_sent_again() {
    // N3
    let stage = hard_life("image_gen.on_uncertain = 'retry'");
    rounds(&stage, setting("MONEY_SEED", 7), setting("MONEY_ROUNDS", 4));
}

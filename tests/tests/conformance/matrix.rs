//! The table that all tests here loop over: every provider × every task that it has a usual model for.

use std::collections::BTreeMap;

use image_gen_tests::{Options, Session, Sim, Stage};
use serde_json::{Value, json};

/// A task at a provider.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The adapter.
    pub kind: String,
    /// As in `models.default_for`.
    pub task: String,
    /// The usual model for it.
    pub model: String,
    /// Its row of the catalogue.
    pub row: Value,
}

impl Offer {
    /// For messages.
    pub fn name(&self) -> String {
        format!("{} {} ({})", self.kind, self.task, self.model)
    }

    /// Whether the model takes a parameter in this task.
    pub fn takes(&self, parameter: &str) -> bool {
        let parameter = &self.row["parameters"][parameter];
        let of_generate = ["character", "reference_images"].contains(&self.task.as_str());
        let task = if of_generate { "generate" } else { &self.task };
        match &parameter["only"] {
            Value::Array(only) => only.iter().any(|t| t == task),
            _ => !parameter.is_null(),
        }
    }

    /// The factors by which the model enlarges.
    pub fn scales(&self) -> Vec<i64> {
        let values = self.row["parameters"]["scale"]["values"].as_array();
        values.into_iter().flatten().filter_map(Value::as_i64).collect()
    }

    /// Whether the price table says anything about it.
    pub fn is_priced(&self) -> bool {
        self.row["units"].is_array()
    }

    /// Whether it has a price per this unit.
    pub fn is_priced_by(&self, unit: &str) -> bool {
        self.row["units"].as_array().is_some_and(|units| units.iter().any(|u| u == unit))
    }

    /// Whether it answers at once and is asked for the image later.
    pub fn is_followed(&self) -> bool {
        match self.kind.as_str() {
            "bfl" | "comfyui" | "fal" | "replicate" => true,
            "ideogram" => self.row["api"] == "v2",
            _ => false,
        }
    }

    /// Whether its images are fetched.
    pub fn gives_urls(&self) -> bool {
        ["bfl", "comfyui", "fal", "ideogram", "replicate"].contains(&self.kind.as_str())
    }
}

/// A server with all keys, whose breaker is off so that no job learns from another, and that keeps all images.
pub fn stage() -> Stage {
    let stage = Stage::with(Options::all_keys(&[
        "image_gen.breaker_failures = 0",
        "image_gen.outage_timeout = 0",
        "image_gen.keep_bytes = 'all'",
    ]));
    stage.admin().run("UPDATE image_gen.models SET typical_seconds = 0.05");
    stage
}

/// All of them.
pub fn offers(stage: &Stage) -> Vec<Offer> {
    let rows = stage.admin().rows(
        "SELECT m.provider_kind, t, m.name,
                to_jsonb(m) || jsonb_build_object('units', (SELECT jsonb_agg(DISTINCT p.unit) FROM image_gen.prices p
                  WHERE p.provider_kind = m.provider_kind AND p.model = m.name))
           FROM image_gen.models m CROSS JOIN unnest(m.default_for) t
          WHERE m.provider_kind <> 'preview' AND m.successor IS NULL ORDER BY 1, 2",
    );
    let offer = |row: Vec<String>| {
        let [kind, task, model, row] = row.try_into().unwrap();
        Offer { kind, task, model, row: serde_json::from_str(&row).unwrap() }
    };
    rows.into_iter().map(offer).collect()
}

/// One call of every offer. Each task has simulated providers of its own, so that the ledger says who did what also
/// where no prompt is sent.
pub struct Round {
    name: String,
    /// By task.
    sims: BTreeMap<String, Sim>,
    offers: Vec<Offer>,
}

impl Round {
    /// Sets the providers of a round up, as rows of their own.
    pub fn new(stage: &Stage, name: &str, offers: &[Offer]) -> Self {
        let mut sims = BTreeMap::new();
        let mut rows = vec![];
        for offer in offers {
            let sim = sims.entry(offer.task.clone()).or_insert_with(|| stage.sim.another());
            let (_, url) = sim.providers().into_iter().find(|(kind, _)| *kind == offer.kind).unwrap();
            rows.push(format!("('{}', '{}', '{url}')", provider(name, offer), offer.kind));
        }
        stage.admin().run(&format!(
            "INSERT INTO image_gen.providers (id, kind, base_url, max_in_flight, requests_per_minute)
             SELECT r.id, r.kind, r.url, p.max_in_flight, p.requests_per_minute
               FROM (VALUES {}) r (id, kind, url) JOIN image_gen.providers p ON p.id = r.kind",
            rows.join(", ")
        ));
        let round = Round { name: name.to_owned(), sims, offers: offers.to_vec() };
        round.configure(&json!({"render_seconds": 0.05}));
        round
    }

    /// What is called.
    pub fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// Changes the configuration of its simulators.
    pub fn configure(&self, patch: &Value) {
        self.sims.values().for_each(|sim| sim.configure(patch));
    }

    /// Lets something go wrong at every offer, and at each as often as the rule says.
    pub fn rule(&self, rule: &Value) {
        for offer in &self.offers {
            let mut rule = rule.clone();
            rule["provider"] = json!(offer.kind);
            self.sims[&offer.task].rule(rule);
        }
    }

    /// What to give as the model, so that nobody else does the job.
    pub fn target(&self, offer: &Offer) -> String {
        format!("{}:{}", provider(&self.name, offer), offer.model)
    }

    /// The submissions of an offer, oldest first.
    pub fn submits(&self, offer: &Offer) -> Vec<Value> {
        let ours = |e: &Value| e["provider"] == offer.kind && e["phase"] == "submit";
        self.sims[&offer.task].entries().into_iter().filter(ours).collect()
    }

    /// How many of its requests a rule has struck.
    pub fn struck(&self, offer: &Offer) -> u64 {
        self.sims[&offer.task].totals().by_provider.get(offer.kind.as_str()).map_or(0, |t| t.faults)
    }

    /// Queues all calls: the ids, or why a call is turned down. `call` writes the function with its arguments.
    pub fn queue(
        &self,
        session: &mut Session,
        call: impl Fn(&Offer, &str) -> String,
    ) -> Vec<Result<String, String>> {
        let mut one = |offer: &Offer| {
            let sql = format!("SELECT id FROM image_gen.{}", call(offer, &self.target(offer)));
            let rows = session.try_rows(&sql).map_err(|e| e.as_db_error().unwrap().to_string())?;
            Ok(rows[0][0].clone())
        };
        self.offers.iter().map(&mut one).collect()
    }

    /// Runs all calls to their ends and gives what is stored about each.
    pub fn run(
        &self,
        session: &mut Session,
        call: impl Fn(&Offer, &str) -> String,
    ) -> Vec<Result<Value, String>> {
        let queued = self.queue(session, call);
        let ids: Vec<String> = queued.iter().flatten().cloned().collect();
        session.all_done(&ids);
        queued.into_iter().map(|id| Ok(stored(session, &id?))).collect()
    }
}

/// What is wrong, by offer.
#[derive(Default)]
pub struct Wrong {
    calls: usize,
    found: Vec<String>,
}

impl Wrong {
    /// One more call is looked at: what is stored about it, unless it was turned down.
    pub fn call<'a>(&mut self, offer: &Offer, stored: &'a Result<Value, String>) -> Option<&'a Value> {
        self.calls += 1;
        stored.as_ref().map_err(|why| self.found.push(format!("{}: {why}", offer.name()))).ok()
    }

    /// Notes what is wrong unless `holds`.
    pub fn unless(&mut self, offer: &Offer, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.found.push(format!("{}: {}", offer.name(), what()));
        }
    }

    /// Fails when anything was wrong.
    pub fn report(self) {
        let Wrong { calls, found } = self;
        assert!(
            calls > 0 && found.is_empty(),
            "{} things wrong in {calls} calls:\n{}",
            found.len(),
            found.join("\n")
        );
    }
}

fn provider(round: &str, offer: &Offer) -> String {
    format!("{}-{round}-{}", offer.kind, offer.task)
}

/// All that is stored about a job: `{"job", "attempts", "assets"}`.
pub fn stored(session: &mut Session, id: &str) -> Value {
    let text = session.text(&format!(
        "SELECT jsonb_build_object('job', (SELECT to_jsonb(j) FROM image_gen.jobs j WHERE j.id = '{id}'),
           'attempts', (SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY a.number), '[]')
                          FROM image_gen.attempts a WHERE a.job_id = '{id}'),
           'assets', (SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY c.position), '[]')
                        FROM image_gen.campaign_assets c WHERE c.job_id = '{id}'))"
    ));
    serde_json::from_str(&text).unwrap()
}

/// An amount of the database or of the ledger in 1e-8 USD: prices per megapixel are that fine. `None` for NULL.
pub fn money(value: &Value) -> Option<i64> {
    let amount: f64 = match value {
        Value::Number(n) => n.as_f64()?,
        Value::String(s) => s.parse().ok()?,
        _ => return None,
    };
    Some((amount * 1e8).round() as i64)
}

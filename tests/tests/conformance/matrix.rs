//! The table that all tests here loop over: every provider × every task that it has a usual model for.

use std::collections::BTreeMap;

use image_gen_tests::picture::{Mask, data_uri, photo};
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
    /// Whether the model takes a parameter in this task.
    pub fn takes(&self, parameter: &str) -> bool {
        let parameter = &self.row["parameters"][parameter];
        match &parameter["only"] {
            Value::Array(only) => {
                let task = if self.task == "character" { "generate" } else { &self.task };
                only.iter().any(|t| t == task)
            }
            _ => !parameter.is_null(),
        }
    }

    /// Whether the price table says anything about it.
    pub fn is_priced(&self) -> bool {
        self.row["priced"] == true
    }
}

/// A server with all keys whose breaker is off, so that a job learns nothing from others, and that keeps all pictures.
pub fn stage() -> Stage {
    let stage = Stage::with(Options::all_keys(&[
        "image_gen.breaker_failures = 0",
        "image_gen.keep_bytes = 'all'",
        "max_stack_depth = '4MB'",
    ]));
    stage.admin().run("UPDATE image_gen.models SET typical_seconds = 0.05");
    stage
}

/// All of them.
pub fn offers(stage: &Stage) -> Vec<Offer> {
    let rows = stage.admin().rows(
        "SELECT m.provider_kind, t, m.name,
                to_jsonb(m) || jsonb_build_object('priced', EXISTS (SELECT FROM image_gen.prices p
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
    sims: BTreeMap<String, Sim>,
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
        let round = Round { name: name.to_owned(), sims };
        round.configure(&json!({"render_seconds": 0.05}));
        round
    }

    /// Changes the configuration of all its simulators.
    pub fn configure(&self, patch: &Value) {
        self.sims.values().for_each(|sim| sim.configure(patch));
    }

    /// Lets something go wrong at every offer, as often for each as the rule says.
    pub fn rule(&self, offers: &[Offer], rule: &Value) {
        for offer in offers {
            let mut rule = rule.clone();
            rule["provider"] = json!(offer.kind);
            self.sims[&offer.task].rule(rule);
        }
    }

    /// What to give as the model, so that nobody else does the job.
    pub fn target(&self, offer: &Offer) -> String {
        format!("{}:{}", provider(&self.name, offer), offer.model)
    }

    /// The requests about an offer, oldest first.
    pub fn entries(&self, offer: &Offer) -> Vec<Value> {
        self.sims[&offer.task].entries().into_iter().filter(|e| e["provider"] == offer.kind).collect()
    }

    /// Its submissions.
    pub fn submits(&self, offer: &Offer) -> Vec<Value> {
        self.entries(offer).into_iter().filter(|e| e["phase"] == "submit").collect()
    }

    /// Queues every offer at once: the ids, or why there is none.
    pub fn queue(
        &self,
        session: &mut Session,
        offers: &[Offer],
        call: impl Fn(&Offer) -> String,
    ) -> Vec<Result<String, String>> {
        let mut one = |offer: &Offer| {
            let rows = session.try_rows(&format!("SELECT id FROM image_gen.{}", call(offer)));
            rows.map(|r| r[0][0].clone()).map_err(|e| e.as_db_error().unwrap().to_string())
        };
        offers.iter().map(|offer| one(offer)).collect()
    }
}

fn provider(round: &str, offer: &Offer) -> String {
    format!("{}-{round}-{}", offer.kind, offer.task)
}

/// The pictures that go in.
pub struct Pictures {
    /// The picture to work on.
    pub image: Vec<u8>,
    /// What of it to change.
    pub mask: Mask,
    /// The picture with the style.
    pub style: Vec<u8>,
    /// The picture with the subject.
    pub reference: Vec<u8>,
}

/// The size of what goes in.
pub const SIZE: (u32, u32) = (256, 192);
/// What an outpainting adds: top, right, bottom, left.
pub const BORDERS: [u32; 4] = [32, 64, 0, 128];
/// The seed of every call.
pub const SEED: i64 = 73104;

impl Pictures {
    /// Different for every hue.
    pub fn new(hue: u8) -> Self {
        let (width, height) = SIZE;
        Pictures {
            image: photo(width, height, hue),
            mask: Mask::new(width, height, |x, y| (40..100).contains(&x) && y < 50 || (x, y) == (200, 150)),
            style: photo(128, 128, hue.wrapping_add(1)),
            reference: photo(192, 192, hue.wrapping_add(2)),
        }
    }

    /// The call of an offer's task: the function with its arguments. `prompt` is left out where it is empty and can be.
    pub fn call(&self, offer: &Offer, target: &str, prompt: &str) -> String {
        let mut arguments = vec![format!("model => '{target}'")];
        let mut picture = |name: &str, png: &[u8]| arguments.push(format!("{name} => '{}'", data_uri(png)));
        let mut more: Vec<String> = vec![];
        let needs_prompt = matches!(offer.task.as_str(), "generate" | "character" | "img2img");
        let function = match offer.task.as_str() {
            "generate" => {
                more.push("width => 320, height => 256".into());
                "generate"
            }
            "character" => {
                picture("reference_image", &self.reference);
                more.push("width => 320, height => 256, consistency_mode => 'strict'".into());
                "generate"
            }
            "img2img" => {
                picture("image", &self.image);
                "edit"
            }
            "inpaint" => {
                picture("image", &self.image);
                picture("mask", &self.mask.png);
                "edit"
            }
            "outpaint" => {
                picture("image", &self.image);
                let [top, right, bottom, left] = BORDERS;
                more.push(format!(
                    "border_top => {top}, border_right => {right}, border_bottom => {bottom}, border_left => {left}"
                ));
                "edit"
            }
            "upscale" => {
                picture("image", &self.image);
                let scale = offer.row["parameters"]["scale"]["values"].as_array().unwrap().last().unwrap();
                more.push(format!("scale => {scale}"));
                "upscale"
            }
            "variate" => {
                picture("image", &self.image);
                more.push("n => 1".into());
                "variate"
            }
            "transfer_style" => {
                picture("image", &self.image);
                picture("style_image", &self.style);
                "transfer_style"
            }
            other => panic!("no call for {other}"),
        };
        arguments.extend(more);
        // A variation's seed is derived from the one given.
        arguments.push(format!("seed => {SEED}"));
        if needs_prompt || !prompt.is_empty() {
            arguments.push(format!("prompt => '{}'", if prompt.is_empty() { "a teapot" } else { prompt }));
        }
        format!("{function}({})", arguments.join(", "))
    }
}

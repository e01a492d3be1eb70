//! The calls: every argument of every function, and every argument within the JSON of those that take JSON.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::values::Values;
use crate::Session;

/// Where the random numbers begin.
const SEED: u64 = 11;

/// The operations, and the arguments that each must have.
const OPERATIONS: [(&str, &[&str]); 5] = [
    ("generate", &["prompt"]),
    ("edit", &["image", "prompt"]),
    ("upscale", &["image"]),
    ("variate", &["image"]),
    ("transfer_style", &["image", "style_image"]),
];

/// One call.
pub struct Call {
    /// What it is, shortened where an argument is long.
    pub what: String,
    /// The statement.
    pub sql: String,
}

/// An argument of an operation.
#[derive(Clone, Debug)]
struct Parameter {
    name: String,
    kind: String,
}

/// How the arguments of an operation are passed.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// To its own function.
    Own,
    /// As JSON, to this function.
    Json(&'static str),
    /// As a shot of generate_batch().
    Shot,
    /// As the defaults of generate_batch().
    Defaults,
}

/// An operation and what it takes.
struct Operation {
    name: &'static str,
    needed: &'static [&'static str],
    parameters: Vec<Parameter>,
    models: Vec<String>,
}

/// What calls are made of.
struct Maker<'a> {
    rng: StdRng,
    values: Values,
    operations: &'a [Operation],
    photo: &'a str,
}

/// So many calls, the same in each run, which take each function in turn. `photo` is an image that can be worked on;
/// `theirs` refers to images of another role.
///
/// # Panics
/// Where the catalogue has no model for an operation.
pub fn calls(admin: &mut Session, n: usize, photo: &str, theirs: &[String]) -> Vec<Call> {
    // Once: it takes seconds.
    let can = admin.rows(
        "SELECT DISTINCT CASE WHEN task IN ('img2img', 'inpaint', 'outpaint') THEN 'edit' ELSE task END,
                provider || ':' || model
           FROM image_gen.capabilities WHERE state <> 'unsupported' AND model NOT LIKE '%*%' ORDER BY 1, 2",
    );
    let operations = OPERATIONS.map(|(name, needed)| Operation {
        name,
        needed,
        parameters: parameters(admin, name),
        models: can.iter().filter(|row| row[0] == name).map(|row| row[1].clone()).collect(),
    });
    assert!(operations.iter().all(|operation| !operation.models.is_empty()), "{can:?}");
    let (rng, values) = (StdRng::seed_from_u64(SEED), Values::new(theirs));
    let mut maker = Maker { rng, values, operations: &operations, photo };
    (0..n).map(|i| maker.nth(i % 8, i / 8)).collect()
}

/// What a function takes.
fn parameters(admin: &mut Session, function: &str) -> Vec<Parameter> {
    let rows = admin.rows(&format!(
        "SELECT name, type::regtype::text
           FROM pg_proc, unnest(proargnames, proargtypes::oid[]) AS a (name, type)
          WHERE pronamespace IN ('image_gen'::regnamespace, 'image_gen_internal'::regnamespace) AND proname = '{function}' AND type IS NOT NULL"
    ));
    assert!(rows.len() > 1, "{function}: {rows:?}");
    rows.into_iter().map(|row| Parameter { name: row[0].clone(), kind: row[1].clone() }).collect()
}

impl Maker<'_> {
    /// The `nth` call of one of the eight functions.
    fn nth(&mut self, function: usize, nth: usize) -> Call {
        const TAKE_JSON: [&str; 3] = ["generate_batch", "estimate", "explain"];
        let Some(json) = function.checked_sub(self.operations.len()).map(|i| TAKE_JSON[i]) else {
            return self.call(Way::Own, &self.operations[function], nth);
        };
        if nth.is_multiple_of(4) {
            return self.top(json, nth / 4);
        }
        let way = match json {
            "generate_batch" if self.rng.random_bool(0.7) => Way::Shot,
            "generate_batch" => Way::Defaults,
            _ => Way::Json(json),
        };
        self.call(way, &self.operations[nth % self.operations.len()], nth)
    }

    /// A call with one hostile argument, the `nth` in turn, and sometimes more.
    fn call(&mut self, way: Way, operation: &Operation, nth: usize) -> Call {
        let count = operation.parameters.len();
        let mut hostile = vec![nth % count];
        while self.rng.random_bool(0.3) {
            hostile.push(self.rng.random_range(0..count));
        }
        let mut arguments: Vec<(&str, String)> = vec![];
        for (i, Parameter { name, kind }) in operation.parameters.iter().enumerate() {
            let good = match name.as_str() {
                "prompt" => Some("'a red cup'".to_owned()),
                "model" if self.rng.random_bool(0.6) => {
                    operation.models.choose(&mut self.rng).map(|model| format!("'{model}'"))
                }
                needed if operation.needed.contains(&needed) => Some(format!("'{}'", self.photo)),
                _ => None,
            };
            let value =
                if hostile.contains(&i) { Some(self.values.of(&mut self.rng, name, kind)) } else { good };
            arguments.extend(value.map(|value| (name.as_str(), value)));
        }
        described(statement(way, operation.name, &arguments))
    }

    /// A call of a function that takes JSON, with anything there.
    fn top(&mut self, function: &str, nth: usize) -> Call {
        let shot = "'[{\"shot\": \"hero\", \"prompt\": \"a red cup\"}]'";
        let mut any = |name, kind| self.values.of(&mut self.rng, name, kind);
        let arguments = match (function, nth % 5) {
            ("generate_batch", 0) => any("shots", "jsonb"),
            ("generate_batch", 1) => format!("{shot}, {}", any("defaults", "jsonb")),
            ("generate_batch", 2) => format!("{shot}, '{{}}', {}", any("max_cost", "numeric")),
            ("generate_batch", 3) => format!("{shot}, idempotency_key => {}", any("idempotency_key", "text")),
            ("generate_batch", _) => "(SELECT jsonb_agg(1) FROM generate_series(1, 100000))".to_owned(),
            (_, 0 | 2) => format!("{}, '{{\"prompt\": \"a red cup\"}}'", any("operation", "text")),
            _ => format!("'generate', {}", any("arguments", "jsonb")),
        };
        described(format!("SELECT * FROM image_gen.{function}({arguments})"))
    }
}

/// The statement that passes these arguments.
fn statement(way: Way, operation: &str, arguments: &[(&str, String)]) -> String {
    let object = || {
        let members: Vec<String> =
            arguments.iter().map(|(name, value)| format!("'{name}', {value}")).collect();
        format!("jsonb_build_object({})", members.join(", "))
    };
    match way {
        Way::Own => {
            let named: Vec<String> =
                arguments.iter().map(|(name, value)| format!("{name} => {value}")).collect();
            format!("SELECT * FROM image_gen.{operation}({})", named.join(", "))
        }
        Way::Json(function) => {
            format!("SELECT * FROM image_gen.{function}('{operation}', {})", object())
        }
        Way::Shot => format!(
            "SELECT * FROM image_gen.generate_batch(jsonb_build_array({} \
             || '{{\"shot\": \"hero\", \"operation\": \"{operation}\"}}'))",
            object()
        ),
        Way::Defaults => format!(
            "SELECT * FROM image_gen.generate_batch('[{{\"shot\": \"hero\", \"operation\": \"{operation}\"}}]', {})",
            object()
        ),
    }
}

/// A call, and its text for a message.
fn described(sql: String) -> Call {
    let what = if sql.len() <= 600 {
        sql.clone()
    } else {
        let start: String = sql.chars().take(400).collect();
        let end: String = sql.chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
        format!("{start} ... {end}")
    };
    Call { what, sql }
}

//! Queueing, and waiting for what comes of it.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Map, Value, json};

use super::{Session, images, plain};
use crate::fault::{Code, Fault};

/// A file that is larger is named by URL.
const MOST_FILE_BYTES: u64 = 20 << 20;

/// What is asked for.
#[derive(Debug, Args)]
pub struct Request {
    /// What should be in the image; the most important first.
    prompt: String,
    #[command(flatten)]
    options: Options,
}

/// What all requests can say.
#[derive(Debug, Args)]
struct Options {
    /// A model of the catalogue, or provider:model.
    #[arg(short, long)]
    model: Option<String>,
    /// What should not be in it.
    #[arg(long)]
    negative: Option<String>,
    /// WIDTHxHEIGHT in pixels, or W:H.
    #[arg(short, long)]
    size: Option<String>,
    /// The same seed, prompt and model give the same image again.
    #[arg(long)]
    seed: Option<i64>,
    /// How many.
    #[arg(short, long)]
    n: Option<i64>,
    /// draft, low, standard, medium, high or hd.
    #[arg(short, long)]
    quality: Option<String>,
    /// Becomes a column of the asset.
    #[arg(long)]
    campaign: Option<String>,
    /// The same, and the name of the file.
    #[arg(long)]
    shot: Option<String>,
    /// The same.
    #[arg(long)]
    ticket: Option<String>,
    /// USD for all its calls.
    #[arg(long)]
    max_cost: Option<f64>,
    /// The same key gives the same generation, and not a second one.
    #[arg(long)]
    key: Option<String>,
}

impl Options {
    fn arguments(&self, prompt: Option<&str>) -> Result<Map<String, Value>, Fault> {
        let mut arguments = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                arguments.insert(name.to_owned(), value);
            }
        };
        let text = |value: &Option<String>| value.clone().map(Value::from);
        put("prompt", prompt.map(Value::from));
        put("model", text(&self.model));
        put("negative_prompt", text(&self.negative));
        put("seed", self.seed.map(Value::from));
        put("n", self.n.map(Value::from));
        put("quality", text(&self.quality));
        put("max_cost", self.max_cost.map(Value::from));
        put("idempotency_key", text(&self.key));
        let booked = [("campaign", &self.campaign), ("shot", &self.shot), ("ticket", &self.ticket)];
        let metadata: Map<String, Value> =
            booked.into_iter().filter_map(|(name, value)| Some((name.to_owned(), text(value)?))).collect();
        put("metadata", (!metadata.is_empty()).then_some(Value::Object(metadata)));
        if let Some(size) = &self.size {
            let sides = size
                .split_once(['x', 'X'])
                .and_then(|(w, h)| Some((w.parse::<i64>().ok()?, h.parse::<i64>().ok()?)));
            match sides {
                Some((width, height)) => {
                    put("width", Some(width.into()));
                    put("height", Some(height.into()));
                }
                None if size.contains(':') => put("aspect_ratio", Some(size.as_str().into())),
                None => {
                    return Err(Fault::new(
                        Code::InvalidRequest,
                        format!("the size is {size:?}"),
                        "Write 1024x768, or 16:9.",
                    ));
                }
            }
        }
        Ok(arguments)
    }
}

/// What follows the queueing.
#[derive(Debug, Args)]
struct Following {
    /// Do not wait: say the id, and be done.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait at most, in seconds.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// Where images are saved.
    #[arg(short, long, default_value = ".")]
    out: PathBuf,
    /// Save none.
    #[arg(long)]
    no_save: bool,
}

/// `image-gen generate`.
#[derive(Debug, Args)]
pub struct Generate {
    #[command(flatten)]
    request: Request,
    #[command(flatten)]
    following: Following,
}

/// `image-gen edit`.
#[derive(Debug, Args)]
pub struct Edit {
    /// A file, an https URL, asset:ID or job:gen_...
    image: String,
    /// What should become of it.
    prompt: Option<String>,
    /// A file or URL: white is changed, black is kept.
    #[arg(long)]
    mask: Option<String>,
    /// img2img, inpaint or outpaint.
    #[arg(long)]
    mode: Option<String>,
    /// 0 keeps everything, 1 nothing.
    #[arg(long)]
    strength: Option<f64>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    following: Following,
}

/// `image-gen wait`.
#[derive(Debug, Args)]
pub struct Wait {
    /// Of generate.
    #[arg(required = true, num_args = 1..=20)]
    ids: Vec<String>,
    #[command(flatten)]
    following: Following,
}

/// Queues, waits, saves.
pub async fn generate(session: &Session, asked: Generate) -> Result<u8, Fault> {
    let arguments = asked.request.options.arguments(Some(&asked.request.prompt))?;
    let queued = session.tool("generate_image", &Value::Object(arguments)).await?;
    follow_queued(session, &queued, &asked.following).await
}

/// Queues, waits, saves.
pub async fn edit(session: &Session, asked: Edit) -> Result<u8, Fault> {
    let mut arguments = asked.options.arguments(asked.prompt.as_deref())?;
    for wrong in ["width", "height", "aspect_ratio", "quality"] {
        if arguments.contains_key(wrong) {
            return Err(Fault::new(
                Code::InvalidRequest,
                format!("edit takes no {wrong} here"),
                "The SQL function image_gen.edit() takes all.",
            ));
        }
    }
    arguments.insert("image".to_owned(), picture(&asked.image)?.into());
    if let Some(mask) = &asked.mask {
        arguments.insert("mask".to_owned(), picture(mask)?.into());
    }
    if let Some(mode) = asked.mode {
        arguments.insert("mode".to_owned(), mode.into());
    }
    if let Some(strength) = asked.strength {
        arguments.insert("strength".to_owned(), strength.into());
    }
    let queued = session.tool("edit_image", &Value::Object(arguments)).await?;
    follow_queued(session, &queued, &asked.following).await
}

/// Waits, saves.
pub async fn wait(session: &Session, asked: Wait) -> Result<u8, Fault> {
    follow(session, &asked.ids, &asked.following).await
}

/// What it would cost.
pub async fn estimate(session: &Session, asked: Request) -> Result<(), Fault> {
    let arguments = asked.options.arguments(Some(&asked.prompt))?;
    let answer = session.tool("estimate", &json!({"operation": "generate", "arguments": arguments})).await?;
    let amount = |key: &str| match &answer[key] {
        Value::Null => "unknown".to_owned(),
        some => some.to_string(),
    };
    let lines = [
        format!(
            "{} at {}: {} {} for {} images",
            plain(&answer["model"]),
            plain(&answer["provider"]),
            amount("estimated_cost"),
            plain(&answer["currency"]),
            answer["images"]
        ),
        format!(
            "with room for a refused call {}, at most {}; about {} s",
            amount("with_buffer"),
            amount("highest_cost"),
            amount("estimated_seconds")
        ),
    ];
    session.say(&answer, &lines)
}

async fn follow_queued(session: &Session, queued: &Value, following: &Following) -> Result<u8, Fault> {
    let id = plain(&queued["id"]);
    if following.no_wait {
        session.say(queued, &[id])?;
        return Ok(0);
    }
    if !session.json {
        eprintln!("{id}: {}", plain(&queued["model"]));
    }
    follow(session, &[id], following).await
}

async fn follow(session: &Session, ids: &[String], following: &Following) -> Result<u8, Fault> {
    if !following.no_wait {
        session.wait(ids, Duration::from_secs(following.timeout)).await?;
    }
    let (mut answers, mut lines, mut code) = (vec![], vec![], 0);
    for id in ids {
        let mut answer = session.tool("get_generation", &json!({"id": id})).await?;
        let saved = match answer["status"] == "succeeded" && !following.no_save {
            true => images::save(session, id, &following.out).await?,
            false => vec![],
        };
        code = code.max(exit_code(&answer));
        lines.push(line(&answer));
        lines.extend(saved.iter().map(|file| format!("  {file}")));
        answer["files"] = saved.into();
        answers.push(answer);
    }
    let answer = match answers.len() {
        1 => answers.remove(0),
        _ => Value::Array(answers),
    };
    session.say(&answer, &lines)?;
    Ok(code)
}

fn line(answer: &Value) -> String {
    let cost = match &answer["billed_cost"] {
        Value::Null => "cost unknown or not over".to_owned(),
        cost => format!("{cost} {}", plain(&answer["currency"])),
    };
    let why = match &answer["error"] {
        Value::Null => String::new(),
        error => format!(": {}: {}", plain(&error["code"]), plain(&error["message"])),
    };
    format!(
        "{} {} ({}, seed {}, {cost}){why}",
        plain(&answer["id"]),
        plain(&answer["status"]),
        plain(&answer["model"]),
        answer["seed"]
    )
}

/// The exit code of how a generation stands.
pub fn exit_code(generation: &Value) -> u8 {
    if generation["needs_review"] == true {
        return 21;
    }
    match (generation["status"].as_str(), generation["error"]["code"].as_str()) {
        (Some("succeeded"), _) => 0,
        (Some("queued" | "running"), _) => 23,
        (_, Some("canceled")) => 22,
        (_, Some("safety_filter" | "policy_block")) => 24,
        (_, Some("deadline_exceeded" | "timeout")) => 25,
        (_, Some("budget_exceeded")) => Code::BudgetExceeded.exit(),
        (_, Some("invalid_request")) => Code::InvalidRequest.exit(),
        (_, Some("not_supported" | "model_gone")) => Code::NotSupported.exit(),
        _ => 20,
    }
}

/// An image as the extension takes it: a file becomes a data: URI.
fn picture(named: &str) -> Result<String, Fault> {
    let elsewhere = ["https://", "http://", "data:", "asset:", "job:"];
    if elsewhere.iter().any(|scheme| named.starts_with(scheme)) {
        return Ok(named.to_owned());
    }
    let unreadable = |error: std::io::Error| {
        Fault::new(
            Code::NotFound,
            format!("{named}: {error}"),
            "Name a file, an https URL, asset:ID or job:gen_...",
        )
    };
    let file = std::fs::metadata(named).map_err(unreadable)?;
    if !file.is_file() || file.len() > MOST_FILE_BYTES {
        return Err(Fault::new(
            Code::InvalidRequest,
            format!("{named} is no file of at most 20 MB"),
            "Put it where it has an https URL.",
        ));
    }
    let bytes = std::fs::read(named).map_err(unreadable)?;
    let kind = image::guess_format(&bytes).map_err(|_| {
        Fault::new(Code::InvalidRequest, format!("{named} is no image"), "Use a PNG, JPEG, WebP or GIF.")
    })?;
    Ok(format!("data:{};base64,{}", kind.to_mime_type(), STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_generation_ended_is_in_the_exit_code() {
        for (status, code, review, exit) in [
            ("succeeded", Value::Null, false, 0),
            ("running", Value::Null, false, 23),
            ("failed", json!("canceled"), false, 22),
            ("failed", json!("safety_filter"), true, 21),
            ("failed", json!("safety_filter"), false, 24),
            ("failed", json!("budget_exceeded"), false, 5),
            ("failed", json!("provider_error"), false, 20),
        ] {
            let generation = json!({"status": status, "needs_review": review, "error": {"code": code}});
            assert_eq!(exit_code(&generation), exit, "{generation}");
        }
    }
}

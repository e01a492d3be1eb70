//! JSON from outside as one of our types, or where in it the mistake is.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

/// What is wrong with some JSON, and where.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Mistake {
    /// JSON path of the value that is wrong, such as `$.arguments.width`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

/// Reads arguments of a tool. `root` is the path of the JSON itself, `$` or `$.arguments`.
pub fn read<T: DeserializeOwned>(root: &str, json: &str) -> Result<T, Mistake> {
    // What is derived would read a list as members in their order.
    if !json.trim_start().starts_with('{') {
        return Err(Mistake {
            path: root.to_owned(),
            message: "this is no JSON object".to_owned(),
            hint: "Write {\"name of an argument\": value, ...}.".to_owned(),
        });
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = path(root, error.path());
        let said = error.inner().to_string();
        // serde_json adds a place in the text, which is not the one that the caller wrote.
        let said = said.split(" at line ").next().unwrap_or_default();
        let (message, hint) = match said.split_once(", expected ") {
            Some((message, expected)) => (message, format!("Expected {}.", in_words(expected))),
            None => (said, "Compare it with image_gen.tool_schemas().".to_owned()),
        };
        Mistake { path, message: message.to_owned(), hint }
    })
}

/// Types as JSON calls them.
fn in_words(expected: &str) -> &str {
    match expected {
        "i64" => "an integer",
        "u32" => "an integer from 0 up",
        "f64" => "a number",
        "a map" => "an object",
        // Of what is derived the name is ours.
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

fn path(root: &str, path: &serde_path_to_error::Path) -> String {
    let mut text = root.to_owned();
    for segment in path {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                match plain {
                    true => text.push_str(&format!(".{key}")),
                    false => text.push_str(&format!("[{}]", Value::from(key.as_str()))),
                }
            }
            Segment::Unknown => {}
        }
    }
    text
}

/// The arguments of a tool as they are called over the wire: `{"tool": …, "arguments": {…}}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    tool: String,
    arguments: Value,
}

/// The arguments of a call, with or without an envelope, and their path.
pub fn arguments(tool: &str, json: &str) -> Result<(&'static str, Value), Mistake> {
    let given: Map<String, Value> = read("$", json)?;
    if !given.contains_key("tool") {
        return Ok(("$", Value::Object(given)));
    }
    let envelope: Envelope = read("$", json)?;
    if envelope.tool != tool {
        return Err(Mistake {
            path: "$.tool".to_owned(),
            message: format!("this is {tool}, not {}", Value::from(envelope.tool)),
            hint: format!(
                "Call the function of that name, or write {{\"tool\": \"{tool}\", \"arguments\": {{...}}}}."
            ),
        });
    }
    Ok(("$.arguments", envelope.arguments))
}

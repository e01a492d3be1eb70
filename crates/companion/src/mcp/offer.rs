//! The tools as a client is told of them: the schemas of `image_gen_tools`, without what a model needs not read.

use std::sync::{Arc, LazyLock};

use image_gen_tools::{Effect, agent_tools};
use rmcp::model::{JsonObject, MetaObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

/// The key of a tool's `_meta` that says whether calling it spends money: no annotation of the protocol does.
pub const SPENDS: &str = "image_gen/spends";

/// All tools.
pub fn tools() -> Vec<Tool> {
    static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(|| agent_tools().iter().map(offered).collect());
    TOOLS.clone()
}

fn offered(tool: &image_gen_tools::Tool) -> Tool {
    let mut input = tool.input_schema.as_value().clone();
    let mut output = tool.output_schema.as_value().clone();
    slim(&mut input, Part::Input);
    slim(&mut output, Part::Output);
    if tool.name == "list_recent_generations" {
        // Each is what get_generation answers, which a model has just read.
        output["properties"]["generations"]["items"] =
            json!({"type": "object", "description": "as of get_generation"});
    }
    let offered = Tool::new(tool.name, tool.description, Arc::new(object(input)))
        .with_raw_output_schema(Arc::new(object(output)))
        .with_annotations(annotations(tool.effect));
    match tool.effect {
        Effect::Spends | Effect::Decides => {
            offered.with_meta(MetaObject::from(object(json!({SPENDS: true}))))
        }
        Effect::Reads | Effect::Ends => offered,
    }
}

fn annotations(effect: Effect) -> ToolAnnotations {
    let hints = ToolAnnotations::new();
    match effect {
        Effect::Reads => hints.read_only(true),
        // It only adds.
        Effect::Spends => hints.read_only(false).destructive(false),
        Effect::Ends => hints.read_only(false).destructive(true).idempotent(true),
        Effect::Decides => hints.read_only(false).destructive(true),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Input,
    Output,
}

/// Leaves out what costs a model's attention and says nothing: titles, formats, what an absent argument could also be written as. What
/// is left of an input's schema allows no more than the whole does; of an answer's, it names every member and its type.
fn slim(schema: &mut Value, part: Part) {
    match schema {
        Value::Object(members) => {
            // Lengths and letters are checked by the call, which says what is wrong: no model counts characters.
            for key in ["$schema", "title", "format", "default", "minLength", "maxLength", "pattern"] {
                // A property may be called so: then it is an object, and no word about one.
                if members.get(key).is_some_and(|value| !value.is_object()) {
                    members.remove(key);
                }
            }
            if part == Part::Output {
                for key in ["description", "minimum", "maximum", "required", "additionalProperties"] {
                    if members.get(key).is_some_and(|value| !value.is_object()) {
                        members.remove(key);
                    }
                }
            }
            if part == Part::Input {
                without_null(members);
                // generate_image is first in the list, and has said it.
                if members
                    .get("description")
                    .and_then(Value::as_str)
                    .is_some_and(|said| said.starts_with("As of "))
                {
                    members.remove("description");
                }
                if members.get("maximum") == Some(&json!(image_gen_tools::MOST_SEED)) {
                    members.remove("maximum");
                }
                if members.get("minimum").and_then(Value::as_f64) == Some(0.0) {
                    members.remove("minimum");
                }
            }
            if members.get("additionalProperties") == Some(&Value::Bool(true)) {
                members.remove("additionalProperties");
            }
            named_choices(members);
            members.values_mut().for_each(|value| slim(value, part));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| slim(value, part)),
        _ => {}
    }
}

/// Who does not want to give an argument leaves it out.
fn without_null(members: &mut JsonObject) {
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|one| one != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = members.get_mut("enum") {
        values.retain(|one| !one.is_null());
    }
    if let Some(Value::Array(options)) = members.get_mut("anyOf") {
        options.retain(|one| one.get("type") != Some(&json!("null")));
        if let [Value::Object(only)] = options.as_slice() {
            let only = only.clone();
            members.remove("anyOf");
            only.into_iter().for_each(|(key, value)| {
                members.entry(key).or_insert(value);
            });
        }
    }
}

/// Words of which each is described are a list of words.
fn named_choices(members: &mut JsonObject) {
    let words = |options: &Value| -> Option<Vec<Value>> {
        options.as_array()?.iter().map(|option| option.get("const").cloned()).collect()
    };
    if let Some(choices) = members.get("oneOf").and_then(words) {
        members.remove("oneOf");
        members.insert("enum".to_owned(), choices.into());
        members.insert("type".to_owned(), json!("string"));
    }
}

fn object(value: Value) -> JsonObject {
    super::object(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_tools_is_at_most_four_thousand_tokens() {
        let list = serde_json::to_string(&json!({"tools": tools()})).unwrap();
        for (name, counter) in [("o200k", tiktoken_rs::o200k_base()), ("cl100k", tiktoken_rs::cl100k_base())]
        {
            let tokens = counter.unwrap().encode_with_special_tokens(&list).len();
            let each: Vec<(String, usize)> = tools()
                .iter()
                .map(|tool| (tool.name.to_string(), serde_json::to_string(tool).unwrap().len()))
                .collect();
            assert!(tokens <= 4000, "{tokens} tokens by {name}, {} bytes: {each:?}", list.len());
        }
    }

    #[test]
    fn what_a_tool_does_is_said_by_its_annotations() {
        for (tool, ours) in tools().iter().zip(agent_tools()) {
            let hints = tool.annotations.clone().unwrap();
            assert_eq!(hints.read_only_hint, Some(ours.effect == Effect::Reads), "{}", tool.name);
            let spends = tool.meta.as_ref().is_some_and(|meta| meta.0.get(SPENDS) == Some(&json!(true)));
            assert_eq!(spends, matches!(ours.effect, Effect::Spends | Effect::Decides), "{}", tool.name);
            assert!(tool.name != "set_budget" && !tool.name.contains("budget"), "an agent sets no budgets");
        }
    }

    #[test]
    fn what_is_left_of_a_schema_still_has_every_member_and_asks_for_the_same() {
        for (tool, ours) in tools().iter().zip(agent_tools()) {
            for (left, whole) in [
                (Some(tool.input_schema.clone()), ours.input_schema.as_value()),
                (tool.output_schema.clone(), ours.output_schema.as_value()),
            ] {
                let left = Value::Object((*left.unwrap()).clone());
                let names = |schema: &Value| -> Vec<String> {
                    schema["properties"].as_object().map(|p| p.keys().cloned().collect()).unwrap_or_default()
                };
                assert_eq!(names(&left), names(whole), "{}", tool.name);
                assert_eq!(left["type"], whole["type"], "{}", tool.name);
                assert!(!left.to_string().contains("$ref"), "{}", tool.name);
            }
            let whole = ours.input_schema.as_value();
            for key in ["required", "additionalProperties"] {
                assert_eq!(tool.input_schema.get(key), whole.get(key), "{}: {key}", tool.name);
            }
        }
    }
}

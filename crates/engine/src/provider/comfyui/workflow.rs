//! Graphs of one's own: a workflow as ComfyUI exports it for its API, with places such as `{{prompt}}` that a request fills. It is
//! the field `workflow` of a row's `fixed`; what fills its places is what the row's `parameters` write.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::candidate::Parameter;
use crate::input::{MAX_REFERENCES, Role};
use crate::job::Invalid;

/// The name of the field.
pub(super) const FIELD: &str = "workflow";
/// The sides of an outpainting, as places are called for them.
pub(super) const SIDES: [&str; 4] = ["top", "right", "bottom", "left"];

/// What is wrong with a row that has a workflow, for the one who writes it: nothing is found out only when it is rendered.
pub(super) fn check(
    workflow: &Value,
    fixed: &Map<String, Value>,
    parameters: &BTreeMap<String, Parameter>,
) -> Result<(), Invalid> {
    let export = "Export it in ComfyUI with File > Export (API), and put {{prompt}}, {{seed}}, ... where a request has its say.";
    let wrong = |message: String| Err(Invalid::new(message, export));
    let Some(nodes) = workflow.as_object().filter(|nodes| !nodes.is_empty()) else {
        return wrong("the workflow is not an object of nodes".into());
    };
    let mut saves = false;
    for (id, node) in nodes {
        let class = node.get("class_type").and_then(Value::as_str);
        let (Some(class), Some(_)) = (class, node.get("inputs").and_then(Value::as_object)) else {
            return wrong(format!("node {id} of the workflow has no class_type and inputs"));
        };
        saves |= is_saving(class);
    }
    if !saves {
        return wrong("the workflow saves no image".into());
    }
    let mut places = BTreeSet::new();
    visit(workflow, &mut |name| {
        places.insert(name.to_owned());
    });
    let written: BTreeSet<String> = parameters.iter().flat_map(|(name, p)| fields_of(name, p)).collect();
    let hint = |do_this: &str| format!("{do_this} Places and parameters belong together.");
    if let Some(name) = places.iter().find(|name| !written.contains(*name) && !fixed.contains_key(*name)) {
        return Err(Invalid::new(
            format!("nothing fills {{{{{name}}}}} of the workflow"),
            hint("Name what does in parameters, or write a value there."),
        ));
    }
    if let Some(name) = written.iter().find(|name| !places.contains(*name)) {
        return Err(Invalid::new(
            format!("parameters write {name}, and the workflow has no {{{{{name}}}}}"),
            hint("Put it where the value goes, or leave the parameter out."),
        ));
    }
    Ok(())
}

/// The fields that a parameter writes.
fn fields_of(name: &str, parameter: &Parameter) -> Vec<String> {
    let wire = || parameter.wire.clone().unwrap_or_else(|| name.to_owned());
    let mut fields = match name {
        "options" => parameter.values.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        "borders" => SIDES.map(str::to_owned).to_vec(),
        "size" if parameter.form.as_deref() == Some("sides") => {
            let prefix = parameter.wire.clone().unwrap_or_default();
            vec![format!("{prefix}width"), format!("{prefix}height")]
        }
        "reference_images" => {
            let most = parameter.most.map_or(MAX_REFERENCES, |most| most as usize).min(MAX_REFERENCES);
            (0..most).map(|at| Role::Reference(at as u8).name().to_owned()).collect()
        }
        // Images are files, by what they are for.
        _ if Role::ALL.iter().any(|role| role.name() == name) => vec![name.to_owned()],
        _ => vec![wire()],
    };
    fields.extend(parameter.weight.clone());
    fields
}

/// The workflow for one request: what its places stand for, in one pass, so that nothing in a prompt is taken for a place.
pub(super) fn filled(workflow: &Value, fields: &Map<String, Value>, tag: &str) -> Result<Value, Invalid> {
    let mut graph = workflow.clone();
    let mut missing = None;
    fill(&mut graph, fields, &mut missing);
    if let Some(name) = missing {
        return Err(Invalid::new(
            format!("the workflow needs {name}, and the request has none"),
            format!("Give it, or a default in parameters, such as {{\"{name}\": {{\"default\": ...}}}}."),
        ));
    }
    // The name of the attempt makes each graph a new one: of a repeated one the server makes nothing.
    for node in graph.as_object_mut().into_iter().flat_map(Map::values_mut) {
        let saves = node.get("class_type").and_then(Value::as_str).is_some_and(is_saving);
        if let (true, Some(Value::String(prefix))) = (saves, node.pointer_mut("/inputs/filename_prefix")) {
            *prefix = format!("image_gen/{tag}");
        }
    }
    Ok(graph)
}

/// Whether nodes of a class write images to the server's disk, as far as its name says.
fn is_saving(class: &str) -> bool {
    class.to_ascii_lowercase().contains("save")
}

fn fill(value: &mut Value, fields: &Map<String, Value>, missing: &mut Option<String>) {
    match value {
        Value::Object(all) => all.values_mut().for_each(|inner| fill(inner, fields, missing)),
        Value::Array(all) => all.iter_mut().for_each(|inner| fill(inner, fields, missing)),
        Value::String(text) => {
            let pieces = pieces(text);
            let mut put = |name: &str| match fields.get(name) {
                Some(value) => value.clone(),
                // What is not wished is no word.
                None if matches!(name, "prompt" | "negative_prompt") => json!(""),
                None => {
                    missing.get_or_insert_with(|| name.to_owned());
                    Value::Null
                }
            };
            let filled = match pieces[..] {
                // Alone it is the value itself: a number stays one.
                [Piece::Place(name)] => put(name),
                _ => {
                    let written = pieces.iter().map(|piece| match piece {
                        Piece::Text(text) => (*text).to_owned(),
                        Piece::Place(name) => match put(name) {
                            Value::String(text) => text,
                            other => other.to_string(),
                        },
                    });
                    Value::String(written.collect())
                }
            };
            *value = filled;
        }
        _ => {}
    }
}

/// Calls `seen` with the name of every place.
fn visit(value: &Value, seen: &mut dyn FnMut(&str)) {
    match value {
        Value::Object(all) => all.values().for_each(|inner| visit(inner, seen)),
        Value::Array(all) => all.iter().for_each(|inner| visit(inner, seen)),
        Value::String(text) => {
            for piece in pieces(text) {
                if let Piece::Place(name) = piece {
                    seen(name);
                }
            }
        }
        _ => {}
    }
}

enum Piece<'a> {
    Text(&'a str),
    Place(&'a str),
}

/// A text and its places. What stands between braces and is no name is text: other tools have words such as `{{red|blue}}`.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = vec![];
    let (mut rest, mut from) = (text, 0);
    while let Some(start) = rest[from..].find("{{").map(|at| at + from) {
        let Some(end) = rest[start + 2..].find("}}").map(|at| at + start + 2) else { break };
        let name = rest[start + 2..end].trim();
        let is_name = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !is_name {
            from = start + 1;
            continue;
        }
        if start > 0 {
            pieces.push(Piece::Text(&rest[..start]));
        }
        pieces.push(Piece::Place(name));
        (rest, from) = (&rest[end + 2..], 0);
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Value {
        json!({
            "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "house.safetensors"}},
            "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "in our style: {{prompt}}, {{ prompt }}", "clip": ["1", 1]}},
            "3": {"class_type": "KSampler", "inputs": {"seed": "{{seed}}", "cfg": "{{cfg}}", "text": "{{red|blue}} {{"}},
            "4": {"class_type": "EmptyLatentImage", "inputs": {"width": "{{width}}", "height": "{{height}}"}},
            "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "ComfyUI"}}
        })
    }

    fn parameters(json: Value) -> BTreeMap<String, Parameter> {
        serde_json::from_value(json).unwrap()
    }

    fn usual() -> Value {
        json!({"prompt": true, "seed": true, "guidance": "cfg", "size": {"form": "sides"}})
    }

    #[test]
    fn a_request_fills_the_places_and_nothing_else() {
        // A prompt that looks like a place, and like JSON.
        let fields = json!({"prompt": "{{seed}} \"x\"", "seed": 7, "cfg": 4.5, "width": 512, "height": 768});
        let graph = filled(&own(), fields.as_object().unwrap(), "gen_1-1").unwrap();
        assert_eq!(graph["2"]["inputs"]["text"], "in our style: {{seed}} \"x\", {{seed}} \"x\"");
        assert_eq!(graph["3"]["inputs"], json!({"seed": 7, "cfg": 4.5, "text": "{{red|blue}} {{"}));
        assert_eq!(graph["4"]["inputs"], json!({"width": 512, "height": 768}));
        assert_eq!(graph["9"]["inputs"]["filename_prefix"], "image_gen/gen_1-1");
        assert_eq!(graph["1"], own()["1"]);
        let error = filled(&own(), &Map::new(), "x").unwrap_err();
        assert!(error.message.contains("needs"), "{error}");
    }

    #[test]
    fn what_is_wrong_with_a_workflow_is_said_when_it_is_written() {
        let checked = |workflow: Value, of: Value| check(&workflow, &Map::new(), &parameters(of));
        assert_eq!(checked(own(), usual()), Ok(()));
        // As the editor keeps it, not as its API takes it.
        let edited = json!({"nodes": [{"id": 1, "type": "KSampler"}], "links": []});
        let mut blind = own();
        blind["9"]["class_type"] = json!("PreviewImage");
        let mut more = usual();
        more["steps"] = json!(true);
        let mut fewer = usual();
        fewer.as_object_mut().unwrap().remove("seed");
        for (workflow, of, word) in [
            (json!([]), usual(), "not an object"),
            (json!({}), usual(), "not an object"),
            (edited, usual(), "class_type"),
            (blind, usual(), "saves no image"),
            (own(), more, "no {{steps}}"),
            (own(), fewer, "nothing fills {{seed}}"),
        ] {
            let error = checked(workflow, of).unwrap_err();
            assert!(error.message.contains(word) && !error.hint.is_empty(), "{word}: {error}");
        }
        // A fixed field fills a place, too.
        let fixed = json!({"cfg": 5});
        let without = json!({"prompt": true, "seed": true, "size": {"form": "sides"}});
        assert_eq!(check(&own(), fixed.as_object().unwrap(), &parameters(without)), Ok(()));
    }
}

//! Whether a graph can be run, in the words of ComfyUI's own check.
//!
//! A graph with one good output runs, even if others are bad; what is wrong with those is told beside.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::nodes::{self, Kind, Node};

/// How deep a graph may be, which is as deep as Python calls functions.
const DEEPEST: usize = 900;

pub(super) type Graph = Map<String, Value>;

/// A graph that can be run.
#[derive(Debug)]
pub(super) struct Checked {
    /// The nodes it is run for.
    pub outputs: Vec<String>,
    pub node_errors: Value,
}

/// The body of an error answer.
pub(super) fn error(kind: &str, message: &str, details: &str, extra: &Value) -> Value {
    let error = json!({"type": kind, "message": message, "details": details, "extra_info": extra});
    json!({"error": error, "node_errors": {}})
}

/// The class of a node, if it is installed.
pub(super) fn class(graph: &Graph, id: &str) -> Option<&'static Node> {
    nodes::find(graph.get(id)?.get("class_type")?.as_str()?)
}

pub(super) fn input<'a>(graph: &'a Graph, id: &str, name: &str) -> Option<&'a Value> {
    graph.get(id)?.get("inputs")?.get(name)
}

/// The node and the number of its output that an input is linked to.
pub(super) fn link(value: &Value) -> Option<(&str, usize)> {
    match value.as_array()?.as_slice() {
        [id, slot] => Some((id.as_str()?, usize::try_from(slot.as_u64()?).ok()?)),
        _ => None,
    }
}

/// A number as Python's `int()` takes it.
pub(super) fn int(value: &Value) -> Option<i128> {
    match value {
        Value::Bool(truth) => Some(i128::from(*truth)),
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => {
            let whole = number.as_u64().map(i128::from).or(number.as_i64().map(i128::from));
            // A float loses what is behind its point, and a cast saturates.
            whole.or(number.as_f64().map(|n| n as i128))
        }
        _ => None,
    }
}

pub(super) fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    }
}

/// `exists` tells whether an image was uploaded under a name. An error is the body of the answer.
pub(super) fn check(graph: &Graph, exists: &dyn Fn(&str) -> bool) -> Result<Checked, Value> {
    let mut outputs = Vec::new();
    for (id, node) in graph {
        let details = format!("Node ID '#{id}'");
        let Some(name) = node.get("class_type").and_then(Value::as_str) else {
            let text = "Cannot execute because a node is missing the class_type property.";
            return Err(error("invalid_prompt", text, &details, &json!({})));
        };
        let Some(class) = nodes::find(name) else {
            let text = format!("Node '{name}' not found. The custom node may not be installed.");
            let extra = json!({"node_id": id, "class_type": name, "node_title": name});
            return Err(error("missing_node_type", &text, &details, &extra));
        };
        if class.is_output {
            outputs.push(id.clone());
        }
    }
    if outputs.is_empty() {
        return Err(error("prompt_no_outputs", "Prompt has no outputs", "", &json!({})));
    }
    let mut check = Check { graph, exists, seen: HashMap::new() };
    let mut node_errors = Map::new();
    outputs.retain(|output| {
        let good = check.node(output, 0).unwrap_or_else(|why| check.exception(output, "", &why));
        if !good {
            check.report(output, &mut node_errors);
        }
        good
    });
    if outputs.is_empty() {
        let text = "Prompt outputs failed validation";
        let mut body = error("prompt_outputs_failed_validation", text, "", &json!({}));
        body["node_errors"] = Value::Object(node_errors);
        return Err(body);
    }
    Ok(Checked { outputs, node_errors: Value::Object(node_errors) })
}

struct Check<'a> {
    graph: &'a Graph,
    exists: &'a dyn Fn(&str) -> bool,
    /// Whether a node is good, and what is wrong with itself.
    seen: HashMap<String, (bool, Vec<Value>)>,
}

impl Check<'_> {
    fn report(&self, output: &str, node_errors: &mut Map<String, Value>) {
        for (id, (_, wrong)) in self.seen.iter().filter(|(_, (good, wrong))| !good && !wrong.is_empty()) {
            let class = class(self.graph, id).map(|n| n.class);
            let entry = node_errors
                .entry(id.clone())
                .or_insert_with(|| json!({"errors": wrong, "dependent_outputs": [], "class_type": class}));
            if let Some(outputs) = entry["dependent_outputs"].as_array_mut() {
                outputs.push(json!(output));
            }
        }
    }

    /// Notes what Python raised.
    fn exception(&mut self, id: &str, inner: &str, why: &str) -> bool {
        let wrong = json!({
            "type": format!("exception_during_{inner}validation"),
            "message": if inner.is_empty() { "Exception when validating node" } else { "Exception when validating inner node" },
            "details": why,
            "extra_info": {"exception_type": "Exception", "traceback": []},
        });
        self.seen.insert(id.to_owned(), (false, vec![wrong]));
        false
    }

    /// Whether this node and all that it needs are good. An error is what Python raises.
    fn node(&mut self, id: &str, depth: usize) -> Result<bool, String> {
        if let Some((good, _)) = self.seen.get(id) {
            return Ok(*good);
        }
        if depth > DEEPEST {
            return Err("maximum recursion depth exceeded".into());
        }
        let class = class(self.graph, id).ok_or_else(|| format!("'{id}'"))?;
        let given = self.graph.get(id).and_then(|n| n.get("inputs")).and_then(Value::as_object);
        let given = given.ok_or("'inputs'")?;
        let (mut good, mut wrong) = (true, Vec::new());
        for (name, kind) in class.inputs {
            let Some(value) = given.get(*name) else {
                let extra = json!({"input_name": name});
                wrong.push(problem("required_input_missing", "Required input is missing", name, &extra));
                continue;
            };
            if value.is_array() {
                good &= self.linked(name, *kind, value, depth, &mut wrong)?;
            } else if let Some(problem) = self.value(name, *kind, value) {
                wrong.push(problem);
            }
        }
        good &= wrong.is_empty();
        self.seen.insert(id.to_owned(), (good, wrong));
        Ok(good)
    }

    fn linked(
        &mut self,
        name: &str,
        kind: Kind,
        value: &Value,
        depth: usize,
        wrong: &mut Vec<Value>,
    ) -> Result<bool, String> {
        let mut extra = json!({"input_name": name, "input_config": kind.to_json(), "received_value": value});
        let Some((from, slot)) = link(value) else {
            let text = "Bad linked input, must be a length-2 list of [node_id, slot_index]";
            wrong.push(problem("bad_linked_input", text, name, &extra));
            return Ok(false);
        };
        let source = class(self.graph, from).ok_or_else(|| format!("'{from}'"))?;
        let received = source.outputs.get(slot).ok_or("tuple index out of range")?;
        let expected = kind.type_name();
        if *received != expected {
            extra = json!({"input_name": name, "input_config": kind.to_json(), "received_type": received, "linked_node": value});
            let details = format!("{name}, received_type({received}) mismatch input_type({expected})");
            let text = "Return type mismatch between linked nodes";
            wrong.push(problem("return_type_mismatch", text, &details, &extra));
            return Ok(false);
        }
        Ok(self.node(from, depth + 1).unwrap_or_else(|why| self.exception(from, "inner_", &why)))
    }

    fn value(&self, name: &str, kind: Kind, value: &Value) -> Option<Value> {
        let extra = json!({"input_name": name, "input_config": kind.to_json(), "received_value": value});
        let unfit = |type_name: &str| {
            let text = format!("Failed to convert an input value to a {type_name} value");
            let details = format!("{name}, {value}, invalid literal for {type_name}");
            Some(problem("invalid_input_type", &text, &details, &extra))
        };
        let too = |kind: &str, text: String| Some(problem(kind, &text, name, &extra));
        match kind {
            Kind::Int(from, to) => match int(value) {
                None => unfit("INT"),
                Some(n) if n < from => {
                    too("value_smaller_than_min", format!("Value {n} smaller than min of {from}"))
                }
                Some(n) if n > to => {
                    too("value_bigger_than_max", format!("Value {n} bigger than max of {to}"))
                }
                Some(_) => None,
            },
            Kind::Float(from, to) => match float(value) {
                None => unfit("FLOAT"),
                Some(n) if n < from => {
                    too("value_smaller_than_min", format!("Value {n:?} smaller than min of {from:?}"))
                }
                Some(n) if n > to => {
                    too("value_bigger_than_max", format!("Value {n:?} bigger than max of {to:?}"))
                }
                Some(_) => None,
            },
            Kind::OneOf(known) if !value.as_str().is_some_and(|text| known.contains(&text)) => {
                let known: Vec<String> = known.iter().map(|k| format!("'{k}'")).collect();
                let list = match known.len() {
                    ..=20 => format!("[{}]", known.join(", ")),
                    many => format!("(list of length {many})"),
                };
                let shown = value.as_str().map_or_else(|| value.to_string(), |text| format!("'{text}'"));
                let details = format!("{name}: {shown} not in {list}");
                Some(problem("value_not_in_list", "Value not in list", &details, &extra))
            }
            Kind::File if !value.as_str().is_some_and(self.exists) => {
                let shown = value.as_str().map_or_else(|| value.to_string(), String::from);
                let details = format!("{name} - Invalid image file: {shown}");
                Some(problem(
                    "custom_validation_failed",
                    "Custom validation failed for node",
                    &details,
                    &extra,
                ))
            }
            // What should be made by another node was written down.
            Kind::Link(type_name) => {
                let extra = json!({"input_name": name, "input_config": kind.to_json(), "received_type": "STRING", "linked_node": value});
                let details = format!("{name}, received_type({value}) mismatch input_type({type_name})");
                Some(problem(
                    "return_type_mismatch",
                    "Return type mismatch between linked nodes",
                    &details,
                    &extra,
                ))
            }
            Kind::Text | Kind::OneOf(_) | Kind::File => None,
        }
    }
}

fn problem(kind: &str, message: &str, details: &str, extra: &Value) -> Value {
    json!({"type": kind, "message": message, "details": details, "extra_info": extra})
}

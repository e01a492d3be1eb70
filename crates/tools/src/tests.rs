#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use crate::input::{GenerateImage, ListRecentGenerations};
use crate::poll::next_poll_ms;
use crate::read::{arguments, read};
use crate::{by_name, tools};

/// The call of the walkthrough: what an agent sends for one of four shots.
const CALL: &str = r#"{
  "tool": "generate_image",
  "arguments": {
    "model": "flux-1.1-pro",
    "prompt": "studio product shot of matte black over-ear headphones, no text",
    "negative_prompt": "watermark, text, logo",
    "width": 1024, "height": 1024, "seed": 73104, "guidance": 3.5, "steps": 28,
    "metadata": {"campaign": "aurora-launch", "shot": "hero", "ticket": "MKT-2241"}
  }
}"#;

#[test]
fn a_call_is_read_with_and_without_its_envelope() {
    let (root, inner) = arguments("generate_image", CALL).unwrap();
    assert_eq!(root, "$.arguments");
    let call: GenerateImage = read(root, &inner.to_string()).unwrap();
    assert_eq!(
        (call.width, call.seed, call.guidance, call.steps),
        (Some(1024), Some(73104), Some(3.5), Some(28))
    );
    assert_eq!(call.metadata.unwrap()["shot"], "hero");
    let (root, alone) = arguments("generate_image", &inner.to_string()).unwrap();
    assert_eq!((root, alone), ("$", inner));
}

#[test]
fn what_is_wrong_is_named_by_its_json_path() {
    let wrong = |json: &str| {
        let (root, inner) = arguments("generate_image", json)?;
        read::<GenerateImage>(root, &inner.to_string()).map(drop)
    };
    for (json, says, hint) in [
        (
            r#"{"prompt": "x", "widht": 1}"#,
            "$.widht: unknown field `widht`",
            "Expected one of `prompt`, `model`",
        ),
        (
            r#"{"prompt": "x", "width": "1024"}"#,
            "$.width: invalid type: string \"1024\"",
            "Expected an integer.",
        ),
        (
            r#"{"prompt": "x", "width": 1.5}"#,
            "$.width: invalid type: floating point `1.5`",
            "Expected an integer.",
        ),
        (r#"{"prompt": 1}"#, "$.prompt: invalid type: integer `1`", "Expected a string."),
        (r#"{"prompt": "x", "metadata": []}"#, "$.metadata: invalid type: sequence", "Expected an object."),
        (
            r#"{"prompt": "x", "deadline": "tomorrow"}"#,
            "$.deadline: invalid value: string \"tomorrow\"",
            "Expected a time with its zone, such as 2026-04-30T09:17:42Z.",
        ),
        ("{}", "$: missing field `prompt`", "Compare it with image_gen.tool_schemas()."),
        ("[]", "$: this is no JSON object", "Write {"),
        (
            r#"{"tool": "generate_image", "arguments": {"prompt": "x", "n": true}}"#,
            "$.arguments.n: invalid type: boolean `true`",
            "Expected an integer.",
        ),
        (r#"{"tool": "generate_image", "arguments": []}"#, "$.arguments: this is no JSON object", "Write {"),
        (r#"{"tool": "generate_image"}"#, "$: missing field `arguments`", "Compare it with"),
        (
            r#"{"tool": "get_credits", "arguments": {}}"#,
            "$.tool: this is generate_image, not \"get_credits\"",
            "Call",
        ),
        (r#"{"tool": 1, "arguments": {}}"#, "$.tool: invalid type: integer `1`", "Expected a string."),
    ] {
        let mistake = wrong(json).unwrap_err();
        assert_eq!(mistake.to_string(), says, "{json}");
        assert!(mistake.hint.starts_with(hint), "{json}: {}", mistake.hint);
    }
    let status = read::<ListRecentGenerations>("$", r#"{"filters": {"status": "canceled"}}"#).unwrap_err();
    assert_eq!(status.path, "$.filters.status");
    let filters = read::<ListRecentGenerations>("$", r#"{"filters": 7}"#).unwrap_err();
    assert_eq!(
        (filters.to_string().as_str(), filters.hint.as_str()),
        ("$.filters: invalid type: integer `7`", "Expected an object.")
    );
    let none = ListRecentGenerations { limit: Some(0), ..ListRecentGenerations::default() };
    assert_eq!(none.check().unwrap_err().to_string(), "$.limit: 0 is out of range");
}

#[test]
fn schemas_say_what_is_read() {
    let names: Vec<&str> = tools().iter().map(|tool| tool.name).collect();
    assert_eq!(names, ["generate_image", "get_generation", "list_recent_generations", "get_credits"]);
    for tool in tools() {
        for schema in [&tool.input_schema, &tool.output_schema] {
            let text = schema.as_value().to_string();
            assert_eq!(schema.as_value()["type"], "object", "{}", tool.name);
            assert_eq!(schema.as_value()["additionalProperties"], false, "{}", tool.name);
            assert!(!text.contains("$ref") && text.is_ascii(), "{}: {text}", tool.name);
        }
    }
    let input = by_name("generate_image").unwrap().input_schema.as_value().clone();
    assert_eq!(input["required"], json!(["prompt"]));
    assert_eq!(input["properties"]["seed"]["maximum"], 2_147_483_647);
    assert_eq!(input["properties"]["n"]["maximum"], 10);
    assert_eq!(
        input["properties"]["priority"]["enum"],
        json!(["quality", "control", "speed", "variety", "cost", "privacy", null])
    );
    // What the walkthrough's call has is in it, and its answer has these keys and no others.
    let call: Value = serde_json::from_str(CALL).unwrap();
    for name in call["arguments"].as_object().unwrap().keys() {
        assert!(input["properties"][name].is_object(), "{name}");
    }
    let answer = by_name("generate_image").unwrap().output_schema.as_value()["properties"].clone();
    let mut keys: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["created_at", "estimated_seconds", "id", "model", "status"]);
    let generation = by_name("get_generation").unwrap().output_schema.as_value()["properties"].clone();
    for key in ["status", "output_url", "seed", "error", "billed_cost", "next_poll_ms"] {
        assert!(generation[key].is_object(), "{key}");
    }
}

#[test]
fn the_first_pause_is_the_estimate_and_later_ones_grow_to_eight_seconds() {
    assert_eq!(next_poll_ms(9.0, 0.004), 9000);
    assert_eq!(next_poll_ms(9.0, 3.2), 6000, "what is left, in whole seconds");
    assert_eq!([9.02, 17.1, 25.2, 1e6].map(|elapsed| next_poll_ms(9.0, elapsed)), [8000; 4]);
    assert_eq!(
        [0.0, 2.01, 5.05, 9.6, 16.4, 60.0].map(|t| next_poll_ms(2.0, t)),
        [2000, 3000, 4500, 6750, 8000, 8000]
    );
    assert_eq!(next_poll_ms(2.5, 0.0), 2500);
    // Whatever is given, there is a pause, and an end.
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1e300] {
        for elapsed in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300] {
            assert!((250..=86_400_000).contains(&next_poll_ms(odd, elapsed)), "{odd} {elapsed}");
        }
    }
}

/// How often a client looks at a render that takes so long, when it does what it is told.
fn polls(render: f64, estimate: f64) -> u32 {
    let (mut now, mut polls) = (f64::from(next_poll_ms(estimate, 0.0)) / 1000.0, 1);
    while now < render {
        now += f64::from(next_poll_ms(estimate, now)) / 1000.0;
        polls += 1;
    }
    polls
}

#[test]
fn a_client_that_follows_looks_at_most_three_times_and_less_than_twice_once_it_is_learnt() {
    // 200 renders of 6 to 12 s, in an order that a fixed step of the golden ratio gives.
    let renders: Vec<f64> = (0..200).map(|i| 6.0 + 6.0 * (f64::from(i) * 0.618_034).fract()).collect();
    let mean = |estimate: f64| {
        renders.iter().map(|render| f64::from(polls(*render, estimate))).sum::<f64>() / renders.len() as f64
    };
    assert!(mean(9.0) <= 2.0, "by the catalogue: {}", mean(9.0));
    // Wrong by a factor of three either way.
    assert!(mean(3.0) <= 3.0 && mean(27.0) <= 1.0, "{} {}", mean(3.0), mean(27.0));
    // The 75th percentile of 6 to 12 s.
    assert!(mean(10.5) <= 1.3, "learnt: {}", mean(10.5));
}

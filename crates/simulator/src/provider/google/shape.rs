//! Whether a body fits the message types. All misfits are listed, as Google does.

use serde_json::{Map, Value, json};

use crate::material::base64;

use super::fields::{Wrong, list, whole};

const REQUEST: &[&str] = &[
    "model",
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "safetySettings",
    "generationConfig",
    "cachedContent",
];
const CONTENT: &[&str] = &["role", "parts"];
const PART: &[&str] = &["text", "inlineData", "fileData", "thought", "thoughtSignature", "mediaResolution"];
const GENERATION: &[&str] = &[
    "stopSequences",
    "responseMimeType",
    "candidateCount",
    "maxOutputTokens",
    "temperature",
    "topP",
    "topK",
    "seed",
    "presencePenalty",
    "frequencyPenalty",
    "responseModalities",
    "thinkingConfig",
    "imageConfig",
    "mediaResolution",
];
const CATEGORIES: &[&str] = &[
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
    "HARM_CATEGORY_CIVIC_INTEGRITY",
];
const THRESHOLDS: &[&str] =
    &["BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF"];
const TYPES: &str = "type.googleapis.com/google.ai.generativelanguage.v1beta";

/// Lists all that does not fit.
pub(super) fn check(body: &Map<String, Value>) -> Result<(), Wrong> {
    let mut shape = Shape { wrong: Vec::new() };
    shape.known(body, "", REQUEST);
    for (n, content) in list(body.get("contents")).enumerate() {
        shape.content(content, &format!("contents[{n}]"));
    }
    if let Some(content) = body.get("systemInstruction").filter(|v| !v.is_null()) {
        shape.content(content, "system_instruction");
    }
    for (n, safety) in list(body.get("safetySettings")).enumerate() {
        let at = format!("safety_settings[{n}]");
        let Some(map) = shape.message(safety, &at, "SafetySetting", &["category", "threshold"]) else {
            continue;
        };
        shape.choice(map, &at, "category", "HarmCategory", CATEGORIES);
        shape.choice(map, &at, "threshold", "SafetySetting.HarmBlockThreshold", THRESHOLDS);
    }
    if let Some(generation) = body.get("generationConfig").filter(|v| !v.is_null()) {
        shape.generation(generation);
    }
    if shape.wrong.is_empty() {
        return Ok(());
    }
    let text: Vec<&str> = shape.wrong.iter().map(|(_, text)| text.as_str()).collect();
    let violations: Vec<Value> =
        shape.wrong.iter().map(|(field, text)| json!({"field": field, "description": text})).collect();
    let detail = json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations});
    Err(Wrong::new(text.join("\n")).detail(detail))
}

/// A name as the error messages have it.
pub(super) fn snake(camel: &str) -> String {
    let mut snake = String::new();
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

struct Shape {
    wrong: Vec<(String, String)>,
}

impl Shape {
    fn known(&mut self, map: &Map<String, Value>, at: &str, known: &[&str]) {
        for name in map.keys().filter(|name| !known.contains(&name.as_str())) {
            let place = if at.is_empty() { String::new() } else { format!(" at '{at}'") };
            let text =
                format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field.");
            self.wrong.push((at.to_owned(), text));
        }
    }

    fn invalid(&mut self, at: &str, kind: &str, value: &Value) {
        let text = format!("Invalid value at '{at}' ({kind}), {value}");
        self.wrong.push((at.to_owned(), text));
    }

    fn message<'a>(
        &mut self,
        value: &'a Value,
        at: &str,
        kind: &str,
        known: &[&str],
    ) -> Option<&'a Map<String, Value>> {
        match value {
            Value::Object(map) => {
                self.known(map, at, known);
                Some(map)
            }
            other => {
                self.invalid(at, &format!("{TYPES}.{kind}"), other);
                None
            }
        }
    }

    fn field(&mut self, map: &Map<String, Value>, at: &str, name: &str, kind: &str) {
        let Some(value) = map.get(name).filter(|v| !v.is_null()) else { return };
        let good = match kind {
            "TYPE_STRING" => value.is_string(),
            "TYPE_BOOL" => value.is_boolean(),
            "TYPE_INT32" => whole(value).is_some_and(|n| i32::try_from(n).is_ok()),
            "TYPE_BYTES" => value.as_str().is_some_and(|text| base64(text).is_some()),
            _ => value.is_number(),
        };
        if !good {
            // Base64 can be long, and is not repeated.
            let shown = if kind == "TYPE_BYTES" { json!("Base64 decoding failed") } else { value.clone() };
            self.invalid(&format!("{at}.{}", snake(name)), kind, &shown);
        }
    }

    fn choice(&mut self, map: &Map<String, Value>, at: &str, name: &str, kind: &str, known: &[&str]) {
        let Some(value) = map.get(name).filter(|v| !v.is_null()) else { return };
        if !value.as_str().is_some_and(|text| known.contains(&text)) {
            self.invalid(&format!("{at}.{name}"), &format!("{TYPES}.{kind}"), value);
        }
    }

    fn content(&mut self, content: &Value, at: &str) {
        let Some(map) = self.message(content, at, "Content", CONTENT) else { return };
        self.field(map, at, "role", "TYPE_STRING");
        for (p, part) in list(map.get("parts")).enumerate() {
            let at = format!("{at}.parts[{p}]");
            let Some(map) = self.message(part, &at, "Part", PART) else { continue };
            self.field(map, &at, "text", "TYPE_STRING");
            self.field(map, &at, "thought", "TYPE_BOOL");
            self.field(map, &at, "thoughtSignature", "TYPE_BYTES");
            if let Some(blob) = map.get("inlineData").filter(|v| !v.is_null()) {
                let at = format!("{at}.inline_data");
                let Some(map) = self.message(blob, &at, "Blob", &["mimeType", "data"]) else { continue };
                self.field(map, &at, "mimeType", "TYPE_STRING");
                self.field(map, &at, "data", "TYPE_BYTES");
            }
            if let Some(file) = map.get("fileData").filter(|v| !v.is_null()) {
                let at = format!("{at}.file_data");
                let Some(map) = self.message(file, &at, "FileData", &["mimeType", "fileUri"]) else {
                    continue;
                };
                self.field(map, &at, "mimeType", "TYPE_STRING");
                self.field(map, &at, "fileUri", "TYPE_STRING");
            }
        }
    }

    fn generation(&mut self, value: &Value) {
        const AT: &str = "generation_config";
        let Some(map) = self.message(value, AT, "GenerationConfig", GENERATION) else { return };
        for name in ["candidateCount", "maxOutputTokens", "topK", "seed"] {
            self.field(map, AT, name, "TYPE_INT32");
        }
        for name in ["temperature", "topP", "presencePenalty", "frequencyPenalty"] {
            self.field(map, AT, name, "TYPE_FLOAT");
        }
        self.field(map, AT, "responseMimeType", "TYPE_STRING");
        for (n, modality) in list(map.get("responseModalities")).enumerate() {
            let known = |text: &str| ["TEXT", "IMAGE"].iter().any(|m| m.eq_ignore_ascii_case(text));
            if !modality.as_str().is_some_and(known) {
                let at = format!("{AT}.response_modalities[{n}]");
                self.invalid(&at, &format!("{TYPES}.GenerationConfig.Modality"), modality);
            }
        }
        if let Some(image) = map.get("imageConfig").filter(|v| !v.is_null()) {
            let at = format!("{AT}.image_config");
            if let Some(map) = self.message(image, &at, "ImageConfig", &["aspectRatio", "imageSize"]) {
                self.field(map, &at, "aspectRatio", "TYPE_STRING");
                self.field(map, &at, "imageSize", "TYPE_STRING");
            }
        }
        if let Some(thinking) = map.get("thinkingConfig").filter(|v| !v.is_null()) {
            let at = format!("{AT}.thinking_config");
            let known = ["includeThoughts", "thinkingBudget", "thinkingLevel"];
            if let Some(map) = self.message(thinking, &at, "ThinkingConfig", &known) {
                self.field(map, &at, "includeThoughts", "TYPE_BOOL");
                self.field(map, &at, "thinkingBudget", "TYPE_INT32");
                self.field(map, &at, "thinkingLevel", "TYPE_STRING");
            }
        }
    }
}

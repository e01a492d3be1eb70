//! An answer within bounds: a model pays for what it reads, and what a client cuts off itself is no JSON any more.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{CallToolResult, ContentBlock, Resource};
use serde_json::{Value, json};

use crate::preview::Preview;

/// The most bytes of an answer as JSON. It is there twice, as content for clients of old and as structuredContent, beside a preview.
pub const MOST_JSON_BYTES: usize = 8_000;
/// The most tokens of a result, of which a model's host takes 25,000.
const MOST_TOKENS: usize = 24_000;
/// A longer address is no use to a model, and is left out.
const LONGEST_URL: usize = 1_000;

/// The generations of an answer whose images are shown.
pub fn finished(tool: &str, arguments: &Value, answer: &Value) -> Vec<String> {
    let some = |key: &str| answer.get(key).and_then(Value::as_object).is_some_and(|done| !done.is_empty());
    match tool {
        "get_generation" if answer.get("status") == Some(&json!("succeeded")) => {
            answer.get("id").and_then(Value::as_str).map(str::to_owned).into_iter().collect()
        }
        "settle" if some("done") => {
            let ids = arguments.get("ids").and_then(Value::as_array).into_iter().flatten();
            ids.filter_map(|id| id.as_str().map(str::to_owned)).collect()
        }
        _ => vec![],
    }
}

/// The result of a tool: its answer, links to its images, and a preview of the first.
pub fn result(answer: Value, images: &[Value], preview: Option<Preview>) -> CallToolResult {
    let answer = fitted(answer);
    let text = answer.to_string();
    let links: Vec<Resource> = images.iter().filter_map(link).collect();
    let named: usize = links.iter().map(|link| tokens_at_most(&link.name) + 40).sum();
    let mut said = 2 * tokens_at_most(&text) + named;
    // Names alone can be longer than all this: then they are there once.
    let text = match said > MOST_TOKENS {
        true => {
            said -= tokens_at_most(&text);
            "{\"see\": \"structuredContent\"}".to_owned()
        }
        false => text,
    };
    let mut content = vec![ContentBlock::text(text)];
    let shown = preview.map(|preview| (STANDARD.encode(&preview.bytes), preview.content_type));
    // Where there is no room to show something as well, the links do.
    if let Some((base64, content_type)) = shown.filter(|(base64, _)| said + base64.len() / 4 <= MOST_TOKENS) {
        content.push(ContentBlock::image(base64, content_type));
    }
    content.extend(links.into_iter().map(ContentBlock::resource_link));
    let mut result = CallToolResult::success(content);
    result.structured_content = Some(answer);
    result
}

/// How many tokens a text may be at most, whatever counts them: of JSON three characters are one or less, of other scripts each may be three.
fn tokens_at_most(text: &str) -> usize {
    text.chars().map(|c| if c.is_ascii() { 1 } else { 8 }).sum::<usize>() / 3
}

/// The link to an image.
pub fn link(image: &Value) -> Option<Resource> {
    let id = image.get("id")?.as_i64()?;
    let name = match image.get("shot").and_then(Value::as_str) {
        Some(shot) => shot.chars().take(40).collect(),
        None => format!("asset {id}"),
    };
    let mut link = Resource::new(format!("image_gen://asset/{id}"), name);
    link.mime_type = image.get("content_type").and_then(Value::as_str).map(str::to_owned);
    link.size = image.get("byte_size").and_then(Value::as_u64);
    Some(link)
}

/// An answer of at most [`MOST_JSON_BYTES`], of the same shape: first long texts are shortened, then lists, from their end.
pub fn fitted(mut answer: Value) -> Value {
    without_long_urls(&mut answer);
    for longest in [2_000, 600, 200, 80] {
        if answer.to_string().len() <= MOST_JSON_BYTES {
            return answer;
        }
        shorten(&mut answer, longest, None);
    }
    while answer.to_string().len() > MOST_JSON_BYTES && drop_last(&mut answer) {}
    answer
}

/// Texts become at most so long, and say that they are not whole. What names something is kept or left out as a whole.
fn shorten(value: &mut Value, longest: usize, key: Option<&str>) {
    match value {
        Value::String(text) => {
            let names = matches!(key, Some("id" | "url" | "output_url" | "next_before" | "code" | "status"));
            if !names && text.chars().count() > longest {
                *text = text.chars().take(longest).chain("...".chars()).collect();
            }
        }
        // The caller's own: what is in it is known to whoever wrote it, and there may be anything.
        Value::Object(members)
            if key == Some("metadata") && Value::Object(members.clone()).to_string().len() > longest =>
        {
            members.retain(|name, value| {
                matches!(name.as_str(), "campaign" | "shot" | "ticket") && value.is_string()
            });
            members.values_mut().for_each(|value| shorten(value, longest, None));
        }
        Value::Object(members) => {
            members.iter_mut().for_each(|(name, value)| shorten(value, longest, Some(name)))
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, longest, key)),
        _ => {}
    }
}

fn without_long_urls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                match (name.as_str(), &mut *value) {
                    ("url" | "output_url", Value::String(url)) if url.len() > LONGEST_URL => {
                        *value = Value::Null
                    }
                    ("output_urls", Value::Array(urls)) => {
                        urls.retain(|url| url.as_str().is_some_and(|url| url.len() <= LONGEST_URL));
                    }
                    _ => without_long_urls(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_long_urls),
        _ => {}
    }
}

/// Takes one from the longest list or map of the answer; false where there is none left.
fn drop_last(answer: &mut Value) -> bool {
    let Some(members) = answer.as_object_mut() else { return false };
    if let Some(Value::Array(listed)) = members.get_mut("generations")
        && listed.len() > 1
    {
        listed.pop();
        // The next page begins after what is shown.
        let last = listed.last().and_then(|one| one.get("id")).cloned().unwrap_or_default();
        if members.contains_key("next_before") {
            members.insert("next_before".to_owned(), last);
        }
        return true;
    }
    if let Some(Value::Array(listed)) = members.get_mut("reviews")
        && listed.len() > 1
    {
        listed.pop();
        let more = members.get("more").and_then(Value::as_i64).unwrap_or(0) + 1;
        members.insert("more".to_owned(), more.into());
        return true;
    }
    for key in ["output_urls", "warnings", "limits", "prompts_tried"] {
        if let Some(Value::Array(listed)) = members.get_mut(key)
            && listed.pop().is_some()
        {
            return true;
        }
    }
    // Of settle(): the links beside the answer have the images all the same.
    if let Some(done) = members.get_mut("done").and_then(Value::as_object_mut)
        && let Some(one) = done.values_mut().find(|one| one.get("url").is_some_and(Value::is_string))
    {
        one["url"] = Value::Null;
        return true;
    }
    // Of a list that has one entry, what is in that.
    for key in ["generations", "reviews"] {
        if let Some(Value::Array(listed)) = members.get_mut(key)
            && let Some(only) = listed.first_mut()
            && drop_last(only)
        {
            return true;
        }
    }
    false
}

//! Styles: what a brand adds to each of its prompts, and which models it allows.

use serde::{Deserialize, Serialize};

use crate::catalogue::{Resolved, Snapshot};
use crate::job::Operation;

/// A style as its row was when a job was queued. It is kept with the job: a row that is changed later changes no earlier job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Style {
    /// Its name among those of its owner.
    pub name: String,
    /// Words before the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Words after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// What should not be in the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative: Option<String>,
    /// Its colors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub palette: Option<String>,
    /// Images to look at, after those of the caller.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reference_images: Vec<String>,
    /// The only models that it allows; empty is any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// What the caller wrote, without it.
    pub own: Own,
}

/// What a request had before a style was put into it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Own {
    /// `None` is the usual one of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// What should not be in the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    /// How many of the references are the caller's.
    pub reference_images: usize,
}

impl Style {
    /// Puts it into a request, and keeps what the caller wrote. `is_own`: the prompt is the caller's.
    pub(crate) fn apply(
        &mut self,
        prompt: &mut String,
        is_own: bool,
        negative_prompt: &mut Option<String>,
        reference_images: &mut Vec<String>,
        operation: Operation,
    ) {
        self.own = Own {
            prompt: is_own.then(|| prompt.clone()),
            negative_prompt: negative_prompt.clone(),
            reference_images: reference_images.len(),
        };
        let palette = self.palette.as_ref().map(|palette| format!("color palette: {palette}"));
        let parts = [self.prefix.clone(), Some(std::mem::take(prompt)), palette, self.suffix.clone()];
        *prompt = joined(parts);
        let negative = joined([negative_prompt.take(), self.negative.clone()]);
        *negative_prompt = Some(negative).filter(|negative| !negative.is_empty());
        if crate::job::takes_references(operation) {
            reference_images.extend(self.reference_images.iter().cloned());
        }
    }

    /// The models that it allows, as the catalogue has them now; those that are no longer there are left out.
    pub fn allowed(&self, snapshot: &Snapshot) -> Vec<Resolved> {
        self.models.iter().filter_map(|name| snapshot.resolve(name).ok()).collect()
    }
}

fn joined(parts: impl IntoIterator<Item = Option<String>>) -> String {
    let there = parts.into_iter().flatten().filter(|part| !part.is_empty());
    there.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{RawRequest, Request};
    use serde_json::{Value, json};

    fn asked(operation: Operation, json: Value, style: Style) -> Request {
        let raw: RawRequest = serde_json::from_value(json).unwrap();
        RawRequest { style: Some(style), ..raw }.check(operation, 7).unwrap()
    }

    fn acme() -> Style {
        let style = json!({"name": "acme", "prefix": "studio photograph of", "suffix": "soft light", "negative": "text",
                           "palette": "sand, sage", "reference_images": ["asset:9"]});
        serde_json::from_value(style).unwrap()
    }

    #[test]
    fn a_style_is_put_around_the_prompt_and_what_the_caller_wrote_is_kept() {
        let request =
            json!({"prompt": "a kettle", "negative_prompt": "fog", "reference_images": ["asset:1"]});
        let made = asked(Operation::Generate, request.clone(), acme());
        assert_eq!(made.prompt, "studio photograph of, a kettle, color palette: sand, sage, soft light");
        assert_eq!(made.negative_prompt.as_deref(), Some("fog, text"));
        assert_eq!(made.reference_images, ["asset:1", "asset:9"]);
        let kept = made.style.clone().unwrap();
        assert_eq!(kept.own.prompt.as_deref(), Some("a kettle"));
        assert_eq!(kept.own.reference_images, 1);
        // Made again from what was kept it is the same.
        let kept = serde_json::from_value(serde_json::to_value(&kept).unwrap()).unwrap();
        assert_eq!(asked(Operation::Generate, request, kept), made);
    }

    #[test]
    fn a_style_makes_no_prompt_where_there_is_none() {
        let empty = RawRequest { style: Some(acme()), prompt: Some(" ".into()), ..RawRequest::default() };
        assert!(empty.check(Operation::Generate, 7).unwrap_err().message.contains("prompt is empty"));
        let usual = asked(Operation::Upscale, json!({"image": "asset:1"}), acme());
        assert_eq!(usual.style.unwrap().own.prompt, None);
        assert!(usual.reference_images.is_empty());
    }

    #[test]
    fn what_is_too_much_with_the_style_is_refused() {
        let check = |json: Value| {
            let raw: RawRequest = serde_json::from_value(json).unwrap();
            RawRequest { style: Some(acme()), ..raw }.check(Operation::Generate, 7).unwrap_err().message
        };
        assert!(check(json!({"prompt": "x".repeat(31_990)})).starts_with("the prompt with its style has 32"));
        let many = check(json!({"prompt": "x", "reference_images": vec!["asset:1"; 16]}));
        assert_eq!(many, "reference_images are 17 with those of style 'acme'");
    }
}

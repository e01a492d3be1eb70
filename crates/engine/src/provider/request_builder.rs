//! A request in the making: what the caller asked for, written in the model's own words.
//!
//! The catalogue says which parameters a model takes and what it calls them. All adapters write requests
//! through this one type, so what is forwarded, renamed or left out is the same fact everywhere.

use serde_json::{Map, Value, json};

use super::{Call, Prepared, Submission};
use crate::canvas::{self, MaskEncoding};
use crate::http::{Body, Content, HttpRequest, Part};
use crate::input::{Input, Role};
use crate::job::{Borders, Consistency, Invalid, Task, Warning};
use crate::size::{self, Made, Size, SizeRule};

/// How images are written into JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Bare base64.
    Base64,
    /// A `data:` URI.
    DataUri,
}

/// Fields of a request, and what was left out on the way.
#[derive(Debug)]
pub(super) struct RequestBuilder<'a> {
    call: Call<'a>,
    pub fields: Map<String, Value>,
    pub files: Vec<Part>,
    pub warnings: Vec<Warning>,
    /// What is sent although it is not known whether the model takes it.
    assumed: Vec<&'static str>,
    seed_honored: bool,
    quality: Option<String>,
    made: Option<Size>,
    sized: bool,
}

impl<'a> RequestBuilder<'a> {
    /// Begins with the fields that every request of the model has. An error when the model cannot do the task.
    pub fn new(call: &Call<'a>) -> Result<Self, Invalid> {
        let candidate = call.candidate;
        if !candidate.operations.contains(&call.task) {
            return Err(Invalid::new(
                format!("{} does not {}", candidate.name(), call.task.as_str()),
                "Choose a model whose operations include it, see image_gen.models.",
            ));
        }
        let fields = (*candidate.fixed).clone();
        Ok(RequestBuilder {
            call: *call,
            fields,
            files: vec![],
            warnings: vec![],
            assumed: vec![],
            seed_honored: false,
            quality: None,
            made: None,
            sized: false,
        })
    }

    /// All parameters that are text, numbers or words, and the options.
    pub fn scalars(&mut self) -> Result<&mut Self, Invalid> {
        let (request, task) = (self.call.request, self.call.task);
        if self.takes("prompt") {
            self.put("prompt", json!(request.prompt));
        } else if request.has_own_prompt(task) {
            self.leave_out("prompt");
        }
        if let Some(negative) = &request.negative_prompt {
            self.offer("negative_prompt", json!(negative));
        }
        if self.takes("seed") {
            self.seed_honored = true;
            self.number("seed", Some(request.seed as f64))?;
        } else {
            let name = self.call.candidate.name();
            let message = format!("{name} takes no seed: the image cannot be repeated exactly");
            self.warnings.push(Warning::new("seed_ignored", message));
        }
        self.number("steps", request.steps.map(f64::from))?;
        self.number("guidance", request.guidance)?;
        self.number("strength", request.strength)?;
        self.number("variance", request.variance)?;
        if task == Task::Upscale {
            self.scale()?;
        }
        match (request.n, self.takes("n")) {
            (n, true) => self.put("n", json!(n)),
            (1, false) => {}
            (n, false) => {
                return Err(Invalid::new(
                    format!("{} makes one image in a call, n is {n}", self.call.candidate.name()),
                    "Ask for one image in each call.",
                ));
            }
        }
        self.quality();
        self.options();
        Ok(self)
    }

    /// The size, where the model takes one in this task. What is made from an image follows that image, so then only a
    /// wish of the caller is sent.
    pub fn size(&mut self) -> Result<Made, Invalid> {
        let (request, candidate) = (self.call.request, self.call.candidate);
        let source = self.call.inputs.get(Role::Image).and_then(|i| i.size);
        let wished = request.width.is_some() || request.aspect_ratio.is_some();
        let made = size::choose(&candidate.sizes, request, source)?;
        self.made = made.size;
        let Some(parameter) = candidate.parameter("size", self.call.task) else {
            // Nothing of it is sent: what it would have become is beside the point.
            match made.warnings.iter().find(|warning| warning.code == "unsupported") {
                Some(warning) => self.warnings.push(warning.clone()),
                None if wished => self.leave_out("size"),
                None => {}
            }
            return Ok(made);
        };
        // An unknown model's own size is better than a guess.
        let usual = self.call.task == Task::Generate && !parameter.assumed;
        if !usual && !wished && parameter.default.is_none() {
            return Ok(made);
        }
        if parameter.assumed {
            self.assumed.push("size");
        }
        self.warnings.extend(made.warnings.iter().cloned());
        let form = parameter.form.as_deref().unwrap_or("text");
        let wire = parameter.wire.clone();
        let named = |usual: &str| wire.clone().unwrap_or_else(|| usual.to_owned());
        // What follows a source that is not here is a guess: no bill goes by it.
        let known = wished || source.is_some() || self.call.task == Task::Generate;
        self.sized = known && made.size.is_some() && !matches!(form, "ratio" | "ratio_x");
        match (form, made.size, &made.ratio) {
            ("ratio", _, Some(ratio)) => self.set(&named("aspect_ratio"), json!(ratio)),
            ("ratio_x", _, Some(ratio)) => self.set(&named("aspect_ratio"), json!(ratio.replace(':', "x"))),
            ("sides", Some(size), _) => {
                let prefix = wire.unwrap_or_default();
                self.set(&format!("{prefix}width"), json!(size.width));
                self.set(&format!("{prefix}height"), json!(size.height));
            }
            ("asked", _, _) if request.width.is_none() => {
                let ratio = request.aspect_ratio.as_deref().unwrap_or_default();
                self.offer_field("aspect_ratio", json!(ratio));
            }
            ("asked", Some(size), _) if wire.is_some() => {
                self.offer_field(&named(""), json!({"width": size.width, "height": size.height}));
            }
            ("asked", Some(size), _) => {
                self.offer_field("width", json!(size.width));
                self.offer_field("height", json!(size.height));
            }
            ("custom", Some(size), _) => {
                self.set(&named("aspect_ratio"), json!("custom"));
                self.set("width", json!(size.width));
                self.set("height", json!(size.height));
            }
            ("object", Some(size), _) => {
                self.set(&named("size"), json!({"width": size.width, "height": size.height}));
            }
            (_, Some(size), _) => self.set(&named("size"), json!(size.to_string())),
            _ => {}
        }
        Ok(made)
    }

    /// What an outpainting adds. An error where the model does not add that much, or does not make images that large.
    pub fn borders(&self) -> Result<Borders, Invalid> {
        let (candidate, borders) = (self.call.candidate, self.call.request.borders);
        let sides = [
            ("top", borders.top),
            ("right", borders.right),
            ("bottom", borders.bottom),
            ("left", borders.left),
        ];
        let hint = "Extend the image in several steps, or choose another model.";
        let most = candidate.parameter("borders", self.call.task).and_then(|p| p.range).map(|(_, most)| most);
        if let Some(most) = most
            && let Some((side, pixels)) = sides.iter().find(|(_, pixels)| f64::from(*pixels) > most)
        {
            let message =
                format!("border_{side} is {pixels} pixels, {} adds at most {most}", candidate.name());
            return Err(Invalid::new(message, hint));
        }
        // Not known while the call is only planned.
        let source = self.call.inputs.get(Role::Image).and_then(|i| i.size);
        if let (SizeRule::Free { max, .. }, Some(source)) = (&candidate.sizes, source) {
            let made = borders.around(source);
            if made.width.max(made.height) > *max {
                let message = format!(
                    "the extended image has {made} pixels, {} makes at most {max} on a side",
                    candidate.name()
                );
                return Err(Invalid::new(message, hint));
            }
        }
        Ok(borders)
    }

    /// All images, written into the JSON fields.
    pub fn pictures(&mut self, encoding: Encoding) -> Result<&mut Self, Invalid> {
        let mut sent = 0;
        for (role, input) in self.taken_pictures()? {
            sent += usize::from(role != Role::Mask);
            let encoded = match self.call.found(role.name()) {
                Some(elsewhere) => elsewhere.to_owned(),
                None if encoding == Encoding::Base64 => input.base64(),
                None => input.data_uri(),
            };
            let parameter = self.call.candidate.parameter(role.parameter(), self.call.task);
            match parameter.and_then(|p| p.form.as_deref()) {
                Some("object") => self.put(role.parameter(), json!({"image_url": encoded})),
                Some("numbered") if sent > 1 => {
                    let name = parameter.and_then(|p| p.wire.as_deref()).unwrap_or(role.parameter());
                    self.set(&format!("{name}_{sent}"), json!(encoded));
                }
                _ => self.put(role.parameter(), json!(encoded)),
            }
        }
        Ok(self)
    }

    /// All images, as files of a form.
    pub fn picture_files(&mut self) -> Result<&mut Self, Invalid> {
        for (role, input) in self.taken_pictures()? {
            let parameter = self.call.candidate.parameter(role.parameter(), self.call.task);
            let name = parameter.and_then(|p| p.wire.clone()).unwrap_or_else(|| role.parameter().into());
            self.files.push(file(&name, role.name(), &input));
        }
        Ok(self)
    }

    /// The images that the model takes in this task, masks in its colours; a warning for each of the others.
    pub fn taken_pictures(&mut self) -> Result<Vec<(Role, Input)>, Invalid> {
        let mut taken = vec![];
        let Call { candidate, task, request, .. } = self.call;
        for role in Role::ALL {
            let parameter = candidate.parameter(role.parameter(), task);
            let parameter = parameter.filter(|_| candidate.takes(role, task, request));
            let Some(input) = self.call.inputs.get(role).cloned() else {
                if parameter.is_some_and(|p| p.required) {
                    let (name, role) = (candidate.name(), role.parameter());
                    let hint = format!("Give {role}, or choose another model.");
                    return Err(Invalid::new(format!("{name} needs a {role}"), hint));
                }
                continue;
            };
            match (role, parameter) {
                (Role::Mask, Some(parameter)) => {
                    let ink = match parameter.form.as_deref() {
                        Some("black") => MaskEncoding::Black,
                        Some("transparent") => MaskEncoding::Transparent,
                        _ => MaskEncoding::White,
                    };
                    let mask = canvas::encoded_mask(&input, ink).map_err(|why| {
                        Invalid::new(format!("the mask cannot be read: {why}"), "Give a PNG.")
                    })?;
                    taken.push((role, mask));
                }
                (_, Some(_)) => taken.push((role, input)),
                (Role::ReferenceImage, None) => {
                    // S115: it goes on without.
                    let message = format!("{} does not use a reference image", self.call.candidate.name());
                    self.warnings.push(Warning::new("reference_ignored", message));
                }
                // One warning for all of them.
                (Role::Reference(_), None) => {}
                (_, None) => {
                    return Err(Invalid::new(
                        format!("{} takes no {}", self.call.candidate.name(), role.name()),
                        "Choose another model, see image_gen.capabilities.",
                    ));
                }
            }
            if role == Role::ReferenceImage {
                self.weigh();
            }
        }
        let (sent, given) = (candidate.references_taken(task, request), request.reference_images.len());
        if sent < given {
            let message = match sent {
                0 => format!("{} does not use reference_images", candidate.name()),
                _ => format!("{} uses the first {sent} of {given} reference_images", candidate.name()),
            };
            self.warnings.push(Warning::new("reference_ignored", message));
        }
        Ok(taken)
    }

    /// How much the reference image counts.
    fn weigh(&mut self) {
        let Some(parameter) = self.call.candidate.parameter("reference_image", self.call.task) else {
            return;
        };
        if let (Some(field), Some((strict, balanced, loose))) = (&parameter.weight, parameter.weights) {
            let weight = match self.call.request.consistency_mode.unwrap_or(Consistency::Balanced) {
                Consistency::Strict => strict,
                Consistency::Balanced => balanced,
                Consistency::Loose => loose,
            };
            let field = field.clone();
            self.set(&field, json!(weight));
        } else if self.call.request.consistency_mode.is_some() {
            self.leave_out("consistency_mode");
        }
    }

    /// 2 or 4, where the model can be told; an error where it only makes the other one.
    fn scale(&mut self) -> Result<(), Invalid> {
        let candidate = self.call.candidate;
        let (Some(scale), Some(parameter)) =
            (self.call.request.scale, candidate.parameter("scale", self.call.task))
        else {
            return Ok(());
        };
        if !parameter.values.is_empty() && !parameter.values.contains(&json!(scale)) {
            let values: Vec<String> = parameter.values.iter().map(Value::to_string).collect();
            return Err(Invalid::new(
                format!("{} does not upscale by {scale}", candidate.name()),
                format!("It upscales by {}.", values.join(" or ")),
            ));
        }
        // A name of "" is a model that cannot be told: it always does what its values say.
        if parameter.wire.as_deref() != Some("") {
            self.put("scale", json!(scale));
        }
        Ok(())
    }

    fn quality(&mut self) {
        let (candidate, task) = (self.call.candidate, self.call.task);
        let Some(parameter) = candidate.parameter("quality", task) else {
            if self.call.request.quality.is_some() {
                self.leave_out("quality");
            }
            return;
        };
        let known = |word: &str| parameter.values.is_empty() || parameter.values.iter().any(|v| v == word);
        let asked = self.call.request.quality.as_deref();
        let own = asked.and_then(|asked| {
            let word = match parameter.words.get(asked) {
                Some(word) => word.as_str(),
                None => match asked {
                    "draft" => "low",
                    "standard" => "medium",
                    // S120: what `hd` was for the DALL-E models is `high` for their successors.
                    "hd" => "high",
                    other => other,
                },
            };
            known(word).then(|| word.to_owned())
        });
        if let (Some(asked), None) = (asked, &own) {
            self.warnings.push(candidate.unsupported(&format!("quality '{asked}'")));
        }
        // Always named where there is a usual one: the provider's default can change, and with it the price.
        let usual = parameter.default.as_ref().and_then(Value::as_str).map(str::to_owned);
        if let Some(word) = own.or(usual) {
            self.put("quality", json!(word));
            self.quality = Some(word);
        }
    }

    /// A number moved into the model's range; a warning where that changes it or where the model has no such parameter.
    fn number(&mut self, name: &'static str, asked: Option<f64>) -> Result<(), Invalid> {
        let candidate = self.call.candidate;
        let Some(parameter) = candidate.parameter(name, self.call.task) else {
            if asked.is_some() {
                self.leave_out(name);
            }
            return Ok(());
        };
        let Some(asked) = asked.or_else(|| parameter.default.as_ref().and_then(Value::as_f64)) else {
            return Ok(());
        };
        let mut sent = match parameter.range {
            Some((low, high)) => asked.clamp(low, high),
            None => asked,
        };
        if let Some(nearest) = parameter
            .values
            .iter()
            .filter_map(|v| v.as_f64())
            .min_by(|a, b| (a - asked).abs().total_cmp(&(b - asked).abs()))
        {
            sent = nearest;
        }
        if sent != asked {
            let message = format!("{name} {asked} became {sent}, the nearest that {} takes", candidate.model);
            self.warnings.push(Warning::new("adjusted", message));
        }
        if parameter.invert {
            sent = 1.0 - sent;
        }
        if let Some(factor) = parameter.times {
            sent *= factor;
        }
        // Six digits: what floating point adds was not asked for.
        sent = (sent * 1e6).round() / 1e6;
        let whole = sent.fract() == 0.0 && matches!(name, "seed" | "steps") || parameter.times.is_some();
        let value = if whole { json!(sent as i64) } else { json!(sent) };
        let value = if parameter.text { json!(value.to_string()) } else { value };
        self.put(name, value);
        Ok(())
    }

    /// The caller's options that the model has (all of them, where the catalogue lists none because it cannot know them).
    fn options(&mut self) {
        let known = self.call.candidate.parameters.get("options").cloned();
        let seed = self.call.candidate.parameter("seed", self.call.task);
        if seed.is_some_and(|p| self.call.request.options.contains_key(p.wire.as_deref().unwrap_or("seed"))) {
            self.seed_honored = false;
        }
        for (name, value) in &self.call.request.options {
            let listed = known
                .as_ref()
                .is_some_and(|p| p.values.is_empty() || p.values.iter().any(|v| v == name.as_str()));
            if listed {
                self.fields.insert(name.clone(), value.clone());
            } else {
                self.leave_out(&format!("option {name}"));
            }
        }
    }

    /// True when the model takes the parameter in this task.
    pub fn takes(&self, name: &str) -> bool {
        self.call.candidate.parameter(name, self.call.task).is_some()
    }

    /// Writes a parameter where the model takes it, warns where not.
    fn offer(&mut self, name: &'static str, value: Value) {
        if self.takes(name) { self.put(name, value) } else { self.leave_out(name) }
    }

    /// Writes a parameter under the model's own name for it.
    fn put(&mut self, name: &'static str, value: Value) {
        let parameter = self.call.candidate.parameter(name, self.call.task);
        if parameter.is_some_and(|p| p.assumed) {
            self.assumed.push(name);
        }
        let wire = parameter.and_then(|p| p.wire.as_deref()).unwrap_or(name).to_owned();
        if parameter.is_some_and(|p| p.list) {
            match self.fields.get_mut(&wire) {
                Some(Value::Array(all)) => all.push(value),
                _ => self.set(&wire, json!([value])),
            }
        } else {
            self.set(&wire, value);
        }
    }

    /// Writes a field of this name, unless the caller has.
    fn offer_field(&mut self, field: &str, value: Value) {
        self.fields.entry(field).or_insert(value);
    }

    /// Writes a field of this name.
    pub fn set(&mut self, field: &str, value: Value) {
        self.fields.insert(field.to_owned(), value);
    }

    fn leave_out(&mut self, name: &str) {
        self.warnings.push(self.call.candidate.unsupported(name));
    }

    /// Moves fields with dots in their names, such as `imageConfig.aspectRatio`, into the objects that the dots name.
    pub fn nest(&mut self) {
        for (name, value) in std::mem::take(&mut self.fields) {
            put_at(&mut self.fields, &name, value);
        }
    }

    /// The fields as a JSON body.
    pub fn json(&mut self) -> Body {
        Body::Json(Value::Object(std::mem::take(&mut self.fields)))
    }

    /// The fields and files as a form.
    pub fn form(&mut self) -> Body {
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let mut parts: Vec<Part> = vec![];
        for (name, value) in std::mem::take(&mut self.fields) {
            let all = match value {
                Value::Array(all) => all,
                one => vec![one],
            };
            let field = |value| Part { name: name.clone(), content: Content::Text(text(value)) };
            parts.extend(all.into_iter().map(field));
        }
        parts.append(&mut self.files);
        Body::Form(parts)
    }

    /// The finished submission.
    pub fn finish(self, request: HttpRequest) -> Prepared {
        self.prepared(Submission::Http(request))
    }

    /// The finished submission of an adapter that draws itself.
    pub fn finish_local(self) -> Prepared {
        self.prepared(Submission::Local)
    }

    fn prepared(mut self, submission: Submission) -> Prepared {
        if !self.assumed.is_empty() {
            let message = format!(
                "{} is not in image_gen.models: whether it takes {} is not known",
                self.call.candidate.name(),
                self.assumed.join(", ")
            );
            self.warnings.push(Warning::new("assumed", message));
        }
        Prepared {
            submission,
            warnings: self.warnings,
            seed_honored: self.seed_honored,
            quality: self.quality,
            size: self.made,
            sized: self.sized,
        }
    }
}

fn put_at(fields: &mut Map<String, Value>, path: &str, value: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        fields.insert(path.to_owned(), value);
        return;
    };
    let inner = fields.entry(first).or_insert_with(|| json!({}));
    match inner {
        Value::Object(inner) => put_at(inner, rest, value),
        other => {
            let mut inner = Map::new();
            put_at(&mut inner, rest, value);
            *other = Value::Object(inner);
        }
    }
}

/// An image as a file of a form.
pub(super) fn file(field: &str, stem: &str, input: &Input) -> Part {
    let content = Content::File {
        name: input.file_name(stem),
        content_type: input.content_type,
        bytes: input.bytes.clone(),
    };
    Part { name: field.to_owned(), content }
}

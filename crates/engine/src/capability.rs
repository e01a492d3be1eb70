//! What a model does with each parameter, found out by preparing requests with and without it: what is really sent.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::candidate::Candidate;
use crate::canvas;
use crate::http::{Body, Content, HttpRequest};
use crate::input::{Input, Inputs, Role};
use crate::job::{Operation, RawRequest, Request, Task, Warning};
use crate::provider::{self, Call, Prepared, Source, Submission};

/// Our parameters, in the order of the documentation. `size` is width and height or an aspect ratio, `borders` the four
/// of an outpainting.
pub const PARAMETERS: [&str; 18] = [
    "prompt",
    "negative_prompt",
    "size",
    "seed",
    "steps",
    "guidance",
    "strength",
    "variance",
    "scale",
    "n",
    "quality",
    "image",
    "mask",
    "style_image",
    "reference_image",
    "reference_images",
    "consistency_mode",
    "borders",
];

/// What a model does with a parameter in a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// The task.
    pub task: Task,
    /// One of [`PARAMETERS`].
    pub parameter: &'static str,
    /// What becomes of it.
    #[serde(flatten)]
    pub state: State,
}

/// What becomes of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Sent under our name for it.
    Forwarded,
    /// Sent under another name.
    Renamed {
        /// That name. Dots lead into objects, `[]` into lists.
        #[serde(rename = "as")]
        field: String,
    },
    /// It changes what is sent, in more than one place.
    Converted,
    /// Not sent, or not possible in this task.
    Unsupported,
}

/// What a candidate does with each parameter, for each task that it can do.
pub fn of(candidate: &Candidate) -> Vec<Capability> {
    let mut candidate = candidate.clone();
    if candidate.remote_name == EVERY_OTHER {
        candidate.remote_name = "owner/name".into();
    }
    let candidate = &candidate;
    let mut all = vec![];
    for task in Task::ALL.into_iter().filter(|task| provider::can(candidate, *task)) {
        let prober = Prober { candidate, task };
        let base = prober.base();
        all.extend(PARAMETERS.map(|parameter| {
            let state = base.as_ref().map_or(State::Unsupported, |base| prober.state(parameter, base));
            Capability { task, parameter, state }
        }));
    }
    all
}

/// Where requests of one task at one candidate are tried out.
struct Prober<'a> {
    candidate: &'a Candidate,
    task: Task,
}

/// What was sent for a request.
struct Sent {
    /// The text of each field, by its path.
    fields: BTreeMap<String, String>,
    /// Warnings about what was left out.
    left_out: Vec<Warning>,
}

/// The name of a row that stands for all models that are not listed: one such is asked.
const EVERY_OTHER: &str = "*";
/// What stands for a request's address and for an image that is drawn here: no fields.
const ADDRESS: &str = "(address)";
const DRAWN: &str = "(drawn)";
const TAG: &str = "capability";
/// More prerequisites than any adapter has.
const MAX_ERRANDS: usize = 16;

impl Prober<'_> {
    /// The plainest request that the candidate takes: some insist on a scale of 4, a reference image or an option.
    fn base(&self) -> Option<RawRequest> {
        let known = self.candidate.parameters.get("options").map_or(&[][..], |p| p.values.as_slice());
        let options: Map<String, Value> =
            known.iter().filter_map(Value::as_str).map(|name| (name.to_owned(), "x".into())).collect();
        let given = |yes: bool, text: &str| yes.then(|| text.to_owned());
        let plain = RawRequest {
            prompt: Some("a lighthouse".into()),
            image: given(self.task != Task::Generate, FIRST),
            mask: given(self.task == Task::Inpaint, FIRST),
            style_image: given(self.task == Task::TransferStyle, FIRST),
            left: (self.task == Task::Outpaint).then_some(8),
            mode: match self.task {
                Task::Img2img | Task::Inpaint | Task::Outpaint => Some(self.task.as_str().into()),
                _ => None,
            },
            ..RawRequest::default()
        };
        let tries = [(None, false), (Some(FIRST), false), (None, true), (Some(FIRST), true)];
        let scales: &[Option<i64>] = if self.task == Task::Upscale { &[Some(2), Some(4)] } else { &[None] };
        scales
            .iter()
            .flat_map(|scale| tries.map(|(reference, needs_options)| (*scale, reference, needs_options)))
            .map(|(scale, reference, needs_options)| RawRequest {
                scale,
                reference_image: reference.map(str::to_owned),
                options: needs_options.then(|| options.clone()),
                ..plain.clone()
            })
            .find(|asked| self.send(asked).is_some())
    }

    fn state(&self, parameter: &str, base: &RawRequest) -> State {
        if !is_asked(self.task, parameter) {
            return State::Unsupported;
        }
        let mut base = base.clone();
        if parameter == "consistency_mode" {
            base.reference_image = Some(FIRST.into());
        }
        let Some(without) = self.send(&base) else { return State::Unsupported };
        let mut tried: Vec<Sent> = vec![];
        for asked in self.variants(parameter, &base) {
            let Some(sent) = self.send(&asked) else { continue };
            if sent.left_out.iter().any(|warning| !without.left_out.contains(warning)) {
                continue;
            }
            // Two values differ in the fields that carry the parameter; beside nothing at all more can differ.
            if let Some(changed) = tried.iter().map(|other| changed(other, &sent)).find(|c| !c.is_empty()) {
                return judged(parameter, &changed);
            }
            tried.push(sent);
        }
        let changed = tried.first().map(|sent| changed(&without, sent)).unwrap_or_default();
        judged(parameter, &changed)
    }

    /// The request with several values of a parameter, the likeliest to be taken first.
    fn variants(&self, parameter: &str, base: &RawRequest) -> Vec<RawRequest> {
        let with = |change: &dyn Fn(&mut RawRequest)| {
            let mut asked = base.clone();
            change(&mut asked);
            asked
        };
        let text = |s: &str| Some(s.to_owned());
        let two = [FIRST, SECOND];
        match parameter {
            "prompt" => ["a lighthouse", "a harbour"].map(|p| with(&|a| a.prompt = text(p))).into(),
            "negative_prompt" => ["fog", "rain"].map(|p| with(&|a| a.negative_prompt = text(p))).into(),
            "size" => {
                // Any two differ in both sides.
                let sizes = [
                    (64, 128),
                    (128, 64),
                    (512, 768),
                    (768, 512),
                    (768, 1024),
                    (1024, 768),
                    (1024, 2048),
                    (2048, 1024),
                ];
                let sides = sizes.map(|(w, h)| with(&|a| (a.width, a.height) = (Some(w), Some(h))));
                let ratios = ["1:1", "16:9"].map(|r| with(&|a| a.aspect_ratio = text(r)));
                sides.into_iter().chain(ratios).collect()
            }
            "seed" => [7, 8].map(|seed| with(&|a| a.seed = Some(seed))).into(),
            "steps" => [20, 30].map(|steps| with(&|a| a.steps = Some(steps))).into(),
            "guidance" => [3.0, 4.0].map(|guidance| with(&|a| a.guidance = Some(guidance))).into(),
            "strength" => [0.3, 0.6].map(|strength| with(&|a| a.strength = Some(strength))).into(),
            "variance" => [0.3, 0.6].map(|variance| with(&|a| a.variance = Some(variance))).into(),
            "scale" => [2, 4].map(|scale| with(&|a| a.scale = Some(scale))).into(),
            "n" => [1, 2].map(|n| with(&|a| a.n = Some(n))).into(),
            "quality" => {
                let own = self.candidate.parameters.get("quality").map_or(&[][..], |p| p.values.as_slice());
                let words = ["low", "high", "medium", "draft", "hd"].into_iter();
                let words = words.chain(own.iter().filter_map(Value::as_str));
                words.map(|word| with(&|a| a.quality = text(word))).collect()
            }
            "image" => two.map(|p| with(&|a| a.image = text(p))).into(),
            "mask" => two.map(|p| with(&|a| a.mask = text(p))).into(),
            "style_image" => two.map(|p| with(&|a| a.style_image = text(p))).into(),
            "reference_image" => two.map(|p| with(&|a| a.reference_image = text(p))).into(),
            "reference_images" => two.map(|p| with(&|a| a.reference_images = Some(vec![p.into()]))).into(),
            "consistency_mode" => {
                ["strict", "balanced", "loose"].map(|mode| with(&|a| a.consistency_mode = text(mode))).into()
            }
            "borders" => [[8, 16, 24, 32], [16, 8, 32, 24]]
                .map(|sides| with(&|a| [a.top, a.right, a.bottom, a.left] = sides.map(Some)))
                .into(),
            _ => vec![],
        }
    }

    /// What would be sent; `None` when the request is turned down.
    fn send(&self, asked: &RawRequest) -> Option<Sent> {
        let operation = match self.task {
            Task::Generate => Operation::Generate,
            Task::Img2img | Task::Inpaint | Task::Outpaint => Operation::Edit,
            Task::Upscale => Operation::Upscale,
            Task::Variate => Operation::Variate,
            Task::TransferStyle => Operation::TransferStyle,
        };
        let request = asked.clone().check(operation, 7).ok()?;
        let inputs = self.inputs(&request)?;
        let adapter = provider::find(&self.candidate.kind)?;
        let mut found = BTreeMap::new();
        // A prerequisite brings back what depends on what was sent, as an upload does.
        while let Some(prerequisite) = adapter.prerequisite(&self.call(&request, &inputs, &found)).ok()? {
            found.insert(prerequisite.name.to_owned(), fingerprint(&prerequisite.request));
            if found.len() > MAX_ERRANDS {
                return None;
            }
        }
        let prepared = provider::plan(self.candidate, self.task, &request, &inputs, &found, TAG).ok()?;
        let fields = match &prepared.submission {
            Submission::Http(http) => fields(http),
            Submission::Local => {
                let small = Request {
                    width: request.width.or(Some(64)),
                    height: request.height.or(Some(64)),
                    ..request.clone()
                };
                let output = adapter.draw(&self.call(&small, &inputs, &found)).ok()?;
                BTreeMap::from([(DRAWN.to_owned(), drawn(&output.pictures))])
            }
        };
        Some(Sent { fields, left_out: left_out(prepared) })
    }

    fn call<'a>(
        &'a self,
        request: &'a Request,
        inputs: &'a Inputs,
        found: &'a BTreeMap<String, String>,
    ) -> Call<'a> {
        let task = provider::task_at(self.task, self.candidate);
        Call { task, request, candidate: self.candidate, inputs, found, tag: TAG }
    }

    /// The images that a request refers to, with room around them where the candidate has nothing of its own for that.
    fn inputs(&self, request: &Request) -> Option<Inputs> {
        let pictures = PICTURES.as_ref()?;
        let mut inputs = Inputs::default();
        for role in Role::ALL {
            if let Some(reference) = role.reference(request) {
                inputs.set(role, pictures[usize::from(reference == SECOND)].clone());
            }
        }
        let padded =
            self.task == Task::Outpaint && provider::task_at(self.task, self.candidate) == Task::Inpaint;
        if let (true, Some(image)) = (padded, inputs.get(Role::Image)) {
            let (image, mask) = canvas::padded(image, request.borders).ok()?;
            inputs.set(Role::Image, image);
            inputs.set(Role::Mask, mask);
        }
        Some(inputs)
    }
}

/// Whether the function of a task has a parameter.
fn is_asked(task: Task, parameter: &str) -> bool {
    let is_edit = matches!(task, Task::Img2img | Task::Inpaint | Task::Outpaint);
    match parameter {
        "image" => task != Task::Generate,
        "mask" => task == Task::Inpaint,
        "style_image" => task == Task::TransferStyle,
        "reference_image" | "reference_images" | "consistency_mode" => is_edit || task == Task::Generate,
        "strength" => is_edit || task == Task::TransferStyle,
        "variance" => task == Task::Variate,
        "scale" => task == Task::Upscale,
        "borders" => task == Task::Outpaint,
        _ => true,
    }
}

/// How probes refer to the two images.
const FIRST: &str = "asset:1";
const SECOND: &str = "asset:2";

/// Two images, good as masks too: the left half of each is white, the right half is not.
static PICTURES: LazyLock<Option<[Input; 2]>> = LazyLock::new(|| Some([picture(0)?, picture(64)?]));

fn picture(shade: u8) -> Option<Input> {
    let picture = GrayImage::from_fn(64, 64, |x, _| Luma([if x < 32 { 255 } else { shade }]));
    let mut file = std::io::Cursor::new(vec![]);
    DynamicImage::ImageLuma8(picture).write_to(&mut file, ImageFormat::Png).ok()?;
    Input::read(file.into_inner()).ok()
}

fn fingerprint(request: &HttpRequest) -> String {
    let mut hasher = DefaultHasher::new();
    format!("{request:?}").hash(&mut hasher);
    format!("{:x}", hasher.finish())
}

fn drawn(pictures: &[Source]) -> String {
    let mut hasher = DefaultHasher::new();
    format!("{pictures:?}").hash(&mut hasher);
    format!("{:x}", hasher.finish())
}

fn left_out(prepared: Prepared) -> Vec<Warning> {
    let is_about_loss = |w: &Warning| w.code == "unsupported" || w.code.ends_with("_ignored");
    prepared.warnings.into_iter().filter(is_about_loss).collect()
}

/// All fields of a request.
fn fields(http: &HttpRequest) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([(ADDRESS.to_owned(), http.url.clone())]);
    match &http.body {
        Body::Empty => {}
        Body::Json(json) => spread(String::new(), json, &mut all),
        Body::Form(parts) => {
            for part in parts {
                let mut name = part.name.clone();
                while all.contains_key(&name) {
                    // One more of the same name; digits between brackets are not shown.
                    name = format!("{}[{}]", part.name.trim_end_matches("[]"), all.len());
                }
                match &part.content {
                    Content::Text(text) => match serde_json::from_str(text) {
                        Ok(json @ Value::Object(_)) => spread(name, &json, &mut all),
                        _ => drop(all.insert(name, text.clone())),
                    },
                    Content::File { bytes, .. } => drop(all.insert(name, format!("{bytes:?}"))),
                }
            }
        }
    }
    all
}

/// Puts down each leaf of a JSON value by its path.
fn spread(path: String, json: &Value, all: &mut BTreeMap<String, String>) {
    match json {
        Value::Object(map) => {
            for (name, value) in map {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                spread(path, value, all);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                spread(format!("{path}[{index}]"), value, all);
            }
        }
        leaf => drop(all.insert(path, leaf.to_string())),
    }
}

/// The paths of the fields in which two requests differ.
fn changed<'a>(one: &'a Sent, other: &'a Sent) -> BTreeSet<&'a str> {
    let paths = one.fields.keys().chain(other.fields.keys());
    paths.filter(|path| one.fields.get(*path) != other.fields.get(*path)).map(String::as_str).collect()
}

fn judged(parameter: &str, changed: &BTreeSet<&str>) -> State {
    let is_own = |path: &str| match (parameter, field_name(path)) {
        // An object around a single value, such as {"image_url": …}, belongs to the value.
        (_, (around, last)) if last == parameter || around == Some(parameter) => true,
        ("size", (_, name)) => matches!(name, "width" | "height"),
        ("borders", (_, name)) => matches!(name, "top" | "right" | "bottom" | "left"),
        _ => false,
    };
    let mut paths = changed.iter().copied();
    match (paths.next(), paths.next()) {
        (None, _) => State::Unsupported,
        // What is drawn here takes its parameters as they are.
        (Some(DRAWN), None) => State::Forwarded,
        (Some(ADDRESS), None) => State::Converted,
        _ if changed.iter().all(|path| is_own(path)) => State::Forwarded,
        (Some(path), None) => State::Renamed { field: shown(path) },
        _ => State::Converted,
    }
}

/// The last name of a path, and the one around it.
fn field_name(path: &str) -> (Option<&str>, &str) {
    let bare = |name: &'_ str| name.find('[').unwrap_or(name.len());
    let mut names = path.rsplit('.').map(|name| &name[..bare(name)]);
    let last = names.next().unwrap_or_default();
    (names.next(), last)
}

/// A path without the numbers of a list's elements.
fn shown(path: &str) -> String {
    let mut inside = false;
    let is_shown = |c: &char| {
        inside = (inside || *c == '[') && *c != ']';
        !(inside && c.is_ascii_digit())
    };
    path.chars().filter(is_shown).collect()
}

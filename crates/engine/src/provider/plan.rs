//! What would be sent to a candidate for a request, in how many calls, and what they are expected to cost.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::{Call, Prepared, Submission, TABLE, find};
use crate::candidate::Candidate;
use crate::cost::{self, Usage};
use crate::input::{Input, Inputs, Role};
use crate::job::{Invalid, Request, Task, Warning};
use crate::size::Size;

/// What a candidate is asked to do for a task: an outpainting is an inpainting on a larger canvas where the model
/// has nothing of its own for it.
pub fn task_at(task: Task, candidate: &Candidate) -> Task {
    let has = |task| candidate.operations.contains(&task);
    match task {
        Task::Outpaint if !has(Task::Outpaint) && has(Task::Inpaint) => Task::Inpaint,
        task => task,
    }
}

/// Whether a candidate can do a task, in one way or another.
pub fn can(candidate: &Candidate, task: Task) -> bool {
    candidate.operations.contains(&task_at(task, candidate))
}

/// How many images a candidate makes in one call.
fn images_per_call(candidate: &Candidate, task: Task) -> u32 {
    match candidate.parameter("n", task_at(task, candidate)) {
        Some(_) => candidate.max_n.max(1),
        None => 1,
    }
}

/// How many calls a request takes at a candidate: they are made one after the other.
pub fn calls(candidate: &Candidate, task: Task, request: &Request) -> u32 {
    request.n.div_ceil(images_per_call(candidate, task))
}

/// What the first of those calls asks for; the request itself where one is enough.
pub fn first_call<'a>(candidate: &Candidate, task: Task, request: &'a Request) -> Cow<'a, Request> {
    let most = images_per_call(candidate, task);
    match request.n > most {
        true => Cow::Owned(Request { n: most, ..request.clone() }),
        false => Cow::Borrowed(request),
    }
}

/// What would be sent first to a candidate for a request, or why it cannot do it: all that is known without sending anything.
pub fn plan(
    candidate: &Candidate,
    task: Task,
    request: &Request,
    inputs: &Inputs,
    found: &BTreeMap<String, String>,
    tag: &str,
) -> Result<Prepared, Invalid> {
    let Some(adapter) = find(&candidate.kind) else {
        let kinds: Vec<&str> = TABLE.iter().map(|p| p.kind()).collect();
        return Err(Invalid::new(
            format!(
                "provider '{}' has the kind '{}', which has no adapter",
                candidate.provider, candidate.kind
            ),
            format!("Kinds are: {}.", kinds.join(", ")),
        ));
    };
    let limit = candidate.prompt_chars.map_or(crate::job::MAX_PROMPT_CHARS, |c| c as usize);
    let length = request.prompt.chars().count();
    if length > limit {
        return Err(Invalid::new(
            format!("the prompt has {length} characters, {} takes {limit}", candidate.name()),
            "Shorten the prompt, or choose a model with a higher prompt_chars in image_gen.models.",
        ));
    }
    let task_here = task_at(task, candidate);
    let mut padded;
    let mut inputs = inputs;
    if task_here != task && inputs.get(Role::Mask).is_none() {
        // The mask of the new border is made when the image is here.
        padded = inputs.clone();
        padded.set(Role::Mask, Input::stand_in());
        inputs = &padded;
    }
    let first = first_call(candidate, task, request);
    let mut prepared =
        adapter.prepare(&Call { task: task_here, request: &first, candidate, inputs, found, tag })?;
    let calls = calls(candidate, task, request);
    if calls > 1 {
        let message = format!(
            "{} makes {} in a call: {calls} calls are made, one after the other",
            candidate.name(),
            if first.n == 1 { "one image".to_owned() } else { format!("{} images", first.n) }
        );
        prepared.warnings.push(Warning::new("several_calls", message));
    }
    Ok(prepared)
}

/// What all calls for a request are expected to cost at a candidate, in USD; `None` when its prices do not say, or say it in
/// another currency. `prepared` is the first of them.
pub fn expected_total(
    candidate: &Candidate,
    task: Task,
    request: &Request,
    prepared: &Prepared,
    inputs: &[u64],
) -> Option<Decimal> {
    let first = first_call(candidate, task, request);
    let each = expected_cost(candidate, &first, prepared, inputs)?;
    let whole = each.checked_mul(Decimal::from(request.n / first.n))?;
    match request.n % first.n {
        0 => Some(whole),
        n => {
            let last = Request { n, ..request.clone() };
            whole.checked_add(expected_cost(candidate, &last, prepared, inputs)?)
        }
    }
}

/// What a call is expected to cost at a candidate, in USD; `None` when its prices do not say, or say it in another
/// currency. `inputs` are the pixels of the images that go in, as far as they are known.
pub fn expected_cost(
    candidate: &Candidate,
    request: &Request,
    prepared: &Prepared,
    inputs: &[u64],
) -> Option<Decimal> {
    if prepared.submission == Submission::Local {
        return Some(Decimal::ZERO);
    }
    cost::price_in(cost::USD, &candidate.prices, &expected_work(candidate, request, prepared, inputs))
}

/// What a call is expected to do, in the terms that prices are in.
pub fn expected_work(candidate: &Candidate, request: &Request, prepared: &Prepared, inputs: &[u64]) -> Usage {
    Usage {
        images: request.n,
        pixels: prepared.size.map(Size::pixels),
        inputs: inputs.to_vec(),
        inputs_unknown: false,
        seconds: Some(candidate.typical_seconds),
        quality: prepared.quality.clone(),
        tokens: None,
    }
}

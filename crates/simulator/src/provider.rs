//! The providers: what one is, and the table of all.

use hyper::StatusCode;
use serde_json::Value;

use crate::answer::Answer;
use crate::call::Call;
use crate::desk::Desk;
use crate::ledger::Phase;
use crate::world::World;

mod a1111;
mod bfl;
mod comfyui;
mod fal;
mod google;
mod ideogram;
mod openai;
mod openrouter;
mod replicate;
mod stability;

/// All providers. The name is also the first part of the path.
pub(crate) static ALL: [&dyn Provider; 10] = [
    &a1111::A1111,
    &bfl::Bfl,
    &comfyui::ComfyUi,
    &fal::Fal,
    &google::Google,
    &ideogram::Ideogram,
    &openai::OpenAi,
    &openrouter::OpenRouter,
    &replicate::Replicate,
    &stability::Stability,
];

/// Speaks one provider's protocol. It never waits: an answer says when it is due.
pub(crate) trait Provider: Sync {
    /// Its name, in paths, rules and the ledger.
    fn name(&self) -> &'static str;

    /// What a request is about, valid or not.
    fn intent(&self, call: &Call, world: &World) -> Intent;

    /// Answers a request, and takes on what it asks for.
    fn answer(&self, desk: &Desk<'_>, intent: &Intent) -> Answer;

    /// An error in the provider's own shape.
    fn error(&self, status: StatusCode) -> Value;
}

/// What a request is about.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub phase: Phase,
    pub model: Option<String>,
    pub prompt: Option<String>,
    pub seed: Option<u64>,
    pub remote_id: Option<String>,
}

impl Intent {
    pub(crate) fn of(phase: Phase) -> Self {
        Self { phase, model: None, prompt: None, seed: None, remote_id: None }
    }

    /// About the task of this id, if there is one.
    pub(crate) fn of_task(phase: Phase, world: &World, provider: &str, id: &str) -> Self {
        let task = world.tasks().find(provider, id);
        let picture = task.as_ref().map(|t| &t.picture);
        Self {
            phase,
            model: task.as_ref().map(|t| t.model.clone()),
            prompt: picture.map(|p| p.prompt.clone()),
            seed: picture.map(|p| p.seed),
            remote_id: Some(id.to_owned()),
        }
    }
}

/// The provider for this path, and the path below its prefix.
pub(crate) fn find(path: &str) -> Option<(&'static dyn Provider, &str)> {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    ALL.iter().find(|p| p.name() == first).map(|p| (*p, rest))
}

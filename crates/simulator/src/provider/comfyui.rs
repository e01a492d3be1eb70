//! To be written.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::ledger::Phase;
use crate::provider::{Desk, Intent, Provider};
use crate::world::World;

const NAME: &str = "comfyui";

pub(crate) struct ComfyUi;

impl Provider for ComfyUi {
    fn name(&self) -> &'static str {
        NAME
    }

    fn intent(&self, _call: &Call, _world: &World) -> Intent {
        Intent::of(Phase::Other)
    }

    fn answer(&self, _desk: &Desk<'_>, _intent: &Intent) -> Answer {
        Answer::rejected(StatusCode::NOT_FOUND, self.error(StatusCode::NOT_FOUND))
    }

    fn error(&self, status: StatusCode) -> Value {
        json!({ "error": status.as_str() })
    }
}

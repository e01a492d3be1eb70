//! What a provider has at hand when it answers, and what all of them do with it.

use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use tokio::time::Instant;

use crate::call::Call;
use crate::clock::micros;
use crate::config::{Config, duration};
use crate::fault::{Fault, Stage};
use crate::filter;
use crate::picture::Picture;
use crate::task::{Fate, Task};
use crate::world::{Account, World};

/// All that a provider has at hand when it answers.
pub(crate) struct Desk<'a> {
    pub world: &'a World,
    pub config: Arc<Config>,
    pub call: &'a Call,
    /// The scripted fault, if it is one that the provider plays itself.
    pub fault: Option<&'a Fault>,
    pub now: Instant,
    /// Unix microseconds.
    pub now_us: u64,
}

impl Desk<'_> {
    /// Whose work this is at a provider: that of the key in the request.
    pub(crate) fn account(&self, provider: &'static str) -> Account<'_> {
        (provider, &self.call.account)
    }

    /// The fate that the scripted fault has in store, if it is one that decides a fate.
    pub(crate) fn scripted_fate(&self) -> Option<Fate> {
        Some(match self.fault? {
            Fault::Empty => Fate::Empty,
            Fault::TaskError => Fate::Error,
            Fault::TaskNotFound => Fate::Lost,
            Fault::NeverReady => Fate::Never,
            Fault::Refuse { stage } => Fate::Refused(stage.unwrap_or(self.config.refusal_stage)),
            _ => return None,
        })
    }

    /// How what is submitted now ends: as scripted, else as the safety filter finds.
    pub(crate) fn fate(&self, provider: &str, prompt: &str, seed: u64) -> Fate {
        let found = || filter::verdict(&self.config, None, provider, prompt, seed).map(Fate::Refused);
        self.scripted_fate().or_else(found).unwrap_or(Fate::Ready)
    }

    /// How this one answer says that a task ends: what is scripted comes before the task's own fate.
    pub(crate) fn fate_told(&self, task: &Task) -> Fate {
        self.scripted_fate().unwrap_or(task.fate)
    }

    /// How long it takes to draw what ends like this: what is refused beforehand is not drawn.
    pub(crate) fn render_time(&self, provider: &str, model: &str, fate: Fate) -> Duration {
        match fate {
            Fate::Refused(Stage::Request) => Duration::ZERO,
            _ => self.config.render_time(provider, model),
        }
    }

    /// Starts drawing, unless as many as may are at it. Gives how many are at it then.
    pub(crate) fn begin_render(
        &self,
        provider: &'static str,
        time: Duration,
        fate: Fate,
    ) -> Result<usize, usize> {
        let time = if fate == Fate::Never { duration(f64::MAX) } else { time };
        self.world.begin_render(self.account(provider), self.now, time, self.config.active_task_limit)
    }

    /// A task of one image that is drawn from now on for `time`.
    pub(crate) fn task(
        &self,
        provider: &'static str,
        id: &str,
        model: &str,
        picture: Picture,
        time: Duration,
        fate: Fate,
    ) -> Task {
        Task {
            id: id.to_owned(),
            provider,
            place: "",
            model: model.to_owned(),
            picture,
            count: 1,
            ready_at: self.now + time,
            drawn_us: (self.now_us, self.now_us.saturating_add(micros(time))),
            fate,
            state_key: matches!(self.fault, Some(Fault::StateKey)),
            canceled: false.into(),
        }
    }

    /// The key under which an answer has a task's status.
    pub(crate) fn status_key(&self, task: &Task) -> &'static str {
        if task.state_key || matches!(self.fault, Some(Fault::StateKey)) { "state" } else { "status" }
    }

    /// US dollars left on the account, which held `usual` at the start unless the configuration knows better. What was accepted
    /// with the last cents may have cost more than them; the account does not go below zero.
    pub(crate) fn money_left(&self, provider: &'static str, usual: Decimal) -> Decimal {
        let held = self.config.balance_of(provider).unwrap_or(usual);
        (held - self.world.ledger().billed_by(self.account(provider))).max(Decimal::ZERO).normalize()
    }
}

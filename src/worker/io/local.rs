//! The own back end: AUTOMATIC1111 and ComfyUI share one address, and which of them answers there is found out by asking.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use image_gen_engine::admission::OwnBackEnd;
use image_gen_engine::catalogue::{Provider, Snapshot};
use image_gen_engine::egress::Destination;
use image_gen_engine::http::HttpRequest;
use image_gen_engine::provider;

use super::IoContext;
use crate::keys::Keys;

/// The kinds of own back ends, each with a path that only it has.
const KINDS: [(&str, &str); 2] = [("comfyui", "/system_stats"), ("a1111", "/sdapi/v1/options")];
/// How long an answer is believed; the back end may be exchanged for the other kind.
const BELIEVED: Duration = Duration::from_secs(60);
/// A back end that takes longer to say who it is counts as not there.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known about it.
#[derive(Default)]
pub(super) struct Local {
    known: Mutex<Option<(Instant, &'static str)>>,
}

/// Its address, without a final slash.
pub(super) fn address(keys: &Keys) -> Option<String> {
    let name = KINDS.iter().find_map(|(kind, _)| provider::find(kind)?.address_name())?;
    keys.get(name).map(|url| url.reveal().trim_end_matches('/').to_owned())
}

impl Local {
    /// Asks again next time.
    pub fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Where it is, and which kind answers there; `None` where it concerns no provider of a job, which may name its own.
    pub async fn find(
        &self,
        snapshot: &Snapshot,
        provider: Option<&str>,
        context: &IoContext,
    ) -> Option<OwnBackEnd> {
        let unplaced = |p: &&Provider| p.base_url.is_none() && KINDS.iter().any(|(kind, _)| *kind == p.kind);
        let concerned = |p: &&Provider| provider.is_none_or(|id| id == p.id);
        if !snapshot.providers().iter().filter(unplaced).any(|p| concerned(&p)) {
            return None;
        }
        let address = address(&context.config.borrow().keys)?;
        let kind = self.kind(&address, context).await;
        Some(OwnBackEnd { address, kind })
    }

    async fn kind(&self, address: &str, context: &IoContext) -> Option<&'static str> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, kind)) = known
            && at.elapsed() < BELIEVED
        {
            return Some(kind);
        }
        for (kind, path) in KINDS {
            let mut request = HttpRequest::get(format!("{address}{path}"), None);
            request.destination = Destination::OwnMachine;
            request.timeout = PATIENCE;
            request.max_bytes = 1 << 20;
            // 401 says that it is there and wants a password.
            let answered = context.driver.send(&request, None).await;
            if answered.is_ok_and(|a| a.is_success() || a.status == 401) {
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), kind));
                return Some(kind);
            }
        }
        None
    }
}

//! The own back end: AUTOMATIC1111 and ComfyUI share one address, and which of them answers there is found out by asking.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use image_gen_engine::candidate::Candidate;
use image_gen_engine::egress::Destination;
use image_gen_engine::http::HttpRequest;
use image_gen_engine::provider;

use super::World;
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

    /// Puts the address into the candidates that need it, and keeps of those only the kind that answers there. When none
    /// answers all are kept: the job then fails in the usual way, and is tried again.
    pub async fn place(&self, candidates: &mut Vec<Candidate>, world: &World) {
        let unplaced = |c: &Candidate| c.base_url.is_none() && KINDS.iter().any(|(kind, _)| *kind == c.kind);
        if !candidates.iter().any(unplaced) {
            return;
        }
        let Some(address) = address(&world.config.borrow().keys) else { return };
        let kind = self.kind(&address, world).await;
        let gone = |c: &Candidate| unplaced(c) && kind.is_some_and(|kind| kind != c.kind);
        // The two kinds are one back end to users: whoever is there takes the place of the one that was asked for.
        let asked_for = candidates.iter().any(|c| gone(c) && !c.stands_in);
        candidates.retain(|c| !gone(c));
        for candidate in candidates.iter_mut().filter(|c| unplaced(c)) {
            candidate.base_url = Some(address.clone());
            candidate.stands_in &= !asked_for;
        }
    }

    async fn kind(&self, address: &str, world: &World) -> Option<&'static str> {
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
            let answered = world.driver.send(&request, None).await;
            if answered.is_ok_and(|a| a.is_success() || a.status == 401) {
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), kind));
                return Some(kind);
            }
        }
        None
    }
}

//! To be written.

use super::{Call, Prepared, Provider, Rejection, Reply};
use crate::http::HttpResponse;
use crate::job::Invalid;

pub(super) struct A1111;

impl Provider for A1111 {
    fn kind(&self) -> &'static str {
        "a1111"
    }

    fn base_url(&self) -> &'static str {
        "http://127.0.0.1:7860"
    }

    fn key_name(&self) -> Option<&'static str> {
        None
    }

    fn address_name(&self) -> Option<&'static str> {
        Some("STABLE_DIFFUSION_LOCAL_BASE_URL")
    }

    fn prepare(&self, _call: &Call<'_>) -> Result<Prepared, Invalid> {
        Err(Invalid::new("to be written", ""))
    }

    fn read_submit(&self, _call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection> {
        Err(self.read_error(response))
    }
}

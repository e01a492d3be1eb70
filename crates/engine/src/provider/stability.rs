//! To be written.

use super::{Call, Prepared, Provider, Rejection, Reply};
use crate::http::HttpResponse;
use crate::job::Invalid;

pub(super) struct Stability;

impl Provider for Stability {
    fn kind(&self) -> &'static str {
        "stability"
    }

    fn base_url(&self) -> &'static str {
        "https://api.stability.ai"
    }

    fn key_name(&self) -> Option<&'static str> {
        Some("STABILITY_API_KEY")
    }

    fn prepare(&self, _call: &Call<'_>) -> Result<Prepared, Invalid> {
        Err(Invalid::new("to be written", ""))
    }

    fn read_submit(&self, _call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection> {
        Err(self.read_error(response))
    }
}

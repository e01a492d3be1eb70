//! To be written.

use super::{Call, Prepared, Provider, Rejection, Reply};
use crate::http::HttpResponse;
use crate::job::Invalid;

pub(super) struct Replicate;

impl Provider for Replicate {
    fn kind(&self) -> &'static str {
        "replicate"
    }

    fn base_url(&self) -> &'static str {
        "https://api.replicate.com/v1"
    }

    fn key_name(&self) -> Option<&'static str> {
        Some("REPLICATE_API_TOKEN")
    }

    fn prepare(&self, _call: &Call<'_>) -> Result<Prepared, Invalid> {
        Err(Invalid::new("to be written", ""))
    }

    fn read_submit(&self, _call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection> {
        Err(self.read_error(response))
    }
}

//! To be written.

use super::{Call, Prepared, Provider, Rejection, Reply};
use crate::http::HttpResponse;
use crate::job::Invalid;

pub(super) struct Google;

impl Provider for Google {
    fn kind(&self) -> &'static str {
        "google"
    }

    fn base_url(&self) -> &'static str {
        "https://generativelanguage.googleapis.com/v1beta"
    }

    fn key_name(&self) -> Option<&'static str> {
        Some("GEMINI_API_KEY")
    }

    fn prepare(&self, _call: &Call<'_>) -> Result<Prepared, Invalid> {
        Err(Invalid::new("to be written", ""))
    }

    fn read_submit(&self, _call: &Call<'_>, response: &HttpResponse) -> Result<Reply, Rejection> {
        Err(self.read_error(response))
    }
}

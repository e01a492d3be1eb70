//! What a request is expected to cost.

use image_gen_engine::candidate::Candidate;
use image_gen_engine::cost::{self, Work};
use image_gen_engine::job::Request;
use image_gen_engine::provider::Prepared;
use rust_decimal::Decimal;

/// In USD; `None` when the price table does not say.
pub fn cost(candidate: &Candidate, request: &Request, prepared: &Prepared) -> Option<Decimal> {
    let work = Work {
        images: request.n,
        pixels: prepared.size.map(|s| u64::from(s.width) * u64::from(s.height)),
        inputs: vec![],
        seconds: Some(candidate.typical_seconds),
        quality: prepared.quality.clone(),
        tokens: None,
    };
    cost::price(&candidate.prices, &work)
}

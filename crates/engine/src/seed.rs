//! Seeds chosen by us, reproducibly.
//!
//! Every provider that takes a seed accepts 0..=2147483647, so that is the range used throughout. A seed is
//! always recorded: chosen by the caller, derived from another seed, or derived from the job's own id.

use sha2::{Digest, Sha256};

/// The largest seed that every provider accepts.
pub const MAX_SEED: i64 = i32::MAX as i64;

/// The seed of a named relative of `base`: the same base and label always give the same seed, on every
/// machine and in every version.
///
/// The first four bytes of SHA-256 over `image_gen.seed`, a zero byte, the base in decimal, a zero byte and
/// the label, as a big-endian number without its top bit.
pub fn derive(base: i64, label: &str) -> i64 {
    let mut hash = Sha256::new();
    hash.update(b"image_gen.seed\0");
    hash.update(base.to_string());
    hash.update(b"\0");
    hash.update(label);
    let digest = hash.finalize();
    i64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) & 0x7fff_ffff)
}

/// The seed of the image so many places after the one that has `base`.
pub fn nth(base: i64, places: u32) -> i64 {
    (base + i64::from(places)).rem_euclid(MAX_SEED + 1)
}

/// The seed of a job whose caller gave none: derived from the job's id, so it can be audited.
pub fn for_job(job_id: &str) -> i64 {
    derive(0, job_id)
}

/// A number in `0.0..1.0` that depends on `label` and `step` only: the draw behind weights and jitter.
pub fn fraction(label: &str, step: u32) -> f64 {
    let mut hash = Sha256::new();
    hash.update(b"image_gen.draw\0");
    hash.update(label);
    hash.update(b"\0");
    hash.update(step.to_be_bytes());
    let digest = hash.finalize();
    let mut first = [0_u8; 8];
    first.copy_from_slice(&digest[..8]);
    // 53 bits are what a double holds exactly.
    (u64::from_be_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_seed_is_stable_and_in_range() {
        // S21: these values are a promise. If they change, campaigns cannot be re-run.
        assert_eq!(derive(73104, "lifestyle"), derive(73104, "lifestyle"));
        assert_ne!(derive(73104, "lifestyle"), derive(73104, "detail"));
        assert_ne!(derive(73104, "lifestyle"), derive(73105, "lifestyle"));
        assert_eq!([nth(7, 0), nth(7, 3), nth(MAX_SEED, 1)], [7, 10, 0]);
        for label in ["", "hero", "détail", "a\0b"] {
            assert!((0..=MAX_SEED).contains(&derive(i64::MIN, label)));
        }
    }

    #[test]
    fn fractions_are_spread_evenly() {
        let mean = (0..10_000).map(|i| fraction(&format!("gen_{i}"), 0)).sum::<f64>() / 10_000.0;
        assert!((0.49..0.51).contains(&mean), "mean {mean}");
        assert!((0..100).all(|i| (0.0..1.0).contains(&fraction("x", i))));
    }
}

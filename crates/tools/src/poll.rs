//! When a client that cannot wait should ask again.

/// The longest pause after the first one, in milliseconds.
pub const CAP_MS: f64 = 8000.0;
/// By how much a pause is longer than the one before.
pub const FACTOR: f64 = 1.5;
/// The shortest pause, in milliseconds, whatever the estimate.
const LEAST_MS: f64 = 250.0;

/// The pause until the next look, in milliseconds. The first one is the estimate, each one after it half as long again and
/// at most [`CAP_MS`]. Both arguments are seconds; `elapsed` is counted from when the client could first have asked.
///
/// A client that asks before the estimate is over is told what is left of it, in whole seconds.
pub fn next_poll_ms(estimate: f64, elapsed: f64) -> u32 {
    // What is no time is none: NaN, too.
    let ms = |seconds: f64| if seconds > 0.0 { (seconds * 1000.0).min(86_400_000.0) } else { 0.0 };
    let (first, elapsed) = (ms(estimate).max(LEAST_MS), ms(elapsed));
    if elapsed < first {
        let left = ((first - elapsed) / 1000.0).ceil() * 1000.0;
        return left.min(first).round() as u32;
    }
    let (mut pause, mut looked) = (first, first);
    loop {
        pause = (pause * FACTOR).min(CAP_MS);
        looked += pause;
        // Once it has reached the cap it stays there.
        if elapsed < looked || pause >= CAP_MS {
            return pause.round() as u32;
        }
    }
}

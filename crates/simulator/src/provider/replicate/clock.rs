//! Times, as headers and answers write them.

use std::time::Duration;

use crate::clock::date_time;
use crate::config::duration;

/// The longest `Prefer: wait`, in seconds.
const LONGEST_WAIT: u64 = 60;

/// How long the answer may take: not at all without the header, `None` if it makes no sense.
pub(super) fn wait(prefer: &str) -> Option<Duration> {
    match prefer.trim() {
        "" | "respond-async" => Some(Duration::ZERO),
        "wait" => Some(Duration::from_secs(LONGEST_WAIT)),
        other => {
            let seconds = other.strip_prefix("wait=")?.parse().ok()?;
            (1..=LONGEST_WAIT).contains(&seconds).then(|| Duration::from_secs(seconds))
        }
    }
}

/// A text such as `90s`, `1m30s` or `1h`.
pub(super) fn span(text: &str) -> Option<Duration> {
    let mut whole = Duration::ZERO;
    for part in text.split_inclusive(|c: char| c.is_ascii_alphabetic()) {
        let (number, unit) = part.split_at_checked(part.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        whole += duration(number.parse::<f64>().ok()? * seconds);
    }
    (!whole.is_zero()).then_some(whole)
}

/// A time as in JSON: `2026-01-31T12:00:00.000000Z`.
pub(super) fn time(micros: u64) -> String {
    format!("{}.{:06}Z", date_time(micros), micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_six_places() {
        assert_eq!(time(1_709_208_000_000_001), "2024-02-29T12:00:00.000001Z");
    }

    #[test]
    fn spans_and_waits_are_read() {
        assert_eq!(span("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!((span("90"), span(""), span("5x")), (None, None, None));
        assert_eq!(wait("wait=5"), Some(Duration::from_secs(5)));
        assert_eq!(
            (wait("wait"), wait("wait=0"), wait("wait=61")),
            (Some(Duration::from_secs(60)), None, None)
        );
    }
}

//! Times, as headers and answers write them.

use std::time::Duration;

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
    let (days, rest) = (micros / 86_400_000_000, micros % 86_400_000_000);
    let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
    // Days since 0000-03-01, in eras of 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + next;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(time(1_709_208_000_000_001), "2024-02-29T12:00:00.000001Z");
        assert_eq!(time(1_795_305_599_000_000), "2026-11-21T23:59:59.000000Z");
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

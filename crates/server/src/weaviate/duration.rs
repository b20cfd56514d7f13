//! Durations and points in time as boosts write them, and durations as profiles write them: Go's forms, with days.

use std::time::Duration;

use crate::app::objects::date;

/// Seconds of each unit; longer names of the same beginning go first.
const UNITS: [(&str, f64); 8] = [
    ("ms", 1e-3),
    ("us", 1e-6),
    ("\u{b5}s", 1e-6),
    ("\u{3bc}s", 1e-6),
    ("ns", 1e-9),
    ("h", 3_600.0),
    ("m", 60.0),
    ("s", 1.0),
];
const DAY_S: f64 = 86_400.0;
/// Seconds of a number without a unit, which counts nanoseconds.
const PLAIN_S: f64 = 1e-9;

/// The seconds of a duration: `1.5d`, a sequence of numbers with units such as `1h30m`, or nanoseconds as a plain number.
/// `None` for any other text, and for more seconds than a number holds; an empty one is 0.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    parse(text).filter(|seconds| seconds.is_finite())
}

fn parse(text: &str) -> Option<f64> {
    if text.is_empty() {
        return Some(0.0);
    }
    if let Some(days) = text.strip_suffix('d').and_then(decimal) {
        return Some(days * DAY_S);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if let Some(plain) = decimal(rest) {
        return Some(sign * plain * PLAIN_S);
    }
    let (mut rest, mut sum) = (rest, 0.0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number = decimal(&rest[..end])?;
        let (unit, unit_s) = UNITS.into_iter().find(|(unit, _)| rest[end..].starts_with(unit))?;
        sum += number * unit_s;
        rest = &rest[end + unit.len()..];
    }
    Some(sign * sum)
}

/// A number of digits and at most one point.
fn decimal(text: &str) -> Option<f64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if digits && text.bytes().any(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// The Unix time in seconds of a date: RFC 3339, without an offset (UTC), or a day.
pub(crate) fn instant_s(text: &str) -> Option<f64> {
    let forms = [text.to_owned(), format!("{text}Z"), format!("{text}T00:00:00Z")];
    let date = forms.iter().find_map(|form| date::parse(form))?;
    Some(date.unix_s as f64 + f64::from(date.nanos) / 1e9)
}

/// A duration below a minute as Go writes it: `1.5ms`.
pub(crate) fn text(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (unit, digits) = match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => ("ns", 0),
        1_000..1_000_000 => ("\u{b5}s", 3),
        1_000_000..1_000_000_000 => ("ms", 6),
        _ => ("s", 9),
    };
    let per_unit = 10_u128.pow(digits);
    let (whole, fraction) = (nanos / per_unit, nanos % per_unit);
    if fraction == 0 {
        return format!("{whole}{unit}");
    }
    let fraction = format!("{fraction:0width$}", width = digits as usize);
    format!("{whole}.{}{unit}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let check = |text: &str, expected: Option<f64>| match (seconds(text), expected) {
            (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-9, "{text}: {found}"),
            (found, expected) => assert_eq!(found, expected, "{text}"),
        };
        check("", Some(0.0));
        check("7d", Some(604_800.0));
        check("1.5d", Some(129_600.0));
        check("36h", Some(129_600.0));
        check("1h30m", Some(5_400.0));
        check("1.5s", Some(1.5));
        check("20ms", Some(0.02));
        check("3\u{b5}s", Some(3e-6));
        check("-2s", Some(-2.0));
        check("5000000000", Some(5.0));
        for text in ["soon", "1x", "h", "1h2", "--1s", "1d2h", "1..2s", ".", "d", "1e3s"] {
            check(text, None);
        }
        let endless = "9".repeat(400);
        for text in [format!("{endless}d"), format!("-{endless}h"), endless] {
            check(&text, None);
        }
    }

    #[test]
    fn dates_are_read() {
        let day = Some(951_782_400.0);
        for text in ["2000-02-29", "2000-02-29T00:00:00", "2000-02-29T00:00:00Z", "2000-02-29T01:00:00+01:00"] {
            assert_eq!(instant_s(text), day, "{text}");
        }
        assert_eq!(instant_s("yesterday"), None);
    }

    #[test]
    fn durations_are_written() {
        let check = |nanos: u64, expected: &str| assert_eq!(text(Duration::from_nanos(nanos)), expected);
        check(0, "0s");
        check(999, "999ns");
        check(90_895, "90.895\u{b5}s");
        check(1_500_000, "1.5ms");
        check(2_000_000_000, "2s");
        check(12_340_000_001, "12.340000001s");
    }
}

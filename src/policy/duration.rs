//! Durations as a policy writes them: a whole number and `ms`, `s`, `m`, `h`, `d` or `w`.

use std::time::Duration;

pub(crate) const EXPECTED: &str =
    "expected a whole number above zero and ms, s, m, h, d or w in quotes, such as \"30d\"";

/// Far inside what times can be added to.
pub(crate) const LONGEST: Duration = Duration::from_secs(36_500 * 86_400);

const UNITS: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Never zero.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let total = number.parse::<u64>().ok()?.checked_mul(*millis)?;
    (total > 0).then(|| Duration::from_millis(total))
}

/// In the largest unit that divides it. What no policy can say comes out as nanoseconds, which
/// no policy takes back.
pub(crate) fn write(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if Duration::from_millis(millis) != duration || millis == 0 {
        return format!("{}ns", duration.as_nanos());
    }
    let unit = UNITS.iter().find(|(_, unit)| millis.is_multiple_of(*unit));
    let (name, unit) = unit.copied().unwrap_or(("ms", 1));
    format!("{}{name}", millis / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_written() {
        for (text, millis) in [
            ("1ms", 1),
            ("15s", 15_000),
            ("7m", 420_000),
            ("5h", 18_000_000),
            ("30d", 2_592_000_000),
            ("2w", 1_209_600_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
            assert_eq!(write(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "1", "d", "1.5h", "-1d", "1 d", "1D", "0s", "1y", "99999999999999999999d", "é"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        for duration in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            assert_eq!(parse(&write(duration)), None);
        }
    }
}

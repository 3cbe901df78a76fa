//! When a request started, as RFC 3339 text in UTC, no finer than declared.
//!
//! Rounding down happens on the milliseconds since the Unix epoch, so a precision of a day is
//! midnight UTC. Times before 1970 are no times.

use std::cell::Cell;
use std::time::SystemTime;

use arrayvec::ArrayString;

/// Milliseconds since the Unix epoch.
pub(crate) fn millis(now: SystemTime) -> Option<u64> {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    since.as_secs().checked_mul(1000)?.checked_add(u64::from(since.subsec_millis()))
}

/// `2026-01-31T23:59:59Z`, with three decimals when `precision` is no whole second; in milliseconds.
pub(crate) fn text(millis: u64, precision: u64) -> ArrayString<24> {
    thread_local! {
        /// The last second that this thread wrote, and its text.
        static LAST: Cell<(u64, ArrayString<24>)> =
            const { Cell::new((u64::MAX, ArrayString::new_const())) };
    }
    let millis = millis - millis.checked_rem(precision).unwrap_or(0);
    let seconds = millis / 1000;
    let (mut last, mut text) = LAST.get();
    if last != seconds {
        (last, text) = (seconds, second(seconds));
        LAST.set((last, text));
    }
    if precision.is_multiple_of(1000) { text } else { with_decimals(text, millis % 1000) }
}

fn with_decimals(mut text: ArrayString<24>, millis: u64) -> ArrayString<24> {
    text.pop();
    text.push('.');
    for place in [100, 10, 1] {
        text.push(char::from(digit(millis / place)));
    }
    text.push('Z');
    text
}

/// `2026-01-31T23:59:59Z`; the year 10000 is nobody's problem and comes out as 0000.
fn second(seconds: u64) -> ArrayString<24> {
    let mut text = *b"0000-00-00T00:00:00Z";
    let (year, month, day) = date(seconds / 86_400);
    let numbers = [
        (0, year / 100),
        (2, year),
        (5, month),
        (8, day),
        (11, seconds / 3600 % 24),
        (14, seconds / 60 % 60),
        (17, seconds % 60),
    ];
    for (at, number) in numbers {
        if let Some(pair) = text.get_mut(at..at + 2) {
            pair.copy_from_slice(&[digit(number / 10), digit(number)]);
        }
    }
    str::from_utf8(&text).ok().and_then(|text| ArrayString::from(text).ok()).unwrap_or_default()
}

/// Proleptic Gregorian date of a day since 1970-01-01, counted in eras of 400 years from March.
const fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (era * 400 + year + (month <= 2) as u64, month, day)
}

fn digit(number: u64) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn precision_rounds_down_in_utc() {
        let at = 1_767_225_599_987; // 2025-12-31T23:59:59.987Z
        for (precision, expected) in [
            (1, "2025-12-31T23:59:59.987Z"),
            (10, "2025-12-31T23:59:59.980Z"),
            (1000, "2025-12-31T23:59:59Z"),
            (60_000, "2025-12-31T23:59:00Z"),
            (3_600_000, "2025-12-31T23:00:00Z"),
            (86_400_000, "2025-12-31T00:00:00Z"),
        ] {
            assert_eq!(&text(at, precision), expected);
        }
    }

    #[test]
    fn a_clock_before_1970_gives_no_time() {
        assert_eq!(millis(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), None);
    }

    proptest! {
        #[test]
        fn agrees_with_a_calendar_that_others_wrote(millis in 0..253_402_300_800_000_u64) {
            let other = jiff::Timestamp::from_millisecond(millis.cast_signed()).unwrap();
            prop_assert_eq!(text(millis, 1).to_string(), format!("{other:.3}"));
        }
    }
}

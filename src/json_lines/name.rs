//! Names of log files: `LOG-2026-01-02T03.jsonl`, and what they say about the lines inside.
//!
//! The rule: a name is ours only if it is exactly what `write` gives for what `parse` read; everything
//! else in the folder belongs to somebody else. Times are UTC.

use std::time::Duration;

const LAST_SECOND: u64 = 253_402_300_799; // 9999-12-31T23:59:59

/// How much time one file covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Period {
    Second,
    Minute,
    Hour,
    Day,
}

impl Period {
    /// The longest that makes the oldest line of a file at most 1/24 of `retention` late.
    pub(crate) fn of(retention: Duration) -> Self {
        [Self::Day, Self::Hour, Self::Minute]
            .into_iter()
            .find(|period| period.length() * 24 <= retention)
            .unwrap_or(Self::Second)
    }

    pub(crate) const fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 60 * 60,
            Self::Day => 24 * 60 * 60,
        })
    }
}

/// What happened to a file after its last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    Plain,
    Gzip,
    /// A gzip that a crash left unfinished.
    Part,
}

impl Form {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Plain => ".jsonl",
            Self::Gzip => ".jsonl.gz",
            Self::Part => ".jsonl.gz.part",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    period: Period,
    start: u64,
    pub(crate) number: u32,
    pub(crate) form: Form,
}

impl Name {
    /// The first file of the period that `time` is in.
    pub(crate) fn new(period: Period, time: Duration) -> Self {
        let seconds = time.as_secs().min(LAST_SECOND);
        Self {
            period,
            start: seconds - seconds % period.length().as_secs(),
            number: 0,
            form: Form::Plain,
        }
    }

    pub(crate) const fn with_number(self, number: u32) -> Self {
        Self { number, ..self }
    }

    pub(crate) const fn with_form(self, form: Form) -> Self {
        Self { form, ..self }
    }

    pub(crate) fn is_same_period(self, other: Self) -> bool {
        (self.period, self.start) == (other.period, other.start)
    }

    pub(crate) const fn start(self) -> Duration {
        Duration::from_secs(self.start)
    }

    /// No line in the file was written at this moment or later.
    pub(crate) fn end(self) -> Duration {
        self.start() + self.period.length()
    }

    pub(crate) fn write(self, log: &str) -> String {
        let (year, month, day) = date(self.start / 86_400);
        let (hour, minute, second) =
            (self.start / 3600 % 24, self.start / 60 % 60, self.start % 60);
        let time = match self.period {
            Period::Day => String::new(),
            Period::Hour => format!("T{hour:02}"),
            Period::Minute => format!("T{hour:02}-{minute:02}"),
            Period::Second => format!("T{hour:02}-{minute:02}-{second:02}"),
        };
        let number = if self.number == 0 { String::new() } else { format!(".{}", self.number) };
        format!("{log}-{year:04}-{month:02}-{day:02}{time}{number}{}", self.form.suffix())
    }

    pub(crate) fn parse(log: &str, text: &str) -> Option<Self> {
        let rest = text.strip_prefix(log)?.strip_prefix('-')?;
        let (stem, form) = [Form::Plain, Form::Gzip, Form::Part]
            .into_iter()
            .find_map(|form| Some((rest.strip_suffix(form.suffix())?, form)))?;
        let (time, number) = match stem.split_once('.') {
            Some((time, number)) => (time, number.parse().ok()?),
            None => (stem, 0),
        };
        let (period, start) = parse_time(time)?;
        let name = Self { period, start, number, form };
        (name.write(log) == text).then_some(name)
    }
}

fn parse_time(text: &str) -> Option<(Period, u64)> {
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    let [year, month, day] = numbers(date)?;
    let days = days(year, month, day)?;
    let (period, [hour, minute, second]) = match time.len() {
        0 => (Period::Day, [0; 3]),
        2 => (Period::Hour, [time.parse().ok()?, 0, 0]),
        5 => numbers(time).map(|[hour, minute]| (Period::Minute, [hour, minute, 0]))?,
        _ => (Period::Second, numbers(time)?),
    };
    (hour < 24 && minute < 60 && second < 60)
        .then_some((period, days * 86_400 + hour * 3600 + minute * 60 + second))
}

fn numbers<const N: usize>(text: &str) -> Option<[u64; N]> {
    let mut parts = text.split('-');
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = parts.next().filter(|part| part.len() <= 4)?.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Reads `2026-01-02T03:04:05…Z`, the form of a record's timestamp, down to the second.
pub(crate) fn parse_timestamp(text: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(text.get(..19)?).ok()?;
    let (date, time) = text.split_once('T')?;
    let dashed = format!("{date}T{}", time.replace(':', "-"));
    parse_time(&dashed).map(|(_, seconds)| Duration::from_secs(seconds))
}

/// Year, month and day of a day counted from 1970, in the Gregorian calendar.
///
/// Years are taken to begin in March, which puts the leap day last: 400 years have 146 097 days, and the
/// months from March on begin on day `(153 * month + 2) / 5`.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (year, month_of_year) = (era * 400 + year, if month < 10 { month + 3 } else { month - 9 });
    (year + u64::from(month_of_year <= 2), month_of_year, day - (153 * month + 2) / 5 + 1)
}

/// The inverse of `date`; none for a day that does not exist or lies before 1970.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    let (from_march, of_march) =
        (if month > 2 { month - 3 } else { month + 9 }, year - u64::from(month <= 2));
    let (era, rest) = (of_march / 400, of_march % 400);
    let in_year = (153 * from_march + 2) / 5 + day.checked_sub(1)?;
    let days = era * 146_097 + rest * 365 + rest / 4 - rest / 100 + in_year;
    let days = days.checked_sub(719_468)?;
    (date(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(period: Period, seconds: u64, number: u32) -> String {
        Name::new(period, Duration::from_secs(seconds)).with_number(number).write("access")
    }

    #[test]
    fn names_say_the_period_in_utc() {
        assert_eq!(name(Period::Hour, 1_767_323_045, 0), "access-2026-01-02T03.jsonl");
        assert_eq!(name(Period::Day, 1_767_323_045, 12), "access-2026-01-02.12.jsonl");
        assert_eq!(name(Period::Minute, 951_827_696, 0), "access-2000-02-29T12-34.jsonl");
        assert_eq!(name(Period::Second, 951_827_696, 0), "access-2000-02-29T12-34-56.jsonl");
        assert_eq!(name(Period::Second, u64::MAX, 0), "access-9999-12-31T23-59-59.jsonl");
        assert_eq!(name(Period::Day, 0, 0), "access-1970-01-01.jsonl");
    }

    #[test]
    fn only_exact_names_are_ours() {
        for other in [
            "",
            "access",
            "access-",
            "access-2026-01-02T03.json",
            "access-2026-01-02T03.jsonl.bak",
            "access-2026-01-02T24.jsonl",
            "access-2026-02-29.jsonl",
            "access-2026-13-01.jsonl",
            "access-2026-00-01.jsonl",
            "access-2026-01-00.jsonl",
            "access-2026-1-2.jsonl",
            "access-2026-01-02T3.jsonl",
            "access-2026-01-02T03.0.jsonl",
            "access-2026-01-02T03.01.jsonl",
            "access-2026-01-02T03.+1.jsonl",
            "access-2026-01-02T+3.jsonl",
            "access-2026-01-02T03.1.1.jsonl",
            "access-2026-01-02T03..jsonl",
            "access-1969-12-31.jsonl",
            "access-2026-01-02T03.jsonl.gz.gz",
            "usage-2026-01-02T03.jsonl",
            "access--2026-01-02.jsonl",
            "access-2026-01-02T.jsonl",
            "access-2026-01-02T03-04-05-06.jsonl",
            "Access-2026-01-02T03.jsonl",
            "access-2026-01-02T03.jsonl ",
            "access-２０２６-01-02.jsonl",
            "access-2026-01-02T03.99999999999.jsonl",
            ".jsonl",
            "access-2026-01-02T03é.jsonl",
        ] {
            assert_eq!(Name::parse("access", other), None, "{other}");
        }
        for ours in [
            "access-2026-01-02T03.jsonl",
            "access-2024-02-29.1.jsonl.gz",
            "access-2026-01-02T03-04.10.jsonl.gz.part",
        ] {
            assert_eq!(Name::parse("access", ours).unwrap().write("access"), ours);
        }
    }

    #[test]
    fn a_period_is_at_most_a_24th_of_the_retention() {
        let day = 86_400;
        for (seconds, period) in [
            (30 * day, Period::Day),
            (24 * day, Period::Day),
            (24 * day - 1, Period::Hour),
            (day, Period::Hour),
            (day - 1, Period::Minute),
            (1440, Period::Minute),
            (1439, Period::Second),
            (0, Period::Second),
        ] {
            assert_eq!(Period::of(Duration::from_secs(seconds)), period);
        }
    }

    #[test]
    fn timestamps_are_read_to_the_second() {
        let read = |text: &str| parse_timestamp(text.as_bytes()).map(|time| time.as_secs());
        assert_eq!(read("2026-01-02T03:04:05Z"), Some(1_767_323_045));
        assert_eq!(read("2026-01-02T03:04:05.678Z\",\"log\""), Some(1_767_323_045));
        assert_eq!(read("2026-01-02T03:04"), None);
        assert_eq!(read("2026-02-30T03:04:05Z"), None);
        assert_eq!(read("2026-01-02 03:04:05Z"), None);
    }

    proptest! {
        #[test]
        fn every_name_is_read_back(seconds in 0..=LAST_SECOND, number: u32, period in 0..4_usize, form in 0..3_usize) {
            let period = [Period::Second, Period::Minute, Period::Hour, Period::Day][period];
            let form = [Form::Plain, Form::Gzip, Form::Part][form];
            let name = Name::new(period, Duration::from_secs(seconds)).with_number(number).with_form(form);
            prop_assert_eq!(Name::parse("a-b", &name.write("a-b")), Some(name));
            prop_assert!(name.start().as_secs() <= seconds && seconds < name.end().as_secs());
        }

        #[test]
        fn whatever_is_taken_for_ours_is_exactly_ours(text in "(access-)?[0-9T.-]{0,22}(.jsonl)?(.gz)?") {
            if let Some(name) = Name::parse("access", &text) {
                prop_assert_eq!(name.write("access"), text);
            }
        }
    }
}

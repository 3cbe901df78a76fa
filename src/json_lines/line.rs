//! One event as one line of JSON.
//!
//! The rule: whatever the values are, the result is one valid, flat JSON object and one `\n`, with
//! the fields in the order of the call-site. Text is expected to be safe already; quotes, backslashes
//! and control characters are escaped all the same. What JSON cannot say (NaN, infinity) and what is
//! not a plain value (`Debug`) is left out: less, never more. No heap allocation once the buffer has grown.

use std::cell::RefCell;
use std::fmt;
use std::io::Write as _;

use tracing::Event;
use tracing::field::{Field, Visit};

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Gives `take` the line of `event`; the buffer belongs to the thread and is used again.
///
/// `keys` are the field names as [`key`] writes them, in the order of the call-site.
pub(crate) fn with_line<T>(
    event: &Event<'_>,
    keys: &[Box<str>],
    take: impl FnOnce(&[u8]) -> T,
) -> T {
    let mut take = Some(take);
    let mut run = |buffer: &mut Vec<u8>| {
        format(event, keys, buffer);
        take.take().map(|take| take(buffer))
    };
    let done =
        LINE.try_with(|line| line.try_borrow_mut().ok().and_then(|mut buffer| run(&mut buffer)));
    match done.ok().flatten() {
        Some(result) => result,
        None => run(&mut Vec::new()).expect("taken once, by whoever got a buffer"),
    }
}

/// A field name as it stands in a line: `,"name":`.
pub(crate) fn key(name: &str) -> Box<str> {
    let mut key = b",\"".to_vec();
    escape(name, &mut key);
    key.extend_from_slice(b"\":");
    String::from_utf8(key).unwrap_or_default().into_boxed_str()
}

/// Copies the values as they are, then looks over the whole line once: text that is safe already, which
/// is the rule, is never looked at byte by byte.
fn format(event: &Event<'_>, keys: &[Box<str>], buffer: &mut Vec<u8>) {
    buffer.clear();
    let mut line = Line { buffer, keys, quotes: 0, raw: true };
    event.record(&mut line);
    let quotes = line.quotes;
    if !is_plain(buffer, quotes) {
        buffer.clear();
        event.record(&mut Line { buffer, keys, quotes: 0, raw: false });
    }
    match buffer.first_mut() {
        Some(comma) => *comma = b'{',
        None => buffer.push(b'{'),
    }
    buffer.extend_from_slice(b"}\n");
}

/// Whether `line` has only the quotes that the format put there and nothing else that needs an escape.
#[expect(clippy::needless_bitwise_bool, reason = "without a branch it becomes vector instructions")]
fn is_plain(line: &[u8], quotes: usize) -> bool {
    let (mut special, mut found) = (false, 0);
    for block in line.chunks(64) {
        let mut count = 0_u8;
        for &byte in block {
            special |= (byte < b' ') | (byte == b'\\');
            count += u8::from(byte == b'"');
        }
        found += usize::from(count);
    }
    !special && found == quotes
}

/// Writes `,"name":value` per field; the first comma becomes the brace.
struct Line<'a> {
    buffer: &'a mut Vec<u8>,
    keys: &'a [Box<str>],
    quotes: usize,
    raw: bool,
}

impl Line<'_> {
    #[inline]
    fn key(&mut self, field: &Field) {
        let key = self.keys.get(field.index()).map_or(",\"\":", |key| key);
        self.buffer.extend_from_slice(key.as_bytes());
        self.quotes += 2;
    }

    #[inline]
    fn number(&mut self, field: &Field, number: impl itoa::Integer) {
        self.key(field);
        let mut digits = itoa::Buffer::new();
        self.buffer.extend_from_slice(digits.format(number).as_bytes());
    }
}

impl Visit for Line<'_> {
    #[inline]
    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field);
        self.buffer.push(b'"');
        if self.raw {
            self.buffer.extend_from_slice(value.as_bytes());
        } else {
            escape(value, self.buffer);
        }
        self.buffer.push(b'"');
        self.quotes += 2;
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.key(field);
            decimal(value, self.buffer);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.key(field);
        self.buffer.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Appends `text` as the inside of a JSON string.
#[cold]
pub(crate) fn escape(text: &str, buffer: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => buffer.extend_from_slice(&[b'\\', byte]),
            b'\n' => buffer.extend_from_slice(b"\\n"),
            b'\r' => buffer.extend_from_slice(b"\\r"),
            b'\t' => buffer.extend_from_slice(b"\\t"),
            0..=0x1f => {
                buffer.extend_from_slice(if byte < 16 { b"\\u000" } else { b"\\u001" });
                buffer
                    .push(b"0123456789abcdef".get(usize::from(byte & 15)).copied().unwrap_or(b'0'));
            }
            _ => buffer.push(byte),
        }
    }
}

/// Appends a finite number, short, so that reading it gives the same `f64` again.
///
/// Millionths are exact: both operands of `n / 1e6` are whole, so the quotient is the double that is
/// nearest to that decimal, which is also what a reader computes from its digits.
#[expect(clippy::float_cmp, reason = "equal bit by bit is what is asked")]
fn decimal(value: f64, buffer: &mut Vec<u8>) {
    const EXACT: f64 = 1e15;
    let millionths = (value * 1e6).round();
    if millionths.abs() < EXACT
        && millionths / 1e6 == value
        && (value != 0.0 || value.is_sign_positive())
    {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 1e15")]
        fixed(millionths as i64, buffer);
    } else {
        shortest(value, buffer);
    }
}

fn fixed(millionths: i64, buffer: &mut Vec<u8>) {
    if millionths < 0 {
        buffer.push(b'-');
    }
    let magnitude = millionths.unsigned_abs();
    let mut digits = itoa::Buffer::new();
    buffer.extend_from_slice(digits.format(magnitude / 1_000_000).as_bytes());
    let fraction = magnitude % 1_000_000;
    if fraction != 0 {
        // A leading one keeps the zeros; the point takes its place.
        let padded = digits.format(fraction + 1_000_000);
        buffer.push(b'.');
        buffer.extend_from_slice(padded.as_bytes().get(1..).unwrap_or_default());
        let zeros = buffer.iter().rev().take_while(|&&digit| digit == b'0').count();
        buffer.truncate(buffer.len() - zeros);
    }
}

#[cold]
fn shortest(value: f64, buffer: &mut Vec<u8>) {
    let plain = value == 0.0 || (1e-7..1e17).contains(&value.abs());
    let done = if plain { write!(buffer, "{value}") } else { write!(buffer, "{value:e}") };
    debug_assert!(done.is_ok(), "a vector takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(value: f64) -> String {
        let mut buffer = Vec::new();
        decimal(value, &mut buffer);
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn decimals_are_short() {
        for (value, text) in [
            (0.012, "0.012"),
            (1.0, "1"),
            (0.0, "0"),
            (-0.5, "-0.5"),
            (-0.0, "-0"),
            (0.000_001, "0.000001"),
            (1234.5, "1234.5"),
            (100.0, "100"),
            (1e-7, "0.0000001"),
            (1.5e300, "1.5e300"),
            (5e-324, "5e-324"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e16, "10000000000000000"),
            (1.000_01, "1.00001"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn plain_text_is_told_from_text_that_needs_an_escape() {
        for byte in 0..=0x7f_u8 {
            for place in 0..200 {
                let mut text = [b'a'; 200];
                text[place] = byte;
                let needs = byte < 0x20 || byte == b'"' || byte == b'\\';
                assert_eq!(is_plain(&text, 0), !needs, "{byte:#x} at {place}");
            }
        }
        assert!(is_plain("\"é — 漢字 😀\"".as_bytes(), 2));
        assert!(is_plain(&[b'"'; 1000], 1000));
    }

    proptest! {
        #[test]
        fn every_finite_number_is_read_back_bit_by_bit(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(number(value).parse::<f64>().unwrap().to_bits(), bits);
        }

        #[test]
        fn decimals_with_few_digits_are_written_as_they_are_read(whole in -1_000_000_i64..1_000_000, thousandths in 0..1000_i64) {
            let text = format!("{whole}.{thousandths:03}");
            let value: f64 = text.parse().unwrap();
            let trimmed = text.trim_end_matches('0').trim_end_matches('.');
            let expected = if trimmed == "-0" { "-0" } else { trimmed };
            prop_assert_eq!(number(value), expected);
        }

        #[test]
        fn every_text_comes_back_from_its_escape(text: String) {
            let mut buffer = vec![b'"'];
            escape(&text, &mut buffer);
            buffer.push(b'"');
            prop_assert!(!buffer.contains(&b'\n'));
            prop_assert_eq!(serde_json::from_slice::<String>(&buffer).unwrap(), text);
        }
    }
}

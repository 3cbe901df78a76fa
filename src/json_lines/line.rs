//! One event as one line of JSON, read value by value: the way for events that come without their line.
//!
//! The rule: whatever the values are, the result is one valid, flat JSON object and one `\n`, with
//! the fields in the order of the call-site. Text is expected to be safe already; quotes, backslashes
//! and control characters are escaped all the same. What JSON cannot say (NaN, infinity) and what is
//! not a plain value (`Debug`) is left out: less, never more. No heap allocation once the buffer has grown.

use std::cell::RefCell;
use std::fmt;

use tracing::Event;
use tracing::field::{Field, Visit};

use crate::json::{Key, close, decimal, escape};

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Gives `take` the line of `event`; the buffer belongs to the thread and is used again.
///
/// `keys` are those of the call-site, in its order.
pub(crate) fn with_line<T>(event: &Event<'_>, keys: &[Key], take: impl FnOnce(&[u8]) -> T) -> T {
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

/// Copies the values as they are, then looks over the whole line once: text that is safe already, which
/// is the rule, is never looked at byte by byte.
fn format(event: &Event<'_>, keys: &[Key], buffer: &mut Vec<u8>) {
    buffer.clear();
    let mut line = Line { buffer, keys, quotes: 0, raw: true };
    event.record(&mut line);
    let quotes = line.quotes;
    if !is_plain(buffer, quotes) {
        buffer.clear();
        event.record(&mut Line { buffer, keys, quotes: 0, raw: false });
    }
    close(buffer);
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
    keys: &'a [Key],
    quotes: usize,
    raw: bool,
}

impl Line<'_> {
    #[inline]
    fn key(&mut self, field: &Field) {
        if let Some(key) = self.keys.get(field.index()) {
            key.append_name(self.buffer);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}

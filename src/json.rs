//! JSON text of single values.
//!
//! The rule: what is appended is valid inside of one flat JSON object, on one line, and is read back as the
//! same value. Text is expected to be safe already; quotes, backslashes and control characters are escaped
//! all the same. No heap allocation once the buffer has grown.

#![expect(clippy::indexing_slicing, reason = "a table of 256 is indexed by a byte")]

use std::io::Write as _;

use arrayvec::ArrayVec;

/// A field name as it stands in a line: `,"name":"`; the line's first comma becomes its brace.
///
/// Copied whole and cut, a short one needs no call.
pub(crate) struct Key {
    short: [u8; Self::SHORT],
    len: usize,
    long: Box<[u8]>,
}

impl Key {
    pub(crate) const SHORT: usize = 32;

    pub(crate) fn new(name: &str) -> Self {
        let mut text = b",\"".to_vec();
        escape(name, &mut text);
        text.extend_from_slice(b"\":\"");
        let (mut short, len) = ([0; Self::SHORT], text.len());
        short.iter_mut().zip(&text).for_each(|(place, byte)| *place = *byte);
        let long = if len > Self::SHORT { text.into() } else { Box::default() };
        Self { short, len, long }
    }

    /// The name and the opening quote.
    pub(crate) fn text(&self) -> &[u8] {
        if self.long.is_empty() {
            self.short.get(..self.len).unwrap_or_default()
        } else {
            &self.long
        }
    }

    /// The name, for a value that is no text.
    pub(crate) fn name(&self) -> &[u8] {
        self.text().get(..self.len - 1).unwrap_or_default()
    }

    /// The name as far as it is short, and whatever follows.
    #[inline]
    pub(crate) const fn short(&self) -> &[u8; Self::SHORT] {
        &self.short
    }

    /// How long the whole name is, with the opening quote.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Appends the name, for a value that is no text.
    #[cfg(feature = "json-lines")]
    #[inline]
    pub(crate) fn append_name(&self, line: &mut Vec<u8>) {
        let end = line.len() + self.len - 1;
        if self.long.is_empty() {
            line.extend_from_slice(&self.short);
        } else {
            line.extend_from_slice(&self.long);
        }
        line.truncate(end);
    }
}

/// Ends the line, whose fields each began with a comma.
#[cfg(feature = "json-lines")]
pub(crate) fn close(line: &mut Vec<u8>) {
    match line.first_mut() {
        Some(comma) => *comma = b'{',
        None => line.push(b'{'),
    }
    line.extend_from_slice(b"}\n");
}

/// Appends `text` as the inside of a JSON string.
#[cold]
pub(crate) fn escape(text: &str, buffer: &mut Vec<u8>) {
    let (large, rest) = text.as_bytes().as_chunks::<64>();
    let (small, rest) = rest.as_chunks::<16>();
    for block in large {
        escape_block(block, buffer);
    }
    for block in small {
        escape_block(block, buffer);
    }
    escape_each(rest, buffer);
}

fn escape_block<const N: usize>(block: &[u8; N], buffer: &mut Vec<u8>) {
    match looked_at(block) {
        (true, _) => buffer.extend_from_slice(block),
        (false, true) => escape_each(block, buffer),
        (false, false) if are_marked(block) => mark_all(block, buffer),
        (false, false) => mark(block, buffer),
    }
}

/// Whether nothing in it needs an escape, and whether a control character does.
#[expect(clippy::needless_bitwise_bool, reason = "without branches it becomes vector code")]
fn looked_at<const N: usize>(block: &[u8; N]) -> (bool, bool) {
    block.iter().fold((true, false), |(plain, control), &byte| {
        let is_control = byte < 0x20;
        (plain & !(is_control | (byte == b'"') | (byte == b'\\')), control | is_control)
    })
}

/// Whether all need a backslash.
fn are_marked<const N: usize>(block: &[u8; N]) -> bool {
    block.iter().fold(0, |most, byte| most.max((byte ^ b'"').min(byte ^ b'\\'))) == 0
}

/// Puts a backslash before everything.
fn mark_all<const N: usize>(block: &[u8; N], buffer: &mut Vec<u8>) {
    let mut marked = [[b'\\'; 2]; N];
    for (pair, byte) in marked.iter_mut().zip(block) {
        *pair = [b'\\', *byte];
    }
    buffer.extend_from_slice(marked.as_flattened());
}

/// Puts a backslash before quotes and backslashes; there is one wherever nothing else is put.
fn mark<const N: usize>(block: &[u8; N], buffer: &mut Vec<u8>) {
    const { assert!(2 * N <= 256, "every place is a byte") };
    let (mut marked, mut last) = ([b'\\'; 256], u8::MAX);
    // Few enough at a time to be done without a loop.
    for few in block.as_chunks::<16>().0 {
        for &byte in few {
            last = last.wrapping_add(WIDTH[usize::from(byte)]);
            marked[usize::from(last)] = byte;
        }
    }
    buffer.extend_from_slice(marked.get(..=usize::from(last)).unwrap_or_default());
}

static WIDTH: [u8; 256] = {
    let mut widths = [1; 256];
    (widths[b'"' as usize], widths[b'\\' as usize]) = (2, 2);
    widths
};

fn escape_each(bytes: &[u8], buffer: &mut Vec<u8>) {
    for &byte in bytes {
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
pub(crate) fn decimal(value: f64, buffer: &mut Vec<u8>) {
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

/// A number below 1 000, with leading zeros.
pub(crate) fn three_digits(number: u16) -> [u8; 3] {
    let digit = |number: u16| b'0' + u8::try_from(number % 10).unwrap_or(0);
    [digit(number / 100), digit(number / 10), digit(number)]
}

/// Numbers below have at most eight.
pub(crate) const EIGHT_DIGITS: u32 = 100_000_000;

/// A number below 10⁸ without leading zeros: its digits, the first one lowest, and how many they are.
///
/// Halves of the number, of the halves and so on are divided side by side, in lanes of one integer.
#[inline]
pub(crate) fn digits(number: u32) -> ([u8; 8], usize) {
    let fours = match number {
        ..10_000 => u64::from(number) << 32,
        _ => u64::from(number / 10_000) | u64::from(number % 10_000) << 32,
    };
    let hundreds = (fours * 10_486) >> 20 & 0x7f_0000_007f;
    let twos = hundreds | (fours - hundreds * 100) << 16;
    let tens = (twos * 103) >> 10 & 0x000f_000f_000f_000f;
    let ones = tens | (twos - tens * 10) << 8;
    let zeros = (ones | 1 << 56).trailing_zeros() / 8;
    let text = (ones | 0x3030_3030_3030_3030) >> (8 * zeros);
    (text.to_le_bytes(), 8 - zeros as usize)
}

/// A count of thousandths as [`decimal`] would write it.
pub(crate) fn thousandths(count: u32) -> ArrayVec<u8, 11> {
    let (whole, part) = (count / 1000, count % 1000);
    let mut text = ArrayVec::new();
    match u8::try_from(whole) {
        Ok(digit @ ..10) => text.push(b'0' + digit),
        _ => seconds(whole, &mut text),
    }
    if part != 0 {
        text.push(b'.');
        text.extend(three_digits(u16::try_from(part).unwrap_or(0)));
        while text.last() == Some(&b'0') {
            text.pop();
        }
    }
    text
}

#[cold]
#[inline(never)]
fn seconds(whole: u32, text: &mut ArrayVec<u8, 11>) {
    text.extend(itoa::Buffer::new().format(whole).bytes());
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
    fn every_number_of_four_digits_has_them() {
        for number in (0..10_000_u32).flat_map(|four| [four, four * 10_000, four * 10_000 + 9_999])
        {
            let (text, len) = digits(number);
            assert_eq!(str::from_utf8(&text[..len]).unwrap(), number.to_string());
        }
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
        fn digits_are_those_of_the_number(number in 0..100_000_000_u32, fewer in 0..27) {
            let number = number >> fewer;
            let (text, len) = digits(number);
            prop_assert_eq!(str::from_utf8(&text[..len]).unwrap(), number.to_string());
        }

        #[test]
        fn thousandths_are_written_as_their_quotient_is(count: u32) {
            let text = thousandths(count).to_vec();
            prop_assert_eq!(String::from_utf8(text).unwrap(), number(f64::from(count) / 1000.0));
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

//! Which language a browser prefers: the primary subtag, out of a closed list.
//!
//! `Accept-Language` with all its weights and regions tells browsers apart (RFC 9110 §17.13), so that
//! only the first choice counts, without region or script, and only as a place in a declared list.

use crate::listed::Listed;
use crate::scan;

const LONGEST: usize = 8 * 1024;
/// The ranges that are read do not need more.
const READ: usize = 1024;
const MOST_RANGES: usize = 16;
const LONGEST_RANGE: usize = 64;

/// The language with the highest weight, the first of equals; `*` and what has the weight 0 do not count.
///
/// `None` when nothing is left over, when the value is longer than 8 KiB, or when one of the 16 ranges that
/// are read breaks RFC 9110 §12.4.2 or RFC 4647 §2.1, or does not end within the first KiB.
pub(crate) fn language(accept: &[u8], allow: &[impl AsRef<str>]) -> Option<Listed> {
    let primary = usual(accept).or_else(|| general(accept))?;
    Some(Listed::of(primary, allow))
}

/// The first language of what browsers usually send: that has no weight, and the others have tenths.
fn usual(accept: &[u8]) -> Option<&[u8]> {
    let (first, mut rest) = tag(accept.get(..accept.len().min(LONGEST_RANGE))?)?;
    while let [b',', behind @ ..] = rest {
        let (_, behind) = tag(behind.strip_prefix(b" ").unwrap_or(behind))?;
        rest = behind_tenth(behind);
    }
    (rest.is_empty() && accept.len() <= LONGEST_RANGE).then_some(first)
}

/// The primary subtag that a text begins with, and what stands behind the tag.
fn tag(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (primary, mut rest) = run(text, u8::is_ascii_alphabetic)?;
    while let [b'-', behind @ ..] = rest {
        (_, rest) = run(behind, u8::is_ascii_alphanumeric)?;
    }
    Some((primary, rest))
}

/// One to eight bytes of a kind, and the text behind them.
fn run(text: &[u8], is_kind: impl Fn(&u8) -> bool) -> Option<(&[u8], &[u8])> {
    let len = text.iter().take_while(|byte| is_kind(byte)).count();
    (1..=8).contains(&len).then_some(())?;
    text.split_at_checked(len)
}

fn behind_tenth(text: &[u8]) -> &[u8] {
    match text {
        [b';', b'q', b'=', b'0', b'.', b'0'..=b'9', behind @ ..] => behind,
        _ => text,
    }
}

fn general(accept: &[u8]) -> Option<&[u8]> {
    if accept.len() > LONGEST {
        return None;
    }
    let mut best = (&b""[..], 0);
    let mut rest = accept.get(..READ).unwrap_or(accept);
    let is_cut = rest.len() < accept.len();
    for _ in 0..MOST_RANGES {
        let end = scan::first(rest, |byte| byte == b',');
        let (range, behind) = rest.split_at_checked(end)?;
        if behind.is_empty() && is_cut {
            return None;
        }
        let (primary, weight) = weighed(trimmed(range)?)?;
        if weight > best.1 && primary != b"*" {
            best = (primary, weight);
        }
        rest = match behind {
            [_, behind @ ..] => behind,
            [] => break,
        };
    }
    let (primary, weight) = best;
    (weight > 0).then_some(primary)
}

#[expect(clippy::needless_bitwise_bool, reason = "branches would keep it from being vectorized")]
const fn is_blank(byte: u8) -> bool {
    (byte == b' ') | (byte == b'\t')
}

/// A range without the blanks around it, if it is short.
fn trimmed(range: &[u8]) -> Option<&[u8]> {
    let range = scan::trim(range, is_blank);
    let range = range.get(scan::first(range, |byte| !is_blank(byte))..)?;
    (range.len() <= LONGEST_RANGE).then_some(range)
}

fn weighed(range: &[u8]) -> Option<(&[u8], u16)> {
    if range.is_empty() {
        return Some((b"", 0));
    }
    let Some((tag, weight)) = split_once(range, b';') else {
        return Some((primary(range)?, 1000));
    };
    let weight = thousandths(trim_start(weight))?;
    Some((primary(trim_end(tag))?, weight))
}

fn primary(tag: &[u8]) -> Option<&[u8]> {
    if tag == b"*" {
        return Some(tag);
    }
    let mut subtags = tag.split(|byte| *byte == b'-');
    let primary = subtags.next().filter(|subtag| subtag.iter().all(u8::is_ascii_alphabetic))?;
    (is_subtag(primary) && subtags.all(is_subtag)).then_some(primary)
}

fn is_subtag(text: &[u8]) -> bool {
    (1..=8).contains(&text.len()) && text.iter().all(u8::is_ascii_alphanumeric)
}

fn thousandths(weight: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', value @ ..] = weight else { return None };
    let (whole, part) = split_once(value, b'.').unwrap_or((value, b""));
    if part.len() > 3 || !part.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = part.iter().chain(b"000").take(3);
    let part = digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match (whole, part) {
        (b"0", part) => Some(part),
        (b"1", 0) => Some(1000),
        _ => None,
    }
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let (before, rest) = text.split_at_checked(text.iter().position(|byte| *byte == at)?)?;
    Some((before, rest.get(1..)?))
}

const fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

const fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(accept: &str) -> Option<&'static str> {
        const ALLOW: [&str; 3] = ["en", "de", "pt"];
        language(accept.as_bytes(), &ALLOW).map(|listed| listed.word(&ALLOW))
    }

    #[test]
    fn the_primary_subtag_with_the_highest_weight_counts() {
        assert_eq!(written("de"), Some("de"));
        assert_eq!(written("de-CH, en;q=0.9"), Some("de"));
        assert_eq!(written("en;q=0.8, de;q=0.9"), Some("de"));
        assert_eq!(written("EN-us"), Some("en"));
        assert_eq!(written("en;q=0.5,de;q=0.5"), Some("en"));
        assert_eq!(written("fr;q=0.123,pt-BR;q=0.124"), Some("pt"));
        assert_eq!(written(" en ; Q=0.1 ,\tde ;q=1.000"), Some("de"));
        assert_eq!(written(",, de ,"), Some("de"));
        assert_eq!(written("*, de;q=0.1"), Some("de"));
        assert_eq!(written("zh-Hant-TW"), Some("_OTHER"));
        assert_eq!(written("x-private, en;q=0.9"), Some("_OTHER"));
    }

    #[test]
    fn nothing_is_said_without_a_language() {
        for accept in ["", " ", ",", "*", "*;q=1", "en;q=0", "en;q=0.000, *", "de;q=0."] {
            assert_eq!(written(accept), None, "{accept}");
        }
    }

    #[test]
    fn a_malformed_value_says_nothing() {
        for accept in [
            "en_US",
            "123",
            "-en",
            "en-",
            "en--us",
            "abcdefghi",
            "en-abcdefghi",
            "en;q=1.1",
            "en;q=2",
            "en;q=-1",
            "en;q=0.1234",
            "en;q=.5",
            "en;q",
            "en;q=",
            "en;level=1",
            "en;q=0.5;q=1",
            "en;q= 1",
            "é",
            "en us",
            "*-CH",
            "en\u{0}",
            "en;q=00.5",
            "en;q=+1",
            "en;q=0,5x",
        ] {
            assert_eq!(written(accept), None, "{accept}");
        }
        assert_eq!(language(b"en\xff", &["en"]), None);
        assert_eq!(written(&format!("en{}", ",".repeat(9000))), None);
    }

    #[test]
    fn a_range_that_ends_behind_the_first_kibibyte_says_nothing() {
        let blanks = |count| format!("de;q=0.1,{}en", " ".repeat(count));
        assert_eq!(written(&blanks(1013)), Some("en"));
        assert_eq!(written(&blanks(1014)), None);
        assert_eq!(written(&format!("{}é", "de,".repeat(16))), Some("de"));
    }

    proptest! {
        #[test]
        fn what_is_usual_is_read_like_anything_else(
            accept in prop_oneof![
                "([a-z]{1,3}(-[A-Z0-9]{1,9})?(;q=(0\\.[0-9]{1,2}|1))?(, ?|[ *,])?){1,20}",
                "[a-z]{2}(-[A-Z]{2})?(, ?[a-z]{2}(;q=[0-2]\\.[0-9]{1,2})?){0,3}",
            ]
        ) {
            let usual = usual(accept.as_bytes());
            prop_assert!(usual.is_none() || usual == general(accept.as_bytes()), "{}", accept);
        }
    }

    #[test]
    fn only_the_first_sixteen_ranges_are_read() {
        assert_eq!(written(&format!("{}de", "en;q=0.1,".repeat(15))), Some("de"));
        assert_eq!(written(&format!("{}de", "en;q=0.1,".repeat(16))), Some("en"));
    }
}

//! Which language a browser prefers: the primary subtag, out of a closed list.
//!
//! `Accept-Language` with all its weights and regions tells browsers apart (RFC 9110 §17.13), so that
//! only the first choice counts, without region or script, and only as a place in a declared list.

use crate::listed::{Listed, Words};
use crate::scan;
use crate::text::Text;

/// The languages that a log declares.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Languages {
    words: Words,
    /// What can be a primary subtag, folded; 0 for any other word.
    folded: Box<[u64]>,
}

impl Languages {
    pub(crate) fn new(words: &[String]) -> Self {
        let folded = words.iter().map(|word| {
            let is_primary =
                is_subtag(word.as_bytes()) && word.bytes().all(|byte| byte.is_ascii_alphabetic());
            if is_primary { folded(word.as_bytes()) } else { 0 }
        });
        Self { folded: folded.collect(), words: Words::new(words) }
    }

    /// The language of a value as it is written.
    #[inline]
    pub(crate) fn text(&self, accept: &[u8]) -> Option<Text> {
        match two_letters(accept) {
            Some(primary) => self.words.text(self.find(primary)),
            None => self.any_text(accept),
        }
    }

    #[inline(never)]
    fn any_text(&self, accept: &[u8]) -> Option<Text> {
        self.words.text(any_language(accept, self)?)
    }

    #[inline]
    fn find(&self, primary: u64) -> Listed {
        let declared = self.folded.iter().position(|word| *word == primary);
        declared.map_or(Listed::Other, Listed::At)
    }
}

/// Up to eight letters as a number, whatever their case.
fn folded(letters: &[u8]) -> u64 {
    letters.iter().rev().fold(0, |word, letter| word << 8 | u64::from(letter | 0x20))
}

const LONGEST: usize = 8 * 1024;
/// The ranges that are read do not need more.
const READ: usize = 1024;
const MOST_RANGES: usize = 16;
const LONGEST_RANGE: usize = 64;

/// The language with the highest weight, the first of equals; `*` and what has the weight 0 do not count.
///
/// `None` when nothing is left over, when the value is longer than 8 KiB, or when one of the 16 ranges that
/// are read breaks RFC 9110 §12.4.2 or RFC 4647 §2.1, or does not end within the first KiB.
#[cfg(any(test, fuzzing))]
pub(crate) fn language(accept: &[u8], allow: &Languages) -> Option<Listed> {
    match two_letters(accept) {
        Some(primary) => Some(allow.find(primary)),
        None => any_language(accept, allow),
    }
}

fn any_language(accept: &[u8], allow: &Languages) -> Option<Listed> {
    let primary = usual(accept).or_else(|| general(accept))?;
    Some(allow.find(folded(primary)))
}

/// The first language, folded, where all have two letters and so have their regions; else as [`usual`].
#[inline]
fn two_letters(accept: &[u8]) -> Option<u64> {
    let (first, behind) = pair(accept, LETTER).filter(|_| accept.len() <= LONGEST_RANGE)?;
    let mut rest = regions(behind);
    while let [b',', next @ ..] = rest {
        let next = next.strip_prefix(b" ").unwrap_or(next);
        rest = behind_weight(regions(pair(next, LETTER)?.1));
    }
    rest.is_empty().then(|| u64::from(u16::from_le_bytes(first) | 0x2020))
}

#[inline]
fn regions(mut rest: &[u8]) -> &[u8] {
    while let [b'-', region @ ..] = rest
        && let Some((_, behind)) = pair(region, LETTER | DIGIT)
    {
        rest = behind;
    }
    rest
}

#[inline]
fn pair(text: &[u8], kinds: u8) -> Option<([u8; 2], &[u8])> {
    let (pair, rest) = text.split_first_chunk()?;
    pair.iter().all(|byte| is(*byte, kinds)).then_some((*pair, rest))
}

/// What follows a weight of tenths, if there is one.
#[inline]
#[expect(clippy::redundant_guards, reason = "four bytes are compared at once")]
fn behind_weight(text: &[u8]) -> &[u8] {
    match text.split_first_chunk::<6>() {
        Some(([weight @ .., b'.', b'0'..=b'9'], behind)) if weight == b";q=0" => behind,
        _ => text,
    }
}

/// The first language of what browsers usually send: that has no weight, and the others have tenths.
fn usual(accept: &[u8]) -> Option<&[u8]> {
    if accept.len() > LONGEST_RANGE {
        return None;
    }
    let behind = run(accept, LETTER)?;
    let mut rest = subtags(behind)?;
    while let [b',', b' ', next @ ..] | [b',', next @ ..] = rest {
        rest = behind_weight(subtags(run(next, LETTER)?)?);
    }
    if rest.is_empty() { accept.get(..accept.len() - behind.len()) } else { None }
}

/// What follows the subtags behind a primary one.
#[inline]
fn subtags(mut rest: &[u8]) -> Option<&[u8]> {
    while let [b'-', subtag @ ..] = rest {
        rest = run(subtag, LETTER | DIGIT)?;
    }
    Some(rest)
}

/// What follows one to eight bytes of these kinds.
#[inline]
fn run(text: &[u8], kinds: u8) -> Option<&[u8]> {
    let len = text.iter().take_while(|byte| is(**byte, kinds)).count();
    if (1..=8).contains(&len) { text.get(len..) } else { None }
}

#[inline]
fn is(byte: u8, kinds: u8) -> bool {
    KINDS.get(usize::from(byte)).is_some_and(|kind| kind & kinds != 0)
}

const LETTER: u8 = 1;
const DIGIT: u8 = 2;

static KINDS: [u8; 256] = {
    let (mut kinds, mut byte) = ([0; 256], 0_u8);
    while byte < 128 {
        #[expect(clippy::indexing_slicing, reason = "fails the build, not a request")]
        {
            kinds[byte as usize] = match byte {
                b'a'..=b'z' | b'A'..=b'Z' => LETTER,
                b'0'..=b'9' => DIGIT,
                _ => 0,
            };
        }
        byte += 1;
    }
    kinds
};

#[inline(never)]
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
        let languages = Languages::new(&ALLOW.map(str::to_owned));
        language(accept.as_bytes(), &languages).map(|listed| listed.word(&ALLOW))
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
        assert_eq!(language(b"en\xff", &Languages::new(&["en".to_owned()])), None);
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
            let pairs = two_letters(accept.as_bytes());
            prop_assert!(pairs.is_none() || pairs == general(accept.as_bytes()).map(folded), "{}", accept);
        }
    }

    #[test]
    fn only_the_first_sixteen_ranges_are_read() {
        assert_eq!(written(&format!("{}de", "en;q=0.1,".repeat(15))), Some("de"));
        assert_eq!(written(&format!("{}de", "en;q=0.1,".repeat(16))), Some("en"));
    }
}

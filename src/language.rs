//! Which language a browser prefers: the primary subtag, out of a closed list.
//!
//! `Accept-Language` with all its weights and regions tells browsers apart (RFC 9110 §17.13), so that
//! only the first choice counts, without region or script, and only as a place in a declared list.

use crate::text::Listed;
use std::str;

const LONGEST: usize = 8 * 1024;
const MOST_RANGES: usize = 16;
const LONGEST_RANGE: usize = 64;
const BLANK: [char; 2] = [' ', '\t'];

/// The language with the highest weight, the first of equals; `*` and what has the weight 0 do not count.
///
/// `None` when nothing is left over, when the value is longer than 8 KiB, or when one of the 16 ranges
/// that are read breaks RFC 9110 §12.4.2 or RFC 4647 §2.1.
pub(crate) fn language(accept: &[u8], allow: &[impl AsRef<str>]) -> Option<Listed> {
    if accept.len() > LONGEST {
        return None;
    }
    let mut best = ("", 0);
    for range in str::from_utf8(accept).ok()?.split(',').take(MOST_RANGES) {
        let (primary, weight) = weighed(range.trim_matches(BLANK))?;
        if weight > best.1 && primary != "*" {
            best = (primary, weight);
        }
    }
    (best.1 > 0).then(|| Listed::of(best.0, allow))
}

fn weighed(range: &str) -> Option<(&str, u16)> {
    if range.is_empty() {
        return Some(("", 0));
    }
    if range.len() > LONGEST_RANGE {
        return None;
    }
    let Some((tag, weight)) = range.split_once(';') else {
        return Some((primary(range)?, 1000));
    };
    let weight = thousandths(weight.trim_start_matches(BLANK))?;
    Some((primary(tag.trim_end_matches(BLANK))?, weight))
}

fn primary(tag: &str) -> Option<&str> {
    let (primary, others) = tag.split_once('-').unwrap_or((tag, "none"));
    let is_language = is_subtag(primary) && primary.bytes().all(|byte| byte.is_ascii_alphabetic());
    (tag == "*" || (is_language && others.split('-').all(is_subtag))).then_some(primary)
}

fn is_subtag(text: &str) -> bool {
    (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn thousandths(weight: &str) -> Option<u16> {
    let value = weight.strip_prefix(['q', 'Q'])?.strip_prefix('=')?;
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = part.bytes().chain(*b"000").take(3);
    let part = digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match (whole, part) {
        ("0", part) => Some(part),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

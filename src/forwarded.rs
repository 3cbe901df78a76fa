//! One element of the `Forwarded` header (RFC 7239 §4 to §6), read from its right end.
//!
//! Read from the right, because that is the end which a trusted proxy wrote. A well-formed header
//! gives the same elements in both directions: a backslash occurs inside quotes only, and an opening
//! quote always follows `=`. In a malformed one an open quote further left cannot swallow, hide or
//! change the element that stands at the right. What the other parameters say is not looked at.
#![expect(
    clippy::inline_always,
    reason = "an address in a register costs a third less than in memory"
)]

use crate::address::{self, Bits};
use crate::client::{Unknown, is_blank, not_an_address};
use crate::scan;

const PARAMETERS: usize = 8;
/// Bytes of an element; a host name, two addresses and a protocol need fewer.
const LONGEST: usize = 512;
/// Bytes of a node and its opening quote, each of them escaped.
const LONGEST_QUOTED: usize = 2 * address::LONGEST_NODE + 1;

/// Reads the last element: the address of its `for`, and what stands before the element.
pub(crate) fn hop(rest: &[u8]) -> Result<(Bits, &[u8]), Unknown> {
    match usual(rest) {
        Some((address, before)) if is_start(before) => Ok((address, before)),
        Some((address, before @ [.., b';' | b' ' | b'\t'])) => {
            Ok((address, before_usual(rest, before)?))
        }
        _ => unusual(rest),
    }
}

/// A `for` at the end that is an address, and what stands before it.
#[inline(always)]
fn usual(rest: &[u8]) -> Option<(Bits, &[u8])> {
    let (address, before) = match rest.split_last_chunk::<43>() {
        Some((before, [b'"', b'[', full @ .., b']', b'"'])) if full.get(34) == Some(&b':') => {
            (address::in_full(full).map(Bits::V6)?, before)
        }
        _ => match rest {
            [inner @ .., b'"'] => quoted(inner).or_else(|| quoted_oddly(inner))?,
            _ => address::last_ipv4(rest)?,
        },
    };
    Some((address, before_for(before)?))
}

#[inline(always)]
fn before_for(text: &[u8]) -> Option<&[u8]> {
    let (before, name) = text.split_last_chunk()?;
    let name = u32::from_le_bytes(*name) | u32::from_le_bytes(*b"   \0");
    (name == u32::from_le_bytes(*b"for=")).then_some(before)
}

#[inline(always)]
const fn is_start(before: &[u8]) -> bool {
    matches!(before, [] | [.., b','] | [.., b',', b' '])
}

/// A node that is all of a quoted text, and what stands before the quotes.
#[inline(always)]
fn quoted(inner: &[u8]) -> Option<(Bits, &[u8])> {
    match address::last_node(inner)? {
        (address, [before @ .., b'"']) => Some((address, before)),
        _ => None,
    }
}

/// The same behind `for=`, with escapes or with groups left out. A quote there is the opening one, as no
/// backslash escapes it.
#[inline(never)]
fn quoted_oddly(inner: &[u8]) -> Option<(Bits, &[u8])> {
    let [.., b']' | b'0'..=b'9'] = inner else { return None };
    let left = inner.len().saturating_sub(LONGEST_QUOTED);
    let at = left + scan::last(inner.get(left..)?, |byte| byte == b'"');
    let (before, text) = inner.split_at_checked(at)?;
    let before = before.strip_suffix(b"\"")?;
    before_for(before)?;
    Some((unquoted(text).ok()?, before))
}

#[inline(never)]
fn before_usual<'a>(rest: &'a [u8], before: &'a [u8]) -> Result<&'a [u8], Unknown> {
    if let [.., b' ' | b'\t'] = before
        && let left = scan::trim_pair(before, |byte| byte ^ b' ', is_blank)
        && is_start(left)
    {
        return Ok(left);
    }
    let window = Window::of(rest);
    let text = before.get(window.at..).unwrap_or_default();
    window.before(Element::default().read_before(text))
}

#[inline(never)]
fn unusual(rest: &[u8]) -> Result<(Bits, &[u8]), Unknown> {
    let (window, mut element) = (Window::of(rest), Element::default());
    let text = rest.get(window.at..).unwrap_or_default();
    let before = window.before(element.read(text))?;
    Ok((element.address()?, before))
}

/// One byte more than an element may have, so that what lies before it does not matter.
struct Window<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Window<'a> {
    const fn of(rest: &'a [u8]) -> Self {
        Self { rest, at: rest.len().saturating_sub(LONGEST + 1) }
    }

    /// What stands before an element that was read down to `left` bytes of the window.
    fn before(&self, left: Option<usize>) -> Result<&'a [u8], Unknown> {
        let left = self.at + left.ok_or(Unknown::NotAnAddress)?;
        let (before, read) = self.rest.split_at_checked(left).unwrap_or_default();
        let is_long = read.len() > LONGEST && !read.first().is_some_and(|byte| is_blank(*byte));
        if is_long { Err(Unknown::TooLong) } else { Ok(before) }
    }
}

#[derive(Default)]
struct Element<'a> {
    names: [&'a [u8]; PARAMETERS],
    /// A bit for each name, which few others share.
    marks: u64,
    count: usize,
    node: Option<Value<'a>>,
}

impl<'a> Element<'a> {
    /// Reads parameters up to the comma or the start; returns how many bytes are left.
    fn read(&mut self, mut text: &'a [u8]) -> Option<usize> {
        loop {
            text = trim(text, is_blank_or_semicolon);
            if matches!(text, [] | [.., b',']) {
                return Some(text.len());
            }
            text = self.parameter(text)?;
        }
    }

    /// As above, before a `for` that was read.
    fn read_before(&mut self, text: &'a [u8]) -> Option<usize> {
        self.note(b"for")?;
        self.read(next(text)?)
    }

    fn parameter(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let (text, value) = value(text)?;
        let (text, name) = token(text.strip_suffix(b"=")?)?;
        self.note(name)?;
        if name.eq_ignore_ascii_case(b"for") {
            self.node = Some(value);
        }
        next(text)
    }

    fn note(&mut self, name: &'a [u8]) -> Option<()> {
        let known = self.names.get(..self.count)?;
        let mark = mark(name);
        if self.marks & mark != 0 && known.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return None;
        }
        *self.names.get_mut(self.count)? = name;
        self.marks |= mark;
        self.count += 1;
        Some(())
    }

    fn address(&self) -> Result<Bits, Unknown> {
        match self.node.ok_or(Unknown::NotAnAddress)? {
            Value::Quoted(text) => unquoted(text),
            Value::Address(address) => Ok(address),
            Value::Word(text) => Err(not_an_address(text)),
        }
    }
}

/// What stands before a parameter and its blanks, if that may stand there.
#[inline]
fn next(text: &[u8]) -> Option<&[u8]> {
    let text = trim(text, is_blank);
    matches!(text, [] | [.., b',' | b';']).then_some(text)
}

/// The same whatever the case of the letters.
fn mark(name: &[u8]) -> u64 {
    let (first, last) = (name.first().unwrap_or(&0), name.last().unwrap_or(&0));
    let place = usize::from(first & 31) + 2 * usize::from(last & 31) + 8 * (name.len() & 7);
    1 << (place & 63)
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Address(Bits),
    /// Any other token: with a colon or a bracket it would be none.
    Word(&'a [u8]),
    Quoted(&'a [u8]),
}

fn node(text: &[u8]) -> Result<Bits, Unknown> {
    if let Some((address, [])) = address::last_node(text) {
        return Ok(address);
    }
    address::node(text, is_port).map(Bits::from).ok_or_else(|| not_an_address(text))
}

fn value(text: &[u8]) -> Option<(&[u8], Value<'_>)> {
    let [inner @ .., b'"'] = text else {
        if let Some((address, before @ [.., b'='])) = address::last_ipv4(text) {
            return Some((before, Value::Address(address)));
        }
        return token(text).map(|(before, text)| (before, Value::Word(text)));
    };
    let nearest = scan::last(inner, |byte| byte == b'"');
    let (before, text) = between_quotes(inner, nearest)?;
    Some((before, Value::Quoted(text)))
}

fn unquoted(text: &[u8]) -> Result<Bits, Unknown> {
    if scan::last(text, |byte| byte == b'\\') > 0 { unescaped(text) } else { node(text) }
}

/// A node with quoted-pairs; one that is longer without them than an address is none.
fn unescaped(text: &[u8]) -> Result<Bits, Unknown> {
    let mut plain = [0; address::LONGEST_NODE];
    match unescape(text, &mut plain) {
        Some(text) => node(text),
        None => Err(Unknown::NotAnAddress),
    }
}

fn unescape<'b>(text: &[u8], plain: &'b mut [u8]) -> Option<&'b [u8]> {
    let (mut bytes, mut len) = (text.iter(), 0);
    while let Some(byte) = bytes.next() {
        *plain.get_mut(len)? = if *byte == b'\\' { *bytes.next()? } else { *byte };
        len += 1;
    }
    plain.get(..len)
}

/// The opening quote is the one that no backslash escapes and that is nearest to the end.
fn between_quotes(inner: &[u8], nearest: usize) -> Option<(&[u8], &[u8])> {
    let mut rest = inner.get(..nearest)?;
    while let [before @ .., byte] = rest {
        rest = before;
        if *byte == b'"' {
            rest = without_backslashes(before);
            if (before.len() - rest.len()).is_multiple_of(2) {
                let text = inner.get(before.len() + 1..)?;
                let slashes = text.len() - without_backslashes(text).len();
                return slashes.is_multiple_of(2).then_some((before, text));
            }
        }
    }
    None
}

/// An odd number of them at the end escapes what follows.
#[inline]
fn without_backslashes(mut text: &[u8]) -> &[u8] {
    while let [before @ .., b'\\'] = text {
        text = before;
    }
    text
}

#[inline]
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = text;
    for _ in 0..16 {
        match rest {
            [before @ .., byte] if is_token(*byte) => rest = before,
            _ => return text.split_at_checked(rest.len()).filter(|(_, token)| !token.is_empty()),
        }
    }
    text.split_at_checked(before_token(rest))
}

#[inline(never)]
fn before_token(text: &[u8]) -> usize {
    let rest = scan::without_blocks(text, is_of_a_host);
    rest.iter().rposition(|byte| !is_token(*byte)).map_or(0, |at| at + 1)
}

fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)) == Some(&true)
}

/// The most usual bytes of a token.
const fn is_of_a_host(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let is_digit = byte.wrapping_sub(b'0') < 10;
    is_letter | is_digit | (byte.wrapping_sub(b'-') < 2)
}

/// The bytes of a token (RFC 9110 §5.6.2).
#[expect(clippy::indexing_slicing, reason = "a constant, so it would not compile")]
static TOKEN: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0u8);
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_graphic()
            && !matches!(
                byte,
                b'"' | b'(' | b')' | b',' | b'/' | b':'..=b'@' | b'['..=b']' | b'{' | b'}'
            );
        byte += 1;
    }
    table
};

#[expect(clippy::needless_bitwise_bool, reason = "branches would keep it from being vectorized")]
const fn is_blank_or_semicolon(byte: u8) -> bool {
    (byte == b' ') | (byte == b'\t') | (byte == b';')
}

#[inline]
fn trim(text: &[u8], skip: impl Fn(u8) -> bool + Copy) -> &[u8] {
    match text {
        [before @ .., byte] if skip(*byte) => match before {
            [.., byte] if skip(*byte) => scan::trim(text, skip),
            _ => before,
        },
        _ => text,
    }
}

/// Digits, or an obfuscated port.
fn is_port(text: &[u8]) -> bool {
    match text {
        [b'_', name @ ..] => !name.is_empty() && name.iter().all(|byte| is_obfuscated(*byte)),
        _ => address::is_port(text),
    }
}

const fn is_obfuscated(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::client::{Clients, Source};

    fn forwarded(values: &[&str]) -> Result<IpAddr, Unknown> {
        let trusted = ["10.0.0.0/8", "2001:db8:ff::/48"].map(|net| net.parse().expect("a prefix"));
        let peer = IpAddr::from([10, 0, 0, 1]);
        Clients::new(Source::Forwarded, trusted, [])
            .resolve(peer, values.iter().map(|value| value.as_bytes()))
    }

    fn found(text: &str) -> Result<IpAddr, Unknown> {
        text.parse().map_err(|_| Unknown::NotAnAddress)
    }

    #[test]
    fn the_address_is_that_of_for() {
        for (value, expected) in [
            ("for=198.51.100.7", "198.51.100.7"),
            ("FOR=198.51.100.7", "198.51.100.7"),
            ("for=\"198.51.100.7\"", "198.51.100.7"),
            ("for=\"198.51.100.7:80\"", "198.51.100.7"),
            ("for=\"198.51.100.7:_port.1-x\"", "198.51.100.7"),
            ("for=\"[2001:db8::7]\"", "2001:db8::7"),
            ("for=\"[2001:db8::7]:_p\"", "2001:db8::7"),
            ("for=\"\\1\\98.51.100.\\7\"", "198.51.100.7"),
            ("for=\"[::ffff:198.51.100.7]\"", "198.51.100.7"),
            ("by=10.0.0.3;For=198.51.100.7;proto=https;host=example.com", "198.51.100.7"),
            (";;for=198.51.100.7;;", "198.51.100.7"),
            ("for=198.51.100.7 ; proto=https", "198.51.100.7"),
            ("for=198.51.100.7;host=\"a, for=6.6.6.6\"", "198.51.100.7"),
            ("for=198.51.100.7;host=\"a; for=6.6.6.6\"", "198.51.100.7"),
            ("for=198.51.100.7;host=\"a\\\", for=6.6.6.6\"", "198.51.100.7"),
            ("for=198.51.100.7;host=\"a\\\\\"", "198.51.100.7"),
            ("for=198.51.100.7;host=\"\"", "198.51.100.7"),
            ("for=198.51.100.7;xfor=10.0.0.2", "198.51.100.7"),
            ("xfor=10.0.0.2;for=198.51.100.7", "198.51.100.7"),
            ("for=198.51.100.7, for=\"[2001:db8:ff::1]:9\",for=10.0.0.2", "198.51.100.7"),
            ("for=10.0.0.9, for=10.0.0.2", "10.0.0.9"),
        ] {
            assert_eq!(forwarded(&[value]), found(expected), "{value}");
        }
    }

    #[test]
    fn an_element_that_is_not_well_formed_stops_the_walk() {
        for last in [
            "proto=https",
            ";",
            "for",
            "for=",
            "=198.51.100.7",
            "for=\"\"",
            "for=198.51.100.7:80",
            "for=2001:db8::7",
            "for=[2001:db8::7]",
            "for=\"2001:db8::7\"",
            "for=\"[198.51.100.7]\"",
            "for =198.51.100.7",
            "for= 198.51.100.7",
            "for=198.51.100.7;for=198.51.100.7",
            "for=198.51.100.7;For=198.51.100.8",
            "for=198.51.100.7;x=1;X=2",
            "for=198.51.100.7;proto",
            "for=198.51.100.7;=",
            "for=198.51.100.7 x",
            "x for=198.51.100.7",
            "for=198.51.100.7 proto=http",
            "for=\"198.51.100.7",
            "for=198.51.100.7\"",
            "for=\"198.51.100.7\"x",
            "for=x\"198.51.100.7\"",
            "for=\"198.51.100.7\\\"",
            "for='198.51.100.7'",
            "for=\"198.51.100.7\" \"\"",
            "for=\"198.51.100.7:\"",
            "for=\"198.51.100.7:123456\"",
            "for=\"198.51.100.7:_\"",
            "for=\"198.51.100.7:_a b\"",
            "for=\" 198.51.100.7\"",
            "for=198.51.100.07",
            "for=\"[fe80::1%eth0]\"",
            "for=\"198.51.100.7, 198.51.100.8\"",
            "198.51.100.7",
            "fo\\r=198.51.100.7",
            "a=1;b=2;c=3;d=4;e=5;f=6;g=7;h=8;for=198.51.100.7",
            "for=(198.51.100.7)",
            "for==198.51.100.7",
            "for=198.51.100.7;host=\"a\\\"",
            "for=198.51.100.7;host=\"a, for=6.6.6.6\\\"",
        ] {
            assert_eq!(
                forwarded(&["for=198.51.100.9", last]),
                Err(Unknown::NotAnAddress),
                "{last}"
            );
            assert_eq!(
                forwarded(&[&format!("for=198.51.100.9, {last}")]),
                Err(Unknown::NotAnAddress),
                "{last}"
            );
        }
    }

    #[test]
    fn a_hidden_node_stops_the_walk() {
        for last in ["for=unknown", "for=\"UNKNOWN\"", "for=_hidden", "for=\"_SEVKISEK\""] {
            assert_eq!(
                forwarded(&[&format!("for=198.51.100.9, {last};proto=http")]),
                Err(Unknown::Hidden),
                "{last}"
            );
        }
    }

    // A strict reader from the left takes the proxy's element as quoted text and knows nothing. Read
    // from the right, the element is what the trusted proxy wrote: nothing is forged, and one byte of
    // the client's does not hide it from the log.
    #[test]
    fn the_blank_behind_a_comma_does_not_matter_however_long_the_element_is() {
        let proxies = ", for=10.0.0.9;host=hhhh;proto=https".repeat(5);
        for len in (1..40).chain(470..490) {
            let host = "h".repeat(len);
            let list = format!("for=198.51.100.7;host={host};proto=https{proxies}");
            let long = "for=198.51.100.7;host=;proto=https".len() + len > 512;
            let expected = found("198.51.100.7").ok().filter(|_| !long);
            for left in ["", "x,", "x, ", "for=6.6.6.6 ,\t"] {
                assert_eq!(forwarded(&[&format!("{left}{list}")]).ok(), expected, "{left} {len}");
            }
        }
    }

    #[test]
    fn an_open_quote_on_the_left_neither_forges_nor_hides_the_proxys_element() {
        for left in [
            "for=\"6.6.6.6",
            "\"",
            "for=\"",
            "\\\"",
            "for=6.6.6.6;x=\"\\",
            "for=6.6.6.6, x=\"a,",
            "=\"",
        ] {
            for right in ["for=198.51.100.7", "for=\"198.51.100.7:80\";host=\"a, for=6.6.6.6\""] {
                assert_eq!(
                    forwarded(&[&format!("{left}, {right}")]),
                    found("198.51.100.7"),
                    "{left} {right}"
                );
                assert_eq!(forwarded(&[left, right]), found("198.51.100.7"), "{left} {right}");
            }
        }
    }

    #[test]
    fn an_element_longer_than_the_walk_may_read_is_unknown() {
        let with = |host: usize| format!("for=198.51.100.7;host={}", "a".repeat(host));
        assert_eq!(forwarded(&[&with(512 - 22)]), found("198.51.100.7"));
        assert_eq!(forwarded(&[&with(512 - 21)]), Err(Unknown::TooLong));
        assert!(forwarded(&[&format!("for={}", "\"".repeat(8000))]).is_err());
    }

    type Parameters = Vec<(String, String)>;

    /// RFC 7239 §4 read from the left, strictly: the elements that are not empty, or none at all.
    fn from_the_left(value: &str) -> Option<Vec<Parameters>> {
        let mut elements = vec![(Parameters::new(), false)];
        let mut rest = value.trim_start_matches([' ', '\t']);
        loop {
            let element = elements.last_mut()?;
            match rest.bytes().next() {
                None => break,
                Some(b',') => elements.push((Parameters::new(), false)),
                Some(b';') => element.1 = true,
                Some(_) => {
                    let (name, after) = rest.split_once('=')?;
                    let (text, after) = value_from_the_left(after)?;
                    (!name.is_empty() && name.bytes().all(|byte| TOKEN[usize::from(byte)]))
                        .then_some(())?;
                    let name = name.to_ascii_lowercase();
                    element.0.iter().all(|(other, _)| *other != name).then_some(())?;
                    element.0.push((name, text));
                    element.1 = true;
                    rest = after.trim_start_matches([' ', '\t']);
                    matches!(rest.bytes().next(), None | Some(b',' | b';')).then_some(())?;
                    continue;
                }
            }
            rest = rest[1..].trim_start_matches([' ', '\t']);
        }
        Some(elements.into_iter().filter(|element| element.1).map(|element| element.0).collect())
    }

    fn value_from_the_left(text: &str) -> Option<(String, &str)> {
        if !text.starts_with('"') {
            let end = text.bytes().position(|byte| !TOKEN[usize::from(byte)]).unwrap_or(text.len());
            return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
        }
        let (mut value, mut chars) = (String::new(), text[1..].chars());
        loop {
            match chars.next()? {
                '"' => return Some((value, chars.as_str())),
                '\\' => value.push(chars.next()?),
                other => value.push(other),
            }
        }
    }

    fn walked(elements: &[Parameters]) -> Option<IpAddr> {
        let mut client = IpAddr::from([10, 0, 0, 1]);
        for element in elements.iter().rev() {
            let (_, node) = element.iter().find(|(name, _)| name == "for")?;
            client = address::node(node.as_bytes(), is_port)?;
            if !client.to_string().starts_with("10.") {
                break;
            }
        }
        Some(client)
    }

    fn headers() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec![
            "for=",
            "for=",
            "by=_x",
            "x=",
            "host=\"",
            "\"",
            "\\",
            ",",
            ", ",
            ";",
            ";",
            "=",
            " ",
            "10.0.0.2",
            "for=10.0.0.2",
            "198.51.100.7",
            "\"[2001:db8::7]:80\"",
            "unknown",
            "for=\"10.0.0.3:80\"",
            "\\\"",
            "a",
            "\"a, for=6.6.6.6\"",
        ]);
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn only_the_parameter_that_is_named_for_counts(
            name in "[a-z!-]{0,3}(for|For|fo|or)[a-z-]?",
            value in prop::sample::select(vec![
                "6.6.6.6",
                "\"6.6.6.6:80\"",
                "\"\\6.6.6.6\"",
                "\"[2001:db8::6]\"",
                "\"[2001:0db8:0000:0000:0000:0000:0000:0006]\"",
                "\"[2001:0db8:0000:0000:0000:0000:6.6.6.6]:80\"",
            ]),
            blanks in "[ \t]{0,20}",
        ) {
            prop_assume!(!name.eq_ignore_ascii_case("for"));
            let other = format!("{name}={value}");
            prop_assert_eq!(forwarded(&[&other]), Err(Unknown::NotAnAddress), "{}", other);
            for element in [
                format!("{other}{blanks};for=198.51.100.7"),
                format!("for=198.51.100.7;{blanks}{other}"),
                format!("for=\"198.51.100.7:8\"{blanks};{other}"),
            ] {
                prop_assert_eq!(forwarded(&[&element]), found("198.51.100.7"), "{}", element);
                let twice = format!("{element};for=6.6.6.6");
                prop_assert_eq!(forwarded(&[&twice]), Err(Unknown::NotAnAddress), "{}", twice);
            }
        }

        #[test]
        fn a_well_formed_header_reads_the_same_from_both_ends(value in headers()) {
            if let Some(elements) = from_the_left(&value) {
                prop_assert_eq!(forwarded(&[&value]).ok(), walked(&elements), "{}", value);
            }
        }
    }
}

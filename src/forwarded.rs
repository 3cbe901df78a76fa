//! One element of the `Forwarded` header (RFC 7239 §4 to §6), read from its right end.
//!
//! Read from the right, because that is the end which a trusted proxy wrote. A well-formed header
//! gives the same elements in both directions: a backslash occurs inside quotes only, and an opening
//! quote always follows `=`. In a malformed one an open quote further left cannot swallow, hide or
//! change the element that stands at the right. What the other parameters say is not looked at.

use std::net::IpAddr;

use crate::address;
use crate::client::{Unknown, not_an_address, trim_by};

const PARAMETERS: usize = 8;

/// Reads the last element, at most `longest` bytes: the address of its `for`, and what stands before.
pub(crate) fn hop(rest: &[u8], longest: usize) -> Result<(IpAddr, &[u8]), Unknown> {
    let (before, window) = rest.split_at(rest.len().saturating_sub(longest));
    let mut element = Element::default();
    let left = element.read(window).ok_or(Unknown::NotAnAddress)?;
    if left == 0 && !before.is_empty() {
        return Err(Unknown::TooLong);
    }
    let before = rest.get(..before.len() + left).unwrap_or_default();
    Ok((element.address()?, before))
}

#[derive(Default)]
struct Element<'a> {
    names: [&'a [u8]; PARAMETERS],
    count: usize,
    node: Option<Value<'a>>,
}

impl<'a> Element<'a> {
    /// Reads parameters up to the comma or the start; returns how many bytes are left.
    fn read(&mut self, mut text: &'a [u8]) -> Option<usize> {
        loop {
            text = blank(text);
            match text {
                [] | [.., b','] => return Some(text.len()),
                [before @ .., b';'] => text = before,
                _ => text = self.parameter(text)?,
            }
        }
    }

    fn parameter(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let (text, value) = value(text)?;
        let (text, name) = token(text.strip_suffix(b"=")?)?;
        self.note(name)?;
        if name.eq_ignore_ascii_case(b"for") {
            self.node = Some(value);
        }
        let text = blank(text);
        matches!(text, [] | [.., b',' | b';']).then_some(text)
    }

    fn note(&mut self, name: &'a [u8]) -> Option<()> {
        let known = self.names.get(..self.count)?;
        if known.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return None;
        }
        *self.names.get_mut(self.count)? = name;
        self.count += 1;
        Some(())
    }

    fn address(&self) -> Result<IpAddr, Unknown> {
        match self.node.ok_or(Unknown::NotAnAddress)? {
            Value::Quoted(text) if text.contains(&b'\\') => unescaped(text),
            Value::Token(text) | Value::Quoted(text) => node(text),
        }
    }
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Token(&'a [u8]),
    Quoted(&'a [u8]),
}

fn node(text: &[u8]) -> Result<IpAddr, Unknown> {
    address::node(text, is_port).ok_or_else(|| not_an_address(text))
}

/// A node with quoted-pairs; one that is longer without them than an address is none.
fn unescaped(text: &[u8]) -> Result<IpAddr, Unknown> {
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

fn value(text: &[u8]) -> Option<(&[u8], Value<'_>)> {
    match text {
        [inner @ .., b'"'] => quoted(inner).map(|(before, text)| (before, Value::Quoted(text))),
        _ => token(text).map(|(before, text)| (before, Value::Token(text))),
    }
}

/// The opening quote is the nearest one that no backslash escapes.
fn quoted(inner: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut end = inner.len();
    loop {
        let open = inner.get(..end)?.iter().rposition(|byte| *byte == b'"')?;
        let (before, text) = inner.split_at_checked(open)?;
        if !is_escaped(before) {
            let text = text.get(1..)?;
            return (!is_escaped(text)).then_some((before, text));
        }
        end = open;
    }
}

/// Whether a byte that follows this text is half of a quoted-pair.
fn is_escaped(text: &[u8]) -> bool {
    text.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_token = |byte| TOKEN.get(usize::from(byte)) == Some(&true);
    let before = trim_by::<1>(trim_by::<4>(text, is_token), is_token);
    text.split_at_checked(before.len()).filter(|(_, token)| !token.is_empty())
}

/// The bytes of a token (RFC 9110 §5.6.2).
#[expect(clippy::indexing_slicing, reason = "a constant, so it would not compile")]
const TOKEN: [bool; 256] = {
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

fn blank(text: &[u8]) -> &[u8] {
    trim_by::<1>(text, |byte| matches!(byte, b' ' | b'\t'))
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
        fn a_well_formed_header_reads_the_same_from_both_ends(value in headers()) {
            if let Some(elements) = from_the_left(&value) {
                prop_assert_eq!(forwarded(&[&value]).ok(), walked(&elements), "{}", value);
            }
        }
    }
}

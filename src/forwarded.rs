//! One element of the `Forwarded` header (RFC 7239 §4 to §6), read from its right end.
//!
//! Read from the right, because that is the end which a trusted proxy wrote. A well-formed header
//! gives the same elements in both directions: a backslash occurs inside quotes only, and an opening
//! quote always follows `=`. In a malformed one an open quote further left cannot swallow, hide or
//! change the element that stands at the right. What the other parameters say is not looked at.

use std::net::IpAddr;

use crate::address;
use crate::client::{Unknown, not_an_address};

const PARAMETERS: usize = 8;
const LONGEST: usize = 512;

/// Reads the last element: the address of its `for`, and what stands before it.
pub(crate) fn hop(rest: &[u8]) -> Result<(IpAddr, &[u8]), Unknown> {
    let (before, window) = rest.split_at(rest.len().saturating_sub(LONGEST));
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
        let value = self.node.as_ref().ok_or(Unknown::NotAnAddress)?;
        let mut plain = [0; address::LONGEST_NODE];
        let node = value.unescaped(&mut plain).ok_or(Unknown::NotAnAddress)?;
        address::node(node, is_port).ok_or_else(|| not_an_address(node))
    }
}

enum Value<'a> {
    Token(&'a [u8]),
    Quoted(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The text without quoted-pairs; none when an escaped one is too long for an address.
    fn unescaped<'b>(&self, plain: &'b mut [u8; address::LONGEST_NODE]) -> Option<&'b [u8]>
    where
        'a: 'b,
    {
        match self {
            Self::Quoted(text) if text.contains(&b'\\') => unescape(text, plain),
            Self::Token(text) | Self::Quoted(text) => Some(text),
        }
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
    let at = text.iter().rposition(|byte| !is_token(*byte)).map_or(0, |at| at + 1);
    text.split_at_checked(at).filter(|(_, token)| !token.is_empty())
}

fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// The bytes of a token (RFC 9110 §5.6.2).
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
    let end = text.iter().rposition(|byte| !matches!(byte, b' ' | b'\t'));
    text.get(..end.map_or(0, |at| at + 1)).unwrap_or_default()
}

/// Digits, or an obfuscated port.
fn is_port(text: &[u8]) -> bool {
    match text {
        [b'_', name @ ..] => !name.is_empty() && name.iter().all(|byte| is_obfuscated(*byte)),
        _ => address::is_port(text),
    }
}

fn is_obfuscated(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

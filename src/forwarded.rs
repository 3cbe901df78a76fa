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

use arrayvec::ArrayVec;

use crate::address::{self, Bits};
use crate::client::{Unknown, is_blank, not_an_address};
use crate::scan;
use crate::work::{self, BLANK, Work};

type Found<'a> = Option<(Bits, &'a [u8])>;

const PARAMETERS: usize = 8;
/// Bytes of an element; a host name, two addresses and a protocol need fewer.
const LONGEST: usize = 512;

/// What costs how much, as [`Work`] counts it.
mod cost {
    /// An element of which `for` is not all.
    pub(super) const OTHERS: usize = 115;
    /// A quoted text at its end that may be an IPv6 address, for which it is looked first.
    pub(super) const NODE: usize = 600;
    /// A parameter, and each of its bytes.
    pub(super) const PARAMETER: usize = 55;
    pub(super) const BYTE: usize = 1;
    /// A name that is not registered.
    pub(super) const NAME: usize = 150;
    /// Up to 64 bytes of a name or value.
    pub(super) const BLOCK: usize = 120;
    /// A byte that is in few tokens, and a backslash.
    pub(super) const ODD_BYTE: usize = 30;
    /// A byte of an IPv4 address in quotes beyond the first nine, and IPv6 with all of its digits.
    pub(super) const PORT: usize = 13;
    pub(super) const FULL: usize = 95;
    /// Bytes before a node: `for="`.
    pub(super) const BEFORE_NODE: usize = 5;
    pub(super) const ESCAPED: usize = 200;
    pub(super) const ESCAPED_BYTE: usize = 15;
    /// A run of blanks and semicolons.
    pub(super) const RUN: usize = 240;
}

/// Reads the last element: the address of its `for`, and what stands before the element.
#[inline(always)]
pub(crate) fn hop<'a>(rest: &'a [u8], work: &mut Work) -> Result<(Bits, &'a [u8]), Unknown> {
    let found = match rest.split_last_chunk::<43>() {
        Some((before, [b'"', b'[', full @ .., b']', b'"'])) if full.get(34) == Some(&b':') => {
            address::in_full(full).map(Bits::V6).zip(before_for(before))
        }
        _ => match rest {
            [inner @ .., b'"'] => match in_quotes(inner) {
                Some((address, before)) if is_start(before) => {
                    let read = rest.get(before.len()..).unwrap_or_default();
                    spend_on_quoted(address, read, work)?;
                    return Ok((address, before));
                }
                found => found,
            },
            _ => unquoted_for(rest),
        },
    };
    match found {
        Some((address, before)) if is_start(before) => Ok((address, before)),
        found => among_others(rest, found, work),
    }
}

/// A `for` in quotes that is an address, and what stands before it.
#[inline(always)]
fn in_quotes(inner: &[u8]) -> Found<'_> {
    let (address, before) = quoted(inner)?;
    Some((address, before_for(before)?))
}

#[inline(always)]
fn unquoted_for(rest: &[u8]) -> Found<'_> {
    let (address, before) = address::last_ipv4(rest)?;
    Some((address, before_for(before)?))
}

/// A node that is all of a quoted text, and what stands before the quotes.
#[inline(always)]
fn quoted(inner: &[u8]) -> Found<'_> {
    match address::last_node(inner)? {
        (address, [before @ .., b'"']) => Some((address, before)),
        _ => None,
    }
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

/// What a `for` in quotes takes longer to read.
fn spend_on_quoted(address: Bits, text: &[u8], work: &mut Work) -> Result<(), Unknown> {
    let node = text.get(cost::BEFORE_NODE..).unwrap_or_default();
    match address {
        Bits::V4(_) => work.spend(cost::PORT * node.len().saturating_sub(9)),
        Bits::V6(_) => spend_on_node(node, work),
    }
}

/// What an address in brackets takes longer to read, or to be found none.
fn spend_on_node(text: &[u8], work: &mut Work) -> Result<(), Unknown> {
    work.spend(if address::is_in_full(text) {
        cost::FULL
    } else {
        work::groups(text.len().min(address::LONGEST_NODE))
    })
}

/// An element of which `for` is not all; `found` when that is its end.
#[inline(never)]
fn among_others<'a>(
    rest: &'a [u8],
    found: Found<'a>,
    work: &mut Work,
) -> Result<(Bits, &'a [u8]), Unknown> {
    work.spend(cost::OTHERS)?;
    if rest.last_chunk::<8>().is_some_and(|end| is_end_of_node(*end)) {
        work.spend(cost::NODE)?;
    }
    let (window, mut element) = (Window::of(rest), Element::default());
    if let Some((address, before @ [.., b' ' | b'\t'])) = found
        && let near = window.text(before)
        && let left = scan::trim(near, is_blank)
        && left.ends_with(b",")
    {
        let gap = near.len() - left.len();
        work.spend(cost::RUN + cost::BYTE * gap / 2)?;
        return Ok((address, before.get(..before.len() - gap).unwrap_or_default()));
    }
    let left = element.read(window.text(rest), work)?;
    let before = window.before(left)?;
    Ok((element.address(work)?, before))
}

/// With a port or without.
fn is_end_of_node(end: [u8; 8]) -> bool {
    end.ends_with(b"\"") && end.contains(&b']')
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

    /// As much as the window shows of a text that starts where it does.
    fn text(&self, text: &'a [u8]) -> &'a [u8] {
        text.get(self.at..).unwrap_or_default()
    }

    /// What stands before an element that was read down to `left` bytes of the window.
    fn before(&self, left: usize) -> Result<&'a [u8], Unknown> {
        let (before, read) = self.rest.split_at_checked(self.at + left).unwrap_or_default();
        let is_long = read.len() > LONGEST && !read.first().is_some_and(|byte| is_blank(*byte));
        if is_long { Err(Unknown::TooLong) } else { Ok(before) }
    }
}

/// The registered names (RFC 7239 §5), a bit for each.
const FOR: u8 = 1;
const BY: u8 = 2;
const HOST: u8 = 4;
const PROTO: u8 = 8;

#[derive(Default)]
struct Element<'a> {
    names: u8,
    others: ArrayVec<&'a [u8], PARAMETERS>,
    node: Option<Value<'a>>,
    address: Option<Bits>,
}

#[derive(Clone, Copy)]
enum Value<'a> {
    /// A token: with a colon or a bracket it would be none.
    Word(&'a [u8]),
    Quoted(&'a [u8]),
}

impl<'a> Element<'a> {
    /// Reads parameters up to the comma or the start; returns how many bytes are left.
    #[inline(always)]
    fn read(&mut self, mut text: &'a [u8], work: &mut Work) -> Result<usize, Unknown> {
        loop {
            text = match text {
                [] | [.., b','] => return Ok(text.len()),
                [before @ .., b';'] if before.last().is_some_and(|byte| !is_between(*byte)) => {
                    before
                }
                [.., b' ' | b'\t' | b';'] => {
                    let before = scan::trim(text, is_blank_or_semicolon);
                    work.spend(cost::RUN + cost::BYTE * (text.len() - before.len()))?;
                    text = before;
                    continue;
                }
                _ => text,
            };
            let before = self.parameter(text, work)?;
            work.spend(cost::PARAMETER + cost::BYTE * (text.len() - before.len()))?;
            text = before;
        }
    }

    #[inline(always)]
    fn parameter(&mut self, text: &'a [u8], work: &mut Work) -> Result<&'a [u8], Unknown> {
        if let [.., b'0'..=b'9'] = text
            && let Some((address, before)) = address::last_ipv4(text)
            && let Some(before @ ([] | [.., b',' | b';' | b' '])) = before_for(before)
        {
            if self.names & FOR != 0 {
                return Err(Unknown::NotAnAddress);
            }
            self.names |= FOR;
            self.address = Some(address);
            return next(before, work);
        }
        let (before, value) = match text {
            [before @ .., b'=', b'h', b't', b't', b'p', b's'] => (before, Value::Word(b"https")),
            [inner @ .., b'"'] => {
                let (before, value) = between_quotes(inner, work)?;
                (equals(before)?, Value::Quoted(value))
            }
            _ => {
                let (before, value) = token(text, work)?;
                (equals(before)?, Value::Word(value))
            }
        };
        let (before, name) = if let Some(found) = registered(before) {
            found
        } else {
            let (before, name) = token(before, work)?;
            work.spend(cost::NAME)?;
            (before, self.other(name)?)
        };
        if self.names & name != 0 {
            return Err(Unknown::NotAnAddress);
        }
        self.names |= name;
        if name == FOR {
            self.node = Some(value);
        }
        if !self.others.is_empty()
            && self.others.len() + self.names.count_ones() as usize > PARAMETERS
        {
            return Err(Unknown::NotAnAddress);
        }
        next(before, work)
    }

    #[inline(never)]
    fn other(&mut self, name: &'a [u8]) -> Result<u8, Unknown> {
        if name.eq_ignore_ascii_case(b"for") {
            return Ok(FOR);
        }
        if name.eq_ignore_ascii_case(b"by") {
            return Ok(BY);
        }
        if self.others.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(Unknown::NotAnAddress);
        }
        self.others.try_push(name).map(|()| 0).map_err(|_| Unknown::NotAnAddress)
    }

    fn address(&self, work: &mut Work) -> Result<Bits, Unknown> {
        match (self.address, self.node) {
            (Some(address), _) => Ok(address),
            (None, None) => Err(Unknown::NotAnAddress),
            (None, Some(Value::Quoted(text))) => unquoted(text, work),
            (None, Some(Value::Word(text))) => match address::last_ipv4(text) {
                Some((address, [])) => Ok(address),
                _ => Err(not_an_address(text)),
            },
        }
    }
}

fn equals(text: &[u8]) -> Result<&[u8], Unknown> {
    text.strip_suffix(b"=").ok_or(Unknown::NotAnAddress)
}

/// A registered name at the end of a text that has four bytes or more, and what stands before it.
#[inline(always)]
fn registered(text: &[u8]) -> Option<(&[u8], u8)> {
    let (before, last) = text.split_last_chunk()?;
    let last = u32::from_le_bytes(*last) | u32::from_le_bytes(*b"    ");
    let (len, name) = match last {
        FOUR_HOST => (4, HOST),
        FOUR_PROTO if matches!(before, [.., b'p' | b'P']) => (5, PROTO),
        _ if last >> 8 == u32::from_le_bytes(*b"for\0") => (3, FOR),
        _ if last >> 16 == u32::from_le_bytes(*b"by\0\0") => (2, BY),
        _ => return None,
    };
    match text.get(..text.len() - len)? {
        before @ ([] | [.., b',' | b';' | b' ' | b'\t']) => Some((before, name)),
        _ => None,
    }
}

const FOUR_HOST: u32 = u32::from_le_bytes(*b"host");
const FOUR_PROTO: u32 = u32::from_le_bytes(*b"roto");

/// What stands before a parameter and its blanks, if that may stand there.
#[inline(always)]
fn next<'a>(text: &'a [u8], work: &mut Work) -> Result<&'a [u8], Unknown> {
    match text {
        [] | [.., b',' | b';'] => return Ok(text),
        [.., b' ' | b'\t'] => {}
        _ => return Err(Unknown::NotAnAddress),
    }
    let left = trim(text, is_blank);
    work.spend(match text.len() - left.len() {
        1 => BLANK,
        more => cost::RUN + cost::BYTE * more,
    })?;
    match left {
        [] | [.., b',' | b';'] => Ok(left),
        _ => Err(Unknown::NotAnAddress),
    }
}

/// A node; one that is longer without its quoted-pairs than an address is none.
#[inline(never)]
fn unquoted(text: &[u8], work: &mut Work) -> Result<Bits, Unknown> {
    spend_on_node(text, work)?;
    if let Some((address, [])) = address::last_node(text) {
        return Ok(address);
    }
    let mut plain = [0; address::LONGEST_NODE];
    if last(text, |byte| byte == b'\\', work)? == 0 {
        return node(text);
    }
    work.spend(cost::ESCAPED + cost::ESCAPED_BYTE * text.len().min(2 * plain.len()))?;
    node(unescape(text, &mut plain).ok_or(Unknown::NotAnAddress)?)
}

fn node(text: &[u8]) -> Result<Bits, Unknown> {
    address::node(text, is_port).map(Bits::from).ok_or_else(|| not_an_address(text))
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
#[inline(always)]
fn between_quotes<'a>(inner: &'a [u8], work: &mut Work) -> Result<(&'a [u8], &'a [u8]), Unknown> {
    let mut rest = inner;
    loop {
        let at = last(rest, |byte| byte == b'"', work)?.checked_sub(1);
        let before = at.and_then(|at| inner.get(..at)).ok_or(Unknown::NotAnAddress)?;
        rest = without_backslashes(before, work)?;
        if (before.len() - rest.len()).is_multiple_of(2) {
            let text = inner.get(before.len() + 1..).unwrap_or_default();
            let slashes = text.len() - without_backslashes(text, work)?.len();
            let is_whole = slashes.is_multiple_of(2);
            return if is_whole { Ok((before, text)) } else { Err(Unknown::NotAnAddress) };
        }
    }
}

/// An odd number of them at the end escapes what follows.
#[inline(always)]
fn without_backslashes<'a>(mut text: &'a [u8], work: &mut Work) -> Result<&'a [u8], Unknown> {
    while let [before @ .., b'\\'] = text {
        work.spend(cost::ODD_BYTE)?;
        text = before;
    }
    Ok(text)
}

/// How many bytes a text has up to the last stop, that one included.
#[inline(always)]
fn last(text: &[u8], is_stop: impl Fn(u8) -> bool, work: &mut Work) -> Result<usize, Unknown> {
    let (mut before, mut block) = text.split_at(text.len().saturating_sub(64));
    loop {
        work.spend(cost::BLOCK)?;
        let at = scan::last(block, &is_stop);
        if at > 0 || before.is_empty() {
            return Ok(if at > 0 { before.len() + at } else { 0 });
        }
        (before, block) = before.split_at(before.len().saturating_sub(64));
    }
}

#[inline(always)]
fn token<'a>(text: &'a [u8], work: &mut Work) -> Result<(&'a [u8], &'a [u8]), Unknown> {
    let mut at = last(text, |byte| !is_of_a_node(byte), work)?;
    while let Some([.., byte]) = text.get(..at)
        && !matches!(*byte, b' ' | b',' | b';' | b'=')
        && is_token(*byte)
    {
        work.spend(cost::ODD_BYTE)?;
        at -= 1;
    }
    let found = text.split_at_checked(at);
    found.filter(|(_, token)| !token.is_empty()).ok_or(Unknown::NotAnAddress)
}

/// The bytes of a token (RFC 9110 §5.6.2).
const fn is_token(byte: u8) -> bool {
    is_of_a_node(byte)
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'^' | b'`' | b'|' | b'~')
}

/// The bytes of an obfuscated node (RFC 7239 §6.3), and so of most tokens.
#[expect(clippy::needless_bitwise_bool, reason = "branches would keep it from being vectorized")]
const fn is_of_a_node(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let is_digit = byte.wrapping_sub(b'0') < 10;
    is_letter | is_digit | (byte.wrapping_sub(b'-') < 2) | (byte == b'_')
}

#[expect(clippy::needless_bitwise_bool, reason = "branches would keep it from being vectorized")]
const fn is_blank_or_semicolon(byte: u8) -> bool {
    (byte == b' ') | (byte == b'\t') | (byte == b';')
}

const fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b';' | b',')
}

#[inline(always)]
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
        [b'_', name @ ..] => !name.is_empty() && scan::last(name, |byte| !is_of_a_node(byte)) == 0,
        _ => address::is_port(text),
    }
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
                    (!name.is_empty() && name.bytes().all(is_token)).then_some(())?;
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
            let end = text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len());
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

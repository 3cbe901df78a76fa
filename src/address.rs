//! Addresses as text, read and written without the standard formatting machinery.
//!
//! Reading is as strict as `IpAddr::from_str` (no leading zeros, no short forms, no zones) and faster,
//! since hostile lists are read at every request; writing equals `Display` (RFC 5952) byte for byte.
//! The tests hold both against the standard library. Nothing here decides whom to believe.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of the longest IPv6 address with brackets and port.
pub(crate) const LONGEST_NODE: usize = 53;

/// `IPv4` or `[IPv6]`, either with a port that `port` accepts.
pub(crate) fn node(text: &[u8], port: fn(&[u8]) -> bool) -> Option<IpAddr> {
    let (address, rest) = match text {
        [b'[', inner @ ..] => bracketed(inner)?,
        _ => ipv4(text).map(|(address, rest)| (IpAddr::V4(address), rest))?,
    };
    match rest {
        [] => Some(address),
        [b':', rest @ ..] if port(rest) => Some(address),
        _ => None,
    }
}

fn bracketed(inner: &[u8]) -> Option<(IpAddr, &[u8])> {
    let end = inner.iter().position(|byte| *byte == b']')?;
    let (address, rest) = inner.split_at_checked(end)?;
    Some((IpAddr::V6(ipv6(address)?), rest.get(1..)?))
}

/// An address and nothing else.
pub(crate) fn plain(text: &[u8]) -> Option<IpAddr> {
    match ipv4(text) {
        Some((address, [])) => Some(IpAddr::V4(address)),
        _ => ipv6(text).map(IpAddr::V6),
    }
}

pub(crate) fn is_port(text: &[u8]) -> bool {
    matches!(text.len(), 1..=5) && text.iter().all(u8::is_ascii_digit)
}

/// The address that the text starts with, and what follows it.
fn ipv4(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let (a, text) = octet(text)?;
    let (b, text) = octet(text.strip_prefix(b".")?)?;
    let (c, text) = octet(text.strip_prefix(b".")?)?;
    let (d, text) = octet(text.strip_prefix(b".")?)?;
    Some((Ipv4Addr::new(a, b, c, d), text))
}

/// A leading zero ends the octet, so that `01` fails on what follows.
fn octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let (mut value, mut rest) = digit(text)?;
    while let 1..=25 = value
        && let Some((next, after)) = digit(rest)
    {
        (value, rest) = (value * 10 + next, after);
    }
    Some((u8::try_from(value).ok()?, rest))
}

fn digit(text: &[u8]) -> Option<(u16, &[u8])> {
    let (first, rest) = text.split_first()?;
    first.is_ascii_digit().then(|| (u16::from(first - b'0'), rest))
}

pub(crate) fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    let mut groups = Groups::default();
    let mut rest = text;
    if let Some(after) = text.strip_prefix(b"::") {
        groups.gap = Some(0);
        rest = after;
    }
    while !rest.is_empty() {
        rest = groups.read(rest)?;
    }
    groups.address()
}

#[derive(Default)]
struct Groups {
    bits: u128,
    count: u32,
    gap: Option<u32>,
}

impl Groups {
    fn read<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let (group, after) = group(text)?;
        if let [b'.', ..] = after {
            return self.read_ipv4(text);
        }
        self.push(u128::from(group), 1)?;
        match after {
            [] => Some(after),
            [b':', b':', rest @ ..] if self.gap.is_none() => {
                self.gap = Some(self.count);
                Some(rest)
            }
            [b':', rest @ ..] if !rest.is_empty() => Some(rest),
            _ => None,
        }
    }

    fn read_ipv4<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let (address, rest) = ipv4(text)?;
        self.push(u128::from(address.to_bits()), 2)?;
        rest.is_empty().then_some(rest)
    }

    fn push(&mut self, bits: u128, groups: u32) -> Option<()> {
        self.bits = self.bits << (16 * groups) | bits;
        self.count += groups;
        (self.count <= 8).then_some(())
    }

    fn address(&self) -> Option<Ipv6Addr> {
        match self.gap {
            None => (self.count == 8).then(|| Ipv6Addr::from_bits(self.bits)),
            Some(gap) => (self.count < 8).then(|| self.spread(gap)),
        }
    }

    fn spread(&self, gap: u32) -> Ipv6Addr {
        let after = 16 * (self.count - gap);
        let low = self.bits & !u128::MAX.checked_shl(after).unwrap_or(0);
        let high = (self.bits >> after).checked_shl(128 - 16 * gap).unwrap_or(0);
        Ipv6Addr::from_bits(high | low)
    }
}

fn group(text: &[u8]) -> Option<(u32, &[u8])> {
    let (mut value, mut rest) = hex(text)?;
    for _ in 1..4 {
        let Some((next, after)) = hex(rest) else { break };
        (value, rest) = (value << 4 | next, after);
    }
    Some((value, rest))
}

fn hex(text: &[u8]) -> Option<(u32, &[u8])> {
    let (first, rest) = text.split_first()?;
    char::from(*first).to_digit(16).map(|value| (value, rest))
}

/// Writes an address as `Display` does, without its machinery.
pub(crate) fn text(address: IpAddr, out: &mut [u8; 45]) -> &str {
    let mut pen = Pen { out, len: 0 };
    match address {
        IpAddr::V4(address) => pen.ipv4(address),
        IpAddr::V6(address) => pen.ipv6(address),
    }
    let Pen { out, len } = pen;
    out.get(..len).and_then(|written| str::from_utf8(written).ok()).unwrap_or_default()
}

struct Pen<'a> {
    out: &'a mut [u8; 45],
    len: usize,
}

impl Pen<'_> {
    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.out.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    fn ipv4(&mut self, address: Ipv4Addr) {
        let [a, b, c, d] = address.octets();
        self.decimal(a);
        for octet in [b, c, d] {
            self.push(b'.');
            self.decimal(octet);
        }
    }

    fn decimal(&mut self, octet: u8) {
        if octet >= 100 {
            self.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            self.push(b'0' + octet / 10 % 10);
        }
        self.push(b'0' + octet % 10);
    }

    fn ipv6(&mut self, address: Ipv6Addr) {
        if let Some(inner) = address.to_ipv4_mapped() {
            self.all(b"::ffff:");
            return self.ipv4(inner);
        }
        let segments = address.segments();
        match zeros(&segments) {
            Some((before, after)) => {
                self.groups(before);
                self.all(b"::");
                self.groups(after);
            }
            None => self.groups(&segments),
        }
    }

    fn all(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.push(*byte));
    }

    fn groups(&mut self, segments: &[u16]) {
        for (at, segment) in segments.iter().enumerate() {
            if at > 0 {
                self.push(b':');
            }
            self.hex(*segment);
        }
    }

    fn hex(&mut self, segment: u16) {
        let [high, low] = segment.to_be_bytes();
        let digits = [high >> 4, high & 15, low >> 4, low & 15];
        let start = digits.iter().position(|digit| *digit > 0).unwrap_or(3);
        for digit in digits.iter().skip(start) {
            self.push(if *digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
        }
    }
}

/// What stands before and after the first of the longest runs of two or more zero groups.
fn zeros(segments: &[u16; 8]) -> Option<(&[u16], &[u16])> {
    let (mut end, mut longest, mut run) = (0, 1, 0);
    for (at, segment) in segments.iter().enumerate() {
        run = if *segment == 0 { run + 1 } else { 0 };
        if run > longest {
            (end, longest) = (at + 1, run);
        }
    }
    Some((segments.get(..end.checked_sub(longest)?)?, segments.get(end..)?))
}

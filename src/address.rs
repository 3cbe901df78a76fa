//! Addresses as text, read and written without the standard formatting machinery.
//!
//! Reading is as strict as `IpAddr::from_str` (no leading zeros, no short forms, no zones) and faster,
//! since hostile lists are read at every request; writing equals `Display` (RFC 5952) byte for byte.
//! The tests hold both against the standard library. Nothing here decides whom to believe.
#![expect(
    clippy::inline_always,
    reason = "an address in a register costs a third less than in memory"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::fixed::Fixed;
use crate::text::Text;

mod last;

pub(crate) use last::{is_in_full, last, last_any, last_ipv4, last_ipv6, last_node};

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
    let end = inner.iter().rposition(|byte| *byte == b']')?;
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

fn octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let (value, rest) = match text {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] => {
            (digit(*a) * 100 + digit(*b) * 10 + digit(*c), rest)
        }
        [a @ b'1'..=b'9', b @ b'0'..=b'9', rest @ ..] => (digit(*a) * 10 + digit(*b), rest),
        [a @ b'0'..=b'9', rest @ ..] => (digit(*a), rest),
        _ => return None,
    };
    Some((u8::try_from(value).ok()?, rest))
}

fn digit(byte: u8) -> u16 {
    u16::from(byte - b'0')
}

/// An address as the number that it is, in which form it is compared faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bits {
    V4(u32),
    V6(u128),
}

impl From<IpAddr> for Bits {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6(address.to_bits()),
        }
    }
}

impl From<Bits> for IpAddr {
    fn from(bits: Bits) -> Self {
        match bits {
            Bits::V4(bits) => Ipv4Addr::from_bits(bits).into(),
            Bits::V6(bits) => Ipv6Addr::from_bits(bits).into(),
        }
    }
}

pub(crate) fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    match last_ipv6(text)? {
        (Bits::V6(bits), []) => Some(Ipv6Addr::from_bits(bits)),
        _ => None,
    }
}

/// Eight groups of four digits: without a branch between them, many are read at once.
#[inline(always)]
pub(crate) fn in_full(text: &[u8; 39]) -> Option<u128> {
    let (mut digits, mut are_colons) = ([[0; 4]; 8], true);
    for (group, digits) in text.chunks(5).zip(&mut digits) {
        let (four, behind) = group.split_first_chunk()?;
        *digits = *four;
        are_colons &= matches!(behind, [] | [b':']);
    }
    let (mut values, mut are_hex) = ([0; 32], true);
    for (value, digit) in values.iter_mut().zip(digits.as_flattened()) {
        let is_letter = (digit | 0x20).wrapping_sub(b'a') < 6;
        are_hex &= (digit.wrapping_sub(b'0') < 10) | is_letter;
        *value = (digit & 15) + if is_letter { 9 } else { 0 };
    }
    let mut bytes = [0; 16];
    for (byte, [high, low]) in bytes.iter_mut().zip(values.as_chunks().0) {
        *byte = high << 4 | low;
    }
    (are_colons & are_hex).then_some(u128::from_be_bytes(bytes))
}

const NOT_HEX: u32 = 16;

#[expect(clippy::indexing_slicing, reason = "a constant, so it would not compile")]
const HEX: [u32; 256] = {
    let (mut table, mut byte) = ([NOT_HEX; 256], 0u8);
    while byte < 128 {
        if let Some(value) = (byte as char).to_digit(16) {
            table[byte as usize] = value;
        }
        byte += 1;
    }
    table
};

/// An address as `Display` writes it, without its machinery.
pub(crate) fn text(address: IpAddr) -> Text {
    let mut out = Aligned([b' '; 48]);
    let mut pen = Pen { out: &mut out.0, len: 0 };
    match address {
        IpAddr::V4(address) => pen.ipv4(address),
        IpAddr::V6(address) => pen.ipv6(address),
    }
    let len = pen.len;
    // Whole words are checked several times faster than an address by itself.
    let written = str::from_utf8(&out.0).ok().and_then(|written| written.get(..len));
    written.map_or(Text::fixed(Fixed::EMPTY), Text::word)
}

#[repr(align(16))]
struct Aligned([u8; 48]);

struct Pen<'a> {
    out: &'a mut [u8; 48],
    len: usize,
}

impl Pen<'_> {
    /// Writes all four bytes and keeps the first `len`.
    fn put(&mut self, bytes: [u8; 4], len: usize) {
        if let Some(slot) = self.out.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut) {
            *slot = bytes;
            self.len += len;
        }
    }

    fn ipv4(&mut self, address: Ipv4Addr) {
        for octet in address.octets() {
            let digits = 1 + usize::from(octet > 9) + usize::from(octet > 99);
            let dotted = DECIMAL.get(usize::from(octet)).copied().unwrap_or_default();
            self.put(dotted, digits + 1);
        }
        self.len = self.len.saturating_sub(1);
    }

    fn ipv6(&mut self, address: Ipv6Addr) {
        if let Some(inner) = address.to_ipv4_mapped() {
            self.put(*b"::ff", 4);
            self.put(*b"ff: ", 3);
            return self.ipv4(inner);
        }
        let segments = address.segments();
        match zeros(&segments) {
            Some((before, after)) => {
                self.groups(before);
                self.put(*b"::  ", 2);
                self.groups(after);
            }
            None => self.groups(&segments),
        }
    }

    fn groups(&mut self, segments: &[u16]) {
        for (at, segment) in segments.iter().enumerate() {
            if at > 0 {
                self.put(*b":   ", 1);
            }
            self.hex(*segment);
        }
    }

    fn hex(&mut self, segment: u16) {
        let [high, low] = segment.to_be_bytes();
        let digit =
            |value: u8| b"0123456789abcdef".get(usize::from(value & 15)).map_or(0, |digit| *digit);
        let digits =
            u32::from_be_bytes([digit(high >> 4), digit(high), digit(low >> 4), digit(low)]);
        match segment {
            0..=0xf => self.put((digits << 24).to_be_bytes(), 1),
            0x10..=0xff => self.put((digits << 16).to_be_bytes(), 2),
            0x100..=0xfff => self.put((digits << 8).to_be_bytes(), 3),
            0x1000.. => self.put(digits.to_be_bytes(), 4),
        }
    }
}

/// Every octet with the dot that follows it.
#[expect(clippy::indexing_slicing, reason = "a constant, so it would not compile")]
const DECIMAL: [[u8; 4]; 256] = {
    let (mut table, mut octet) = ([[b'.'; 4]; 256], 0u8);
    loop {
        let (a, b, c) = (b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10);
        table[octet as usize] = match octet {
            0..=9 => [c, b'.', b'.', b'.'],
            10..=99 => [b, c, b'.', b'.'],
            100.. => [a, b, c, b'.'],
        };
        match octet.checked_add(1) {
            Some(next) => octet = next,
            None => break table,
        }
    }
};

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

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `X-Forwarded-For` may hold.
    pub(crate) fn any_node(word: &[u8]) -> Option<IpAddr> {
        let found = last(word).filter(|(_, before)| before.is_empty()).or_else(|| last_any(word));
        found.filter(|(_, before)| before.is_empty()).map(|(address, _)| address.into())
    }

    fn written(address: IpAddr) -> String {
        text(address).as_str().to_owned()
    }

    fn standard(text: &[u8]) -> Option<IpAddr> {
        str::from_utf8(text).ok()?.parse().ok()
    }

    fn near_addresses() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec![
            "::", ":", ":", ":", ".", ".", "0", "1", "00", "25", "255", "256", "ffff", "abcd",
            "12345", "g", "F", "1.2.3.4", "%",
        ]);
        prop::collection::vec(part, 0..18).prop_map(|parts| parts.concat())
    }

    // Segments of few values, so that runs of zeros are as common as they are in life.
    fn sparse() -> impl Strategy<Value = Ipv6Addr> {
        let segment =
            prop_oneof![4 => Just(0u16), 1 => Just(0xffff), 1 => any::<u16>(), 1 => 0..0x100u16];
        prop::array::uniform8(segment).prop_map(Ipv6Addr::from)
    }

    #[test]
    fn every_run_of_zeros_is_written_as_the_standard_library_does() {
        for mask in 0..=255u8 {
            let segments: [u16; 8] =
                std::array::from_fn(|at| if mask >> at & 1 == 1 { 0xab } else { 0 });
            let address = IpAddr::from(segments);
            assert_eq!(written(address), address.to_string());
            assert_eq!(plain(address.to_string().as_bytes()), Some(address));
        }
    }

    #[test]
    fn every_octet_and_every_group_is_written_and_read() {
        for group in 0..=u16::MAX {
            let [high, low] = group.to_be_bytes();
            for address in [
                IpAddr::from([high, low, low, high]),
                IpAddr::from([group, 1, 2, 3, 4, 5, 6, group]),
            ] {
                assert_eq!(written(address), address.to_string());
                assert_eq!(plain(written(address).as_bytes()), Some(address));
            }
        }
    }

    #[test]
    fn the_longest_texts_fit() {
        for text in
            ["255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::ffff:255.255.255.255"]
        {
            assert_eq!(written(text.parse().expect("an address")), text);
        }
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535";
        assert_eq!(longest.len(), LONGEST_NODE);
        assert!(any_node(longest.as_bytes()).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn addresses_are_written_as_the_standard_library_does(ipv4: Ipv4Addr, ipv6: Ipv6Addr, sparse in sparse()) {
            for address in [IpAddr::V4(ipv4), IpAddr::V6(ipv6), IpAddr::V6(sparse), IpAddr::V6(ipv4.to_ipv6_mapped())] {
                prop_assert_eq!(written(address), address.to_string());
                prop_assert_eq!(plain(address.to_string().as_bytes()), Some(address));
            }
        }

        #[test]
        fn text_is_read_as_the_standard_library_does(near in near_addresses(), bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            prop_assert_eq!(plain(near.as_bytes()), standard(near.as_bytes()), "{}", near);
            prop_assert_eq!(plain(&bytes), standard(&bytes));
        }

        #[test]
        fn addresses_in_full_are_read_as_the_standard_library_does(ipv6: Ipv6Addr, at in 0..39usize, byte: u8) {
            let groups = ipv6.segments().map(|group| format!("{group:04x}"));
            let mut text = groups.join(":").into_bytes();
            prop_assert_eq!(plain(&text), Some(IpAddr::V6(ipv6)));
            text[at] = byte;
            prop_assert_eq!(plain(&text), standard(&text), "{:?}", text);
        }

        #[test]
        fn the_last_address_is_what_the_text_ends_with(before in "[ ,.:0-9a-f]{0,3}", ipv4: Ipv4Addr, ipv6: Ipv6Addr) {
            let full = ipv6.segments().map(|group| format!("{group:04X}")).join(":");
            for (text, address) in [(ipv4.to_string(), IpAddr::V4(ipv4)), (full, IpAddr::V6(ipv6))] {
                let joined = format!("{before}{text}");
                match last(joined.as_bytes()) {
                    Some((found, rest)) if rest.len() == before.len() => {
                        prop_assert_eq!(IpAddr::from(found), address);
                    }
                    Some((_, rest)) => prop_assert!(rest.len() < before.len()),
                    None => prop_assert!(before.ends_with(|c: char| c.is_ascii_digit())),
                }
            }
        }

        #[test]
        fn a_node_is_an_address_and_a_port(near in near_addresses(), port in "(:[0-9]{0,6})?") {
            let is_port = port.is_empty() || matches!(port.len(), 2..=6);
            let ipv4 = near.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
            let ipv6 = near.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
            prop_assert_eq!(any_node(format!("[{near}]{port}").as_bytes()), ipv6.filter(|_| is_port));
            if near.parse::<Ipv4Addr>().is_ok() {
                prop_assert_eq!(any_node(format!("{near}{port}").as_bytes()), ipv4.filter(|_| is_port));
            }
        }
    }
}

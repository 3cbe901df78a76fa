//! The address that a text ends with, in the forms that many proxies write, read from the right end.
//!
//! Reading from there needs no search for the start. What stands before is the caller's to judge: none of
//! this is an address if it goes on there.
#![expect(
    clippy::inline_always,
    reason = "an address in a register costs a third less than in memory"
)]

use super::{Bits, HEX, NOT_HEX, in_full};

type Found<'a, T> = Option<(T, &'a [u8])>;

/// IPv4, or IPv6 with all of its digits.
#[inline(always)]
pub(crate) fn last(text: &[u8]) -> Found<'_, Bits> {
    match text {
        [.., b':', _, _, _, _] => last_full(text),
        _ => last_ipv4(text),
    }
}

/// What `X-Forwarded-For` holds: an address or, in brackets or with a port, a node.
#[inline(always)]
pub(crate) fn last_any(text: &[u8]) -> Found<'_, Bits> {
    match without_port(text) {
        Some(host @ [.., b']']) => last_host(host),
        Some(host) if ends_as_ipv4(host) => last_ipv4(host),
        _ if text.ends_with(b"]") => last_host(text),
        _ => last_ipv6(text),
    }
}

/// IPv4 or IPv6 in brackets, either with a port or without.
#[inline(always)]
pub(crate) fn last_node(text: &[u8]) -> Found<'_, Bits> {
    match without_port(text).unwrap_or(text) {
        host @ [.., b']' | b'0'..=b'9'] => last_host(host),
        _ => None,
    }
}

#[inline(always)]
fn last_host(text: &[u8]) -> Found<'_, Bits> {
    match text {
        [inner @ .., b']'] => {
            let (address, before) = last_ipv6(inner)?;
            Some((address, before.strip_suffix(b"[")?))
        }
        _ => last_ipv4(text),
    }
}

/// IPv6 in every form that it may have (RFC 4291 §2.2).
#[inline(always)]
pub(crate) fn last_ipv6(text: &[u8]) -> Found<'_, Bits> {
    match text {
        [.., b':', _, _, _, _, b':', _, _, _, _] => match last_full(text) {
            None => last_groups(text),
            found => found,
        },
        _ => last_groups(text),
    }
}

#[inline(always)]
const fn ends_as_ipv4(text: &[u8]) -> bool {
    let [.., byte] = text else { return false };
    let has_dot = matches!(text, [.., b'.', _] | [.., b'.', _, _] | [.., b'.', _, _, _]);
    has_dot && is_digit(*byte)
}

/// Whether an address in brackets has all of its digits.
pub(crate) fn is_in_full(node: &[u8]) -> bool {
    node.first() == Some(&b'[') && node.get(35) == Some(&b':') && node.get(40) == Some(&b']')
}

#[inline(always)]
fn last_full(text: &[u8]) -> Found<'_, Bits> {
    let (before, full) = text.split_last_chunk()?;
    Some((Bits::V6(in_full(full)?), before))
}

#[inline(always)]
fn last_groups(text: &[u8]) -> Found<'_, Bits> {
    let mut groups = Groups::default();
    let mut rest = match groups.read(text) {
        Some(rest @ [.., b':']) => rest,
        Some([.., b'.']) => match last_ipv4(text)? {
            (Bits::V4(ipv4), before) => groups.start(ipv4, before),
            _ => return None,
        },
        None if text.ends_with(b"::") => text,
        _ => return None,
    };
    while let [before @ .., b':'] = rest {
        rest = match (before, groups.gap) {
            ([before @ .., b':'], None) => {
                groups.gap = Some(groups.count);
                match groups.read(before) {
                    None if before.ends_with(b":") => return None,
                    read => read.unwrap_or(before),
                }
            }
            _ => groups.read(before)?,
        }
    }
    Some((groups.address()?, rest))
}

/// The groups that were read, the last one first, each as it stands in a number.
#[derive(Default)]
struct Groups {
    values: [[u8; 2]; 8],
    count: usize,
    /// How many stand behind a `::`.
    gap: Option<usize>,
}

impl Groups {
    /// The last two, as an IPv4 address.
    #[inline(always)]
    const fn start<'a>(&mut self, ipv4: u32, before: &'a [u8]) -> &'a [u8] {
        let [d, c, b, a] = ipv4.to_le_bytes();
        self.values = [[d, c], [b, a], [0; 2], [0; 2], [0; 2], [0; 2], [0; 2], [0; 2]];
        self.count = 2;
        before
    }

    /// One to four digits at the end of a text; what stands before them.
    #[inline(always)]
    fn read<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let (byte, mut rest) = text.split_last()?;
        let mut value = hex(*byte);
        if value == NOT_HEX {
            return None;
        }
        for shift in [4, 8, 12] {
            match rest {
                [before @ .., byte] if hex(*byte) != NOT_HEX => {
                    value |= hex(*byte) << shift;
                    rest = before;
                }
                _ => break,
            }
        }
        let [low, high, ..] = value.to_le_bytes();
        *self.values.get_mut(self.count)? = [low, high];
        self.count += 1;
        Some(rest)
    }

    #[inline(always)]
    fn address(&self) -> Option<Bits> {
        let bits = u128::from_le_bytes(*self.values.as_flattened().first_chunk()?);
        match self.gap {
            None => (self.count == 8).then_some(Bits::V6(bits)),
            Some(behind) if self.count < 8 => {
                let last = bits & BEHIND.get(behind)?;
                let first = (bits ^ last) << (127 - 16 * self.count) << 1;
                Some(Bits::V6(first | last))
            }
            Some(_) => None,
        }
    }
}

/// So many groups at the end of an address.
#[expect(clippy::indexing_slicing, reason = "a constant, so it would not compile")]
static BEHIND: [u128; 8] = {
    let (mut masks, mut groups) = ([0; 8], 1);
    while groups < 8 {
        masks[groups] = masks[groups - 1] << 16 | 0xffff;
        groups += 1;
    }
    masks
};

#[inline(always)]
fn hex(byte: u8) -> u32 {
    HEX.get(usize::from(byte)).copied().unwrap_or(NOT_HEX)
}

/// What stands before a colon and one to five digits.
#[inline(always)]
fn without_port(text: &[u8]) -> Option<&[u8]> {
    match text {
        [before @ .., b':', a] if is_digit(*a) => Some(before),
        [before @ .., b':', a, b] if is_digit(*a) && is_digit(*b) => Some(before),
        [before @ .., b':', a, b, c] if is_digit(*a) && is_digit(*b) && is_digit(*c) => {
            Some(before)
        }
        _ => match text.split_last_chunk() {
            Some(([before @ .., b':'], four)) if are_digits(*four) => Some(before),
            Some(([before @ .., b':', a], four)) if is_digit(*a) && are_digits(*four) => {
                Some(before)
            }
            _ => None,
        },
    }
}

const fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

#[inline(always)]
const fn are_digits(four: [u8; 4]) -> bool {
    let value = u32::from_le_bytes(four) ^ 0x3030_3030;
    (value | value.wrapping_add(0x7676_7676)) & 0x8080_8080 == 0
}

#[inline(always)]
pub(crate) fn last_ipv4(text: &[u8]) -> Found<'_, Bits> {
    let (d, text) = dotted(text)?;
    let (c, text) = dotted(text)?;
    let (b, text) = dotted(text)?;
    let (a, text) = octet(text)?;
    Some((Bits::V4(a << 24 | b << 16 | c << 8 | d), text))
}

/// An octet and the dot before it.
#[inline(always)]
fn dotted(text: &[u8]) -> Found<'_, u32> {
    match text {
        [before @ .., b'.', c] => is_digit(*c).then(|| (digit(*c), before)),
        [before @ .., b'.', b @ b'1'..=b'9', c] if is_digit(*c) => {
            Some((digit(*b) * 10 + digit(*c), before))
        }
        _ => {
            let (before, four) = text.split_last_chunk()?;
            Some((three_digits(u32::from_le_bytes(*four) ^ DOTTED)?, before))
        }
    }
}

#[inline(always)]
fn octet(text: &[u8]) -> Found<'_, u32> {
    match text {
        [before @ .., a @ b'1'..=b'9', b, c] if is_digit(*b) && is_digit(*c) => {
            Some((three_digits(u32::from_le_bytes([b'.', *a, *b, *c]) ^ DOTTED)?, before))
        }
        [before @ .., b @ b'1'..=b'9', c] if is_digit(*c) => {
            Some((digit(*b) * 10 + digit(*c), before))
        }
        [before @ .., c] if is_digit(*c) => Some((digit(*c), before)),
        _ => None,
    }
}

const DOTTED: u32 = u32::from_le_bytes(*b".000");

/// 100 to 255: a zero, then the value of each digit.
#[inline(always)]
fn three_digits(values: u32) -> Option<u32> {
    let are_digits = (values | values.wrapping_add(0x7676_7600)) & 0x8080_80ff == 0;
    let is_octet = values.swap_bytes().wrapping_sub(0x1_0000) <= 0x1_0505;
    // The products that meet in the last byte are the hundreds, the tens and the rest.
    let value = values.wrapping_mul(100 << 16 | 10 << 8 | 1) >> 24;
    (are_digits & is_octet).then_some(value)
}

fn digit(byte: u8) -> u32 {
    u32::from(byte - b'0')
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::address::tests::any_node;

    fn ipv6() -> impl Strategy<Value = String> {
        let group = prop_oneof![2 => Just(0), 1 => 0..0x100u16, 2 => any::<u16>()];
        (prop::array::uniform8(group), 0..4).prop_map(|(groups, form)| {
            let [.., high, low] = groups;
            let full = groups.map(|group| format!("{group:04x}"));
            let ipv4 = Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
            match form {
                0 => Ipv6Addr::from(groups).to_string(),
                1 => full.join(":"),
                2 => full.join(":").to_uppercase(),
                _ => format!("{}:{ipv4}", full[..6].join(":")),
            }
        })
    }

    fn nodes() -> impl Strategy<Value = String> {
        let octet = prop_oneof![Just(0), Just(255), any::<u8>(), 0..100u8];
        let ipv4 =
            prop::array::uniform4(octet).prop_map(|octets| Ipv4Addr::from(octets).to_string());
        let host = prop_oneof![ipv4, ipv6().prop_map(|ipv6| format!("[{ipv6}]"))];
        (host, "(:[0-9]{1,5})?").prop_map(|(host, port)| host + &port)
    }

    /// What the standard library makes of a node, or of an IPv6 address alone.
    fn standard(word: &str) -> Option<IpAddr> {
        let is_port =
            |port: &str| matches!(port.len(), 1..=5) && port.bytes().all(|b| b.is_ascii_digit());
        let host = match word.rsplit_once(':') {
            Some((host, port)) if is_port(port) && host.contains(['.', ']']) => host,
            _ => word,
        };
        match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']')?.parse().map(IpAddr::V6).ok(),
            None if host.contains(':') => word.parse().map(IpAddr::V6).ok(),
            None => host.parse().map(IpAddr::V4).ok(),
        }
    }

    fn read(found: Found<'_, Bits>, left: &str) -> Option<IpAddr> {
        found.filter(|(_, before)| before.len() == left.len()).map(|(address, _)| address.into())
    }

    fn has_all_digits(ipv6: &str) -> bool {
        ipv6.split(':').all(|group| group.len() == 4 || group.contains('.'))
    }

    fn inside(node: &str) -> &str {
        node.strip_prefix('[')
            .and_then(|node| node.split_once(']'))
            .map_or("0000", |(ipv6, _)| ipv6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn the_nodes_of_proxies_are_read_as_the_standard_library_does(node in nodes(), left in "([0-9a-f.:]{0,9},)?") {
            let text = left.clone() + &node;
            prop_assert_eq!(any_node(node.as_bytes()), standard(&node), "{}", node);
            let found = read(last_node(text.as_bytes()), &left);
            prop_assert!(found == standard(&node) || found.is_none() && !has_all_digits(inside(&node)), "{}", text);
        }

        #[test]
        fn an_address_alone_is_read_as_the_standard_library_does(ipv6 in ipv6(), left in "([0-9a-f.:]{0,9},)?") {
            let text = left.clone() + &ipv6;
            prop_assert_eq!(any_node(ipv6.as_bytes()), standard(&ipv6), "{}", ipv6);
            let found = read(last(text.as_bytes()), &left);
            prop_assert!(found == standard(&ipv6) || found.is_none() && (!has_all_digits(&ipv6) || ipv6.contains('.')), "{}", text);
        }

        #[test]
        fn one_other_byte_makes_no_other_reader_differ(
            word in prop_oneof![nodes(), ipv6()],
            at in any::<prop::sample::Index>(),
            byte in prop_oneof![prop::sample::select(b"0123456789afFgG.:[]".to_vec()), b'-'..0x7f],
        ) {
            let mut word = word.into_bytes();
            let at = at.index(word.len());
            word[at] = byte;
            let word = String::from_utf8(word).expect("ASCII");
            prop_assert_eq!(any_node(word.as_bytes()), standard(&word), "{}", word);
            let text = format!("10.0.0.1,{word}");
            for found in [last(text.as_bytes()), last_node(text.as_bytes())] {
                let found = read(found, "10.0.0.1,");
                prop_assert!(found.is_none() || found == standard(&word), "{}", word);
            }
        }
    }
}

//! The address that a text ends with, read from its right end as lists of proxies are.
//!
//! Reading neither looks for the start of the address first nor turns around, whatever is left out of
//! it. What stands before is the caller's to judge: none of this is an address if it goes on there.
#![expect(
    clippy::inline_always,
    reason = "an address in a register costs a third less than in memory"
)]

use super::{Bits, HEX, NOT_HEX, in_full, in_groups_of_four};

type Found<'a, T> = Option<(T, &'a [u8])>;

/// As in `X-Forwarded-For`: a node as below, or an IPv6 address alone.
#[inline(always)]
pub(crate) fn last(text: &[u8]) -> Found<'_, Bits> {
    match text {
        [.., b'.', _] | [.., b'.', _, _] | [.., b'.', _, _, _] => {
            last_ipv4(text).or_else(|| last_long(text))
        }
        [.., b':', _, _, _, _, b':', _, _, _, _] => last_full(text).or_else(|| last_long(text)),
        _ => last_long(text),
    }
}

#[inline(always)]
fn last_full(text: &[u8]) -> Found<'_, Bits> {
    let (before, full) = text.split_last_chunk()?;
    Some((Bits::V6(in_full(full)?), before))
}

#[inline(never)]
fn last_long(text: &[u8]) -> Found<'_, Bits> {
    node(text).or_else(|| ipv6(text))
}

/// `IPv4` or `[IPv6]`, either with a port or without.
#[inline(never)]
pub(crate) fn last_node(text: &[u8]) -> Found<'_, Bits> {
    node(text)
}

#[inline(always)]
fn node(text: &[u8]) -> Found<'_, Bits> {
    match without_port(text).unwrap_or(text) {
        [inner @ .., b']'] => bracketed(inner),
        text => last_ipv4(text),
    }
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

/// The inside of brackets.
#[inline(always)]
fn bracketed(inner: &[u8]) -> Found<'_, Bits> {
    match ipv6(inner)? {
        (address, [before @ .., b'[']) => Some((address, before)),
        _ => None,
    }
}

#[inline(always)]
fn ipv6(text: &[u8]) -> Found<'_, Bits> {
    match text {
        [.., b'.', _] | [.., b'.', _, _] | [.., b'.', _, _, _] => {
            let (ipv4, before) = last_ipv4(text)?;
            let Bits::V4(ipv4) = ipv4 else { return None };
            behind_groups(before, ipv4)
        }
        [.., b':', _, _, _, _, b':', _, _, _, _] => {
            last_full(text).or_else(|| groups(text, Groups::default()))
        }
        _ => groups(text, Groups::default()),
    }
}

/// An IPv4 address at the end, which stands for two groups.
#[inline(always)]
fn behind_groups(text: &[u8], ipv4: u32) -> Found<'_, Bits> {
    if let Some((before, six)) = text.split_last_chunk::<30>()
        && let Some(high) = in_groups_of_four(six)
    {
        return Some((Bits::V6(high | u128::from(ipv4)), before));
    }
    match text {
        [.., b':', b':'] => groups(text, Groups::before(ipv4)),
        [before @ .., b':'] => groups(before, Groups::before(ipv4)),
        _ => None,
    }
}

#[inline(always)]
fn groups(mut text: &[u8], mut seen: Groups) -> Found<'_, Bits> {
    loop {
        if let [before @ .., b':', b':'] = text
            && !seen.gap
        {
            seen.open();
            text = before;
            if text.last().is_none_or(|byte| hex(*byte) >= NOT_HEX) {
                break;
            }
        }
        let (group, before) = group(text)?;
        seen.push(group);
        text = match before {
            [.., b':', b':'] => before,
            [rest @ .., b':'] => rest,
            _ => {
                text = before;
                break;
            }
        };
    }
    seen.address().map(|address| (Bits::V6(address), text))
}

/// The last group, of one to four digits.
#[inline(always)]
fn group(text: &[u8]) -> Found<'_, u32> {
    if let Some((before, [b':', a, b, c, d])) = text.split_last_chunk::<5>() {
        let all = hex(*a) << 12 | hex(*b) << 8 | hex(*c) << 4 | hex(*d);
        if all < NOT_HEX << 4 {
            return Some((all, text.get(..before.len() + 1)?));
        }
    }
    let (mut rest, mut group, mut len) = (text, 0, 0);
    while let [before @ .., byte] = rest
        && len < 16
        && hex(*byte) < NOT_HEX
    {
        group |= hex(*byte) << len;
        len += 4;
        rest = before;
    }
    (len > 0).then_some((group, rest))
}

#[inline(always)]
fn hex(byte: u8) -> u32 {
    HEX.get(usize::from(byte)).copied().unwrap_or(NOT_HEX)
}

/// What was read so far: `bits` since the start or a `::`, from the top, and what stands behind that.
#[derive(Default)]
struct Groups {
    bits: u128,
    behind: u128,
    count: u32,
    gap: bool,
}

impl Groups {
    fn before(ipv4: u32) -> Self {
        Self { bits: u128::from(ipv4) << 96, count: 2, ..Self::default() }
    }

    #[inline(always)]
    fn push(&mut self, group: u32) {
        self.bits = self.bits >> 16 | u128::from(group) << 112;
        self.count += 1;
    }

    #[inline(always)]
    fn open(&mut self) {
        let unused = 128_u32.saturating_sub(16 * self.count);
        self.behind = self.bits.checked_shr(unused).unwrap_or(0);
        (self.bits, self.gap) = (0, true);
    }

    #[inline(always)]
    fn address(&self) -> Option<u128> {
        let whole = if self.gap { self.count < 8 } else { self.count == 8 };
        whole.then_some(self.bits | self.behind)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::address::any_node;

    fn parts() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec![
            "::",
            ":",
            ":",
            ".",
            "[",
            "]",
            "]:80",
            "1",
            "25",
            "255",
            "fd00",
            "0db8",
            "10.0.0.1",
            "g",
            "fd00:0db8:00ff:ffff:ffff:ffff:",
            "00ff:1",
            " ",
            ",",
        ]);
        prop::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn what_is_found_behind_a_comma_is_what_the_word_says(text in parts()) {
            let word = text.rsplit([' ', ',']).next().unwrap_or_default();
            for found in [last(text.as_bytes()), last_node(text.as_bytes())] {
                let found = found.filter(|(_, before)| before.last().is_none_or(|byte| *byte <= b','));
                if let Some((address, _)) = found {
                    prop_assert_eq!(Some(IpAddr::from(address)), any_node(word.as_bytes()), "{}", text);
                }
            }
        }
    }
}

//! Whose address a request comes from, and how much of it to keep.
//!
//! Every address is canonical before anything is decided on it: an IPv4 address that travels inside
//! an IPv6 one is that IPv4 address. List headers are walked from the right, because only the right
//! end was written by proxies that the policy trusts; what lies left of the place where the walk
//! ends is never read, so a client can neither forge nor hide its address by writing there.
//! Nothing here knows header names, and no reason for failure repeats what was received.
#![expect(
    clippy::inline_always,
    reason = "an address in a register costs a third less than in memory"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::address::Bits;
use crate::work::{self, BLANK, ELEMENT, INSTANCE, SEARCH, Work};
use crate::{address, forwarded, scan};

const INSTANCES: usize = 64;
/// All bytes that a walk may pass over.
const BYTES: usize = 8192;

/// What costs how much, as [`Work`] counts it.
mod cost {
    use super::{BLANK, Bits, Source};

    /// A byte of an IPv4 address with a port beyond the first twelve, and IPv6 in brackets with all of its digits.
    pub(super) const PORT: usize = 13;
    pub(super) const BRACKETS: usize = 90;

    /// The element that a header instance starts with.
    pub(super) const fn first(source: Source, address: Bits, len: usize) -> usize {
        match (source, address) {
            (Source::Forwarded, Bits::V6(_)) => 130,
            (Source::Forwarded, Bits::V4(_)) => BLANK,
            (_, Bits::V6(_)) => 110,
            (_, Bits::V4(_)) => 6 * len.saturating_sub(8),
        }
    }

    /// A run of blanks and commas: its last 64 take longer than those before.
    pub(super) const fn gap(len: usize) -> usize {
        let (short, long) = (2 * len, 120 + len * 2 / 3);
        165 + if short < long { short } else { long }
    }

    /// No run is longer that so many steps pay for.
    pub(super) const fn longest_gap(steps: usize) -> usize {
        steps * 3 / 2
    }
}

/// Where the client's address is read from; the policy keeps the header's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Peer,
    XForwardedFor,
    Forwarded,
    Single,
}

/// Why there is no client: for counting, so it holds nothing that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// A single-address header that the proxy did not send.
    Missing,
    /// A single-address header that came more than once.
    Repeated,
    /// More bytes than are walked.
    TooLong,
    /// More elements or header instances than are walked, or elements that take longer to read.
    TooMany,
    /// `unknown`, or an obfuscated node.
    Hidden,
    /// Anything else that gives no address.
    NotAnAddress,
}

/// Finds the client behind trusted proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clients {
    source: Source,
    trusted: Trusted,
    nat64: Box<[Nat64]>,
}

impl Clients {
    pub(crate) fn new(
        source: Source,
        trusted: impl IntoIterator<Item = IpNet>,
        nat64: impl IntoIterator<Item = Nat64>,
    ) -> Self {
        let nat64: Box<[_]> = nat64.into_iter().collect();
        let trusted = Trusted::new(trusted, &nat64);
        Self { source, trusted, nat64 }
    }

    /// The client's canonical address; `values` are all instances of the header in their order.
    ///
    /// An untrusted peer is the client, and `values` are not looked at. A list header that is
    /// missing, or holds empty elements only (which RFC 9110 §5.6.1 does not count), says nothing:
    /// the peer is then the leftmost party that is known.
    pub(crate) fn resolve<'a>(
        &self,
        peer: IpAddr,
        values: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> Result<IpAddr, Unknown> {
        let peer = unwrapped(peer.into(), &self.nat64);
        if self.source == Source::Peer || !self.trusted.contains(peer) {
            return Ok(peer.into());
        }
        match self.source {
            Source::Peer => Ok(peer.into()),
            Source::XForwardedFor => self.walk(peer, values, listed),
            Source::Forwarded => self.walk(peer, values, forwarded::hop),
            Source::Single => single(values).map(|address| canonical(address, &self.nat64)),
        }
    }

    #[inline(never)]
    fn walk<'a, Hop>(
        &self,
        peer: Bits,
        values: impl DoubleEndedIterator<Item = &'a [u8]>,
        hop: Hop,
    ) -> Result<IpAddr, Unknown>
    where
        Hop: for<'h> Fn(&'h [u8], &mut Work) -> Result<(Bits, &'h [u8]), Unknown>,
    {
        let seen = NOTHING_SEEN;
        let mut walk = Walk { client: peer, bytes: BYTES, seen };
        let mut work = Work::new();
        let mut instances = INSTANCES;
        for value in values.rev() {
            instances = instances.checked_sub(1).ok_or(Unknown::TooMany)?;
            if self.pass(&mut walk, &mut work, value, &hop)? {
                break;
            }
        }
        Ok(walk.client.into())
    }

    /// Walks one header instance; true when it held the client.
    #[inline]
    fn pass<Hop>(
        &self,
        walk: &mut Walk,
        work: &mut Work,
        value: &[u8],
        hop: &Hop,
    ) -> Result<bool, Unknown>
    where
        Hop: for<'h> Fn(&'h [u8], &mut Work) -> Result<(Bits, &'h [u8]), Unknown>,
    {
        let (cut, text) = walk.enter(value);
        let mut rest = trimmed(text, work)?;
        if rest.len() < text.len() {
            work.spend(INSTANCE)?;
        }
        while !rest.is_empty() {
            work.spend(ELEMENT)?;
            let (address, gap) = hop(rest, work)?;
            let before = match gap {
                [] if cut.is_empty() => {
                    work.spend(cost::first(self.source, address, rest.len()))?;
                    gap
                }
                [before @ .., b','] | [before @ .., b',', b' '] => before,
                _ => separated(gap, cut, work)?,
            };
            walk.client = unwrapped(address, &self.nat64);
            if !self.trusted.contains_again(walk.client, &mut walk.seen, work)? {
                return Ok(true);
            }
            rest = trimmed(before, work)?;
        }
        if cut.is_empty() { Ok(false) } else { Err(Unknown::TooLong) }
    }
}

#[inline(always)]
fn listed<'a>(rest: &'a [u8], work: &mut Work) -> Result<(Bits, &'a [u8]), Unknown> {
    match rest {
        [.., b':', _] => unusual(rest, work),
        _ => match address::last(rest) {
            Some((address, before)) if is_end(before) => Ok((address, before)),
            Some((
                address @ Bits::V4(_),
                [before @ .., b':', b':', b'f', b'f', b'f', b'f', b':'],
            )) if is_end(before) => Ok((address, before)),
            _ => unusual(rest, work),
        },
    }
}

#[inline(never)]
fn unusual<'a>(rest: &'a [u8], work: &mut Work) -> Result<(Bits, &'a [u8]), Unknown> {
    match address::last_any(rest) {
        Some((address, before)) if is_end(before) => {
            let len = rest.len() - before.len();
            work.spend(match address {
                Bits::V4(_) => cost::PORT * len.saturating_sub(12),
                Bits::V6(_) if rest.get(before.len()..).is_some_and(address::is_in_full) => {
                    cost::BRACKETS
                }
                Bits::V6(_) => work::groups(len),
            })?;
            Ok((address, before))
        }
        _ => Err(not_an_address(last_word(rest).1)),
    }
}

/// No part of an address is a comma or below.
#[inline(always)]
fn is_end(before: &[u8]) -> bool {
    before.last().is_none_or(|byte| *byte <= b',')
}

#[inline(always)]
fn trimmed<'a>(text: &'a [u8], work: &mut Work) -> Result<&'a [u8], Unknown> {
    match text {
        [.., byte] if is_blank_or_comma(*byte) => without_gap(text, work),
        _ => Ok(text),
    }
}

#[inline(never)]
fn without_gap<'a>(text: &'a [u8], work: &mut Work) -> Result<&'a [u8], Unknown> {
    without(text, is_blank_or_comma, work)
}

/// A run is passed as far as it can be paid.
#[inline(always)]
fn without<'a>(
    text: &'a [u8],
    skip: impl Fn(u8) -> bool + Copy,
    work: &mut Work,
) -> Result<&'a [u8], Unknown> {
    let most = cost::longest_gap(work.left());
    let near = text.get(text.len().saturating_sub(most)..).unwrap_or_default();
    let left = scan::trim(near, skip);
    let gap = near.len() - left.len();
    if gap == most {
        return Err(Unknown::TooMany);
    }
    work.spend(cost::gap(gap))?;
    Ok(text.get(..text.len() - gap).unwrap_or_default())
}

/// The last party seen, and what may still be read.
struct Walk {
    client: Bits,
    bytes: usize,
    seen: Seen,
}

impl Walk {
    /// What is no longer walked of a header instance, and its end, which still is.
    const fn enter<'a>(&mut self, value: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let (cut, text) = value.split_at(value.len().saturating_sub(self.bytes));
        self.bytes -= text.len();
        (cut, text)
    }
}

/// What stands before the comma before an element, or before the element that is the first.
#[inline(never)]
fn separated<'a>(before: &'a [u8], cut: &[u8], work: &mut Work) -> Result<&'a [u8], Unknown> {
    match (without(before, is_blank, work)?, cut) {
        ([before @ .., b','], _) => Ok(before),
        ([], [] | [.., b',']) => Ok(&[]),
        ([], _) => Err(Unknown::TooLong),
        _ => Err(Unknown::NotAnAddress),
    }
}

pub(crate) fn not_an_address(node: &[u8]) -> Unknown {
    match node {
        [b'_', ..] => Unknown::Hidden,
        node if node.eq_ignore_ascii_case(b"unknown") => Unknown::Hidden,
        _ => Unknown::NotAnAddress,
    }
}

/// No part of an address, with brackets and port, is a comma or below. Of a word that is too long
/// the rest stays before it, where neither an element nor a value may start.
#[inline]
fn last_word(rest: &[u8]) -> (&[u8], &[u8]) {
    let left = rest.len().saturating_sub(address::LONGEST_NODE);
    let window = rest.get(left..).unwrap_or_default();
    rest.split_at(left + scan::last(window, |byte| byte <= b','))
}

fn single<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<IpAddr, Unknown> {
    let value = values.next().ok_or(Unknown::Missing)?;
    if values.next().is_some() {
        return Err(Unknown::Repeated);
    }
    if value.len() > BYTES {
        return Err(Unknown::TooLong);
    }
    let (before, word) = last_word(scan::trim(value, is_blank));
    match address::plain(word) {
        Some(address) if scan::trim(before, is_blank).is_empty() => Ok(address),
        _ => Err(not_an_address(word)),
    }
}

pub(crate) const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

#[inline(always)]
#[expect(
    clippy::needless_bitwise_bool,
    reason = "only branch-free is it compared for a chunk at once, ten times faster"
)]
const fn is_blank_or_comma(byte: u8) -> bool {
    (byte == b' ') | (byte == b'\t') | (byte == b',')
}

/// The address that all embeddings of an IPv4 address share: IPv4-mapped, NAT64 (the well-known
/// prefix and the operator's), Teredo and 6to4. An IPv4-compatible address stays as it is, or `::1`
/// would be `0.0.0.1`. The longest prefix that matches decides, the operator's before ours.
pub(crate) fn canonical(address: IpAddr, nat64: &[Nat64]) -> IpAddr {
    unwrapped(address.into(), nat64).into()
}

#[inline(always)]
fn unwrapped(address: Bits, nat64: &[Nat64]) -> Bits {
    let Bits::V6(bits) = address else { return address };
    embedding(bits, nat64).map_or(address, |found| Bits::V4(found.ipv4(bits)))
}

#[inline(always)]
fn embedding(bits: u128, nat64: &[Nat64]) -> Option<&Embedding> {
    let built_in = match bits >> 96 {
        0 => Some(&MAPPED),
        0x0064_ff9b => Some(&WELL_KNOWN),
        0x2001_0000 => Some(&TEREDO),
        0x2002_0000..=0x2002_ffff => Some(&SIX_TO_FOUR),
        _ if nat64.is_empty() => return None,
        _ => None,
    };
    let built_in = built_in.filter(|prefix| prefix.holds(bits));
    match built_in {
        Some(prefix) if prefix.len == 96 => built_in,
        _ => operators(bits, nat64).or(built_in),
    }
}

fn operators(bits: u128, nat64: &[Nat64]) -> Option<&Embedding> {
    let prefixes = nat64.iter().map(|prefix| &prefix.0).filter(|prefix| prefix.holds(bits));
    prefixes.max_by_key(|prefix| prefix.len)
}

/// A prefix under which an operator's NAT64 embeds IPv4 addresses (RFC 6052).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nat64(Embedding);

impl Nat64 {
    /// None unless the length is one that RFC 6052 §2.2 defines and bits 64 to 71 are zero.
    pub(crate) fn new(prefix: Ipv6Net) -> Option<Self> {
        let bits = prefix.network().to_bits();
        let reserved = Ipv6Addr::new(0, 0, 0, 0, 0xff00, 0, 0, 0).to_bits();
        match prefix.prefix_len() {
            len @ (32 | 40 | 48 | 56 | 64 | 96) if bits & reserved == 0 => {
                Some(Self(Embedding { bits, len, teredo: false }))
            }
            _ => None,
        }
    }
}

/// A prefix under which IPv6 addresses hold IPv4 ones. RFC 6052 §2.2 places them right after the
/// prefix, skipping bits 64 to 71; 6to4 (RFC 3056 §2) and IPv4-mapped addresses fit that too.
/// Teredo (RFC 4380 §4) has the client last, inverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Embedding {
    bits: u128,
    len: u8,
    teredo: bool,
}

const MAPPED: Embedding = Embedding { bits: 0xffff << 32, len: 96, teredo: false };
const WELL_KNOWN: Embedding = Embedding { bits: 0x0064_ff9b << 96, len: 96, teredo: false };
const TEREDO: Embedding = Embedding { bits: 0x2001_0000 << 96, len: 32, teredo: true };
const SIX_TO_FOUR: Embedding = Embedding { bits: 0x2002 << 112, len: 16, teredo: false };

impl Embedding {
    fn holds(&self, bits: u128) -> bool {
        (bits ^ self.bits) & high_bits(self.len) == 0
    }

    fn ipv4(&self, bits: u128) -> u32 {
        let low = u128::from(u64::MAX);
        let first = match (self.teredo, self.len) {
            (true, _) => !bits << 96,
            (false, 96) => bits << 96,
            (false, len) => ((bits & !low) | ((bits << 8) & low)) << len,
        };
        let [a, b, c, d, ..] = first.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// How many bits of the IPv4 address a prefix of this length fixes.
    fn fixed(&self, len: u8) -> u8 {
        let fixed = match (self.teredo, self.len) {
            (true, _) | (false, 96) => len.saturating_sub(96),
            (false, start) => len.min(64).saturating_sub(start) + len.saturating_sub(72),
        };
        fixed.min(32)
    }
}

/// The first `len` bits of 128.
fn high_bits(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0)
}

/// Zeroes every bit after the prefix for the address's family; a longer prefix keeps it whole.
///
/// # Privacy
/// Expects a canonical address: a 6to4 address cut to /48 still holds a whole IPv4 address. An IPv6
/// /48 can be one household (RIPE-690).
pub(crate) fn truncate(address: IpAddr, ipv4: u8, ipv6: u8) -> IpAddr {
    match address {
        IpAddr::V4(inner) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(ipv4.min(32))).unwrap_or(0);
            Ipv4Addr::from_bits(inner.to_bits() & mask).into()
        }
        IpAddr::V6(inner) => Ipv6Addr::from_bits(inner.to_bits() & high_bits(ipv6)).into(),
    }
}

/// The proxies whose word is taken, as sorted disjoint ranges of canonical addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trusted {
    ipv4: Box<[(u32, u32)]>,
    ipv6: Box<[(u128, u128)]>,
}

impl Trusted {
    /// A prefix inside an embedding trusts the IPv4 prefix that it fixes. One that fixes no bit of it
    /// (`2002::/16`, a Teredo server) is left out, as it would trust all of IPv4; only `::ffff:0:0/96`
    /// says exactly that.
    pub(crate) fn new(prefixes: impl IntoIterator<Item = IpNet>, nat64: &[Nat64]) -> Self {
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        for prefix in prefixes {
            match canonical_net(prefix, nat64) {
                Some(IpNet::V4(net)) => ipv4.push(net),
                Some(IpNet::V6(net)) => ipv6.push(net),
                None => {}
            }
        }
        let ipv4 = Ipv4Net::aggregate(&ipv4);
        let ipv6 = Ipv6Net::aggregate(&ipv6);
        Self {
            ipv4: ipv4
                .iter()
                .map(|net| (net.network().to_bits(), net.broadcast().to_bits()))
                .collect(),
            ipv6: ipv6
                .iter()
                .map(|net| (net.network().to_bits(), net.broadcast().to_bits()))
                .collect(),
        }
    }

    /// As below, but what lies where the last one was found is found at once: proxies are neighbours.
    #[inline]
    fn contains_again(
        &self,
        address: Bits,
        seen: &mut Seen,
        work: &mut Work,
    ) -> Result<bool, Unknown> {
        match address {
            Bits::V4(bits) => is_seen(&mut seen.ipv4, &self.ipv4, bits, work),
            Bits::V6(bits) => is_seen(&mut seen.ipv6, &self.ipv6, bits, work),
        }
    }

    /// Whether a canonical address is trusted.
    pub(crate) fn contains(&self, address: Bits) -> bool {
        match address {
            Bits::V4(bits) => is_within(&self.ipv4, bits),
            Bits::V6(bits) => is_within(&self.ipv6, bits),
        }
    }
}

fn is_within<T: Ord + Copy>(ranges: &[(T, T)], point: T) -> bool {
    range_of(ranges, point).is_some()
}

#[inline(always)]
fn is_seen<T: Ord + Copy>(
    seen: &mut (T, T),
    ranges: &[(T, T)],
    point: T,
    work: &mut Work,
) -> Result<bool, Unknown> {
    if seen.0 <= point && point <= seen.1 {
        return Ok(true);
    }
    let Some(found) = range_of(ranges, point) else { return Ok(false) };
    *seen = found;
    work.spend(SEARCH)?;
    Ok(true)
}

fn range_of<T: Ord + Copy>(ranges: &[(T, T)], point: T) -> Option<(T, T)> {
    let after = ranges.partition_point(|(first, _)| *first <= point);
    let range = after.checked_sub(1).and_then(|at| ranges.get(at));
    range.copied().filter(|(_, last)| point <= *last)
}

/// The ranges in which addresses were found last; at first those that hold nothing.
struct Seen {
    ipv4: (u32, u32),
    ipv6: (u128, u128),
}

const NOTHING_SEEN: Seen = Seen { ipv4: (1, 0), ipv6: (1, 0) };

/// A trusted prefix as what it means; nothing when it would mean all of IPv4 without saying so.
pub(crate) fn canonical_net(prefix: IpNet, nat64: &[Nat64]) -> Option<IpNet> {
    let IpNet::V6(net) = prefix else { return Some(prefix) };
    let bits = net.network().to_bits();
    match embedding(bits, nat64) {
        Some(found) if found.len <= net.prefix_len() => {
            let len = found.fixed(net.prefix_len());
            let ipv4 = Ipv4Net::new(Ipv4Addr::from_bits(found.ipv4(bits)), len).ok()?;
            (len > 0 || *found == MAPPED).then_some(IpNet::V4(ipv4))
        }
        _ => Some(prefix),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn nets(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|net| net.parse().expect("a prefix")).collect()
    }

    fn nat64(list: &[&str]) -> Vec<Nat64> {
        list.iter()
            .map(|net| Nat64::new(net.parse().expect("a prefix")).expect("a NAT64 prefix"))
            .collect()
    }

    fn clients(source: Source, trusted: &[&str]) -> Clients {
        Clients::new(source, nets(trusted), [])
    }

    fn ask(source: Source, values: &[&str]) -> Result<IpAddr, Unknown> {
        let clients = clients(source, &["10.0.0.0/8", "2001:db8:ff::/48"]);
        clients.resolve(address("10.0.0.1"), values.iter().map(|value| value.as_bytes()))
    }

    fn listed(values: &[&str]) -> Result<IpAddr, Unknown> {
        ask(Source::XForwardedFor, values)
    }

    fn single(values: &[&str]) -> Result<IpAddr, Unknown> {
        ask(Source::Single, values)
    }

    fn forwarded(values: &[&str]) -> Result<IpAddr, Unknown> {
        ask(Source::Forwarded, values)
    }

    fn strings(value: &Value) -> Vec<&str> {
        value.as_array().expect("a list").iter().map(|item| item.as_str().expect("text")).collect()
    }

    fn check_vectors(source: Source, json: &str) {
        let vectors: Vec<Value> = serde_json::from_str(json).expect("vectors");
        for vector in vectors {
            let clients = clients(source, &strings(&vector["trusted"]));
            let peer = address(vector["peer"].as_str().expect("text"));
            let headers = strings(&vector["headers"]);
            let found = clients.resolve(peer, headers.iter().map(|header| header.as_bytes()));
            assert_eq!(found.ok(), vector["expect"].as_str().map(address), "{vector}");
        }
    }

    #[test]
    fn the_vectors_of_both_lists_hold() {
        check_vectors(Source::XForwardedFor, include_str!("../tests/vectors/x_forwarded_for.json"));
        check_vectors(Source::Forwarded, include_str!("../tests/vectors/forwarded.json"));
    }

    #[test]
    fn the_vectors_of_addresses_hold() {
        let json = include_str!("../tests/vectors/client_address.json");
        for vector in serde_json::from_str::<Vec<Value>>(json).expect("vectors") {
            let text = |key: &str| address(vector[key].as_str().expect("text"));
            let canonical = canonical(text("input"), &nat64(&strings(&vector["nat64_prefixes"])));
            assert_eq!(canonical, text("canonical"), "{vector}");
            assert_eq!(truncate(canonical, 24, 48), text("truncate_24_48"), "{vector}");
            assert_eq!(truncate(canonical, 16, 32), text("truncate_16_32"), "{vector}");
        }
    }

    // RFC 6052 §2.4 lists 192.0.2.33 under each length.
    #[test]
    fn every_length_of_rfc_6052_gives_its_example_back() {
        for (prefix, embedded) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
        ] {
            assert_eq!(
                canonical(address(embedded), &nat64(&[prefix])),
                address("192.0.2.33"),
                "{prefix}"
            );
            assert_eq!(canonical(address(embedded), &[]), address(embedded), "{prefix}");
        }
    }

    #[test]
    fn only_the_lengths_of_rfc_6052_make_a_nat64_prefix() {
        for len in 0..=128 {
            let net =
                Ipv6Net::new("2001:db8::".parse().expect("an address"), len).expect("a prefix");
            assert_eq!(
                Nat64::new(net).is_some(),
                matches!(len, 32 | 40 | 48 | 56 | 64 | 96),
                "{len}"
            );
        }
        assert_eq!(Nat64::new("2001:db8:0:0:100::/96".parse().expect("a prefix")), None);
    }

    #[test]
    fn the_longest_nat64_prefix_decides() {
        let both = ["2001:db8::/32", "2001:db8:122:344::/96"];
        for list in [both, [both[1], both[0]]] {
            let found = canonical(address("2001:db8:122:344::192.0.2.33"), &nat64(&list));
            assert_eq!(found, address("192.0.2.33"));
        }
    }

    #[test]
    fn local_use_nat64_is_unwrapped_only_when_declared() {
        let embedded = address("64:ff9b:1:fffe::192.0.2.33");
        assert_eq!(canonical(embedded, &[]), embedded);
        assert_eq!(canonical(embedded, &nat64(&["64:ff9b:1:fffe::/96"])), address("192.0.2.33"));
    }

    #[test]
    fn neighbours_of_the_embeddings_stay_ipv6() {
        for text in [
            "::1",
            "::",
            "::192.0.2.33",
            "::fffe:c000:221",
            "::1:ffff:c000:221",
            "64:ff9b:0:0:0:1:c000:221",
        ] {
            assert_eq!(canonical(address(text), &[]), address(text));
        }
        for text in
            ["2001:1::1", "2000:ffff::1", "2003::1", "64:ff9c::c000:221", "fe80::5efe:c000:221"]
        {
            assert_eq!(canonical(address(text), &[]), address(text));
        }
    }

    #[test]
    fn a_prefix_of_any_length_truncates_without_panic() {
        assert_eq!(truncate(address("255.1.2.3"), 0, 0), address("0.0.0.0"));
        assert_eq!(truncate(address("ffff::1"), 0, 0), address("::"));
        assert_eq!(truncate(address("255.1.2.3"), 32, 128), address("255.1.2.3"));
        assert_eq!(truncate(address("255.1.2.3"), 255, 255), address("255.1.2.3"));
        assert_eq!(truncate(address("ffff::1"), 255, 255), address("ffff::1"));
        assert_eq!(truncate(address("255.255.255.255"), 9, 0), address("255.128.0.0"));
        assert_eq!(
            truncate(address("ffff:ffff:ffff:ffff::"), 0, 65),
            address("ffff:ffff:ffff:ffff::")
        );
        assert_eq!(truncate(address("ffff:ffff::"), 0, 17), address("ffff:8000::"));
    }

    #[test]
    fn a_trusted_prefix_means_the_canonical_addresses_inside_it() {
        let prefixes = nat64(&["2001:db8:64::/96", "2001:db8:122:300::/56"]);
        for (prefix, inside, outside) in [
            ("::ffff:10.0.0.0/104", "10.255.0.1", "11.0.0.0"),
            ("::ffff:0:0/96", "203.0.113.1", "2001:db8::1"),
            ("64:ff9b::10.1.0.0/112", "10.1.255.255", "10.2.0.0"),
            ("2001:db8:64::10.1.2.3/128", "10.1.2.3", "10.1.2.4"),
            ("2002:c633:6400::/40", "198.51.100.9", "198.51.101.9"),
            ("2002:c633:6407:1::/64", "198.51.100.7", "198.51.100.8"),
            ("2001:0:4136:e378:8000:63bf:3fff:fd00/120", "192.0.2.45", "192.0.3.45"),
            ("2001:db8:122:30a:10::/76", "10.31.255.255", "10.32.0.0"),
            ("2001:db8:122:30a::/68", "10.255.255.255", "11.0.0.0"),
            ("2001:db8:122:3c0:0:221::/104", "192.0.2.33", "192.0.2.32"),
            ("::/0", "2a00::1", "10.0.0.1"),
            ("2000::/3", "2a00::1", "192.0.2.43"),
            ("10.0.0.7/8", "10.200.0.1", "9.255.255.255"),
            ("0.0.0.0/0", "255.255.255.255", "::"),
            ("2001:db8:ff::/48", "2001:db8:ff:ffff:ffff:ffff:ffff:ffff", "2001:db8:100::"),
        ] {
            let trusted = Trusted::new(nets(&[prefix]), &prefixes);
            assert!(trusted.contains(address(inside).into()), "{prefix} {inside}");
            assert!(!trusted.contains(address(outside).into()), "{prefix} {outside}");
        }
    }

    #[test]
    fn a_prefix_that_fixes_no_embedded_bit_does_not_trust_all_of_ipv4() {
        for prefix in
            ["2002::/16", "2001::/32", "2001:0:4136:e378::/64", "64:ff9b::/96", "2001:db8:64::/96"]
        {
            let trusted = Trusted::new(nets(&[prefix]), &nat64(&["2001:db8:64::/96"]));
            for text in ["0.0.0.0", "10.0.0.1", "255.255.255.255"] {
                assert!(!trusted.contains(address(text).into()), "{prefix} {text}");
            }
        }
    }

    #[test]
    fn nobody_is_trusted_by_default() {
        let none = Trusted::new([], &[]);
        assert!(!none.contains(address("0.0.0.0").into()));
        assert!(!none.contains(address("::").into()));
    }

    /// An iterator that nobody may touch.
    struct Untouched;

    impl Iterator for Untouched {
        type Item = &'static [u8];
        fn next(&mut self) -> Option<Self::Item> {
            panic!("looked at")
        }
    }

    impl DoubleEndedIterator for Untouched {
        fn next_back(&mut self) -> Option<Self::Item> {
            panic!("looked at")
        }
    }

    #[test]
    fn an_untrusted_peer_is_the_client_and_no_value_is_looked_at() {
        for source in [Source::Peer, Source::XForwardedFor, Source::Forwarded, Source::Single] {
            let found =
                clients(source, &["10.0.0.0/8"]).resolve(address("::ffff:11.0.0.1"), Untouched);
            assert_eq!(found, Ok(address("11.0.0.1")));
        }
        let found = clients(Source::Peer, &["0.0.0.0/0"]).resolve(address("10.0.0.1"), Untouched);
        assert_eq!(found, Ok(address("10.0.0.1")));
    }

    #[test]
    fn the_peer_is_canonical_before_it_is_trusted() {
        let clients = clients(Source::XForwardedFor, &["10.0.0.0/8"]);
        for peer in ["10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::1"] {
            let found = clients.resolve(address(peer), [&b"::ffff:198.51.100.7"[..]].into_iter());
            assert_eq!(found, Ok(address("198.51.100.7")), "{peer}");
        }
    }

    #[test]
    fn an_element_is_an_address_with_or_without_a_port() {
        for (value, expected) in [
            ("198.51.100.7", "198.51.100.7"),
            ("198.51.100.7:1", "198.51.100.7"),
            ("198.51.100.7:65535", "198.51.100.7"),
            ("\t 198.51.100.7 \t", "198.51.100.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("2001:DB8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:443", "2001:db8::7"),
            ("[::ffff:198.51.100.7]:443", "198.51.100.7"),
            ("::ffff:c633:6407", "198.51.100.7"),
            ("2002:c633:6407::1", "198.51.100.7"),
            (
                "[2001:db8:ff01:ffff:ffff:ffff:255.255.255.255]:65535",
                "2001:db8:ff01:ffff:ffff:ffff:ffff:ffff",
            ),
            (
                "[abcd:ef01:2345:6789:abcd:ef01:255.255.255.255]:65535",
                "abcd:ef01:2345:6789:abcd:ef01:ffff:ffff",
            ),
            ("::", "::"),
            ("1::", "1::"),
            ("1:2:3:4:5:6:198.51.100.7", "1:2:3:4:5:6:c633:6407"),
        ] {
            assert_eq!(listed(&[value]), Ok(address(expected)), "{value}");
        }
    }

    #[test]
    fn anything_else_stops_the_walk() {
        for last in [
            "garbage",
            "0[abcd:ef01:2345:6789:abcd:ef01:255.255.255.255]:65535",
            "0000000000000000000000000000000000000000000000198.51.100.7",
            "fe80::1%eth0",
            "fe80::1%251",
            "[fe80::1%eth0]",
            "198.51.100.07",
            "198.51.100.007",
            "127.1",
            "3325256711",
            "0x7f.0.0.1",
            "198.51.100.256",
            "198.51.100",
            "198.51.100.7.",
            ".198.51.100.7",
            "198.51.100.7.1",
            "198.51.100.7:",
            "198.51.100.7:123456",
            "198.51.100.7:-1",
            "198.51.100.7:+1",
            "198.51.100.7:80:80",
            "198.51.100.7/32",
            "\"198.51.100.7\"",
            "'198.51.100.7'",
            "for=198.51.100.7",
            "[198.51.100.7]",
            "[2001:db8::7",
            "2001:db8::7]",
            "[2001:db8::7]443",
            "[2001:db8::7]:",
            "[]",
            "[",
            "]",
            "[[::1]]",
            "2001:db8::7:80:1:2:3:4:5",
            "1::2::3",
            ":::",
            ":",
            "1:",
            ":1",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7::8",
            "00001::",
            "g::",
            "::1.2.3",
            "::1.2.3.4:5",
            "1.2.3.4::",
            "198.51.100.7 198.51.100.8",
            "198.51.100.7 x",
            "x 198.51.100.7",
            "198.51.100.7\u{a0}",
            "\u{a0}198.51.100.7",
            "١.٢.٣.٤",
            "198.51.100.7;",
            "198.51.100.7\u{b}",
            "1:2:3:4:5:6:7:198.51.100.7",
            "::1:2:3:4:5:6:7:198.51.100.7",
            "-1.2.3.4",
            "1..2.3",
        ] {
            assert_eq!(listed(&["198.51.100.9", last]), Err(Unknown::NotAnAddress), "{last}");
            assert_eq!(
                listed(&[&format!("198.51.100.9, {last},")]),
                Err(Unknown::NotAnAddress),
                "{last}"
            );
        }
    }

    #[test]
    fn a_hidden_node_is_counted_as_hidden() {
        for value in ["unknown", "Unknown", "_hidden", "_"] {
            assert_eq!(
                listed(&[&format!("198.51.100.9, {value}")]),
                Err(Unknown::Hidden),
                "{value}"
            );
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_no_address() {
        let clients = clients(Source::XForwardedFor, &["10.0.0.0/8"]);
        for value in [&b"198.51.100.9, \xff"[..], b"\xff198.51.100.7", b"198.51.100.7\x80", b"\x00"]
        {
            let found = clients.resolve(address("10.0.0.1"), [value].into_iter());
            assert_eq!(found, Err(Unknown::NotAnAddress), "{value:?}");
        }
    }

    #[test]
    fn trusted_hops_are_skipped_over_all_instances() {
        for values in [
            &["192.0.2.1, 198.51.100.7, 10.0.0.2, 2001:db8:ff::1"][..],
            &["192.0.2.1", "198.51.100.7", "10.0.0.2", "[2001:db8:ff::1]:80"],
            &["garbage, 198.51.100.7,10.0.0.2:9", "", " , \t", "::ffff:10.0.0.3,,"],
        ] {
            assert_eq!(listed(values), Ok(address("198.51.100.7")), "{values:?}");
        }
    }

    #[test]
    fn when_all_are_trusted_the_leftmost_is_the_client() {
        assert_eq!(listed(&[", 10.0.0.9", "10.0.0.8, 10.0.0.7"]), Ok(address("10.0.0.9")));
    }

    // RFC 9110 §5.6.1: empty elements do not count, so the header says as little as a missing one.
    #[test]
    fn a_header_of_empty_elements_says_nothing() {
        for values in [
            &[][..],
            &[""],
            &[" , "],
            &["", ",,", "\t"],
            &[&",".repeat(8192)],
            &[&" ".repeat(8192)],
        ] {
            assert_eq!(listed(values), Ok(address("10.0.0.1")));
            assert_eq!(forwarded(values), Ok(address("10.0.0.1")));
        }
    }

    #[test]
    fn an_element_never_spans_instances() {
        assert_eq!(listed(&["198.51.", "100.7"]), Err(Unknown::NotAnAddress));
        assert_eq!(listed(&["198.51.100.9, [2001:db8", "::7]"]), Err(Unknown::NotAnAddress));
    }

    #[test]
    fn thirty_two_elements_are_walked_and_no_more() {
        let hops = |count: usize| format!("198.51.100.7{}", ", 10.0.0.2".repeat(count));
        assert_eq!(listed(&[&hops(31)]), Ok(address("198.51.100.7")));
        assert_eq!(listed(&[&hops(32)]), Err(Unknown::TooMany));
        assert_eq!(listed(&["10.0.0.2"; 32]), Ok(address("10.0.0.2")));
        assert_eq!(listed(&["10.0.0.2"; 33]), Err(Unknown::TooMany));
        let pair = "10.0.0.2,".repeat(2);
        assert_eq!(
            listed(&["198.51.100.7", &pair.repeat(4), &pair.repeat(4)]),
            Ok(address("198.51.100.7"))
        );
        let empty = vec![""; INSTANCES];
        assert_eq!(listed(&empty), Ok(address("10.0.0.1")));
        assert_eq!(listed(&vec![""; INSTANCES + 1]), Err(Unknown::TooMany));
    }

    #[test]
    fn eight_kibibytes_are_walked_and_no_more() {
        let padded = |bytes: usize| format!("198.51.100.7{}", ",".repeat(bytes - 12));
        assert_eq!(listed(&[&padded(BYTES)]), Ok(address("198.51.100.7")));
        assert_eq!(listed(&[&padded(BYTES + 1)]), Err(Unknown::TooLong));
        assert_eq!(listed(&["198.51.100.7", &",".repeat(BYTES - 12)]), Ok(address("198.51.100.7")));
        assert_eq!(listed(&["198.51.100.7", &",".repeat(BYTES - 11)]), Err(Unknown::TooLong));
        assert_eq!(listed(&[&" ".repeat(BYTES + 1)]), Err(Unknown::TooLong));
        assert_eq!(listed(&[&format!("{}198.51.100.7", " ".repeat(BYTES))]), Err(Unknown::TooLong));
    }

    #[test]
    fn an_element_that_ends_where_the_bytes_do_is_whole_behind_a_comma() {
        for (source, client) in
            [(Source::XForwardedFor, "198.51.100.7"), (Source::Forwarded, "for=198.51.100.7")]
        {
            let full = format!("{client}{}", ",".repeat(BYTES - client.len()));
            assert_eq!(ask(source, &[&format!("6.6.6.6,{full}")]), Ok(address("198.51.100.7")));
            for left in ["6", "6.6.6.6, ", "\""] {
                assert_eq!(
                    ask(source, &[&format!("{left}{full}")]),
                    Err(Unknown::TooLong),
                    "{left}"
                );
            }
            let trusted = full.replace("198.51.100.7", "10.255.255.7");
            assert_eq!(ask(source, &[&format!("6.6.6.6,{trusted}")]), Err(Unknown::TooLong));
        }
    }

    #[test]
    fn thirty_two_addresses_are_walked_however_long_they_are() {
        for (hop, client) in [
            ("10.255.255.255", "198.51.100.177"),
            ("2001:0db8:00ff:1111:2222:3333:4444:5555", "2001:0db8:00fe:1111:2222:3333:4444:5555"),
        ] {
            let quote = if hop.contains(':') { ["\"[", "]\""] } else { ["", ""] };
            let quoted = |hop: &str| format!("for={}{hop}{}", quote[0], quote[1]);
            for separator in [",", ", "] {
                let hops = vec![hop; 31].join(separator);
                assert_eq!(listed(&[&format!("{client}{separator}{hops}")]), Ok(address(client)));
                let hops = vec![quoted(hop); 31].join(separator);
                let list = format!("{}{separator}{hops}", quoted(client));
                assert_eq!(forwarded(&[&list]), Ok(address(client)));
            }
        }
    }

    fn most_hops(source: Source, client: &str, hop: &str) -> usize {
        let walks = |count: &usize| {
            let list = format!("{client}{}", format!(", {hop}").repeat(*count));
            ask(source, &[&list]) == Ok(address("198.51.100.7"))
        };
        (1..40).take_while(walks).count()
    }

    #[test]
    fn thirty_two_elements_are_walked_in_the_forms_that_most_proxies_write() {
        let full = "2001:0db8:00ff:1111:2222:3333:4444:5555";
        for hop in ["10.0.0.2", "10.0.0.2:80", "::ffff:10.0.0.2", full] {
            assert_eq!(most_hops(Source::XForwardedFor, "198.51.100.7", hop), 31, "{hop}");
        }
        for hop in ["for=10.0.0.2", "for=\"10.0.0.2\"", &format!("for=\"[{full}]\"")] {
            assert_eq!(most_hops(Source::Forwarded, "for=198.51.100.7", hop), 31, "{hop}");
        }
    }

    #[test]
    fn elements_that_take_longer_to_read_count_for_more() {
        for (hop, least) in [
            ("10.255.255.255:65535", 20),
            ("2001:db8:ff:1::1", 13),
            ("[2001:db8:ff:1::1]:443", 11),
            ("[2001:0db8:00ff:1111:2222:3333:4444:5555]:443", 20),
            ("10.0.0.2 , ", 16),
        ] {
            let found = most_hops(Source::XForwardedFor, "198.51.100.7", hop);
            assert!((least..31).contains(&found), "{found} {hop}");
        }
        for (hop, least) in [
            ("for=\"10.255.255.255:65535\"", 17),
            ("for=\"[2001:db8:ff:1::1]:443\"", 10),
            ("for=\"[2001:0db8:00ff:1111:2222:3333:4444:5555]:443\"", 20),
            ("for=\"[2001:db8:ff:1234:5678:9abc:def0:1234]:65535\"", 8),
            ("for=10.255.255.255;proto=https", 11),
            ("for=10.0.0.2;host=shop.example;proto=https", 8),
            ("for=10.0.0.2;by=10.0.0.3;host=shop.example;proto=https", 6),
            ("for=10.255.255.255;by=10.255.255.255;host=www.shop.example.com;proto=https", 6),
            ("by=_a;for=10.0.0.2;host=\"shop.example:443\";proto=https", 6),
            (&format!("for=10.0.0.2;host={};proto=https", "h".repeat(200)), 4),
            (
                "for=\"[2001:db8:ff:1::1]:65535\";by=\"[2001:db8:ff:1::2]:65535\";host=\"www.shop.example.com:8443\";proto=https",
                4,
            ),
        ] {
            let found = most_hops(Source::Forwarded, "for=198.51.100.7", hop);
            assert!((least..31).contains(&found), "{found} {hop}");
        }
    }

    #[test]
    fn a_prefix_that_changes_and_a_client_of_ipv6_count_for_more() {
        let most = |source, client: &str, hops: [&str; 2]| {
            let walks = |count: &usize| {
                let hops: String =
                    hops.iter().cycle().take(*count).flat_map(|hop| [", ", hop]).collect();
                let list = format!("{client}{hops}");
                clients(source, &["10.0.0.0/8", "192.168.0.0/16"])
                    .resolve(address("10.0.0.1"), [list.as_bytes()].into_iter())
                    .is_ok()
            };
            (1..40).take_while(walks).count()
        };
        let (xff, forwarded) = (Source::XForwardedFor, Source::Forwarded);
        assert_eq!(most(xff, "198.51.100.7", ["10.0.0.2", "192.168.1.2"]), 20);
        assert_eq!(most(forwarded, "for=198.51.100.7", ["for=10.0.0.2", "for=192.168.1.2"]), 20);
        assert_eq!(most(xff, "2001:db8:fe::7", ["10.0.0.2", "10.0.0.3"]), 29);
        let client = "for=\"[2001:db8:fe::7]:4711\"";
        assert_eq!(most(forwarded, client, ["for=10.0.0.2", "for=10.0.0.3"]), 29);
    }

    // At every place where the bytes can end: what lies left must not matter.
    #[test]
    fn nothing_on_the_left_changes_where_the_bytes_ended() {
        for blanks in 0..700 {
            let blanks = " ".repeat(12 * blanks);
            for (source, hops) in [
                (Source::XForwardedFor, "198.51.100.7,2001:db8:ff::1,10.0.0.2:80"),
                (Source::Forwarded, "for=198.51.100.7;proto=https;by=_a,for=\"10.0.0.2:80\""),
            ] {
                let right = format!("{blanks}{hops}");
                let alone = ask(source, &[&right]);
                for left in ["6.6.6.6,", ",", " ,", "for=6.6.6.6;a=\","] {
                    assert_eq!(ask(source, &[&format!("{left}{right}")]), alone, "{left} {right}");
                }
            }
        }
    }

    #[test]
    fn what_lies_left_of_the_client_is_never_counted() {
        for left in
            ["x".repeat(BYTES), ",".repeat(BYTES), "10.0.0.2,".repeat(9999), "\"".repeat(BYTES)]
        {
            assert_eq!(
                listed(&[&format!("{left},198.51.100.7, 10.0.0.2")]),
                Ok(address("198.51.100.7"))
            );
            assert_eq!(listed(&[&left, "198.51.100.7, 10.0.0.2"]), Ok(address("198.51.100.7")));
        }
    }

    #[test]
    fn a_single_address_header_comes_exactly_once() {
        assert_eq!(single(&[]), Err(Unknown::Missing));
        assert_eq!(single(&["198.51.100.7", "198.51.100.7"]), Err(Unknown::Repeated));
        assert_eq!(single(&["", ""]), Err(Unknown::Repeated));
        assert_eq!(single(&["198.51.100.7"]), Ok(address("198.51.100.7")));
        assert_eq!(single(&[" \t198.51.100.7\t "]), Ok(address("198.51.100.7")));
        assert_eq!(single(&["2001:db8::7"]), Ok(address("2001:db8::7")));
        assert_eq!(single(&["2002:c633:6407::1"]), Ok(address("198.51.100.7")));
        assert_eq!(single(&["10.0.0.2"]), Ok(address("10.0.0.2")));
    }

    #[test]
    fn a_single_address_header_holds_a_plain_address() {
        for value in [
            "",
            " ",
            ",",
            "198.51.100.7,",
            ",198.51.100.7",
            "198.51.100.7, 198.51.100.8",
            "198.51.100.7:80",
            "[2001:db8::7]",
            "[2001:db8::7]:80",
            "198.51.100.7 198.51.100.8",
            "garbage",
            "fe80::1%eth0",
            "x 198.51.100.7",
        ] {
            assert_eq!(single(&[value]), Err(Unknown::NotAnAddress), "{value}");
        }
        assert_eq!(single(&["unknown"]), Err(Unknown::Hidden));
        assert_eq!(single(&[&" ".repeat(BYTES + 1)]), Err(Unknown::TooLong));
    }

    fn embed(ipv4: Ipv4Addr, fill: u128, form: usize) -> (Ipv6Addr, Vec<Nat64>) {
        let bits = u128::from(ipv4.to_bits());
        let (len, found) = match form {
            0 => return (ipv4.to_ipv6_mapped(), vec![]),
            1 => return (Ipv6Addr::from_bits(WELL_KNOWN.bits | bits), vec![]),
            2 => return (Ipv6Addr::from_bits(SIX_TO_FOUR.bits | bits << 80 | fill >> 48), vec![]),
            3 => {
                return (
                    Ipv6Addr::from_bits(TEREDO.bits | fill >> 64 << 32 | (!bits & 0xffff_ffff)),
                    vec![],
                );
            }
            4 => (96, bits),
            _ => ([32, 40, 48, 56, 64][form - 5], 0),
        };
        let prefix = Ipv6Addr::new(0x2001, 0xdb8, 0x1234, 0x5678, 0x9a, 0xbcde, 0, 0);
        let prefix = Ipv6Net::new(prefix, len).expect("a prefix").trunc();
        let mut bytes = Ipv6Addr::from_bits(prefix.network().to_bits() | found).octets();
        if len < 96 {
            let places = (usize::from(len) / 8..16).filter(|place| *place != 8);
            for (place, octet) in places.zip(ipv4.octets()) {
                bytes[place] = octet;
            }
        }
        (Ipv6Addr::from(bytes), vec![Nat64::new(prefix).expect("a NAT64 prefix")])
    }

    fn any_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<Ipv4Addr>().prop_map(IpAddr::V4),
            any::<Ipv6Addr>().prop_map(IpAddr::V6),
            (any::<Ipv4Addr>(), any::<u128>(), 0..4usize).prop_map(|(inner, fill, form)| embed(
                inner, fill, form
            )
            .0
            .into()),
        ]
    }

    fn any_net() -> impl Strategy<Value = IpNet> {
        prop_oneof![
            (any::<u16>(), 0..=32u8).prop_map(|(high, len)| {
                IpNet::new(Ipv4Addr::from_bits(u32::from(high) << 16).into(), len)
                    .expect("a prefix")
            }),
            (any::<u16>(), 0..=128u8).prop_map(|(high, len)| {
                IpNet::new(Ipv6Addr::new(0x2a00, high, 0, 0, 0, 0, 0, 0).into(), len)
                    .expect("a prefix")
            }),
        ]
    }

    fn left() -> impl Strategy<Value = Vec<u8>> {
        let part = prop::sample::select(vec![
            "\"",
            "\\",
            ",",
            ";",
            "=",
            " ",
            "for=",
            "10.0.0.2",
            "6.6.6.6",
            "for=\"6.6.6.6",
        ]);
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            prop::collection::vec(part, 0..20).prop_map(|parts| parts.concat().into_bytes()),
        ]
    }

    fn padding() -> impl Strategy<Value = String> {
        let run = (prop::sample::select(vec![" ", "\t", ",", " \t", ", "]), 0..100_usize);
        let runs = prop::collection::vec(run, 0..4);
        runs.prop_map(|runs| runs.into_iter().map(|(part, count)| part.repeat(count)).collect())
    }

    proptest! {
        // What hides at the edge of the budget is rare.
        #![proptest_config(ProptestConfig::with_cases(8000))]

        // A proxy appends its element behind `,` or `, `, whatever its client sent.
        #[test]
        fn a_client_cannot_hide_by_making_the_walk_dear(
            hops in prop::collection::vec(0..5_usize, 0..32), form in 0..5_usize, is_list: bool, apart: bool, left in "[ -~]{0,20}",
        ) {
            let source = if is_list { Source::XForwardedFor } else { Source::Forwarded };
            let element = |at: usize, [v4, v6]: [&str; 2]| match (is_list, at) {
                (true, 0) => v4.to_owned(),
                (true, 1) => v6.to_owned(),
                (true, 2) => format!("{v4}:65535"),
                (true, _) => format!("[{v6}]:443"),
                (false, 0) => format!("for={v4}"),
                (false, 1) => format!("for=\"[{v6}]\""),
                (false, 2) => format!("for={v4};proto=https"),
                (false, 3) => format!("for={v4};host=shop.example;proto=https;by={v4}"),
                (false, _) => format!("for=\"[{v6}]:443\";by=_a"),
            };
            let separator = if apart { ", " } else { "," };
            let mut list = vec![element(form, ["198.51.100.7", "2001:db8::7"])];
            list.extend(hops.iter().map(|hop| element(*hop, ["10.0.0.255", "2001:db8:ff::1"])));
            let list = list.join(separator);
            if let Ok(found) = ask(source, &[&list]) {
                prop_assert_eq!(ask(source, &[&format!("{left}{separator}{list}")]), Ok(found), "{}", list);
            }
        }
    }

    proptest! {
        #[test]
        fn blanks_and_empty_elements_do_not_matter(
            pads in prop::array::uniform3(padding()),
            (left, right) in (0..3usize, 0..3usize),
        ) {
            let [before, between, behind] = pads;
            let text = format!("{before}198.51.100.7{between},10.0.0.9{behind}");
            let trimmed = scan::trim(text.as_bytes(), is_blank_or_comma);
            prop_assert_eq!(trimmed, text.trim_end_matches([' ', '\t', ',']).as_bytes());
            prop_assert_eq!(listed(&[&text]), Ok(address("198.51.100.7")), "{:?}", text);
            let client = ["for=198.51.100.7", "For=\"198.51.100.7:1\"", "a=1 ;\tfor=198.51.100.7"][left];
            let proxy = ["for=10.0.0.9", "for=10.0.0.9\t; b=2", "for=\"[2001:db8:ff::1]\""][right];
            let text = format!("{before}{client}{between},{proxy}{behind}");
            prop_assert_eq!(forwarded(&[&text]), Ok(address("198.51.100.7")), "{:?}", text);
        }

        #[test]
        fn every_embedding_of_an_address_is_that_address(inner: Ipv4Addr, fill: u128, form in 0..10usize) {
            let (outer, prefixes) = embed(inner, fill, form);
            prop_assert_eq!(canonical(outer.into(), &prefixes), IpAddr::V4(inner), "{}", outer);
        }

        #[test]
        fn canonical_twice_is_canonical_once(address in any_address()) {
            let prefixes = nat64(&["2001:db8::/32", "64:ff9b:1::/48"]);
            let once = canonical(address, &prefixes);
            prop_assert_eq!(canonical(once, &prefixes), once);
        }

        #[test]
        fn truncation_keeps_the_prefix_and_nothing_else(address in any_address(), ipv4 in 0..=32u8, ipv6 in 0..=128u8) {
            let len = if address.is_ipv4() { ipv4 } else { ipv6 };
            let expected = IpNet::new(address, len).expect("a prefix").network();
            prop_assert_eq!(truncate(address, ipv4, ipv6), expected);
            prop_assert_eq!(truncate(expected, ipv4, ipv6), expected);
        }

        #[test]
        fn trusted_ranges_agree_with_a_scan(list in prop::collection::vec(any_net(), 0..12), high: u16, low: u16, near in 0..12usize) {
            let trusted = Trusted::new(list.clone(), &[]);
            let mut points = vec![
                IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))),
                IpAddr::V6(Ipv6Addr::new(0x2a00, high, low, 0, 0, 0, 0, 0)),
            ];
            points.extend(list.get(near).into_iter().flat_map(|net| [net.network(), net.broadcast()]));
            for point in points {
                let expected = list.iter().any(|net| net.contains(&point));
                if canonical(point, &[]) == point {
                    prop_assert_eq!(trusted.contains(point.into()), expected, "{} in {:?}", point, list);
                }
            }
        }

        #[test]
        fn nothing_on_the_left_changes_where_the_walk_ended(left in left(), split: bool) {
            for (source, right) in [
                (Source::XForwardedFor, "198.51.100.7, 10.0.0.2"),
                (Source::XForwardedFor, "garbage"),
                (Source::XForwardedFor, "unknown, 10.0.0.2"),
                (Source::Forwarded, "for=198.51.100.7, for=10.0.0.2"),
                (Source::Forwarded, "for=\"[2001:db8::7]:_p\";host=\"a, for=6.6.6.6\";by=_x"),
                (Source::Forwarded, "for=\"198.51.100.7\";host=\"a\\\", for=6.6.6.6\\\\\""),
                (Source::Forwarded, "proto=https"),
            ] {
                let clients = clients(source, &["10.0.0.0/8"]);
                let alone = clients.resolve(address("10.0.0.1"), [right.as_bytes()].into_iter());
                let joined = [&left, &b","[..], right.as_bytes()].concat();
                let values = if split { vec![&left[..], right.as_bytes()] } else { vec![&joined[..]] };
                prop_assert_eq!(clients.resolve(address("10.0.0.1"), values.into_iter()), alone, "{}", right);
            }
        }

        #[test]
        fn what_is_found_is_canonical(values in prop::collection::vec(left(), 0..4), form in 0..4usize) {
            let source = [Source::Peer, Source::XForwardedFor, Source::Forwarded, Source::Single][form];
            let found = clients(source, &["10.0.0.0/8"]).resolve(address("10.0.0.1"), values.iter().map(Vec::as_slice));
            if let Ok(found) = found {
                prop_assert_eq!(canonical(found, &[]), found);
            }
        }
    }
}

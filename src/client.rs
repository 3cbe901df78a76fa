//! Whose address a request comes from, and how much of it to keep.
//!
//! Every address is canonical before anything is decided on it: an IPv4 address that travels inside
//! an IPv6 one is that IPv4 address. List headers are walked from the right, because only the right
//! end was written by proxies that the policy trusts; what lies left of the place where the walk
//! ends is never read, so a client can neither forge nor hide its address by writing there.
//! Nothing here knows header names, and no reason for failure repeats what was received.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{address, forwarded};

const ELEMENTS: usize = 32;
const INSTANCES: usize = 64;
const BYTES: usize = 8192;
const TEXT: usize = 2048;

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
    /// More elements or header instances than are walked.
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
        let peer = canonical(peer, &self.nat64);
        if self.source == Source::Peer || !self.trusted.contains(peer) {
            return Ok(peer);
        }
        match self.source {
            Source::Peer => Ok(peer),
            Source::XForwardedFor => self.walk(peer, values, hop),
            Source::Forwarded => self.walk(peer, values, forwarded::hop),
            Source::Single => single(values).map(|address| canonical(address, &self.nat64)),
        }
    }

    fn walk<'a>(
        &self,
        peer: IpAddr,
        values: impl DoubleEndedIterator<Item = &'a [u8]>,
        hop: Hop<'a>,
    ) -> Result<IpAddr, Unknown> {
        let mut walk = Walk { client: peer, elements: ELEMENTS, bytes: BYTES, text: TEXT };
        for (count, value) in values.rev().enumerate() {
            if count == INSTANCES {
                return Err(Unknown::TooMany);
            }
            if self.pass(&mut walk, value, hop)? {
                break;
            }
        }
        Ok(walk.client)
    }

    /// Walks one header instance; true when it held the client.
    fn pass<'a>(&self, walk: &mut Walk, value: &'a [u8], hop: Hop<'a>) -> Result<bool, Unknown> {
        let mut rest = Rest::last(value, walk.bytes);
        walk.bytes = walk.bytes.saturating_sub(value.len());
        while rest.element()? {
            let before = rest.text.len();
            walk.client = canonical(rest.read(hop)?, &self.nat64);
            walk.spend(before - rest.text.len())?;
            if !self.trusted.contains(walk.client) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Reads the last element: its address, and what stands before it.
type Hop<'a> = fn(&'a [u8]) -> Result<(IpAddr, &'a [u8]), Unknown>;

/// The last party seen, and what may still be read.
struct Walk {
    client: IpAddr,
    elements: usize,
    bytes: usize,
    text: usize,
}

impl Walk {
    fn spend(&mut self, text: usize) -> Result<(), Unknown> {
        self.elements = self.elements.checked_sub(1).ok_or(Unknown::TooMany)?;
        self.text = self.text.checked_sub(text).ok_or(Unknown::TooLong)?;
        Ok(())
    }
}

/// The part of one header instance that was not walked yet; `cut` when there is more before it.
struct Rest<'a> {
    text: &'a [u8],
    cut: bool,
}

impl<'a> Rest<'a> {
    fn last(value: &'a [u8], bytes: usize) -> Self {
        let at = value.len().saturating_sub(bytes);
        Self { text: value.get(at..).unwrap_or_default(), cut: at > 0 }
    }

    /// Skips empty elements; true when another element follows.
    fn element(&mut self) -> Result<bool, Unknown> {
        self.text = trim(self.text, |byte| is_blank(byte) | (byte == b','));
        self.more()
    }

    fn read(&mut self, hop: Hop<'a>) -> Result<IpAddr, Unknown> {
        let (address, before) = hop(self.text)?;
        self.text = trim(before, is_blank);
        match self.more()? && self.text.last() != Some(&b',') {
            true => Err(Unknown::NotAnAddress),
            false => Ok(address),
        }
    }

    fn more(&self) -> Result<bool, Unknown> {
        match self.text.is_empty() && self.cut {
            true => Err(Unknown::TooLong),
            false => Ok(!self.text.is_empty()),
        }
    }
}

fn hop(rest: &[u8]) -> Result<(IpAddr, &[u8]), Unknown> {
    let (before, word) = last_word(rest).ok_or(Unknown::NotAnAddress)?;
    match address::node(word, address::is_port).or_else(|| address::ipv6(word).map(IpAddr::V6)) {
        Some(address) => Ok((address, before)),
        None => Err(not_an_address(word)),
    }
}

pub(crate) fn not_an_address(node: &[u8]) -> Unknown {
    match node {
        [b'_', ..] => Unknown::Hidden,
        node if node.eq_ignore_ascii_case(b"unknown") => Unknown::Hidden,
        _ => Unknown::NotAnAddress,
    }
}

/// No part of an address, with brackets and port, is a comma or below; more bytes than the longest
/// one has are not looked at.
fn last_word(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let from = rest.len().saturating_sub(address::LONGEST_NODE + 1);
    match rest.get(from..)?.iter().rposition(|byte| *byte <= b',') {
        Some(at) => rest.split_at_checked(from + at + 1),
        None if from == 0 => Some((&[], rest)),
        None => None,
    }
}

fn single<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<IpAddr, Unknown> {
    let value = values.next().ok_or(Unknown::Missing)?;
    if values.next().is_some() {
        return Err(Unknown::Repeated);
    }
    if value.len() > BYTES {
        return Err(Unknown::TooLong);
    }
    let (before, word) = last_word(trim(value, is_blank)).ok_or(Unknown::NotAnAddress)?;
    match address::plain(word) {
        Some(address) if trim(before, is_blank).is_empty() => Ok(address),
        _ => Err(not_an_address(word)),
    }
}

fn is_blank(byte: u8) -> bool {
    (byte == b' ') | (byte == b'\t')
}

/// Wide steps first: the compiler compares a whole chunk at once, which is what keeps kilobytes of
/// blanks and commas cheap.
fn trim(text: &[u8], skip: impl Fn(u8) -> bool + Copy) -> &[u8] {
    trim_by::<1>(trim_by::<8>(trim_by::<32>(text, skip), skip), skip)
}

fn trim_by<const N: usize>(mut text: &[u8], skip: impl Fn(u8) -> bool) -> &[u8] {
    while let Some((before, chunk)) = text.split_last_chunk::<N>()
        && chunk.iter().fold(true, |all, byte| all & skip(*byte))
    {
        text = before;
    }
    text
}

/// The address that all embeddings of an IPv4 address share: IPv4-mapped, NAT64 (the well-known
/// prefix and the operator's), Teredo and 6to4. An IPv4-compatible address stays as it is, or `::1`
/// would be `0.0.0.1`. The longest prefix that matches decides, the operator's before ours.
pub(crate) fn canonical(address: IpAddr, nat64: &[Nat64]) -> IpAddr {
    match address {
        IpAddr::V6(inner) => {
            embedding(inner, nat64).map_or(address, |found| found.ipv4(inner).into())
        }
        IpAddr::V4(_) => address,
    }
}

fn embedding(address: Ipv6Addr, nat64: &[Nat64]) -> Option<Embedding> {
    let operator =
        || nat64.iter().filter(|prefix| prefix.0.holds(address)).max_by_key(|prefix| prefix.0.len);
    let built_in = |list: &[Embedding]| list.iter().find(|prefix| prefix.holds(address)).copied();
    built_in(&[MAPPED, WELL_KNOWN])
        .or_else(|| operator().map(|prefix| prefix.0))
        .or_else(|| built_in(&[TEREDO, SIX_TO_FOUR]))
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
    fn holds(&self, address: Ipv6Addr) -> bool {
        (address.to_bits() ^ self.bits) & high_bits(self.len) == 0
    }

    fn ipv4(&self, address: Ipv6Addr) -> Ipv4Addr {
        let bits = address.to_bits();
        let low = u128::from(u64::MAX);
        let first = match (self.teredo, self.len) {
            (true, _) => !bits << 96,
            (false, 96) => bits << 96,
            (false, len) => ((bits & !low) | ((bits << 8) & low)) << len,
        };
        let [a, b, c, d, ..] = first.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
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

    /// Whether a canonical address is trusted.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => is_within(&self.ipv4, address.to_bits()),
            IpAddr::V6(address) => is_within(&self.ipv6, address.to_bits()),
        }
    }
}

fn is_within<T: Ord>(ranges: &[(T, T)], point: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= point);
    let range = after.checked_sub(1).and_then(|at| ranges.get(at));
    range.is_some_and(|(_, last)| point <= *last)
}

fn canonical_net(prefix: IpNet, nat64: &[Nat64]) -> Option<IpNet> {
    let IpNet::V6(net) = prefix else { return Some(prefix) };
    match embedding(net.network(), nat64) {
        Some(found) if found.len <= net.prefix_len() => {
            let len = found.fixed(net.prefix_len());
            let ipv4 = Ipv4Net::new(found.ipv4(net.network()), len).ok()?;
            (len > 0 || found == MAPPED).then_some(IpNet::V4(ipv4))
        }
        _ => Some(prefix),
    }
}

//! Which host a text names, in the one spelling under which it can be compared.
//!
//! Hosts are read as a browser reads them (URL standard, "host parsing", for http and https), and then
//! more strictly: a name has letters, digits, `-`, `_` and dots only, in labels of 1 to 63 and 253 in
//! all. What is not such a name or an IP address is no host. User info never gets past this file.

use crate::percent;
use crate::text::Listed;
use idna::AsciiDenyList;
use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A longer authority names no host.
const LONGEST: usize = 1024;
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// A host and the port behind it, read from `[user info@]host[:port]`.
pub(crate) struct Authority<'a> {
    pub(crate) host: Host<'a>,
    pub(crate) port: Option<u16>,
}

/// A name is ASCII without a trailing dot; its case may be mixed.
pub(crate) enum Host<'a> {
    Name(Cow<'a, str>),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// Which declared host a `Host` field or an `:authority` names; its port does not count.
pub(crate) fn host(authority: &str, allow: &[impl AsRef<str>]) -> Listed {
    let declared = |host: &Host<'_>| allow.iter().position(|entry| host.is(entry.as_ref()));
    Authority::parse(authority)
        .and_then(|authority| declared(&authority.host))
        .map_or(Listed::Other, Listed::At)
}

impl<'a> Authority<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Authority<'a>> {
        if text.len() > LONGEST {
            return None;
        }
        let place = text.rsplit_once('@').map_or(text, |(_, place)| place);
        let (host, port) = place.split_at_checked(end(place)?)?;
        let host = Host::parse(host)?;
        let port = if matches!(port, "" | ":") { None } else { Some(number(port)?) };
        Some(Authority { host, port })
    }
}

fn end(place: &str) -> Option<usize> {
    if place.starts_with('[') {
        return Some(place.find(']')? + 1);
    }
    Some(place.find(':').unwrap_or(place.len()))
}

fn number(port: &str) -> Option<u16> {
    let digits = port.strip_prefix(':')?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

impl<'a> Host<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Host<'a>> {
        if let Some(bracketed) = text.strip_prefix('[') {
            return bracketed.strip_suffix(']')?.parse().ok().map(Host::V6);
        }
        let name = name(text)?;
        if ends_in_number(&name) {
            return ipv4(&name).map(Host::V4);
        }
        Some(Host::Name(name))
    }

    pub(crate) fn is_same(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Host::Name(one), Host::Name(other)) => one.eq_ignore_ascii_case(other),
            (Host::V4(one), Host::V4(other)) => one == other,
            (Host::V6(one), Host::V6(other)) => one == other,
            (Host::Name(_) | Host::V4(_) | Host::V6(_), _) => false,
        }
    }

    /// The name, unless only a private network knows a host by this spelling: an IP address, a single
    /// label, or a suffix outside the public DNS (RFC 6761, 6762, 7686, 8375; `.internal`: ICANN 2024).
    pub(crate) fn public_name(self) -> Option<Cow<'a, str>> {
        match self {
            Host::Name(name) => (!is_internal(&name)).then_some(name),
            Host::V4(_) | Host::V6(_) => None,
        }
    }

    fn is(&self, declared: &str) -> bool {
        match self {
            Host::Name(name) if name.eq_ignore_ascii_case(declared) => true,
            Host::V6(address) if declared.parse() == Ok(*address) => true,
            _ => Host::parse(declared).is_some_and(|other| self.is_same(&other)),
        }
    }
}

fn is_internal(name: &str) -> bool {
    let Some((rest, last)) = name.rsplit_once('.') else {
        return true;
    };
    let is = |suffix| last.eq_ignore_ascii_case(suffix);
    let is_home =
        || rest.rsplit('.').next().is_some_and(|label| label.eq_ignore_ascii_case("home"));
    is("local")
        || is("internal")
        || is("lan")
        || is("onion")
        || is("localhost")
        || (is("arpa") && is_home())
}

/// Nearly every host is written as it is compared; only the others pay for decoding and IDNA.
fn name(text: &str) -> Option<Cow<'_, str>> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    if is_name(bare) && !has_punycode(bare) {
        return Some(Cow::Borrowed(bare));
    }
    let mut name = to_ascii(text)?;
    if name.ends_with('.') {
        name.pop();
    }
    is_name(&name).then_some(Cow::Owned(name))
}

fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &[u8]| {
        (1..=LONGEST_LABEL).contains(&label.len()) && label.iter().all(|&byte| is_part(byte))
    };
    text.len() <= LONGEST_NAME && text.as_bytes().split(|&byte| byte == b'.').all(is_label)
}

fn has_punycode(name: &str) -> bool {
    name.split('.')
        .any(|label| label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--")))
}

/// UTS 46, non-transitional, as browsers do; a name that is longer before it than any can be is refused.
fn to_ascii(text: &str) -> Option<String> {
    let bytes: Vec<u8> = percent::decoded(text, b'+').take(LONGEST_NAME + 2).collect();
    if bytes.len() > LONGEST_NAME + 1 {
        return None;
    }
    let name = idna::domain_to_ascii_cow(&bytes, AsciiDenyList::URL);
    name.ok().map(Cow::into_owned)
}

fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    last.bytes().all(|byte| byte.is_ascii_digit()) || part(last).is_some()
}

/// All that browsers take for an IPv4 address: one to four parts, decimal, octal or hexadecimal, of
/// which the last fills the bytes that are left.
fn ipv4(name: &str) -> Option<Ipv4Addr> {
    let (front, last) = name.rsplit_once('.').unwrap_or(("", name));
    let (mut address, mut bits) = (0, u32::BITS);
    for text in front.split('.').filter(|_| !front.is_empty()) {
        bits = bits.checked_sub(8).filter(|&bits| bits > 0)?;
        address |= u32::from(u8::try_from(part(text)?).ok()?) << bits;
    }
    let last = u32::try_from(part(last)?).ok()?;
    let fits = bits == u32::BITS || last >> bits == 0;
    fits.then(|| Ipv4Addr::from(address | last))
}

fn part(text: &str) -> Option<u64> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hex, text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        (None, _) => return text.parse().ok(),
    };
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, radix).ok() }
}

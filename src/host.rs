//! Which host a text names, in the one spelling under which it can be compared.
//!
//! Hosts are read as a browser reads them (URL standard, "host parsing", for http and https), and then
//! more strictly: a name has letters, digits, `-`, `_` and dots only, in labels of 1 to 63 and 253 in
//! all. What is not such a name or an IP address is no host. User info never gets past this file.
#![expect(clippy::indexing_slicing, reason = "a table of 256 is indexed by a byte")]

mod punycode;

use crate::fixed::Fixed;
use crate::listed::{Listed, Words};
use crate::text::Text;
use crate::{percent, scan};
use idna::AsciiDenyList;
use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A longer authority names no host.
const LONGEST: usize = 1024;
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;
/// Longer than any in use, before and after; each byte costs some 100 instructions.
const LONGEST_IDN: usize = 64;

/// The hosts that are declared, and what each of them is written as when it is asked for as it is declared.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hosts {
    declared: Words,
    asked: Box<[Option<&'static Fixed>]>,
}

impl Hosts {
    pub(crate) fn new(declared: &[String]) -> Self {
        let words = Words::new(declared);
        let asked = |host: &String| words.ready(listed(host.as_bytes(), declared)?);
        Self { asked: declared.iter().map(asked).collect(), declared: words }
    }

    /// The declared host that a request asks for, or `_OTHER`; `None` when it asks for nothing visible.
    #[inline]
    pub(crate) fn text(&self, asked: &[u8]) -> Option<Text> {
        let mut declared = self.declared.words().iter().zip(&self.asked);
        match declared.find(|(host, _)| scan::same_short(host.as_bytes(), asked)) {
            Some((_, Some(word))) => Some(Text::fixed(word)),
            _ => self.any_text(asked),
        }
    }

    #[inline(never)]
    fn any_text(&self, asked: &[u8]) -> Option<Text> {
        self.declared.text(listed(asked, self.declared.words())?)
    }
}

fn listed(asked: &[u8], declared: &[String]) -> Option<Listed> {
    Some(host(visible(asked)?, declared))
}

/// Which declared host a `Host` field or an `:authority` names; its port does not count.
pub(crate) fn host(authority: &str, allow: &[impl AsRef<str>]) -> Listed {
    let declared = |host: &Host<'_>| allow.iter().position(|entry| host.is(entry.as_ref()));
    let place = Authority::parse(authority).and_then(|authority| declared(&authority.host));
    place.map_or(Listed::Other, Listed::At)
}

/// A header's value as text, if it is visible ASCII.
pub(crate) fn visible(value: &[u8]) -> Option<&str> {
    let is_visible = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    str::from_utf8(value).ok().filter(|_| is_visible)
}

/// A host and the port behind it, read from `[user info@]host[:port]`.
pub(crate) struct Authority<'a> {
    pub(crate) host: Host<'a>,
    pub(crate) port: Option<u16>,
}

pub(crate) enum Host<'a> {
    Name(Name<'a>),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// ASCII without a trailing dot; its case may be mixed.
pub(crate) struct Name<'a> {
    text: Cow<'a, str>,
    last_label: usize,
    is_lower: bool,
}

impl<'a> Authority<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        if let Some(name) = Name::plain(text) {
            return Some(Authority { host: Host::named(name)?, port: None });
        }
        let place = behind_user(text);
        let (host, port) = place.split_at_checked(end(place)?)?;
        let host = Host::parse(host)?;
        let port = if matches!(port, "" | ":") { None } else { Some(number(port)?) };
        Some(Authority { host, port })
    }
}

fn behind_user(text: &str) -> &str {
    text.get(scan::last(text.as_bytes(), |byte| byte == b'@')..).unwrap_or(text)
}

fn end(place: &str) -> Option<usize> {
    let position = |wanted| scan::first(place.as_bytes(), |byte| byte == wanted);
    if place.starts_with('[') {
        return Some(position(b']') + 1).filter(|&end| end <= place.len());
    }
    Some(position(b':'))
}

fn number(port: &str) -> Option<u16> {
    let digits = port.strip_prefix(':')?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

impl<'a> Host<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if let Some(bracketed) = text.strip_prefix('[') {
            return bracketed.strip_suffix(']')?.parse().ok().map(Host::V6);
        }
        Host::named(Name::plain(text).or_else(|| Name::to_ascii(text))?)
    }

    #[inline]
    fn named(name: Name<'a>) -> Option<Self> {
        if name.ends_in_number() {
            return ipv4(&name.text).map(Host::V4);
        }
        Some(Host::Name(name))
    }

    /// Whether the authority of a request names this host.
    pub(crate) fn is_named_by(&self, authority: &[u8]) -> bool {
        match self {
            Host::Name(name) if is_literal(authority) => name.is_at_start_of(authority),
            _ => visible(authority)
                .and_then(Authority::parse)
                .is_some_and(|other| self.is_same(&other.host)),
        }
    }

    fn is_same(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Host::Name(one), Host::Name(other)) => one.text.eq_ignore_ascii_case(&other.text),
            (Host::V4(one), Host::V4(other)) => one == other,
            (Host::V6(one), Host::V6(other)) => one == other,
            (Host::Name(_) | Host::V4(_) | Host::V6(_), _) => false,
        }
    }

    /// The name, unless only a private network knows a host by this spelling: an IP address, a single
    /// label, or a suffix outside the public DNS (RFC 6761, 6762, 7686, 8375; `.internal`: ICANN 2024).
    pub(crate) fn public_name(self) -> Option<Name<'a>> {
        match self {
            Host::Name(name) => (!name.is_internal()).then_some(name),
            Host::V4(_) | Host::V6(_) => None,
        }
    }

    fn is(&self, declared: &str) -> bool {
        match self {
            Host::Name(name) if name.text.eq_ignore_ascii_case(declared) => true,
            Host::V6(address) if declared.parse() == Ok(*address) => true,
            _ => Host::parse(declared).is_some_and(|other| self.is_same(&other)),
        }
    }
}

/// A name that a text has at some place, and nothing before it that could belong to it.
pub(crate) struct Leading<'a> {
    text: &'a [u8],
    at: usize,
    found: Found,
    /// Where the name ends, with its trailing dot.
    pub(crate) reach: usize,
}

impl<'a> Leading<'a> {
    #[inline]
    pub(crate) fn read(text: &'a [u8], at: usize) -> Option<Self> {
        let found = Found::at_start(text.get(at..)?)?;
        let reach = at + found.reach;
        Some(Self { text, at, found, reach })
    }

    /// The host, if it is one, and the text up to the end of its name.
    #[inline]
    pub(crate) fn host(&self) -> Option<(Host<'a>, &'a str)> {
        let start = str::from_utf8(self.text.get(..self.at + self.found.len)?).ok()?;
        let written = start.get(self.at..)?;
        let raw = || self.text.get(self.at..self.reach);
        let name = if self.found.has_hyphens {
            self.found.idn_in(written, raw()?)?
        } else {
            self.found.name_in(written)?
        };
        Some((Host::named(name)?, start))
    }
}

/// Whether what it names stands in it, at its very beginning: no user info, no other spelling.
fn is_literal(authority: &[u8]) -> bool {
    authority.len() <= LONGEST
        && authority.iter().fold(0, |all, byte| all | PLACE[usize::from(*byte)]) < OUTSIDE
}

impl<'a> Name<'a> {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is in lower case already.
    pub(crate) const fn is_lower(&self) -> bool {
        self.is_lower
    }

    fn is_at_start_of(&self, authority: &[u8]) -> bool {
        let Some((name, rest)) = authority.split_at_checked(self.text.len()) else { return false };
        if !name.eq_ignore_ascii_case(self.text.as_bytes()) {
            return false;
        }
        let port = rest.strip_prefix(b".").unwrap_or(rest);
        port.is_empty()
            || str::from_utf8(port).is_ok_and(|port| port == ":" || number(port).is_some())
    }

    /// Nearly every name is written as it is compared; only the others pay for decoding and IDNA.
    fn plain(text: &'a str) -> Option<Self> {
        Found::whole(text.as_bytes())
            .filter(|found| !found.has_punycode(text.as_bytes()))?
            .name_in(text)
    }

    /// It makes no name of plain ASCII that is none.
    fn to_ascii(text: &str) -> Option<Self> {
        if text.is_ascii() && !text.contains('%') {
            Found::whole(text.as_bytes())?;
        }
        let mut decoded = [0; LONGEST_IDN];
        let decoded = percent::decoded_into(&mut decoded, text)?;
        let lower = || Self::lower(str::from_utf8(decoded).ok()?);
        lower().or_else(|| Self::idn(decoded))
    }

    /// What IDNA makes of plain ASCII without unusual punycode.
    fn lower(text: &str) -> Option<Self> {
        let Found { len, last_label, has_hyphens, is_lower, .. } = Found::whole(text.as_bytes())?;
        let text = text.get(..len)?;
        let is_usual = !has_hyphens || punycode::is_usual(text.as_bytes());
        let lower = || if is_lower { text.to_owned() } else { text.to_ascii_lowercase() };
        let text = || Cow::Owned(lower());
        is_usual.then(|| Name { text: text(), last_label, is_lower: true })
    }

    fn idn(text: &[u8]) -> Option<Self> {
        Self::of_ascii(idn(text)?.into_owned())
    }

    fn of_ascii(mut text: String) -> Option<Self> {
        let Found { len, last_label, is_lower, .. } =
            Found::whole(text.as_bytes()).filter(|found| found.len <= LONGEST_IDN)?;
        text.truncate(len);
        Some(Name { text: Cow::Owned(text), last_label, is_lower })
    }

    fn last_label(&self) -> &str {
        self.text.get(self.last_label..).unwrap_or_default()
    }

    fn is_internal(&self) -> bool {
        let is = |suffix| self.last_label().eq_ignore_ascii_case(suffix);
        match self.last_label().len() {
            _ if self.last_label == 0 => true,
            3 => is("lan"),
            4 => is("arpa") && self.is_home(),
            5 => is("local") || is("onion"),
            8 => is("internal"),
            9 => is("localhost"),
            _ => false,
        }
    }

    fn is_home(&self) -> bool {
        let front = self.text.get(..self.last_label).unwrap_or_default();
        front.rsplit('.').nth(1).is_some_and(|label| label.eq_ignore_ascii_case("home"))
    }

    fn ends_in_number(&self) -> bool {
        let last = self.last_label();
        let is_digits = || last.bytes().all(|byte| byte.is_ascii_digit());
        last.starts_with(|c: char| c.is_ascii_digit()) && (is_digits() || part(last).is_some())
    }
}

/// UTS 46, non-transitional, as browsers do.
fn idn(text: &[u8]) -> Option<Cow<'_, str>> {
    let is_short = text.len() <= LONGEST_IDN;
    is_short.then(|| idna::domain_to_ascii_cow(text, AsciiDenyList::URL).ok())?
}

/// A name found in a text: without its trailing dot it is `len` long, with it, it reaches to `reach`.
struct Found {
    len: usize,
    last_label: usize,
    reach: usize,
    is_lower: bool,
    /// Without which it has no punycode.
    has_hyphens: bool,
}

impl Found {
    fn whole(text: &[u8]) -> Option<Self> {
        Self::at_start(text).filter(|found| found.reach == text.len())
    }

    fn at_start(text: &[u8]) -> Option<Self> {
        if is_long(text) {
            return Self::long(text);
        }
        let (mut last_label, mut label, mut at, mut seen) = (0, 0_usize, 0, INSIDE);
        for &byte in text {
            let place = PLACE[usize::from(byte)];
            if place <= MOST_INSIDE {
                seen |= place;
            } else if place == BETWEEN && at > label {
                (last_label, label) = (label, at + 1);
            } else if place == BETWEEN {
                return None;
            } else {
                break;
            }
            at += 1;
        }
        // The trailing dot of a name that is not empty.
        let len = if at > label { at } else { label.checked_sub(1)? };
        let last_label = if at > label { label } else { last_label };
        let is_lower = seen & UPPER == 0;
        let has_hyphens = seen & X_HYPHEN == X_HYPHEN;
        Some(Self { len, last_label, reach: at, is_lower, has_hyphens })
    }

    /// The same, a block at a time.
    fn long(text: &[u8]) -> Option<Self> {
        let Looks { reach, is_usual } =
            text.first_chunk().map_or_else(|| Looks::of_end(text), Looks::of)?;
        let name = text.get(..reach)?;
        let name = name.strip_suffix(b".").unwrap_or(name);
        let unusual = if is_usual { Unusual::default() } else { Unusual::of(name) };
        let is_name = name.len() <= LONGEST_NAME && !unusual.has_empty;
        (is_name && has_short_labels(name)).then(|| Self {
            len: name.len(),
            last_label: last_dot(name),
            reach,
            is_lower: !unusual.has_capital,
            has_hyphens: unusual.has_hyphens,
        })
    }

    /// The same for punycode, which `raw` has with its trailing dot.
    #[cold]
    fn idn_in<'a>(&self, text: &'a str, raw: &[u8]) -> Option<Name<'a>> {
        let is_short = raw.len() <= LONGEST_IDN;
        if is_short && punycode::is_usual(text.get(..self.len)?.as_bytes())
            || !self.has_punycode(text.as_bytes())
        {
            return self.name_in(text);
        }
        match idn(raw)? {
            Cow::Borrowed(_) => self.name_in(text),
            // It stands otherwise in the text.
            Cow::Owned(text) => Some(Name { is_lower: false, ..Name::of_ascii(text)? }),
        }
    }

    /// Whether its text has.
    fn has_punycode(&self, text: &[u8]) -> bool {
        self.has_hyphens && has_punycode(text.get(..self.len).unwrap_or_default())
    }

    fn name_in<'a>(&self, text: &'a str) -> Option<Name<'a>> {
        let text = Cow::Borrowed(text.get(..self.len)?);
        Some(Name { text, last_label: self.last_label, is_lower: self.is_lower })
    }
}

/// A name that is shorter is looked at byte by byte.
const BLOCK: usize = 32;
/// For the longest name and its dot, and one byte to see behind the last block.
const ROOM: usize = 256 + 1;

fn is_long(text: &[u8]) -> bool {
    text.first_chunk::<BLOCK>().is_some_and(|block| {
        let [.., last] = block;
        PLACE[usize::from(*last)] <= BETWEEN && is_name(block)
    })
}

fn is_name(block: &[u8; BLOCK]) -> bool {
    !scan::any(block, |byte| !is_part(byte))
}

/// How many bytes of a name it begins with.
fn inside(block: &[u8; BLOCK]) -> usize {
    let (halves, _) = block.as_chunks::<{ BLOCK / 2 }>();
    let [first, second] = halves else { return 0 };
    let is_other = |byte: u8| !is_part(byte);
    let (before, half) = if scan::any(first, is_other) { (0, first) } else { (BLOCK / 2, second) };
    before + half.iter().take_while(|byte| PLACE[usize::from(**byte)] <= BETWEEN).count()
}

/// What begins with a name looks like.
struct Looks {
    /// How many bytes can belong to a name.
    reach: usize,
    /// In lower case, and neither two dots nor two hyphens, without which no label is empty or punycode.
    is_usual: bool,
}

impl Looks {
    fn of(text: &[u8; ROOM]) -> Option<Self> {
        let (mut reach, mut is_unusual) = (0, text.starts_with(b"."));
        let following = text.split_first()?.1.as_chunks::<BLOCK>().0;
        for (block, following) in text.as_chunks::<BLOCK>().0.iter().zip(following) {
            if !is_unusual && is_usual(block, following) {
                reach += BLOCK;
                continue;
            }
            if !is_name(block) {
                reach += inside(block);
                break;
            }
            is_unusual = true;
            reach += BLOCK;
        }
        // Once more up to the end, where a whole block is not left.
        let (last, following) =
            (text.get(reach.checked_sub(BLOCK)?..)?, text.get(reach - BLOCK + 1..)?);
        is_unusual = is_unusual || !is_usual(last.first_chunk()?, following.first_chunk()?);
        Some(Self { reach, is_usual: !is_unusual })
    }

    #[cold]
    fn of_end(text: &[u8]) -> Option<Self> {
        let mut padded = [0; ROOM];
        padded.get_mut(..text.len())?.copy_from_slice(text);
        Self::of(&padded)
    }
}

/// Whether all are of a name, in lower case, and neither a dot nor a hyphen stands twice.
#[inline]
#[expect(clippy::needless_bitwise_bool, reason = "branches would keep it from being vectorized")]
fn is_usual(block: &[u8; BLOCK], following: &[u8; BLOCK]) -> bool {
    !block.iter().zip(following).fold(false, |any, (&byte, &next)| {
        let is_letter = byte.wrapping_sub(b'a') < 26;
        // A slash is among them, and is taken for one that stands twice.
        let is_mark_or_digit = byte.wrapping_sub(b'-') <= b'9' - b'-';
        let is_mark = byte | 3 == b'/';
        any | !(is_letter | is_mark_or_digit) | (byte == b'/') | (is_mark & (byte == next))
    })
}

/// What keeps a name from being usual.
#[derive(Default)]
struct Unusual {
    has_capital: bool,
    has_empty: bool,
    has_hyphens: bool,
}

impl Unusual {
    fn of(name: &[u8]) -> Self {
        let has_empty = name.starts_with(b".") || name.ends_with(b".");
        let mut unusual = Self { has_empty, ..Self::default() };
        let mut rest = name;
        while let Some(block) = rest.first_chunk().or_else(|| name.last_chunk()) {
            unusual.look(block);
            rest = rest.get(BLOCK..).unwrap_or_default();
            if rest.is_empty() {
                return unusual;
            }
        }
        let has_twice = |twice| name.windows(2).any(|pair| pair == twice);
        Self {
            has_capital: name.iter().any(u8::is_ascii_uppercase),
            has_empty: has_empty || has_twice(b".."),
            has_hyphens: has_twice(b"--"),
        }
    }

    /// A block, and the byte behind it.
    fn look(&mut self, block: &[u8; BLOCK + 1]) {
        let (Some(bytes), Some(following)) = (block.first_chunk(), block.last_chunk()) else {
            return;
        };
        let is_capital = |byte: u8| byte.wrapping_sub(b'A') < 26;
        self.has_capital |= is_capital(block[0]) || scan::any(following, is_capital);
        self.has_empty |= has_twice(bytes, following, b'.');
        self.has_hyphens |= has_twice(bytes, following, b'-');
    }
}

#[expect(clippy::needless_bitwise_bool, reason = "branches would keep it from being vectorized")]
fn has_twice(block: &[u8; BLOCK], following: &[u8; BLOCK], wanted: u8) -> bool {
    let pairs = block.iter().zip(following);
    pairs.fold(false, |any, (byte, next)| any | ((byte == next) & (*byte == wanted)))
}

/// Whether every label has at most 63 bytes: none is cut where the last dot within 64 is taken.
fn has_short_labels(mut name: &[u8]) -> bool {
    while let Some(reach) = name.get(..=LONGEST_LABEL) {
        let label = last_dot(reach);
        name = name.get(label..).filter(|_| label > 0).unwrap_or_default();
        if label == 0 {
            return false;
        }
    }
    true
}

/// How many bytes of a name there are up to its last dot, that one included.
fn last_dot(mut name: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    while let Some((before, last)) = name.split_last_chunk() {
        let others = u64::from_le_bytes(*last) ^ (ONES * u64::from(b'.'));
        // Of ASCII nothing is borrowed from the next byte.
        let dots = ((ONES << 7) - others) & (ONES << 7);
        if dots != 0 {
            return before.len() + 8 - dots.leading_zeros() as usize / 8;
        }
        name = before;
    }
    name.iter().rposition(|byte| is_dot(*byte)).map_or(0, |at| at + 1)
}

#[cold]
fn has_punycode(name: &[u8]) -> bool {
    name.split(|byte| is_dot(*byte)).any(|label| {
        label.first_chunk::<4>().is_some_and(|start| start.eq_ignore_ascii_case(b"xn--"))
    })
}

const fn is_dot(byte: u8) -> bool {
    byte == b'.'
}

#[expect(clippy::needless_bitwise_bool, reason = "branches would keep it from being vectorized")]
const fn is_part(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let is_mark_or_digit = byte.wrapping_sub(b'-') <= b'9' - b'-';
    is_letter | is_mark_or_digit & (byte != b'/') | (byte == b'_')
}

/// Where a byte stands in a name: inside of a label, between two, or nowhere.
static PLACE: [u8; 256] = {
    let mut places = [OUTSIDE; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        places[byte as usize] = match byte {
            b'x' => X,
            b'X' => X | UPPER,
            b'-' => HYPHEN,
            b'a'..=b'z' | b'0'..=b'9' | b'_' => INSIDE,
            b'A'..=b'Z' => UPPER,
            b'.' => BETWEEN,
            b':' => BEHIND,
            _ => OUTSIDE,
        };
        byte += 1;
    }
    places
};

const INSIDE: u8 = 0;
const UPPER: u8 = 1;
const X: u8 = 2;
const HYPHEN: u8 = 4;
const X_HYPHEN: u8 = X | HYPHEN;
const MOST_INSIDE: u8 = 7;
const BETWEEN: u8 = 8;
/// The port of an authority begins.
const BEHIND: u8 = 16;
/// Above all the others together.
const OUTSIDE: u8 = 32;

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_same(one: &str, other: &str) -> bool {
        let host = |text| Authority::parse(text).map(|authority| authority.host);
        host(one).zip(host(other)).is_some_and(|(one, other)| one.is_same(&other))
    }

    #[test]
    fn hosts_are_the_same_however_they_are_written() {
        for (one, other) in [
            ("example.com", "EXAMPLE.com.:8080"),
            ("user:pass@example.com", "example.com:"),
            ("münchen.example", "xn--mnchen-3ya.example"),
            ("MÜNCHEN.example", "m%C3%BCnchen.example"),
            ("ex%61mple.com", "example.com"),
            ("[::1]:3000", "[0:0:0:0:0:0:0:1]"),
            ("127.0.0.1", "0x7f.1"),
            ("127.0.0.1", "2130706433"),
            ("127.0.0.1.", "017700000001:80"),
            ("１２７.0.0.1", "127.1"),
            ("example。com", "example.com"),
            ("faß.example", "xn--fa-hia.example"),
        ] {
            assert!(is_same(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("example.com", "example.org"),
            ("example.com", "www.example.com"),
            ("faß.example", "fass.example"),
            ("[::1]", "1.0.0.0"),
            ("", ""),
            ("a..b", "a..b"),
        ] {
            assert!(!is_same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn an_authority_names_a_host_whatever_stands_around_it() {
        for (host, authority, expected) in [
            ("example.com", "EXAMPLE.com", true),
            ("example.com", "example.com.", true),
            ("example.com", "example.com.:443", true),
            ("example.com", "example.com:", true),
            ("example.com", "user@example.com:443", true),
            ("example.com", "ex%61mple.com", true),
            ("xn--mnchen-3ya.example", "m%C3%BCnchen.example", true),
            // No `Host` field can have this, and `server.address` does not read it either.
            ("xn--mnchen-3ya.example", "münchen.example", false),
            ("127.0.0.1", "0x7f.1:80", true),
            ("[::1]", "[0::1]:80", true),
            ("example.com", "example.com:99999", false),
            ("example.com", "example.com..", false),
            ("example.com", "example.com.evil.example", false),
            ("example.com", "example.com:80@evil.example", false),
            ("example.com", "example.com@evil.example", false),
            ("example.com", "example.co", false),
            ("example.com", "", false),
        ] {
            let site = Authority::parse(host).unwrap().host;
            assert_eq!(site.is_named_by(authority.as_bytes()), expected, "{host} {authority}");
        }
    }

    /// What a name is by its definition.
    fn found(text: &str) -> Option<(usize, usize, usize, bool, bool)> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let reach = text.find(|c| !is_part(c)).unwrap_or(text.len());
        let name = text[..reach].strip_suffix('.').unwrap_or(&text[..reach]);
        let labels: Vec<_> = name.split('.').collect();
        let is_name = name.len() <= 253 && labels.iter().all(|one| (1..=63).contains(&one.len()));
        let has_punycode = labels.iter().any(|one| one.to_ascii_lowercase().starts_with("xn--"));
        let last_label = name.rfind('.').map_or(0, |dot| dot + 1);
        is_name.then_some((
            name.len(),
            last_label,
            reach,
            name == name.to_lowercase(),
            has_punycode,
        ))
    }

    fn name_like() -> impl Strategy<Value = String> {
        let parts =
            ["a", "Bc", "x", "X", "1-", "--", "xn--", "Xn--", ".", "..", "_", "-", ":", "/", "é"];
        let label = proptest::sample::select(vec![
            "a.",
            "example.",
            "long-label.",
            "0123456789abcdef",
            "xn--9ca.",
            "x--.",
            "Zz.",
        ]);
        let part = (proptest::sample::select(parts.to_vec()), 1..80_usize);
        let labels = proptest::collection::vec(label, 0..60);
        (
            labels,
            proptest::option::of(part),
            proptest::collection::vec(proptest::sample::select(parts.to_vec()), 0..4),
        )
            .prop_map(|(labels, part, end)| {
                let run = part.map_or(String::new(), |(part, count)| part.repeat(count));
                labels.concat() + &run + &end.concat()
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_name_is_found_as_it_is_defined_however_long_it_is(text in name_like()) {
            let all = |found: Found| {
                let has_punycode = found.has_punycode(text.as_bytes());
                (found.len, found.last_label, found.reach, found.is_lower, has_punycode)
            };
            prop_assert_eq!(Found::at_start(text.as_bytes()).map(all), found(&text));
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let label = "a".repeat(64);
        let name = format!("{}com", "a.".repeat(126));
        assert!(Authority::parse(&name[1..]).is_none());
        let longer = format!("a.{}com", "a.".repeat(125));
        assert!(Authority::parse(&longer).is_none() == (longer.len() > 253));
        for text in [
            "",
            ".",
            "..",
            "a..",
            "a..b",
            ".a",
            ":80",
            "a:b",
            "a:65536",
            "a:-1",
            "a:+1",
            "a:80:80",
            "a: 80",
            "a:８０",
            "a b",
            " a",
            "a\t",
            "a\u{0}",
            "a\u{7f}",
            "a%zz",
            "a%",
            "a%00",
            "a%2fb",
            "a%40b",
            "%ff",
            "%c3",
            "a%3a80",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "a<b",
            "a|b",
            "a^b",
            "a[b",
            "[",
            "[]",
            "[::1",
            "::1",
            "[::1]x",
            "[::1%25eth0]",
            "[127.0.0.1]",
            "[v1.a]",
            "1.2.3.4.5",
            "256.1.1.1",
            "1.2.3.256",
            "4294967296",
            "0x1ffffffff",
            "09.1",
            "1.2.3.09",
            "1..2",
            "0xg.1.1",
            "a.1",
            "a.0x1",
            "a.0x",
            "xn--",
            "xn--a",
            "xn--\u{fc}",
            "a!b.example",
            "a;b.example",
            "a=b.example",
            "a&b",
            "a'b",
            "a\"b",
            "a{b",
            "a`b",
            "a~b",
            "a*b",
            "a,b",
            "a+b",
            "user@",
            "\u{ad}",
            "a\u{202e}b\u{0}",
            "\u{fffd}.com",
            label.as_str(),
        ] {
            assert!(Authority::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_name_beyond_plain_ascii_is_short() {
        for (label, count) in [("%61", 56), ("xn--9ca.", 7), ("é", 28)] {
            let name = |count| format!("{}.example", label.repeat(count)).replace("..", ".");
            assert!(Authority::parse(&name(count)).is_some(), "{label}");
            assert!(Authority::parse(&name(count + 1)).is_none(), "{label}");
        }
    }

    #[test]
    fn addresses_are_read_as_browsers_read_them() {
        for text in [
            "0",
            "1",
            "0x",
            "0x.0x",
            "00",
            "1.2",
            "1.2.3",
            "1.2.3.4",
            "255.255.255.255",
            "1.16777215",
            "1.1.65535",
            "0XFF.1",
            "0377.1",
            "4294967295",
            "0xffffffff",
            "127.0.0.1.",
            "1%2e2",
            "0x0000000000000000000000007f",
        ] {
            let site = format!("http://{text}/");
            let oracle = url::Url::parse(&site).ok().and_then(|url| match url.host() {
                Some(url::Host::Ipv4(address)) => Some(address),
                _ => None,
            });
            let ours = match Authority::parse(text).map(|authority| authority.host) {
                Some(Host::V4(address)) => Some(address),
                _ => None,
            };
            assert!(ours.is_some(), "{text}");
            assert_eq!(ours, oracle, "{text}");
        }
    }

    #[test]
    fn a_server_is_one_of_the_declared_hosts_or_another() {
        let allow = ["example.com", "API.example.com.", "münchen.example", "::1", "192.0.2.7"];
        let written = |authority| host(authority, &allow).word(&allow);
        assert_eq!(written("Example.COM:8080"), "example.com");
        assert_eq!(written("example.com."), "example.com");
        assert_eq!(written("api.example.com"), "API.example.com.");
        assert_eq!(written("xn--mnchen-3ya.example"), "münchen.example");
        assert_eq!(written("[::1]:3000"), "::1");
        assert_eq!(written("192.0.2.7:80"), "192.0.2.7");
        for other in [
            "",
            "evil.example",
            "example.com@evil.example",
            "example.com/x",
            "xexample.com",
            "_OTHER",
        ] {
            assert_eq!(written(other), "_OTHER", "{other}");
        }
    }

    #[test]
    fn a_host_as_it_is_declared_is_read_like_any_other() {
        let allow = ["example.com", "EXAMPLE.com", "a..b", "::1", "[::1]", "é.example", "", "b:80"];
        let hosts = Hosts::new(&allow.map(str::to_owned));
        for asked in allow.iter().chain(&["example.com:80", "Example.com", "b", "\u{7f}"]) {
            let expected =
                visible(asked.as_bytes()).map(|asked| Text::new(host(asked, &allow).word(&allow)));
            assert_eq!(hosts.text(asked.as_bytes()), expected, "{asked}");
        }
    }

    #[test]
    fn only_names_of_the_public_dns_leave() {
        for text in [
            "localhost",
            "intranet",
            "com",
            "nas.local",
            "NAS.Local.",
            "a.internal",
            "a.lan",
            "a.b.home.arpa",
            "home.arpa",
            "x.onion",
            "app.localhost",
            "10.0.0.1",
            "[::1]",
        ] {
            let host = Authority::parse(text).unwrap().host;
            assert!(host.public_name().is_none(), "{text}");
        }
        for text in [
            "example.com",
            "local.example",
            "a.arpa",
            "home.arpa.example",
            "xlocal.example",
            "x.xlan",
            "chome.arpa",
        ] {
            let host = Authority::parse(text).unwrap().host;
            assert!(host.public_name().is_some(), "{text}");
        }
    }
}

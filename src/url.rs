//! What may remain of a path, a query and a referrer.
//!
//! Every function builds its text from the parts that a treatment keeps; nothing is a whole value with
//! parts removed. Reduction comes first, text safety and the cut at 256 characters after it. Where
//! a value could be read in two ways, the reading that keeps less is taken, and what lies beyond the
//! bytes that are read counts as not there. Routes do not come from here: only the router knows them.

use crate::host::Authority;
use crate::percent;
use crate::text::{Draft, LONGEST, Text};
use std::borrow::Cow;
use std::str;

/// Bytes of a referrer or a path that are read: no text is longer than this.
const READ: usize = LONGEST * 4;
const READ_OF_QUERY: usize = 4 * 1024;
const MOST_PAIRS: usize = 64;
/// With any scheme and port, a name up to this length is not cut.
const LONGEST_NAME: usize = LONGEST - "https://:65535".len();

/// Where a request came from: an origin, `self`, `internal` or `other` (RULES D1); `None` when empty.
///
/// `host` is the request's own, from `Host` or `:authority`; scheme and port make no difference to
/// `self`, since behind a proxy the service knows neither.
///
/// # Privacy
/// Leaves scheme, host and port of a public site, for as long as the record lives.
pub(crate) fn origin(referer: &[u8], host: Option<&str>) -> Option<Text> {
    Some(match Referrer::read(referer, host)? {
        Referrer::Own(_) => Text::fixed("self"),
        Referrer::Internal => Text::fixed("internal"),
        Referrer::External(site) => site.origin().finish(),
        Referrer::Other => Text::fixed("other"),
    })
}

/// `self`, `internal`, or `external` for everything else: what is no web page is not ours either, and
/// a fourth word would tell more than the three that are declared.
pub(crate) fn relation(referer: &[u8], host: Option<&str>) -> Option<&'static str> {
    Some(match Referrer::read(referer, host)? {
        Referrer::Own(_) => "self",
        Referrer::Internal => "internal",
        Referrer::External(_) | Referrer::Other => "external",
    })
}

/// The origin and the path behind it, `self/…` for our own; the words `internal` and `other` stay alone.
///
/// # Privacy
/// A path can name a person or hold a token: this treatment needs `accept_risk`.
pub(crate) fn referrer_path(referer: &[u8], host: Option<&str>) -> Option<Text> {
    let (mut draft, path) = match Referrer::read(referer, host)? {
        Referrer::Own(path) => (Draft::start("self"), path),
        Referrer::External(site) => (site.origin(), site.path),
        Referrer::Internal => return Some(Text::fixed("internal")),
        Referrer::Other => return Some(Text::fixed("other")),
    };
    draft.push(if path.is_empty() { "/" } else { path });
    Some(draft.finish())
}

enum Referrer<'a> {
    Own(&'a str),
    Internal,
    External(Site<'a>),
    Other,
}

struct Site<'a> {
    scheme: &'static str,
    name: Cow<'a, str>,
    port: Option<u16>,
    path: &'a str,
}

impl<'a> Referrer<'a> {
    fn read(referer: &'a [u8], host: Option<&str>) -> Option<Referrer<'a>> {
        let Some(text) = beginning(referer) else {
            return Some(Referrer::Other);
        };
        let is_whole = text.len() == referer.len();
        let text = text.trim_ascii();
        (!text.is_empty()).then(|| Referrer::parse(text, is_whole, host).unwrap_or(Referrer::Other))
    }

    fn parse(text: &'a str, is_whole: bool, host: Option<&str>) -> Option<Referrer<'a>> {
        let (scheme, default, rest) = scheme(text)?;
        let (authority, rest) = split(rest, *b"/\\?#");
        if rest.is_empty() && !is_whole {
            return None;
        }
        let Authority { host: site, port } = Authority::parse(authority)?;
        let own = host.and_then(Authority::parse);
        if own.is_some_and(|own| own.host.is_same(&site)) {
            return Some(Referrer::Own(before_query(rest)));
        }
        let Some(name) = site.public_name() else {
            return Some(Referrer::Internal);
        };
        let port = port.filter(|&port| port != default);
        let path = before_query(rest);
        let site = Site { scheme, name, port, path };
        (site.name.len() <= LONGEST_NAME).then_some(Referrer::External(site))
    }
}

/// As much as is read; a referrer that is longer than this must be ASCII, as browsers write it.
fn beginning(referer: &[u8]) -> Option<&str> {
    match referer.get(..READ) {
        Some(read) if referer.is_ascii() => str::from_utf8(read).ok(),
        Some(_) if referer.len() > READ => None,
        _ => str::from_utf8(referer).ok(),
    }
}

fn scheme(text: &str) -> Option<(&'static str, u16, &str)> {
    let after = |start: &str| {
        let (found, rest) = text.split_at_checked(start.len())?;
        found.eq_ignore_ascii_case(start).then_some(rest)
    };
    let web = |scheme, default| Some((scheme, default, after(scheme)?));
    web("https://", 443).or_else(|| web("http://", 80))
}

fn before_query(text: &str) -> &str {
    split(text, *b"?#").0
}

impl Site<'_> {
    fn origin(&self) -> Draft {
        let mut draft = Draft::start(self.scheme);
        draft.push_whole(&self.name);
        draft.make_ascii_lowercase();
        if let Some(port) = self.port {
            draft.push_whole(":");
            push_number(&mut draft, port);
        }
        draft
    }
}

fn push_number(draft: &mut Draft, number: u16) {
    if number > 9 {
        push_number(draft, number / 10);
    }
    let digit = usize::from(number % 10);
    draft.push_whole("0123456789".get(digit..=digit).unwrap_or_default());
}

/// The `depth` leading segments of a request's path; `None` when it has no path (authority-form).
///
/// A segment ends wherever some server would end it: at `/` and `\`, plain or percent-encoded, even
/// more than once. Its parameters (from `;`, or from a `?` or `#` that was encoded) are left out.
///
/// # Privacy
/// Leaves whole segments: `depth` should end before the first one that names somebody.
pub(crate) fn path(path: &str, depth: u8) -> Option<Text> {
    if path == "*" {
        return Some(Text::fixed("*"));
    }
    let mut rest = Some(head(path, READ).strip_prefix('/')?);
    let mut draft = Draft::new();
    for _ in 0..depth {
        let Some(segments) = rest.filter(|_| !draft.is_full()) else {
            break;
        };
        let (kept, next) = segment(segments);
        draft.push_whole("/");
        draft.push(kept);
        rest = next;
    }
    Some(if draft.is_empty() { Text::fixed("/") } else { draft.finish() })
}

fn segment(path: &str) -> (&str, Option<&str>) {
    let (kept, mark, rest) = until_mark(path, b"/\\;?#");
    match mark {
        Some(b'/' | b'\\') => (kept, Some(rest)),
        Some(_) => {
            let (_, separator, rest) = until_mark(rest, b"/\\");
            (kept, separator.map(|_| rest))
        }
        None => (kept, None),
    }
}

/// What stands before the first of these marks, the mark, and what stands behind it.
fn until_mark<'a>(text: &'a str, marks: &[u8]) -> (&'a str, Option<u8>, &'a str) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let (byte, len) = if byte == b'%' { unwrapped(bytes, at) } else { (byte, 1) };
        if marks.contains(&byte) {
            let rest = text.get(at + len..).unwrap_or_default();
            return (text.get(..at).unwrap_or_default(), Some(byte), rest);
        }
        at += len;
    }
    (text, None, "")
}

fn unwrapped(bytes: &[u8], at: usize) -> (u8, usize) {
    let mut digits = bytes.get(at + 1..).unwrap_or_default();
    while let Some(inner) = digits.strip_prefix(b"25") {
        digits = inner;
    }
    match percent::pair(digits) {
        Some(byte) => (byte, bytes.len() - at - digits.len() + 2),
        None => (b'%', 1),
    }
}

/// The pairs of a query whose key is declared, in their order; `None` when there is none.
///
/// Keys are compared after percent-decoding, with `+` as a space, and written as they were declared.
/// Pairs end at `&`, and at `;` and `?` too, because some servers and broken links mean that. Values of
/// signatures and credentials become `REDACTED`, whoever declared them (OpenTelemetry, `url.query`).
/// Only the first 4 KiB and 64 pairs are read.
pub(crate) fn query(query: &str, allow: &[impl AsRef<str>]) -> Option<Text> {
    let mut draft = Draft::new();
    let mut rest = whole_pairs(query);
    for _ in 0..MOST_PAIRS {
        let (pair, behind) = split(rest, *b"&;?");
        let (key, value) = split(pair, *b"=");
        if let Some(name) = allow.iter().map(AsRef::as_ref).find(|name| is_key(key, name)) {
            push_pair(&mut draft, name, value);
        }
        if behind.is_empty() || draft.is_full() {
            break;
        }
        rest = behind.get(1..).unwrap_or_default();
    }
    (!draft.is_empty()).then(|| draft.finish())
}

fn whole_pairs(query: &str) -> &str {
    let read = head(query, READ_OF_QUERY);
    if read.len() == query.len() {
        return query;
    }
    read.rsplit_once(['&', ';', '?']).map_or("", |(pairs, _)| pairs)
}

fn is_key(key: &str, name: &str) -> bool {
    !name.is_empty() && percent::decoded(key, b' ').eq(name.bytes())
}

const SECRETS: [&str; 7] = [
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "X-Goog-Signature",
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
];

fn push_pair(draft: &mut Draft, name: &str, value: &str) {
    if !draft.is_empty() {
        draft.push_whole("&");
    }
    push_encoded(draft, name, |byte| is_plain(byte) && byte != b'=' && byte != b'+');
    if SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
        draft.push_whole("=REDACTED");
    } else {
        push_encoded(draft, value, is_plain);
    }
}

/// What is not plain is percent-encoded, and what was percent-encoded stays as it came.
fn push_encoded(draft: &mut Draft, text: &str, is_plain: fn(u8) -> bool) {
    let mut rest = text;
    while !rest.is_empty() && !draft.is_full() {
        let len = rest.bytes().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
        let (plain, behind) = rest.split_at_checked(len).unwrap_or_default();
        draft.push(plain);
        rest = match triplet(behind) {
            Some((triplet, behind)) => {
                draft.push_whole(triplet);
                behind
            }
            None => push_char(draft, behind),
        };
    }
}

fn triplet(text: &str) -> Option<(&str, &str)> {
    percent::pair(text.strip_prefix('%')?.as_bytes())?;
    text.split_at_checked(3)
}

fn push_char<'a>(draft: &mut Draft, text: &'a str) -> &'a str {
    let mut chars = text.chars();
    if let Some(first) = chars.next() {
        for byte in first.encode_utf8(&mut [0; 4]).bytes() {
            let triplet = percent::encoded(byte);
            draft.push_whole(str::from_utf8(&triplet).unwrap_or_default());
        }
    }
    chars.as_str()
}

/// What a query can hold as it is (URL standard, query percent-encode set), less what ends a pair for us
/// and the backslash, which a text would double.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !br##""#<>\%&;?"##.contains(&byte)
}

/// The first `most` bytes, less what would split a character.
fn head(text: &str, most: usize) -> &str {
    let mut ends = (most.saturating_sub(3)..=most).rev();
    ends.find_map(|end| text.get(..end)).unwrap_or(text)
}

/// Splits before the first of `stops`.
fn split<const N: usize>(text: &str, stops: [u8; N]) -> (&str, &str) {
    let is_stop = |byte: u8| stops.iter().fold(false, |any, &stop| any || byte == stop);
    let has_stop = |block: &[u8]| block.iter().fold(false, |any, &byte| any | is_stop(byte));
    let bytes = text.as_bytes();
    let mut at = bytes.chunks_exact(16).take_while(|block| !has_stop(block)).count() * 16;
    while bytes.get(at).is_some_and(|&byte| !is_stop(byte)) {
        at += 1;
    }
    text.split_at_checked(at).unwrap_or((text, ""))
}

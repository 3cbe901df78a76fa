//! What is read of requests and responses, and nothing else of them is.
//!
//! Every part is read by one function, which gives back what a record keeps. What is missing or cannot be
//! read is absent.
#![expect(clippy::disallowed_methods, reason = "the one place that reads raw requests")]

use std::iter;
use std::net::IpAddr;
use std::time::SystemTime;

use http::header::{ACCEPT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, HOST, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};

use crate::app::{Consent, PeerAddr, Route};
use crate::client::truncate;
use crate::device::{Device, Hints, classify};
use crate::field::{Path, Referer};
use crate::fixed::Fixed;
use crate::host::Hosts;
use crate::keys::Current;
use crate::language::Languages;
use crate::plan::{Needs, Plan, Reduction};
#[cfg(feature = "axum")]
use crate::text;
use crate::text::Text;
use crate::{address, url};

/// The parts of a request that reductions need more than once.
pub(super) struct Capture<'r> {
    headers: Headers<'r>,
    uri: &'r http::Uri,
    host: Option<&'r [u8]>,
    client: Option<IpAddr>,
    pub(super) epoch: Option<Current>,
}

impl<'r> Capture<'r> {
    #[inline]
    pub(super) fn of<B>(plan: &Plan, request: &'r Request<B>, now: SystemTime) -> Self {
        Self {
            headers: Headers::Unread(request.headers()),
            uri: request.uri(),
            host: None,
            client: plan.needs.client.then(|| client(plan, request)).flatten(),
            epoch: plan.epoch(now),
        }
    }

    /// Reads the headers that several reductions need.
    #[inline]
    pub(super) fn read(&mut self, needs: &Needs) {
        if needs.device {
            self.headers.read();
        }
        if needs.host {
            self.host = asked(self.uri, &self.headers);
        }
    }

    /// A call for each kind, so that none pays for what another one has to keep.
    #[inline]
    pub(super) fn reduce(&self, reduction: &Reduction) -> Option<Text> {
        match reduction {
            Reduction::Address { ipv4, ipv6 } => self.address(*ipv4, *ipv6),
            Reduction::Pseudonym { ipv6 } => self.pseudonym(*ipv6),
            Reduction::Path(path) => self.path(path),
            Reduction::Query(allow) => self.query(allow),
            Reduction::Host(hosts) => self.host(hosts),
            Reduction::Referer(referer) => self.referer(referer),
            Reduction::UserAgent => self.user_agent(),
            Reduction::Language(allow) => self.language(allow),
        }
    }

    #[inline(never)]
    fn address(&self, ipv4: u8, ipv6: u8) -> Option<Text> {
        Some(address::text(truncate(self.client?, ipv4, ipv6)))
    }

    #[inline(never)]
    fn pseudonym(&self, ipv6: u8) -> Option<Text> {
        let epoch = self.epoch.as_ref()?;
        Some(epoch.address(self.client?, ipv6).written())
    }

    #[inline(never)]
    fn path(&self, path: &Path) -> Option<Text> {
        match path {
            Path::Depth(depth) => url::path(self.uri.path(), *depth),
            // A CONNECT's target has none.
            Path::Keep { .. } => {
                Some(self.uri.path()).filter(|path| !path.is_empty()).map(Text::new)
            }
        }
    }

    #[inline(never)]
    fn query(&self, allow: &[String]) -> Option<Text> {
        url::query(self.uri.query()?, allow)
    }

    #[inline(never)]
    fn host(&self, hosts: &Hosts) -> Option<Text> {
        hosts.text(self.host?)
    }

    #[inline(never)]
    fn user_agent(&self) -> Option<Text> {
        Text::from_utf8(self.headers.user_agent()?)
    }

    #[inline(never)]
    fn language(&self, allow: &Languages) -> Option<Text> {
        allow.text(self.headers.accept_language()?)
    }

    #[inline(never)]
    fn referer(&self, referer: &Referer) -> Option<Text> {
        let value = self.headers.referer()?;
        match referer {
            Referer::Origin => url::origin(value, self.host),
            Referer::Relation => url::relation(value, self.host).map(Text::fixed),
            Referer::Path { .. } => url::referrer_path(value, self.host),
        }
    }

    pub(super) fn device(&self) -> Option<Device> {
        match &self.headers {
            Headers::Read(read) => classify(&read.hints),
            Headers::Unread(map) => classify(&hints(map)),
        }
    }
}

/// The headers that are reduced; the first value of a name counts.
///
/// Looking up a name that `http` has no number for costs as much as passing several headers, and the client
/// hints have such names: where hints are wanted, few headers are read from the first to the last, once.
enum Headers<'r> {
    Unread(&'r HeaderMap),
    Read(Read<'r>),
}

#[derive(Default)]
struct Read<'r> {
    host: Option<&'r [u8]>,
    referer: Option<&'r [u8]>,
    accept_language: Option<&'r [u8]>,
    hints: Hints<'r>,
}

static BRANDS: HeaderName = HeaderName::from_static("sec-ch-ua");
static MOBILE: HeaderName = HeaderName::from_static("sec-ch-ua-mobile");
static PLATFORM: HeaderName = HeaderName::from_static("sec-ch-ua-platform");

/// Passing more headers would cost more than looking names up.
const FEW: usize = 24;

impl<'r> Headers<'r> {
    /// Reads few headers, hints and all.
    #[inline]
    fn read(&mut self) {
        if let Self::Unread(map) = *self
            && map.len() <= FEW
        {
            *self = Self::Read(Read::default());
            if let Self::Read(read) = self {
                read.all(map);
            }
        }
    }

    fn host(&self) -> Option<&'r [u8]> {
        self.either(&HOST, |read| read.host)
    }

    fn referer(&self) -> Option<&'r [u8]> {
        self.either(&REFERER, |read| read.referer)
    }

    fn accept_language(&self) -> Option<&'r [u8]> {
        self.either(&ACCEPT_LANGUAGE, |read| read.accept_language)
    }

    fn user_agent(&self) -> Option<&'r [u8]> {
        self.either(&USER_AGENT, |read| read.hints.user_agent)
    }

    #[inline]
    fn either(
        &self,
        name: &HeaderName,
        read: impl FnOnce(&Read<'r>) -> Option<&'r [u8]>,
    ) -> Option<&'r [u8]> {
        match self {
            Self::Read(headers) => read(headers),
            Self::Unread(map) => first(map, name),
        }
    }
}

fn first<'r>(map: &'r HeaderMap, name: &HeaderName) -> Option<&'r [u8]> {
    map.get(name).map(HeaderValue::as_bytes)
}

#[cold]
fn hints(map: &HeaderMap) -> Hints<'_> {
    Hints {
        user_agent: first(map, &USER_AGENT),
        brands: first(map, &BRANDS),
        mobile: first(map, &MOBILE),
        platform: first(map, &PLATFORM),
    }
}

impl<'r> Read<'r> {
    #[inline(never)]
    fn all(&mut self, map: &'r HeaderMap) {
        for (name, value) in map {
            if let Some(place) = self.place(name) {
                place.get_or_insert(value.as_bytes());
            }
        }
    }

    /// Names that `http` has a number for are told without their text.
    #[inline]
    fn place(&mut self, name: &HeaderName) -> Option<&mut Option<&'r [u8]>> {
        if *name == HOST {
            return Some(&mut self.host);
        }
        if *name == REFERER {
            return Some(&mut self.referer);
        }
        if *name == USER_AGENT {
            return Some(&mut self.hints.user_agent);
        }
        if *name == ACCEPT_LANGUAGE {
            return Some(&mut self.accept_language);
        }
        Some(match name.as_str() {
            "sec-ch-ua" => &mut self.hints.brands,
            "sec-ch-ua-mobile" => &mut self.hints.mobile,
            "sec-ch-ua-platform" => &mut self.hints.platform,
            _ => return None,
        })
    }
}

/// The logs that stay when the request says what they respect; RULES D5.
pub(super) fn respected(plan: &Plan, logs: u32, headers: &HeaderMap) -> u32 {
    if !plan.needs.gpc || !headers.get_all("sec-gpc").iter().any(|value| value == "1") {
        return logs;
    }
    let refused = (0..).zip(&plan.logs).filter(|(_, log)| log.respects_gpc);
    refused.fold(logs, |logs, (at, _)| logs & !(1 << at))
}

#[inline]
pub(super) fn consented(plan: &Plan, extensions: &http::Extensions) -> u32 {
    if !plan.needs.consent {
        return 0;
    }
    let Some(consent) = extensions.get::<Consent>() else { return 0 };
    let covered = (0..).zip(&plan.logs).filter(|(_, log)| consent.covers(&log.name));
    covered.fold(0, |all, (at, _)| all | 1 << at)
}

fn client<B>(plan: &Plan, request: &Request<B>) -> Option<IpAddr> {
    let peer = peer(request.extensions())?.ip();
    let client = match &plan.client_header {
        Some(name) => {
            let values = request.headers().get_all(name);
            plan.clients.resolve(peer, values.iter().map(HeaderValue::as_bytes))
        }
        None => plan.clients.resolve(peer, iter::empty()),
    };
    client.map_err(|unknown| plan.count(unknown)).ok()
}

fn peer(extensions: &http::Extensions) -> Option<std::net::SocketAddr> {
    let given = extensions.get::<PeerAddr>().map(|peer| peer.0);
    #[cfg(feature = "axum")]
    let given = given.or_else(|| {
        extensions.get::<axum::extract::ConnectInfo<std::net::SocketAddr>>().map(|info| info.0)
    });
    given
}

pub(super) fn template(extensions: &http::Extensions) -> Option<Template> {
    let given = extensions.get::<Route>().cloned().map(Template::Given);
    #[cfg(feature = "axum")]
    let given = given.or_else(|| extensions.get().cloned().map(Template::Matched));
    given.map(Template::safe)
}

impl Template {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            #[cfg(feature = "axum")]
            Self::Matched(path) => path.as_str(),
            Self::Given(route) => route.as_str(),
            Self::Escaped(text) => text.as_str(),
        }
    }

    #[inline]
    pub(super) fn safe(self) -> Self {
        let is_word = match &self {
            #[cfg(feature = "axum")]
            Self::Matched(path) => text::is_word(path.as_str()),
            Self::Given(route) => route.is_word(),
            Self::Escaped(_) => true,
        };
        if is_word { self } else { Self::Escaped(Box::new(Text::new(self.as_str()))) }
    }
}

/// The host that was asked for: `:authority` or an absolute target, else `Host`.
fn asked<'r>(uri: &'r http::Uri, headers: &Headers<'r>) -> Option<&'r [u8]> {
    let target = uri.authority().map(|target| target.as_str().as_bytes());
    target.or_else(|| headers.host())
}

/// A server that knows its scheme puts it into the extensions; a target is only the client's word.
pub(super) fn scheme<B>(request: &Request<B>) -> Option<&'static Fixed> {
    let given = request.extensions().get::<http::uri::Scheme>();
    known(&SCHEMES, given.or_else(|| request.uri().scheme())?.as_str())
}

pub(super) fn version(version: Version) -> Option<&'static Fixed> {
    static WORDS: [Fixed; 5] =
        [Fixed::new("0.9"), Fixed::new("1.0"), Fixed::new("1.1"), Fixed::new("2"), Fixed::new("3")];
    let [http_09, http_10, http_11, http_2, http_3] = &WORDS;
    match version {
        Version::HTTP_09 => Some(http_09),
        Version::HTTP_10 => Some(http_10),
        Version::HTTP_11 => Some(http_11),
        Version::HTTP_2 => Some(http_2),
        Version::HTTP_3 => Some(http_3),
        _ => None,
    }
}

pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    let digits = first(headers, &CONTENT_LENGTH)?.trim_ascii();
    let number = |number: u64, byte: &u8| {
        let digit = char::from(*byte).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    };
    digits.first().and_then(|_| digits.iter().try_fold(0, number))
}

pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = first(headers, &CONTENT_TYPE);
    kind.and_then(|kind| kind.split_at_checked(b"application/grpc".len()))
        .filter(|(start, _)| start.eq_ignore_ascii_case(b"application/grpc"))
        .is_some_and(|(_, rest)| rest.first().is_none_or(|byte| matches!(byte, b'+' | b';' | b' ')))
}

pub(crate) enum Template {
    #[cfg(feature = "axum")]
    Matched(axum::extract::MatchedPath),
    Given(Route),
    /// One that would not be safe as it stands.
    Escaped(Box<Text>),
}

/// OpenTelemetry's known methods: RFC 9110 §9.3 and RFC 5789.
pub(super) fn method(method: &Method) -> &'static Fixed {
    static WORDS: [Fixed; 10] = [
        Fixed::new("GET"),
        Fixed::new("HEAD"),
        Fixed::new("POST"),
        Fixed::new("PUT"),
        Fixed::new("DELETE"),
        Fixed::new("CONNECT"),
        Fixed::new("OPTIONS"),
        Fixed::new("TRACE"),
        Fixed::new("PATCH"),
        Fixed::new("_OTHER"),
    ];
    let [get, head, post, put, delete, connect, options, trace, patch, other] = &WORDS;
    match *method {
        Method::GET => get,
        Method::HEAD => head,
        Method::POST => post,
        Method::PUT => put,
        Method::DELETE => delete,
        Method::CONNECT => connect,
        Method::OPTIONS => options,
        Method::TRACE => trace,
        Method::PATCH => patch,
        _ => other,
    }
}

static SCHEMES: [Fixed; 2] = [Fixed::new("http"), Fixed::new("https")];

/// A word of a closed list; its case counts.
fn known(words: &'static [Fixed], word: &str) -> Option<&'static Fixed> {
    words.iter().find(|known| known.text == word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_is_digits_and_nothing_else() {
        let announced = |value: &'static str| {
            announced(&HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static(value))]))
        };
        assert_eq!(announced("0"), Some(0));
        assert_eq!(announced(" 007\t"), Some(7));
        assert_eq!(announced("18446744073709551615"), Some(u64::MAX));
        for value in ["", " ", "+5", "-5", "5,5", "5 5", "0x5", "18446744073709551616"] {
            assert_eq!(announced(value), None, "{value}");
        }
    }

    fn requests() -> impl Strategy<Value = HeaderMap> {
        let name = prop::sample::select(vec![
            "host",
            "referer",
            "user-agent",
            "accept-language",
            "sec-ch-ua",
            "sec-ch-ua-mobile",
            "sec-ch-ua-platform",
            "sec-ch-ua-model",
            "accept",
            "hosts",
            "x",
        ]);
        let header = (name, "[ab]{0,2}");
        prop::collection::vec(header, 0..40).prop_map(|headers| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name, value.parse().unwrap());
            }
            map
        })
    }

    proptest! {
        #[test]
        fn reading_all_headers_agrees_with_looking_names_up(map in requests()) {
            let (mut read, unread) = (Read::default(), Headers::Unread(&map));
            read.all(&map);
            let read = Headers::Read(read);
            prop_assert_eq!(read.host(), unread.host());
            prop_assert_eq!(read.referer(), unread.referer());
            prop_assert_eq!(read.accept_language(), unread.accept_language());
            prop_assert_eq!(read.user_agent(), unread.user_agent());
            let Headers::Read(Read { hints: read, .. }) = read else { unreachable!() };
            let unread = hints(&map);
            prop_assert_eq!(read.user_agent, unread.user_agent);
            prop_assert_eq!(read.brands, unread.brands);
            prop_assert_eq!(read.mobile, unread.mobile);
            prop_assert_eq!(read.platform, unread.platform);
        }
    }
}

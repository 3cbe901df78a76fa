//! What is read of requests and responses, and nothing else of them is.
//!
//! Every part is read by one function, which gives back what a record keeps. What is missing or cannot be
//! read is absent.
#![expect(clippy::disallowed_methods, reason = "the one place that reads raw requests")]

use std::net::IpAddr;
use std::time::SystemTime;

use http::header::{ACCEPT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, HOST, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName, Method, Request, Version};

use super::Reduced;
use crate::app::{Consent, PeerAddr, Route};
use crate::client::truncate;
use crate::device::Hints;
use crate::field::{Path, Referer};
use crate::keys::Current;
use crate::plan::{Plan, Reduction};
#[cfg(feature = "axum")]
use crate::text;
use crate::text::Text;
use crate::{address, host, language, url};

/// The parts of a request that reductions need more than once.
pub(super) struct Capture<'r> {
    headers: &'r HeaderMap,
    uri: &'r http::Uri,
    host: Option<&'r [u8]>,
    client: Option<IpAddr>,
    pub(super) epoch: Option<Current>,
}

impl<'r> Capture<'r> {
    pub(super) fn of<B>(plan: &Plan, request: &'r Request<B>, now: SystemTime) -> Self {
        Self {
            headers: request.headers(),
            uri: request.uri(),
            host: plan.needs.host.then(|| asked(request)).flatten(),
            client: plan.needs.client.then(|| client(plan, request)).flatten(),
            epoch: plan.epoch(now),
        }
    }

    pub(super) fn reduce(&self, reduction: &Reduction) -> Reduced {
        self.try_reduce(reduction).unwrap_or(Reduced::Absent)
    }

    #[inline]
    fn try_reduce(&self, reduction: &Reduction) -> Option<Reduced> {
        match reduction {
            Reduction::Address { ipv4, ipv6 } => {
                Some(Reduced::Text(address::text(truncate(self.client?, *ipv4, *ipv6))))
            }
            Reduction::Pseudonym { ipv6 } => {
                let pseudonym = self.epoch.as_ref()?.address("client.address", self.client?, *ipv6);
                Some(Reduced::Pseudonym(pseudonym))
            }
            Reduction::Path(path) => self.path(path).map(Reduced::Text),
            Reduction::Query(allow) => url::query(self.uri.query()?, allow).map(Reduced::Text),
            Reduction::Host(allow) => {
                let asked = host::visible(self.host?)?;
                Some(Reduced::Text(Text::new(host::host(asked, allow).word(allow))))
            }
            Reduction::Referer(referer) => self.referer(referer).map(Reduced::Text),
            Reduction::UserAgent => Text::from_utf8(self.header(USER_AGENT)?).map(Reduced::Text),
            Reduction::Language(allow) => {
                let language = language::language(self.header(ACCEPT_LANGUAGE)?, allow)?;
                Some(Reduced::Text(Text::new(language.word(allow))))
            }
        }
    }

    fn path(&self, path: &Path) -> Option<Text> {
        match path {
            Path::Depth(depth) => url::path(self.uri.path(), *depth),
            // A CONNECT's target has none.
            Path::Keep { .. } => {
                Some(self.uri.path()).filter(|path| !path.is_empty()).map(Text::new)
            }
        }
    }

    fn referer(&self, referer: &Referer) -> Option<Text> {
        let value = self.header(REFERER)?;
        match referer {
            Referer::Origin => url::origin(value, self.host),
            Referer::Relation => url::relation(value, self.host).map(Text::fixed),
            Referer::Path { .. } => url::referrer_path(value, self.host),
        }
    }

    fn header(&self, name: HeaderName) -> Option<&'r [u8]> {
        self.headers.get(name).map(http::HeaderValue::as_bytes)
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
    let values = plan.client_header.as_ref().map(|name| request.headers().get_all(name));
    let values = values.iter().flat_map(|values| values.iter().map(http::HeaderValue::as_bytes));
    plan.clients.resolve(peer, values).map_err(|unknown| plan.count(unknown)).ok()
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
fn asked<B>(request: &Request<B>) -> Option<&[u8]> {
    let target = request.uri().authority().map(|target| target.as_str().as_bytes());
    target.or_else(|| request.headers().get(HOST).map(http::HeaderValue::as_bytes))
}

/// A server that knows its scheme puts it into the extensions; a target is only the client's word.
pub(super) fn scheme<B>(request: &Request<B>) -> Option<&'static str> {
    let given = request.extensions().get::<http::uri::Scheme>();
    known(&SCHEMES, given.or_else(|| request.uri().scheme())?.as_str())
}

pub(super) const fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_09 => Some("0.9"),
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        Version::HTTP_3 => Some("3"),
        _ => None,
    }
}

pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    let digits = headers.get(CONTENT_LENGTH)?.as_bytes().trim_ascii();
    let number = |number: u64, byte: &u8| {
        let digit = char::from(*byte).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    };
    digits.first().and_then(|_| digits.iter().try_fold(0, number))
}

static BRANDS: HeaderName = HeaderName::from_static("sec-ch-ua");
static MOBILE: HeaderName = HeaderName::from_static("sec-ch-ua-mobile");
static PLATFORM: HeaderName = HeaderName::from_static("sec-ch-ua-platform");

pub(super) fn hints(headers: &HeaderMap) -> Hints<'_> {
    let value = |name: &HeaderName| headers.get(name).map(http::HeaderValue::as_bytes);
    Hints {
        user_agent: value(&USER_AGENT),
        brands: value(&BRANDS),
        mobile: value(&MOBILE),
        platform: value(&PLATFORM),
    }
}

pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
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
pub(super) const fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::CONNECT => "CONNECT",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::PATCH => "PATCH",
        _ => "_OTHER",
    }
}

const SCHEMES: [&str; 2] = ["http", "https"];

/// A word of a closed list; its case counts.
fn known(words: &[&'static str], word: &str) -> Option<&'static str> {
    words.iter().find(|known| **known == word).copied()
}

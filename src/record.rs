//! One exchange: captured and reduced at the start, emitted when dropped.
//!
//! The ONLY reader of raw requests and responses. A record starts as "aborted" and is told
//! better, so that whatever ends the exchange ends in the same drop: exactly one record. Only
//! reduced values are kept across an await.
#![expect(clippy::disallowed_methods, reason = "the one place that reads raw requests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use http::header::{ACCEPT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, HOST, REFERER, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body::Body;
use smallvec::SmallVec;

use crate::app::{Consent, ErrorCode, LogFields, PeerAddr, Route};
use crate::client::truncate;
use crate::device::{Device, Hints, classify};
use crate::field::{Path, Referer};
use crate::keys::Current;
use crate::plan::{Plan, Reduction};
use crate::pseudonym::Pseudonym;
use crate::text::Text;
use crate::{host, language, timestamp, url};

pub(crate) struct Record {
    pub(crate) plan: Arc<Plan>,
    /// Milliseconds since the Unix epoch.
    pub(crate) at: Known,
    pub(crate) reduced: SmallVec<[Reduced; 2]>,
    pub(crate) route: Option<Template>,
    pub(crate) code: Option<ErrorCode>,
    pub(crate) fields: LogFields,
    /// Request bytes that were announced.
    announced: Known,
    /// Request bytes that the service read, if somebody counts them.
    read: Option<Arc<AtomicU64>>,
    /// Response bytes handed to the server.
    pub(crate) sent: u64,
    /// Response bytes that complete the exchange.
    owed: Known,
    started: Option<Instant>,
    /// Milliseconds from the start to the last body byte.
    pub(crate) lasted: Option<u32>,
    /// A bit for every log that gets this record.
    pub(crate) logs: u32,
    /// A bit for every log that was consented to.
    consented: u32,
    pub(crate) device: Option<Device>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) grpc: Option<u8>,
    /// Indices into the lists of known words.
    pub(crate) method: u8,
    pub(crate) version: u8,
    pub(crate) scheme: u8,
    pub(crate) end: End,
    is_grpc: bool,
    inside: bool,
}

/// A count that may be unknown, in the size of a count: many records are in flight.
#[derive(Clone, Copy)]
pub(crate) struct Known(u64);

impl Known {
    const NOT: Self = Self(u64::MAX);

    fn of(count: Option<u64>) -> Self {
        count.map_or(Self::NOT, Self)
    }

    pub(crate) fn count(self) -> Option<u64> {
        (self.0 != u64::MAX).then_some(self.0)
    }
}

/// What is left of a part of the request.
pub(crate) enum Reduced {
    Absent,
    Address(std::net::IpAddr),
    Pseudonym(Pseudonym),
    Text(Text),
}

pub(crate) enum Template {
    #[cfg(feature = "axum")]
    Matched(axum::extract::MatchedPath),
    Given(Route),
}

/// How the exchange ended, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Complete,
    Aborted,
    Truncated,
    BodyError,
    ServiceError,
    Panic,
}

/// OpenTelemetry's known methods: RFC 9110 §9.3 and RFC 5789.
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
const VERSIONS: [&str; 5] = ["0.9", "1.0", "1.1", "2", "3"];
const SCHEMES: [&str; 2] = ["http", "https"];
const NONE: u8 = u8::MAX;

/// The index of a word in a closed list; its case counts.
fn known(words: &[&str], word: &str) -> u8 {
    let found = words.iter().position(|known| *known == word);
    found.and_then(|at| u8::try_from(at).ok()).unwrap_or(NONE)
}

impl Record {
    /// The record of an exchange that starts now; `None` when none of these logs is to have one.
    ///
    /// # Privacy
    ///
    /// Everything is reduced here; nothing of the request itself is kept.
    pub(crate) fn begin<B>(plan: &Arc<Plan>, logs: u32, request: &mut Request<B>) -> Option<Self> {
        let logs = if logs == 0 { 0 } else { respected(plan, logs, request.headers()) };
        if logs == 0 {
            if plan.needs.app {
                request.extensions_mut().insert(LogFields::default());
            }
            return None;
        }
        Some(Self::start(plan, logs, request, SystemTime::now()))
    }

    fn start<B>(plan: &Arc<Plan>, logs: u32, request: &mut Request<B>, now: SystemTime) -> Self {
        let capture = Capture::of(plan, request, now);
        let epoch = plan.needs.app_pseudonym.then(|| capture.epoch.as_deref().cloned()).flatten();
        let mut record = Self {
            at: Known::of(timestamp::millis(now)),
            reduced: plan.reductions.iter().map(|reduction| capture.reduce(reduction)).collect(),
            route: plan.needs.route.then(|| template(request.extensions())).flatten(),
            code: None,
            fields: LogFields::default(),
            device: plan.needs.device.then(|| classify(hints(request.headers()))).flatten(),
            announced: Known::NOT,
            read: None,
            sent: 0,
            owed: Known::NOT,
            started: plan.needs.duration.then(Instant::now),
            lasted: None,
            logs,
            consented: consented(plan, request.extensions()),
            status: None,
            grpc: None,
            method: known(&METHODS, request.method().as_str()),
            version: version(request.version()),
            scheme: if plan.needs.scheme { scheme(request) } else { NONE },
            end: End::Aborted,
            is_grpc: false,
            inside: false,
            plan: Arc::clone(plan),
        };
        if plan.needs.request_size {
            record.announced = Known::of(announced(request.headers()));
            let read = Counter::default();
            record.read = Some(Arc::clone(&read.0));
            request.extensions_mut().insert(read);
        }
        if plan.needs.app {
            record.fields = LogFields::new(Arc::clone(plan), epoch);
            request.extensions_mut().insert(record.fields.clone());
        }
        record
    }

    /// Says that the service or the body is being polled: who does not come back has panicked.
    pub(crate) const fn enter(&mut self) {
        self.inside = true;
    }

    pub(crate) const fn leave(&mut self) {
        self.inside = false;
    }

    /// The response's head; whether its body is still to come.
    pub(crate) fn respond<R: Body>(&mut self, response: &Response<R>) -> bool {
        let (head, status) = (response.headers(), response.status());
        self.status = Some(status);
        self.code = response.extensions().get().cloned();
        self.consented |= consented(&self.plan, response.extensions());
        if self.plan.needs.route && self.route.is_none() {
            self.route = response.extensions().get().cloned().map(Template::Given);
        }
        if self.plan.needs.grpc {
            self.is_grpc = is_grpc(head);
            self.grpc_status(head);
        }
        if self.upgrades(status) {
            self.end = End::Complete;
            return false;
        }
        self.owed = Known::of(self.owes(response));
        match self.owed.count() {
            Some(0) => self.finish(),
            Some(_) if response.body().is_end_stream() => return self.end_of_body(),
            _ => {}
        }
        true
    }

    /// One frame of the body, `last` when the body says so; whether there can be more.
    pub(crate) fn frame(&mut self, bytes: u64, trailers: Option<&HeaderMap>, last: bool) -> bool {
        self.sent = self.sent.saturating_add(bytes);
        if let Some(trailers) = trailers {
            self.grpc_status(trailers);
        }
        if last || trailers.is_some() {
            return self.end_of_body();
        }
        if self.owed.count().is_some_and(|owed| self.sent >= owed) {
            self.finish();
        }
        true
    }

    /// The body has nothing more: all of it, or less than the head promised.
    pub(crate) fn end_of_body(&mut self) -> bool {
        let short = self.owed.count().is_some_and(|owed| self.sent < owed);
        self.ends(if short { End::Truncated } else { End::Complete })
    }

    /// The end is known, and there is nothing more to tell.
    pub(crate) fn ends(&mut self, end: End) -> bool {
        self.end = end;
        self.finish();
        false
    }

    /// The time of the last byte, unless it is known already.
    fn finish(&mut self) {
        if let (Some(started), None) = (self.started, self.lasted) {
            self.lasted = u32::try_from(started.elapsed().as_millis()).ok();
        }
    }

    /// What is known for sure at the drop.
    fn settle(&mut self) {
        let whole =
            self.status.is_some() && self.owed.count().is_some_and(|owed| self.sent >= owed);
        self.end = match self.end {
            End::Aborted if self.inside || std::thread::panicking() => End::Panic,
            End::Aborted if whole => End::Complete,
            end => end,
        };
        self.finish();
        if !self.plan.needs.consent {
            return;
        }
        let unconsented = (0..).zip(&self.plan.logs).filter(|(_, log)| log.consent);
        let unconsented = unconsented.fold(0, |all, (at, _)| all | 1 << at);
        self.logs &= !unconsented | self.consented;
    }

    /// 101, or the tunnel of a CONNECT: nothing of what follows is part of the exchange.
    fn upgrades(&self, status: StatusCode) -> bool {
        let connect = self.method() == "CONNECT";
        status == StatusCode::SWITCHING_PROTOCOLS || connect && status.is_success()
    }

    /// The server stops by itself after these bytes, or sends no body whatever there is.
    fn owes<R: Body>(&self, response: &Response<R>) -> Option<u64> {
        let head = self.method() == "HEAD";
        let status = response.status();
        let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        if head || bodiless || status.is_informational() {
            return Some(0);
        }
        // HTTP/1 corrects the length of a body that is empty from the start; HTTP/2 breaks its promise.
        let corrected = response.body().is_end_stream() && self.version() != Some("2");
        let announced = if corrected { None } else { announced(response.headers()) };
        announced.or_else(|| response.body().size_hint().exact())
    }

    /// Request bytes: what the service read if that is counted, else what was announced.
    pub(crate) fn received(&self) -> Option<u64> {
        let read = self.read.as_ref().map(|read| read.load(Ordering::Relaxed));
        read.filter(|read| *read != UNCOUNTED).or_else(|| self.announced.count())
    }

    pub(crate) fn method(&self) -> &'static str {
        METHODS.get(usize::from(self.method)).unwrap_or(&"_OTHER")
    }

    pub(crate) fn version(&self) -> Option<&'static str> {
        VERSIONS.get(usize::from(self.version)).copied()
    }

    pub(crate) fn scheme(&self) -> Option<&'static str> {
        SCHEMES.get(usize::from(self.scheme)).copied()
    }

    fn grpc_status(&mut self, headers: &HeaderMap) {
        if !self.is_grpc {
            return;
        }
        let status = headers.get("grpc-status").and_then(|value| value.to_str().ok());
        let code = status.and_then(|text| text.parse().ok()).filter(|code| *code <= 16);
        self.grpc = code.or(self.grpc);
    }
}

/// Counts the bytes that the service reads of the request; in the request's extensions.
#[derive(Clone)]
struct Counter(Arc<AtomicU64>);

const UNCOUNTED: u64 = u64::MAX;

impl Default for Counter {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(UNCOUNTED)))
    }
}

/// The count to add to from now on, if a log declares the request's size.
pub(crate) fn counter<B>(request: &Request<B>) -> Option<Arc<AtomicU64>> {
    let Counter(read) = request.extensions().get()?;
    read.store(0, Ordering::Relaxed);
    Some(Arc::clone(read))
}

impl Drop for Record {
    fn drop(&mut self) {
        self.settle();
        crate::emit::emit(self);
    }
}

/// The parts of a request that reductions need more than once.
struct Capture<'r> {
    headers: &'r HeaderMap,
    uri: &'r http::Uri,
    host: Option<&'r str>,
    client: Option<std::net::IpAddr>,
    epoch: Option<Current>,
}

impl<'r> Capture<'r> {
    fn of<B>(plan: &Plan, request: &'r Request<B>, now: SystemTime) -> Self {
        Self {
            headers: request.headers(),
            uri: request.uri(),
            host: asked(request),
            client: plan.needs.client.then(|| client(plan, request)).flatten(),
            epoch: plan.epoch(now),
        }
    }

    fn reduce(&self, reduction: &Reduction) -> Reduced {
        self.try_reduce(reduction).unwrap_or(Reduced::Absent)
    }

    fn try_reduce(&self, reduction: &Reduction) -> Option<Reduced> {
        match reduction {
            Reduction::Address { ipv4, ipv6 } => {
                Some(Reduced::Address(truncate(self.client?, *ipv4, *ipv6)))
            }
            Reduction::Pseudonym { ipv6 } => {
                let pseudonym = self.epoch.as_ref()?.address("client.address", self.client?, *ipv6);
                Some(Reduced::Pseudonym(pseudonym))
            }
            Reduction::Path(path) => self.path(path).map(Reduced::Text),
            Reduction::Query(allow) => url::query(self.uri.query()?, allow).map(Reduced::Text),
            Reduction::Host(allow) => {
                Some(Reduced::Text(Text::new(host::host(self.host?, allow).word(allow))))
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

    fn header(&self, name: http::HeaderName) -> Option<&'r [u8]> {
        self.headers.get(name).map(http::HeaderValue::as_bytes)
    }
}

/// The logs that stay when the request says what they respect; RULES D5.
fn respected(plan: &Plan, logs: u32, headers: &HeaderMap) -> u32 {
    if !plan.needs.gpc || !headers.get_all("sec-gpc").iter().any(|value| value == "1") {
        return logs;
    }
    let refused = (0..).zip(&plan.logs).filter(|(_, log)| log.respects_gpc);
    refused.fold(logs, |logs, (at, _)| logs & !(1 << at))
}

fn consented(plan: &Plan, extensions: &http::Extensions) -> u32 {
    if !plan.needs.consent {
        return 0;
    }
    let Some(consent) = extensions.get::<Consent>() else { return 0 };
    let covered = (0..).zip(&plan.logs).filter(|(_, log)| consent.covers(&log.name));
    covered.fold(0, |all, (at, _)| all | 1 << at)
}

fn client<B>(plan: &Plan, request: &Request<B>) -> Option<std::net::IpAddr> {
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

fn template(extensions: &http::Extensions) -> Option<Template> {
    let given = extensions.get::<Route>().cloned().map(Template::Given);
    #[cfg(feature = "axum")]
    let given = given.or_else(|| extensions.get().cloned().map(Template::Matched));
    given
}

impl Template {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            #[cfg(feature = "axum")]
            Self::Matched(path) => path.as_str(),
            Self::Given(route) => route.as_str(),
        }
    }
}

/// The host that was asked for: `:authority` or an absolute target, else `Host`.
fn asked<B>(request: &Request<B>) -> Option<&str> {
    let target = request.uri().authority().map(http::uri::Authority::as_str);
    target.or_else(|| request.headers().get(HOST)?.to_str().ok())
}

/// A server that knows its scheme puts it into the extensions; a target is only the client's word.
fn scheme<B>(request: &Request<B>) -> u8 {
    let given = request.extensions().get::<http::uri::Scheme>();
    let scheme = given.or_else(|| request.uri().scheme());
    scheme.map_or(NONE, |scheme| known(&SCHEMES, scheme.as_str()))
}

fn version(version: Version) -> u8 {
    let order =
        [Version::HTTP_09, Version::HTTP_10, Version::HTTP_11, Version::HTTP_2, Version::HTTP_3];
    let found = order.iter().position(|known| *known == version);
    found.and_then(|at| u8::try_from(at).ok()).unwrap_or(NONE)
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

fn hints(headers: &HeaderMap) -> Hints<'_> {
    let value = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
    Hints {
        user_agent: value("user-agent"),
        brands: value("sec-ch-ua"),
        mobile: value("sec-ch-ua-mobile"),
        platform: value("sec-ch-ua-platform"),
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    kind.and_then(|kind| kind.split_at_checked(b"application/grpc".len()))
        .filter(|(start, _)| start.eq_ignore_ascii_case(b"application/grpc"))
        .is_some_and(|(_, rest)| rest.first().is_none_or(|byte| matches!(byte, b'+' | b';' | b' ')))
}

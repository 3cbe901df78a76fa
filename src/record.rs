//! One exchange: captured and reduced at the start, emitted when dropped.
//!
//! The ONLY reader of raw requests and responses. A record starts as "aborted" and is told
//! better, so that whatever ends the exchange ends in the same drop (`exchange.rs`): exactly one
//! record. Only reduced values are kept across an await.
#![expect(clippy::disallowed_methods, reason = "the one place that reads raw requests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use http::header::{ACCEPT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, HOST, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Version};
use http_body::Body;

use crate::app::{Consent, ErrorCode, LogFields, PeerAddr, Route};
use crate::client::truncate;
use crate::device::{Device, Hints, classify};
use crate::field::{Path, Referer};
use crate::keys::Current;
use crate::plan::{Plan, Reduction};
use crate::pseudonym::Pseudonym;
#[cfg(feature = "axum")]
use crate::text;
use crate::text::Text;
use crate::{address, host, language, timestamp, url};

/// What is known of an exchange; the default is what is known of none.
#[derive(Default)]
pub(crate) struct Record {
    /// Milliseconds since the Unix epoch.
    pub(crate) at: Option<u64>,
    pub(crate) reduced: Vec<Reduced>,
    pub(crate) route: Option<Template>,
    pub(crate) code: Option<ErrorCode>,
    pub(crate) fields: LogFields,
    /// Request bytes that were announced.
    announced: Option<u64>,
    /// Request bytes that the service read, if somebody counts them.
    read: Option<Arc<AtomicU64>>,
    /// Response bytes handed to the server.
    pub(crate) sent: u64,
    /// Response bytes that complete the exchange.
    owed: Option<u64>,
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
    pub(crate) method: &'static str,
    pub(crate) version: Option<&'static str>,
    pub(crate) scheme: Option<&'static str>,
    pub(crate) end: End,
    is_grpc: bool,
    inside: bool,
}

/// What is left of a part of the request.
pub(crate) enum Reduced {
    Absent,
    Pseudonym(Pseudonym),
    Text(Text),
}

pub(crate) enum Template {
    #[cfg(feature = "axum")]
    Matched(axum::extract::MatchedPath),
    Given(Route),
    /// One that would not be safe as it stands.
    Escaped(Box<Text>),
}

/// How the exchange ended, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    Complete,
    #[default]
    Aborted,
    Truncated,
    BodyError,
    ServiceError,
    Panic,
}

/// OpenTelemetry's known methods: RFC 9110 §9.3 and RFC 5789.
const fn method(method: &Method) -> &'static str {
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

impl Record {
    /// Begins the record of an exchange that starts now, unless none of these logs is to have one.
    ///
    /// # Privacy
    ///
    /// Everything is reduced here; nothing of the request itself is kept.
    pub(crate) fn begin<B>(
        &mut self,
        plan: &Arc<Plan>,
        logs: u32,
        request: &mut Request<B>,
    ) -> bool {
        self.logs = if logs == 0 { 0 } else { respected(plan, logs, request.headers()) };
        if self.logs != 0 {
            self.start(plan, request, SystemTime::now());
        } else if plan.needs.app {
            request.extensions_mut().insert(LogFields::default());
        }
        self.logs != 0
    }

    fn start<B>(&mut self, plan: &Arc<Plan>, request: &mut Request<B>, now: SystemTime) {
        let needs = &plan.needs;
        self.at = timestamp::millis(now);
        self.method = method(request.method());
        self.version = version(request.version());
        self.consented = consented(plan, request.extensions());
        let epoch = self.reduce(plan, request, now);
        if needs.duration {
            self.started = Some(Instant::now());
        }
        if needs.route {
            self.route = template(request.extensions());
        }
        if needs.device {
            self.device = classify(hints(request.headers()));
        }
        if needs.scheme {
            self.scheme = scheme(request);
        }
        if needs.request_size {
            self.announced = announced(request.headers());
            let read = Counter::default();
            self.read = Some(Arc::clone(&read.0));
            request.extensions_mut().insert(read);
        }
        if needs.app {
            let epoch = epoch.filter(|_| needs.app_pseudonym).as_deref().cloned();
            self.fields = LogFields::new(Arc::clone(plan), epoch);
            request.extensions_mut().insert(self.fields.clone());
        }
    }

    /// Reduces what the plan keeps; the key of this moment, if there is one.
    fn reduce<B>(&mut self, plan: &Plan, request: &Request<B>, now: SystemTime) -> Option<Current> {
        let capture = Capture::of(plan, request, now);
        for reduction in &plan.reductions {
            self.reduced.push(capture.reduce(reduction));
        }
        capture.epoch
    }

    /// Forgets everything, for another exchange. Whatever is added to a record must be named here.
    pub(crate) fn clear(&mut self) {
        let Self { at, reduced, route, code, fields, announced, read, sent, owed, started, .. } =
            &mut *self;
        (*at, *announced, *owed, *started, *sent) = (None, None, None, None, 0);
        (*route, *code, *read, *fields) = (None, None, None, LogFields::default());
        reduced.clear();
        let Self { lasted, logs, consented, device, status, grpc, method, version, scheme, .. } =
            &mut *self;
        (*lasted, *logs, *consented, *device, *status, *grpc) = (None, 0, 0, None, None, None);
        (*method, *version, *scheme) = ("", None, None);
        let Self { end, is_grpc, inside, .. } = self;
        (*end, *is_grpc, *inside) = (End::Aborted, false, false);
    }

    /// Says that the service or the body is being polled: who does not come back has panicked.
    pub(crate) const fn enter(&mut self) {
        self.inside = true;
    }

    pub(crate) const fn leave(&mut self) {
        self.inside = false;
    }

    /// The response's head; whether its body is still to come.
    pub(crate) fn respond<R: Body>(&mut self, plan: &Plan, response: &Response<R>) -> bool {
        let (head, status) = (response.headers(), response.status());
        self.status = Some(status);
        self.code = response.extensions().get().cloned();
        self.consented |= consented(plan, response.extensions());
        if plan.needs.route && self.route.is_none() {
            self.route =
                response.extensions().get().cloned().map(Template::Given).map(Template::safe);
        }
        if plan.needs.grpc {
            self.is_grpc = is_grpc(head);
            self.grpc_status(head);
        }
        if self.upgrades(status) {
            self.end = End::Complete;
            return false;
        }
        self.owed = self.owes(response);
        match self.owed {
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
        if self.owed.is_some_and(|owed| self.sent >= owed) {
            self.finish();
        }
        true
    }

    /// The body has nothing more: all of it, or less than the head promised.
    pub(crate) fn end_of_body(&mut self) -> bool {
        let short = self.owed.is_some_and(|owed| self.sent < owed);
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
    pub(crate) fn settle(&mut self, plan: &Plan) {
        let whole = self.status.is_some() && self.owed.is_some_and(|owed| self.sent >= owed);
        self.end = match self.end {
            End::Aborted if self.inside || std::thread::panicking() => End::Panic,
            End::Aborted if whole => End::Complete,
            end => end,
        };
        self.finish();
        if !plan.needs.consent {
            return;
        }
        let unconsented = (0..).zip(&plan.logs).filter(|(_, log)| log.consent);
        let unconsented = unconsented.fold(0, |all, (at, _)| all | 1 << at);
        self.logs &= !unconsented | self.consented;
    }

    /// 101, or the tunnel of a CONNECT: nothing of what follows is part of the exchange.
    fn upgrades(&self, status: StatusCode) -> bool {
        let connect = self.method == "CONNECT";
        status == StatusCode::SWITCHING_PROTOCOLS || connect && status.is_success()
    }

    /// The server stops by itself after these bytes, or sends no body whatever there is.
    fn owes<R: Body>(&self, response: &Response<R>) -> Option<u64> {
        let head = self.method == "HEAD";
        let status = response.status();
        let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        if head || bodiless || status.is_informational() {
            return Some(0);
        }
        // HTTP/1 corrects the length of a body that is empty from the start; HTTP/2 breaks its promise.
        let corrected = response.body().is_end_stream() && self.version != Some("2");
        let announced = if corrected { None } else { announced(response.headers()) };
        announced.or_else(|| response.body().size_hint().exact())
    }

    /// Request bytes: what the service read if that is counted, else what was announced.
    pub(crate) fn received(&self) -> Option<u64> {
        let read = self.read.as_ref().map(|read| read.load(Ordering::Relaxed));
        read.filter(|read| *read != UNCOUNTED).or(self.announced)
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

/// The parts of a request that reductions need more than once.
struct Capture<'r> {
    headers: &'r HeaderMap,
    uri: &'r http::Uri,
    host: Option<&'r [u8]>,
    client: Option<std::net::IpAddr>,
    epoch: Option<Current>,
}

impl<'r> Capture<'r> {
    fn of<B>(plan: &Plan, request: &'r Request<B>, now: SystemTime) -> Self {
        Self {
            headers: request.headers(),
            uri: request.uri(),
            host: plan.needs.host.then(|| asked(request)).flatten(),
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
fn respected(plan: &Plan, logs: u32, headers: &HeaderMap) -> u32 {
    if !plan.needs.gpc || !headers.get_all("sec-gpc").iter().any(|value| value == "1") {
        return logs;
    }
    let refused = (0..).zip(&plan.logs).filter(|(_, log)| log.respects_gpc);
    refused.fold(logs, |logs, (at, _)| logs & !(1 << at))
}

#[inline]
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

    fn safe(self) -> Self {
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
fn scheme<B>(request: &Request<B>) -> Option<&'static str> {
    let given = request.extensions().get::<http::uri::Scheme>();
    known(&SCHEMES, given.or_else(|| request.uri().scheme())?.as_str())
}

const fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_09 => Some("0.9"),
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        Version::HTTP_3 => Some("3"),
        _ => None,
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

static BRANDS: HeaderName = HeaderName::from_static("sec-ch-ua");
static MOBILE: HeaderName = HeaderName::from_static("sec-ch-ua-mobile");
static PLATFORM: HeaderName = HeaderName::from_static("sec-ch-ua-platform");

fn hints(headers: &HeaderMap) -> Hints<'_> {
    let value = |name: &HeaderName| headers.get(name).map(http::HeaderValue::as_bytes);
    Hints {
        user_agent: value(&USER_AGENT),
        brands: value(&BRANDS),
        mobile: value(&MOBILE),
        platform: value(&PLATFORM),
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    kind.and_then(|kind| kind.split_at_checked(b"application/grpc".len()))
        .filter(|(start, _)| start.eq_ignore_ascii_case(b"application/grpc"))
        .is_some_and(|(_, rest)| rest.first().is_none_or(|byte| matches!(byte, b'+' | b';' | b' ')))
}

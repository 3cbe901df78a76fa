//! One exchange: captured and reduced at the start, emitted when dropped.
//!
//! The ONLY reader of raw requests and responses. A record starts as "aborted" and is told
//! better, so that whatever ends the exchange ends in the same drop: exactly one record. Only
//! reduced values are kept across an await.
#![expect(clippy::disallowed_methods, reason = "the one place that reads raw requests")]

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::header::{ACCEPT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, HOST, REFERER, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use smallvec::SmallVec;

use crate::app::{Consent, ErrorCode, LogFields, PeerAddr, Route};
use crate::client::truncate;
use crate::device::{Device, Hints, classify};
use crate::field::{Path, Referer};
use crate::plan::{Plan, Reduction};
use crate::pseudonym::{Current, Pseudonym};
use crate::text::Text;
use crate::{host, language, timestamp, url};

pub(crate) struct Record {
    pub(crate) plan: Arc<Plan>,
    /// Milliseconds since the Unix epoch.
    pub(crate) at: Option<u64>,
    pub(crate) reduced: SmallVec<[Reduced; 2]>,
    pub(crate) route: Option<Template>,
    pub(crate) code: Option<ErrorCode>,
    pub(crate) fields: LogFields,
    pub(crate) device: Option<Device>,
    pub(crate) sent: u64,
    /// Milliseconds from the start to the last body byte.
    pub(crate) lasted: Option<u32>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) grpc: Option<u16>,
    pub(crate) method: u8,
    pub(crate) version: Option<&'static str>,
    pub(crate) scheme: Option<&'static str>,
    pub(crate) end: End,
    /// A bit for every log that gets this record.
    pub(crate) logs: u32,
    /// A bit for every log that was consented to.
    consented: u32,
    started: Option<Instant>,
    received: Option<u64>,
    /// Response bytes that complete the exchange, if known.
    owed: Option<u64>,
    is_grpc: bool,
    inside: bool,
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

/// In the order of [`METHODS`]; the last one stands for every other method.
const OTHER_METHOD: u8 = 9;

/// OpenTelemetry's known methods: RFC 9110 §9.3 and RFC 5789.
const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "_OTHER"];

impl Record {
    /// The record of an exchange that starts now; `None` when no log is to have one.
    ///
    /// # Privacy
    ///
    /// Everything is reduced here; nothing of the request itself is kept.
    pub(crate) fn begin<B>(plan: &Arc<Plan>, request: &mut Request<B>) -> Option<Self> {
        let logs = plan.listening();
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
            at: timestamp::millis(now),
            reduced: plan.reductions.iter().map(|reduction| capture.reduce(reduction)).collect(),
            route: plan.needs.route.then(|| template(request.extensions())).flatten(),
            code: None,
            fields: LogFields::default(),
            device: plan.needs.device.then(|| classify(hints(request.headers()))).flatten(),
            sent: 0,
            lasted: None,
            status: None,
            grpc: None,
            method: method(request.method()),
            version: version(request.version()),
            scheme: scheme(request),
            end: End::Aborted,
            logs,
            consented: consented(plan, request.extensions()),
            started: plan.needs.duration.then(Instant::now),
            received: plan.needs.request_size.then(|| announced(request.headers())).flatten(),
            owed: None,
            is_grpc: false,
            inside: false,
            plan: Arc::clone(plan),
        };
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

    /// The response's head. Gives the record back if its body is still to come.
    pub(crate) fn respond<R: Body>(mut self, response: &Response<R>) -> Option<Self> {
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
            return None;
        }
        self.owed = self.owes(response);
        if self.owed == Some(0) {
            self.finish();
        }
        Some(self)
    }

    /// One frame of the body; `last` when the body says that it was the last.
    pub(crate) fn frame(&mut self, bytes: u64, trailers: Option<&HeaderMap>, last: bool) {
        self.sent = self.sent.saturating_add(bytes);
        if let Some(trailers) = trailers {
            self.grpc_status(trailers);
        }
        if last || trailers.is_some() {
            self.end_of_body();
        } else if self.owed.is_some_and(|owed| self.sent >= owed) {
            self.finish();
        }
    }

    /// The body has nothing more: all of it, or less than the head promised.
    pub(crate) fn end_of_body(&mut self) {
        let short = self.owed.is_some_and(|owed| self.sent < owed);
        self.end = if short { End::Truncated } else { End::Complete };
        self.finish();
    }

    pub(crate) fn fail(&mut self, end: End) {
        self.end = end;
        self.finish();
    }

    /// The time of the last byte, unless it is known already.
    fn finish(&mut self) {
        if let (Some(started), None) = (self.started, self.lasted) {
            self.lasted = u32::try_from(started.elapsed().as_millis()).ok();
        }
    }

    /// What is known for sure at the drop.
    fn settle(&mut self) {
        let whole = self.status.is_some() && self.owed.is_some_and(|owed| self.sent >= owed);
        self.end = match self.end {
            End::Aborted if self.inside || std::thread::panicking() => End::Panic,
            End::Aborted if whole => End::Complete,
            end => end,
        };
        self.finish();
        let unconsented = (0..).zip(&self.plan.logs).filter(|(_, log)| log.consent);
        let unconsented = unconsented.fold(0, |all, (at, _)| all | 1 << at);
        self.logs &= !unconsented | self.consented;
    }

    /// 101, or the tunnel of a CONNECT: nothing of what follows is part of the exchange.
    fn upgrades(&self, status: StatusCode) -> bool {
        let connect = METHODS.get(usize::from(self.method)) == Some(&"CONNECT");
        status == StatusCode::SWITCHING_PROTOCOLS || connect && status.is_success()
    }

    /// The server stops by itself after these bytes, or sends no body whatever there is.
    fn owes<R: Body>(&self, response: &Response<R>) -> Option<u64> {
        let head = METHODS.get(usize::from(self.method)) == Some(&"HEAD");
        let status = response.status();
        let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        if head || bodiless || status.is_informational() || response.body().is_end_stream() {
            return Some(0);
        }
        announced(response.headers()).or_else(|| response.body().size_hint().exact())
    }

    pub(crate) const fn received(&self) -> Option<u64> {
        self.received
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
            epoch: plan.keys.as_ref().and_then(|keys| keys.current(now)),
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
            Path::Keep { .. } => Some(Text::new(self.uri.path())),
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

/// HTTP/1 targets name no scheme: a server that knows its own puts it into the extensions.
fn scheme<B>(request: &Request<B>) -> Option<&'static str> {
    let given = request.extensions().get::<http::uri::Scheme>();
    let scheme = request.uri().scheme().or(given)?.as_str();
    ["http", "https"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))
}

fn method(method: &Method) -> u8 {
    let known = (0..).zip(METHODS).find(|(_, known)| *known == method.as_str());
    known.map_or(OTHER_METHOD, |(at, _)| at)
}

pub(crate) fn method_name(method: u8) -> &'static str {
    METHODS.get(usize::from(method)).unwrap_or(&"_OTHER")
}

fn version(version: Version) -> Option<&'static str> {
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
    kind.and_then(|kind| kind.strip_prefix(b"application/grpc"))
        .is_some_and(|rest| rest.first().is_none_or(|byte| matches!(byte, b'+' | b';' | b' ')))
}

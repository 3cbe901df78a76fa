//! One exchange: captured and reduced at the start, emitted when dropped.
//!
//! The ONLY reader of raw requests and responses, with `record/raw.rs`. A record starts as "aborted" and is told
//! better, so that whatever ends the exchange ends in the same drop (`exchange.rs`): exactly one
//! record. Only reduced values are kept across an await.
#![expect(clippy::disallowed_methods, reason = "the one place that reads raw requests")]

mod raw;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;

use crate::app::{ErrorCode, LogFields};
use crate::device::Device;
use crate::fixed::Fixed;
use crate::keys::Current;
use crate::plan::Plan;
use crate::text::Text;
use crate::timestamp;
pub(crate) use raw::Template;
use raw::{Capture, announced, consented, is_grpc, method, respected, scheme, template, version};

/// What is known of an exchange; the default is what is known of none.
#[derive(Default)]
pub(crate) struct Record {
    /// Milliseconds since the Unix epoch.
    pub(crate) at: Option<u64>,
    /// What is left of each part of the request that the plan reduces.
    pub(crate) reduced: Vec<Option<Text>>,
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
    pub(crate) method: &'static Fixed,
    pub(crate) version: Option<&'static Fixed>,
    pub(crate) scheme: Option<&'static Fixed>,
    pub(crate) end: End,
    is_grpc: bool,
    inside: bool,
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
        let mut capture = Capture::of(plan, request, now);
        capture.read(&plan.needs);
        if !plan.reductions.is_empty() {
            self.reduced.extend(plan.reductions.iter().map(|reduction| capture.reduce(reduction)));
        }
        if plan.needs.device {
            self.device = capture.device();
        }
        capture.epoch
    }

    /// Forgets everything, for another exchange. A field that is not named here does not compile.
    #[rustfmt::skip]
    pub(crate) fn clear(&mut self) {
        let Self {
            at, reduced, route, code, fields, announced, read, sent, owed, started, lasted, logs, consented,
            device, status, grpc, method, version, scheme, end, is_grpc, inside,
        } = self;
        reduced.clear();
        (*at, *started, *lasted) = (None, None, None);
        (*announced, *read, *sent, *owed) = (None, None, 0, None);
        (*route, *code, *fields, *device) = (None, None, LogFields::default(), None);
        (*logs, *consented) = (0, 0);
        (*status, *grpc, *version, *scheme) = (None, None, None, None);
        *method = Default::default();
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
            if self.is_grpc {
                self.grpc_status(head);
            }
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
        let connect = self.method.text == "CONNECT";
        status == StatusCode::SWITCHING_PROTOCOLS || connect && status.is_success()
    }

    /// The server stops by itself after these bytes, or sends no body whatever there is.
    fn owes<R: Body>(&self, response: &Response<R>) -> Option<u64> {
        let head = self.method.text == "HEAD";
        let status = response.status();
        let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        if head || bodiless || status.is_informational() {
            return Some(0);
        }
        // HTTP/1 corrects the length of a body that is empty from the start; HTTP/2 breaks its promise.
        let corrected = response.body().is_end_stream()
            && self.version.is_none_or(|version| version.text != "2");
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

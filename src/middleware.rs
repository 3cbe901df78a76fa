//! Layer, service, response future and response body.
//!
//! The record is made before the inner service is called and travels with whatever the exchange
//! has become; where it is dropped, it is emitted. This file reads no request.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::error::Error;
use crate::exchange::Exchange;
use crate::plan::Plan;
use crate::policy::Policy;
use crate::record::{End, Record};

/// Logs what a policy declares, one `tracing` event per log and exchange.
///
/// Clones share their pseudonym keys and counts. Two layers made from one policy do not share
/// keys that are in memory only.
#[derive(Clone)]
pub struct PrivacyLogLayer {
    plan: Arc<Plan>,
}

impl PrivacyLogLayer {
    /// A layer that obeys this policy.
    ///
    /// # Errors
    ///
    /// When the keys of its pseudonyms cannot be had.
    pub fn new(policy: &Policy) -> Result<Self, Error> {
        Plan::new(policy).map(|plan| Self { plan: Arc::new(plan) })
    }

    /// How many values handlers have added under names that no log declares.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.plan.dropped.load(Ordering::Relaxed)
    }
}

impl<S> Layer<S> for PrivacyLogLayer {
    type Service = PrivacyLog<S>;

    fn layer(&self, inner: S) -> PrivacyLog<S> {
        PrivacyLog { inner, plan: Arc::clone(&self.plan) }
    }
}

impl fmt::Debug for PrivacyLogLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PrivacyLogLayer").field(&self.plan.reference).finish()
    }
}

/// A service whose exchanges are logged as a policy declares.
#[derive(Clone)]
pub struct PrivacyLog<S> {
    inner: S,
    plan: Arc<Plan>,
}

impl<S> fmt::Debug for PrivacyLog<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PrivacyLog").field(&self.plan.reference).finish()
    }
}

impl<S, B, R> Service<Request<B>> for PrivacyLog<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let logs = self.plan.listening();
        // What nobody hears must cost nothing: the request is not even looked at.
        if logs == 0 && !self.plan.needs.app {
            return ResponseFuture {
                inner: self.inner.call(request),
                exchange: Exchange::default(),
            };
        }
        let mut exchange = Exchange::begin(&self.plan, logs, &mut request);
        let inner = match exchange.open() {
            None => self.inner.call(request),
            Some((_, record)) => {
                record.enter();
                let inner = self.inner.call(request);
                record.leave();
                inner
            }
        };
        ResponseFuture { inner, exchange }
    }
}

pin_project! {
    /// The response to come; dropped before, its exchange is `aborted`.
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        exchange: Exchange,
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Nobody listens: this must cost nothing.
        let Some((plan, record)) = this.exchange.open() else {
            let unlogged = |inner| ResponseBody { inner, exchange: Exchange::default() };
            return this.inner.poll(cx).map_ok(|response| response.map(unlogged));
        };
        record.enter();
        let Poll::Ready(result) = this.inner.poll(cx) else {
            record.leave();
            return Poll::Pending;
        };
        let more = match &result {
            Ok(response) => record.respond(plan, response),
            Err(_) => record.ends(End::ServiceError),
        };
        record.leave();
        if !more {
            this.exchange.end();
        }
        Poll::Ready(match result {
            Ok(response) => {
                let exchange = std::mem::take(this.exchange);
                Ok(response.map(|inner| ResponseBody { inner, exchange }))
            }
            Err(error) => Err(error),
        })
    }
}

pin_project! {
    /// The inner body, unchanged; the exchange's record is emitted when it has ended.
    pub struct ResponseBody<R> {
        #[pin]
        inner: R,
        exchange: Exchange,
    }
}

impl<R> fmt::Debug for ResponseBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

impl<R: Default> Default for ResponseBody<R> {
    /// A body of no exchange.
    fn default() -> Self {
        Self { inner: R::default(), exchange: Exchange::default() }
    }
}

impl<R: Body> Body for ResponseBody<R> {
    type Data = R::Data;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<R::Data>, R::Error>>> {
        let mut this = self.project();
        let Some((_, record)) = this.exchange.open() else {
            return this.inner.poll_frame(cx);
        };
        record.enter();
        let Poll::Ready(frame) = this.inner.as_mut().poll_frame(cx) else {
            record.leave();
            return Poll::Pending;
        };
        let more = note(record, frame.as_ref(), || this.inner.is_end_stream());
        record.leave();
        if !more {
            this.exchange.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Tells the record of a frame; whether there can be more.
fn note<D: bytes::Buf, E>(
    record: &mut Record,
    frame: Option<&Result<Frame<D>, E>>,
    is_end: impl FnOnce() -> bool,
) -> bool {
    match frame {
        None => record.end_of_body(),
        Some(Err(_)) => record.ends(End::BodyError),
        Some(Ok(frame)) => {
            let bytes = frame.data_ref().map_or(0, bytes::Buf::remaining);
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            let last = is_end();
            record.frame(bytes, frame.trailers_ref(), last)
        }
    }
}

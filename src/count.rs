//! Counts the bytes that a service reads of a request's body.
//!
//! The privacy layer works on any request, so it cannot change the type of its body; this layer
//! does. Without it `http.request.body.size` is what `Content-Length` announced.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::record::counter;

/// Makes `http.request.body.size` the bytes that the service read; goes inside of
/// [`PrivacyLogLayer`](crate::PrivacyLogLayer).
///
/// A policy that does not declare that field costs nothing here.
#[derive(Clone, Copy, Debug, Default)]
pub struct CountBodyLayer;

impl<S> Layer<S> for CountBodyLayer {
    type Service = CountBody<S>;

    fn layer(&self, inner: S) -> CountBody<S> {
        CountBody { inner }
    }
}

/// A service whose request bodies are counted.
#[derive(Clone)]
pub struct CountBody<S> {
    inner: S,
}

impl<S> fmt::Debug for CountBody<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountBody").finish_non_exhaustive()
    }
}

impl<S, B> Service<Request<B>> for CountBody<S>
where
    S: Service<Request<CountedBody<B>>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        let read = counter(&request);
        self.inner.call(request.map(|inner| CountedBody { inner, read }))
    }
}

pin_project! {
    /// The request's body, unchanged, with its bytes counted if a log declares them.
    pub struct CountedBody<B> {
        #[pin]
        inner: B,
        read: Option<Arc<AtomicU64>>,
    }
}

impl<B> fmt::Debug for CountedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountedBody").finish_non_exhaustive()
    }
}

impl<B: Body> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if let (Some(read), Some(Ok(frame))) = (this.read, &frame) {
            let bytes = frame.data_ref().map_or(0, Buf::remaining);
            read.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
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

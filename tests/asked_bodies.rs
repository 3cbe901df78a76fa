//! Guarantee: a panic is a panic wherever the layer calls foreign code, also where it only asks a body about itself,
//! and also when somebody outside swallows it.

mod support;

use std::convert::Infallible;
use std::future::{Future as _, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Buf;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use serde_json::json;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_privacy_log::PrivacyLogLayer;

#[derive(Clone, Copy, PartialEq)]
enum Asked {
    IsEndStreamAtTheHead,
    IsEndStreamAfterAFrame,
    SizeHint,
    Remaining,
}

/// A body of one frame that panics at one question.
struct Touchy {
    at: Asked,
    polled: bool,
}

struct Bytes(Asked);

impl Buf for Bytes {
    fn remaining(&self) -> usize {
        assert!(self.0 != Asked::Remaining);
        3
    }

    fn chunk(&self) -> &[u8] {
        b"abc"
    }

    fn advance(&mut self, _: usize) {}
}

impl Body for Touchy {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.polled = true;
        Poll::Ready(Some(Ok(Frame::data(Bytes(self.at)))))
    }

    fn is_end_stream(&self) -> bool {
        let at =
            if self.polled { Asked::IsEndStreamAfterAFrame } else { Asked::IsEndStreamAtTheHead };
        assert!(self.at != at);
        false
    }

    fn size_hint(&self) -> SizeHint {
        assert!(self.at != Asked::SizeHint);
        SizeHint::default()
    }
}

/// Asks for the head and one frame, and swallows what panics.
fn exchange(layer: &PrivacyLogLayer, at: Asked) {
    let service = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Touchy { at, polled: false })))
    });
    let mut context = Context::from_waker(Waker::noop());
    let mut answer = pin!(layer.layer(service).oneshot(Request::new(())));
    let head = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(&mut context)));
    if let Ok(Poll::Ready(Ok(response))) = head {
        let mut body = pin!(response.into_body());
        let frame =
            catch_unwind(AssertUnwindSafe(|| body.as_mut().poll_frame(&mut context).is_ready()));
        assert!(frame.is_err());
    }
}

#[test]
fn a_body_that_panics_when_it_is_asked_is_a_panic() {
    let (written, _guard) = support::written();
    let layer = PrivacyLogLayer::new(&support::policy("\"error.type\" = \"keep\"")).unwrap();
    let asked = [
        Asked::IsEndStreamAtTheHead,
        Asked::IsEndStreamAfterAFrame,
        Asked::SizeHint,
        Asked::Remaining,
    ];
    asked.into_iter().for_each(|at| exchange(&layer, at));
    let records = written.records();
    let types: Vec<_> = records.iter().map(|record| record["error.type"].clone()).collect();
    assert_eq!(types, [json!("panic"), json!("panic"), json!("panic"), json!("panic")]);
}

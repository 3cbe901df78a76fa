//! What the service does in a row: a scripted answer and body, and what may stand outside of the
//! layer. It counts what the server took, so that a record can be compared with the truth.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{pending, ready};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::task::spawn_local;
use tokio::time::{Sleep, sleep, timeout};
use tower::Service;
use tower_privacy_log::ResponseBody;

/// What the service does with a request.
#[derive(Clone)]
pub enum Answer {
    Head(Head),
    /// Never comes to an answer.
    Never,
    PanicInCall,
    PanicInFuture,
    Fail,
    /// Reads the request's body and fails if that does.
    Needs(Head),
    /// Reads the request's body and answers whatever came of it.
    Reads(Head),
    /// 101, or 200 to a CONNECT, and then an echo.
    Tunnel(u16),
}

#[derive(Clone)]
pub struct Head {
    pub status: u16,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Script,
    pub code: Option<&'static str>,
    pub after: Duration,
}

pub fn answer(status: u16, body: Script) -> Head {
    Head { status, headers: Vec::new(), body, code: None, after: Duration::ZERO }
}

impl Head {
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    pub fn after(mut self, milliseconds: u64) -> Self {
        self.after = Duration::from_millis(milliseconds);
        self
    }

    fn response(&self, seen: &Seen) -> Response<Scripted> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(*name, *value);
        }
        if let Some(code) = self.code {
            response = response.extension(tower_privacy_log::ErrorCode::new(code).expect("a code"));
        }
        response.body(self.body.body(seen)).expect("the row's response is valid")
    }
}

/// How a body goes on when it is polled.
#[derive(Clone, Debug)]
pub enum Step {
    Data(usize),
    Trailers(&'static str, &'static str),
    Error,
    Panic,
    /// In milliseconds.
    Pause(u64),
    Forever,
}

#[derive(Clone, Default)]
pub struct Script {
    steps: VecDeque<Step>,
    /// What `size_hint` promises.
    length: Option<u64>,
    /// Whether `is_end_stream` is true after the last step.
    ends: bool,
}

/// One frame of known length that is known to be the last, as `http_body_util::Full`.
pub fn whole(bytes: usize) -> Script {
    let steps = if bytes == 0 { vec![] } else { vec![Step::Data(bytes)] };
    let length = Some(u64::try_from(bytes).expect("a length"));
    Script { steps: steps.into(), length, ends: true }
}

/// Neither length nor end is known before, as `http_body_util::StreamBody`.
pub fn stream(steps: impl IntoIterator<Item = Step>) -> Script {
    Script { steps: steps.into_iter().collect(), length: None, ends: false }
}

/// So many frames of so many bytes.
pub fn frames(count: usize, bytes: usize) -> Script {
    stream(std::iter::repeat_n(Step::Data(bytes), count))
}

impl Script {
    /// A stream that knows its length, from which hyper makes the `Content-Length`.
    pub fn of_length(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }

    /// A stream that says of its last frame that it is the last.
    pub fn that_ends(mut self) -> Self {
        self.ends = true;
        self
    }

    fn body(&self, seen: &Seen) -> Scripted {
        Scripted { script: self.clone(), seen: seen.clone(), pause: None }
    }
}

/// What the service and its body have seen of the server.
#[derive(Clone, Default)]
pub struct Seen(Rc<Counts>);

#[derive(Default)]
struct Counts {
    calls: Cell<u32>,
    polls: Cell<u32>,
    handed: Cell<u64>,
    ended: Cell<bool>,
    dropped: Cell<u32>,
}

impl Seen {
    pub fn calls(&self) -> u32 {
        self.0.calls.get()
    }

    /// How often a body was polled.
    pub fn polls(&self) -> u32 {
        self.0.polls.get()
    }

    /// Body bytes that the server took.
    pub fn handed(&self) -> u64 {
        self.0.handed.get()
    }

    /// Whether a body was polled to its `None`.
    pub fn ended(&self) -> bool {
        self.0.ended.get()
    }

    pub fn bodies_dropped(&self) -> u32 {
        self.0.dropped.get()
    }
}

/// A body that is not `Send`, so that the layer cannot need it.
pub struct Scripted {
    script: Script,
    seen: Seen,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let counts = Rc::clone(&self.seen.0);
        counts.polls.set(counts.polls.get() + 1);
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            return Poll::Ready(match self.script.steps.pop_front() {
                None => {
                    counts.ended.set(true);
                    None
                }
                Some(Step::Data(bytes)) => {
                    counts
                        .handed
                        .set(counts.handed.get() + u64::try_from(bytes).expect("a length"));
                    Some(Ok(Frame::data(vec![b'x'; bytes].into())))
                }
                Some(Step::Trailers(name, value)) => {
                    let pair = (name.parse().expect("a name"), value.parse().expect("a value"));
                    Some(Ok(Frame::trailers(HeaderMap::from_iter([pair]))))
                }
                Some(Step::Error) => Some(Err(io::Error::other("the body's error"))),
                Some(Step::Panic) => panic!("the body's panic"),
                Some(Step::Pause(time)) => {
                    self.pause = Some(Box::pin(sleep(Duration::from_millis(time))));
                    continue;
                }
                Some(Step::Forever) => {
                    self.script.steps.push_front(Step::Forever);
                    return Poll::Pending;
                }
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.script.ends && self.script.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.script.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.seen.0.dropped.set(self.seen.0.dropped.get() + 1);
    }
}

pub type Local<T> = Pin<Box<dyn Future<Output = T>>>;

/// The service of a row; a request takes the next answer, the last one stays.
pub fn service(
    answers: Vec<Answer>,
    seen: Seen,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Scripted>,
    Error = io::Error,
    Future = Local<io::Result<Response<Scripted>>>,
> + Clone {
    let answers = Rc::new(RefCell::new(VecDeque::from(answers)));
    tower::service_fn(move |request| {
        let mut answers = answers.borrow_mut();
        let last = answers.len() == 1;
        let next = if last { answers.front().cloned() } else { answers.pop_front() };
        let next = next.expect("a row has an answer");
        drop(answers);
        seen.0.calls.set(seen.0.calls.get() + 1);
        assert!(!matches!(next, Answer::PanicInCall), "the call's panic");
        Box::pin(perform(next, request, seen.clone())) as Local<_>
    })
}

async fn perform(
    answer: Answer,
    request: Request<Incoming>,
    seen: Seen,
) -> io::Result<Response<Scripted>> {
    match answer {
        Answer::Head(head) => {
            sleep(head.after).await;
            Ok(head.response(&seen))
        }
        Answer::Never => pending().await,
        Answer::PanicInCall | Answer::PanicInFuture => panic!("the handler's panic"),
        Answer::Fail => Err(io::Error::other("the service's error")),
        Answer::Needs(head) => {
            request.collect().await.map_err(io::Error::other)?;
            Ok(head.response(&seen))
        }
        Answer::Reads(head) => {
            let _ = request.collect().await;
            Ok(head.response(&seen))
        }
        Answer::Tunnel(status) => {
            spawn_local(echo(request));
            let head = self::answer(status, frames(1, 5));
            let switches = status == 101;
            let upgrade = |head: Head| head.with("connection", "upgrade").with("upgrade", "echo");
            Ok(if switches { upgrade(head) } else { head }.response(&seen))
        }
    }
}

async fn echo(mut request: Request<Incoming>) -> io::Result<u64> {
    let upgraded = hyper::upgrade::on(&mut request).await.map_err(io::Error::other)?;
    let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
    tokio::io::copy(&mut read, &mut write).await
}

/// What stands between the layer and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outer {
    Nothing,
    /// Gives up on the service after this many milliseconds, as tower's `Timeout`.
    Timeout(u64),
    /// Swallows panics of the call, the future and the body, as tower-http's `CatchPanic`.
    CatchesPanics,
    /// Makes the future and answers itself.
    DropsFuture,
    /// Waits for the response and answers without its body.
    DropsBody,
}

pub type Reply = Local<io::Result<Response<Outside>>>;

impl Outer {
    pub fn call<S>(self, mut inner: S, request: Request<Incoming>) -> Reply
    where
        S: Service<
                Request<Incoming>,
                Response = Response<ResponseBody<Scripted>>,
                Error = io::Error,
            > + 'static,
    {
        match self {
            Self::Nothing => {
                let future = inner.call(request);
                Box::pin(async { Ok(future.await?.map(Outside::of)) })
            }
            Self::Timeout(time) => {
                let future = timeout(Duration::from_millis(time), inner.call(request));
                Box::pin(async { Ok(future.await??.map(Outside::of)) })
            }
            Self::CatchesPanics => caught(inner, request),
            Self::DropsFuture => {
                drop(inner.call(request));
                Box::pin(ready(Ok(Outside::answer())))
            }
            Self::DropsBody => {
                let future = inner.call(request);
                Box::pin(async {
                    drop(future.await?);
                    Ok(Outside::answer())
                })
            }
        }
    }
}

fn caught<S>(mut inner: S, request: Request<Incoming>) -> Reply
where
    S: Service<Request<Incoming>, Response = Response<ResponseBody<Scripted>>, Error = io::Error>
        + 'static,
{
    let Ok(future) = catch_unwind(AssertUnwindSafe(|| inner.call(request))) else {
        return Box::pin(ready(Ok(Outside::answer())));
    };
    Box::pin(async {
        match AssertUnwindSafe(future).catch_unwind().await {
            Ok(response) => response.map(|response| response.map(Outside::catching)),
            Err(_) => Ok(Outside::answer()),
        }
    })
}

/// The body as the outermost layer gives it to the server.
pub struct Outside {
    inner: Option<Pin<Box<ResponseBody<Scripted>>>>,
    catches: bool,
}

impl Outside {
    fn of(body: ResponseBody<Scripted>) -> Self {
        Self { inner: Some(Box::pin(body)), catches: false }
    }

    fn catching(body: ResponseBody<Scripted>) -> Self {
        Self { catches: true, ..Self::of(body) }
    }

    /// 503 and nothing more.
    fn answer() -> Response<Self> {
        let nothing = Self { inner: None, catches: false };
        Response::builder().status(503).body(nothing).expect("a response")
    }
}

impl Body for Outside {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let catches = self.catches;
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        if !catches {
            return inner.as_mut().poll_frame(cx);
        }
        let poll = catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll_frame(cx)));
        poll.unwrap_or(Poll::Ready(None))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

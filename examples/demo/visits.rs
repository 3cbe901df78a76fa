//! What each visitor sent, and the records that came of it, for the page only.
//!
//! A real service has none of this: it keeps raw requests in memory, for the visitor's own eyes,
//! found again by a random cookie, a few hundred at most.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tracing::field::{Field, Visit as Visitor};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer;

const COOKIE: &str = "visitor=";
const MOST: usize = 400;

/// The last exchanges of all visitors.
#[derive(Clone, Default)]
pub struct Visits(Arc<Mutex<VecDeque<Visit>>>);

/// One exchange, while it lasts and afterwards.
#[derive(Clone)]
pub struct Visit {
    pub visitor: Token,
    pub sent: Arc<Vec<[String; 2]>>,
    pub logged: Arc<Mutex<Vec<Vec<[String; 2]>>>>,
}

/// A random name for a browser.
type Token = String;

/// Who is asking; in the request's extensions.
#[derive(Clone)]
pub struct Who {
    pub visitor: Token,
    pub is_new: bool,
}

impl Visits {
    pub fn watch(&self) -> Watch {
        Watch(self.clone())
    }

    pub fn shown(&self) -> Shown {
        Shown
    }

    /// A visitor's own exchanges that have ended, the newest first.
    pub fn of(&self, who: &Who) -> Vec<Visit> {
        let visits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = visits.iter().rev().filter(|visit| visit.visitor == who.visitor);
        own.filter(|visit| !visit.records().is_empty()).take(6).cloned().collect()
    }

    fn start(&self, who: &Who, request: &Request) -> Visit {
        let sent = Arc::new(sent(request));
        let visit = Visit { visitor: who.visitor.clone(), sent, logged: Arc::default() };
        let mut visits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if visits.len() == MOST {
            visits.pop_front();
        }
        visits.push_back(visit.clone());
        visit
    }
}

impl Visit {
    pub fn records(&self) -> Vec<Vec<[String; 2]>> {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn sent(request: &Request) -> Vec<[String; 2]> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or_else(String::new, |peer| peer.0.to_string());
    let line = format!("{} {} {:?}", request.method(), request.uri(), request.version());
    let mut sent = vec![["from".to_owned(), peer], ["request".to_owned(), line]];
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        sent.push([name.to_string(), value.chars().take(300).collect()]);
    }
    sent
}

impl Who {
    fn of(headers: &HeaderMap) -> Self {
        let mut cookies = crate::routes::cookies(headers);
        let known = cookies.find_map(|cookie| cookie.strip_prefix(COOKIE));
        match known
            .filter(|known| known.len() == 32 && known.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            Some(known) => Self { visitor: known.to_owned(), is_new: false },
            None => Self { visitor: random(), is_new: true },
        }
    }

    fn cookie(&self) -> Option<HeaderValue> {
        let cookie =
            format!("{COOKIE}{}; Path=/; SameSite=Lax; HttpOnly; Max-Age=3600", self.visitor);
        cookie.parse().ok().filter(|_| self.is_new)
    }
}

/// Two numbers from the standard library's own random hash keys.
fn random() -> String {
    let number = || RandomState::new().hash_one(0_u8);
    format!("{:016x}{:016x}", number(), number())
}

thread_local! {
    /// The exchange whose future or body this thread is in.
    static CURRENT: RefCell<Option<Visit>> = const { RefCell::new(None) };
}

/// Shows every record to the exchange that it was made in.
pub struct Shown;

impl<S: Subscriber> layer::Layer<S> for Shown {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        if !event.metadata().target().starts_with("privacy_log::") {
            return;
        }
        CURRENT.with_borrow(|visit| {
            let Some(visit) = visit else { return };
            let mut record = Record(Vec::new());
            event.record(&mut record);
            visit.logged.lock().unwrap_or_else(PoisonError::into_inner).push(record.0);
        });
    }
}

struct Record(Vec<[String; 2]>);

impl Visitor for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push([field.name().to_owned(), value.to_owned()]);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push([field.name().to_owned(), format!("{value:?}")]);
    }
}

/// The outermost layer of the demo: notes what came in, and whose exchange runs.
#[derive(Clone)]
pub struct Watch(Visits);

impl<S> Layer<S> for Watch {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Watched<S> {
        Watched { inner, visits: self.0.clone() }
    }
}

#[derive(Clone)]
pub struct Watched<S> {
    inner: S,
    visits: Visits,
}

impl<S> Service<Request> for Watched<S>
where
    S: Service<Request, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Scoped<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let who = Who::of(request.headers());
        let visit = self.visits.start(&who, &request);
        let cookie = who.cookie();
        request.extensions_mut().insert(who);
        let inner = inside(&visit, || self.inner.call(request));
        Scoped { inner: Some(inner), visit, cookie }
    }
}

/// Runs a part of an exchange as that exchange.
fn inside<T>(visit: &Visit, part: impl FnOnce() -> T) -> T {
    struct Back(Option<Visit>);
    impl Drop for Back {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _back = Back(CURRENT.replace(Some(visit.clone())));
    part()
}

pin_project! {
    /// A future or a body that is polled and dropped inside of its exchange.
    pub struct Scoped<T> {
        #[pin]
        inner: Option<T>,
        visit: Visit,
        cookie: Option<HeaderValue>,
    }

    impl<T> PinnedDrop for Scoped<T> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            inside(this.visit, || this.inner.set(None));
        }
    }
}

impl<F, E> Future for Scoped<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else { return Poll::Pending };
        inside(this.visit, || inner.poll(cx)).map_ok(|response| {
            let (mut head, body) = response.into_parts();
            if let Some(cookie) = this.cookie.take() {
                head.headers.append(SET_COOKIE, cookie);
            }
            let body = Scoped { inner: Some(body), visit: this.visit.clone(), cookie: None };
            Response::from_parts(head, Body::new(body))
        })
    }
}

impl HttpBody for Scoped<Body> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.project();
        match this.inner.as_pin_mut() {
            Some(inner) => inside(this.visit, || inner.poll_frame(cx)),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

//! What the benchmarks share: policies, requests, and whole exchanges through tower.
//!
//! An exchange is what hyper does with a service: a clone of it is called through tower's `oneshot`, and the
//! response's body is polled to its end. The service behind a layer is boxed, as axum's routes are: of a
//! closure the compiler makes one function with all that is around it, and how many copies of the request it
//! leaves out then decides. Requests are made beforehand, so that only their way through the service is
//! measured, and every service is measured by the same code.
#![allow(dead_code, reason = "every benchmark takes what it needs")]

pub mod hostile;
pub mod scenario;

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use rustix::time::{ClockId, clock_gettime};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _, service_fn};
use tower_privacy_log::{Flush, PeerAddr, Policy, PrivacyLogLayer, Route};
use tracing::{Dispatch, Span};

pub const THREE: &str = r#"
"timestamp" = { precision = "1s" }
"http.route" = "keep"
"http.response.status_code" = "keep"
"#;

pub const EIGHT: &str = r#"
"timestamp" = { precision = "1s" }
"client.address" = "truncate"
"http.request.method" = "keep"
"http.route" = "keep"
"http.response.status_code" = "keep"
"http.request.header.referer" = "origin"
"http.server.request.duration" = { precision = "1ms" }
"error.type" = "keep"
"#;

/// Every field but the pseudonym, whose hash is not to be measured where it is done in software, the raw
/// user agent, and the request's size, which needs heap.
pub const TWENTY: &str = r#"
"timestamp" = { precision = "1s" }
"client.address" = "truncate"
"http.request.method" = "keep"
"http.route" = "keep"
"url.path" = { depth = 1 }
"url.query" = { allow = ["page"] }
"url.scheme" = "keep"
"network.protocol.version" = "keep"
"server.address" = { allow = ["app.example.com"] }
"http.response.status_code" = "keep"
"http.request.header.referer" = "origin"
"user_agent.name" = "keep"
"user_agent.version" = "keep"
"user_agent.os.name" = "keep"
"device.type" = "keep"
"browser.language" = { allow = ["en", "de"] }
"http.server.request.duration" = { precision = "1ms" }
"http.response.body.size" = { round = 1024 }
"rpc.grpc.status_code" = "keep"
"error.type" = "keep"
"#;

/// Eight fields with a pseudonym in the place of the address.
pub fn pseudonymized() -> String {
    let truncated = "\"client.address\" = \"truncate\"";
    EIGHT.replace(truncated, "\"client.pseudonym\" = \"pseudonymize\"")
}

/// The text of a policy: what stands before its logs, and each log's fields.
pub fn text(head: &str, logs: &[&str]) -> String {
    let mut text = format!("policy = \"bench\"\n{head}\n");
    for (name, fields) in ["access", "second"].iter().zip(logs) {
        text += &format!(
            "[log.{name}]\npurpose = [\"security\"]\nlegal_basis = \"contract\"\nretention = \"30d\"\n\
             [log.{name}.fields]\n{fields}"
        );
    }
    text
}

pub fn layer(head: &str, logs: &[&str]) -> PrivacyLogLayer {
    let policy: Policy = text(head, logs).parse().expect("the benchmark's policy is valid");
    PrivacyLogLayer::new(&policy).expect("keys in memory can be had")
}

/// A router knows its templates.
static ROUTE: OnceLock<Route> = OnceLock::new();

/// What a browser asks for.
pub fn request<B: Default>() -> Request<B> {
    Request::get("/users/42?page=1")
        .header("host", "app.example.com")
        .header("referer", "https://www.example.com/a/b?c")
        .header("accept-language", "en-GB,en;q=0.8")
        .header(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        )
        .extension(PeerAddr(([198, 51, 100, 77], 4711).into()))
        .extension(ROUTE.get_or_init(|| Route::new("/users/{id}")).clone())
        .body(B::default())
        .expect("the request is well-formed")
}

pub type Boxed<B> = BoxCloneSyncService<Request<B>, Response<Full<Bytes>>, Infallible>;

/// The service that is measured with nothing around it.
pub fn hello<B: Send + 'static>() -> Boxed<B> {
    BoxCloneSyncService::new(service_fn(greet))
}

pub async fn greet<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("hello")))
}

/// What a measured service is: one that answers at once and never fails.
pub trait Hello<B>:
    Service<Request<B>, Response = Response<Self::Body>, Error = Infallible> + Clone
{
    type Body: Body;
}

impl<S, B, R> Hello<B> for S
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible> + Clone,
    R: Body,
{
    type Body = R;
}

/// One exchange of a service that never has to wait.
pub fn exchange<B>(service: &impl Hello<B>, request: Request<B>) {
    let whole = async {
        let Ok(response) = service.clone().oneshot(request).await;
        let mut body = pin!(response.into_body());
        while let Some(frame) = body.frame().await {
            black_box(frame.is_ok());
        }
    };
    whole.now_or_never().expect("nothing has to be waited for");
}

/// A service with the requests that it is going to get, whatever its types.
pub trait Rig {
    /// Makes requests.
    fn ready(&mut self, count: usize);
    /// One exchange after another, until there are no more requests. The caller sets the dispatcher.
    fn run(&mut self);
    fn dispatch(&self) -> &Dispatch;
}

pub struct Exchanges<S, B> {
    pub service: S,
    pub request: Box<dyn Fn() -> Request<B> + Send + Sync>,
    pub requests: Vec<Request<B>>,
    pub dispatch: Dispatch,
    pub span: Option<Span>,
    pub flush: Option<Flush>,
}

impl<S, B: Default + 'static> Exchanges<S, B> {
    pub fn new(service: S) -> Self {
        Self {
            service,
            request: Box::new(request),
            requests: Vec::new(),
            dispatch: Dispatch::none(),
            span: None,
            flush: None,
        }
    }
}

impl<S: Clone, B: Default + 'static> Exchanges<S, B> {
    /// For another thread: the same service and the same dispatcher.
    pub fn another(&self) -> Self {
        Self { dispatch: self.dispatch.clone(), ..Self::new(self.service.clone()) }
    }
}

impl<S: Hello<B>, B> Rig for Exchanges<S, B> {
    fn ready(&mut self, count: usize) {
        self.requests.extend((0..count).map(|_| (self.request)()));
    }

    #[inline(never)]
    fn run(&mut self) {
        let _entered = self.span.as_ref().map(Span::enter);
        for request in self.requests.drain(..) {
            exchange(&self.service, request);
        }
    }

    fn dispatch(&self) -> &Dispatch {
        &self.dispatch
    }
}

/// How long this thread has had a processor; it does not matter who else wanted it.
pub fn processor() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a processor's time is positive")
}

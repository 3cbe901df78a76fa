//! One row: a service, a client and the record that has to come of it, over a real socket.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tower::Layer;
use tower_privacy_log::{Policy, PrivacyLogLayer};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

use crate::service::{Answer, Head, Outer, Seen, service};
use crate::support::{Written, policy};
use crate::{client1, client2};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    One,
    Two,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Get,
    Head,
    /// `GET` with `Upgrade` on HTTP/1.
    Upgrade,
    Connect,
    /// `CONNECT` with `:protocol`; RFC 8441.
    ExtendedConnect,
    /// Announces 100 bytes and sends 10 of them.
    Upload,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Reads the response to its end, then closes.
    Reads,
    /// Reads some of the body, then closes.
    LeavesBody,
    /// Closes while the service is at work.
    LeavesHead,
    /// Says that it will send nothing more while the service is at work.
    HalfCloses,
    /// The same in the body, of which it goes on to read what comes.
    HalfClosesBody,
    /// `RST_STREAM` or a TCP reset while the service is at work.
    ResetsHead,
    /// `RST_STREAM` or a TCP reset in the body.
    ResetsBody,
    /// Sends something through the tunnel and back, and wants the record by then.
    Tunnels,
}

pub struct Row {
    pub ask: Ask,
    pub answer: Answer,
    pub outer: Outer,
    pub client: Client,
    pub record: Expected,
    /// How often the server polls the body, when that is what the row is about.
    pub body: Option<Left>,
}

/// Where the server leaves the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Unpolled,
    /// After some frame, without having seen the `None`.
    Midway,
    Ended,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub error: Option<&'static str>,
    pub status: Option<u16>,
    pub bytes: Bytes,
    pub grpc: Option<i64>,
}

/// Every count must be what the server took, besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// There was no response.
    Absent,
    All(u64),
    /// Some, but not that many.
    Part(u64),
}

pub fn complete(status: u16, bytes: u64) -> Expected {
    Expected { error: None, status: Some(status), bytes: Bytes::All(bytes), grpc: None }
}

pub fn broken(error: &'static str, status: u16, bytes: u64) -> Expected {
    Expected { error: Some(error), ..complete(status, bytes) }
}

/// Ended before there was a response.
pub fn headless(error: &'static str) -> Expected {
    Expected { error: Some(error), status: None, bytes: Bytes::Absent, grpc: None }
}

impl Expected {
    pub fn part_of(self, bytes: u64) -> Self {
        Self { bytes: Bytes::Part(bytes), ..self }
    }

    pub fn grpc(self, code: i64) -> Self {
        Self { grpc: Some(code), ..self }
    }

    pub fn check(&self, record: &Value, handed: u64) {
        let bytes = record.get("http.response.body.size").map(|size| size.as_u64().expect("bytes"));
        assert_eq!(record.get("error.type").map(text), self.error, "{record}");
        assert_eq!(
            number(record, "http.response.status_code"),
            self.status.map(i64::from),
            "{record}"
        );
        assert_eq!(number(record, "rpc.grpc.status_code"), self.grpc, "{record}");
        match self.bytes {
            Bytes::Absent => assert_eq!(bytes, None, "{record}"),
            Bytes::All(all) => assert_eq!(bytes, Some(all), "{record}"),
            Bytes::Part(of) => {
                assert!(bytes.is_some_and(|bytes| 0 < bytes && bytes < of), "{record}");
            }
        }
        assert!(bytes.is_none_or(|bytes| bytes == handed), "{handed} bytes handed: {record}");
        assert_eq!(record.get("level").map(text), Some(self.level()), "{record}");
        assert!(record["http.server.request.duration"].is_f64(), "{record}");
    }

    fn level(&self) -> &'static str {
        let failed = matches!(self.error, Some("panic" | "service_error" | "body_error"));
        if failed || self.status.is_some_and(|status| status >= 500) { "ERROR" } else { "INFO" }
    }
}

pub fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

pub fn number(record: &Value, name: &str) -> Option<i64> {
    record.get(name).map(|value| value.as_i64().expect("a number"))
}

/// A `GET` that is answered and read.
pub fn row(head: Head, record: Expected) -> Row {
    let answer = Answer::Head(head);
    Row { ask: Ask::Get, answer, outer: Outer::Nothing, client: Client::Reads, record, body: None }
}

impl Row {
    pub fn ask(self, ask: Ask) -> Self {
        Self { ask, ..self }
    }

    pub fn client(self, client: Client) -> Self {
        Self { client, ..self }
    }

    pub fn outer(self, outer: Outer) -> Self {
        Self { outer, ..self }
    }

    pub fn left(self, body: Left) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Plays the row and looks at what was written.
    pub fn play(self, http: Http) {
        let (written, _listening) = listening();
        let seen = Seen::default();
        on_this_thread(async {
            let server = Server::start(http, self.outer, vec![self.answer.clone()], &seen).await;
            let at = Peer { at: server.at, seen: &seen, written: &written };
            match http {
                Http::One => client1::exchange(at, self.ask, self.client).await,
                Http::Two => client2::exchange(at, self.ask, self.client).await,
            }
            server.closed().await;
            until("the record is written", || !written.records().is_empty()).await;
        });
        let records = written.records();
        assert_eq!(records.len(), 1, "one record of one exchange: {records:#?}");
        self.check(http, &records[0], &seen);
    }

    fn check(&self, http: Http, record: &Value, seen: &Seen) {
        self.record.check(record, seen.handed());
        assert_eq!(text(&record["http.request.method"]), self.ask.method());
        let version = if http == Http::One { "1.1" } else { "2" };
        assert_eq!(text(&record["network.protocol.version"]), version);
        if let Some(body) = self.body {
            let left = match (seen.polls(), seen.ended()) {
                (0, _) => Left::Unpolled,
                (_, false) => Left::Midway,
                (_, true) => Left::Ended,
            };
            assert_eq!(left, body, "what the server did with the body");
        }
    }
}

impl Ask {
    const fn method(self) -> &'static str {
        match self {
            Self::Get | Self::Upgrade => "GET",
            Self::Head => "HEAD",
            Self::Upload => "POST",
            Self::Connect | Self::ExtendedConnect => "CONNECT",
        }
    }
}

/// What a client needs to know of the other side.
#[derive(Clone, Copy)]
pub struct Peer<'s> {
    pub at: SocketAddr,
    pub seen: &'s Seen,
    pub written: &'s Written,
}

/// hyper around the layer around the service of a row.
pub struct Server {
    pub at: SocketAddr,
    open: Rc<Cell<u32>>,
}

impl Server {
    pub async fn start(http: Http, outer: Outer, answers: Vec<Answer>, seen: &Seen) -> Self {
        Self::with(http, outer, answers, seen, &observed(), false).await
    }

    pub async fn with(
        http: Http,
        outer: Outer,
        answers: Vec<Answer>,
        seen: &Seen,
        policy: &Policy,
        half_close: bool,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let logged =
            PrivacyLogLayer::new(policy).expect("a layer").layer(service(answers, seen.clone()));
        let open = Rc::new(Cell::new(0));
        let counter = Rc::clone(&open);
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("small segments go at once");
                let open = Open::count(&counter);
                let logged = logged.clone();
                let service = service_fn(move |request| outer.call(logged.clone(), request));
                spawn_local(async move {
                    let _open = open;
                    // How the connection ends is the row's affair.
                    let _ = serve(http, stream, service, half_close).await;
                });
            }
        });
        Self { at, open }
    }

    /// Every connection is gone, and a while has passed.
    pub async fn closed(&self) {
        until("the server has closed", || self.open.get() == 0).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn serve<S>(http: Http, stream: TcpStream, service: S, half_close: bool) -> hyper::Result<()>
where
    S: hyper::service::Service<
            hyper::Request<hyper::body::Incoming>,
            Response = hyper::Response<crate::service::Outside>,
            Error = std::io::Error,
            Future = crate::service::Reply,
        > + 'static,
{
    let io = TokioIo::new(stream);
    match http {
        Http::One => {
            let mut server = http1::Builder::new();
            server.half_close(half_close).serve_connection(io, service).with_upgrades().await
        }
        Http::Two => {
            let mut server = http2::Builder::new(Here);
            server.enable_connect_protocol().serve_connection(io, service).await
        }
    }
}

/// One open connection, counted even if its task panics.
struct Open(Rc<Cell<u32>>);

impl Open {
    fn count(open: &Rc<Cell<u32>>) -> Self {
        open.set(open.get() + 1);
        Self(Rc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Runs hyper's tasks on this thread, where the subscriber listens.
#[derive(Clone, Copy)]
pub struct Here;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, task: F) {
        spawn_local(task);
    }
}

/// Runs a test on a runtime of this thread; what is still alive at its end is dropped with it.
pub fn on_this_thread<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let bounded = async { tokio::time::timeout(Duration::from_secs(60), test).await };
    let result = LocalSet::new().block_on(&runtime.expect("a runtime"), bounded);
    result.expect("a test ends within a minute")
}

pub async fn until(what: &str, reached: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reached() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Listens to records only: HTTP/2 says a thousand things of every exchange.
pub fn listening() -> (Written, DefaultGuard) {
    let written = Written::default();
    let json = tracing_subscriber::fmt::layer().json().flatten_event(true).without_time();
    let records = Targets::new().with_target("privacy_log", LevelFilter::TRACE);
    let all = tracing_subscriber::registry().with(json.with_writer(written.clone())).with(records);
    (written, tracing::subscriber::set_default(all))
}

/// A policy that shows how an exchange ended.
pub fn observed() -> Policy {
    policy(OBSERVED)
}

pub const OBSERVED: &str = r#"
"http.request.method" = "keep"
"network.protocol.version" = "keep"
"http.response.status_code" = "keep"
"http.server.request.duration" = { precision = "1ms" }
"http.response.body.size" = { round = 1 }
"rpc.grpc.status_code" = "keep"
"error.type" = "keep"
"#;

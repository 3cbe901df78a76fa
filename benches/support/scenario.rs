//! The exchanges that are compared, by the name under which every benchmark reports them.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::Empty;
use tower::{Layer, service_fn};
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, HttpMakeClassifier, TraceLayer};
use tower_privacy_log::{JsonLines, Options, PeerAddr};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::{EIGHT, Exchanges, Hello, Rig, THREE, TWENTY, greet, hello, layer, pseudonymized};

pub type NoBody = Empty<Bytes>;

/// A scenario and how it is set up.
pub type Scenario = (&'static str, fn() -> Box<dyn Rig>);

/// Those that nobody listens to come first: what a subscriber was once interested in stays known to the process.
pub const ALL: &[Scenario] = &[
    ("bare", bare),
    ("bare_axum", bare_axum),
    ("bare_router", bare_router),
    ("bare_closure", bare_closure),
    ("nobody_listens", nobody_listens),
    ("router_nobody_listens", router_nobody_listens),
    ("closure_nobody_listens", closure_nobody_listens),
    ("trace_layer_nobody_listens", trace_layer_nobody_listens),
    ("no_op_subscriber", no_op_subscriber),
    ("json_lines_3", json_lines_3),
    ("json_lines_8", json_lines_8),
    ("json_lines_20", json_lines_20),
    ("json_lines_pseudonym", json_lines_pseudonym),
    ("router_json_lines_8", router_json_lines_8),
    ("closure_json_lines_8", closure_json_lines_8),
    ("json_lines_two_logs", json_lines_two_logs),
    ("json_lines_in_span", json_lines_in_span),
    ("fmt_json_8", fmt_json_8),
    ("trace_layer_fmt_json", trace_layer_fmt_json),
    ("handwritten_fmt_json", handwritten_fmt_json),
];

pub fn bare() -> Box<dyn Rig> {
    Box::new(Exchanges::<_, NoBody>::new(hello()))
}

pub fn nobody_listens() -> Box<dyn Rig> {
    Box::new(Exchanges::<_, NoBody>::new(layer("", &[EIGHT]).layer(hello())))
}

pub fn no_op_subscriber() -> Box<dyn Rig> {
    heard(&[EIGHT], || Dispatch::new(tracing_subscriber::registry().with(NoOp)))
}

pub fn json_lines_3() -> Box<dyn Rig> {
    json_lines("", &[THREE])
}

pub fn json_lines_8() -> Box<dyn Rig> {
    json_lines("", &[EIGHT])
}

pub fn json_lines_20() -> Box<dyn Rig> {
    json_lines("", &[TWENTY])
}

pub fn json_lines_pseudonym() -> Box<dyn Rig> {
    json_lines("", &[&pseudonymized()])
}

pub fn json_lines_two_logs() -> Box<dyn Rig> {
    json_lines("", &[EIGHT, EIGHT])
}

pub fn json_lines_in_span() -> Box<dyn Rig> {
    let mut rig = json_lines_rig("", &[EIGHT]);
    let spanned = || tracing::info_span!("outer", uri = "/users/42");
    rig.span = Some(tracing::dispatcher::with_default(&rig.dispatch, spanned));
    Box::new(rig)
}

pub fn fmt_json_8() -> Box<dyn Rig> {
    heard(&[EIGHT], fmt_json)
}

pub fn trace_layer_nobody_listens() -> Box<dyn Rig> {
    Box::new(Exchanges::<_, NoBody>::new(trace_layer().layer(hello())))
}

pub fn trace_layer_fmt_json() -> Box<dyn Rig> {
    let mut rig = Exchanges::<_, NoBody>::new(trace_layer().layer(hello()));
    rig.dispatch = fmt_json();
    Box::new(rig)
}

/// With the body types that axum wants; what the hand-written one is compared with.
pub fn bare_axum() -> Box<dyn Rig> {
    Box::new(Exchanges::<_, Body>::new(hello()))
}

pub fn handwritten_fmt_json() -> Box<dyn Rig> {
    let mut rig = Exchanges::<_, Body>::new(from_fn(log).layer(hello()));
    rig.dispatch = fmt_json();
    Box::new(rig)
}

/// With our sink, to a writer that keeps nothing.
pub fn json_lines(head: &str, logs: &[&str]) -> Box<dyn Rig> {
    Box::new(json_lines_rig(head, logs))
}

/// As above, for those who want to change it.
pub fn json_lines_rig(head: &str, logs: &[&str]) -> Exchanges<impl Hello<NoBody> + use<>, NoBody> {
    sunk(layer(head, logs).layer(hello()), io::sink(), Options::default())
}

/// Around a whole router instead of a boxed service.
pub fn bare_router() -> Box<dyn Rig> {
    Box::new(Exchanges::<_, Body>::new(router()))
}

pub fn router_nobody_listens() -> Box<dyn Rig> {
    Box::new(Exchanges::<_, Body>::new(layer("", &[EIGHT]).layer(router())))
}

pub fn router_json_lines_8() -> Box<dyn Rig> {
    Box::new(sunk::<_, Body>(layer("", &[EIGHT]).layer(router()), io::sink(), Options::default()))
}

fn router() -> Router {
    Router::new().route("/users/{id}", get(async || "hello"))
}

/// Around a closure, of which and the layer the compiler makes one function.
pub fn bare_closure() -> Box<dyn Rig> {
    Box::new(Exchanges::<_, NoBody>::new(service_fn(greet)))
}

pub fn closure_nobody_listens() -> Box<dyn Rig> {
    Box::new(Exchanges::<_, NoBody>::new(layer("", &[EIGHT]).layer(service_fn(greet))))
}

pub fn closure_json_lines_8() -> Box<dyn Rig> {
    let service = layer("", &[EIGHT]).layer(service_fn(greet));
    Box::new(sunk::<_, NoBody>(service, io::sink(), Options::default()))
}

pub fn json_lines_to(
    output: Box<dyn Write + Send>,
    options: Options,
    logs: &[&str],
) -> Exchanges<impl Hello<NoBody> + use<>, NoBody> {
    sunk(layer("", logs).layer(hello()), output, options)
}

fn sunk<S: Hello<B>, B: Default + 'static>(
    service: S,
    output: impl Write + Send + 'static,
    options: Options,
) -> Exchanges<S, B> {
    let (lines, flush) = JsonLines::to_writer(output, options).expect("a thread");
    let mut rig = Exchanges::new(service);
    rig.dispatch = Dispatch::new(tracing_subscriber::registry().with(lines));
    rig.flush = Some(flush);
    rig
}

/// The subscriber comes second: a call-site that is registered between the making of a dispatcher and its
/// being set is never heard.
fn heard(logs: &[&str], dispatch: fn() -> Dispatch) -> Box<dyn Rig> {
    let mut rig = Exchanges::<_, NoBody>::new(layer("", logs).layer(hello()));
    rig.dispatch = dispatch();
    Box::new(rig)
}

/// As tracing-subscriber's documentation sets it up, but to a writer that keeps nothing.
fn fmt_json() -> Dispatch {
    let json = tracing_subscriber::fmt::layer().json().with_writer(io::sink);
    Dispatch::new(tracing_subscriber::registry().with(json).with(LevelFilter::INFO))
}

/// One event per exchange, at the level that is on in production.
fn trace_layer() -> TraceLayer<HttpMakeClassifier> {
    TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
        .on_response(DefaultOnResponse::new().level(Level::INFO))
}

/// What people write by hand; it logs what our eight fields hold, unreduced.
async fn log(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let client = request.extensions().get::<PeerAddr>().map(|peer| peer.0.ip().to_string());
    let (user_agent, referer) = (header(&request, "user-agent"), header(&request, "referer"));
    let response = next.run(request).await;
    tracing::info!(
        method = %method,
        path = uri.path(),
        status = response.status().as_u16(),
        latency_ms = start.elapsed().as_secs_f64() * 1000.0,
        client,
        user_agent,
        referer,
        "request"
    );
    response
}

fn header(request: &Request, name: &str) -> String {
    let value = request.headers().get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// Looks at every field and keeps nothing.
struct NoOp;

impl<S: Subscriber> tracing_subscriber::Layer<S> for NoOp {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        event.record(&mut Look);
    }
}

struct Look;

impl Visit for Look {
    fn record_f64(&mut self, field: &Field, value: f64) {
        black_box((field, value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        black_box((field, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        black_box((field, value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        black_box((field, value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        black_box((field, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        black_box((field, value));
    }
}

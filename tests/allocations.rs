//! Guarantee: an exchange costs no heap allocation on the request's thread, from the layer to the line that is handed
//! over, and none when nobody listens.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, Service, service_fn};
use tower_privacy_log::{JsonLines, Options, PeerAddr, Policy, PrivacyLogLayer, Route};
use tracing_subscriber::layer::SubscriberExt as _;

const POLICY: &str = r#"
policy = "allocations-1"
[log.access]
purpose = ["security"]
legal_basis = "contract"
retention = "30d"
[log.access.fields]
"timestamp" = { precision = "1s" }
"client.address" = "truncate"
"http.request.method" = "keep"
"http.route" = "keep"
"http.response.status_code" = "keep"
"user_agent.name" = "keep"
"http.server.request.duration" = { precision = "1ms" }
"http.response.body.size" = { round = 1024 }
"#;

const EXCHANGES: u64 = 1000;

fn request() -> Request<()> {
    let mut request = Request::get("/users/7?token=x");
    let extensions = request.extensions_mut().unwrap();
    extensions.insert(PeerAddr("198.51.100.77:4711".parse().unwrap()));
    extensions.insert(Route::new("/users/{id}"));
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    request.header("user-agent", agent).body(()).unwrap()
}

fn answer(status: StatusCode) -> Ready<Result<Response<Full<Bytes>>, Infallible>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"hello")));
    *response.status_mut() = status;
    ready(Ok(response))
}

/// Allocations of one exchange after another; their requests are made before.
fn allocations<S, B>(mut service: S, count: u64) -> u64
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes, Error = Infallible> + Unpin,
{
    let requests: Vec<_> = (0..count).map(|_| request()).collect();
    let counted = allocation_counter::measure(|| {
        for request in requests {
            let response = service.call(request).now_or_never().unwrap().unwrap();
            let mut body = response.into_body();
            while body.frame().now_or_never().unwrap().is_some() {}
        }
    });
    counted.count_total
}

/// What the layer adds to a service that always answers so, once everything is warm.
fn added(status: StatusCode) -> u64 {
    let layer = PrivacyLogLayer::new(&POLICY.parse::<Policy>().unwrap()).unwrap();
    let mut bare = service_fn(|_| answer(status));
    let mut logged = layer.layer(service_fn(|_| answer(status)));
    allocations(&mut bare, 10);
    allocations(&mut logged, 10);
    let bare = allocations(&mut bare, EXCHANGES);
    allocations(&mut logged, EXCHANGES).checked_sub(bare).unwrap()
}

/// Who listens is a matter of the process.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn an_exchange_that_is_logged_allocates_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (lines, flush) = JsonLines::to_writer(std::io::sink(), Options::default()).unwrap();
    let subscriber = tracing_subscriber::registry().with(lines);
    tracing::subscriber::with_default(subscriber, || {
        assert_eq!(added(StatusCode::OK), 0);
        assert_eq!(added(StatusCode::INTERNAL_SERVER_ERROR), 0);
    });
    flush.flush().unwrap();
    assert_eq!(flush.stats().written, 2 * (EXCHANGES + 10));
}

#[test]
fn an_exchange_that_nobody_listens_to_allocates_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(added(StatusCode::OK), 0);
}

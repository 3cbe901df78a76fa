//! The same absence for every ending (A5), through axum's router and a real hyper server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;
use tower_http::trace::TraceLayer;
use tower_privacy_log::{ErrorCode, LogFields, PrivacyLogLayer};

use crate::exchange::Failure;
use crate::markers::{base64, found, marker, percent_encoded};
use crate::readers::{Readers, Written};
use crate::support::policy;

const FIELDS: &str = r#"
"client.address" = "truncate"
"http.request.method" = "keep"
"http.route" = "keep"
"url.query" = { allow = ["page"] }
"server.address" = { allow = ["app.example.com"] }
"http.response.status_code" = "keep"
"http.request.header.referer" = "origin"
"http.response.body.size" = { round = 1 }
"error.type" = "keep"
[log.access.app_fields]
"plan" = { allow = ["free"] }
"#;

fn secret() -> String {
    marker("en", "ding")
}

fn answer(status: u16) -> (StatusCode, [(&'static str, String); 2], String) {
    let headers = [("x-error", secret()), ("location", format!("/{}", secret()))];
    (StatusCode::from_u16(status).unwrap(), headers, secret())
}

fn streamed(end: impl Future<Output = Option<Result<Bytes, Failure>>> + Send + 'static) -> Body {
    let start = stream::iter([Ok(Bytes::from(secret()))]);
    let rest = stream::once(end);
    let rest = futures_util::StreamExt::filter_map(rest, std::future::ready);
    Body::from_stream(futures_util::StreamExt::chain(start, rest))
}

async fn status(
    Path((status, _)): Path<(u16, String)>,
    fields: LogFields,
) -> (StatusCode, [(&'static str, String); 2], String) {
    fields.set("plan", secret());
    fields.set(&secret(), secret());
    answer(status)
}

/// Routes at the root, in a nested router and in a nested service with a fallback of its own.
fn app() -> Router {
    let inner =
        || Router::new().route("/users/{id}", get(|Path(id): Path<String>| async move { id }));
    Router::new()
        .route("/status/{code}/{secret}", get(status).post(status))
        .route(
            "/panic/{secret}",
            get(|| async {
                if true {
                    std::panic::resume_unwind(Box::new(secret()))
                }
            }),
        )
        .route("/wait/{secret}", get(std::future::pending::<()>))
        .route(
            "/broken/{secret}",
            get(|| async { streamed(async { Some(Err(Failure::deep(&secret()))) }) }),
        )
        .route("/endless/{secret}", get(|| async { streamed(std::future::pending()) }))
        .route(
            "/bomb/{secret}",
            get(|| async { streamed(async { std::panic::resume_unwind(Box::new(secret())) }) }),
        )
        .route(
            "/code/{secret}",
            get(|| async {
                ([("x", secret())], axum::Extension(ErrorCode::new("too.large").unwrap()), secret())
            }),
        )
        .route(
            "/number/{secret}",
            post(|Json(number): Json<u32>| async move { number.to_string() }),
        )
        .route(
            "/query/{secret}",
            get(|Query(page): Query<std::collections::HashMap<String, u8>>| async move {
                page.len().to_string()
            }),
        )
        .nest("/nested", inner())
        .nest_service("/service", inner().fallback(|| async { answer(404) }))
}

fn logged(router: Router) -> Router {
    router.layer(PrivacyLogLayer::new(&policy(FIELDS)).unwrap()).layer(TraceLayer::new_for_http())
}

fn to(method: &str, target: &str, body: &str) -> Request<Body> {
    let m = secret();
    let referer = format!("https://{m}:{m}@news.example.org/{m}?{m}#{m}");
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "app.example.com:8080")
        .header("cookie", &m)
        .header("authorization", format!("Basic {}", base64(&format!("{m}:{m}"))))
        .header("x-forwarded-for", &m)
        .header("content-type", "application/json")
        .header("referer", referer)
        .header(&m, &m)
        .body(Body::from(body.to_owned()))
        .unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([198, 51, 100, 23], 9))));
    request
}

fn check(written: &Written, what: &str) -> Vec<(String, Value)> {
    let ours = written.ours();
    assert!(found(&ours).is_empty(), "{what}: {ours}");
    assert!(!ours.contains("198.51.100.23"), "{what}: {ours}");
    let mut records = written.sink_records();
    assert_eq!((records.len(), written.records().len()), (1, 1), "{what}: {ours}");
    records.remove(0).pairs
}

fn value(pairs: &[(String, Value)], key: &str) -> Value {
    let pair = pairs.iter().find(|(name, _)| name == key);
    pair.map_or(Value::Null, |(_, value)| value.clone())
}

/// Sends, reads until the end or as far as it goes, and gives what was recorded. Nothing here waits
/// for anybody else, so that one poll is the whole exchange.
fn recorded(router: Router, request: Request<Body>, readers: &Readers) -> Vec<(String, Value)> {
    let what = format!("{} {}", request.method(), request.uri());
    let exchange = async {
        let response = router.oneshot(request).await.unwrap();
        let _ = response.into_body().collect().await;
    };
    let _ = AssertUnwindSafe(exchange).catch_unwind().now_or_never();
    check(&readers.take(), &what)
}

#[test]
fn every_status_is_as_silent_as_200() {
    let (readers, m) = (Readers::start(), secret());
    for code in [200, 204, 304, 400, 401, 404, 405, 413, 431, 500, 503, 101] {
        let target = format!("/status/{code}/{m}?token={m}&page=2&{m}");
        let pairs = recorded(logged(app()), to("GET", &target, &m), &readers);
        assert_eq!(value(&pairs, "http.response.status_code"), code);
        assert_eq!(value(&pairs, "http.route"), "/status/{code}/{secret}");
        assert_eq!(value(&pairs, "http.request.header.referer"), "https://news.example.org");
        assert_eq!(value(&pairs, "client.address"), "198.51.100.0");
        assert_eq!(value(&pairs, "url.query"), "page=2");
        assert_eq!(value(&pairs, "plan"), "_OTHER");
    }
}

/// Case E4: there is no route, so the path must not stand in for it.
#[test]
fn a_path_that_nothing_matches_is_not_written() {
    let (readers, m) = (Readers::start(), secret());
    let encoded = percent_encoded(&m);
    for (method, target, code, route) in [
        ("GET", format!("/{m}?{m}={m}"), 404, None),
        ("GET", format!("/{encoded}/{m}"), 404, None),
        ("GET", format!("/nested/{m}"), 404, None),
        ("GET", format!("/nested/users/{m}/{m}"), 404, None),
        ("GET", format!("/service/{m}"), 404, None),
        ("GET", format!("/service/users/{m}/{m}"), 404, None),
        ("DELETE", format!("/status/1/{m}?{m}"), 405, Some("/status/{code}/{secret}")),
        (m.as_str(), format!("/status/1/{m}"), 405, Some("/status/{code}/{secret}")),
        ("POST", format!("/nested/users/{m}"), 405, Some("/nested/users/{id}")),
        ("GET", format!("/nested/users/{m}"), 200, Some("/nested/users/{id}")),
        (
            "GET",
            format!("http://{m}:{m}@app.example.com/nested/users/{m}"),
            200,
            Some("/nested/users/{id}"),
        ),
    ] {
        for fallback in [false, true] {
            let app = if fallback { app().fallback(|| async { answer(404) }) } else { app() };
            let pairs = recorded(logged(app), to(method, &target, ""), &readers);
            assert_eq!(value(&pairs, "http.response.status_code"), code, "{method} {target}");
            assert_eq!(value(&pairs, "http.route").as_str(), route, "{method} {target}");
        }
    }
}

/// Case E7 in axum: what its extractors say of a request.
#[test]
fn a_rejection_that_quotes_the_request_stays_in_the_response() {
    let (readers, m) = (Readers::start(), secret());
    for (method, target, body, code) in [
        ("POST", format!("/number/{m}"), format!("\"{m}\""), 422),
        ("POST", format!("/number/{m}"), m.clone(), 400),
        ("GET", format!("/query/{m}?page=1&{m}={m}"), String::new(), 400),
        ("GET", format!("/query/{m}?x={}", percent_encoded(&m)), String::new(), 400),
        ("GET", format!("/status/{m}/{m}"), String::new(), 400),
    ] {
        let request = to(method, &target, &body);
        let pairs = recorded(logged(app()), request, &readers);
        assert_eq!(value(&pairs, "http.response.status_code"), code, "{target}");
    }
    let pairs = recorded(logged(app()), to("GET", &format!("/code/{m}"), ""), &readers);
    assert_eq!(value(&pairs, "error.type"), "too.large");
}

#[test]
fn an_exchange_that_ends_badly_says_only_how() {
    let (readers, m) = (Readers::start(), secret());
    for (route, error, has_head) in [
        ("wait", "aborted", false),
        ("endless", "aborted", true),
        ("broken", "body_error", true),
        ("bomb", "panic", true),
        ("panic", "panic", false),
    ] {
        let pairs = recorded(logged(app()), to("GET", &format!("/{route}/{m}?{m}"), &m), &readers);
        assert_eq!(value(&pairs, "error.type"), error, "{route}");
        assert_eq!(value(&pairs, "http.response.status_code").is_null(), !has_head, "{route}");
        assert_eq!(value(&pairs, "http.route"), format!("/{route}/{{secret}}"));
    }
}

/// A limit of time outside of the layer drops the exchange; one inside answers for it.
#[tokio::test(flavor = "current_thread")]
async fn a_timeout_is_an_aborted_exchange_and_no_more() {
    let (readers, m) = (Readers::start(), secret());
    let exchange = logged(app()).oneshot(to("GET", &format!("/wait/{m}?{m}"), &m));
    assert!(tokio::time::timeout(Duration::from_millis(5), exchange).await.is_err());
    let pairs = check(&readers.take(), "timeout");
    assert_eq!(value(&pairs, "error.type"), "aborted");
}

/// What hyper refuses itself never was an exchange of the service.
#[tokio::test(flavor = "current_thread")]
async fn what_the_server_answers_itself_is_not_recorded() {
    let (readers, m) = (Readers::start(), secret());
    let many = format!("x-{m}: {m}\r\n").repeat(150);
    for (request, code) in [
        (format!("GET /{m}\x01 HTTP/1.1\r\nhost: {m}\r\n\r\n"), "400"),
        (format!("GET /status/200/{m} HTTP/1.1\r\n{m} : {m}\r\n\r\n"), "400"),
        (format!("{m}\r\n\r\n"), "400"),
        (format!("GET /{m} HTTP/1.1\r\nhost: x\r\n{many}\r\n"), "431"),
        (
            format!("GET /status/200/{m}?{m} HTTP/1.1\r\nhost: {m}\r\nconnection: close\r\n\r\n"),
            "200",
        ),
    ] {
        let reply = raw(&request).await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {code} ")), "{code}: {reply}");
        let written = readers.take();
        assert!(found(&written.ours()).is_empty(), "{}", written.ours());
        assert_eq!(
            written.sink_records().len(),
            usize::from(code == "200"),
            "{code}: {}",
            written.ours()
        );
    }
}

/// Sends bytes to a server of one connection and reads its answer to the end.
async fn raw(request: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = logged(app());
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let service = hyper_util::service::TowerToHyperService::new(app);
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        Ok::<(), Infallible>(())
    };
    let client = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (mut read, mut write) = stream.split();
        let send = async {
            let _ = write.write_all(request.as_bytes()).await;
        };
        let mut reply = Vec::new();
        let receive = async {
            let _ = read.read_to_end(&mut reply).await;
        };
        tokio::join!(send, receive);
        String::from_utf8_lossy(&reply).into_owned()
    };
    let both = async { tokio::join!(server, client).1 };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("an answer")
}

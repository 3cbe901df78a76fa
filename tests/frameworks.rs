//! Works with axum, hyper and plain tower, with what each of them knows of peer and route, inside
//! the stack that users have today, and asks nothing of the inner service that it does not need.

mod support;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use serde_json::json;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_http::trace::TraceLayer;
use tower_privacy_log::{ErrorCode, LogFields, PeerAddr, PrivacyLogLayer, Route};

fn layer(fields: &str) -> PrivacyLogLayer {
    PrivacyLogLayer::new(&support::policy(fields)).unwrap()
}

async fn finish<B: http_body::Body>(response: Response<B>) -> StatusCode
where
    B::Error: std::fmt::Debug,
{
    let status = response.status();
    response.into_body().collect().await.unwrap();
    status
}

fn peer() -> SocketAddr {
    "198.51.100.77:4711".parse().unwrap()
}

#[tokio::test]
async fn axum_gives_the_peer_and_the_matched_route() {
    let (written, _guard) = support::written();
    let users = Router::new().route("/users/{id}", get(|| async { "hello" }));
    let app = Router::new()
        .nest("/api", users)
        .layer(layer("\"client.address\" = \"truncate\"\n\"http.route\" = \"keep\""));
    let request = Request::get("/api/users/42?token=M")
        .extension(ConnectInfo(peer()))
        .body(Body::empty())
        .unwrap();
    finish(app.clone().oneshot(request).await.unwrap()).await;
    let missing =
        Request::get("/api/nowhere/M").extension(ConnectInfo(peer())).body(Body::empty()).unwrap();
    assert_eq!(finish(app.oneshot(missing).await.unwrap()).await, StatusCode::NOT_FOUND);
    let records = written.records();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["client.address"], "198.51.100.0");
    assert_eq!(records[0]["http.route"], "/api/users/{id}");
    assert_eq!(records[1].get("http.route"), None, "nothing matched, so there is no route");
}

#[tokio::test]
async fn other_servers_name_the_peer_and_the_route_in_extensions() {
    let (written, _guard) = support::written();
    let layer = layer("\"client.address\" = \"truncate\"\n\"http.route\" = \"keep\"");
    let inner = service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::from("x")))
    });
    let request = Request::get("/u/1").extension(PeerAddr(peer())).extension(Route::new("/u/{id}"));
    finish(layer.layer(inner).oneshot(request.body(()).unwrap()).await.unwrap()).await;
    let records = written.records();
    assert_eq!(records[0]["client.address"], "198.51.100.0");
    assert_eq!(records[0]["http.route"], "/u/{id}");
}

#[tokio::test]
async fn a_record_inside_of_trace_layer_has_none_of_its_span() {
    let (written, _guard) = support::written();
    let app =
        Router::new()
            .route("/reset", get(|| async { "ok" }))
            .layer(layer("\"http.route\" = \"keep\"\n\"http.response.status_code\" = \"keep\""))
            .layer(TraceLayer::new_for_http().make_span_with(
                tower_http::trace::DefaultMakeSpan::new().level(tracing::Level::INFO),
            ));
    let request = Request::get("/reset?token=MARKER").body(Body::empty()).unwrap();
    finish(app.oneshot(request).await.unwrap()).await;
    let records = written.records();
    let policy = records[0]["policy"].clone();
    let expected = json!({
        "level": "INFO", "target": "privacy_log::access", "log": "access", "policy": policy,
        "http.route": "/reset", "http.response.status_code": 200,
    });
    assert_eq!(records, [expected], "span fields beside the record");
}

#[tokio::test]
async fn the_spans_of_the_application_are_as_they_were_afterwards() {
    let (written, _guard) = support::written();
    let layer = layer("\"http.request.method\" = \"keep\"");
    let outer = tracing::info_span!("outer", outer_field = 1).entered();
    let inner = tracing::info_span!("inner", inner_field = 2).entered();
    let service = service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::from("x")))
    });
    finish(layer.layer(service).oneshot(Request::new(())).await.unwrap()).await;
    tracing::info!(own = true, "after");
    drop(inner);
    tracing::info!(own = true, "outside");
    drop(outer);
    let text = written.text();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0].get("spans"), None, "the record is outside of every span");
    assert_eq!(lines[1]["spans"].as_array().unwrap().len(), 2);
    assert_eq!(lines[1]["span"]["inner_field"], 2);
    assert_eq!(lines[2]["spans"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn handlers_add_fields_by_an_extractor_that_never_fails() {
    let (written, _guard) = support::written();
    let handler = |fields: LogFields| async move {
        fields.set("generation.model", "sdxl");
        "ok"
    };
    let app =
        Router::new().route("/", get(handler)).layer(layer("\"http.request.method\" = \"keep\""));
    let request = Request::get("/").body(Body::empty()).unwrap();
    assert_eq!(finish(app.oneshot(request).await.unwrap()).await, StatusCode::OK);
    assert_eq!(written.records()[0].get("generation.model"), None);
    let unlayered = Router::new().route("/", get(handler));
    let request = Request::get("/").body(Body::empty()).unwrap();
    assert_eq!(finish(unlayered.oneshot(request).await.unwrap()).await, StatusCode::OK);
}

#[tokio::test]
async fn an_error_code_is_the_error_type_and_no_other_text_is() {
    let (written, _guard) = support::written();
    let handler = || async {
        let code = ErrorCode::new("upload.too_large").unwrap();
        (StatusCode::PAYLOAD_TOO_LARGE, axum::Extension(code), "MARKER")
    };
    let app = Router::new().route("/", get(handler)).layer(layer("\"error.type\" = \"keep\""));
    finish(app.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap()).await;
    let records = written.records();
    assert_eq!(records[0]["error.type"], "upload.too_large");
    assert_eq!(records[0]["level"], "INFO");
    for wrong in ["", "Upload", "a b", "a/b", "é", &"a".repeat(65)] {
        let error = ErrorCode::new(wrong).unwrap_err().to_string();
        assert_eq!(error, "expected an error code of 1 to 64 of the characters a-z 0-9 _ .");
    }
}

#[tokio::test]
async fn a_service_that_is_not_send_nor_clone_nor_static_is_fine() {
    let (written, _guard) = support::written();
    let text = String::from("borrowed");
    let borrowed: &str = &text;
    let shared = Rc::new(1);
    let service = service_fn(|_: Request<()>| {
        let shared = Rc::clone(&shared);
        async move {
            let body = if *shared == 1 { borrowed } else { "" };
            Ok::<_, Infallible>(Response::new(Full::new(body.as_bytes())))
        }
    });
    let mut service = layer("\"http.request.method\" = \"keep\"").layer(service);
    let response = service.call(Request::new(())).await.unwrap();
    finish(response).await;
    assert_eq!(written.records().len(), 1);
}

#[tokio::test]
async fn nobody_listening_changes_nothing_for_the_service() {
    let app = Router::new().route("/", get(|fields: LogFields| async move { fields.set("a", 1) }));
    let app = app.layer(layer("\"http.request.method\" = \"keep\""));
    let request = Request::get("/").body(Body::empty()).unwrap();
    assert_eq!(finish(app.oneshot(request).await.unwrap()).await, StatusCode::OK);
}

#[test]
fn the_layer_is_clone_send_and_sync() {
    fn all<T: Clone + Send + Sync + 'static>(_: &T) {}
    let layer = layer("\"http.request.method\" = \"keep\"");
    all(&layer);
    all(&layer.layer(service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Empty::<&[u8]>::new()))
    })));
}

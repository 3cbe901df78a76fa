//! One exchange in process: a bare service, and what logging adds to it. Only the ratios count.
//!
//! `cargo bench --bench request`

use std::convert::Infallible;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{
    BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use tower::{Layer, Service, service_fn};
use tower_http::trace::TraceLayer;
use tower_privacy_log::{JsonLines, Options, PeerAddr, Policy, PrivacyLogLayer, Route};
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt;

const EIGHT: &str = r#"
"timestamp" = { precision = "1s" }
"client.address" = "truncate"
"http.request.method" = "keep"
"http.route" = "keep"
"http.response.status_code" = "keep"
"http.request.header.referer" = "origin"
"http.server.request.duration" = { precision = "1ms" }
"error.type" = "keep"
"#;

fn layer(fields: &str) -> PrivacyLogLayer {
    let text = format!(
        "policy = \"bench\"\n[log.access]\npurpose = [\"security\"]\nlegal_basis = \"contract\"\n\
         retention = \"30d\"\n[log.access.fields]\n{fields}"
    );
    let policy: Policy = text.parse().expect("the benchmark's policy is valid");
    PrivacyLogLayer::new(&policy).expect("keys in memory can be had")
}

fn pseudonymized() -> String {
    let truncated = "\"client.address\" = \"truncate\"";
    EIGHT.replace(truncated, "\"client.pseudonym\" = \"pseudonymize\"")
}

fn request() -> Request<Empty<Bytes>> {
    Request::get("/users/42?page=1")
        .header("host", "app.example.com")
        .header("referer", "https://www.example.com/a/b?c")
        .header(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        )
        .extension(PeerAddr(([198, 51, 100, 77], 4711).into()))
        .extension(Route::new("/users/{id}"))
        .body(Empty::new())
        .expect("the request is well-formed")
}

async fn hello(_: Request<Empty<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("hello")))
}

fn bench<S, R>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, on: &Dispatch, mut service: S)
where
    S: Service<Request<Empty<Bytes>>, Response = Response<R>, Error = Infallible>,
    R: Body,
{
    let _listening = tracing::dispatcher::set_default(on);
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            futures_executor::block_on(async {
                let response = service.call(request()).await.expect("the service is infallible");
                black_box(response.into_body().collect().await.is_ok())
            })
        });
    });
}

fn exchange(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("exchange");
    let nobody = Dispatch::none();
    let (lines, _flush) =
        JsonLines::to_writer(std::io::sink(), Options::default()).expect("a thread");
    let lines = Dispatch::new(tracing_subscriber::registry().with(lines));
    let json = tracing_subscriber::fmt::layer().json().with_writer(std::io::sink);
    let json = Dispatch::new(tracing_subscriber::registry().with(json));
    let trace = || TraceLayer::new_for_http().layer(service_fn(hello));

    bench(&mut group, "bare", &nobody, service_fn(hello));
    bench(&mut group, "nobody listens", &nobody, layer(EIGHT).layer(service_fn(hello)));
    bench(&mut group, "JsonLines, 8 fields", &lines, layer(EIGHT).layer(service_fn(hello)));
    bench(
        &mut group,
        "JsonLines, pseudonym",
        &lines,
        layer(&pseudonymized()).layer(service_fn(hello)),
    );
    bench(&mut group, "fmt().json(), 8 fields", &json, layer(EIGHT).layer(service_fn(hello)));
    bench(&mut group, "TraceLayer, nobody listens", &nobody, trace());
    bench(&mut group, "TraceLayer, fmt().json()", &json, trace());
    group.finish();
}

criterion_group!(benches, exchange);
criterion_main!(benches);

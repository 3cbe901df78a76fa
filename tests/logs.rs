//! Guarantee: one exchange gives one record per log, each with its own fields, treatments and
//! target. A log keeps out whom its signals or its missing consent keep out, and no log, filter
//! or record disturbs another one, or the application's own events.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the tests are the application"
)]

mod support;

use std::convert::Infallible;
use std::future::{pending, ready};
use std::pin::pin;
use std::task::{Context, Waker};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use support::Written;
use tokio::sync::Mutex;
use tower::{Layer as _, ServiceExt, service_fn};
use tower_privacy_log::{Consent, PeerAddr, Policy, PrivacyLogLayer};
use tracing::Subscriber;
use tracing_subscriber::filter::{
    DynFilterFn, EnvFilter, FilterExt, LevelFilter, Targets, filter_fn,
};
use tracing_subscriber::layer::{Filter, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// A policy of these logs: name, further keys, field lines.
fn policy(logs: &[(&str, &str, &str)]) -> Policy {
    let mut text = String::from("policy = \"logs-1\"\n");
    for (name, keys, fields) in logs {
        let basis = if keys.contains("legal_basis") { "" } else { "legal_basis = \"contract\"\n" };
        text.push_str(&format!(
            "[log.{name}]\npurpose = [\"security\"]\nretention = \"30d\"\n{basis}{keys}\n\
             [log.{name}.fields]\n{fields}\n"
        ));
    }
    text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

const METHOD: &str = "\"http.request.method\" = \"keep\"";
const STATUS: &str = "\"http.response.status_code\" = \"keep\"";

async fn play(layer: &PrivacyLogLayer, request: Request<()>, response: Response<Full<Bytes>>) {
    let service = service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(response.clone())));
    let response = layer.layer(service).oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
}

async fn get(layer: &PrivacyLogLayer) {
    play(layer, Request::new(()), Response::default()).await;
}

fn logs(written: &Written) -> Vec<String> {
    let log = |record: &Value| record["log"].as_str().unwrap().to_owned();
    written.records().iter().map(log).collect()
}

#[tokio::test]
async fn one_exchange_gives_one_record_for_every_log() {
    let (written, _guard) = support::written();
    let policy =
        policy(&[("access", "", METHOD), ("errors-2", "", STATUS), ("third_log", "", METHOD)]);
    let layer = PrivacyLogLayer::new(&policy).unwrap();
    get(&layer).await;
    let reference = policy.reference();
    assert_eq!(
        written.records(),
        [
            json!({ "level": "INFO", "target": "privacy_log::access", "log": "access",
                    "policy": reference, "http.request.method": "GET" }),
            json!({ "level": "INFO", "target": "privacy_log::errors-2", "log": "errors-2",
                    "policy": reference, "http.response.status_code": 200 }),
            json!({ "level": "INFO", "target": "privacy_log::third_log", "log": "third_log",
                    "policy": reference, "http.request.method": "GET" }),
        ]
    );
}

#[tokio::test]
async fn as_many_logs_as_a_policy_can_have_all_write() {
    let (written, _guard) = support::written();
    let names: Vec<String> = (0..32).map(|number| format!("log{number}")).collect();
    let all: Vec<_> = names.iter().map(|name| (name.as_str(), "", METHOD)).collect();
    let layer = PrivacyLogLayer::new(&policy(&all)).unwrap();
    get(&layer).await;
    assert_eq!(logs(&written), names);
}

#[tokio::test]
async fn one_field_is_reduced_as_each_log_declares() {
    let exact = r#"
"timestamp" = { precision = "1ms" }
"client.address" = { keep = true, accept_risk = "abuse reports" }
"client.pseudonym" = "pseudonymize"
"url.path" = { keep = true, accept_risk = "no route" }
"url.query" = { allow = ["page", "q"] }
"server.address" = { allow = ["shop.example"] }
"http.response.status_code" = "keep"
"http.request.header.referer" = { path = true, accept_risk = "moved pages" }
"browser.language" = { allow = ["de"] }
"http.response.body.size" = { round = 1 }
"#;
    let coarse = r#"
"timestamp" = { precision = "1d" }
"client.address" = { ipv4 = 8, ipv6 = 16 }
"client.pseudonym" = { ipv6 = 32 }
"url.path" = { depth = 1 }
"url.query" = { allow = ["q"] }
"server.address" = { allow = ["example.com"] }
"http.response.status_code" = "class"
"http.request.header.referer" = "relation"
"browser.language" = { allow = ["fr"] }
"http.response.body.size" = { round = 4096 }
"#;
    let (written, _guard) = support::written();
    let layer =
        PrivacyLogLayer::new(&policy(&[("exact", "", exact), ("coarse", "", coarse)])).unwrap();
    let request = || {
        Request::get("/users/42?page=2&q=a&token=M")
            .header("host", "shop.example")
            .header("referer", "https://example.org/a?b")
            .header("accept-language", "de-CH")
    };
    for host in ["2001:db8:1:2::7", "2001:db8:9:2::7"] {
        let peer = PeerAddr((host.parse::<std::net::IpAddr>().unwrap(), 1).into());
        let request = request().extension(peer).body(()).unwrap();
        play(&layer, request, Response::new(Full::from("hello"))).await;
    }
    let records = written.records();
    let (exact, coarse) = (&records[0], &records[1]);
    for (name, finer, coarser) in [
        ("client.address", json!("2001:db8:1:2::7"), json!("2001::")),
        ("url.path", json!("/users/42"), json!("/users")),
        ("url.query", json!("page=2&q=a"), json!("q=a")),
        ("server.address", json!("shop.example"), json!("_OTHER")),
        ("http.response.status_code", json!(200), json!("2xx")),
        ("http.request.header.referer", json!("https://example.org/a"), json!("external")),
        ("browser.language", json!("de"), json!("_OTHER")),
        ("http.response.body.size", json!(5), json!(4096)),
    ] {
        assert_eq!((&exact[name], &coarse[name]), (&finer, &coarser), "{name}");
    }
    assert!(coarse["timestamp"].as_str().unwrap().ends_with("T00:00:00Z"));
    assert_eq!(exact["timestamp"].as_str().unwrap().len(), "2026-01-31T23:59:59.999Z".len());
    assert_ne!(exact["client.pseudonym"], coarse["client.pseudonym"]);
    assert_ne!(exact["client.pseudonym"], records[2]["client.pseudonym"]);
    assert_eq!(coarse["client.pseudonym"], records[3]["client.pseudonym"], "one /32");
}

#[tokio::test]
async fn a_signal_counts_when_one_of_its_values_is_exactly_1() {
    let policy = policy(&[
        ("access", "", METHOD),
        ("usage", "respect = [\"sec-gpc\"]", METHOD),
        ("ads", "respect = [\"sec-gpc\"]", METHOD),
    ]);
    let layer = PrivacyLogLayer::new(&policy).unwrap();
    for (values, counts) in [
        (&["1"][..], true),
        (&["0", "1"], true),
        (&["1", "0"], true),
        (&["x", "", "1"], true),
        (&[], false),
        (&["0"], false),
        (&[""], false),
        (&[" 1"], false),
        (&["1 "], false),
        (&["01"], false),
        (&["1.0"], false),
        (&["11"], false),
        (&["?1"], false),
        (&["\"1\""], false),
        (&["true"], false),
        (&["1;a=b"], false),
        (&["0, 1"], false),
        (&["1, 1"], false),
        (&["１"], false),
    ] {
        let (written, _guard) = support::written();
        let mut request = Request::new(());
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            request.headers_mut().append("sec-gpc", value);
        }
        play(&layer, request, Response::default()).await;
        let expected: &[&str] = if counts { &["access"] } else { &["access", "usage", "ads"] };
        assert_eq!(logs(&written), expected, "{values:?}");
    }
}

#[tokio::test]
async fn a_signal_under_another_name_says_nothing() {
    let (written, _guard) = support::written();
    let policy = policy(&[("usage", "respect = [\"sec-gpc\"]", METHOD)]);
    let layer = PrivacyLogLayer::new(&policy).unwrap();
    for name in ["dnt", "gpc", "x-sec-gpc"] {
        let request = Request::get("/").header(name, "1").body(()).unwrap();
        play(&layer, request, Response::default()).await;
    }
    let request = Request::get("/").header("SEC-GPC", "1").body(()).unwrap();
    play(&layer, request, Response::default()).await;
    assert_eq!(logs(&written).len(), 3, "and its name has no case");
}

const CONSENT: &str = "legal_basis = \"consent\"";

/// The logs that are written when request and response carry this consent.
async fn consented(
    policy: &Policy,
    request: Option<Consent>,
    response: Option<Consent>,
) -> Vec<String> {
    let (written, _guard) = support::written();
    let mut asked = Request::new(());
    if let Some(consent) = request {
        asked.extensions_mut().insert(consent);
    }
    let mut answer = Response::<Full<Bytes>>::default();
    if let Some(consent) = response {
        answer.extensions_mut().insert(consent);
    }
    play(&PrivacyLogLayer::new(policy).unwrap(), asked, answer).await;
    logs(&written)
}

#[tokio::test]
async fn a_log_of_consent_is_written_only_with_consent_to_that_log() {
    let policy =
        policy(&[("access", "", METHOD), ("usage", CONSENT, METHOD), ("ads", CONSENT, METHOD)]);
    let to = |name: &str| Some(Consent::to(name));
    for (request, response, expected) in [
        (None, None, &["access"][..]),
        (to("usage"), None, &["access", "usage"]),
        (None, to("usage"), &["access", "usage"]),
        (to("usage"), to("usage"), &["access", "usage"]),
        (to("ads"), None, &["access", "ads"]),
        (to("usage"), to("ads"), &["access", "usage", "ads"]),
        (Some(Consent::to("usage").and("ads")), None, &["access", "usage", "ads"]),
        (None, Some(Consent::to("ads").and("usage")), &["access", "usage", "ads"]),
        (to("access"), None, &["access"]),
        (to("Usage"), to("usage "), &["access"]),
        (to(""), to("*"), &["access"]),
    ] {
        let shown = format!("{request:?} {response:?}");
        assert_eq!(consented(&policy, request, response).await, expected, "{shown}");
    }
}

#[tokio::test]
async fn consent_does_not_outweigh_a_signal() {
    let (written, _guard) = support::written();
    let keys = format!("{CONSENT}\nrespect = [\"sec-gpc\"]");
    let layer = PrivacyLogLayer::new(&policy(&[("usage", &keys, METHOD)])).unwrap();
    for signal in ["1", "0"] {
        let request = Request::get("/").header("sec-gpc", signal).extension(Consent::to("usage"));
        let mut response = Response::<Full<Bytes>>::default();
        response.extensions_mut().insert(Consent::to("usage"));
        play(&layer, request.body(()).unwrap(), response).await;
    }
    assert_eq!(logs(&written), ["usage"], "only the one without the signal");
}

#[tokio::test]
async fn an_exchange_that_is_aborted_has_the_consent_of_its_request_only() {
    for (consent, expected) in [(Some(Consent::to("usage")), &["usage"][..]), (None, &[])] {
        let (written, _guard) = support::written();
        let layer = PrivacyLogLayer::new(&policy(&[("usage", CONSENT, METHOD)])).unwrap();
        let mut request = Request::new(());
        if let Some(consent) = consent {
            request.extensions_mut().insert(consent);
        }
        let service =
            service_fn(|_: Request<()>| pending::<Result<Response<Full<Bytes>>, Infallible>>());
        {
            let mut answer = pin!(layer.layer(service).oneshot(request));
            assert!(answer.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert_eq!(logs(&written), expected);
    }
}

fn json<S: Subscriber + for<'s> LookupSpan<'s>>(
    written: &Written,
) -> impl Layer<S> + Send + Sync + use<S> {
    tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .without_time()
        .with_writer(written.clone())
}

/// A JSON layer behind its own filter.
fn filtered<S, F>(filter: F) -> (Written, Box<dyn Layer<S> + Send + Sync>)
where
    S: Subscriber + for<'s> LookupSpan<'s> + Send + Sync,
    F: Filter<S> + Send + Sync + 'static,
{
    let written = Written::default();
    let layer = json(&written).with_filter(filter).boxed();
    (written, layer)
}

/// The numbers of the application's events.
fn told(written: &Written) -> Vec<u64> {
    let text = written.text();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| line.get("number")?.as_u64()).collect()
}

/// Whether a call-site is asked event by event depends on every subscriber of the process, and a
/// filter that was asked for nothing is seen only where the next event is not asked about.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Two logs, an event of the application inside of each exchange and three after it.
async fn exchanges() -> Vec<u64> {
    let layer =
        PrivacyLogLayer::new(&policy(&[("access", "", METHOD), ("usage", "", STATUS)])).unwrap();
    let mut numbers = Vec::new();
    for number in [0, 10, 20, 30_u64] {
        let service = service_fn(|_: Request<()>| {
            tracing::info!(number, "inside");
            ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
        });
        let response = layer.layer(service).oneshot(Request::new(())).await.unwrap();
        response.into_body().collect().await.unwrap();
        tracing::info!(number = number + 1, "first");
        let span = tracing::info_span!("span").entered();
        tracing::info!(number = number + 2, "second");
        drop(span);
        tracing::warn!(target: "another", number = number + 3, "third");
        numbers.extend(number..number + 4);
    }
    numbers
}

#[tokio::test]
async fn a_filter_for_everybody_turns_one_log_off_and_nothing_else() {
    let _alone = ALONE.lock().await;
    for (directives, expected) in [
        ("info", &["access", "usage"][..]),
        ("info,privacy_log::usage=off", &["access"]),
        ("info,privacy_log::access=off", &["usage"]),
        ("info,privacy_log::access=error", &["usage"]),
        ("info,privacy_log=off", &[]),
        ("warn,privacy_log=info,logs=info", &["access", "usage"]),
        ("info,[span]=trace", &["access", "usage"]),
    ] {
        let (one, other) = (Written::default(), Written::default());
        let subscriber = tracing_subscriber::registry()
            .with(EnvFilter::new(directives))
            .with(json(&one))
            .with(json(&other));
        let _guard = tracing::subscriber::set_default(subscriber);
        let numbers = exchanges().await;
        for written in [one, other] {
            assert_eq!(told(&written), numbers, "{directives}");
            assert_eq!(logs(&written), expected.repeat(4), "{directives}");
        }
    }
}

type Filters = Vec<Box<dyn Filter<tracing_subscriber::Registry> + Send + Sync>>;

/// Filters that refuse `target`, each in another way.
fn without(target: &'static str) -> Filters {
    let targets = || Targets::new().with_default(LevelFilter::INFO);
    vec![
        Box::new(targets().with_target(target, LevelFilter::OFF)),
        Box::new(EnvFilter::new(format!("info,{target}=off"))),
        Box::new(EnvFilter::new(format!("info,{target}=off,[span]=trace"))),
        Box::new(filter_fn(move |metadata| metadata.target() != target)),
        Box::new(DynFilterFn::new(move |metadata, _| metadata.target() != target)),
        Box::new(
            targets()
                .with_target(target, LevelFilter::OFF)
                .and(filter_fn(|_| true))
                .or(filter_fn(|_| false)),
        ),
    ]
}

#[tokio::test]
async fn a_filter_of_one_layer_disturbs_no_other_layer_and_no_later_event() {
    let _alone = ALONE.lock().await;
    let (access, usage) = ("privacy_log::access", "privacy_log::usage");
    for number in 0..without(access).len() {
        let (no_access, first) = filtered(without(access).remove(number));
        let (no_usage, second) = filtered(without(usage).remove(number));
        let (neither, third) =
            filtered(filter_fn(|metadata| !metadata.target().starts_with("privacy_log::")));
        let (everything, fourth) = filtered(LevelFilter::INFO);
        let layers = vec![first, second, third, fourth];
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layers));
        let numbers = exchanges().await;
        for (written, expected) in [
            (no_access, &["usage"][..]),
            (no_usage, &["access"]),
            (neither, &[]),
            (everything, &["access", "usage"]),
        ] {
            assert_eq!(logs(&written), expected.repeat(4), "filter {number}");
            assert_eq!(told(&written), numbers, "filter {number}");
        }
    }
}

#[tokio::test]
async fn a_log_that_no_layer_wants_costs_no_later_event() {
    let _alone = ALONE.lock().await;
    for number in 0..without("").len() {
        let (one, first) = filtered(without("privacy_log::usage").remove(number));
        let (other, second) = filtered(without("privacy_log::usage").remove(number));
        let layers = vec![first, second];
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layers));
        let numbers = exchanges().await;
        for written in [one, other] {
            assert_eq!(logs(&written), ["access"].repeat(4), "filter {number}");
            assert_eq!(told(&written), numbers, "filter {number}");
        }
    }
}

#[tokio::test]
async fn a_filter_for_everybody_above_filters_of_layers_loses_nothing() {
    let _alone = ALONE.lock().await;
    for directives in ["info,privacy_log::usage=off", "info,privacy_log::usage=off,[span]=trace"] {
        let (one, first) =
            filtered(filter_fn(|metadata| metadata.target() != "privacy_log::access"));
        let (other, second) = filtered(LevelFilter::INFO);
        let subscriber = tracing_subscriber::registry()
            .with(vec![first, second])
            .with(EnvFilter::new(directives));
        let _guard = tracing::subscriber::set_default(subscriber);
        let numbers = exchanges().await;
        assert_eq!(told(&one), numbers, "{directives}");
        assert_eq!(told(&other), numbers, "{directives}");
        assert_eq!(logs(&one), Vec::<String>::new(), "{directives}");
        assert_eq!(logs(&other), ["access"].repeat(4), "{directives}");
    }
}

#[tokio::test]
async fn a_filter_by_level_keeps_the_records_of_failures() {
    let _alone = ALONE.lock().await;
    let (written, layer) = filtered(EnvFilter::new("info,privacy_log::access=error"));
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(vec![layer]));
    let layer = PrivacyLogLayer::new(&policy(&[("access", "", STATUS)])).unwrap();
    for status in [200, 404, 500] {
        let response = Response::builder().status(status).body(Full::default()).unwrap();
        play(&layer, Request::new(()), response).await;
    }
    let records = written.records();
    assert_eq!(records.len(), 1);
    assert_eq!(
        (&records[0]["level"], &records[0]["http.response.status_code"]),
        (&json!("ERROR"), &json!(500))
    );
}

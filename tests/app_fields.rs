//! Guarantee: what handlers add is written only where a log declares it, as that log reduces it,
//! with its type, and never in the record of another exchange. What is undeclared is dropped and
//! counted, and at most its name is ever shown.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the tests are the application"
)]

mod support;

use std::convert::Infallible;
use std::future::ready;
use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request as AxumRequest};
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tower_privacy_log::{LogFields, Policy, PrivacyLogLayer, Route};

/// A policy of these logs, each with its field lines and its app field lines.
fn policy(logs: &[(&str, &str, &str)]) -> Policy {
    let mut text = String::from("policy = \"app-1\"\n");
    for (name, fields, app_fields) in logs {
        text.push_str(&format!(
            "[log.{name}]\npurpose = [\"security\"]\nlegal_basis = \"contract\"\n\
             retention = \"30d\"\n[log.{name}.fields]\n{fields}\n\
             [log.{name}.app_fields]\n{app_fields}\n"
        ));
    }
    text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn layer(app_fields: &str) -> PrivacyLogLayer {
    PrivacyLogLayer::new(&policy(&[("access", "", app_fields)])).unwrap()
}

fn added<B>(request: &Request<B>) -> LogFields {
    request.extensions().get::<LogFields>().cloned().expect("the layer puts it there")
}

async fn play(layer: &PrivacyLogLayer, request: Request<()>, add: impl Fn(&LogFields)) {
    let service = service_fn(|request: Request<()>| {
        add(&added(&request));
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("x"))))
    });
    let response = layer.layer(service).oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
}

/// What stands in the record beside `log` and `policy`.
async fn own(app_fields: &str, add: impl Fn(&LogFields)) -> Value {
    let (written, _guard) = support::written();
    play(&layer(app_fields), Request::new(()), add).await;
    let mut records = written.records();
    assert_eq!(records.len(), 1, "{}", written.text());
    let record = records[0].as_object_mut().unwrap();
    for key in ["level", "target", "log", "policy"] {
        assert!(record.remove(key).is_some(), "{key}");
    }
    records.remove(0)
}

#[tokio::test]
async fn every_type_is_written_as_what_it_is() {
    let keep = "\"v\" = \"keep\"";
    macro_rules! written {
        ($($value:expr => $expected:tt,)*) => {$(
            assert_eq!(own(keep, |fields| fields.set("v", $value)).await, json!({ "v": $expected }));
        )*};
    }
    let owned = String::from("owned");
    written! {
        "sdxl" => "sdxl",
        &owned => "owned",
        owned.clone() => "owned",
        "" => "",
        -8_i8 => (-8),
        -16_i16 => (-16),
        -32_i32 => (-32),
        i64::MIN => (i64::MIN),
        8_u8 => 8,
        16_u16 => 16,
        32_u32 => 32,
        u64::MAX => (u64::MAX),
        64_usize => 64,
        -64_isize => (-64),
        0.5_f32 => 0.5,
        -2.25_f64 => (-2.25),
        1.0_f64 => 1.0,
        true => true,
        false => false,
    }
}

#[tokio::test]
async fn what_is_no_finite_number_is_absent_and_leaves_no_earlier_value() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(own("\"v\" = \"keep\"", |fields| fields.set("v", number)).await, json!({}));
        let record = own("\"v\" = \"keep\"", |fields| {
            fields.set("v", 1.5);
            fields.set("v", number);
        });
        assert_eq!(record.await, json!({}));
    }
}

#[tokio::test]
async fn a_declared_field_that_nobody_adds_is_absent() {
    assert_eq!(own("\"v\" = \"keep\"\n\"w\" = \"pseudonymize\"", |_| {}).await, json!({}));
}

#[tokio::test]
async fn the_last_value_wins_whatever_its_type() {
    let record = own("\"v\" = \"keep\"\n\"w\" = \"keep\"", |fields| {
        fields.set("v", "first");
        fields.set("w", 1);
        fields.clone().set("v", 2);
        fields.set("w", "last");
    });
    assert_eq!(record.await, json!({ "v": 2, "w": "last" }));
}

#[tokio::test]
async fn text_is_cut_after_256_characters_and_made_safe() {
    for (given, expected) in [
        ("é".repeat(256), "é".repeat(256)),
        ("é".repeat(257), "é".repeat(256)),
        ("x".repeat(10_000), "x".repeat(256)),
        (format!("{}\n", "x".repeat(255)), "x".repeat(255)),
        ("a\nb\u{1b}[31m\u{202e}".to_owned(), r"a\nb\u{1b}[31m\u{202e}".to_owned()),
        (r"a\nb".to_owned(), r"a\\nb".to_owned()),
        ("\"quoted\"".to_owned(), "\"quoted\"".to_owned()),
    ] {
        let record = own("\"v\" = \"keep\"", |fields| fields.set("v", &given)).await;
        assert_eq!(record, json!({ "v": expected }));
    }
}

#[tokio::test]
async fn only_listed_values_are_named() {
    let allow = "\"v\" = { allow = [\"free\", \"7\", \"true\", \"0.5\"] }";
    macro_rules! written {
        ($($value:expr => $expected:literal,)*) => {$(
            assert_eq!(own(allow, |fields| fields.set("v", $value)).await, json!({ "v": $expected }));
        )*};
    }
    written! {
        "free" => "free",
        "Free" => "_OTHER",
        "free " => "_OTHER",
        "paid" => "_OTHER",
        "" => "_OTHER",
        7 => "7",
        8 => "_OTHER",
        true => "true",
        false => "_OTHER",
        0.5 => "0.5",
        f64::NAN => "_OTHER",
    }
}

fn is_pseudonym(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    let Some((epoch, hash)) = text.split_once('.') else { return false };
    epoch.bytes().all(|byte| byte.is_ascii_digit())
        && hash.len() == 32
        && hash.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[tokio::test]
async fn a_pseudonym_tells_equal_values_of_one_field_and_nothing_else() {
    let (written, _guard) = support::written();
    let layer = layer("\"user.hash\" = \"pseudonymize\"\n\"account.hash\" = \"pseudonymize\"");
    for value in ["SECRET-1", "SECRET-1", "SECRET-2"] {
        play(&layer, Request::new(()), |fields| {
            fields.set("user.hash", value);
            fields.set("account.hash", value);
        })
        .await;
    }
    let records = written.records();
    for record in &records {
        assert!(is_pseudonym(&record["user.hash"]), "{record}");
        assert!(is_pseudonym(&record["account.hash"]), "{record}");
        assert_ne!(record["user.hash"], record["account.hash"], "one value in two fields");
    }
    assert_eq!(records[0]["user.hash"], records[1]["user.hash"]);
    assert_ne!(records[0]["user.hash"], records[2]["user.hash"]);
    assert!(!written.text().contains("SECRET"));
}

#[tokio::test]
async fn undeclared_names_are_dropped_counted_and_warned_of_once_by_name_only() {
    let (written, _guard) = support::written();
    let layer = layer("\"generation.model\" = \"keep\"");
    let clone = layer.clone();
    let names = ["generation.prompt", "Generation.Model", "log", "level", "http.route", ""];
    for _ in 0..3 {
        play(&layer, Request::new(()), |fields| {
            for name in names {
                fields.set(name, "SECRET");
            }
            fields.set("generation.model", "sdxl");
        })
        .await;
    }
    assert_eq!(clone.dropped(), 18, "clones of a layer count together");
    let text = written.text();
    assert!(!text.contains("SECRET"), "{text}");
    for record in written.records() {
        assert_eq!(record.as_object().unwrap().len(), 5, "{record}");
        assert_eq!(record["generation.model"], "sdxl");
    }
    let warnings: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["target"] == "tower_privacy_log")
        .collect();
    let expected: &[&str] = if cfg!(debug_assertions) { &names } else { &[] };
    let warned: Vec<&str> = warnings.iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(warned, expected, "{text}");
    assert!(warnings.iter().all(|line| line["level"] == "WARN"));
}

#[tokio::test]
async fn warnings_end_when_the_names_do_not() {
    let (written, _guard) = support::written();
    let layer = layer("\"v\" = \"keep\"");
    play(&layer, Request::new(()), |fields| {
        for number in 0..1000 {
            fields.set(&format!("name-{number}\u{1b}[31m"), "SECRET");
        }
    })
    .await;
    assert_eq!(layer.dropped(), 1000);
    let text = written.text();
    assert!(text.lines().count() <= 100, "{}", text.lines().count());
    assert!(!text.contains("SECRET") && !text.contains('\u{1b}'));
}

#[tokio::test]
async fn two_layers_count_apart() {
    let (_written, _guard) = support::written();
    let (one, other) = (layer("\"v\" = \"keep\""), layer("\"v\" = \"keep\""));
    play(&one, Request::new(()), |fields| fields.set("w", 1)).await;
    assert_eq!((one.dropped(), other.dropped()), (1, 0));
}

/// An extractor that says who is asking.
struct Plan;

impl<S: Sync> FromRequestParts<S> for Plan {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut http::request::Parts,
        state: &S,
    ) -> Result<Self, Infallible> {
        LogFields::from_request_parts(parts, state).await?.set("by.extractor", true);
        Ok(Self)
    }
}

async fn inner(request: AxumRequest, next: Next) -> axum::response::Response {
    let fields = added(&request);
    fields.set("by.middleware", "before");
    let response = next.run(request).await;
    fields.set("by.middleware", "after");
    response
}

#[tokio::test]
async fn handlers_extractors_and_inner_middleware_can_all_add() {
    let (written, _guard) = support::written();
    let handler = |fields: LogFields, _: Plan| async move {
        fields.set("by.handler", 7);
        "done"
    };
    let declared =
        "\"by.handler\" = \"keep\"\n\"by.extractor\" = \"keep\"\n\"by.middleware\" = \"keep\"";
    let app = Router::new().route("/", get(handler)).layer(from_fn(inner)).layer(layer(declared));
    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "done");
    let record = &written.records()[0];
    assert_eq!(record["by.handler"], 7);
    assert_eq!(record["by.extractor"], true);
    assert_eq!(record["by.middleware"], "after");
}

#[tokio::test]
async fn adding_works_without_the_layer_and_without_anybody_who_listens() {
    let handler = |fields: LogFields, _: Plan| async move {
        fields.set("v", 1);
        "done"
    };
    let bare = Router::new().route("/", get(handler));
    let unheard = bare.clone().layer(layer("\"v\" = \"keep\""));
    for app in [bare, unheard] {
        let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), 200);
    }
}

#[tokio::test]
async fn adding_works_while_the_body_streams_and_ends_with_the_record() {
    let (written, _guard) = support::written();
    let layer = layer("\"chunks\" = \"keep\"");
    let kept = Mutex::new(LogFields::default());
    let service = service_fn(|request: Request<()>| {
        let fields = added(&request);
        *kept.lock().unwrap() = fields.clone();
        let frames = (1..=3_u8).map(move |number| {
            fields.set("chunks", number);
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"chunk")))
        });
        ready(Ok::<_, Infallible>(Response::new(StreamBody::new(stream::iter(frames)))))
    });
    let response = layer.layer(service).oneshot(Request::new(())).await.unwrap();
    assert!(written.records().is_empty(), "the body is still to come");
    response.into_body().collect().await.unwrap();
    assert_eq!(written.records()[0]["chunks"], 3);
    kept.lock().unwrap().set("chunks", "late");
    play(&layer, Request::new(()), |_| {}).await;
    let records = written.records();
    assert_eq!(records.len(), 2);
    assert_eq!(records[1].get("chunks"), None, "a late value shows in no other record");
    assert!(!written.text().contains("late"));
}

/// One exchange that says its number as a route, and, when it is odd, as an app field.
async fn numbered(layer: &PrivacyLogLayer, number: usize) {
    let service = service_fn(|request: Request<()>| async move {
        let fields = added(&request);
        for _ in 0..number % 5 {
            tokio::task::yield_now().await;
        }
        if number % 2 == 1 {
            fields.set("number", number);
            fields.set("hash", number);
        }
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("x")))
    });
    let request = Request::get("/").extension(Route::new(number.to_string())).body(()).unwrap();
    let response = layer.layer(service).oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
}

const AT_ONCE: usize = 250;
const THREADS: usize = 4;

#[test]
fn no_field_ever_shows_in_another_exchange() {
    let (written, _guard) = support::written();
    let declared = "\"number\" = \"keep\"\n\"hash\" = \"pseudonymize\"";
    let policy = policy(&[("access", "\"http.route\" = \"keep\"", declared)]);
    let layer = PrivacyLogLayer::new(&policy).unwrap();
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (layer, dispatch) = (layer.clone(), dispatch.clone());
            scope.spawn(move || {
                let _guard = tracing::dispatcher::set_default(&dispatch);
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let numbers = thread * AT_ONCE..(thread + 1) * AT_ONCE;
                runtime.block_on(join_all(numbers.map(|number| numbered(&layer, number))));
            });
        }
    });
    let records = written.records();
    assert_eq!(records.len(), THREADS * AT_ONCE);
    let mut hashes = Vec::new();
    for record in &records {
        let number: usize = record["http.route"].as_str().unwrap().parse().unwrap();
        let expected = (number % 2 == 1).then(|| json!(number));
        assert_eq!(record.get("number"), expected.as_ref(), "{record}");
        assert_eq!(record.get("hash").is_some(), number % 2 == 1, "{record}");
        hashes.extend(record.get("hash").map(Value::to_string));
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), THREADS * AT_ONCE / 2);
}

#[tokio::test]
async fn one_field_is_reduced_as_each_log_declares() {
    let (written, _guard) = support::written();
    let policy = policy(&[
        ("access", "", "\"plan\" = \"keep\"\n\"only.here\" = \"keep\""),
        ("usage", "", "\"plan\" = { allow = [\"free\"] }"),
        ("audit", "", "\"plan\" = \"pseudonymize\""),
        ("other", "\"http.request.method\" = \"keep\"", ""),
    ]);
    let layer = PrivacyLogLayer::new(&policy).unwrap();
    play(&layer, Request::new(()), |fields| {
        fields.set("plan", "gold-SECRET");
        fields.set("only.here", 1);
    })
    .await;
    assert_eq!(layer.dropped(), 0);
    let records = written.records();
    let of = |log: &str| records.iter().find(|record| record["log"] == log).expect("a record");
    assert_eq!(of("access")["plan"], "gold-SECRET");
    assert_eq!(of("access")["only.here"], 1);
    assert_eq!(of("usage")["plan"], "_OTHER");
    assert_eq!(of("usage").get("only.here"), None);
    assert!(is_pseudonym(&of("audit")["plan"]));
    assert_eq!(of("other").get("plan"), None);
    assert_eq!(written.text().matches("SECRET").count(), 1);
}

/// What a layer that counts warnings into an app field does.
struct Adds(Mutex<Option<LogFields>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for &'static Adds {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        self.0.lock().unwrap().iter().for_each(|fields| fields.set("count", 1));
    }
}

#[tokio::test]
async fn a_subscriber_that_adds_a_field_during_the_event_is_late_and_not_stuck() {
    use tracing_subscriber::layer::SubscriberExt as _;
    static ADDS: Adds = Adds(Mutex::new(None));
    let written = support::Written::default();
    let json =
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(written.clone());
    let subscriber = tracing_subscriber::registry().with(&ADDS).with(json);
    let _guard = tracing::subscriber::set_default(subscriber);
    let layer = layer("\"count\" = \"keep\"\n\"model\" = \"keep\"");
    play(&layer, Request::new(()), |fields| {
        fields.set("model", "sdxl");
        *ADDS.0.lock().unwrap() = Some(fields.clone());
    })
    .await;
    let records = written.records();
    assert_eq!(records.len(), 1, "{}", written.text());
    assert_eq!((&records[0]["model"], records[0].get("count")), (&json!("sdxl"), None));
}

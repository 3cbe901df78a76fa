//! Guarantee: every name of the catalogue can be declared, with each of its treatments, and is
//! written as just what the treatment leaves, in one type, with no other field beside it.
//!
//! `tests/catalogue/NAME.json` holds a field's golden events: a treatment, an exchange and the
//! whole event. Whatever time decides is told by its shape there and by its value below.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the tests are the application"
)]

mod support;

#[path = "catalogue/exchange.rs"]
mod exchange;

use std::fs;
use std::path::Path;
use std::time::{Instant, SystemTime};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tower_privacy_log::{Field, Policy, PrivacyLogLayer};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use exchange::{Exchange, Names};

const EVERYTHING: &str = r#"
"timestamp" = { precision = "1s" }
"client.address" = "truncate"
"client.pseudonym" = "pseudonymize"
"http.request.method" = "keep"
"http.route" = "keep"
"url.path" = { depth = 1 }
"url.query" = { allow = ["page"] }
"url.scheme" = "keep"
"network.protocol.version" = "keep"
"server.address" = { allow = ["shop.example"] }
"http.response.status_code" = "keep"
"http.request.header.referer" = "origin"
"user_agent.name" = "keep"
"user_agent.version" = "keep"
"user_agent.os.name" = "keep"
"device.type" = "keep"
"user_agent.original" = { keep = true, accept_risk = "the test wants to see it" }
"browser.language" = { allow = ["en", "de"] }
"http.server.request.duration" = { precision = "1ms" }
"http.request.body.size" = { round = 1024 }
"http.response.body.size" = { round = 1024 }
"rpc.grpc.status_code" = "keep"
"error.type" = "keep"
"#;

const WHOLE: [&str; 5] = [
    "http.response.status_code",
    "user_agent.version",
    "http.request.body.size",
    "http.response.body.size",
    "rpc.grpc.status_code",
];

/// A visit, an upload that is not counted, a call and a failure: in some of them each field appears.
fn walk() -> Vec<Exchange> {
    let chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";
    let visit = json!({
        "version": "2", "target": "https://shop.example/cart/42?page=2&token=M",
        "peer": "198.51.100.77:4711", "route": "/cart/{id}",
        "headers": {
            "user-agent": chrome, "accept-language": "de-CH, en;q=0.8",
            "referer": "https://example.org/from?here",
        },
        "body": "ten  bytes", "counted": true,
        "response": { "body": "hello" },
    });
    let upload = json!({
        "method": "POST", "headers": { "host": "shop.example", "content-length": "5" },
        "body": "12345", "response": { "status": 204 }, "ends": "unpolled",
    });
    let call = json!({
        "method": "POST", "version": "2", "target": "http://shop.example/shop.Cart/Add",
        "response": {
            "headers": { "content-type": "application/grpc+proto" },
            "trailers": { "grpc-status": "5" },
        },
    });
    let failure = json!({ "response": { "status": 500, "body": "who@example.com failed" } });
    [visit, upload, call, failure].map(|text| serde_json::from_value(text).unwrap()).into()
}

fn line(name: &str) -> &str {
    let start = format!("\"{name}\" =");
    EVERYTHING.lines().find(|line| line.starts_with(&start)).expect("everything is declared")
}

/// What one exchange has written under this policy, without what the subscriber adds.
async fn records(policy: &Policy, exchange: &Exchange) -> Vec<Value> {
    let (written, _guard) = support::written();
    exchange.play(&PrivacyLogLayer::new(policy).unwrap()).await;
    written.records()
}

fn own(record: &Value) -> Map<String, Value> {
    let mut own = record.as_object().expect("a record is an object").clone();
    assert!(own.remove("level").is_some());
    assert_eq!(own.remove("target"), Some("privacy_log::access".into()));
    own
}

fn is_typed(name: &str, value: &Value) -> bool {
    match name {
        name if WHOLE.contains(&name) => value.is_u64(),
        "http.server.request.duration" => value.is_f64(),
        _ => value.as_str().is_some_and(|text| !text.is_empty()),
    }
}

#[tokio::test]
async fn every_name_appears_with_its_type_under_a_policy_that_declares_everything() {
    let policy = support::policy(EVERYTHING);
    let mut seen = Vec::new();
    for exchange in walk() {
        let records = records(&policy, &exchange).await;
        assert_eq!(records.len(), 1);
        for (name, value) in own(&records[0]) {
            match name.as_str() {
                "log" => assert_eq!(value, "access"),
                "policy" => assert_eq!(value, policy.reference()),
                name => {
                    assert!(Field::NAMES.contains(&name), "{name} is not in the catalogue");
                    assert!(is_typed(name, &value), "{name} is {value}");
                    seen.push(name.to_owned());
                }
            }
        }
    }
    for name in Field::NAMES {
        assert!(seen.iter().any(|seen| seen == name), "{name} never appeared");
    }
}

#[tokio::test]
async fn a_name_that_is_declared_alone_stands_alone_beside_log_and_policy() {
    for name in Field::NAMES {
        let policy = support::policy(line(name));
        let mut seen = false;
        for exchange in walk() {
            let records = records(&policy, &exchange).await;
            let mut record = own(&records[0]);
            assert_eq!(record.remove("log"), Some("access".into()));
            assert_eq!(record.remove("policy"), Some(policy.reference().into()));
            if let Some(value) = record.remove(*name) {
                assert!(is_typed(name, &value), "{name} is {value}");
                seen = true;
            }
            assert!(record.is_empty(), "beside {name}: {record:?}");
        }
        assert!(seen, "{name} never appeared");
    }
}

#[tokio::test]
async fn the_metadata_of_an_event_lists_the_declared_names_only() {
    for name in Field::NAMES {
        let names = Names::default();
        let subscriber = tracing_subscriber::registry().with(names.clone());
        let _guard = tracing::subscriber::set_default(subscriber);
        for exchange in walk() {
            exchange.play(&PrivacyLogLayer::new(&support::policy(line(name))).unwrap()).await;
        }
        let expected =
            if *name == "timestamp" { [name, "log", "policy"] } else { ["log", "policy", name] };
        for listed in names.take() {
            assert_eq!(listed, expected);
        }
    }
}

impl<S: tracing::Subscriber> Layer<S> for Names {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() == "privacy_log::access" {
            self.push(metadata.fields().iter().map(|field| field.name()).collect());
        }
    }
}

fn golden(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/catalogue/{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// `#` is a digit and `%` a hexadecimal one, where the golden text starts with `like:`.
fn is_like(expected: &Value, value: &Value) -> bool {
    let (Some(shape), Some(text)) = (expected.as_str(), value.as_str()) else {
        return expected == value;
    };
    let Some(shape) = shape.strip_prefix("like:") else { return shape == text };
    let fits = |(shape, c): (char, char)| match shape {
        '#' => c.is_ascii_digit(),
        '%' => c.is_ascii_digit() || ('a'..='f').contains(&c),
        _ => shape == c,
    };
    shape.chars().count() == text.chars().count() && shape.chars().zip(text.chars()).all(fits)
}

/// The golden event of a case: what it says, and what every event has.
fn expected(case: &Value, policy: &Policy) -> Map<String, Value> {
    let mut event = case["event"].as_object().expect("an event").clone();
    for (key, value) in [
        ("level", "INFO".into()),
        ("target", "privacy_log::access".into()),
        ("log", "access".into()),
        ("policy", Value::from(policy.reference())),
    ] {
        event.entry(key).or_insert(value);
    }
    event
}

#[tokio::test]
async fn every_treatment_leaves_what_its_golden_event_says_and_nothing_else() {
    let (mut cases, mut apart) = (0, Vec::new());
    for name in Field::NAMES {
        for (at, case) in golden(name).into_iter().enumerate() {
            let treatment = case["treatment"].as_str().expect("a treatment");
            let policy = support::policy(&format!("\"{name}\" = {treatment}"));
            let exchange: Exchange = serde_json::from_value(case["exchange"].clone())
                .unwrap_or_else(|error| panic!("{name} {at}: {error}"));
            let records = records(&policy, &exchange).await;
            assert_eq!(records.len(), 1, "{name} {at}");
            let (expected, record) = (expected(&case, &policy), records[0].as_object().unwrap());
            let same = expected.len() == record.len()
                && expected
                    .iter()
                    .all(|(key, value)| record.get(key).is_some_and(|found| is_like(value, found)));
            if !same {
                apart.push(format!("{name} {at}: {case}\n  wrote {}", records[0]));
            }
            cases += 1;
        }
    }
    assert!(apart.is_empty(), "{}", apart.join("\n"));
    assert!(cases > 300, "{cases} cases");
}

#[test]
fn every_golden_file_belongs_to_a_field() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/catalogue");
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".json") else { continue };
        assert!(Field::NAMES.contains(&name), "{name} is no field");
    }
}

/// `1s` for a policy and what it is.
const PRECISIONS: [(&str, u64); 6] = [
    ("1ms", 1),
    ("250ms", 250),
    ("1s", 1000),
    ("1m", 60_000),
    ("1h", 3_600_000),
    ("1d", 86_400_000),
];

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

#[tokio::test]
async fn a_timestamp_is_the_start_rounded_down_to_its_precision() {
    for (text, precision) in PRECISIONS {
        let policy = support::policy(&format!("\"timestamp\" = {{ precision = \"{text}\" }}"));
        let before = millis(SystemTime::now());
        let records = records(&policy, &Exchange::default()).await;
        let after = millis(SystemTime::now());
        let written = records[0]["timestamp"].as_str().expect("a time");
        let at: Timestamp = written.parse().expect("RFC 3339");
        let at = u64::try_from(at.as_millisecond()).unwrap();
        assert_eq!(at % precision, 0, "{written}");
        assert!(
            (before - before % precision..=after - after % precision).contains(&at),
            "{written}"
        );
        assert_eq!(written.contains('.'), precision < 1000, "{written}");
        assert!(written.ends_with('Z'), "{written}");
    }
}

#[tokio::test]
async fn a_duration_lasts_until_the_last_body_byte_and_is_rounded_down() {
    for (text, precision) in [("1ms", 1.0), ("50ms", 50.0), ("1s", 1000.0)] {
        let policy = support::policy(&format!(
            "\"http.server.request.duration\" = {{ precision = \"{text}\" }}"
        ));
        let exchange: Exchange =
            serde_json::from_value(json!({ "response": { "body": "late", "wait": 70 } })).unwrap();
        let started = Instant::now();
        let records = records(&policy, &exchange).await;
        let most = started.elapsed().as_secs_f64();
        let seconds = records[0]["http.server.request.duration"].as_f64().expect("a decimal");
        let least = (70.0_f64 / precision).floor() * precision / 1000.0;
        assert!(least <= seconds && seconds <= most, "{least} <= {seconds} <= {most} at {text}");
        let steps = seconds * 1000.0 / precision;
        assert!((steps - steps.round()).abs() < 1e-6, "{seconds} is finer than {text}");
    }
}

/// The pseudonyms of these peers, under one key.
async fn pseudonyms(treatment: &str, peers: &[&str]) -> Vec<String> {
    let (written, _guard) = support::written();
    let policy = support::policy(&format!("\"client.pseudonym\" = {treatment}"));
    let layer = PrivacyLogLayer::new(&policy).unwrap();
    for peer in peers {
        let exchange: Exchange = serde_json::from_value(json!({ "peer": peer })).unwrap();
        exchange.play(&layer).await;
    }
    let text = |record: &Value| record["client.pseudonym"].as_str().unwrap().to_owned();
    written.records().iter().map(text).collect()
}

#[tokio::test]
async fn a_pseudonym_is_one_for_each_ipv4_address_and_each_declared_ipv6_prefix() {
    let peers = [
        "198.51.100.77:1",
        "198.51.100.77:2",
        "[::ffff:198.51.100.77]:3",
        "198.51.100.78:1",
        "[2001:db8:1:2::1]:1",
        "[2001:db8:1:2::2]:1",
        "[2001:db8:1:3::1]:1",
        "[2001:db8:2:2::1]:1",
    ];
    for (treatment, groups) in [
        ("\"pseudonymize\"", [0, 0, 0, 3, 4, 4, 6, 7]),
        ("{ ipv6 = 64 }", [0, 0, 0, 3, 4, 4, 6, 7]),
        ("{ ipv6 = 48 }", [0, 0, 0, 3, 4, 4, 4, 7]),
    ] {
        let pseudonyms = pseudonyms(treatment, &peers).await;
        let first = |one: &String| pseudonyms.iter().position(|other| other == one).unwrap();
        assert_eq!(pseudonyms.iter().map(first).collect::<Vec<_>>(), groups, "{treatment}");
    }
}

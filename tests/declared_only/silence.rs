//! The other sinks (A4): what is shown by `Debug`, by errors and by the layer's own lines holds no
//! marker, no key and nothing of a request.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::pending;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_privacy_log::{
    AppTreatment, Consent, Error, Field, JsonLines, KeyFile, Keys, LegalBasis, Log, LogFields,
    Options, Policy, PrivacyLogLayer, Purpose,
};

use crate::markers::{found, marker};
use crate::readers::Readers;

fn secret() -> String {
    marker("si", "lent")
}

/// Both forms of `Debug`.
fn shown(thing: &impl std::fmt::Debug) -> String {
    format!("{thing:?}\n{thing:#?}\n")
}

fn request() -> Request<Body> {
    let mut request = Request::new(Body::from(secret()));
    *request.uri_mut() = format!("http://{0}@{0}.example/{0}?q={0}", secret()).parse().unwrap();
    request.headers_mut().insert("user-agent", secret().parse().unwrap());
    request
}

#[test]
fn nothing_of_a_request_or_a_key_is_shown_by_debug() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let file = KeyFile::create(&path, Duration::from_secs(86_400)).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let chain = text.lines().find_map(|line| line.strip_prefix("chain ")).unwrap();
    let log = Log::new("access")
        .purpose(Purpose::Security)
        .legal_basis(LegalBasis::Contract)
        .retention(Duration::from_secs(1))
        .field(Field::ClientPseudonym { ipv6: 64 })
        .field(Field::UserAgentOriginal { accept_risk: "test".into() })
        .app_field("user", AppTreatment::Keep);
    let policy = Policy::builder()
        .id("t")
        .keys(Keys::File(path.to_str().unwrap().into()))
        .log(log)
        .build()
        .unwrap();
    let layer = PrivacyLogLayer::new(&policy).unwrap();
    let readers = Readers::start();

    let mut shows = [shown(&file), shown(&policy), shown(&layer)].concat();
    let told = Mutex::new(String::new());
    let mut service = layer.layer(service_fn(|request: Request<Body>| {
        let fields = request.extensions().get::<LogFields>().unwrap();
        fields.set("user", secret());
        told.lock().unwrap().push_str(&shown(fields));
        async move { Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::from(secret()))) }
    }));
    shows += &shown(&service);
    let future = service.call(request());
    shows += &shown(&future);
    let response = future.now_or_never().unwrap().unwrap();
    shows += &shown(response.body());
    drop(response);
    let written = readers.take();
    assert!(written.lines.contains(&secret()), "the value is in the record");
    assert!(!written.json.contains(&chain[..8]));
    shows += &told.lock().unwrap();
    let fields = LogFields::default();
    fields.set(&secret(), secret());
    let (lines, flush) = JsonLines::to_writer(std::io::sink(), Options::default()).unwrap();
    shows += &[shown(&fields), shown(&lines), shown(&flush)].concat();

    assert!(found(&shows).is_empty(), "{shows}");
    assert!(!shows.contains(&chain[..8]), "{shows}");
}

#[test]
fn a_future_that_is_still_waiting_shows_nothing() {
    let layer =
        PrivacyLogLayer::new(&crate::support::policy("\"url.path\" = { depth = 3 }")).unwrap();
    let mut service = layer.layer(service_fn(|_: Request<Body>| {
        pending::<Result<Response<Full<bytes::Bytes>>, Infallible>>()
    }));
    let mut future = Box::pin(service.call(request()));
    assert!(future.as_mut().now_or_never().is_none());
    assert!(found(&shown(&future)).is_empty());
}

fn error_of(text: &str) -> Error {
    text.parse::<Policy>().expect_err("a mistake")
}

/// A key that was pasted where its place belongs is not repeated, however the text is broken.
#[test]
fn an_error_repeats_no_key() {
    let key = "1bcf26c1425b9c12aa07";
    for line in [
        format!("keys = \"{key}\""),
        format!("keys = {key}"),
        format!("keys = '{key}"),
        format!("keys = \"{key}"),
        format!("keys = {{ file = 7, key = \"{key}\" }}"),
        format!("keys = {{ value = \"{key}\" }}"),
        format!("keys = [\"{key}\"]"),
        format!("keys = {{ env = \"{key} \" }}"),
        format!("keys = {{ env = \"{key}={key}\" }}"),
    ] {
        let error = error_of(&format!(
            "policy = \"t\"\n[pseudonyms]\n{line}\n[log.a]\npurpose = [\"security\"]\nlegal_basis = \"contract\"\nretention = \"1d\"\nfields = {{ \"http.route\" = \"keep\" }}\n"
        ));
        assert!(
            !shown(&error).contains("1bcf26") && !error.to_string().contains("1bcf26"),
            "{error}"
        );
    }
}

#[test]
fn a_broken_key_file_is_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    KeyFile::create(&path, Duration::from_secs(86_400)).unwrap();
    let whole = std::fs::read_to_string(&path).unwrap();
    let chain = whole.lines().find_map(|line| line.strip_prefix("chain ")).unwrap();
    let broken = [
        whole.replace("check ", "chek "),
        whole.replace("epoch ", &format!("epoch {} ", secret())),
        whole.replace("rotate 86400", "rotate 3600"),
        chain.to_owned(),
        format!("{chain}\n{}", secret()),
        whole[..whole.len() - 9].to_owned(),
    ];
    let policy = format!(
        "policy = \"t\"\n[pseudonyms]\nkeys = {{ file = {path:?} }}\n[log.a]\npurpose = [\"security\"]\nlegal_basis = \"contract\"\nretention = \"1d\"\nfields = {{ \"client.pseudonym\" = \"pseudonymize\" }}\n"
    );
    let policy: Policy = policy.parse().unwrap();
    for text in broken {
        std::fs::write(&path, &text).unwrap();
        let Err(error) = PrivacyLogLayer::new(&policy) else { panic!("accepted {text}") };
        let shows = format!("{error}{}", shown(&error));
        assert!(!shows.contains(&chain[..8]) && found(&shows).is_empty(), "{shows}");
    }
}

/// In a debug build a dropped field is warned of, once and by its name; a value never.
#[test]
fn a_dropped_field_leaves_its_name_at_most() {
    let readers = Readers::start();
    let layer = PrivacyLogLayer::new(&crate::support::policy(
        "\"http.route\" = \"keep\"\n[log.access.app_fields]\nplan = \"keep\"",
    ))
    .unwrap();
    for _ in 0..3 {
        let service = layer.layer(service_fn(|request: Request<Body>| async move {
            let fields = request.extensions().get::<LogFields>().unwrap();
            fields.set("cart", secret());
            fields.set("cart", secret().repeat(2));
            Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::default()))
        }));
        drop(service.oneshot(request()).now_or_never().unwrap().unwrap());
    }
    let written = readers.take();
    assert_eq!(layer.dropped(), 6);
    assert!(found(&written.json).is_empty(), "{}", written.json);
    assert!(!written.ours().contains("cart"), "{}", written.ours());
    assert!(written.json.matches("\"cart\"").count() <= 1, "{}", written.json);
}

/// A warning is written while a request is handled: that request's span does not belong to it.
#[test]
fn a_warning_of_ours_stands_outside_of_the_request_s_span() {
    let readers = Readers::start();
    let policy = "\"http.route\" = \"keep\"\n[log.access.app_fields]\nplan = \"keep\"";
    let layer = PrivacyLogLayer::new(&crate::support::policy(policy)).unwrap();
    let service = layer.layer(service_fn(|request: Request<Body>| async move {
        request.extensions().get::<LogFields>().unwrap().set("cart", secret());
        Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::default()))
    }));
    tracing::info_span!("request", uri = %format!("/reset?token={}", secret())).in_scope(|| {
        drop(service.oneshot(request()).now_or_never().unwrap().unwrap());
    });
    let json = readers.take().json;
    assert_eq!(json.lines().count(), if cfg!(debug_assertions) { 2 } else { 1 }, "{json}");
    assert!(found(&json).is_empty(), "{json}");
}

/// Otherwise what is said of one log would count for another one.
#[test]
fn more_logs_than_a_record_can_tell_apart_are_refused() {
    for count in [31, 32, 33, 40, 65] {
        let mut builder = Policy::builder().id("many");
        for number in 0..count {
            let log = Log::new(format!("log{number}"))
                .purpose(Purpose::UsageAnalytics)
                .legal_basis(LegalBasis::Consent)
                .retention(Duration::from_secs(60))
                .field(Field::RequestMethod);
            builder = builder.log(log);
        }
        let Ok(policy) = builder.build() else {
            assert!(count > 32, "{count} logs are refused");
            continue;
        };
        let readers = Readers::start();
        let layer = PrivacyLogLayer::new(&policy).unwrap();
        let service = layer.layer(service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::default()))
        }));
        let mut request = request();
        request.extensions_mut().insert(Consent::to("log0").and(format!("log{}", count - 1)));
        drop(service.oneshot(request).now_or_never().unwrap().unwrap());
        let mut names = String::new();
        for line in readers.take().sink_records() {
            let _ = write!(names, "{} ", line.value("log").unwrap().as_str().unwrap());
        }
        assert_eq!(names, format!("log0 log{} ", count - 1));
    }
}

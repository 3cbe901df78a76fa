//! The leak cases that every release must survive (RULES E; case 9 is in `policy.rs`).

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_privacy_log::{ErrorCode, LogFields, PeerAddr, Policy, PrivacyLogLayer, Route};

use crate::exchange::Failure;
use crate::markers::{found, marker, percent_encoded, shows_part};
use crate::readers::{Readers, Written};
use crate::support::policy;

/// All that can be declared without a written reason, and what leaves the most of it.
const EVERYTHING: &str = r#"
"client.address" = "truncate"
"client.pseudonym" = "pseudonymize"
"http.request.method" = "keep"
"http.route" = "keep"
"url.path" = { depth = 1 }
"url.query" = { allow = ["page"] }
"url.scheme" = "keep"
"network.protocol.version" = "keep"
"server.address" = { allow = ["app.example.com"] }
"http.response.status_code" = "keep"
"http.request.header.referer" = "origin"
"user_agent.name" = "keep"
"user_agent.version" = "keep"
"user_agent.os.name" = "keep"
"device.type" = "keep"
"browser.language" = { allow = ["en"] }
"http.request.body.size" = { round = 1024 }
"http.response.body.size" = { round = 1024 }
"rpc.grpc.status_code" = "keep"
"error.type" = "keep"
[log.access.app_fields]
"plan" = "keep"
"user.hash" = "pseudonymize"
"#;

fn secret() -> String {
    marker("le", "ak00")
}

fn layer() -> PrivacyLogLayer {
    PrivacyLogLayer::new(&policy(EVERYTHING)).unwrap()
}

/// What is written about this request, by everybody; the answer is empty.
fn written(layer: &PrivacyLogLayer, request: Request<Body>) -> Written {
    let readers = Readers::start();
    let answer = service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::default()))
    });
    let response = layer.layer(answer).oneshot(request).now_or_never().unwrap().unwrap();
    response.into_body().collect().now_or_never().unwrap().unwrap();
    readers.take()
}

fn to(target: &str) -> Request<Body> {
    Request::builder().uri(target).header("host", "app.example.com").body(Body::empty()).unwrap()
}

fn is_clean(written: &Written) {
    assert_eq!(written.records().len(), 1, "{}", written.ours());
    assert_eq!(written.sink_records().len(), 1, "{}", written.ours());
    let words = found(&written.ours());
    assert!(words.is_empty(), "{words:?} in {}", written.ours());
}

fn text(written: &Written, field: &str) -> Option<String> {
    Some(written.sink_records().first()?.value(field)?.as_str()?.to_owned())
}

/// Case 1.
#[test]
fn an_ipv4_address_does_not_survive_inside_an_ipv6_one() {
    let layer = layer();
    for peer in [
        "198.51.100.23",
        "2002:c633:6417::1",
        "2002:c633:6417:ffff:1:2:3:4",
        "::ffff:198.51.100.23",
        "64:ff9b::c633:6417",
        "2001:0:4136:e378:8000:63bf:39cc:9be8",
    ] {
        let mut request = to("/a");
        request
            .extensions_mut()
            .insert(PeerAddr(SocketAddr::new(peer.parse::<IpAddr>().unwrap(), 1)));
        let written = written(&layer, request);
        let (ours, address) = (written.ours(), text(&written, "client.address"));
        assert_eq!(address.as_deref(), Some("198.51.100.0"), "{peer}");
        for trace in [peer, "198.51.100.23", "c633", "6417", "3325256727"] {
            assert!(!ours.to_lowercase().contains(trace), "{trace} in {ours}");
        }
    }
}

/// Case 2, at its worst: everything that needs no reason is declared.
#[test]
fn a_marker_in_every_place_of_the_request_is_not_found() {
    let (m, layer) = (secret(), layer());
    let target = format!(
        "http://{m}:{m}@app.example.com:81/a;s={m}/{m}/{}?{m}={m}&{m}#{m}",
        percent_encoded(&m)
    );
    let mut request = to(&target);
    *request.method_mut() = m.parse().unwrap();
    *request.body_mut() = Body::from(m.clone());
    for name in [
        "cookie",
        "authorization",
        "x-forwarded-for",
        "forwarded",
        "accept",
        "dnt",
        "sec-gpc",
        m.as_str(),
    ] {
        let name = http::HeaderName::try_from(name).unwrap();
        request.headers_mut().append(&name, format!("Bearer {m}").parse().unwrap());
        request.headers_mut().append(&name, percent_encoded(&m).parse().unwrap());
    }
    request.headers_mut().append("host", m.parse().unwrap());
    for at in
        ["user-agent", "sec-ch-ua", "sec-ch-ua-platform", "accept-language", "content-length", "te"]
    {
        request.headers_mut().insert(at, format!("\"{m}\"/99").parse().unwrap());
    }
    is_clean(&written(&layer, request));
}

/// Case 2: what a service says of its own, errors and panics included.
#[test]
fn a_marker_in_an_error_a_trailer_or_a_payload_is_not_found() {
    let readers = Readers::start();
    let (m, layer) = (secret(), layer());
    let failing = layer.layer(service_fn(|_: Request<Body>| {
        std::future::ready(Err::<Response<Full<bytes::Bytes>>, _>(Failure::deep(&secret())))
    }));
    let error = failing.oneshot(to("/a")).now_or_never().unwrap().unwrap_err();
    assert!(error.to_string().contains(&m));
    is_clean(&readers.take());

    let answering = layer.layer(service_fn(|_: Request<Body>| async {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", secret().parse().unwrap());
        trailers.insert("x-trailer", secret().parse().unwrap());
        let body = Full::<bytes::Bytes>::from(secret())
            .with_trailers(std::future::ready(Some(Ok(trailers))));
        Ok::<_, Infallible>(
            Response::builder().header("content-type", "application/grpc").body(body).unwrap(),
        )
    }));
    let response = answering.oneshot(to("/a")).now_or_never().unwrap().unwrap();
    response.into_body().collect().now_or_never().unwrap().unwrap();
    is_clean(&readers.take());
}

/// Case 3.
#[test]
fn a_referrer_in_an_odd_form_leaves_no_more_than_its_origin() {
    let (m, layer) = (secret(), layer());
    for (referer, origin) in [
        (format!("https://h.example?token={m}"), "https://h.example"),
        (format!("https://h.example#{m}"), "https://h.example"),
        (format!("https://h.example/#/reset/{m}"), "https://h.example"),
        (format!("https://h.example\\{m}"), "https://h.example"),
        (format!("https://{m}@h.example"), "https://h.example"),
        (format!("https://a@{m}@h.example:443./"), "other"),
        (format!("https://app.example.com/{m}?{m}"), "self"),
        (format!("h.example/{m}"), "other"),
        (format!("//h.example/{m}"), "other"),
        (format!("android-app://{m}"), "other"),
        (format!("javascript:{m}"), "other"),
        (format!("https:{m}.example/"), "other"),
        (format!("https://h.example:{m}/"), "other"),
        (format!("https://{m}"), "internal"),
        (format!("https://{m}.onion/"), "internal"),
        (format!("https://[{m}]/"), "other"),
        (format!("https://h.exa\tmple/{m}"), "other"),
        (format!("https://h.example%2f{m}/"), "other"),
        (format!("https://h.example,{m}.example/"), "other"),
    ] {
        let mut request = to("/a");
        request.headers_mut().insert("referer", referer.parse().unwrap());
        let written = written(&layer, request);
        is_clean(&written);
        assert_eq!(
            text(&written, "http.request.header.referer").as_deref(),
            Some(origin),
            "{referer}"
        );
    }
}

/// Case 5. The reader of this test sees the span's fields in the application's own lines.
#[test]
fn the_fields_of_an_entered_span_are_not_beside_a_record() {
    let (m, layer) = (secret(), layer());
    let readers = Readers::start();
    let outer = tracing::info_span!("outer", uri = %format!("/reset?token={m}"));
    let inner = tracing::error_span!("inner", token = %m, depth = 2);
    let (_one, _two, _again) = (outer.enter(), inner.enter(), outer.enter());
    let answer = layer.layer(service_fn(|_: Request<Body>| async {
        tracing::info!("handled");
        Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::from("body")))
    }));
    let response = answer.oneshot(to("/a")).now_or_never().unwrap().unwrap();
    response.into_body().collect().now_or_never().unwrap().unwrap();
    tracing::info!("afterwards");
    let written = readers.take();
    is_clean(&written);
    let theirs: Vec<&str> =
        written.json.lines().filter(|line| !line.contains("privacy_log::")).collect();
    assert_eq!(theirs.len(), 2);
    assert!(
        theirs.iter().all(|line| line.matches(&m).count() >= 2),
        "the spans are entered again: {theirs:?}"
    );
}

/// Case 6.
#[test]
fn a_query_key_in_disguise_is_not_the_declared_one() {
    let (m, layer) = (secret(), layer());
    for query in [
        format!("passwor%64={m}"),
        format!("a=1;token={m}"),
        format!("token[]={m}"),
        format!("%00token={m}"),
        m.clone(),
        format!("page=1;token={m}"),
        format!("page=1?token={m}"),
        format!("page=1&amp;token={m}"),
        format!("page=1&page%00={m}"),
        format!("page=1&page[]={m}"),
        format!("page=1&%70age%20={m}"),
        format!("page=1&+page={m}"),
        format!("page=1&PAGE={m}"),
        format!("page=1&p%2561ge={m}"),
        format!("page=1&&={m}"),
        format!("{m}&page=1&{m}"),
    ] {
        let written = written(&layer, to(&format!("/a?{query}")));
        is_clean(&written);
        let expected = query.contains("page=1").then_some("page=1");
        assert_eq!(text(&written, "url.query").as_deref(), expected, "{query}");
    }
}

/// Declared or not: what signs a request is not written (D2).
#[test]
fn signatures_are_redacted_even_if_they_are_declared() {
    let keys = [
        "AWSAccessKeyId",
        "Signature",
        "sig",
        "X-Goog-Signature",
        "X-Amz-Signature",
        "X-Amz-Credential",
        "X-Amz-Security-Token",
    ];
    for key in keys {
        let layer =
            PrivacyLogLayer::new(&policy(&format!("\"url.query\" = {{ allow = [\"{key}\"] }}")))
                .unwrap();
        let written = written(
            &layer,
            to(&format!("/a?{}={}&x={}", percent_encoded(key), secret(), secret())),
        );
        is_clean(&written);
        assert_eq!(text(&written, "url.query"), Some(format!("{key}=REDACTED")));
    }
}

/// Case 7. Rejections and client errors quote what they could not read; only the code is written.
#[test]
fn an_error_that_quotes_the_request_is_a_code_at_most() {
    let m = secret();
    let quoting = serde_json::from_str::<u32>(&format!("\"{m}\"")).unwrap_err().to_string();
    assert!(quoting.contains(&m));
    for code in [
        quoting.as_str(),
        &format!("bad {m}"),
        &format!("{m}\n"),
        &m.to_uppercase(),
        &m.repeat(7),
        "",
    ] {
        let error = ErrorCode::new(code).unwrap_err();
        assert!(found(&format!("{error} {error:?}")).is_empty(), "{error:?}");
    }
    let readers = Readers::start();
    let answer = layer().layer(service_fn(move |_: Request<Body>| {
        let quoting = quoting.clone();
        async {
            tracing::error!("rejected");
            Ok::<_, Infallible>(
                Response::builder()
                    .status(422)
                    .header("x-error", &quoting)
                    .body(Full::<bytes::Bytes>::from(quoting))
                    .unwrap(),
            )
        }
    }));
    let response = answer.oneshot(to("/a")).now_or_never().unwrap().unwrap();
    response.into_body().collect().now_or_never().unwrap().unwrap();
    is_clean(&readers.take());
}

/// Case 8: no part of the marker either, wherever the limit falls.
#[test]
fn a_cut_exposes_nothing_that_reduction_hides() {
    let (m, layer) = (secret(), layer());
    for length in (200..300).chain(1000..1030).chain([4070, 4080, 4090, 4095, 4096, 4097]) {
        let fill = "a".repeat(length);
        for target in [
            format!("/{fill}/{m}"),
            format!("/{fill}%2f{m}"),
            format!("/{fill}%25%32%66;{m}").replace("%25%32%66", "%252f"),
            format!("/a?page={fill}&token={m}"),
            format!("/a?page={fill}%26&{m}"),
            format!("/a?{fill}={m}&page=1"),
            format!("/a?x={fill}%26page={m}&page=1"),
        ] {
            let ours = written(&layer, to(&target)).ours();
            assert!(!shows_part(&ours, &m), "{ours}");
        }
        for referer in [
            format!("https://{m}@h.example/{fill}"),
            format!("https://{fill}@{m}"),
            format!("https://{fill}:{m}@h.example/"),
            format!("https://h.example/{fill}?{m}"),
            format!("{fill}://{m}.example/"),
        ] {
            let mut request = to("/a");
            request.headers_mut().insert("referer", referer.parse().unwrap());
            let ours = written(&layer, request).ours();
            assert!(!shows_part(&ours, &m), "{ours}");
        }
    }
}

/// Case 10: the address and the user in two fields, and the same user in two epochs.
#[test]
fn the_same_value_in_two_fields_gives_unrelated_pseudonyms() {
    let policy: Policy = r#"
        policy = "test-1"
        [pseudonyms]
        rotate = "1s"
        [log.access]
        purpose = ["security"]
        legal_basis = "contract"
        retention = "1d"
        fields = { "client.pseudonym" = "pseudonymize" }
        app_fields = { "user.hash" = "pseudonymize", "user.hash2" = "pseudonymize" }
    "#
    .parse()
    .unwrap();
    let layer = PrivacyLogLayer::new(&policy).unwrap();
    let readers = Readers::start();
    let pseudonyms = || {
        let answer = layer.layer(service_fn(|request: Request<Body>| async move {
            let fields = request.extensions().get::<LogFields>().unwrap();
            fields.set("user.hash", "198.51.100.23");
            fields.set("user.hash2", "198.51.100.23");
            Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::default()))
        }));
        let mut request = to("/a");
        request.extensions_mut().insert(PeerAddr(([198, 51, 100, 23], 1).into()));
        drop(answer.oneshot(request).now_or_never().unwrap().unwrap());
        let written = readers.take();
        assert!(!written.ours().contains("198.51"), "{}", written.ours());
        ["client.pseudonym", "user.hash", "user.hash2"].map(|name| {
            let pseudonym = text(&written, name).unwrap();
            let (epoch, hash) = pseudonym.split_once('.').unwrap();
            (epoch.to_owned(), hash.to_owned())
        })
    };
    let first = pseudonyms();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    let second = loop {
        let next = pseudonyms();
        if next[0].0 != first[0].0 {
            break next;
        }
        assert!(std::time::Instant::now() < deadline, "no new epoch");
        std::thread::sleep(Duration::from_millis(20));
    };
    let hashes: std::collections::BTreeSet<&String> =
        first.iter().chain(&second).map(|(_, hash)| hash).collect();
    assert_eq!(hashes.len(), 6, "{hashes:?}");
}

/// A name that the application did not mean for the log does not come in through the route either.
#[test]
fn a_route_is_escaped_and_cut_like_everything_else() {
    let layer = layer();
    let mut request = to("/a");
    request
        .extensions_mut()
        .insert(Route::new(format!("/x\n\u{202e}{{\"log\":1}}{}", "r".repeat(400))));
    let written = written(&layer, request);
    let route = text(&written, "http.route").unwrap();
    assert!(
        route.starts_with("/x\\n\\u{202e}{\"log\":1}rrr") && route.chars().count() == 256,
        "{route}"
    );
    assert_eq!(written.lines.lines().count(), 1);
}

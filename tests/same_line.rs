//! Guarantee: what `JsonLines` writes of a record does not depend on how it gets the record: as the line that
//! was prepared, or by visiting the values of an event that somebody else has made of it.
//!
//! A second sink is given every event made anew; random policies, exchanges full of what JSON must escape.
#![allow(clippy::disallowed_methods, reason = "the tests are the application")]

mod support;

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt::Debug;
use std::future::ready;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{ACCEPT_LANGUAGE, CONTENT_LENGTH, HOST, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::test_runner::TestRunner;
use serde_json::Value as Json;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_privacy_log::{
    Address, AppTreatment, ErrorCode, Field, FieldValue, Flush, JsonLines, LegalBasis, Log,
    LogFields, Options, Path, PeerAddr, Policy, PrivacyLogLayer, Purpose, Referer, Route, Status,
};
use tracing::field::{self, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use support::Written;

/// A sink behind a layer that makes every event anew, of its values.
struct Anew(JsonLines);

impl<S: Subscriber> Layer<S> for Anew {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut values = Values(metadata.fields().iter().map(|_| None).collect());
        event.record(&mut values);
        let values: Vec<_> = values.0.iter().map(Option::as_deref).collect();
        let values = metadata.fields().value_set_all(&values);
        self.0.on_event(&Event::new_child_of(None, metadata, &values), context);
    }
}

struct Values(Vec<Option<Box<dyn field::Value>>>);

impl Visit for Values {
    fn record_debug(&mut self, field: &field::Field, value: &dyn Debug) {
        panic!("{field} is no plain value: {value:?}");
    }

    fn record_str(&mut self, field: &field::Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_i64(&mut self, field: &field::Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &field::Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &field::Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &field::Field, value: bool) {
        self.put(field, value);
    }
}

impl Values {
    fn put(&mut self, field: &field::Field, value: impl field::Value + 'static) {
        assert!(self.0[field.index()].replace(Box::new(value)).is_none(), "{field} comes twice");
    }
}

/// What a sink has written since the last time.
fn taken(written: &Written, flush: &Flush) -> String {
    flush.flush().expect("memory takes every line");
    written.take()
}

fn prepared_and_visited(cases: u32, declare: impl Strategy<Value = Vec<Field>>) {
    let (prepared, visited) = (Written::default(), Written::default());
    let sink = |written: &Written| JsonLines::to_writer(written.clone(), Options::default());
    let ((lines, flush), (others, other)) = (sink(&prepared).unwrap(), sink(&visited).unwrap());
    let subscriber = tracing_subscriber::registry().with(lines).with(Anew(others));
    let _listening = tracing::subscriber::set_default(subscriber);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let escapes = Cell::new(0);
    let cases = (declare, app_fields(), vec(exchange(), 1..4));
    TestRunner::new(config)
        .run(&cases, |(fields, app, exchanges)| {
            let layer = PrivacyLogLayer::new(&policy(&fields, &app)).expect("keys in memory");
            for exchange in exchanges {
                exchange.play(&layer);
                let text = taken(&prepared, &flush);
                prop_assert_eq!(&text, &taken(&visited, &other));
                prop_assert_eq!(text.lines().count(), 2, "{}", text);
                for line in text.lines() {
                    let read = serde_json::from_str::<Json>(line);
                    prop_assert!(read.is_ok_and(|value| value.is_object()), "{}", line);
                }
                escapes.set(escapes.get() + text.matches("\\\"").count());
            }
            Ok(())
        })
        .unwrap();
    assert!(escapes.get() > 100, "hardly a value needed an escape");
}

#[test]
fn a_prepared_line_is_the_line_of_its_visited_values() {
    prepared_and_visited(2_000, subsequence(catalogue(), 0..=catalogue().len()));
}

#[test]
fn a_prepared_line_of_nearly_every_field_is_that_of_its_visited_values() {
    let count = catalogue().len();
    prepared_and_visited(500, subsequence(catalogue(), count - 2..=count));
}

const QUERY: [&str; 4] = ["page", "na me", "q\"\\", "é"];
const APP: [&str; 12] = ["a", "b.c", "d_e", "F-g", "h", "i", "j", "k", "l", "m", "n", LONG];
const LONG: &str = "z123456789012345678901234567890123456789012345678901234567890123";

fn catalogue() -> Vec<Field> {
    let risk = || "the test wants to see it".to_owned();
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    vec![
        Field::Timestamp { precision: Duration::from_millis(100) },
        Field::ClientAddress(Address::Keep { accept_risk: risk() }),
        Field::ClientPseudonym { ipv6: 64 },
        Field::RequestMethod,
        Field::Route,
        Field::UrlPath(Path::Keep { accept_risk: risk() }),
        Field::UrlQuery { allow: list(&QUERY) },
        Field::UrlScheme,
        Field::ProtocolVersion,
        Field::ServerAddress { allow: list(&["app.example.com"]) },
        Field::StatusCode(Status::Keep),
        Field::Referer(Referer::Path { accept_risk: risk() }),
        Field::UserAgentName,
        Field::UserAgentVersion,
        Field::UserAgentOs,
        Field::DeviceType,
        Field::UserAgentOriginal { accept_risk: risk() },
        Field::BrowserLanguage { allow: list(&["en"]) },
        Field::RequestDuration { precision: Duration::from_millis(1) },
        Field::RequestBodySize { round: 1 },
        Field::ResponseBodySize { round: 1024 },
        Field::GrpcStatus,
        Field::ErrorType,
    ]
}

fn app_fields() -> impl Strategy<Value = Vec<(&'static str, AppTreatment)>> {
    let allow = AppTreatment::Allow(vec!["say \"7\"\\".to_owned(), "7".to_owned()]);
    let treatment =
        select(vec![AppTreatment::Keep, AppTreatment::Keep, AppTreatment::Pseudonymize, allow]);
    let names = subsequence(APP.to_vec(), 0..=APP.len());
    (names, vec(treatment, APP.len())).prop_map(|(names, how)| names.into_iter().zip(how).collect())
}

/// Two logs; only the first has what the application adds.
fn policy(fields: &[Field], app: &[(&'static str, AppTreatment)]) -> Policy {
    let log = |name: &str| {
        Log::new(name)
            .purpose(Purpose::Security)
            .legal_basis(LegalBasis::Contract)
            .retention(Duration::from_secs(86_400))
            .field(Field::RequestMethod)
    };
    let has_method = |field: &&Field| !matches!(field, Field::RequestMethod);
    let fields = || fields.iter().filter(has_method).cloned();
    let access = fields().fold(log("access"), Log::field);
    let access = app.iter().fold(access, |log, (name, how)| log.app_field(*name, how.clone()));
    let usage = fields().fold(log("usage"), Log::field);
    Policy::builder().id("same-1").log(access).log(usage).build().expect("the policy is valid")
}

#[derive(Clone, Debug)]
enum Given {
    Text(String),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Truth(bool),
}

impl<'v> From<&'v Given> for FieldValue<'v> {
    fn from(given: &'v Given) -> Self {
        match given {
            Given::Text(text) => text.into(),
            Given::Signed(number) => (*number).into(),
            Given::Unsigned(number) => (*number).into(),
            Given::Float(number) => (*number).into(),
            Given::Truth(truth) => (*truth).into(),
        }
    }
}

fn given() -> impl Strategy<Value = Given> {
    prop_oneof![
        4 => text().prop_map(Given::Text),
        1 => any::<i64>().prop_map(Given::Signed),
        1 => any::<u64>().prop_map(Given::Unsigned),
        1 => any::<u64>().prop_map(|bits| Given::Float(f64::from_bits(bits))),
        1 => (-1_000_000..1_000_000).prop_map(|count| Given::Float(f64::from(count) / 1000.0)),
        1 => any::<bool>().prop_map(Given::Truth),
    ]
}

/// Texts that need an escape in JSON, or in a line, or are cut in the middle of one.
fn text() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "a",
        "/",
        "say \"hi\"",
        "\\",
        "\\\"",
        "\n",
        "\u{1b}[0m",
        "\u{0}",
        "\u{7f}",
        "\u{85}",
        "é",
        "漢字",
        "😀",
        "\u{202e}",
        "\u{2028}",
        "\u{feff}",
        "\u{e0041}",
        "%22",
        "%5C",
        "{id}",
        "&",
        "=",
        "?",
        "#",
        " ",
        "page=",
        "na%20me=",
        "q%22%5c=",
        "%C3%A9=",
        "}\n{\"log\":\"x\"",
        "\":",
    ]);
    let pieces = (vec(piece, 0..12), 0..4_usize, 0..300_usize, any::<bool>());
    pieces.prop_map(|(pieces, times, filler, first)| {
        let (text, filler) = (pieces.concat().repeat(times), "x".repeat(filler));
        if first { filler + &text } else { text + &filler }
    })
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Complete,
    Aborted,
    Cut,
    ServiceError,
}

#[derive(Clone, Debug)]
struct Exchange {
    method: Method,
    target: String,
    headers: Vec<(HeaderName, String)>,
    peer: Option<u128>,
    route: Option<String>,
    app: Vec<(Index, Given)>,
    status: u16,
    code: Option<String>,
    reply: usize,
    ending: Ending,
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let method = select(vec![Method::GET, Method::HEAD, Method::POST, Method::CONNECT]);
    let names = [USER_AGENT, REFERER, ACCEPT_LANGUAGE, HOST, CONTENT_LENGTH];
    let value = prop_oneof![
        text(),
        text().prop_map(|text| format!("https://example.org/{text}")),
        select(vec!["en", "app.example.com", "77", "18446744073709551615"]).prop_map(str::to_owned),
        Just("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned()),
    ];
    let headers = vec((select(names.to_vec()), value), 0..6);
    let statuses = select(vec![101, 200, 204, 304, 404, 500, 999]);
    let code = proptest::option::of(select(vec!["upload.too_large", "a"]).prop_map(str::to_owned));
    let ending = select(vec![Ending::Complete, Ending::Aborted, Ending::Cut, Ending::ServiceError]);
    let request = (method, text(), headers, proptest::option::of(any::<u128>()));
    let handler = (proptest::option::of(text()), vec((any::<Index>(), given()), 0..14));
    let response = (statuses, code, 0..5000_usize, ending);
    (request, handler, response).prop_map(|(request, handler, response)| {
        let (method, target, headers, peer) = request;
        let ((route, app), (status, code, reply, ending)) = (handler, response);
        Exchange { method, target, headers, peer, route, app, status, code, reply, ending }
    })
}

impl Exchange {
    fn request(&self) -> Request<()> {
        let target = Uri::try_from(format!("/{}", self.target.replace(' ', "+")));
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = target.unwrap_or_default();
        let add = |headers: &mut HeaderMap, name: &HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                headers.insert(name, value);
            }
        };
        self.headers.iter().for_each(|(name, value)| add(request.headers_mut(), name, value));
        if let Some(bits) = self.peer {
            let peer = SocketAddr::new(IpAddr::V6(Ipv6Addr::from_bits(bits)), 1);
            request.extensions_mut().insert(PeerAddr(peer));
        }
        if let Some(route) = &self.route {
            request.extensions_mut().insert(Route::new(route.as_str()));
        }
        request
    }

    fn respond(&self, request: &Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
        if let Some(fields) = request.extensions().get::<LogFields>() {
            self.app.iter().for_each(|(at, value)| fields.set(APP[at.index(APP.len())], value));
        }
        let mut response = Response::new(Full::from(vec![b'x'; self.reply]));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        if let Some(code) = &self.code {
            response.extensions_mut().insert(ErrorCode::new(code).unwrap());
        }
        Ok(response)
    }

    fn play(&self, layer: &PrivacyLogLayer) {
        let request = self.request();
        match self.ending {
            Ending::Aborted => {
                let silent = service_fn(|_| {
                    std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
                });
                assert!(layer.layer(silent).oneshot(request).now_or_never().is_none());
            }
            Ending::ServiceError => {
                let broken = service_fn(|_| ready(Err::<Response<Full<Bytes>>, _>("a \"secret\"")));
                assert!(layer.layer(broken).oneshot(request).now_or_never().unwrap().is_err());
            }
            Ending::Complete | Ending::Cut => {
                let service = service_fn(|request| ready(self.respond(&request)));
                let answer = layer.layer(service).oneshot(request).now_or_never();
                let mut body = answer.unwrap().unwrap().into_body();
                if matches!(self.ending, Ending::Complete) {
                    while body.frame().now_or_never().unwrap().is_some() {}
                }
            }
        }
    }
}

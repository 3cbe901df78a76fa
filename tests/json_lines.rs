//! Guarantee: `JsonLines` writes what the policy declares, line by line, into one folder per log, and tells the
//! application once when it cannot. The bytes under faults are judged beside its source.
#![allow(clippy::disallowed_methods, reason = "the tests are the application")]

use std::convert::Infallible;
use std::fmt::{Debug, Write as _};
use std::fs;
use std::future::ready;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_privacy_log::{Consent, JsonLines, LogFields, Options, Policy, PrivacyLogLayer, Route};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

const POLICY: &str = r#"
policy = "lines-1"
[log.access]
purpose = ["security"]
legal_basis = "contract"
retention = "30d"
[log.access.fields]
"error.type" = "keep"
"http.response.status_code" = "keep"
"http.route" = "keep"
"http.request.method" = "keep"
[log.access.app_fields]
"z.truth" = "keep"
"a.text" = "keep"
"m.number" = "keep"
[log.usage]
purpose = ["usage-analytics"]
legal_basis = "consent"
retention = "1d"
[log.usage.fields]
"http.route" = "keep"
"#;

fn policy() -> Policy {
    POLICY.parse().unwrap()
}

/// One exchange with the layer; with consent to `usage` or without.
fn exchange(layer: &PrivacyLogLayer, consent: bool) {
    let service = service_fn(|request: Request<()>| {
        let fields = request.extensions().get::<LogFields>().unwrap();
        fields.set("a.text", "say \"hi\"\n\\");
        fields.set("m.number", -7);
        fields.set("z.truth", true);
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("x"))))
    });
    let mut request = Request::get("/users/7?token=M").extension(Route::new("/users/{id}"));
    if consent {
        request = request.extension(Consent::to("usage"));
    }
    let response = layer.layer(service).oneshot(request.body(()).unwrap()).now_or_never();
    response.unwrap().unwrap().into_body().collect().now_or_never().unwrap().unwrap();
}

#[derive(Clone, Default)]
struct Memory {
    bytes: Arc<Mutex<Vec<u8>>>,
    broken: Arc<AtomicBool>,
}

impl Memory {
    fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.broken.load(Ordering::Acquire) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.bytes.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn access() -> String {
    let reference = policy().reference();
    format!(
        "{{\"log\":\"access\",\"policy\":\"{reference}\",\"http.request.method\":\"GET\",\"http.route\":\"/users/{{id}}\",\
         \"http.response.status_code\":200,\"z.truth\":true,\"a.text\":\"say \\\"hi\\\"\\\\n\\\\\\\\\",\"m.number\":-7}}\n"
    )
}

#[test]
fn an_exchange_is_one_line_of_the_declared_fields_in_the_order_of_the_catalogue() {
    let memory = Memory::default();
    let (lines, flush) = JsonLines::to_writer(memory.clone(), Options::default()).unwrap();
    let layer = PrivacyLogLayer::new(&policy()).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
        let span = tracing::info_span!("request", uri = "/users/7?token=M");
        let _in = span.enter();
        exchange(&layer, false);
        tracing::info!(target: "privacy_log::access", log = "access", "not a record");
    });
    flush.flush().unwrap();
    assert_eq!(memory.text(), access());
}

fn only_file(folder: &Path) -> String {
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    fs::read_to_string(&files[0]).unwrap()
}

#[test]
fn each_log_of_the_policy_has_a_folder_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (lines, flush) = JsonLines::to_folder(dir.path(), &policy(), Options::default()).unwrap();
    let layer = PrivacyLogLayer::new(&policy()).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
        exchange(&layer, false);
        exchange(&layer, true);
    });
    flush.flush().unwrap();
    assert_eq!(only_file(&dir.path().join("access")), access().repeat(2));
    let usage = format!(
        "{{\"log\":\"usage\",\"policy\":\"{}\",\"http.route\":\"/users/{{id}}\"}}\n",
        policy().reference()
    );
    assert_eq!(only_file(&dir.path().join("usage")), usage);
    assert_eq!((flush.stats().written, flush.stats().dropped), (3, 0));
}

/// What the application's own subscriber hears beside the records.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Heard {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                write!(self.0, " {field}={value:?}").unwrap();
            }
        }
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let mut text = Text(format!("{level} {target}"));
        event.record(&mut text);
        if target != "privacy_log::access" {
            self.0.lock().unwrap().push(text.0);
        }
    }
}

fn wait_for(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(10), "took too long");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Only here is a subscriber global: the sink's own threads have no other.
#[test]
fn a_fault_its_end_and_a_deletion_are_reported_once_each_with_names_and_counts_only() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("usage")).unwrap();
    for hour in 10..13 {
        let file = dir.path().join(format!("usage/usage-2001-01-01T{hour}.jsonl"));
        fs::write(file, "{}\n{torn").unwrap();
    }
    let (files, _keep) = JsonLines::to_folder(dir.path(), &policy(), Options::default()).unwrap();
    let memory = Memory { broken: Arc::new(AtomicBool::new(true)), ..Memory::default() };
    let (lines, flush) = JsonLines::to_writer(memory.clone(), Options::default()).unwrap();
    let heard = Heard::default();
    let subscriber = tracing_subscriber::registry().with(lines).with(files).with(heard.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let layer = PrivacyLogLayer::new(&policy()).unwrap();
    for _ in 0..20 {
        exchange(&layer, false);
        assert_eq!(flush.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
    memory.broken.store(false, Ordering::Release);
    wait_for(|| heard.0.lock().unwrap().len() >= 4);
    wait_for(|| flush.flush().is_ok());
    assert!(memory.text() == access().repeat(20));
    let mut heard = heard.0.lock().unwrap().clone();
    heard.sort();
    assert_eq!(
        heard,
        [
            "ERROR tower_privacy_log message=log lines cannot be written log=\"*\" error=\"broken pipe\"",
            "INFO privacy_log::retention message=log files past their retention are deleted log=\"usage\" deleted=3",
            "INFO tower_privacy_log message=log lines are written again log=\"*\"",
            "WARN tower_privacy_log message=unfinished lines of a crash are cut off log=\"usage\" torn=3",
        ]
    );
    assert!(flush.stats().failed >= 20);
}

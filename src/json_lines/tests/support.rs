//! A log with eight fields, a policy in few words, and a writer that remembers.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::field::Value;
use tracing::{Dispatch, Level};
use tracing_subscriber::layer::SubscriberExt as _;

use super::super::name::Name;
use super::super::{Flush, JsonLines, Options};
use crate::event::{Site, outside_spans};
use crate::line::Line;
use crate::policy::Policy;

pub(super) const FIELDS: [&str; 8] = [
    "timestamp",
    "log",
    "policy",
    "client.address",
    "http.request.method",
    "http.route",
    "http.response.status_code",
    "http.server.request.duration",
];

pub(super) fn site(log: &str) -> &'static Site {
    Site::intern(log, Level::INFO, &FIELDS)
}

/// One record; its marker is the status code.
pub(super) fn emit(site: &'static Site, marker: u64) {
    record(
        site,
        &[
            Some(&"2026-01-02T03:04:05Z"),
            Some(&site.log()),
            Some(&"imgs2-2025-01-01@0a1b2c3d"),
            Some(&"192.0.2.0"),
            Some(&"GET"),
            Some(&"/users/{id}"),
            Some(&marker),
            Some(&0.012_f64),
        ],
    );
}

/// The line of `emit`, but for the log and the marker.
pub(super) fn line(log: &str, marker: u64) -> String {
    format!(
        "{{\"timestamp\":\"2026-01-02T03:04:05Z\",\"log\":\"{log}\",\"policy\":\"imgs2-2025-01-01@0a1b2c3d\",\
         \"client.address\":\"192.0.2.0\",\"http.request.method\":\"GET\",\"http.route\":\"/users/{{id}}\",\
         \"http.response.status_code\":{marker},\"http.server.request.duration\":0.012}}"
    )
}

pub(super) fn record(site: &'static Site, values: &[Option<&dyn Value>]) {
    outside_spans(|outside| outside.event(site, values, &Line::default()));
}

pub(super) fn dispatch(layer: JsonLines) -> Dispatch {
    Dispatch::new(tracing_subscriber::registry().with(layer))
}

/// A policy with these logs and retentions.
pub(super) fn policy(logs: &[(&str, &str)]) -> Policy {
    let log = |(name, retention): &(&str, &str)| {
        format!(
            "[log.{name}]\npurpose = [\"security\"]\nlegal_basis = \"contract\"\nretention = \"{retention}\"\n\
             [log.{name}.fields]\n\"http.route\" = \"keep\"\n"
        )
    };
    let logs: String = logs.iter().map(log).collect();
    format!("policy = \"test-1\"\n{logs}").parse().expect("the test's policy is valid")
}

/// One log, `access`, for a day.
pub(super) fn open(dir: &Path, options: Options) -> (Dispatch, Flush) {
    let (layer, flush) = JsonLines::to_folder(dir, &policy(&[("access", "1d")]), options).unwrap();
    (dispatch(layer), flush)
}

/// What is in the folder of `log`, oldest first.
pub(super) fn files(dir: &Path, log: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir.join(log)) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(|path| (Name::parse(log, name(path)), path.clone()));
    files
}

pub(super) fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// All of them, one after another.
pub(super) fn text(files: &[PathBuf]) -> String {
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// The markers of all records in `text`, and the sum of the dropped counts; panics on anything that is not JSON.
pub(super) fn read(text: &str) -> (Vec<u64>, u64) {
    assert!(text.is_empty() || text.ends_with('\n'), "torn: {:?}", text.lines().last());
    let (mut markers, mut dropped) = (Vec::new(), 0);
    for line in text.lines() {
        let value: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        match value["dropped"].as_u64() {
            Some(count) => dropped += count,
            None => markers.push(value["http.response.status_code"].as_u64().expect("marker")),
        }
    }
    (markers, dropped)
}

/// How long it took; ten seconds at most.
pub(super) fn wait_for(what: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(10), "took too long");
        thread::sleep(Duration::from_millis(1));
    }
    start.elapsed()
}

type Rule = dyn FnMut(&[u8]) -> io::Result<usize> + Send;

/// A writer that keeps what its rule lets through.
#[derive(Clone)]
pub(super) struct Memory {
    bytes: Arc<Mutex<Vec<u8>>>,
    rule: Arc<Mutex<Box<Rule>>>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self::with(|bytes| Ok(bytes.len()))
    }

    pub(super) fn with(rule: impl FnMut(&[u8]) -> io::Result<usize> + Send + 'static) -> Self {
        Self { bytes: Arc::default(), rule: Arc::new(Mutex::new(Box::new(rule))) }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
    }

    pub(super) fn lines(&self) -> usize {
        self.text().lines().count()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rule = self.rule.lock().unwrap_or_else(PoisonError::into_inner);
        let count = rule(bytes)?.min(bytes.len());
        self.bytes.lock().unwrap().extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

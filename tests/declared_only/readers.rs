//! Everybody who writes records: what users have, and this crate's own sink.

use std::io;
use std::mem;
use std::sync::{Arc, Mutex};

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::Value;
use tower_privacy_log::{Flush, JsonLines, Options};
use tracing::Metadata;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self) -> String {
        String::from_utf8(mem::take(&mut *self.0.lock().unwrap())).expect("logs are UTF-8")
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Sink {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// Listens on this thread until it is dropped; events and spans from INFO on.
pub struct Readers {
    sinks: [Sink; 6],
    _guard: DefaultGuard,
    flush: Flush,
}

/// The bytes that were written.
pub struct Written {
    /// `fmt().json()`, flattened, of everything: the application's lines and ours.
    pub json: String,
    /// `JsonLines`.
    pub lines: String,
    /// `fmt().json()`, `fmt()`, `.compact()` and `.pretty()`, of this crate's events and all spans.
    pub own: [String; 4],
}

/// One record: the line, and its keys and values in order.
pub struct Line {
    pub text: String,
    pub pairs: Vec<(String, Value)>,
}

impl Readers {
    pub fn start() -> Self {
        let sinks: [Sink; 6] = Default::default();
        let [all, lines, json, full, compact, pretty] = sinks.clone();
        let (lines, flush) = JsonLines::to_writer(lines, Options::default()).unwrap();
        let own = || {
            filter_fn(|metadata: &Metadata<'_>| metadata.is_span() || is_ours(metadata.target()))
        };
        let registry = tracing_subscriber::registry()
            .with(LevelFilter::INFO)
            .with(fmt::layer().json().flatten_event(true).without_time().with_writer(all))
            .with(lines)
            .with(fmt::layer().json().without_time().with_writer(json).with_filter(own()))
            .with(fmt::layer().without_time().with_ansi(false).with_writer(full).with_filter(own()))
            .with(fmt::layer().compact().without_time().with_writer(compact).with_filter(own()))
            .with(fmt::layer().pretty().without_time().with_writer(pretty).with_filter(own()));
        Self { sinks, _guard: tracing::subscriber::set_default(registry), flush }
    }

    /// What was written since the last time.
    pub fn take(&self) -> Written {
        self.flush.flush().expect("memory takes every line");
        let [json, lines, own @ ..] = self.sinks.each_ref().map(Sink::take);
        Written { json, lines, own }
    }
}

fn is_ours(target: &str) -> bool {
    target.starts_with("privacy_log::")
}

impl Written {
    /// This crate's records among all lines of `fmt().json()`.
    pub fn records(&self) -> Vec<Line> {
        let json = self.json.lines().filter(|line| line.contains("privacy_log::"));
        let mut lines: Vec<Line> = json.map(Line::read).collect();
        lines.retain(|line| line.value("target").and_then(Value::as_str).is_some_and(is_ours));
        lines
    }

    /// The records of the sink.
    pub fn sink_records(&self) -> Vec<Line> {
        self.lines.lines().map(Line::read).collect()
    }

    /// Everything that was written on behalf of this crate; a line of `fmt().json()` is ours by its
    /// target, whatever else is in it.
    pub fn ours(&self) -> String {
        let json = self.json.lines().filter(|line| line.contains("\"target\":\"privacy_log::"));
        let own = self.own.iter().map(String::as_str);
        json.chain([self.lines.as_str()]).chain(own).collect::<Vec<_>>().join("\n")
    }
}

impl Line {
    fn read(text: &str) -> Self {
        let mut json = serde_json::Deserializer::from_str(text);
        let pairs = json.deserialize_map(Pairs).unwrap_or_else(|error| panic!("{error}: {text}"));
        json.end().unwrap_or_else(|error| panic!("{error}: {text}"));
        Self { text: text.to_owned(), pairs }
    }

    pub fn value(&self, key: &str) -> Option<&Value> {
        self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

/// Keeps keys that are there twice.
struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

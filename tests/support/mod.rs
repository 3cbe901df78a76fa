//! What the tests share: the bytes that a subscriber writes, and a policy in few words.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tower_privacy_log::Policy;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

/// All that a user's `fmt().json()` has written on this thread, spans and other events included.
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

/// Listens on this thread until the guard is dropped; use a current-thread runtime.
pub fn written() -> (Written, DefaultGuard) {
    let written = Written::default();
    let json = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .without_time()
        .with_level(true)
        .with_writer(written.clone());
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(json));
    (written, guard)
}

impl Written {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).expect("logs are UTF-8")
    }

    /// What was written since the last time.
    pub fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).expect("logs are UTF-8")
    }

    /// This crate's records, in order.
    pub fn records(&self) -> Vec<Value> {
        let lines = self.text();
        let values =
            lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
        values.filter(|value| value.get("log").is_some()).collect()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Written {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// A policy with one log, `access`, of these field lines.
pub fn policy(fields: &str) -> Policy {
    let text = format!(
        "policy = \"test-1\"\n\
         [log.access]\n\
         purpose = [\"security\"]\n\
         legal_basis = \"legitimate-interests\"\n\
         interest = \"keeping the service available\"\n\
         retention = \"30d\"\n\
         [log.access.fields]\n{fields}\n"
    );
    text.parse().expect("the test's policy is valid")
}

//! The demo's other output: where it listens, then what an operator has to know.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Subscriber;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

/// One line; `eprintln!` would panic when nobody reads stderr any more.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Standard error, which holds back what is reported until the first line is out.
#[derive(Clone)]
pub struct Stderr(Arc<Mutex<Option<Vec<u8>>>>);

impl Stderr {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Some(Vec::new()))))
    }

    /// Says the first line and goes on with what waits.
    pub fn open(&self, first: &str) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        say(first);
        let _ = io::stderr().write_all(&held.take().unwrap_or_default());
    }

    /// Shows what the library reports about itself, and nothing else.
    pub fn reports<S: Subscriber + for<'s> LookupSpan<'s>>(&self) -> impl Layer<S> + use<S> {
        let targets = ["tower_privacy_log", "privacy_log::retention"];
        let text = tracing_subscriber::fmt::layer().without_time().with_ansi(false);
        text.with_writer(self.clone())
            .with_filter(filter_fn(move |event| targets.contains(&event.target())))
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(held) => held.extend_from_slice(bytes),
            None => drop(io::stderr().write_all(bytes)),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Stderr {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

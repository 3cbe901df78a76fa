//! Records as JSON lines: a `tracing_subscriber` layer. (First version; files come with the queue.)

mod line;

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::error::Error;
use crate::event::Site;
use crate::policy::Policy;

type Writer = Arc<Mutex<dyn Write + Send>>;

/// Writes this crate's events as JSON lines.
pub struct JsonLines(Writer);

/// Flushes when dropped.
#[must_use]
pub struct Flush(Writer);

/// How to write.
#[derive(Clone, Debug, Default)]
pub struct Options {}

impl JsonLines {
    /// To a writer.
    pub fn to_writer<W: Write + Send + 'static>(writer: W, _: Options) -> (Self, Flush) {
        let writer: Writer = Arc::new(Mutex::new(writer));
        (Self(Arc::clone(&writer)), Flush(writer))
    }

    /// To files.
    ///
    /// # Errors
    ///
    /// When the folder cannot be had.
    pub fn to_folder(
        folder: impl AsRef<std::path::Path>,
        _: &Policy,
        options: Options,
    ) -> Result<(Self, Flush), Error> {
        std::fs::create_dir_all(&folder)
            .map_err(|error| Error::unreadable(folder.as_ref(), &error))?;
        let path = folder.as_ref().join("records.jsonl");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|error| Error::unreadable(&path, &error))?;
        Ok(Self::to_writer(file, options))
    }
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if Site::of(event.metadata()).is_none() {
            return;
        }
        line::with_line(event, |line| {
            let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = writer.write_all(line).and_then(|()| writer.flush());
        });
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let _: io::Result<()> = self.0.lock().unwrap_or_else(PoisonError::into_inner).flush();
    }
}

impl fmt::Debug for JsonLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonLines").finish_non_exhaustive()
    }
}

impl fmt::Debug for Flush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flush").finish_non_exhaustive()
    }
}

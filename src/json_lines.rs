//! Records as JSON lines: a `tracing_subscriber` layer for production.
//!
//! It writes only events whose call-site belongs to this crate, one line each, with exactly the fields
//! of the event: nothing from spans, no level, no target, no time of its own. Lines go to any writer or
//! to one series of files per log, which are deleted when the log's retention is over. A request thread
//! formats its line and hands it over; one thread writes.

pub(crate) mod clock;
pub(crate) mod file;
#[cfg(feature = "gzip")]
mod gzip;
mod keeper;
mod lane;
mod line;
pub(crate) mod name;
mod options;
mod output;
mod queue;
pub(crate) mod series;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::event::Site;
use crate::line::line_of;
use crate::policy::Policy;
use crate::retention::Retention;
use clock::Clock;
use keeper::Keeper;
use line::with_line;
pub use options::{Compress, Options, Overflow};
use output::{Output, Stream};
use queue::Queue;
use series::Series;
use writer::{Shared, Writer};

/// Writes this crate's events as JSON lines.
///
/// Every other event passes by. Made together with a [`Flush`], which must live as long as the program.
///
/// # What can be lost
///
/// Lines that have been in memory for less than [`Options::interval`] when the process is killed, and
/// with a power failure what the system had not yet brought to the disk ([`Options::sync`]). A line is
/// in the log whole or not at all, and never twice. Lines that a fault or a full buffer costs are
/// counted, in [`Stats`] and in the log itself. An output that is not blocking and takes nothing at the
/// moment (a pipe with a slow reader) is no fault, but a slow disk. At the end it has [`Options::linger`].
///
/// # Privacy
///
/// A line holds the declared fields in the order of the catalogue and nothing else.
pub struct JsonLines {
    shared: Arc<Shared>,
    logs: Box<[String]>,
    handle: Arc<Handle>,
}

impl JsonLines {
    /// Writes the records of every log to one writer, such as standard output.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn to_writer<W: io::Write + Send + 'static>(
        writer: W,
        options: Options,
    ) -> io::Result<(Self, Flush)> {
        let sink = Sink::new(&options, 1);
        let thread = sink.write(vec![Output::Stream(Stream::new(writer))], &options)?;
        Ok(sink.handles(Box::new([]), vec![thread]))
    }

    /// Writes each log to its own folder `DIR/LOG`, in files named `LOG-2026-01-02T03.jsonl` (UTC), and
    /// deletes every file when the retention of its log is over.
    ///
    /// A file covers an hour, or a day if the retention is 24 days or more (a minute or a second if it
    /// is less than a day), so that a line lives at most 1/24 longer than the retention, and never less.
    /// Several processes may share a folder: each writes files of its own, told apart by a number
    /// before `.jsonl`. Folders are made with mode 0700, files with 0600.
    ///
    /// # Errors
    ///
    /// When a log's folder cannot be made or read, a file that an earlier process has left there cannot be mended
    /// or deleted, or the system gives no thread. Later faults are counted, reported once and tried again.
    pub fn to_folder(
        dir: impl AsRef<Path>,
        policy: &Policy,
        options: Options,
    ) -> io::Result<(Self, Flush)> {
        let logs: Vec<(String, Duration)> = policy.retentions().collect();
        for (log, _) in &logs {
            let folder = dir.as_ref().join(log);
            file::make_folder(&folder).map_err(|error| at(&folder, &error))?;
        }
        let (sink, clock) = (Sink::new(&options, logs.len()), Clock::new());
        let (finished, news) = mpsc::channel();
        let keep = |(log, retention): &(String, Duration)| {
            Retention::new(dir.as_ref().join(log), log.clone(), *retention)
        };
        let keeper = Keeper::new(
            logs.iter().map(keep).collect(),
            clock,
            options.compress,
            Arc::clone(&sink.shared),
        )?;
        let write = |(log, retention): &(String, Duration)| {
            let series = Series::new(dir.as_ref().join(log), log.clone(), *retention, clock);
            Output::Series(Box::new(
                series
                    .with_limits(options.max_file, options.sync.is_some())
                    .telling(finished.clone()),
            ))
        };
        let outputs = logs.iter().map(write).collect();
        drop(finished);
        let keeping = thread::Builder::new()
            .name("privacy-log-keeper".into())
            .spawn(move || keeper.run(&news))?;
        let writing = sink.write(outputs, &options)?;
        Ok(sink.handles(logs.into_iter().map(|(log, _)| log).collect(), vec![writing, keeping]))
    }

    /// What has been written and what has not.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.stats()
    }

    fn lane(&self, log: &str) -> Option<usize> {
        if self.logs.is_empty() { Some(0) } else { self.logs.iter().position(|name| name == log) }
    }
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(site) = Site::of(event.metadata()) else {
            return;
        };
        let log = site.log();
        match self.lane(log) {
            Some(lane) => {
                let push = |line: &[u8]| self.shared.queue.push(lane, log, line);
                line_of(event, push).unwrap_or_else(|| with_line(event, site.keys(), push));
            }
            None => self.shared.queue.refuse(),
        }
    }
}

impl fmt::Debug for JsonLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonLines").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Keeps the promise that what was handed over gets written: flushes when dropped.
///
/// Hold it in `main` until the server has stopped. Dropping it waits until everything handed over before
/// is written, and tries again while an output fails or takes nothing, for [`Options::linger`] at most;
/// what is left then is given up and counted as dropped. (A pipe that nobody reads any more is not waited
/// for.) Lines that come later are still written while the program runs, but nothing waits for them.
#[must_use = "dropped at once, it cannot wait for the last lines; bind it in `main`"]
pub struct Flush {
    handle: Arc<Handle>,
}

impl Flush {
    /// Waits until everything handed over before is written, and synced if the options ask for syncing.
    ///
    /// # Errors
    ///
    /// When an output fails, or has not taken its lines after [`Options::linger`]; they are kept and tried
    /// again.
    pub fn flush(&self) -> io::Result<()> {
        self.handle.shared.flush()
    }

    /// Does what dropping does, and says what came of it: what was not written in time is in `dropped`, and
    /// in `queued` what an output has begun to take or does not let go of.
    #[must_use = "it says whether lines were lost"]
    pub fn finish(self) -> Stats {
        self.last();
        self.stats()
    }

    fn last(&self) {
        // What is lost is counted, and reported if anybody listens.
        let _ = self.handle.shared.finish();
    }

    /// Closes the open files and goes on in files of the same names, for use after they were moved away.
    ///
    /// Not needed for correctness: a file that was moved or removed is noticed before the next write.
    pub fn reopen(&self) {
        self.handle.shared.reopen();
    }

    /// What has been written and what has not.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.stats()
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        self.last();
    }
}

impl fmt::Debug for Flush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flush").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Counts since the start; a record is in exactly one of `written`, `dropped` and `queued`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records that the output has taken.
    pub written: u64,
    /// Records given up, because the buffer was full or a fault lasted too long.
    pub dropped: u64,
    /// Records that wait in memory.
    pub queued: u64,
    /// Attempts to write, open or sync that failed.
    pub failed: u64,
    /// Bytes of the records that were written.
    pub bytes: u64,
    /// Lines cut off at the start because a crash had left them unfinished.
    pub torn: u64,
    /// Files deleted because their retention was over.
    pub deleted: u64,
}

/// The same error with the folder's name in it.
pub(crate) fn at(folder: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("log folder {}: {error}", folder.display()))
}

/// What is there before the threads are.
struct Sink {
    shared: Arc<Shared>,
}

impl Sink {
    fn new(options: &Options, lanes: usize) -> Self {
        let queue = Queue::new(lanes, options.buffer, options.overflow);
        Self { shared: Arc::new(Shared::new(queue, options.linger)) }
    }

    fn write(&self, outputs: Vec<Output>, options: &Options) -> io::Result<JoinHandle<()>> {
        let writer = Writer::new(Arc::clone(&self.shared), outputs, options.interval, options.sync);
        let thread =
            thread::Builder::new().name("privacy-log-writer".into()).spawn(|| writer.run())?;
        self.shared.queue.set_writer(thread.thread().clone());
        Ok(thread)
    }

    fn handles(self, logs: Box<[String]>, threads: Vec<JoinHandle<()>>) -> (JsonLines, Flush) {
        let handle = Arc::new(Handle { shared: Arc::clone(&self.shared), threads });
        let flush = Flush { handle: Arc::clone(&handle) };
        (JsonLines { shared: self.shared, logs, handle }, flush)
    }
}

/// Ends the threads when the layer and the guard are both gone.
struct Handle {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Handle {
    fn stats(&self) -> Stats {
        let counts = &self.shared.counts;
        let load = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        // Read before the tally, so that a record in between counts as queued rather than twice.
        let (written, lost) = (load(&counts.written), load(&counts.lost));
        let tally = self.shared.queue.tally();
        Stats {
            written,
            dropped: tally.dropped + lost,
            queued: tally.accepted.saturating_sub(written + lost),
            failed: load(&counts.failed),
            bytes: load(&counts.bytes),
            torn: load(&counts.torn),
            deleted: load(&counts.deleted),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let is_own = |thread: &JoinHandle<()>| thread.thread().id() == thread::current().id();
        if self.threads.iter().any(is_own) {
            self.shared.tell_to_stop();
        } else if self.shared.stop() {
            for thread in self.threads.drain(..) {
                // A panic there has been printed by the panic hook; here it changes nothing.
                let _ = thread.join();
            }
        }
    }
}

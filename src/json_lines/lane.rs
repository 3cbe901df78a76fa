//! One output of the writing thread, what waits for it, and what is wrong with it.
//!
//! The rule: a line leaves memory only when the output has taken it or when it has been counted as
//! missing, and a count of missing lines becomes a record as soon as the output takes lines again. A
//! fault is counted each time, reported once, and tried again until it is over.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use super::output::Output;
use super::queue::Chunk;
use super::writer::{Shared, add};
use crate::json;

const RETRY: Duration = Duration::from_millis(200);
const NOTE: Duration = Duration::from_secs(1);

/// One output and what is known about it.
pub(crate) struct Lane {
    pub(crate) output: Output,
    written: usize,
    missing: BTreeMap<String, u64>,
    noted: Option<Instant>,
    fault: Option<Fault>,
    unsynced: Option<Instant>,
}

struct Fault {
    kind: io::ErrorKind,
    retry: Instant,
}

impl Lane {
    pub(crate) const fn new(output: Output) -> Self {
        Self {
            output,
            written: 0,
            missing: BTreeMap::new(),
            noted: None,
            fault: None,
            unsynced: None,
        }
    }

    pub(crate) fn turn(
        &mut self,
        backlog: &mut VecDeque<Chunk>,
        urgent: bool,
        room: usize,
        shared: &Shared,
    ) {
        if let Err(error) = self.output.tick() {
            self.fail(&error, shared);
        }
        let wait = self.fault.as_ref().is_some_and(|fault| !urgent && Instant::now() < fault.retry);
        if !wait && (!backlog.is_empty() || !self.missing.is_empty() || self.fault.is_some()) {
            match self.write(backlog, urgent, shared) {
                Ok(()) => self.heal(),
                Err(error) => self.fail(&error, shared),
            }
        }
        if self.fault.is_some() {
            self.shed(backlog, room, shared);
        }
    }

    fn write(
        &mut self,
        backlog: &mut VecDeque<Chunk>,
        urgent: bool,
        shared: &Shared,
    ) -> io::Result<()> {
        while let Some(chunk) = backlog.front() {
            let rest = chunk.get(self.written..).unwrap_or_default();
            let (done, result) = self.output.put(rest);
            self.count(rest.get(..done).unwrap_or_default(), shared);
            self.written += done;
            if self.written >= chunk.len() {
                self.written = 0;
                backlog.pop_front().into_iter().for_each(|chunk| shared.queue.give(chunk));
            }
            result?;
        }
        self.note(urgent)?;
        self.output.flush()
    }

    fn count(&mut self, taken: &[u8], shared: &Shared) {
        if !taken.is_empty() {
            self.unsynced.get_or_insert_with(Instant::now);
            add(&shared.counts.written, lines(taken));
            add(&shared.counts.bytes, taken.len() as u64);
        }
    }

    pub(crate) fn fault(&self) -> Option<io::ErrorKind> {
        self.fault.as_ref().map(|fault| fault.kind)
    }

    /// Writes how many records are missing, at most once a second while more are being lost.
    fn note(&mut self, urgent: bool) -> io::Result<()> {
        let soon = self.noted.is_some_and(|noted| noted.elapsed() < NOTE);
        if self.missing.is_empty() || (soon && !urgent) {
            return Ok(());
        }
        self.noted = Some(Instant::now());
        while let Some((log, count)) = self.missing.first_key_value() {
            let (done, result) = self.output.put_whole(&note(log, *count));
            if done {
                self.missing.pop_first();
            }
            result?;
        }
        self.unsynced.get_or_insert_with(Instant::now);
        Ok(())
    }

    pub(crate) fn sync(&mut self, every: Option<Duration>, urgent: bool, shared: &Shared) {
        let due = |since: Instant| every.is_some_and(|every| urgent || since.elapsed() >= every);
        if self.unsynced.is_some_and(due) {
            self.unsynced = None;
            if let Err(error) = self.output.sync() {
                self.fail(&error, shared);
            }
        }
    }

    pub(crate) fn miss(&mut self, log: &str, count: u64) {
        match self.missing.get_mut(log) {
            Some(sum) => *sum += count,
            None => drop(self.missing.insert(log.to_owned(), count)),
        }
    }

    /// Gives up the newest lines, so that one broken output does not take all the room.
    fn shed(&mut self, backlog: &mut VecDeque<Chunk>, room: usize, shared: &Shared) {
        while backlog.len() > room {
            let Some(chunk) = backlog.pop_back() else {
                return;
            };
            add(&shared.counts.lost, lines(&chunk));
            for line in chunk.split_inclusive(|&byte| byte == b'\n') {
                self.miss(log_of(line), 1);
            }
            shared.queue.give(chunk);
        }
    }

    fn fail(&mut self, error: &io::Error, shared: &Shared) {
        add(&shared.counts.failed, 1);
        let first = self.fault.is_none();
        self.fault = Some(Fault { kind: error.kind(), retry: Instant::now() + RETRY });
        if first {
            // Whoever waits for room must be let go before other code runs on this thread.
            shared.queue.set_moving(false);
            let (log, error) = (self.output.log(), error.kind().to_string());
            tracing::error!(target: "tower_privacy_log", log, error, "log lines cannot be written");
        }
    }

    fn heal(&mut self) {
        if self.fault.take().is_some() {
            tracing::info!(target: "tower_privacy_log", log = self.output.log(), "log lines are written again");
        }
    }

    /// How long the lane can do without a turn; none when only a line can make work.
    pub(crate) fn rests(&self, sync: Option<Duration>) -> Option<Duration> {
        let retry = (self.fault.is_some() || !self.missing.is_empty()).then_some(RETRY);
        let synced = sync.and_then(|every| Some(every.saturating_sub(self.unsynced?.elapsed())));
        [retry, synced, self.output.rests()].into_iter().flatten().min()
    }
}

fn note(log: &str, count: u64) -> Vec<u8> {
    let mut record = b"{\"log\":\"".to_vec();
    json::escape(log, &mut record);
    record.extend_from_slice(b"\",\"dropped\":");
    record.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    record.extend_from_slice(b"}\n");
    record
}

/// The value of `log` in one of our own lines, where only the timestamp may come first.
fn log_of(line: &[u8]) -> &str {
    const KEY: &[u8] = b"\"log\":\"";
    let start = line
        .windows(KEY.len())
        .position(|window| window == KEY)
        .map_or(line.len(), |at| at + KEY.len());
    let value = line.get(start..).unwrap_or_default();
    let end = value.iter().position(|&byte| byte == b'"').unwrap_or(value.len());
    std::str::from_utf8(value.get(..end).unwrap_or_default()).unwrap_or_default()
}

/// Counted in blocks that fit a byte, which the compiler turns into vector instructions.
fn lines(bytes: &[u8]) -> u64 {
    let count = |block: &[u8]| block.iter().map(|&byte| u8::from(byte == b'\n')).sum::<u8>();
    bytes.chunks(128).map(count).map(u64::from).sum()
}

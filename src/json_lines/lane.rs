//! One output of the writing thread, what waits for it, and what is wrong with it.
//!
//! The rule: a line leaves memory only when the output has taken it or when it has been counted as
//! missing, and a count of missing lines becomes a record as soon as the output takes lines again. A
//! fault is counted each time, reported once, and tried again until it is over. An output that would
//! block is no fault: it is slow, and asked again soon.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use super::output::Output;
use super::queue::Chunk;
use super::writer::{Shared, add};
use crate::json;

const RETRY: Duration = Duration::from_millis(200);
const NOTE: Duration = Duration::from_secs(1);
/// How soon an output that would block is asked again, and how late after many tries in vain.
const SOON: Duration = Duration::from_millis(1);
const LATE: Duration = Duration::from_millis(100);

/// One output and what is known about it.
pub(crate) struct Lane {
    pub(crate) output: Output,
    written: usize,
    missing: BTreeMap<String, u64>,
    noted: Option<Instant>,
    fault: Option<Fault>,
    busy: Option<Duration>,
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
            busy: None,
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
        if !wait && (!backlog.is_empty() || !self.missing.is_empty() || self.is_stuck()) {
            let before = (backlog.len(), self.written);
            match self.write(backlog, urgent, shared) {
                Ok(()) => self.heal(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.pause((backlog.len(), self.written) != before);
                }
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

    /// Why the output has not taken everything.
    pub(crate) fn obstacle(&self) -> Option<io::ErrorKind> {
        self.fault().or_else(|| self.busy.map(|_| io::ErrorKind::WouldBlock))
    }

    /// Whether a flush gives the output more time; only the last one waits for a fault to end.
    pub(crate) fn may_recover(&self, last: bool) -> bool {
        match self.fault() {
            Some(kind) => last && kind != io::ErrorKind::BrokenPipe,
            None => self.busy.is_some(),
        }
    }

    const fn is_stuck(&self) -> bool {
        self.fault.is_some() || self.busy.is_some()
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
            match self.output.sync() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.pause(false),
                Err(error) => self.fail(&error, shared),
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
            self.lose(&chunk, shared);
            shared.queue.give(chunk);
        }
    }

    /// Gives up every line, but for one that the output has begun to take.
    pub(crate) fn give_up(&mut self, backlog: &mut VecDeque<Chunk>, shared: &Shared) {
        let Some(kind) = self.obstacle() else { return };
        let mut lost = 0;
        while let Some(mut chunk) = backlog.pop_back() {
            let begun = if backlog.is_empty() { begun(&chunk, self.written) } else { 0 };
            lost += self.lose(chunk.get(begun..).unwrap_or_default(), shared);
            chunk.truncate(begun);
            if self.written < begun {
                backlog.push_back(chunk);
                break;
            }
            shared.queue.give(chunk);
        }
        if backlog.is_empty() {
            self.written = 0;
        }
        if lost > 0 {
            shared.queue.set_moving(false);
            let (log, error) = (self.output.log(), kind.to_string());
            tracing::error!(target: "tower_privacy_log", log, error, dropped = lost, "the last log lines could not be written in time");
        }
    }

    fn lose(&mut self, bytes: &[u8], shared: &Shared) -> u64 {
        let count = lines(bytes);
        add(&shared.counts.lost, count);
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.miss(log_of(line), 1);
        }
        count
    }

    fn pause(&mut self, moved: bool) {
        let longer = |nap: Duration| (nap * 2).min(LATE);
        self.busy = Some(self.busy.filter(|_| !moved).map_or(SOON, longer));
    }

    fn fail(&mut self, error: &io::Error, shared: &Shared) {
        add(&shared.counts.failed, 1);
        let first = self.fault.is_none();
        self.busy = None;
        self.fault = Some(Fault { kind: error.kind(), retry: Instant::now() + RETRY });
        if first {
            // Whoever waits for room must be let go before other code runs on this thread.
            shared.queue.set_moving(false);
            let (log, error) = (self.output.log(), error.kind().to_string());
            tracing::error!(target: "tower_privacy_log", log, error, "log lines cannot be written");
        }
    }

    fn heal(&mut self) {
        self.busy = None;
        if self.fault.take().is_some() {
            tracing::info!(target: "tower_privacy_log", log = self.output.log(), "log lines are written again");
        }
    }

    /// How long the lane can do without a turn; none when only a line can make work.
    pub(crate) fn rests(&self, sync: Option<Duration>) -> Option<Duration> {
        let retry = (self.fault.is_some() || !self.missing.is_empty()).then_some(RETRY);
        let synced = sync.and_then(|every| Some(every.saturating_sub(self.unsynced?.elapsed())));
        [retry, self.busy, synced, self.output.rests()].into_iter().flatten().min()
    }
}

/// Where the line ends that byte `written` is in the middle of.
fn begun(chunk: &[u8], written: usize) -> usize {
    let Some((taken, rest)) = chunk.split_at_checked(written) else { return 0 };
    if taken.last().is_none_or(|&byte| byte == b'\n') {
        return written;
    }
    rest.iter().position(|&byte| byte == b'\n').map_or(chunk.len(), |at| written + at + 1)
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

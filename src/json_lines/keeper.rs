//! The thread that looks after finished files: deletes them in time and compresses them.
//!
//! The rule: it works at the start, whenever a file is finished, when the next file is due, and at least
//! once a minute, also when no requests come. What it did is reported as an event with names of logs
//! and counts only. It never touches the file that is being written.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tracing::Dispatch;
use tracing::dispatcher::get_default;
use tracing::subscriber::NoSubscriber;

use super::clock::Clock;
use super::writer::{Shared, add};
use super::{Compress, at};
use crate::retention::Retention;

const SHORTEST: Duration = Duration::from_millis(5);
const UNREPORTED: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

pub(crate) struct Keeper {
    shelves: Vec<Shelf>,
    clock: Clock,
    compress: Compress,
    shared: Arc<Shared>,
}

/// One log, and what has not been reported about it.
struct Shelf {
    retention: Retention,
    deleted: u64,
    torn: u64,
    failing: bool,
}

impl Keeper {
    /// Mends and deletes what an earlier process has left, before anything is written.
    pub(crate) fn new(
        logs: Vec<Retention>,
        clock: Clock,
        compress: Compress,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let shelf = |retention| Shelf { retention, deleted: 0, torn: 0, failing: false };
        let mut keeper =
            Self { shelves: logs.into_iter().map(shelf).collect(), clock, compress, shared };
        for shelf in &mut keeper.shelves {
            let adopted = shelf.adopt(&clock, &keeper.shared);
            adopted.map_err(|error| at(shelf.retention.folder(), &error))?;
        }
        Ok(keeper)
    }

    pub(crate) fn run(mut self, finished: &Receiver<()>) {
        loop {
            let wait = self.look().clamp(SHORTEST, LONGEST);
            match finished.recv_timeout(wait) {
                Ok(()) => finished.try_iter().for_each(drop),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Returns how long nothing is due.
    fn look(&mut self) -> Duration {
        let mut wait = LONGEST;
        for shelf in &mut self.shelves {
            let result = shelf.prune(&self.clock, &self.shared);
            if let Ok(Some(next)) = &result {
                wait = wait.min(*next);
            }
            let packed = pack(self.compress, &shelf.retention, &self.clock);
            shelf.note(&result.map(drop).and(packed), &self.shared);
            if !shelf.report() {
                wait = wait.min(UNREPORTED);
            }
        }
        wait
    }
}

impl Shelf {
    fn adopt(&mut self, clock: &Clock, shared: &Shared) -> io::Result<()> {
        self.torn = self.retention.adopt_at(clock.now())?;
        add(&shared.counts.torn, self.torn);
        self.prune(clock, shared).map(drop)
    }

    fn prune(&mut self, clock: &Clock, shared: &Shared) -> io::Result<Option<Duration>> {
        let pruned = self.retention.prune_at(clock.now())?;
        self.deleted += pruned.deleted;
        add(&shared.counts.deleted, pruned.deleted);
        match pruned.fault {
            Some(fault) => Err(fault),
            None => Ok(pruned.next),
        }
    }

    /// Counts a fault each time and reports it once.
    fn note(&mut self, result: &io::Result<()>, shared: &Shared) {
        let Err(error) = result else {
            self.failing = false;
            return;
        };
        add(&shared.counts.failed, 1);
        if !std::mem::replace(&mut self.failing, true) {
            let (log, error) = (self.retention.log(), error.kind().to_string());
            tracing::error!(target: "tower_privacy_log", log, error, "log files cannot be looked after");
        }
    }

    /// False while there is something to report and nobody to report it to.
    fn report(&mut self) -> bool {
        if (self.deleted, self.torn) == (0, 0) {
            return true;
        }
        if get_default(Dispatch::is::<NoSubscriber>) {
            return false;
        }
        let (log, deleted, torn) = (self.retention.log(), self.deleted, self.torn);
        if deleted > 0 {
            tracing::info!(target: "privacy_log::retention", log, deleted, "log files past their retention are deleted");
        }
        if torn > 0 {
            tracing::warn!(target: "tower_privacy_log", log, torn, "unfinished lines of a crash are cut off");
        }
        (self.deleted, self.torn) = (0, 0);
        true
    }
}

#[cfg_attr(
    not(feature = "gzip"),
    expect(
        clippy::unnecessary_wraps,
        clippy::missing_const_for_fn,
        reason = "compressing can fail"
    )
)]
fn pack(compress: Compress, retention: &Retention, clock: &Clock) -> io::Result<()> {
    match compress {
        Compress::No => {
            let _ = (retention, clock);
            Ok(())
        }
        #[cfg(feature = "gzip")]
        Compress::Gzip => super::gzip::pack_at(retention, clock.now()),
    }
}

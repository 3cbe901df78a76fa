//! The time that files are named and aged by.
//!
//! The rule: the wall clock is believed once, at the start; from then on time is counted by a clock that
//! nobody can set and that goes on while the machine sleeps. Setting the wall clock of a running
//! process therefore makes no file older or younger; the next start believes the new time.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

#[cfg(any(target_os = "linux", target_os = "android"))]
const COUNTING: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const COUNTING: ClockId = ClockId::Monotonic;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    wall: Duration,
    start: Duration,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self::new_at(wall.unwrap_or_default(), counted())
    }

    pub(crate) const fn new_at(wall: Duration, counted: Duration) -> Self {
        Self { wall, start: counted }
    }

    /// Time since 1970 (UTC).
    pub(crate) fn now(&self) -> Duration {
        self.now_at(counted())
    }

    pub(crate) fn now_at(&self, counted: Duration) -> Duration {
        self.wall + counted.saturating_sub(self.start)
    }
}

fn counted() -> Duration {
    Duration::try_from(clock_gettime(COUNTING)).unwrap_or_default()
}

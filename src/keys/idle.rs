//! The thread that turns keys when no request does, so that a key ends in time in an idle process, too.
//!
//! The rule: it holds nothing while it sleeps, so that dropping the keys ends it, and it decides by the wall
//! clock at every waking. A nap is short enough for a clock that was set and a machine that was suspended,
//! whose sleep no timer counts. Without it (the system gives no thread) requests turn the keys.

use super::{Keys, Ring};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const LONGEST: Duration = Duration::from_secs(60);
/// How soon it tries again when there was no key for the moment.
const AGAIN: Duration = Duration::from_secs(1);

impl Keys {
    /// Turns the keys from now on without being asked, until they are dropped; `tell` is called after each
    /// look, to pass on a [`Keys::warning`].
    pub(crate) fn turn_unasked(&self, tell: impl Fn(&Self) + Send + 'static) {
        let ring = Arc::downgrade(&self.0);
        let thread = thread::Builder::new().name("privacy-log-idle".into());
        if let Ok(thread) = thread.spawn(move || run(&ring, &tell)) {
            let _ = self.0.idle.set(thread.thread().clone());
        }
    }

    /// Turns what is due; returns how long nothing will be.
    fn look_at(&self, now: SystemTime) -> Duration {
        drop(self.current(now));
        let until = Duration::from_secs(self.0.newest.load().until);
        let left = UNIX_EPOCH.checked_add(until).map(|until| until.duration_since(now));
        match left {
            Some(Ok(left)) => left.min(LONGEST),
            Some(Err(_)) => AGAIN,
            None => LONGEST,
        }
    }
}

fn run(ring: &Weak<Ring>, tell: &impl Fn(&Keys)) {
    while let Some(ring) = ring.upgrade() {
        let keys = Keys(ring);
        let nap = keys.look_at(SystemTime::now());
        tell(&keys);
        drop(keys);
        thread::park_timeout(nap);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Some(idle) = self.idle.get() {
            idle.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{DAY, MINUTE, day, epoch_of, settle, stored, weekly};
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;
    use tempfile::TempDir;

    const SECOND: Duration = Duration::from_secs(1);

    fn wait_for(what: impl Fn() -> bool) {
        let start = Instant::now();
        while !what() {
            assert!(start.elapsed() < Duration::from_secs(10), "took too long");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_look_turns_what_is_due_and_naps_until_the_next_change_or_a_minute() {
        let keys = Keys::memory(DAY, day(10)).unwrap();
        let first = Arc::downgrade(&keys.0.newest.load_full());
        assert_eq!(keys.look_at(day(10)), LONGEST);
        assert_eq!(keys.look_at(day(11) - Duration::from_millis(1_500)), SECOND * 3 / 2);
        assert!(first.upgrade().is_some(), "its time is not over");
        assert_eq!(keys.look_at(day(11)), LONGEST);
        assert_eq!(keys.0.newest.load().number, 11);
        assert!(first.upgrade().is_none(), "the key that was due is destroyed");
    }

    #[test]
    fn a_look_moves_the_file_forward() {
        let folder = TempDir::new().unwrap();
        let path = stored(&folder, "k", DAY, 100);
        let keys = weekly(&path, day(110));
        for number in 111..120 {
            keys.look_at(day(number));
            settle(&keys);
            assert_eq!(epoch_of(&path), number - 6);
        }
    }

    #[test]
    fn a_clock_that_went_back_or_leapt_is_looked_at_again_soon() {
        let folder = TempDir::new().unwrap();
        let keys = weekly(&stored(&folder, "k", DAY, 100), day(110));
        for before in [day(109), day(3), UNIX_EPOCH, UNIX_EPOCH - DAY] {
            assert_eq!(keys.look_at(before), LONGEST);
        }
        assert_eq!(keys.look_at(day(200_000)), AGAIN);
        assert_eq!(keys.0.newest.load().number, 110);
        assert_eq!(keys.look_at(day(111)), LONGEST);
        assert_eq!(keys.0.newest.load().number, 111);
    }

    #[test]
    fn a_machine_that_was_suspended_has_the_present_key_after_one_look() {
        let folder = TempDir::new().unwrap();
        let path = stored(&folder, "k", MINUTE, 1_000);
        let keys = Keys::file(&path, MINUTE, MINUTE * 10, UNIX_EPOCH + MINUTE * 1_000).unwrap();
        let later = UNIX_EPOCH + MINUTE * 101_000;
        assert_eq!(keys.look_at(later), AGAIN, "a long turn is done beside it");
        settle(&keys);
        assert_eq!(keys.look_at(later), LONGEST);
        assert_eq!((keys.0.newest.load().number, epoch_of(&path)), (101_000, 100_991));
    }

    #[test]
    fn an_epoch_without_an_end_is_no_reason_to_hurry() {
        let last = Keys::memory(Duration::from_secs(u64::MAX), day(1)).unwrap();
        assert_eq!(last.look_at(day(1)), LONGEST);
    }

    #[test]
    fn keys_turn_in_time_without_a_request_and_the_thread_ends_with_them() {
        let keys = Keys::memory(SECOND, SystemTime::now()).unwrap();
        let first = Arc::downgrade(&keys.0.newest.load_full());
        let (here, looks) = (Arc::new(()), Arc::new(AtomicUsize::new(0)));
        let (there, looked) = (Arc::clone(&here), Arc::clone(&looks));
        keys.turn_unasked(move |_| {
            looked.fetch_add(1, Ordering::Relaxed);
            let _ = &there;
        });
        wait_for(|| first.upgrade().is_none());
        let second = Arc::downgrade(&keys.0.newest.load_full());
        wait_for(|| second.upgrade().is_none());
        assert_eq!(Arc::strong_count(&here), 2, "the thread goes on");
        let last = Arc::downgrade(&keys.0.newest.load_full());
        drop(keys);
        wait_for(|| Arc::strong_count(&here) == 1);
        assert!(last.upgrade().is_none(), "no key outlives its keys");
        assert!(looks.load(Ordering::Relaxed) < 100, "it sleeps in between");
    }

    #[test]
    fn a_thread_that_naps_for_a_minute_ends_at_once() {
        let keys = Keys::memory(DAY, SystemTime::now()).unwrap();
        let here = Arc::new(());
        let there = Arc::clone(&here);
        keys.turn_unasked(move |_| drop(Arc::clone(&there)));
        thread::sleep(Duration::from_millis(50));
        drop(keys);
        wait_for(|| Arc::strong_count(&here) == 1);
    }
}

//! The keys in use: the newest epoch for every request, and what turns it when its time is over.
//!
//! A key comes from memory (random, one at a time) or from a ratchet that only turns forward. The process
//! holds the newest link alone: what is older and still inside `forget` is in the key file and nowhere
//! else. No request waits for a lock, a disk or a long turn (rule A3: then its field is absent). Nothing
//! here reads a clock; requests bring the time along, and in a process without any `idle` does.

mod idle;

use crate::key_error::{Fault, KeyError};
use crate::pseudonym::{Chain, Epoch};
use crate::{key_file, key_text};
use arc_swap::{ArcSwap, Guard};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::{self, Thread};
use std::time::{Duration, SystemTime};
use std::{fmt, mem};
use zeroize::Zeroizing;

/// Steps that a start makes up for: 12 days of `rotate = "1s"`, two years of `"1m"`, a century of `"1h"`;
/// less than a second, or ten where the processor has no SHA instructions.
pub(crate) const STEPS: u64 = 1 << 20;
/// Steps that a request may take itself, half a millisecond; more is done beside it.
const INLINE: u64 = 1 << 10;
/// A clock that leaps further than this under a running ratchet is wrong until a start confirms it.
const LEAP: u64 = 366 * 86_400;

/// The keys of one policy; a clone shares them.
#[derive(Clone)]
pub(crate) struct Keys(Arc<Ring>);

/// The newest epoch, borrowed without touching a shared counter.
pub(crate) type Current = Guard<Arc<Epoch>>;

impl Keys {
    /// Keys that exist in this process only: an independent random one per epoch, the newest kept.
    ///
    /// # Errors
    /// `rotate` is not whole seconds, or the system gives no randomness.
    pub(crate) fn memory(rotate: Duration, now: SystemTime) -> Result<Self, KeyError> {
        let place = "keys in memory".to_owned();
        let first = whole(rotate).and_then(|rotate| Epoch::random(unix(now) / rotate, rotate));
        let first = first.map_err(|fault| KeyError::new(&place, fault))?;
        Ok(Self(Arc::new(Ring::new(first, Source::Random, Origin::Memory, place))))
    }

    /// Keys from a file, which is moved forward at once and at every epoch change where it can be written.
    ///
    /// A running process does not follow a clock that leaps over a year: it has no key until the clock is
    /// back, and nothing is lost. A shorter wrong leap destroys what it passes, which nothing can undo: the
    /// others go on with the keys they hold, say so, and a start refuses, until there is a new key.
    ///
    /// # Errors
    /// The file is missing, too open, malformed, of another `rotate`, ahead of the clock, or so far
    /// behind it that making up for it would hold the start. Not being able to write is a [`Keys::warning`].
    pub(crate) fn file(
        path: &Path,
        rotate: Duration,
        forget: Duration,
        now: SystemTime,
    ) -> Result<Self, KeyError> {
        let span = Span::new(rotate, forget).map_err(|fault| KeyError::file(path, fault))?;
        let (head, late) = key_file::start(path, span, unix(now))?;
        let (origin, place) =
            (Origin::File(path.to_owned(), span), format!("key file {}", path.display()));
        let ring = Ring::new(head.epoch(span.rotate), Source::Ratchet(head), origin, place);
        if let Some(warning) = late {
            ring.warnings.add(warning);
        }
        Ok(Self(Arc::new(ring)))
    }

    /// Keys from a variable that holds the text of a key file; it is never written back.
    ///
    /// # Errors
    /// As for [`Keys::file`].
    pub(crate) fn env(
        name: &str,
        rotate: Duration,
        forget: Duration,
        now: SystemTime,
    ) -> Result<Self, KeyError> {
        let place = format!("key variable {name}");
        let opened = Span::new(rotate, forget).and_then(|span| {
            let text = std::env::var_os(name).ok_or(Fault::Unset)?;
            let text = Zeroizing::new(text.into_encoded_bytes());
            let link = key_text::parse(&text)?;
            link.due(span, unix(now)).map(|()| (span, link.chain))
        });
        let (span, mut head) = opened.map_err(|fault| KeyError::new(&place, fault))?;
        let origin = Origin::Variable(head.epoch, span);
        head.advance(unix(now) / span.rotate);
        let ring = Ring::new(head.epoch(span.rotate), Source::Ratchet(head), origin, place);
        ring.write_forward();
        Ok(Self(Arc::new(ring)))
    }

    /// The key to hash with at `now`: a load, unless the epoch changed since the last call.
    ///
    /// A clock that went back gets the newest key and its number. `None` means that there is no key for
    /// this moment, so nothing may be written: no randomness, a ratchet still catching up, or a leap.
    pub(crate) fn current(&self, now: SystemTime) -> Option<Current> {
        let seconds = unix(now);
        let newest = self.0.newest.load();
        if newest.serves(seconds) {
            return Some(newest);
        }
        Ring::turn(&self.0, seconds)
    }

    /// The next thing the operator must hear; each kind is said once. A load when there is none.
    pub(crate) fn warning(&self) -> Option<KeyError> {
        self.0.warnings.next()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys { .. }")
    }
}

/// How long a key is used, and how many epochs, the present one included, can still be computed.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) rotate: u64,
    keep: u64,
}

impl Span {
    /// Counts `forget` from the start of an epoch, so that nothing written outlives it; at least the present is kept.
    pub(crate) fn new(rotate: Duration, forget: Duration) -> Result<Self, Fault> {
        let rotate = whole(rotate)?;
        let keep = (forget.as_secs() / rotate).max(1);
        if keep > STEPS { Err(Fault::Many(keep)) } else { Ok(Self { rotate, keep }) }
    }

    /// The oldest epoch whose key may exist while `epoch` is the present one.
    pub(crate) const fn oldest(self, epoch: u64) -> u64 {
        epoch.saturating_sub(self.keep - 1)
    }
}

struct Ring {
    rotate: u64,
    newest: ArcSwap<Epoch>,
    source: Mutex<Source>,
    origin: Origin,
    place: String,
    tended: AtomicBool,
    warnings: Warnings,
    idle: OnceLock<Thread>,
}

/// What the next key is made from.
enum Source {
    Random,
    Ratchet(Chain),
}

/// Where the first key came from, and what is to be kept forward there.
enum Origin {
    Memory,
    Variable(u64, Span),
    File(PathBuf, Span),
}

impl Ring {
    fn new(first: Epoch, source: Source, origin: Origin, place: String) -> Self {
        let rotate = first.rotate;
        let (newest, source) = (ArcSwap::from_pointee(first), Mutex::new(source));
        Self {
            rotate,
            newest,
            source,
            origin,
            place,
            tended: AtomicBool::new(false),
            warnings: Warnings::default(),
            idle: OnceLock::new(),
        }
    }

    #[cold]
    fn turn(ring: &Arc<Self>, seconds: u64) -> Option<Current> {
        let newest = ring.newest.load();
        let epoch = seconds / ring.rotate;
        if seconds < newest.until {
            ring.warn(Fault::Back { newest: newest.number, clock: epoch });
            return Some(newest);
        }
        let ratchet = !matches!(ring.origin, Origin::Memory);
        if ratchet && seconds.saturating_sub(newest.until) >= LEAP {
            ring.warn(Fault::Leap { newest: newest.number, clock: epoch });
            return None;
        }
        if ratchet && epoch.saturating_sub(newest.number) > INLINE {
            Self::tend(ring, epoch);
            return None;
        }
        ring.turn_to(epoch)?;
        Self::tend(ring, epoch);
        let newest = ring.newest.load();
        (newest.number.saturating_add(1) >= epoch).then_some(newest)
    }

    /// Moves to `epoch` unless another thread is about to; then the epoch just past still serves.
    fn turn_to(&self, epoch: u64) -> Option<()> {
        let mut source = match self.source.try_lock() {
            Ok(source) => source,
            Err(TryLockError::Poisoned(source)) => source.into_inner(),
            Err(TryLockError::WouldBlock) => return Some(()),
        };
        if self.newest.load().number >= epoch {
            return Some(());
        }
        let next = match &mut *source {
            Source::Random => {
                Epoch::random(epoch, self.rotate).map_err(|fault| self.warn(fault)).ok()?
            }
            Source::Ratchet(head) => {
                head.advance(epoch);
                head.epoch(self.rotate)
            }
        };
        self.newest.store(Arc::new(next));
        Some(())
    }

    /// Starts the thread that does what no request waits for, unless it is at work; a later epoch tries again.
    fn tend(ring: &Arc<Self>, epoch: u64) {
        if matches!(ring.origin, Origin::Memory) || ring.tended.swap(true, Ordering::AcqRel) {
            return;
        }
        let worker = Arc::clone(ring);
        let thread = thread::Builder::new().name("privacy-log-keys".into());
        if thread.spawn(move || worker.work(epoch)).is_err() {
            ring.tended.store(false, Ordering::Release);
        }
    }

    /// Catches up, moves the file forward, and once more if the epoch changed meanwhile.
    fn work(&self, epoch: u64) {
        self.catch_up(epoch);
        loop {
            let done = self.newest.load().number;
            self.write_forward();
            self.tended.store(false, Ordering::Release);
            if self.newest.load().number == done || self.tended.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }

    fn catch_up(&self, epoch: u64) {
        if let Some(mut head) = self.head().filter(|head| head.epoch < epoch) {
            head.advance(epoch);
            self.take(head);
        }
    }

    fn write_forward(&self) {
        let Some(head) = self.head() else { return };
        match &self.origin {
            Origin::Memory => {}
            Origin::Variable(stored, span) => {
                if *stored < span.oldest(head.epoch) {
                    self.warn(Fault::Stale { stored: *stored, oldest: span.oldest(head.epoch) });
                }
            }
            Origin::File(path, span) => match key_file::forward(path, *span, &head) {
                Ok(Some(further)) => self.take(further),
                Ok(None) => {}
                Err(warning) => self.warnings.add(warning),
            },
        }
    }

    /// Makes a link further along the same chain the newest one.
    fn take(&self, further: Chain) {
        let mut source = self.lock();
        if matches!(&*source, Source::Ratchet(head) if head.epoch < further.epoch) {
            self.newest.store(Arc::new(further.epoch(self.rotate)));
            *source = Source::Ratchet(further);
        }
    }

    fn head(&self) -> Option<Chain> {
        match &*self.lock() {
            Source::Random => None,
            Source::Ratchet(head) => Some(head.copy()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warn(&self, fault: Fault) {
        if !self.warnings.said(&fault) {
            self.warnings.add(KeyError::new(&self.place, fault));
        }
    }
}

#[derive(Default)]
struct Warnings {
    waiting: AtomicBool,
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    kinds: Vec<mem::Discriminant<Fault>>,
    waiting: Vec<KeyError>,
}

impl Warnings {
    /// Also true while another thread is saying something: what lasts is said the next time.
    fn said(&self, fault: &Fault) -> bool {
        self.said.try_lock().map_or(true, |said| said.kinds.contains(&mem::discriminant(fault)))
    }

    fn add(&self, warning: KeyError) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.kinds.contains(&warning.kind()) {
            said.kinds.push(warning.kind());
            said.waiting.push(warning);
            self.waiting.store(true, Ordering::Release);
        }
    }

    fn next(&self) -> Option<KeyError> {
        if !self.waiting.load(Ordering::Acquire) {
            return None;
        }
        let mut said = self.said.try_lock().ok()?;
        let next = (!said.waiting.is_empty()).then(|| said.waiting.remove(0));
        self.waiting.store(!said.waiting.is_empty(), Ordering::Release);
        next
    }
}

/// Epochs are counted in whole seconds.
pub(crate) const fn whole(rotate: Duration) -> Result<u64, Fault> {
    match (rotate.as_secs(), rotate.subsec_nanos()) {
        (seconds @ 1.., 0) => Ok(seconds),
        _ => Err(Fault::Rotate),
    }
}

pub(crate) fn unix(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_file::KeyFile;
    use crate::pseudonym::Pseudonym;
    use std::time::UNIX_EPOCH;
    use std::{env, fs, process::Command};
    use tempfile::TempDir;

    pub(super) const DAY: Duration = Duration::from_secs(86_400);
    const WEEK: Duration = Duration::from_secs(7 * 86_400);
    pub(super) const MINUTE: Duration = Duration::from_secs(60);
    const YEAR: u64 = 365;

    pub(super) fn day(number: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(number * 86_400)
    }

    fn chain() -> Chain {
        Chain::new(0, |key| *key = [7; 32])
    }

    /// A file with the chain that started as sevens, at `epoch`.
    pub(super) fn stored(folder: &TempDir, name: &str, rotate: Duration, epoch: u64) -> PathBuf {
        let path = folder.path().join(name);
        let mut chain = chain();
        chain.advance(epoch);
        write(&path, &key_text::Link { rotate: rotate.as_secs(), chain }.text());
        path
    }

    fn write(path: &Path, text: &[u8]) {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
        std::io::Write::write_all(&mut file, text).unwrap();
    }

    fn expected(epoch: u64) -> Pseudonym {
        let mut chain = chain();
        chain.advance(epoch);
        chain.epoch(1).value("f", b"v")
    }

    fn at(keys: &Keys, now: SystemTime) -> Option<Pseudonym> {
        keys.current(now).map(|epoch| epoch.value("f", b"v"))
    }

    pub(super) fn settle(keys: &Keys) {
        while keys.0.tended.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn warnings(keys: &Keys) -> Vec<String> {
        settle(keys);
        std::iter::from_fn(|| keys.warning()).map(|warning| warning.to_string()).collect()
    }

    pub(super) fn weekly(path: &Path, now: SystemTime) -> Keys {
        Keys::file(path, DAY, WEEK, now).unwrap()
    }

    fn refused(keys: Result<Keys, KeyError>) -> String {
        keys.map(|_| ()).unwrap_err().to_string()
    }

    pub(super) fn epoch_of(path: &Path) -> u64 {
        KeyFile::read(path).unwrap().epoch()
    }

    #[test]
    fn memory_keys_are_one_per_epoch_and_unrelated() {
        let keys = Keys::memory(DAY, day(10)).unwrap();
        let other = Keys::memory(DAY, day(10)).unwrap();
        let first = at(&keys, day(10)).unwrap();
        assert_eq!(at(&keys.clone(), day(11) - Duration::from_nanos(1)), Some(first));
        assert_ne!(at(&other, day(10)), Some(first));
        let second = at(&keys, day(11)).unwrap();
        assert_ne!(first, second);
        assert_eq!(at(&keys, day(10)), Some(second), "the old key is gone");
        assert_eq!(keys.current(day(10)).unwrap().number, 11);
        assert_eq!(warnings(&keys), [""; 0]);
    }

    #[test]
    fn memory_keys_follow_a_clock_that_was_set_late() {
        let keys = Keys::memory(DAY, UNIX_EPOCH - DAY).unwrap();
        assert_eq!(keys.current(UNIX_EPOCH).unwrap().number, 0);
        assert_eq!(keys.current(day(20_645)).unwrap().number, 20_645);
    }

    #[test]
    fn a_rotate_that_is_not_whole_seconds_is_refused() {
        let sentence = "keys in memory: `rotate` must be a whole number of seconds, at least 1s";
        for rotate in [Duration::ZERO, Duration::from_millis(999), Duration::from_millis(1_500)] {
            assert_eq!(refused(Keys::memory(rotate, day(1))), sentence);
        }
    }

    #[test]
    fn a_forget_of_too_many_epochs_is_refused() {
        let keys = Keys::file(
            Path::new("k"),
            Duration::from_secs(1),
            Duration::from_secs(STEPS + 1),
            day(1),
        );
        assert_eq!(
            refused(keys),
            "key file k: `forget` spans 1048577 epochs of `rotate`, more than 1048576"
        );
    }

    #[test]
    fn within_an_epoch_nothing_is_made_anew() {
        let keys = Keys::memory(DAY, day(10)).unwrap();
        let first = Arc::as_ptr(&keys.current(day(10)).unwrap());
        assert_eq!(Arc::as_ptr(&keys.current(day(10) + DAY / 2).unwrap()), first);
    }

    #[test]
    fn a_start_and_every_new_epoch_move_the_file_forward() {
        let folder = TempDir::new().unwrap();
        let path = stored(&folder, "k", DAY, 100);
        let keys = weekly(&path, day(110));
        assert_eq!(epoch_of(&path), 104);
        for number in 110..130 {
            assert_eq!(at(&keys, day(number)), Some(expected(number)));
            settle(&keys);
            assert_eq!(epoch_of(&path), number - 6);
        }
        assert_eq!(warnings(&keys), [""; 0]);
    }

    #[test]
    fn the_process_holds_the_newest_link_only() {
        let folder = TempDir::new().unwrap();
        let keys = weekly(&stored(&folder, "k", DAY, 100), day(103));
        assert_eq!(keys.0.head().unwrap().epoch, 103);
        keys.current(day(105)).unwrap();
        assert_eq!(keys.0.head().unwrap().epoch, 105);
    }

    #[test]
    fn replicas_and_restarts_agree_whatever_was_moved_meanwhile() {
        let folder = TempDir::new().unwrap();
        let path = stored(&folder, "k", DAY, 100);
        let (one, mut two) = (weekly(&path, day(100)), weekly(&path, day(103)));
        for number in (103..160).step_by(3) {
            assert_eq!(at(&one, day(number)), Some(expected(number)));
            assert_eq!(at(&two, day(number)), Some(expected(number)));
            settle(&one);
            settle(&two);
            two = weekly(&path, day(number + 1));
        }
        assert_eq!((warnings(&one), warnings(&two)), (vec![], vec![]));
    }

    #[test]
    fn ten_years_of_downtime_are_made_up_for_at_the_start() {
        let folder = TempDir::new().unwrap();
        let path = stored(&folder, "k", DAY, 100);
        let keys = weekly(&path, day(100 + 10 * YEAR));
        assert_eq!(at(&keys, day(100 + 10 * YEAR)), Some(expected(100 + 10 * YEAR)));
        assert_eq!(epoch_of(&path), 94 + 10 * YEAR);
    }

    #[test]
    fn downtime_of_too_many_steps_refuses_to_start_and_leaves_the_file() {
        let folder = TempDir::new().unwrap();
        let second = Duration::from_secs(1);
        let path = stored(&folder, "k", second, 0);
        let sentence = format!(
            "key file {}, line 3: epoch 0 is more than 1048576 steps behind the clock's 4320000; \
             run `privacy-log keys advance` or make a new key",
            path.display()
        );
        assert_eq!(refused(Keys::file(&path, second, second, day(50))), sentence);
        assert_eq!(epoch_of(&path), 0);
    }

    #[test]
    fn a_clock_that_goes_back_gets_the_newest_key_and_is_told_of_once() {
        let folder = TempDir::new().unwrap();
        let path = stored(&folder, "k", DAY, 100);
        for keys in [weekly(&path, day(110)), Keys::memory(DAY, day(110)).unwrap()] {
            let newest = at(&keys, day(110)).unwrap();
            assert_eq!(at(&keys, day(109)), Some(newest));
            assert_eq!(warnings(&keys), [""; 0], "one epoch is nothing special");
            for before in [day(108), day(3), UNIX_EPOCH, UNIX_EPOCH - DAY] {
                assert_eq!(at(&keys, before), Some(newest));
            }
            let said = warnings(&keys);
            assert!(
                said[0].ends_with(
                    "the clock went back to epoch 108; the newest key, of epoch 110, serves until it is past"
                )
            );
            assert_eq!(said.len(), 1);
            assert_ne!(at(&keys, day(111)), Some(newest));
            settle(&keys);
        }
        assert_eq!(epoch_of(&path), 105);
    }

    #[test]
    fn a_clock_that_leaps_years_and_comes_back_has_changed_nothing() {
        let folder = TempDir::new().unwrap();
        let path = stored(&folder, "k", DAY, 100);
        let keys = weekly(&path, day(110));
        for leap in [day(111) + 366 * DAY, day(20_000), day(200_000_000)] {
            assert_eq!(at(&keys, leap), None);
        }
        assert_eq!(at(&keys, day(111)), Some(expected(111)));
        let said = warnings(&keys);
        assert!(said[0].ends_with(
            "the clock went from epoch 110 to 477, over a year at once; there are no pseudonyms \
             until it is back or this process starts again"
        ));
        assert_eq!((said.len(), epoch_of(&path)), (1, 105));
    }

    #[test]
    fn a_machine_that_slept_for_months_goes_on_with_the_present_epoch() {
        let folder = TempDir::new().unwrap();
        let path = stored(&folder, "k", DAY, 100);
        let keys = weekly(&path, day(110));
        assert_eq!(at(&keys, day(470)), Some(expected(470)));
        settle(&keys);
        assert_eq!(epoch_of(&path), 464);
    }

    #[test]
    fn a_long_turn_is_done_beside_the_requests_which_get_no_key_meanwhile() {
        let folder = TempDir::new().unwrap();
        let path = stored(&folder, "k", MINUTE, 1_000);
        let keys = Keys::file(&path, MINUTE, MINUTE * 10, UNIX_EPOCH + MINUTE * 1_000).unwrap();
        let later = UNIX_EPOCH + MINUTE * 101_000;
        assert_eq!(at(&keys, later), None);
        settle(&keys);
        assert_eq!(at(&keys, later), Some(expected(101_000)));
        assert_eq!(epoch_of(&path), 100_991);
    }

    #[test]
    fn a_turn_in_another_thread_is_not_waited_for() {
        let folder = TempDir::new().unwrap();
        let keys = weekly(&stored(&folder, "k", DAY, 100), day(110));
        let held = keys.0.source.lock().unwrap();
        assert_eq!(
            thread::scope(|scope| scope.spawn(|| at(&keys, day(111))).join().unwrap()),
            Some(expected(110))
        );
        assert_eq!(
            thread::scope(|scope| scope.spawn(|| at(&keys, day(112))).join().unwrap()),
            None
        );
        drop(held);
        settle(&keys);
        assert_eq!(at(&keys, day(112)), Some(expected(112)));
    }

    #[test]
    fn a_thread_that_comes_late_to_an_epoch_change_makes_no_second_key() {
        let keys = Keys::memory(DAY, day(110)).unwrap();
        let made = at(&keys, day(111));
        keys.0.turn_to(111).unwrap();
        keys.0.turn_to(110).unwrap();
        assert_eq!(at(&keys, day(111)), made);
    }

    #[test]
    fn threads_at_an_epoch_change_get_the_key_of_the_number_they_write() {
        let folder = TempDir::new().unwrap();
        let file = weekly(&stored(&folder, "k", DAY, 100), day(110));
        let memory = Keys::memory(DAY, day(110)).unwrap();
        let seen = Mutex::new(std::collections::HashMap::new());
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 110..160 {
                        if let Some(epoch) = file.current(day(number)) {
                            assert_eq!(epoch.value("f", b"v"), expected(epoch.number));
                        }
                        if let Some(epoch) = memory.current(day(number)) {
                            let tag = epoch.value("f", b"v");
                            assert_eq!(
                                *seen.lock().unwrap().entry(epoch.number).or_insert(tag),
                                tag
                            );
                        }
                    }
                });
            }
        });
        assert!(warnings(&file).iter().all(|said| said.contains("the clock went back")));
    }

    #[test]
    fn a_file_of_another_rotate_or_ahead_of_the_clock_is_refused() {
        let folder = TempDir::new().unwrap();
        let path = stored(&folder, "k", DAY, 100);
        let at = path.display();
        assert_eq!(
            refused(Keys::file(&path, MINUTE, WEEK, day(100))),
            format!("key file {at}, line 2: `rotate` is 86400s here and 60s in the policy")
        );
        let keys = weekly(&path, day(99));
        assert_eq!(keys.current(day(99)).unwrap().number, 100, "one epoch ahead: the newest key");
        assert_eq!(
            refused(Keys::file(&path, DAY, WEEK, day(99) - MINUTE)),
            format!(
                "key file {at}, line 3: epoch 100 is ahead of the clock's 98, and what came before it is gone; \
                 set the clock or make a new key"
            )
        );
        let skewed = stored(&folder, "skewed", MINUTE, 1_060);
        assert!(
            Keys::file(&skewed, MINUTE, MINUTE, UNIX_EPOCH + MINUTE * 1_000).is_ok(),
            "an hour is tolerated"
        );
        assert!(Keys::file(&skewed, MINUTE, MINUTE, UNIX_EPOCH + MINUTE * 999).is_err());
    }

    #[test]
    fn a_file_that_another_process_took_further_is_taken() {
        let folder = TempDir::new().unwrap();
        let path = stored(&folder, "k", DAY, 100);
        let keys = Keys::file(&path, DAY, DAY, day(110)).unwrap();
        stored(&folder, "k", DAY, 112);
        keys.current(day(111)).unwrap();
        settle(&keys);
        assert_eq!(at(&keys, day(111)), Some(expected(112)));
        assert_eq!((warnings(&keys).len(), epoch_of(&path)), (0, 112));
    }

    #[test]
    fn a_file_that_a_wrong_clock_took_away_is_told_of_and_not_followed() {
        let folder = TempDir::new().unwrap();
        let path = stored(&folder, "k", DAY, 100);
        let keys = weekly(&path, day(110));
        stored(&folder, "k", DAY, 400);
        for number in 111..115 {
            assert_eq!(at(&keys, day(number)), Some(expected(number)));
            settle(&keys);
        }
        let said = warnings(&keys);
        assert!(
            said.len() == 1 && said[0].contains("line 3: epoch 400 is ahead of the clock's 111"),
            "{said:?}"
        );
        assert_eq!(epoch_of(&path), 400);
    }

    #[test]
    fn a_replaced_or_removed_file_is_left_alone_and_told_of_once() {
        let folder = TempDir::new().unwrap();
        let path = stored(&folder, "k", DAY, 100);
        let keys = weekly(&path, day(110));
        fs::remove_file(&path).unwrap();
        assert_eq!(at(&keys, day(111)), Some(expected(111)));
        settle(&keys);
        assert!(!path.exists());
        let other =
            key_text::Link { rotate: 86_400, chain: Chain::new(105, |key| *key = [9; 32]) }.text();
        write(&path, &other);
        for number in 112..120 {
            assert_eq!(at(&keys, day(number)), Some(expected(number)));
            settle(&keys);
        }
        assert_eq!(fs::read(&path).unwrap(), *other);
        let said = warnings(&keys);
        assert!(said[0].ends_with("cannot be read: No such file or directory (os error 2)"));
        assert!(said[1].ends_with("until it starts again"));
        assert_eq!(said.len(), 2);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_of_once_and_the_keys_go_on() {
        let folder = TempDir::new().unwrap();
        let path = stored(&folder, &"k".repeat(250), DAY, 100);
        let keys = weekly(&path, day(100));
        assert_eq!(warnings(&keys), [""; 0], "nothing is due yet");
        for number in 100..120 {
            assert_eq!(at(&keys, day(number)), Some(expected(number)));
            settle(&keys);
        }
        let said = warnings(&keys);
        assert!(said[0].contains(
            "cannot be moved from epoch 100 to 101, so keys that are due can still be made from"
        ));
        assert_eq!((said.len(), epoch_of(&path)), (1, 100));
    }

    #[test]
    fn child() {
        if env::var_os("CHILD_KEYS").is_none() {
            return;
        }
        let open = |now| Keys::env("CHILD_KEYS", DAY, WEEK, now);
        let keys = open(day(106)).unwrap();
        assert_eq!(at(&keys, day(106)), Some(expected(106)));
        assert_eq!(warnings(&keys), [""; 0]);
        assert_eq!(at(&keys, day(109)), Some(expected(109)));
        let sentence = "key variable CHILD_KEYS: still gives every key since epoch 100, where `forget` ends at 103; \
            replace it by a text that was moved forward";
        assert_eq!(warnings(&keys), [sentence]);
        assert_eq!(warnings(&open(day(109)).unwrap()), [sentence]);
        assert!(
            refused(open(day(10)))
                .starts_with("key variable CHILD_KEYS, line 3: epoch 100 is ahead")
        );
    }

    #[test]
    fn a_variable_gives_the_same_keys_as_the_file() {
        let folder = TempDir::new().unwrap();
        let text = fs::read_to_string(stored(&folder, "k", DAY, 100)).unwrap();
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "keys::tests::child"]).env("CHILD_KEYS", text.trim_end());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let unset = Keys::env("NO_SUCH_VARIABLE", DAY, WEEK, day(1));
        assert_eq!(
            refused(unset),
            "key variable NO_SUCH_VARIABLE: is not set; expected the text of a key file"
        );
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Keys::memory(DAY, day(1)).unwrap()), "Keys { .. }");
    }

    #[test]
    fn keys_are_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Keys>();
        shared::<Current>();
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]

        #[test]
        fn whatever_the_clock_does_each_number_has_one_key_and_never_falls(
            days in proptest::collection::vec(0..700_u64, 1..20),
        ) {
            let folder = TempDir::new().unwrap();
            let keys = weekly(&stored(&folder, "k", DAY, 0), day(days[0]));
            let mut newest = 0;
            for now in days {
                let Some(epoch) = keys.current(day(now)) else { continue };
                proptest::prop_assert!(epoch.number >= newest);
                newest = epoch.number;
                proptest::prop_assert_eq!(epoch.value("f", b"v"), expected(newest));
            }
        }

        #[test]
        fn no_key_older_than_forget_can_be_made_from_the_file(
            now in 0..3_000_u64, rotate in 1..50_u64, forget in 1..500_u64,
        ) {
            let forget = forget.max(rotate);
            let folder = TempDir::new().unwrap();
            let (rotate, forget) = (Duration::from_secs(rotate), Duration::from_secs(forget));
            let path = stored(&folder, "k", rotate, 0);
            let keys = Keys::file(&path, rotate, forget, UNIX_EPOCH + Duration::from_secs(now)).unwrap();
            let (oldest, newest) = (epoch_of(&path), now / rotate.as_secs());
            proptest::prop_assert!(oldest == 0 || now < oldest * rotate.as_secs() + forget.as_secs());
            let before = oldest.saturating_sub(1) * rotate.as_secs() + forget.as_secs();
            proptest::prop_assert!(oldest == 0 || before < now + rotate.as_secs(), "destroyed too early");
            proptest::prop_assert_eq!(at(&keys, UNIX_EPOCH + Duration::from_secs(now)), Some(expected(newest)));
        }
    }
}

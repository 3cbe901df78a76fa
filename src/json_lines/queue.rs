//! The hand-off from request threads to the one thread that writes.
//!
//! The rule: a request thread never waits for a disk unless [`Overflow::Block`] asks for it, memory is
//! bounded, and every line is either handed over or counted as missing. Lines are copied into chunks of
//! a fixed pool. While there is little to do all threads share one shard, so that lines come out in the
//! order in which they were handed over; under load every thread has a shard of its own, whose lock is
//! nearly always free, and only the lines of one thread are in order.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};

use super::options::Overflow;

const CHUNK: std::ops::RangeInclusive<usize> = 1024..=32 * 1024;
const MAX_SHARDS: usize = 32;

pub(crate) type Chunk = Vec<u8>;

/// A batch of fewer bytes than this is little to do.
const LITTLE: usize = 16 * 1024;

pub(crate) struct Queue {
    shards: Box<[Shard]>,
    /// Everybody's, while it is calm. Emptied after the others, whose lines came before it was calm, and
    /// under its lock it is decided whether it stays calm: so the lines of one thread keep their order.
    common: Shard,
    calm: AtomicBool,
    pool: Pool,
    overflow: Overflow,
    writer: OnceLock<Thread>,
    idle: AtomicBool,
    hurried: AtomicBool,
}

#[repr(align(128))]
struct Shard(Mutex<Heap>);

struct Heap {
    lanes: Box<[Pile]>,
    missing: Vec<(&'static str, u64)>,
    accepted: u64,
    dropped: u64,
}

/// The lines of one lane that wait in one shard: full chunks first, then the open one.
struct Pile {
    full: Vec<Chunk>,
    open: Chunk,
}

/// What a thread has counted since the start.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) accepted: u64,
    pub(crate) dropped: u64,
}

impl Queue {
    /// A queue for `lanes` outputs that holds about `buffer` bytes.
    pub(crate) fn new(lanes: usize, buffer: usize, overflow: Overflow) -> Self {
        let cores = thread::available_parallelism().map_or(4, usize::from);
        let shards = (2 * cores).next_power_of_two().min(MAX_SHARDS);
        let size = (buffer / (2 * shards * lanes.max(1))).clamp(*CHUNK.start(), *CHUNK.end());
        let count = (buffer / size).max(1);
        Self {
            shards: (0..shards).map(|_| Shard::new(lanes, count)).collect(),
            common: Shard::new(lanes, count),
            calm: AtomicBool::new(true),
            pool: Pool::new(count, size),
            overflow,
            writer: OnceLock::new(),
            idle: AtomicBool::new(false),
            hurried: AtomicBool::new(false),
        }
    }

    /// Hands over one line of the log `log`, or counts it as missing.
    pub(crate) fn push(&self, lane: usize, log: &'static str, bytes: &[u8]) {
        while !self.place(lane, log, bytes) {
            self.wake();
            self.pool.wait();
        }
        if self.idle.load(Ordering::Acquire) && self.idle.swap(false, Ordering::AcqRel) {
            self.wake();
        }
    }

    /// False only when the caller has to wait for room.
    fn place(&self, lane: usize, log: &'static str, bytes: &[u8]) -> bool {
        let mut heap = self.heap();
        if heap.put(lane, bytes, self) {
            heap.accepted += 1;
            return true;
        }
        let wait = self.overflow == Overflow::Block && self.pool.moves();
        if !wait {
            heap.miss(log);
        }
        !wait
    }

    /// Where this thread puts its next line.
    fn heap(&self) -> MutexGuard<'_, Heap> {
        if self.is_calm() {
            let common = self.common.lock();
            // Asked again, since a line in a shard of its own overtakes what is in here.
            if self.is_calm() {
                return common;
            }
        }
        self.shards.get(slot() & (self.shards.len() - 1)).unwrap_or(&self.common).lock()
    }

    fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// Every shard, the common one last.
    fn all(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().chain([&self.common])
    }

    /// Counts a line that no lane wants.
    pub(crate) fn refuse(&self) {
        self.common.lock().dropped += 1;
    }

    /// Moves everything that waits into `backlogs` (one per lane) and reports what is missing.
    pub(crate) fn drain(
        &self,
        backlogs: &mut [VecDeque<Chunk>],
        mut missing: impl FnMut(&'static str, u64),
    ) -> bool {
        self.hurried.store(false, Ordering::Release);
        let mut moved = 0;
        for shard in &self.shards {
            moved += shard.lock().drain(backlogs, &mut missing, &self.pool);
        }
        let mut common = self.common.lock();
        moved += common.drain(backlogs, &mut missing, &self.pool);
        self.calm.store(moved < LITTLE, Ordering::Relaxed);
        moved > 0
    }

    /// Says that the writer is about to sleep; true when there is nothing that it would oversleep.
    pub(crate) fn may_sleep(&self) -> bool {
        self.idle.store(true, Ordering::Release);
        let empty = self.all().all(|shard| shard.lock().is_empty());
        if !empty {
            self.idle.store(false, Ordering::Release);
        }
        empty
    }

    pub(crate) fn awake(&self) {
        self.idle.store(false, Ordering::Release);
    }

    pub(crate) fn set_writer(&self, writer: Thread) {
        let _ = self.writer.set(writer);
    }

    pub(crate) fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    pub(crate) fn give(&self, chunk: Chunk) {
        self.pool.give(chunk);
    }

    /// How many chunks there are in all.
    pub(crate) const fn chunks(&self) -> usize {
        self.pool.count
    }

    /// While chunks do not come back, nobody waits for them: a fault is not a slow disk.
    pub(crate) fn set_moving(&self, moving: bool) {
        self.pool.set_moving(moving);
    }

    pub(crate) fn tally(&self) -> Tally {
        self.all().fold(Tally::default(), |sum, shard| {
            let heap = shard.lock();
            Tally { accepted: sum.accepted + heap.accepted, dropped: sum.dropped + heap.dropped }
        })
    }

    fn chunk(&self) -> Option<Chunk> {
        let (chunk, left) = self.pool.take()?;
        if left < self.pool.count / 2 && !self.hurried.swap(true, Ordering::AcqRel) {
            self.wake();
        }
        Some(chunk)
    }
}

impl Shard {
    fn new(lanes: usize, chunks: usize) -> Self {
        let pile = || Pile { full: Vec::with_capacity(chunks), open: Chunk::new() };
        let lanes = (0..lanes).map(|_| pile()).collect();
        Self(Mutex::new(Heap { lanes, missing: Vec::new(), accepted: 0, dropped: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, Heap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heap {
    fn put(&mut self, lane: usize, bytes: &[u8], queue: &Queue) -> bool {
        let Some(pile) = self.lanes.get_mut(lane) else {
            return false;
        };
        if pile.open.capacity() - pile.open.len() < bytes.len() {
            let Some(chunk) = queue.chunk() else {
                return false;
            };
            let full = std::mem::replace(&mut pile.open, chunk);
            if full.capacity() > 0 {
                pile.full.push(full);
            }
        }
        pile.open.extend_from_slice(bytes);
        true
    }

    /// How many bytes were moved.
    fn drain(
        &mut self,
        backlogs: &mut [VecDeque<Chunk>],
        missing: &mut impl FnMut(&'static str, u64),
        pool: &Pool,
    ) -> usize {
        let mut moved = 0;
        for (pile, backlog) in self.lanes.iter_mut().zip(backlogs) {
            moved += pile.drain(backlog, pool);
        }
        for (log, count) in self.missing.drain(..) {
            missing(log, count);
        }
        moved
    }

    #[cold]
    fn miss(&mut self, log: &'static str) {
        self.dropped += 1;
        match self.missing.iter_mut().find(|(name, _)| *name == log) {
            Some((_, count)) => *count += 1,
            None => self.missing.push((log, 1)),
        }
    }

    fn is_empty(&self) -> bool {
        self.missing.is_empty()
            && self.lanes.iter().all(|pile| pile.full.is_empty() && pile.open.is_empty())
    }
}

impl Pile {
    /// How many bytes were moved.
    fn drain(&mut self, backlog: &mut VecDeque<Chunk>, pool: &Pool) -> usize {
        let mut moved = self.open.len();
        for chunk in self.full.drain(..) {
            moved += chunk.len();
            append(chunk, backlog, pool);
        }
        if !self.open.is_empty() {
            append(std::mem::take(&mut self.open), backlog, pool);
        }
        moved
    }
}

/// Small batches share a chunk, so that a backlog holds lines rather than empty room.
fn append(chunk: Chunk, backlog: &mut VecDeque<Chunk>, pool: &Pool) {
    match backlog.back_mut() {
        Some(last) if last.capacity() - last.len() >= chunk.len() => {
            last.extend_from_slice(&chunk);
            pool.give(chunk);
        }
        _ => backlog.push_back(chunk),
    }
}

/// The chunks that are free; all of them are made at the start, so a request thread never allocates.
struct Pool {
    free: Mutex<Vec<Chunk>>,
    returned: Condvar,
    moving: AtomicBool,
    count: usize,
    size: usize,
}

impl Pool {
    fn new(count: usize, size: usize) -> Self {
        Self {
            free: Mutex::new((0..count).map(|_| Chunk::with_capacity(size)).collect()),
            returned: Condvar::new(),
            moving: AtomicBool::new(true),
            count,
            size,
        }
    }

    fn take(&self) -> Option<(Chunk, usize)> {
        let mut free = self.lock();
        let chunk = free.pop()?;
        Some((chunk, free.len()))
    }

    fn give(&self, mut chunk: Chunk) {
        chunk.clear();
        chunk.shrink_to(self.size);
        self.lock().push(chunk);
        self.returned.notify_all();
    }

    fn wait(&self) {
        let free = self.lock();
        drop(self.returned.wait_while(free, |free| free.is_empty() && self.moves()));
    }

    fn moves(&self) -> bool {
        self.moving.load(Ordering::Acquire)
    }

    fn set_moving(&self, moving: bool) {
        let free = self.lock();
        self.moving.store(moving, Ordering::Release);
        drop(free);
        self.returned.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Chunk>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number per thread, given out in turn, so that threads spread over the shards.
fn slot() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SLOT: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let pick = |slot: &Cell<usize>| {
        if slot.get() == usize::MAX {
            slot.set(NEXT.fetch_add(1, Ordering::Relaxed) & (MAX_SHARDS - 1));
        }
        slot.get()
    };
    SLOT.try_with(pick).unwrap_or(0)
}

//! The one thread that writes, and how it is spoken to.
//!
//! The rule: whoever asks for a flush gets an answer about every line handed over before, also when the
//! thread has ended. The thread gathers lines for an interval, writes them, and sleeps while there is
//! nothing to do. It decides nothing about a single output.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::lane::Lane;
use super::output::Output;
use super::queue::{Chunk, Queue};

const NAP: Duration = Duration::from_secs(60);

/// What the handles and the thread share.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) counts: Counts,
    orders: Mutex<Orders>,
    answered: Condvar,
}

/// What only the background threads count.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) written: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) torn: AtomicU64,
    pub(crate) deleted: AtomicU64,
}

#[derive(Clone, Copy, Default)]
struct Orders {
    asked: u64,
    answered: u64,
    fault: Option<io::ErrorKind>,
    reopen: bool,
    stop: bool,
    ended: bool,
}

impl Shared {
    pub(crate) fn new(queue: Queue) -> Self {
        Self {
            queue,
            counts: Counts::default(),
            orders: Mutex::default(),
            answered: Condvar::new(),
        }
    }

    /// Waits until everything handed over before has been tried.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let ticket = self.order(|orders| {
            orders.asked += 1;
            orders.asked
        });
        let waiting = |orders: &mut Orders| orders.answered < ticket && !orders.ended;
        let orders = self
            .answered
            .wait_while(self.orders(), waiting)
            .unwrap_or_else(PoisonError::into_inner);
        match orders.fault {
            _ if orders.answered < ticket => Err(io::Error::other("the writing thread has ended")),
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }

    pub(crate) fn reopen(&self) {
        self.order(|orders| orders.reopen = true);
    }

    pub(crate) fn stop(&self) {
        self.order(|orders| orders.stop = true);
    }

    fn order<T>(&self, change: impl FnOnce(&mut Orders) -> T) -> T {
        let result = change(&mut self.orders());
        self.queue.wake();
        result
    }

    fn take_orders(&self) -> Orders {
        let mut orders = self.orders();
        let taken = *orders;
        orders.reopen = false;
        taken
    }

    fn answer(&self, asked: u64, fault: Option<io::ErrorKind>) {
        let mut orders = self.orders();
        orders.answered = asked;
        orders.fault = fault;
        drop(orders);
        self.answered.notify_all();
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    interval: Duration,
    sync: Option<Duration>,
    backlogs: Box<[VecDeque<Chunk>]>,
    lanes: Box<[Lane]>,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        outputs: Vec<Output>,
        interval: Duration,
        sync: Option<Duration>,
    ) -> Self {
        let lanes: Box<[Lane]> = outputs.into_iter().map(Lane::new).collect();
        let backlogs = lanes.iter().map(|_| VecDeque::new()).collect();
        Self { shared, interval, sync, backlogs, lanes }
    }

    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let _ended = Ended(&shared);
        shared.queue.set_writer(thread::current());
        loop {
            let orders = shared.take_orders();
            let urgent = orders.stop || orders.asked > orders.answered;
            let moved = self.turn(&orders, urgent);
            shared.answer(orders.asked, self.fault());
            if orders.stop {
                break;
            }
            self.rest(moved);
        }
    }

    /// Takes what waits and writes it.
    fn turn(&mut self, orders: &Orders, urgent: bool) -> bool {
        let lanes = &mut self.lanes;
        let moved = self.shared.queue.drain(&mut self.backlogs, |log, count| {
            let lane = lanes.iter().position(|lane| lane.output.takes(log)).unwrap_or(0);
            if let Some(lane) = lanes.get_mut(lane) {
                lane.miss(log, count);
            }
        });
        let room = self.shared.queue.chunks() / (2 * self.lanes.len().max(1));
        for (lane, backlog) in self.lanes.iter_mut().zip(&mut self.backlogs) {
            if orders.reopen {
                lane.output.reopen();
            }
            lane.turn(backlog, urgent, room.max(1), &self.shared);
            lane.sync(self.sync, urgent, &self.shared);
        }
        self.shared.queue.set_moving(self.fault().is_none());
        moved
    }

    fn fault(&self) -> Option<io::ErrorKind> {
        self.lanes.iter().find_map(Lane::fault)
    }

    /// Gathers for an interval after work; sleeps when an interval brought nothing.
    fn rest(&mut self, moved: bool) {
        let nap = self
            .lanes
            .iter()
            .filter_map(|lane| lane.rests(self.sync))
            .min()
            .unwrap_or(NAP)
            .min(NAP);
        if moved {
            thread::park_timeout(self.interval.min(nap));
        } else if self.shared.queue.may_sleep() {
            thread::park_timeout(nap);
            self.shared.queue.awake();
        }
    }
}

/// Tells everyone who waits that nobody writes any more, also after a panic.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.orders().ended = true;
        self.0.answered.notify_all();
        self.0.queue.set_moving(false);
    }
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

//! The one thread that writes, and how it is spoken to.
//!
//! The rule: whoever asks for a flush gets an answer about every line handed over before, also when the
//! thread has ended or an output keeps it, but then after a bounded time. The thread gathers lines for an
//! interval, writes them, and sleeps while there is nothing to do. It decides nothing about a single output.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::lane::Lane;
use super::output::Output;
use super::queue::{Chunk, Queue};

const NAP: Duration = Duration::from_secs(60);
/// What the thread has for its answer when its time is over; more only if an output keeps it.
const ANSWER: Duration = Duration::from_millis(500);

/// What the handles and the thread share.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) counts: Counts,
    linger: Duration,
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
#[expect(clippy::struct_excessive_bools, reason = "one for each thing that is asked for")]
struct Orders {
    asked: u64,
    answered: u64,
    fault: Option<io::ErrorKind>,
    /// Until when those who asked wait for an output; none when there is no such moment.
    until: Option<Instant>,
    /// Nothing is tried again afterwards.
    last: bool,
    /// The last flush has had its time, and the output is no better.
    late: bool,
    reopen: bool,
    stop: bool,
    ended: bool,
}

impl Orders {
    const fn are_urgent(&self) -> bool {
        self.stop || self.asked > self.answered
    }

    fn leave_time(&self) -> bool {
        !(self.last && self.late) && self.until.is_none_or(|until| Instant::now() < until)
    }
}

impl Shared {
    pub(crate) fn new(queue: Queue, linger: Duration) -> Self {
        Self {
            queue,
            counts: Counts::default(),
            linger,
            orders: Mutex::default(),
            answered: Condvar::new(),
        }
    }

    /// Waits until everything handed over before has been tried, or an output has had its time.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.ask(false)
    }

    /// The same, with another try for what fails; what is left when the time is over is given up.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.ask(true)
    }

    fn ask(&self, last: bool) -> io::Result<()> {
        let ticket = self.order(|orders| {
            orders.asked += 1;
            if last || !orders.last {
                orders.until = Instant::now().checked_add(self.linger);
            }
            orders.last |= last;
            orders.asked
        });
        let orders = self.wait(|orders| orders.answered < ticket && !orders.ended);
        match orders.fault {
            _ if orders.answered >= ticket => orders.fault.map_or(Ok(()), |kind| Err(kind.into())),
            _ if orders.ended => Err(io::Error::other("the writing thread has ended")),
            _ => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Waits until the thread has an answer, or for as long as one may take.
    fn wait(&self, waiting: impl Fn(&mut Orders) -> bool) -> MutexGuard<'_, Orders> {
        let orders = self.orders();
        let time = if orders.last && orders.late { Duration::ZERO } else { self.linger };
        let time = time.saturating_add(ANSWER);
        let waited = self.answered.wait_timeout_while(orders, time, waiting);
        let (mut orders, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        orders.late |= orders.last && timeout.timed_out();
        orders
    }

    pub(crate) fn reopen(&self) {
        self.order(|orders| orders.reopen = true);
    }

    /// Ends the thread after a last flush; false when an output keeps it.
    pub(crate) fn stop(&self) -> bool {
        self.tell_to_stop();
        self.wait(|orders| !orders.ended).ended
    }

    /// Ends the thread, for when it is the caller.
    pub(crate) fn tell_to_stop(&self) {
        self.order(|orders| {
            orders.until = Instant::now().checked_add(self.linger);
            orders.last = true;
            orders.stop = true;
        });
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

    fn answer(&self, to: &Orders, fault: Option<io::ErrorKind>) {
        let mut orders = self.orders();
        orders.answered = to.asked;
        orders.fault = fault;
        orders.late = (orders.late || to.last) && fault.is_some();
        // One that was asked for meanwhile is still to come.
        orders.last &= orders.asked > to.asked || orders.stop;
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
            let moved = self.turn(&orders);
            if orders.are_urgent() && orders.leave_time() && self.may_recover(orders.last) {
                self.rest(moved, orders.until);
                continue;
            }
            if orders.last {
                self.give_up();
            }
            shared.answer(&orders, self.obstacle());
            if orders.stop {
                break;
            }
            self.rest(moved, None);
        }
    }

    /// Takes what waits and writes it.
    fn turn(&mut self, orders: &Orders) -> bool {
        let urgent = orders.are_urgent();
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
        self.shared.queue.set_moving(self.lanes.iter().all(|lane| lane.fault().is_none()));
        moved
    }

    fn give_up(&mut self) {
        for (lane, backlog) in self.lanes.iter_mut().zip(&mut self.backlogs) {
            lane.give_up(backlog, &self.shared);
        }
    }

    fn obstacle(&self) -> Option<io::ErrorKind> {
        self.lanes.iter().find_map(Lane::obstacle)
    }

    fn may_recover(&self, last: bool) -> bool {
        self.lanes.iter().any(|lane| lane.may_recover(last))
    }

    /// Gathers for an interval after work; sleeps when an interval brought nothing.
    fn rest(&mut self, moved: bool, until: Option<Instant>) {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let rests = self.lanes.iter().filter_map(|lane| lane.rests(self.sync));
        let nap = rests.chain(left).min().unwrap_or(NAP).min(NAP);
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

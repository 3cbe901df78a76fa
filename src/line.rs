//! The line of the event that this thread is emitting.
//!
//! A record is written once, as JSON, and `JsonLines` takes that line as it is instead of asking the event for
//! one value after another. The rule: a line is given to that one event only, told by its address while it
//! is being dispatched; an event that somebody else made has none.

use std::cell::{Cell, RefCell};
use std::ptr;

use tracing::Event;

use crate::buffer::Buffer;

#[derive(Default)]
pub(crate) struct Line {
    pub(crate) buffer: RefCell<Buffer>,
    event: Cell<usize>,
}

thread_local! {
    static LINE: Line = const { Line { buffer: RefCell::new(Buffer::new()), event: Cell::new(0) } };
}

/// Lends the thread's line, or a new one when that is in use or gone.
pub(crate) fn lend(run: impl FnOnce(&Line)) {
    let mut run = Some(run);
    let _ = LINE.try_with(|line| {
        if line.buffer.try_borrow_mut().is_ok()
            && let Some(run) = run.take()
        {
            run(line);
        }
    });
    if let Some(run) = run {
        run(&Line::default());
    }
}

/// Reads the line of `event`, if that is the one that this thread's line was written for.
#[cfg(feature = "json-lines")]
pub(crate) fn line_of<T>(event: &Event<'_>, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let read = |line: &Line| {
        let buffer = line.buffer.try_borrow().ok()?;
        (line.event.get() == address(event)).then(|| read(buffer.written()))
    };
    LINE.try_with(read).ok()?
}

impl Line {
    /// Gives the line to `event` while `dispatch` runs.
    pub(crate) fn with(&self, event: &Event<'_>, dispatch: impl FnOnce()) {
        self.event.set(address(event));
        let _taken = Taken(&self.event);
        dispatch();
    }
}

/// Takes the line from its event again, also after a panic.
struct Taken<'l>(&'l Cell<usize>);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.set(0);
    }
}

fn address(event: &Event<'_>) -> usize {
    ptr::from_ref(event).addr()
}

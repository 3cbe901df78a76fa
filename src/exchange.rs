//! The owner of a record while its exchange goes on.
//!
//! It travels from the service to the future to the body; where it is dropped, the record is emitted. It is
//! small, because it is moved often and mostly through code that nobody logs with. The records
//! themselves stay where they are and are used again, so that an exchange needs no heap.

use std::cell::RefCell;
use std::sync::Arc;

use http::Request;

use crate::emit::emit;
use crate::plan::Plan;
use crate::record::Record;

/// Holds nothing when no log is to have a record, and once the record is emitted.
#[derive(Default)]
pub(crate) struct Exchange(Option<Box<Open>>);

/// A record and what it is made by, which is there while the record is in use.
#[derive(Default)]
struct Open {
    plan: Option<Arc<Plan>>,
    record: Record,
}

/// How many records a thread keeps for exchanges to come, at most.
const KEPT: usize = 128;

thread_local! {
    /// Nothing of an exchange is left in them.
    #[expect(clippy::vec_box, reason = "a record stays where it is")]
    static FREE: RefCell<Vec<Box<Open>>> = const { RefCell::new(Vec::new()) };
}

impl Exchange {
    /// The exchange that starts now, in which these logs are interested.
    pub(crate) fn begin<B>(plan: &Arc<Plan>, logs: u32, request: &mut Request<B>) -> Self {
        let mut open = free().unwrap_or_default();
        if open.record.begin(plan, logs, request) {
            open.plan = Some(Arc::clone(plan));
            return Self(Some(open));
        }
        keep(open);
        Self(None)
    }

    /// The record, and what it is made by.
    #[inline]
    pub(crate) fn open(&mut self) -> Option<(&Plan, &mut Record)> {
        let open = self.0.as_deref_mut()?;
        Some((open.plan.as_deref()?, &mut open.record))
    }

    /// Emits the record; there is nothing more to tell.
    #[inline]
    pub(crate) fn end(&mut self) {
        // No call may see where this lies, or everything that it lies in has to be moved for real.
        if let Some(open) = self.0.take() {
            open.end();
        }
    }
}

impl Open {
    #[inline(never)]
    fn end(mut self: Box<Self>) {
        let Self { plan, record } = &mut *self;
        if let Some(plan) = plan.take() {
            record.settle(&plan);
            emit(&plan, record);
        }
        record.clear();
        keep(self);
    }
}

impl Drop for Exchange {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}

fn free() -> Option<Box<Open>> {
    FREE.try_with(|free| free.try_borrow_mut().ok()?.pop()).ok()?
}

fn keep(open: Box<Open>) {
    // A thread that ends keeps nothing.
    let _ = FREE.try_with(|free| {
        if let Ok(mut free) = free.try_borrow_mut()
            && free.len() < KEPT
        {
            free.push(open);
        }
    });
}

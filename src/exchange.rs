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
pub(crate) struct Exchange(Option<Open>);

struct Open {
    plan: Arc<Plan>,
    record: Box<Record>,
}

/// How many records a thread keeps for exchanges to come, at most.
const KEPT: usize = 128;

thread_local! {
    /// Nothing of an exchange is left in them.
    static FREE: RefCell<Vec<Box<Record>>> = const { RefCell::new(Vec::new()) };
}

impl Exchange {
    /// The exchange that starts now.
    #[inline]
    pub(crate) fn begin<B>(plan: &Arc<Plan>, request: &mut Request<B>) -> Self {
        match plan.listening() {
            0 if !plan.needs.app => Self(None),
            logs => Self::heard(plan, logs, request),
        }
    }

    fn heard<B>(plan: &Arc<Plan>, logs: u32, request: &mut Request<B>) -> Self {
        let mut record = free().unwrap_or_default();
        if record.begin(plan, logs, request) {
            return Self(Some(Open { plan: Arc::clone(plan), record }));
        }
        keep(record);
        Self(None)
    }

    /// The record, and what it is made by.
    #[inline]
    pub(crate) fn open(&mut self) -> Option<(&Plan, &mut Record)> {
        self.0.as_mut().map(|Open { plan, record }| (&**plan, &mut **record))
    }

    /// Emits the record; there is nothing more to tell.
    pub(crate) fn end(&mut self) {
        if let Some(Open { plan, mut record }) = self.0.take() {
            record.settle(&plan);
            emit(&plan, &record);
            record.clear();
            keep(record);
        }
    }
}

impl Drop for Exchange {
    #[inline]
    fn drop(&mut self) {
        if self.0.is_some() {
            self.end();
        }
    }
}

fn free() -> Option<Box<Record>> {
    FREE.try_with(|free| free.try_borrow_mut().ok()?.pop()).ok()?
}

fn keep(record: Box<Record>) {
    // A thread that ends keeps nothing.
    let _ = FREE.try_with(|free| {
        if let Ok(mut free) = free.try_borrow_mut()
            && free.len() < KEPT
        {
            free.push(record);
        }
    });
}

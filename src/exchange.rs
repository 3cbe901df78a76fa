//! The owner of a record while its exchange goes on.
//!
//! It travels from the service to the future to the body; where it is dropped, the record is dropped, and
//! so emitted. It is as large as a pointer, because it is moved often and nearly always through code that
//! nobody logs with. The places that records lie in are used again, so that an exchange needs no heap.

use std::cell::RefCell;
use std::sync::Arc;

use http::Request;

use crate::plan::Plan;
use crate::record::Record;

/// Holds nothing when no log is to have a record, and once the record is emitted.
#[derive(Default)]
pub(crate) struct Exchange(Option<Box<Place>>);

/// Empty when it is not in use: nothing of an exchange outlives it here.
type Place = Option<Record>;

/// How many places a thread keeps for exchanges to come, at most.
const KEPT: usize = 128;

thread_local! {
    static FREE: RefCell<Vec<Box<Place>>> = const { RefCell::new(Vec::new()) };
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
        let Some(record) = Record::begin(plan, logs, request) else {
            return Self(None);
        };
        let mut place = free().unwrap_or_default();
        *place = Some(record);
        Self(Some(place))
    }

    #[inline]
    pub(crate) fn record(&mut self) -> Option<&mut Record> {
        self.0.as_mut()?.as_mut().as_mut()
    }

    /// Emits the record; there is nothing more to tell.
    pub(crate) fn end(&mut self) {
        if let Some(mut place) = self.0.take() {
            *place = None;
            keep(place);
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

fn free() -> Option<Box<Place>> {
    FREE.try_with(|free| free.try_borrow_mut().ok()?.pop()).ok()?
}

fn keep(place: Box<Place>) {
    // A thread that ends keeps nothing.
    let _ = FREE.try_with(|free| {
        if let Ok(mut free) = free.try_borrow_mut()
            && free.len() < KEPT
        {
            free.push(place);
        }
    });
}

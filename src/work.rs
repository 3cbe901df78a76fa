//! How much work a list of proxies may make.
//!
//! Elements of one list differ in what it takes to read them, by a factor of thirty. So a walk has a budget, in
//! steps of about one instruction: each element takes the 32nd part of it, which pays for the forms that most
//! proxies write; what takes longer pays for the rest when it is met, and a list that cannot pay is unknown. What
//! was measured to cost more is charged more, so that no content of a header makes a walk longer than its budget.

use crate::client::Unknown;

const ELEMENTS: usize = 32;
pub(crate) const ELEMENT: usize = 200;

/// A header instance that starts or ends oddly, and a search among the trusted prefixes; one of each comes with
/// the elements.
pub(crate) const INSTANCE: usize = 130;
pub(crate) const SEARCH: usize = 110;

/// A blank before an element of which `for` is not all. The element that is the first pays no less: otherwise a client
/// could hide by what it writes before it.
pub(crate) const BLANK: usize = 105;

/// What IPv6 with digits or groups left out costs more than with all of them.
pub(crate) const fn groups(len: usize) -> usize {
    let (short, long) = (15 * (len + 1), 125 + 10 * len);
    if short < long { short } else { long }
}

/// The steps that may still be spent.
pub(crate) struct Work(usize);

impl Work {
    pub(crate) const fn new() -> Self {
        Self(INSTANCE + SEARCH + ELEMENTS * ELEMENT)
    }

    pub(crate) const fn left(&self) -> usize {
        self.0
    }

    #[inline]
    pub(crate) fn spend(&mut self, steps: usize) -> Result<(), Unknown> {
        self.0 = self.0.checked_sub(steps).ok_or(Unknown::TooMany)?;
        Ok(())
    }
}

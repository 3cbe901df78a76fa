//! What reading a forwarding header may cost.
//!
//! A header can be kilobytes of the dearest elements that there are, and every request can bring one.
//! So a walk has a budget, and each thing that it reads has a price, which is roughly the number of
//! instructions that it takes. Prices are constants, counted once: a header means the same on every
//! machine. The budget is enough for 32 elements in their usual forms.

use crate::client::Unknown;

const WALK: usize = 6300;

/// What is left of the budget.
pub(crate) struct Work(usize);

impl Work {
    pub(crate) const fn of_a_walk() -> Self {
        Self(WALK)
    }

    pub(crate) fn spend(&mut self, price: usize) -> Result<(), Unknown> {
        self.0 = self.0.checked_sub(price).ok_or(Unknown::TooLong)?;
        Ok(())
    }

    /// How many bytes can be paid at this price.
    pub(crate) const fn bytes(&self, price: usize) -> usize {
        self.0 / price
    }

    /// Skipping padding: long runs are cheaper by the byte.
    pub(crate) fn spend_on_padding(&mut self, bytes: usize) -> Result<(), Unknown> {
        let price = if bytes < FEW { 90 + 20 * bytes } else { RUN + bytes * 5 / 8 };
        self.spend(price)
    }

    /// More padding than this cannot be paid.
    pub(crate) fn most_padding(&self) -> usize {
        let left = self.0.saturating_sub(RUN);
        (left + 1).saturating_mul(8).div_ceil(5).saturating_sub(1).max(FEW)
    }
}

const FEW: usize = 4;
const RUN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_padding_is_paid_than_is_looked_at() {
        for left in 0..=WALK {
            let most = Work(left).most_padding();
            assert_eq!(Work(left).spend_on_padding(most + 1), Err(Unknown::TooLong), "{left}");
        }
    }
}

//! What a walk under a filter is held to: the share of eligible rows that the filter promises, and a sum that it
//! may spend.
//!
//! A filter that lets the share `s` of all rows through is expected to let about `s` of the rows through that a walk
//! follows. (Of those it scores too many lie beside its way: with the 1% nearest rows ineligible, three quarters.) Where it lets far fewer through, the eligible rows lie away from the query ("opposed"), and a walk to the
//! query finds none of them however broad it is. [`Yield`] notices that after a few rows.
//!
//! A [`Budget`] is counted, never timed: rows scored and links read, at prices that are constants. So where a walk
//! stops depends on the data alone, and is the same on every machine.

/// Eligible rows that must have been expected before a lack of them means anything: of a Poisson number with mean 8,
/// fewer than 2 come in one case of 330.
const EXPECTED: u64 = 8;
/// A yield below this share of the expected one is a lack.
const LACK: u64 = 4;

/// How many of the rows that a walk follows are eligible, beside what the filter promises.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Yield {
    /// Eligible rows, and all of them. In 64 bits everywhere: products of these decide how a walk goes on, and have to
    /// decide alike on every processor.
    eligible: u64,
    rows: u64,
    met: u64,
    good: u64,
}

impl Yield {
    /// Nothing met yet; `eligible` of `rows` are.
    pub(crate) fn of(eligible: usize, rows: usize) -> Self {
        Yield {
            eligible: eligible as u64,
            rows: rows.max(1) as u64,
            met: 0,
            good: 0,
        }
    }

    /// Counts a row.
    #[inline]
    pub(crate) fn note(&mut self, eligible: bool) {
        self.met += 1;
        self.good += u64::from(eligible);
    }

    /// Whether clearly fewer are eligible than promised: what makes a walk that has not come to its end suspect.
    pub(crate) fn lacks(&self) -> bool {
        let promised = self.met.saturating_mul(self.eligible);
        10 * self.good.saturating_mul(self.rows) < 7 * promised
    }

    /// Whether far fewer are eligible than the filter promises.
    #[inline]
    pub(crate) fn is_poor(&self) -> bool {
        let promised = self.met.saturating_mul(self.eligible);
        promised >= EXPECTED.saturating_mul(self.rows)
            && LACK.saturating_mul(self.good).saturating_mul(self.rows) < promised
    }
}

/// What a walk may spend, and what things cost: in nanoseconds of the machine that the prices were measured on.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// What is left.
    pub left: u64,
    /// A row scored.
    pub score: u64,
    /// A row whose links are read.
    pub open: u64,
}

impl Budget {
    /// Pays; false when the budget does not reach.
    #[inline]
    pub(crate) fn pay(&mut self, scored: usize, opened: usize) -> bool {
        let price = self.score * scored as u64 + self.open * opened as u64;
        let enough = price <= self.left;
        self.left = self.left.saturating_sub(price);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yield_is_poor_when_a_quarter_of_what_was_promised_does_not_come() {
        let mut watch = Yield::of(20, 100);
        for i in 0..39 {
            watch.note(i == 7);
            assert!(!watch.is_poor(), "{i}: 7.8 expected are too few to tell");
        }
        watch.note(false);
        assert!(watch.is_poor(), "1 where 8 were promised");
        watch.note(true);
        watch.note(true);
        assert!(!watch.is_poor(), "3 where 8.4 were promised");
    }

    #[test]
    fn a_budget_pays_until_it_does_not_reach() {
        let mut budget = Budget {
            left: 100,
            score: 10,
            open: 20,
        };
        assert!(budget.pay(4, 3));
        assert!(!budget.pay(1, 0));
        assert_eq!(budget.left, 0);
    }
}

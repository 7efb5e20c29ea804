//! A boost: a number that is added to the score of the items that meet a condition.
//!
//! It is a term beside those of the signals, in units of the score and without a normaliser: what it is
//! worth does not depend on who else is in the pool. An item that does not match has 0.

use crate::error::Result;
use crate::rank::predicate::{Predicate, PredicateSpec};
use crate::rank::source::Source;

/// A boost over the columns of a source.
#[derive(Clone, Debug)]
pub(crate) struct Boost<'a> {
    pub(crate) name: &'a str,
    predicate: Predicate<'a>,
    by: f64,
}

impl<'a> Boost<'a> {
    pub(crate) fn new(
        source: &'a dyn Source,
        argument: &str,
        spec: &PredicateSpec,
        by: f64,
        name: &'a str,
    ) -> Result<Self> {
        let predicate = Predicate::new(source, argument, spec)?;
        Ok(Boost {
            name,
            predicate,
            by,
        })
    }

    /// The term of a row.
    pub(crate) fn term(&self, row: u32) -> f64 {
        if self.predicate.matches(row) {
            self.by
        } else {
            0.0
        }
    }
}

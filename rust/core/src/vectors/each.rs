//! Many queries, each in a way of its own.

use super::search::{Ask, Found};
use super::Vectors;
use crate::error::{Error, Result};
use crate::scored::{Scored, TieBreak};
use crate::threads;

impl Vectors {
    /// Searches with each of some queries, one `ask` a query.
    pub fn search_each<T: TieBreak + Sync + ?Sized>(
        &self,
        queries: &[f32],
        asks: &[Ask<'_>],
        threads: usize,
        tie: &T,
    ) -> Result<Vec<(Vec<Scored>, Found)>> {
        asks.iter().try_for_each(|ask| ask.check())?;
        self.store.check("queries", queries)?;
        let dim = self.store.dim();
        if queries.len() != asks.len() * dim {
            let expected = format!("{} queries, one a filter", asks.len());
            return Err(Error::invalid("queries", expected, queries.len() / dim));
        }
        let pairs: Vec<(&[f32], &Ask<'_>)> = queries.chunks_exact(dim).zip(asks).collect();
        threads::map(
            threads,
            &pairs,
            || (),
            |(), (query, ask)| self.search(query, **ask, tie),
        )
    }
}

//! A filter of any kind, and the rows that it keeps at one state of what it filters.

use std::fmt;
use std::sync::Arc;

use crate::column::Column;
use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::ids::{IdMap, Ids};

use super::bind::Bound;
use super::bits::Bits;
use super::expr::Expr;
use super::indexed::Stamp;
use super::Columns;

/// What somebody else evaluates.
pub trait Outside: fmt::Debug + Send + Sync {
    /// For each live row, in order, whether it is kept; `None` for null.
    fn evaluate<'c>(
        &self,
        ids: &IdMap,
        column: &dyn Fn(&str) -> Option<&'c Column>,
    ) -> Result<Vec<Option<bool>>>;
}

/// A filter.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Predicates; their JSON stands for them.
    Expr(Arc<Expr>, Arc<str>),
    /// These items. One that is not there is fine: it may have been removed since.
    Ids(Arc<Ids>),
    /// What the caller evaluates, and what stands for it.
    Outside(Arc<dyn Outside>, Arc<str>),
    /// Both of these.
    And(Arc<Filter>, Arc<Filter>),
    /// One of these, or both.
    Or(Arc<Filter>, Arc<Filter>),
    /// Not this.
    Not(Arc<Filter>),
}

/// The live rows that a filter keeps.
#[derive(Debug)]
pub struct Kept {
    /// The rows.
    pub rows: RowSet,
    /// How many rows were live.
    pub live: usize,
    /// At which generation.
    pub generation: u64,
    /// At which state; `None` of what never changes.
    pub stamp: Option<Stamp>,
}

impl Kept {
    /// The share of the live rows that is kept; 0 where there is none.
    pub fn selectivity(&self) -> f64 {
        self.rows.len() as f64 / self.live.max(1) as f64
    }

    /// Whether it tells of the state that this is at.
    pub fn is_of<C: Columns + ?Sized>(&self, columns: &C) -> bool {
        self.stamp == columns.indexed().map(|indexed| indexed.stamp())
    }
}

impl Filter {
    /// Of predicates.
    pub fn of(expr: Expr) -> Filter {
        let key = expr.to_json().into();
        Filter::Expr(Arc::new(expr), key)
    }

    /// The rows that it keeps; `argument` is what the caller calls it. What was found for the same filter
    /// at the same state is found again without looking.
    pub fn compile<C: Columns + ?Sized>(&self, columns: &C, argument: &str) -> Result<Arc<Kept>> {
        let cache = columns.indexed().zip(self.key());
        if let Some(kept) = cache.and_then(|(indexed, key)| indexed.answer(key)) {
            return Ok(kept);
        }
        let ids = columns.row_ids();
        let mut rows = self
            .part(columns, argument)?
            .yes(ids.rows_len())
            .into_rows();
        rows.intersect(ids.live());
        let kept = Arc::new(Kept {
            rows,
            live: ids.len(),
            generation: columns.at_generation(),
            stamp: columns.indexed().map(|indexed| indexed.stamp()),
        });
        if let Some((indexed, key)) = cache {
            indexed.keep(key, &kept);
        }
        Ok(kept)
    }

    fn key(&self) -> Option<&Arc<str>> {
        match self {
            Filter::Expr(_, key) | Filter::Outside(_, key) => Some(key),
            _ => None,
        }
    }

    fn part<'a, C: Columns + ?Sized>(&self, columns: &'a C, argument: &str) -> Result<Part<'a>> {
        let rows = columns.row_ids().rows_len();
        let pair = |a: &Filter, b: &Filter| {
            Ok::<_, Error>([a.part(columns, argument)?, b.part(columns, argument)?])
        };
        Ok(match self {
            Filter::Expr(expr, _) => Part::Bound(Bound::new(columns, argument, expr)?),
            Filter::Ids(ids) => {
                let mut found = Bits::none(rows);
                (0..ids.len())
                    .filter_map(|i| columns.row_ids().row_of(ids, i))
                    .for_each(|row| found.insert(row));
                Part::Known(found.clone(), found)
            }
            Filter::Outside(outside, _) => {
                let (mut yes, mut maybe) = (Bits::none(rows), Bits::none(rows));
                let truths =
                    outside.evaluate(columns.row_ids(), &|name| columns.attribute(name))?;
                for (row, truth) in columns.row_ids().live_rows().zip(truths) {
                    yes.set(row, truth == Some(true));
                    maybe.set(row, truth != Some(false));
                }
                Part::Known(yes, maybe)
            }
            Filter::And(a, b) => Part::And(Box::new(pair(a, b)?)),
            Filter::Or(a, b) => Part::Or(Box::new(pair(a, b)?)),
            Filter::Not(a) => Part::Not(Box::new(a.part(columns, argument)?)),
        })
    }
}

/// The same with what it was looked up.
enum Part<'a> {
    Bound(Bound<'a>),
    /// The rows where it is true, and those where it is not false.
    Known(Bits, Bits),
    And(Box<[Part<'a>; 2]>),
    Or(Box<[Part<'a>; 2]>),
    Not(Box<Part<'a>>),
}

impl Part<'_> {
    fn yes(&self, rows: usize) -> Bits {
        match self {
            Part::Bound(bound) => bound.yes(rows),
            Part::Known(yes, _) => yes.clone(),
            Part::And(parts) => both(parts, |part| part.yes(rows)),
            Part::Or(parts) => either(parts, |part| part.yes(rows)),
            Part::Not(part) => part.maybe(rows).complement(),
        }
    }

    fn maybe(&self, rows: usize) -> Bits {
        match self {
            Part::Bound(bound) => bound.maybe(rows),
            Part::Known(_, maybe) => maybe.clone(),
            Part::And(parts) => both(parts, |part| part.maybe(rows)),
            Part::Or(parts) => either(parts, |part| part.maybe(rows)),
            Part::Not(part) => part.yes(rows).complement(),
        }
    }
}

fn both(parts: &[Part<'_>; 2], of: impl Fn(&Part<'_>) -> Bits) -> Bits {
    let mut found = of(&parts[0]);
    found.intersect(&of(&parts[1]));
    found
}

fn either(parts: &[Part<'_>; 2], of: impl Fn(&Part<'_>) -> Bits) -> Bits {
    let mut found = of(&parts[0]);
    found.unite(&of(&parts[1]));
    found
}

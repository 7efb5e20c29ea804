//! The seam: what ranking asks of whatever holds the items. A catalog with a graph answers, and so
//! does a plain list of candidates; ranking cannot tell them apart.

use crate::column::Column;
use crate::eligible::RowSet;
use crate::error::Result;
use crate::filter::{Columns, Indexed};
use crate::ids::IdMap;
use crate::metric::Metric;
use crate::price::{self, Outlook};
use crate::scored::Scored;
use crate::store::{Rounded, VectorStore};

use super::origin::Origin;

/// A space, as ranking sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceInfo {
    /// Its name.
    pub name: String,
    /// Components of a vector.
    pub dim: usize,
    /// How vectors are compared.
    pub metric: Metric,
}

/// Where the candidates came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Every eligible row was scored.
    Exact,
    /// A graph was walked over the eligible rows alone.
    Filtered,
    /// A graph was searched.
    Graph,
    /// No vector was used: eligible rows by the signals that are not personal.
    Attributes,
    /// The caller brought them.
    Given,
}

impl Path {
    /// As users see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Path::Exact => "exact",
            Path::Filtered => "filtered",
            Path::Graph => "graph",
            Path::Attributes => "attributes",
            Path::Given => "given",
        }
    }

    /// From that spelling.
    pub fn parse(name: &str) -> Option<Self> {
        [
            Path::Exact,
            Path::Filtered,
            Path::Graph,
            Path::Attributes,
            Path::Given,
        ]
        .into_iter()
        .find(|path| path.as_str() == name)
    }

    /// Whether rows may have been missed.
    pub fn is_approximate(self) -> bool {
        matches!(self, Path::Filtered | Path::Graph)
    }
}

/// What a retrieval found.
#[derive(Clone, Debug)]
pub struct Retrieved {
    /// Distinct eligible rows, best first.
    pub hits: Vec<Scored>,
    /// How they were found.
    pub path: Path,
}

/// Something that holds items.
///
/// Scores and similarities must be pure functions of the stored data, the same on every machine:
/// that is what makes a slate replayable.
pub trait Source: Sync {
    /// Ids by row. Rows are numbered below `ids().rows_len()`.
    fn ids(&self) -> &IdMap;

    /// The spaces, in a fixed order.
    fn spaces(&self) -> &[SpaceInfo];

    /// The best `n` eligible rows: always `min(n, eligible.len())` of them, even where the search is
    /// approximate. Where no scores came with the candidates, theirs are those of [`Source::similarity`].
    fn retrieve(
        &self,
        space: usize,
        query: &[f32],
        n: usize,
        eligible: &RowSet,
    ) -> Result<Retrieved>;

    /// The same by a walk of `parts` of [`price::WHOLE`] parts of its breadth, where it is a walk.
    fn retrieve_narrowed(
        &self,
        space: usize,
        query: &[f32],
        n: usize,
        eligible: &RowSet,
        _parts: usize,
    ) -> Result<Retrieved> {
        self.retrieve(space, query, n, eligible)
    }

    /// What such a retrieval is predicted to take: a function of counts alone, never of a clock.
    fn outlook(&self, space: usize, n: usize, eligible: usize, _parts: usize) -> Outlook {
        let rows = self.ids().rows_len();
        Outlook::of(match self.given_scores() {
            Some(_) => price::sorted(eligible),
            None => price::scan(eligible, rows, self.row_bytes(space), n),
        })
    }

    /// Bytes of a stored vector, as scores and cosines read it.
    fn row_bytes(&self, space: usize) -> usize {
        4 * self.spaces()[space].dim
    }

    /// The metric's score of the query with each row: higher is better.
    fn similarity(&self, space: usize, query: &[f32], rows: &[u32], out: &mut [f32]) -> Result<()>;

    /// The cosine of a stored row with each of `rows`, whatever the space's metric.
    fn cosine(&self, space: usize, row: u32, rows: &[u32], out: &mut [f32]);

    /// Rounds a stored row's unit vector to int8 codes in [-127, 127]; `None` where no scale fits. A zero vector has zeros.
    fn round(&self, space: usize, row: u32, codes: &mut [i8]) -> Option<Rounded>;

    /// Says that a row is asked for soon: for [`Source::cosine`], or for [`Source::round`].
    fn prefetch(&self, _space: usize, _row: u32, _rounded: bool) {}

    /// A stored row's unit vector; zeros for a zero vector.
    fn unit(&self, space: usize, row: u32, out: &mut [f32]);

    /// An attribute column.
    fn column(&self, name: &str) -> Option<&Column>;

    /// Numbers that came with the items under the name of a signal, a model or a list: they stand for what a request does
    /// not bring.
    fn packed_signal(&self, _name: &str) -> Option<&Column> {
        None
    }

    /// The stored vectors of a space, for copies of them.
    fn store(&self, _space: usize) -> Option<&VectorStore> {
        None
    }

    /// Refuses a moment at which the items are not to be ranked.
    fn check_moment(&self, _at: i64) -> Result<()> {
        Ok(())
    }

    /// Where the values of attributes are; `None` where they are scanned.
    fn indexed(&self) -> Option<&Indexed> {
        None
    }

    /// Grows with every change.
    fn generation(&self) -> u64;

    /// Stands for the content alone: equal content, equal hash.
    fn content_hash(&self) -> String;

    /// Whether the content is the one that a record names, by the hash of this release or of an earlier one.
    fn has_content(&self, hash: &str) -> bool {
        self.content_hash() == hash
    }

    /// What a record says of it beside the hash of its content.
    fn origin(&self) -> Option<Origin> {
        None
    }

    /// Scores by row that came with the candidates. Where they exist they are the similarity signal,
    /// and [`Source::retrieve`] orders by them whatever the space and query.
    fn given_scores(&self) -> Option<&[f64]> {
        None
    }
}

impl Columns for dyn Source + '_ {
    fn row_ids(&self) -> &IdMap {
        self.ids()
    }

    fn attribute(&self, name: &str) -> Option<&Column> {
        self.column(name)
    }

    fn indexed(&self) -> Option<&Indexed> {
        Source::indexed(self)
    }

    fn at_generation(&self) -> u64 {
        self.generation()
    }
}

//! An index over rows that come with their graph, from a file of another library.

use super::Index;
use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::filter::Indexed;
use crate::hnsw::Graph;
use crate::ids::{IdMap, Ids};
use crate::threads;
use crate::vectors::{Spec, Vectors};

impl Index {
    /// An index of these rows, linked by this graph; those that are not live are walked through and never answered.
    pub(crate) fn of_graph(
        spec: Spec,
        vectors: &[f32],
        by_row: Ids,
        live: &[bool],
        mut graph: Graph,
        num_threads: i64,
    ) -> Result<Self> {
        let threads = threads::resolve("num_threads", num_threads)?;
        // The next id that is given out lies beyond all that ever were.
        let next_id = match &by_row {
            Ids::Int(ids) => ids.iter().map(|id| id.saturating_add(1)).max(),
            Ids::Str(_) => None,
        };
        let ids = IdMap::from_parts(by_row, live)?;
        if graph.len() != ids.rows_len() {
            return Err(Error::format(format!(
                "a graph of {} rows lies beside {} vectors",
                graph.len(),
                ids.rows_len()
            )));
        }
        // As of a file of a release that knew no repair: links to what was removed wait for the next one.
        let mut gone = RowSet::full(ids.rows_len());
        gone.subtract(ids.live());
        let count = gone.len() as u32;
        graph.set_due(gone, [count, 0]);
        let join = || Vectors::of_graph(spec, vectors, graph);
        let vectors = if threads > 1 {
            threads::with_pool(threads, join)??
        } else {
            join()?
        };
        Ok(Index {
            vectors,
            ids,
            next_id: next_id.unwrap_or(0).max(0),
            indexed: Indexed::default(),
        })
    }
}

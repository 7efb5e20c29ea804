//! A space whose graph was made elsewhere.

use super::{Spec, Vectors};
use crate::error::Result;
use crate::hnsw::Graph;
use crate::local::LocalCodes;

impl Vectors {
    /// A space of these checked vectors, one a row of the graph, with all else that its layout keeps beside them. Parallel when
    /// called inside a rayon pool.
    pub(crate) fn of_graph(spec: Spec, vectors: &[f32], graph: Graph) -> Result<Self> {
        let mut space = Vectors::new(spec)?;
        space.store.push(vectors);
        if let Some(finer) = &mut space.finer {
            finer.push(vectors);
        }
        if space.wants_local() {
            let mut local = LocalCodes::new(&space.store, 2 * space.spec.m, space.spec.seed);
            local.update(&space.store, &graph, &[]);
            space.local = Some(local);
        }
        space.graph = Some(graph);
        space.draw_sample();
        space.order_by_norm();
        Ok(space)
    }
}

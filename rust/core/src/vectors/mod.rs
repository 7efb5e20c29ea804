//! One searchable space: a store, and what lies beside it to find neighbours without a scan.
//!
//! - `spec`: what users choose: layout, finer copy, parameters of the graph.
//! - `search`: the way a query takes. `plan`: which one, and every number that decides it. `outlook`: what it is predicted to take.
//! - `teach`: the links that a sample of queries adds to a graph.
//! - `tune`: how much of the exact answer that finds, and the breadth that finds enough.
//! - `file`: the sections in a file; `adopt`: a graph that was made elsewhere.
//! - `numbers`: vectors as a table brings them, appended piece by piece and linked at the end.
//!
//! A [`Layout`] is a set of parts beside the store. Where a new part goes: a field of [`Vectors`], kept in
//! step with the store in `link` (and so in `keep`), its bytes in [`Bytes`], its sections in
//! `file`, and its walk in `Vectors::near` of `search`, which is the one place that asks a part for
//! candidates. Everything before and after that call (the scan, the filter, the final scores) is the same
//! for every layout.

mod adopt;
mod each;
mod file;
mod numbers;
mod outlook;
mod plan;
mod sample;
mod search;
mod spec;
mod teach;
mod tune;

pub use numbers::Numbers;
pub use plan::Way;
pub use search::{default_ef, Ask, Found, MIPS_SCAN_BYTES, SCAN_BYTES};
pub use spec::{Layout, Rescore, Spec};
pub use teach::Lesson;
pub use tune::{Breadth, Recall, Trial, Tuning, SAMPLE};

use crate::error::Result;
use crate::hnsw::{Graph, Hook};
use crate::local::LocalCodes;
use crate::metric::Metric;
use crate::mips::NormOrder;
use crate::store::VectorStore;
use perso_kernels::Rows;
use sample::Sampled;

/// Rows from which a space whose layout was named has its graph: a walk over fewer would see most of them.
pub const GRAPH_ROWS: usize = 1024;

/// A store with what its layout keeps beside it.
#[derive(Clone, Debug)]
pub struct Vectors {
    store: VectorStore,
    /// The same vectors, finer: what is reported is scored from here. The graph and the walk never are.
    finer: Option<VectorStore>,
    graph: Option<Graph>,
    /// Codes of the graph's links, in the local layout.
    local: Option<LocalCodes>,
    /// Under inner product: the rows by norm, with short copies of the longest.
    order: Option<NormOrder>,
    /// The breadth of a walk that names none, in place of the default.
    tuned: Option<Breadth>,
    /// What a sample of the rows tells of walks.
    sampled: Option<Sampled>,
    spec: Spec,
}

/// Heap bytes by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// The vectors, with their scales and norms.
    pub vectors: usize,
    /// The finer copy.
    pub rescore: usize,
    /// Links.
    pub graph: usize,
    /// Links that queries taught.
    pub taught: usize,
    /// Codes of the neighbours in each row of the graph.
    pub local: usize,
    /// The rows by norm.
    pub norm_order: usize,
}

impl Bytes {
    /// All of it.
    pub fn total(&self) -> usize {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }

    /// The parts by the name that users see.
    pub fn parts(&self) -> [(&'static str, usize); 6] {
        [
            ("vectors", self.vectors),
            ("rescore", self.rescore),
            ("graph", self.graph),
            ("taught", self.taught),
            ("local", self.local),
            ("norm_order", self.norm_order),
        ]
    }
}

impl Vectors {
    /// An empty space.
    pub fn new(spec: Spec) -> Result<Self> {
        spec.check()?;
        let store = |dtype| VectorStore::new(spec.dim, spec.metric, dtype);
        Ok(Vectors {
            store: store(spec.dtype)?,
            finer: spec.rescore.map(|r| store(r.dtype())).transpose()?,
            graph: None,
            local: None,
            order: None,
            tuned: None,
            sampled: None,
            spec,
        })
    }

    /// The description.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The vectors that scans and walks read.
    pub fn store(&self) -> &VectorStore {
        &self.store
    }

    /// The vectors that reported scores come from: the finer copy where there is one.
    pub fn finest(&self) -> &VectorStore {
        self.finer.as_ref().unwrap_or(&self.store)
    }

    /// The breadth that tuning found.
    pub fn tuned(&self) -> Option<Breadth> {
        self.tuned
    }

    /// Makes a breadth the default; `None` for the one that a space begins with.
    pub fn set_tuned(&mut self, tuned: Option<Breadth>) {
        self.tuned = tuned;
    }

    /// Rows held, dead ones included.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.store.is_empty()
    }

    /// The graph, when there is one.
    pub fn graph(&self) -> Option<&Graph> {
        self.graph.as_ref()
    }

    /// What lies beside the vectors now: never [`Layout::Auto`].
    pub fn layout(&self) -> Layout {
        match (&self.graph, &self.local) {
            (None, _) => Layout::Exact,
            (Some(_), None) => Layout::Compact,
            (Some(_), Some(_)) => Layout::Local,
        }
    }

    /// Heap bytes held, by part.
    pub fn bytes(&self) -> Bytes {
        Bytes {
            vectors: self.store.heap_bytes(),
            rescore: self.finer.as_ref().map_or(0, VectorStore::heap_bytes),
            graph: self.graph.as_ref().map_or(0, Graph::heap_bytes),
            taught: self
                .graph
                .as_ref()
                .map_or(0, |graph| graph.taught().heap_bytes()),
            local: self.local.as_ref().map_or(0, LocalCodes::heap_bytes),
            norm_order: self.order.as_ref().map_or(0, NormOrder::heap_bytes),
        }
    }

    /// Refuses vectors that cannot be stored: of a wrong length, with NaN or infinity, or too large for a
    /// storage type.
    pub fn check(&self, argument: &str, vectors: &[f32]) -> Result<()> {
        self.store.check(argument, vectors)?;
        self.finer
            .as_ref()
            .map_or(Ok(()), |finer| finer.check(argument, vectors))
    }

    /// Appends checked vectors and links them; on interruption nothing has changed.
    pub fn push(&mut self, vectors: &[f32], hook: Hook<'_>) -> Result<()> {
        self.push_and_fit(vectors, None, hook)
    }

    /// The same, and then teaches the graph anew; the hook counts rows and queries together.
    pub fn push_and_fit(
        &mut self,
        vectors: &[f32],
        lesson: Option<Lesson<'_>>,
        hook: Hook<'_>,
    ) -> Result<()> {
        self.append(
            |store| store.push(vectors),
            |space| space.link(lesson, hook),
            lesson,
            hook,
        )
    }

    /// Appends copies of stored rows, bit for bit, and links them.
    pub fn push_copies(&mut self, rows: &[u32], hook: Hook<'_>) -> Result<()> {
        self.append(
            |store| store.push_copies(rows),
            |space| space.link(None, hook),
            None,
            hook,
        )
    }

    /// Appends rows to the stores and links them, or does neither.
    fn append(
        &mut self,
        push: impl Fn(&mut VectorStore),
        link: impl FnOnce(&mut Self) -> Result<()>,
        lesson: Option<Lesson<'_>>,
        hook: Hook<'_>,
    ) -> Result<()> {
        // A copy shares everything: undoing is going back to it.
        let before = self.clone();
        push(&mut self.store);
        if let Some(finer) = &mut self.finer {
            push(finer);
        }
        if let Err(error) = link(self) {
            *self = before;
            return Err(error);
        }
        // Also where there was nothing to link, progress reaches its end.
        let queries = lesson.map_or(0, |lesson| lesson.len(self.spec.dim));
        let added = self.len() - before.len() + queries;
        hook(added, added);
        Ok(())
    }

    fn link(&mut self, lesson: Option<Lesson<'_>>, hook: Hook<'_>) -> Result<()> {
        if self.graph.is_none() && !self.wants_graph() {
            self.order_by_norm();
            return Ok(());
        }
        let had_graph = self.graph.is_some();
        let graph = self
            .graph
            .get_or_insert_with(|| Graph::new(self.spec.params()));
        let linked = match lesson {
            None => graph.insert_rows(&self.store, hook),
            Some(lesson) => {
                let (store, rows) = (&self.store, self.store.len() - graph.len());
                let finest = self.finer.as_ref().unwrap_or(store);
                let queries = lesson.len(self.spec.dim);
                let teach = |graph: &Graph| {
                    let after = |done, total| hook(rows + done, rows + total);
                    teach::learn(graph, store, finest, lesson, &after)
                };
                let before = |done, total| hook(done, total + queries);
                graph.insert_and_teach(store, Some(&teach), &before)
            }
        };
        let changed = linked?;
        if self.local.is_none() && !had_graph && self.wants_local() {
            let links = 2 * self.spec.m;
            self.local = Some(LocalCodes::new(&self.store, links, self.spec.seed));
        }
        if let (Some(local), Some(graph)) = (&mut self.local, &self.graph) {
            local.update(&self.store, graph, &changed);
        }
        self.draw_sample();
        self.order_by_norm();
        Ok(())
    }

    /// Whether a space that gets a graph gets neighbour codes as well. Where the layout is left open, it does
    /// if they weigh little more than the vectors: who chose int8 alone chose to be small.
    fn wants_local(&self) -> bool {
        let vectors =
            self.store.row_bytes() + self.finer.as_ref().map_or(0, VectorStore::row_bytes);
        match self.spec.layout {
            Layout::Auto => {
                let codes = LocalCodes::row_bytes(self.spec.dim, 2 * self.spec.m);
                self.spec.metric != Metric::Ip && 2 * codes <= 3 * vectors
            }
            Layout::Local => true,
            Layout::Exact | Layout::Compact => false,
        }
    }

    /// Whether a space of this size has a graph.
    fn wants_graph(&self) -> bool {
        match self.spec.layout {
            Layout::Auto => self.len() * self.store.row_bytes() > SCAN_BYTES,
            Layout::Exact => false,
            Layout::Compact | Layout::Local => self.len() >= GRAPH_ROWS,
        }
    }

    /// Under inner product, takes the rows that are new into the order by norm.
    fn order_by_norm(&mut self) {
        let store = self.finer.as_ref().unwrap_or(&self.store);
        let pays = store.len() * store.row_bytes() > search::ORDER_BYTES;
        if self.spec.metric == Metric::Ip && (self.order.is_some() || pays) {
            self.order.get_or_insert_default().extend(store);
        }
    }

    /// Takes rows out of the graph; once enough of them have gone, nothing leads to them any more.
    pub fn take_out(&mut self, rows: &[u32]) {
        let Some(graph) = &mut self.graph else { return };
        graph.take_out(rows);
        if graph.repair_is_due() {
            self.repair();
        }
    }

    /// Replaces all links that lead to rows that were taken out.
    fn repair(&mut self) {
        let Some(graph) = self.graph.as_mut().filter(|graph| graph.needs_repair()) else {
            return;
        };
        let changed = graph.repair(&self.store);
        if let Some(local) = &mut self.local {
            local.update(&self.store, graph, &changed);
        }
    }

    /// The same space with only the given rows, in memory of its own; all others were taken out. Nothing is
    /// built anew: links are numbered anew.
    pub fn keep(&self, rows: &[u32]) -> Vectors {
        let mut whole = self.clone();
        whole.repair();
        let store = whole.store.keep(rows);
        let graph = whole.graph.as_ref().map(|graph| graph.keep(rows));
        let local = whole.local.as_ref().map(|local| local.keep(&store, rows));
        let mut kept = Vectors {
            store,
            finer: self.finer.as_ref().map(|finer| finer.keep(rows)),
            graph,
            local,
            order: None,
            ..whole
        };
        if !kept.wants_graph() {
            (kept.graph, kept.local, kept.sampled) = (None, None, None);
        }
        kept.order_by_norm();
        kept
    }

    /// A stored vector as single precision, as fine as it is kept.
    pub fn get(&self, row: u32, out: &mut [f32]) {
        self.finest().get(row, out);
    }

    /// The stored bytes of a row, for the content hash: of the vector, then of its finer copy.
    pub fn row_bytes_into(&self, row: u32, out: &mut Vec<u8>) {
        self.store.row_bytes_into(row, out);
        if let Some(finer) = &self.finer {
            finer.row_bytes_into(row, out);
        }
    }

    /// The reported scores of some rows for a checked query.
    pub fn scores(&self, query: &[f32], rows: &[u32], out: &mut [f32]) {
        let store = self.finest();
        store.fine(&store.query(query), Rows::Ids(rows), out);
    }
}

#[cfg(test)]
mod filtered_tests;
#[cfg(test)]
mod teach_tests;

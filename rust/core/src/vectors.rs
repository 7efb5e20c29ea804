//! One searchable space: a store, and a graph over it once a scan would be too slow.

use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::exact;
use crate::format::{Reader, Writer};
use crate::hnsw::{Graph, Hook, Params, Scratch};
use crate::metric::{Dtype, Metric};
use crate::mips::{NormOrder, Outcome};
use crate::scored::{Scored, TieBreak};
use crate::store::{Data, Query, VectorStore};
use perso_kernels::Rows;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;

/// A scan of this many bytes takes about as long as a graph search: below it the scan is used, and a
/// space smaller than it has no graph at all.
pub const SCAN_BYTES: usize = 2 << 20;

/// The same for inner product, where a walk takes longer.
pub const MIPS_SCAN_BYTES: usize = 8 << 20;

/// How many of the best by coarse score are scored finely, beyond the `k` asked for.
const RESCORE: usize = 32;

/// Breadth of a graph search when the caller names none: this plus `k / 2`. Measured recall@10 at the
/// defaults: 0.98 on 100,000 x 384 sentence embeddings (cosine, i8); on 40,981 x 64 ALS factors (ip, i8)
/// the graph alone had 0.956 at 200 and 0.937 at 100. A pool of 500 of the former has 0.93 of the true 500 and
/// 0.99 of the true 20.
pub fn default_ef(metric: Metric) -> usize {
    match metric {
        Metric::Ip => 200,
        Metric::Cosine | Metric::L2 => 100,
    }
}

/// Rows of the best inner product among the largest, from which a graph search starts as well.
const MIPS_ENTRIES: usize = 8;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Which way the answers were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Every eligible row was scored.
    Exact,
    /// The graph was searched.
    Graph,
}

impl Found {
    /// As users see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Found::Exact => "exact",
            Found::Graph => "graph",
        }
    }
}

/// What is asked of a search besides the query.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// How many answers.
    pub k: usize,
    /// Breadth of a graph search; `None` for the default.
    pub ef: Option<usize>,
    /// The rows that may be answered; `None` when all may.
    pub eligible: Option<&'a RowSet>,
    /// Score every eligible row, whatever the size.
    pub exact: bool,
}

impl Ask<'_> {
    /// Refuses what cannot be answered.
    pub fn check(&self) -> Result<()> {
        if self.k == 0 {
            return Err(Error::invalid("k", "at least 1", 0));
        }
        match self.ef {
            Some(0) => Err(Error::invalid("ef", "at least 1", 0)),
            Some(_) if self.exact => Err(Error::invalid(
                "ef",
                "None with exact=True, which searches no graph",
                self.ef.unwrap_or(0),
            )),
            _ => Ok(()),
        }
    }
}

/// The part of a space's description that a file keeps as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Components of a vector.
    pub dim: usize,
    /// How scores are made.
    pub metric: Metric,
    /// Storage type.
    pub dtype: Dtype,
    /// Links a row.
    pub m: usize,
    /// Breadth while building.
    pub ef_construction: usize,
    /// Seed of the graph.
    pub seed: u64,
}

impl Spec {
    fn params(&self) -> Params {
        Params {
            m: self.m,
            ef_construction: self.ef_construction,
            seed: self.seed,
        }
    }
}

/// A store with its graph.
#[derive(Clone, Debug)]
pub struct Vectors {
    store: VectorStore,
    graph: Option<Graph>,
    /// Under inner product, beside a graph: the rows by norm.
    order: Option<NormOrder>,
    spec: Spec,
}

impl Vectors {
    /// An empty space.
    pub fn new(spec: Spec) -> Result<Self> {
        spec.params().check()?;
        Ok(Vectors {
            store: VectorStore::new(spec.dim, spec.metric, spec.dtype)?,
            graph: None,
            order: None,
            spec,
        })
    }

    /// The description.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The vectors.
    pub fn store(&self) -> &VectorStore {
        &self.store
    }

    /// The graph, when there is one.
    pub fn graph(&self) -> Option<&Graph> {
        self.graph.as_ref()
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.store.heap_bytes()
            + self.graph.as_ref().map_or(0, Graph::heap_bytes)
            + self.order.as_ref().map_or(0, NormOrder::heap_bytes)
    }

    /// Appends checked vectors and links them; on interruption nothing has changed.
    pub fn push(&mut self, vectors: &[f32], hook: Hook<'_>) -> Result<()> {
        let before = self.store.len();
        self.store.push(vectors);
        self.link_or_truncate(before, hook)
    }

    /// Appends copies of stored rows, bit for bit, and links them.
    pub fn push_copies(&mut self, rows: &[u32], hook: Hook<'_>) -> Result<()> {
        let before = self.store.len();
        self.store.push_copies(rows);
        self.link_or_truncate(before, hook)
    }

    fn link_or_truncate(&mut self, before: usize, hook: Hook<'_>) -> Result<()> {
        let linked = self.link(hook);
        match &linked {
            Ok(()) => {
                // Also where there was nothing to link, progress reaches its end.
                let added = self.store.len() - before;
                hook(added, added);
            }
            Err(_) => self.store.truncate(before),
        }
        linked
    }

    fn link(&mut self, hook: Hook<'_>) -> Result<()> {
        if self.graph.is_none() && self.store.len() * self.store.row_bytes() <= SCAN_BYTES {
            return Ok(());
        }
        let had_graph = self.graph.is_some();
        let graph = self
            .graph
            .get_or_insert_with(|| Graph::new(self.spec.params()));
        let linked = graph.insert_rows(&self.store, hook);
        if linked.is_err() && !had_graph {
            self.graph = None;
        }
        linked?;
        if self.spec.metric == Metric::Ip {
            self.order.get_or_insert_default().extend(&self.store);
        }
        Ok(())
    }

    /// The same space with only the given rows, its graph built anew.
    pub fn keep(&self, rows: &[u32], hook: Hook<'_>) -> Result<Vectors> {
        let mut kept = Vectors {
            store: self.store.keep(rows),
            graph: None,
            order: None,
            spec: self.spec.clone(),
        };
        kept.link(hook)?;
        Ok(kept)
    }

    /// The best rows for a checked query: always `min(k, eligible)` of them.
    pub fn search<T: TieBreak + ?Sized>(
        &self,
        query: &[f32],
        ask: Ask<'_>,
        tie: &T,
    ) -> (Vec<Scored>, Found) {
        let query = self.store.query(query);
        let rows = ask.eligible.map_or(self.store.len(), RowSet::len);
        let graph = self.graph.as_ref();
        if let Some(graph) = graph.filter(|_| !ask.exact && self.walks(rows, ask.k)) {
            let mut probe = Vec::new();
            if let Some(order) = &self.order {
                let budget = SCAN_BYTES / self.store.row_bytes();
                match order.search(&self.store, &query, ask.k, ask.eligible, budget, tie) {
                    Outcome::Exact(found) => return (found, Found::Exact),
                    Outcome::Probe(best) => probe.extend(best.iter().map(|entry| entry.row)),
                }
            }
            if self.scans_anyway(rows) {
                let found = exact::scan(&self.store, &query, ask.k, ask.eligible, tie);
                return (found, Found::Exact);
            }
            let entries = &probe[..probe.len().min(MIPS_ENTRIES)];
            let mut near = self.walk(graph, &query, ask, rows, entries);
            near.extend(probe);
            near.sort_unstable();
            near.dedup();
            if near.len() >= ask.k.min(rows) {
                let found = exact::fine_top_k(&self.store, &query, ask.k, &near, tie);
                return (found, Found::Graph);
            }
            // The walk did not reach enough eligible rows: score them all instead of answering short.
        }
        (
            exact::scan(&self.store, &query, ask.k, ask.eligible, tie),
            Found::Exact,
        )
    }

    /// Under inner product a walk is broader and misses more where norms are alike (recall@10 of 0.69 on
    /// 40,000 x 64 Gaussian vectors), so a scan that takes no longer is preferred to it.
    fn scans_anyway(&self, rows: usize) -> bool {
        self.spec.metric == Metric::Ip && rows * self.store.row_bytes() <= MIPS_SCAN_BYTES
    }

    /// Whether the graph is worth walking for this many eligible rows: they cost more than
    /// [`SCAN_BYTES`] to scan, and the walk, which has to be broader the fewer of the rows are
    /// eligible, would not see most of them anyway.
    fn walks(&self, eligible: usize, k: usize) -> bool {
        let scan = eligible * self.store.row_bytes();
        let broad = self.breadth(None, k, eligible) * self.spec.m;
        scan > SCAN_BYTES && broad < eligible
    }

    fn breadth(&self, ef: Option<usize>, k: usize, eligible: usize) -> usize {
        let ef = match ef {
            Some(ef) => ef.max(k),
            None => default_ef(self.spec.metric).saturating_add(k / 2),
        };
        // Under a filter only the eligible share of what is walked counts.
        let share = self.store.len() as f64 / eligible.max(1) as f64;
        ((ef as f64 * share).ceil() as usize).min(self.store.len())
    }

    /// The rows to score finely: the best by coarse score, with a margin beyond `k`.
    fn walk(
        &self,
        graph: &Graph,
        query: &Query,
        ask: Ask<'_>,
        rows: usize,
        entries: &[u32],
    ) -> Vec<u32> {
        let ef = self.breadth(ask.ef, ask.k, rows);
        let want = ask.k.saturating_add(RESCORE.max(ask.k / 8));
        SCRATCH.with_borrow_mut(|scratch| {
            let found = graph.search(&self.store, query, ef, want, ask.eligible, entries, scratch);
            found.into_iter().map(|entry| entry.row).collect()
        })
    }

    /// The reported scores of some rows for a checked query.
    pub fn scores(&self, query: &[f32], rows: &[u32], out: &mut [f32]) {
        let query = self.store.query(query);
        self.store.fine(&query, Rows::Ids(rows), out);
    }

    /// Adds the space's sections to a file, under a prefix.
    pub fn write<'a>(&'a self, prefix: &str, writer: &mut Writer<'a>) {
        match self.store.data() {
            Data::F32(x) => writer.add(format!("{prefix}vectors"), x),
            Data::F16(x) => writer.add(format!("{prefix}vectors"), x),
            Data::I8 { codes, scales } => {
                writer.add(format!("{prefix}vectors"), codes);
                writer.add(format!("{prefix}scales"), scales);
            }
        }
        writer.add(format!("{prefix}norms"), self.store.norms());
        if let Some(graph) = &self.graph {
            let (base, levels, upper, entry) = graph.parts();
            writer.add(format!("{prefix}links"), base);
            writer.add(format!("{prefix}levels"), levels);
            writer.add(format!("{prefix}upper"), upper);
            writer.add_owned(format!("{prefix}entry"), &[entry]);
        }
    }

    /// Reads a space back from a file.
    pub fn read(spec: Spec, prefix: &str, reader: &mut Reader) -> Result<Self> {
        let name = |part: &str| format!("{prefix}{part}");
        let data = match spec.dtype {
            Dtype::F32 => Data::F32(reader.section(&name("vectors"))?),
            Dtype::F16 => Data::F16(reader.section(&name("vectors"))?),
            Dtype::I8 => Data::I8 {
                codes: reader.section(&name("vectors"))?,
                scales: reader.section(&name("scales"))?,
            },
        };
        let norms = reader.section(&name("norms"))?;
        let store = VectorStore::from_parts(spec.dim, spec.metric, data, norms)?;
        let graph = if reader.has(&name("links")) {
            let base = reader.section(&name("links"))?;
            let levels = reader.section(&name("levels"))?;
            let upper = reader.section(&name("upper"))?;
            let entry = reader.owned::<u32>(&name("entry"))?;
            let [entry] = entry[..] else {
                return Err(Error::format("a graph has one entry row, or is damaged"));
            };
            let graph = Graph::from_parts(spec.params(), base, levels, upper, entry)?;
            if graph.len() != store.len() {
                return Err(Error::format(format!(
                    "a graph of {} rows lies beside {} vectors",
                    graph.len(),
                    store.len()
                )));
            }
            Some(graph)
        } else {
            spec.params()
                .check()
                .map_err(|error| Error::format(format!("graph parameter {error}")))?;
            None
        };
        let order = (graph.is_some() && spec.metric == Metric::Ip).then(|| {
            let mut order = NormOrder::default();
            order.extend(&store);
            order
        });
        Ok(Vectors {
            store,
            graph,
            order,
            spec,
        })
    }
}

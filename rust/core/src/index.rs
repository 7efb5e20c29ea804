//! Vectors under the user's ids, without a catalog: what `perso_core.Index` is.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::column::Column;
use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::filter::{Columns, Indexed};
use crate::format::{Kind, Reader, Writer};
use crate::hnsw::Hook;
use crate::idfile;
use crate::ids::{compaction_is_due, ByRow, Id, IdMap, Ids};
use crate::metric::{Dtype, Metric};
use crate::scored::Scored;
use crate::select::{select_some, Where};
use crate::threads;
use crate::vectors::{
    Ask, Breadth, Bytes, Found, Layout, Lesson, Recall, Spec, Trial, Tuning, Vectors, SAMPLE,
};

mod fit;
mod import;

pub use fit::Fitted;

/// One answer list and the way it was found.
pub type Answers = (Vec<Scored>, Found);

/// A vector index.
#[derive(Clone, Debug)]
pub struct Index {
    vectors: Vectors,
    ids: IdMap,
    next_id: i64,
    /// Tells filters that were compiled whether there was a change since.
    indexed: Indexed,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    spec: Spec,
    next_id: i64,
    /// Files of version 1 have none.
    #[serde(default)]
    tuned: Option<Breadth>,
}

/// Sizes and shape, for `stats()`.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// Live items.
    pub items: usize,
    /// Rows kept, dead ones included.
    pub rows: usize,
    /// What lies beside the vectors now: never [`Layout::Auto`].
    pub layout: Layout,
    /// Heap bytes by part.
    pub bytes: Bytes,
    /// Breadth of a search for 10 answers that names none; 0 without a graph.
    pub ef: usize,
    /// Links in the graph's bottom layer; 0 without a graph.
    pub links: usize,
    /// Links beside them that queries taught.
    pub taught_links: usize,
    /// Layers of the graph; 0 without a graph.
    pub layers: usize,
    /// What an unfiltered search does.
    pub path: Found,
}

impl Index {
    /// An empty index.
    pub fn new(spec: Spec) -> Result<Self> {
        Ok(Index {
            vectors: Vectors::new(spec)?,
            ids: IdMap::new(),
            next_id: 0,
            indexed: Indexed::default(),
        })
    }

    /// The description.
    pub fn spec(&self) -> &Spec {
        self.vectors.spec()
    }

    /// The vectors, by row.
    pub fn vectors(&self) -> &Vectors {
        &self.vectors
    }

    /// Live items.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True when no item is live.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Ids and rows.
    pub fn id_map(&self) -> &IdMap {
        &self.ids
    }

    /// Appends vectors, with new ids counted up from the largest integer id when none are given.
    /// All or nothing: an error or an interruption leaves the index as it was.
    pub fn add(
        &mut self,
        vectors: &[f32],
        ids: Option<Ids>,
        num_threads: i64,
        hook: Hook<'_>,
    ) -> Result<Ids> {
        self.add_and_fit(vectors, ids, None, num_threads, hook)
    }

    /// The same, and then teaches the graph with a sample of queries, as [`Index::fit`] does but without
    /// measuring; the hook counts vectors and queries together.
    pub fn add_and_fit(
        &mut self,
        vectors: &[f32],
        ids: Option<Ids>,
        fit_queries: Option<&[f32]>,
        num_threads: i64,
        hook: Hook<'_>,
    ) -> Result<Ids> {
        let threads = threads::resolve("num_threads", num_threads)?;
        self.vectors.check("vectors", vectors)?;
        if let Some(queries) = fit_queries {
            self.check_sample("fit_queries", queries)?;
        }
        let count = vectors.len() / self.spec().dim;
        let ids = self.new_ids(ids, count)?;
        let before = self.ids.rows_len();
        let eligible = fit_queries.and_then(|_| self.live_with(count));
        let lesson = fit_queries.map(|queries| Lesson {
            queries,
            eligible: eligible.as_ref(),
        });
        let inner = &mut self.vectors;
        let pushed = if threads > 1 && (count >= 32 || lesson.is_some()) {
            threads::with_pool(threads, || inner.push_and_fit(vectors, lesson, hook))?
        } else {
            inner.push_and_fit(vectors, lesson, hook)
        };
        pushed?;
        for i in 0..count {
            let id = ids.get(i);
            if let Id::Int(id) = id {
                self.next_id = self.next_id.max(id.saturating_add(1));
            }
            self.ids.push(id);
        }
        self.changed();
        debug_assert_eq!(self.ids.rows_len(), before + count);
        Ok(ids)
    }

    fn new_ids(&self, ids: Option<Ids>, count: usize) -> Result<Ids> {
        let Some(ids) = ids else {
            if self.ids.by_row().kind() == "str" {
                return Err(Error::invalid("ids", "one text id a vector", "None"));
            }
            let last = self.next_id.checked_add(count as i64);
            let end = last.ok_or_else(|| {
                Error::invalid("ids", "explicit ids, as int64 is used up", "None")
            })?;
            return Ok(Ids::Int((self.next_id..end).collect()));
        };
        if ids.len() != count {
            return Err(Error::invalid(
                "ids",
                format!("{count} ids, one a vector"),
                ids.len(),
            ));
        }
        self.ids.check_batch("ids", &ids)?;
        if let Some(id) = (0..count)
            .map(|i| ids.get(i))
            .find(|id| self.ids.row(id).is_some())
        {
            return Err(Error::invalid(
                "ids",
                "ids that are not in the index (remove them first)",
                id,
            ));
        }
        Ok(ids)
    }

    /// Takes items out; all of them must be there.
    pub fn remove(&mut self, ids: &Ids) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        self.ids.check_batch("ids", ids)?;
        let rows = self.ids.require_all(ids)?;
        self.vectors.take_out(&rows);
        rows.into_iter().for_each(|row| self.ids.kill(row));
        self.changed();
        if compaction_is_due(self.ids.rows_len(), self.ids.len()) {
            self.compact()?;
        }
        Ok(())
    }

    /// Drops the rows that removed items left behind, and every byte that only they had. What is left is in
    /// memory of its own.
    pub fn compact(&mut self) -> Result<()> {
        let rows: Vec<u32> = self.ids.live_rows().collect();
        self.vectors = self.vectors.keep(&rows);
        let ids = self.ids.live_ids();
        let live = vec![true; ids.len()];
        self.ids = IdMap::from_parts(ids, &live)?;
        // Rows have other numbers now.
        self.indexed = Indexed::default();
        Ok(())
    }

    fn changed(&mut self) {
        self.indexed
            .wrote(std::iter::empty(), &[], self.ids.rows_len());
    }

    /// The stored vectors of some ids, row after row.
    pub fn get(&self, ids: &Ids) -> Result<Vec<f32>> {
        let dim = self.spec().dim;
        let mut out = vec![0.0; ids.len() * dim];
        for (i, slot) in out.chunks_exact_mut(dim).enumerate() {
            self.vectors.get(self.ids.require(&ids.get(i))?, slot);
        }
        Ok(out)
    }

    /// The rows that a filter and an exclusion leave, or `None` when all rows are eligible.
    pub fn eligible(&self, filter: Where<'_>, exclude: Option<&Ids>) -> Result<Option<RowSet>> {
        select_some(&self.ids, "filter", filter, exclude)
    }

    /// Searches with each of some queries.
    pub fn search(&self, queries: &[f32], ask: Ask<'_>, num_threads: i64) -> Result<Vec<Answers>> {
        let threads = threads::resolve("num_threads", num_threads)?;
        ask.check()?;
        self.vectors.store().check("queries", queries)?;
        let queries: Vec<&[f32]> = queries.chunks_exact(self.spec().dim).collect();
        let scanned = self.vectors.scan_batch(&queries, ask, &self.ids, threads)?;
        if let Some(found) = scanned {
            let answers = found.into_iter().map(|found| (found, Found::Exact));
            return Ok(answers.collect());
        }
        threads::map(
            threads,
            &queries,
            || (),
            |(), query| self.vectors.search(query, ask, &self.ids),
        )
    }

    /// Searches with each of some queries, each in a way of its own: among rows of its own, say.
    pub fn search_each(
        &self,
        queries: &[f32],
        asks: &[Ask<'_>],
        num_threads: i64,
    ) -> Result<Vec<Answers>> {
        let threads = threads::resolve("num_threads", num_threads)?;
        self.vectors.search_each(queries, asks, threads, &self.ids)
    }

    /// Searches with one query, without the lists that several need.
    pub fn search_one(&self, query: &[f32], k: usize, ef: Option<usize>) -> Result<Answers> {
        let eligible = self.eligible(Where::All, None)?;
        let ask = Ask {
            k,
            ef,
            eligible: eligible.as_ref(),
            exact: false,
        };
        ask.check()?;
        self.vectors.store().check("queries", query)?;
        Ok(self.vectors.search(query, ask, &self.ids))
    }

    /// How much of the exact answers a search with some queries finds; `ef` as a search takes it.
    pub fn recall(
        &self,
        queries: &[f32],
        k: usize,
        ef: Option<usize>,
        num_threads: i64,
        hook: Hook<'_>,
    ) -> Result<Recall> {
        self.trial(queries, k, ef, usize::MAX, num_threads, hook, |trial| {
            trial.recall(ef)
        })
    }

    /// The least breadth that finds the share `recall` of the exact answers to a sample of some queries.
    /// [`Index::set_tuning`] makes it the default.
    pub fn tuning(
        &self,
        queries: &[f32],
        recall: f64,
        k: usize,
        num_threads: i64,
        hook: Hook<'_>,
    ) -> Result<Tuning> {
        if !(recall > 0.0 && recall <= 1.0) {
            return Err(Error::invalid("recall", "more than 0, at most 1", recall));
        }
        self.trial(queries, k, None, SAMPLE, num_threads, hook, |trial| {
            trial.least_breadth(recall)
        })
    }

    #[allow(clippy::too_many_arguments)] // What its two callers have in common.
    fn trial<R>(
        &self,
        queries: &[f32],
        k: usize,
        ef: Option<usize>,
        most: usize,
        num_threads: i64,
        hook: Hook<'_>,
        f: impl FnOnce(&Trial<'_, IdMap>) -> Result<R>,
    ) -> Result<R> {
        let threads = threads::resolve("num_threads", num_threads)?;
        let eligible = self.eligible(Where::All, None)?;
        let ask = Ask {
            k,
            ef,
            eligible: eligible.as_ref(),
            exact: false,
        };
        ask.check()?;
        self.vectors.store().check("queries", queries)?;
        let dim = self.spec().dim;
        let count = queries.len() / dim;
        let used = count.min(most);
        let sample = (0..used)
            .map(|i| &queries[i * count / used * dim..][..dim])
            .collect();
        let trial = Trial::new(
            &self.vectors,
            sample,
            k,
            eligible.as_ref(),
            &self.ids,
            threads,
            hook,
        )?;
        f(&trial)
    }

    /// Makes what tuning found the default breadth.
    pub fn set_tuning(&mut self, tuning: &Tuning) {
        if let Some(ef) = tuning.ef {
            self.vectors.set_tuned(Some(Breadth { ef, k: tuning.k }));
        }
    }

    /// Sizes and shape.
    pub fn stats(&self) -> Stats {
        let (links, layers) = self.vectors.graph().map_or((0, 0), |graph| graph.shape());
        Stats {
            items: self.len(),
            rows: self.ids.rows_len(),
            layout: self.vectors.layout(),
            bytes: self.vectors.bytes(),
            ef: self
                .vectors
                .graph()
                .map_or(0, |_| self.vectors.default_breadth(10)),
            links,
            taught_links: self.vectors.graph().map_or(0, |graph| graph.taught().len()),
            layers,
            path: self.vectors.path(),
        }
    }

    /// Writes the index to a file, atomically.
    pub fn save(&self, path: &Path, hook: Hook<'_>) -> Result<()> {
        let mut writer = Writer::new(Kind::Index);
        let meta = Meta {
            spec: self.spec().clone(),
            next_id: self.next_id,
            tuned: self.vectors.tuned(),
        };
        idfile::write_meta(&mut writer, &meta);
        idfile::write_ids(&mut writer, &self.ids);
        self.vectors.write("", &mut writer);
        writer.write(path, hook)
    }

    /// Reads an index from a file.
    pub fn load(path: &Path, mmap: bool) -> Result<Self> {
        let mut reader = Reader::open(path, Kind::Index, mmap)?;
        let meta: Meta = idfile::read_meta(&mut reader)?;
        let ids = idfile::read_ids(&mut reader)?;
        let mut vectors = Vectors::read(meta.spec, "", &ids, &mut reader)?;
        if let Some(tuned) = meta.tuned.filter(|tuned| tuned.ef < tuned.k.max(1)) {
            return Err(Error::format(format!(
                "the default breadth is {} for {} answers",
                tuned.ef, tuned.k
            )));
        }
        vectors.set_tuned(meta.tuned);
        // Ids are counted up from here, so none that was ever given may lie beyond it.
        let last = match ids.by_row() {
            ByRow::Int(ids) => ids.iter().copied().max(),
            ByRow::Str(_) => None,
        };
        if last.is_some_and(|last| meta.next_id < last.saturating_add(1)) {
            return Err(Error::format(format!(
                "the next id is {}, and {} is taken",
                meta.next_id,
                last.unwrap_or_default()
            )));
        }
        Ok(Index {
            vectors,
            ids,
            next_id: meta.next_id,
            indexed: Indexed::default(),
        })
    }

    /// The metric.
    pub fn metric(&self) -> Metric {
        self.spec().metric
    }

    /// The storage type.
    pub fn dtype(&self) -> Dtype {
        self.spec().dtype
    }
}

impl Columns for Index {
    fn row_ids(&self) -> &IdMap {
        &self.ids
    }

    fn attribute(&self, _name: &str) -> Option<&Column> {
        None
    }

    fn indexed(&self) -> Option<&Indexed> {
        Some(&self.indexed)
    }

    fn at_generation(&self) -> u64 {
        0
    }
}

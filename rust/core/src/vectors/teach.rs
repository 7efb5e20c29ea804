//! Which links a sample of queries teaches a graph.
//!
//! A graph's links are chosen among rows, so they join rows that are near each other. The answers to a query
//! from another distribution than the rows (users beside items, text beside pictures) need not be: RoarGraph
//! (Chen et al., PVLDB 17(11), 2024, arXiv 2408.08933) measures how far apart they lie, and shows that
//! a graph misses them for want of links between them. It projects the graph from queries to their nearest rows
//! onto the rows, each query's best row in the middle, with a rule that leaves out what other links serve.
//!
//! Here the graph that is there stays, and gets what it lacks. For each query of the sample, in their order:
//! take its exact best [`DEPTH`] rows, best first. From the best one follow all links, the graph's and those
//! taught so far, that stay among the first `i + 1 + SLACK` of them. Where this does not lead to row `i`, link
//! it, there and back, with the one of the rows reached that is nearest to it under the geometry of the graph
//! and has a slot left. So a walk with a pool little larger than the answer can get from the best row to
//! every other through rows that are no worse, which is what a greedy walk can do; and no link is added
//! where the graph does as well, as it does for most queries that are like the rows.
//!
//! Lists are found in parallel and exact; links are decided one query after the other. So the result is that
//! of one thread, and it depends on the order of insertion as far as the graph does.
//!
//! Measured on M=16, ef_construction=200, f32, queries of their own for teaching and for measuring (20,000
//! and 1,000; factors of Gowalla 4,000 and 1,000), the graph alone. Recall@10 and distances a query:
//!
//! | rows | links | ef 50 | ef 100 | ef 200 | ef 400 |
//! |---|---|---|---|---|---|
//! FIGURES
//!
//! Dropped, at the same DEPTH or as said (ALS factors, ef=400; without: .958 by 732; this: FIG):
//! - RoarGraph's projection beside the graph, DEPTH 100, 32 links a row, nearer candidates first and slots
//!   filled: .979 by 1,260. As much on the rows with queries from elsewhere: .990 by 4,194 for .993 by 4,251.
//! - The best row linked with the rest, DEPTH 32, both ways: on those .985 by 3,946, and on 60,000 x 48
//!   Gaussian vectors of one length nothing gained for the distances.
//! - A link wherever none of the better rows leads to a row, without asking whether they are reached:
//!   .995 by 1,713. Islands stay islands.
//! - The rows most often found together, 32 links a row: .997 by 2,675, with five times the links.
//! - The best row with a slot as host, not the nearest: .987 by 4,161 for .990 by 3,988 (DEPTH 32).

use perso_kernels::Rows;

use super::Vectors;
use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::exact;
use crate::hnsw::{Graph, Hook, Taught, NONE, TAUGHT_DEGREE};
use crate::metric::Metric;
use crate::scored::ByRow;
use crate::store::{Query, VectorStore};
use crate::threads;

/// Rows of an exact answer that are to be connected; each is a bit of a word.
///
/// On the rows with queries from elsewhere, ef=200: .990 by 3,988 with 32, .993 by 4,251 with 64.
const DEPTH: usize = 64;

/// How many rows worse than a row a path to it may lead through. Fewer links with more; 4 and 8 differ by
/// less than .001 of recall, 0 costs half as many links again at a DEPTH of 32.
const SLACK: usize = 8;

/// Products between two questions to the hook, for each thread: some tenths of a second.
const STRETCH: usize = 1 << 34;

/// Queries that share a pass over the rows.
const TOGETHER: usize = 256;

/// A sample of queries, and what they may be answered with.
#[derive(Clone, Copy, Debug)]
pub struct Lesson<'a> {
    /// Checked vectors, one after the other.
    pub queries: &'a [f32],
    /// The rows to link; `None` for all.
    pub eligible: Option<&'a RowSet>,
}

impl Lesson<'_> {
    /// How many queries, of so many dimensions.
    pub fn len(&self, dim: usize) -> usize {
        self.queries.len() / dim
    }
}

impl Vectors {
    /// The links that a sample teaches; `None` without a graph. Parallel when called inside a rayon pool.
    pub fn learn(&self, lesson: Lesson<'_>, hook: Hook<'_>) -> Result<Option<Taught>> {
        let graph = self.graph.as_ref();
        graph
            .map(|graph| learn(graph, &self.store, self.finest(), lesson, hook))
            .transpose()
    }

    /// Gives the graph other taught links; returns those it had.
    pub fn swap_taught(&mut self, taught: Taught) -> Taught {
        match &mut self.graph {
            Some(graph) => graph.swap_taught(taught),
            None => Taught::default(),
        }
    }
}

/// The links that a sample teaches a graph over `store`; `finest` is what answers are made of.
pub(super) fn learn(
    graph: &Graph,
    store: &VectorStore,
    finest: &VectorStore,
    lesson: Lesson<'_>,
    hook: Hook<'_>,
) -> Result<Taught> {
    let dim = store.dim();
    // To a query without a direction all rows are alike, whatever they are.
    let means = |query: &&[f32]| store.metric() == Metric::L2 || query.iter().any(|x| *x != 0.0);
    let queries: Vec<&[f32]> = lesson.queries.chunks_exact(dim).filter(means).collect();
    let total = lesson.len(dim);
    let threads = rayon::current_thread_index().map_or(1, |_| rayon::current_num_threads());
    let stretch = (STRETCH / (store.len() * dim).max(1)).clamp(32, TOGETHER);
    let mut teacher = Teacher::new(graph, store);
    let mut done = 0;
    for some in queries.chunks(stretch * threads) {
        if !hook(done, total) {
            return Err(Error::Interrupted);
        }
        let groups: Vec<&[&[f32]]> = some.chunks(stretch).collect();
        let find = |(): &mut (), group: &&[&[f32]]| {
            exact::scan_batch(finest, group, DEPTH, lesson.eligible, &ByRow, 1)
        };
        for lists in threads::par_map(&groups, &|| (), &find) {
            for list in lists? {
                let rows: Vec<u32> = list.iter().map(|entry| entry.row).collect();
                teacher.connect(&rows);
            }
        }
        done += some.len();
    }
    hook(total, total);
    Ok(teacher.draft.finish(graph.len()))
}

/// Links as they are made: a block for each row that has any.
struct Draft {
    block: Vec<u32>,
    blocks: Vec<Vec<u32>>,
}

impl Draft {
    fn links(&self, row: u32) -> &[u32] {
        match self.block[row as usize] {
            NONE => &[],
            block => &self.blocks[block as usize],
        }
    }

    /// Adds a link if there is a slot left.
    fn add(&mut self, row: u32, to: u32) -> bool {
        let block = &mut self.block[row as usize];
        if *block == NONE {
            *block = self.blocks.len() as u32;
            self.blocks.push(Vec::with_capacity(4));
        }
        let links = &mut self.blocks[*block as usize];
        let free = links.len() < TAUGHT_DEGREE;
        if free {
            links.push(to);
        }
        free
    }

    fn finish(&self, rows: usize) -> Taught {
        Taught::collect(rows, |row| self.links(row))
    }
}

struct Teacher<'a> {
    graph: &'a Graph,
    store: &'a VectorStore,
    draft: Draft,
    /// Where a row stands in the list at hand; [`DEPTH`] when it does not.
    place: Vec<u8>,
    query: Query,
}

impl<'a> Teacher<'a> {
    fn new(graph: &'a Graph, store: &'a VectorStore) -> Self {
        Teacher {
            graph,
            store,
            draft: Draft {
                block: vec![NONE; store.len()],
                blocks: Vec::new(),
            },
            place: vec![DEPTH as u8; store.len()],
            query: Query::default(),
        }
    }

    /// Adds what is missing for a walk from the first of some rows, best first, to all others.
    fn connect(&mut self, list: &[u32]) {
        let mut leads = self.leads(list);
        // Which of the list are reached, from the first.
        let mut reached = 1u64;
        for i in 1..list.len() {
            let within = u64::MAX >> (DEPTH - (i + 1 + SLACK).min(list.len()));
            reached = follow(reached, &leads, within);
            if reached >> i & 1 == 1 {
                continue;
            }
            if let Some(host) = self.host(list, reached, list[i]) {
                leads[host] |= 1 << i;
                reached |= 1 << i;
                let back = self.graph.links(list[i], 0).contains(&list[host])
                    || self.draft.links(list[i]).contains(&list[host])
                    || self.draft.add(list[i], list[host]);
                leads[i] |= u64::from(back) << host;
            }
        }
    }

    /// For each row of a list, which others its links lead to.
    fn leads(&mut self, list: &[u32]) -> [u64; DEPTH] {
        for (i, &row) in list.iter().enumerate() {
            self.place[row as usize] = i as u8;
        }
        let mut leads = [0; DEPTH];
        for (&row, leads) in list.iter().zip(&mut leads) {
            for &to in self.graph.links(row, 0).iter().chain(self.draft.links(row)) {
                let place = usize::from(self.place[to as usize]);
                if place < DEPTH {
                    *leads |= 1 << place;
                }
            }
        }
        for &row in list {
            self.place[row as usize] = DEPTH as u8;
        }
        leads
    }

    /// Links a row from the nearest of the rows reached that has a slot left; where that one is in the list.
    fn host(&mut self, list: &[u32], reached: u64, row: u32) -> Option<usize> {
        let places: Vec<usize> = (0..list.len()).filter(|i| reached >> i & 1 == 1).collect();
        let rows: Vec<u32> = places.iter().map(|place| list[*place]).collect();
        let mut scores = vec![0.0; rows.len()];
        self.store.row_query(row, &mut self.query);
        let metric = self.graph.geometry(self.store);
        self.store
            .coarse(metric, &self.query, Rows::Ids(&rows), &mut scores);
        let mut order: Vec<(f32, usize)> = scores.into_iter().zip(places).collect();
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut hosts = order.into_iter().map(|(_, place)| place);
        hosts.find(|place| self.draft.add(list[*place], row))
    }
}

/// All that links lead to from what is reached, without leaving `within`.
fn follow(mut reached: u64, leads: &[u64; DEPTH], within: u64) -> u64 {
    let mut open = reached;
    while open != 0 {
        let next = leads[open.trailing_zeros() as usize] & within & !reached;
        open &= open - 1;
        open |= next;
        reached |= next;
    }
    reached
}

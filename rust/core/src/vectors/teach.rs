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
//! Measured with M=16, ef_construction=200, f32, the graph walked alone from its entry and the best eight of the
//! longest 1,024 rows; 20,000 queries taught (Gowalla: 4,000; the last two: 10,000) and 1,000 others measured.
//! Queries of the third to fifth set come from another subspace and cone than the rows; those of the last from
//! where its rows do. Recall@10 by distances computed for a query:
//!
//! | rows | links | ef 50 | ef 100 | ef 200 | ef 400 |
//! |---|---|---|---|---|---|
//! | Gowalla, 40,981 x 64, ip | none | .984 by 521 | .988 by 800 | .992 by 1,321 | .994 by 2,348 |
//! |  | 8,407 | 1.000 by 774 | 1.000 by 1,180 | 1.000 by 1,854 | 1.000 by 3,044 |
//! | ALS, 60,000 x 96, ip | none | .952 by 280 | .954 by 389 | .957 by 552 | .965 by 823 |
//! |  | 68,113 | .989 by 690 | .996 by 952 | .999 by 1,473 | 1.000 by 2,633 |
//! | 150,000 x 128, ip, lengths alike | none | .844 by 1,067 | .918 by 1,819 | .967 by 3,281 | .993 by 6,069 |
//! |  | 562,361 | .934 by 1,433 | .973 by 2,450 | .993 by 4,341 | .999 by 7,775 |
//! | the same, lengths log-normal .25 | none | .824 by 1,068 | .879 by 1,798 | .925 by 3,237 | .961 by 6,045 |
//! |  | 376,779* | .968 by 1,769 | .990 by 3,201 | .999 by 5,711 | 1.000 by 9,953 |
//! | 60,000 x 96, cosine | none | .951 by 1,168 | .987 by 2,007 | .998 by 3,488 | 1.000 by 5,976 |
//! |  | 168,326 | .980 by 1,416 | .995 by 2,394 | 1.000 by 4,065 | 1.000 by 6,787 |
//! | 60,000 x 48 Gaussian, one length, ip | none | .667 by 1,647 | .840 by 2,898 | .952 by 5,242 | .992 by 9,305 |
//! |  | 644,624 | .754 by 2,115 | .907 by 3,763 | .981 by 6,760 | .998 by 11,767 |
//!
//! (*) By the version before, which counted a row for which no host had a slot as reached (337,636 links
//! now), and without the walk down the layers, some 90 distances.
//!
//! Tried with the same queries and dropped, counted like (*):
//! - RoarGraph's projection beside the graph: a query's best row with the rest of its 100 best, 32 links a
//!   row, those behind nearer ones last, there and back. ALS at ef=400: .979 by 1,260 (this at ef=100: .995 by 816).
//!   Lengths alike at ef=200: .990 by 4,194 for .993 by 4,251.
//! - The best row with the rest of 32, both ways: lengths alike at ef=200 .985 by 3,946; Gaussian, nothing
//!   gained for the distances.
//! - Rows most often among the best 32 together, 32 links a row: ALS at ef=400 .997 by 2,675 with five times
//!   the links.
//! - A link where none of the better rows leads to a row, without asking whether they are reached themselves:
//!   ALS, DEPTH 32: .987 by 882 at ef=200; with the question .993 by 793 at ef=100. Islands stay islands.
//! - The best row with a slot as host, not the nearest: lengths alike, DEPTH 32, ef=200: .987 by 4,161 for
//!   .990 by 3,988.
//! - Taught links of the first 64 or 128 of the pool only: the same recall for the distances, and less within
//!   reach (ALS at ef=400: .993 and .998).

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
/// Lengths alike, ef=200: .990 by 3,988 with 32, .993 by 4,251 with 64.
const DEPTH: usize = 64;

/// How many rows worse than a row a path to it may lead through. Fewer links with more: 4 and 8 differ by
/// .001 of recall at most; at a DEPTH of 32, 0 costs an eighth to a quarter more links than 8.
const SLACK: usize = 8;

/// Products between two questions to the hook, for each thread: some tenths of a second.
const STRETCH: u64 = 1 << 34;

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
    let threads = threads::current();
    let products = (store.len() as u64 * dim as u64).max(1);
    let stretch = (STRETCH / products).clamp(32, TOGETHER as u64) as usize;
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

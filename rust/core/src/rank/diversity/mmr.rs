//! Maximal marginal relevance (Carbonell and Goldstein, 1998), evaluated lazily.
//!
//! The value of an entry is `(1 - d) rel - d maxsim`, with `rel` its score brought to [0, 1] by the
//! first pool's smallest and largest (0 when they are the same), and `maxsim` its largest cosine to an
//! item chosen so far (0 before the first). `d` is 0 for relevance only and 1 for diversity only.
//!
//! `maxsim` can only grow with each further item, so a `maxsim` that is too small gives an upper bound:
//! one that has not yet seen the latest items, or one from rounded vectors, less what the rounding may have
//! added. The choice goes by the latter for panels of 64 (see `lanes` and `rounded`), and by the source's
//! cosines for the few entries that reach the best value: with those chosen items alone that, by their codes, can be
//! the nearest. The maximum does not depend on the order it is taken in, so the result is the eager one, bit for
//! bit. Cost: O(k pool dim) products of bytes, fewer where the head of the pool decides, and a few cosines a slot (411
//! in place of 1,921 for 50 of 1,000 sentence-like vectors, 176 µs in place of 200).
//!
//! Cosines are the source's float32 numbers, the same on every machine; the rest is done in float64.

use perso_kernels::{Lane, Limit, PanelQueries, PANEL_ROWS};

use crate::rank::source::Source;
use crate::store::Rounded;

use super::lanes::{Bounds, Lanes, Valued};
use super::lazy::{self, Lazy, STEP};
use super::rounded::{codes, cosine_error, Panels};
use super::scale::Scale;
use super::Diversity;

/// Below any cosine, whatever its rounding.
const UNSEEN: f32 = -1.001;

/// The running state.
pub struct Mmr<'a> {
    exact: Exact<'a>,
    lanes: Option<Lanes>,
    /// Made when it is first asked.
    coarse: Option<Coarse<'a>>,
}

/// The values themselves.
struct Exact<'a> {
    source: &'a dyn Source,
    space: usize,
    diversity: f64,
    rows: Vec<u32>,
    relevance: Scale,
    /// By entry: how many of the chosen rows it was compared with, and the largest cosine to those.
    seen: Vec<usize>,
    max_similarity: Vec<f32>,
    chosen: Vec<u32>,
}

/// What is known of `maxsim` from rounded vectors, by panel.
struct Coarse<'a> {
    panels: Panels<'a>,
    /// The chosen items that could be rounded, and how their sums become bounds of cosines.
    queries: PanelQueries,
    limits: Vec<Limit>,
    seen: Vec<usize>,
    /// No more than `maxsim`.
    least: Vec<Lane>,
    relevance: Vec<[f64; PANEL_ROWS]>,
    error: f32,
    /// By chosen item, what it was rounded to, and its codes; nothing where that could not be.
    rounded: Vec<Option<Rounded>>,
    codes: Vec<i8>,
    /// Of the entry whose value is asked for.
    own: Vec<i8>,
    near: Vec<(u32, f32)>,
}

impl<'a> Mmr<'a> {
    /// Compares items in one space of the source; `diversity` lies in (0, 1].
    pub fn new(source: &'a dyn Source, space: usize, diversity: f64) -> Self {
        Mmr {
            exact: Exact {
                source,
                space,
                diversity,
                rows: Vec::new(),
                relevance: Scale::default(),
                seen: Vec::new(),
                max_similarity: Vec::new(),
                chosen: Vec::new(),
            },
            lanes: None,
            coarse: None,
        }
    }
}

impl Exact<'_> {
    fn value_with(&self, relevance: f64, similarity: f32) -> f64 {
        (1.0 - self.diversity) * relevance - self.diversity * f64::from(similarity)
    }

    /// Raises an entry's largest cosine by those to some rows, no more than a step of them.
    fn compare(&mut self, at: usize, rows: &[u32]) {
        let mut cosines = [0.0; STEP];
        let cosines = &mut cosines[..rows.len()];
        self.source.cosine(self.space, self.rows[at], rows, cosines);
        for &cosine in cosines.iter() {
            self.max_similarity[at] = self.max_similarity[at].max(cosine);
        }
    }
}

impl Lazy for Exact<'_> {
    fn bound(&self, entry: u32) -> f64 {
        // In the first slot nothing is alike; from the second on, everything might be unlike.
        let similarity = if self.chosen.is_empty() {
            0.0
        } else {
            self.max_similarity[entry as usize]
        };
        self.value_with(self.relevance.of(entry), similarity)
    }

    fn is_behind(&self, entry: u32) -> bool {
        self.seen[entry as usize] < self.chosen.len()
    }

    fn advance(&mut self, entry: u32) {
        let at = entry as usize;
        let chosen = &self.chosen[self.seen[at]..];
        let mut rows = [0; STEP];
        let rows = &mut rows[..chosen.len().min(STEP)];
        rows.copy_from_slice(&chosen[..rows.len()]);
        self.compare(at, rows);
        self.seen[at] += rows.len();
    }
}

impl<'a> Coarse<'a> {
    fn new(exact: &Exact<'a>, lanes: &Lanes) -> Self {
        let rows = lanes
            .order()
            .iter()
            .map(|&entry| exact.rows[entry as usize]);
        let panels = Panels::new(exact.source, exact.space, rows.collect());
        let mut relevance = vec![[0.0; PANEL_ROWS]; lanes.panels()];
        for (panel, relevance) in relevance.iter_mut().enumerate() {
            for (to, &entry) in relevance.iter_mut().zip(lanes.entries(panel)) {
                *to = exact.relevance.of(entry);
            }
        }
        let mut coarse = Coarse {
            queries: PanelQueries::new(panels.kernels, &[], panels.dim),
            limits: Vec::new(),
            seen: vec![0; lanes.panels()],
            least: vec![[UNSEEN; PANEL_ROWS]; lanes.panels()],
            relevance,
            error: cosine_error(panels.dim),
            rounded: Vec::new(),
            codes: Vec::new(),
            own: vec![0; panels.dim],
            near: Vec::new(),
            panels,
        };
        for &row in &exact.chosen {
            coarse.push(exact, row);
        }
        coarse
    }

    fn push(&mut self, exact: &Exact<'_>, row: u32) {
        let Some((codes, rounded)) = codes(exact.source, exact.space, row) else {
            // An item that cannot be rounded bounds nothing.
            self.rounded.push(None);
            self.codes.resize(self.codes.len() + self.panels.dim, 0);
            return;
        };
        self.rounded.push(Some(rounded));
        self.codes.extend_from_slice(&codes);
        self.queries.push(&codes);
        // |<x, y> - <x~, y~>| is at most |x - x~| |y| + |x~| |y - y~|.
        self.limits.push(Limit {
            scale: rounded.factor,
            a: -(rounded.residual + self.error),
            d: -(1.0 + rounded.residual),
            ..Limit::default()
        });
    }

    /// Finds an entry's `maxsim`: cosines are asked for with those chosen items alone that can be the nearest by
    /// their codes, most often one or two.
    fn catch_up(&mut self, exact: &mut Exact<'_>, entry: u32) {
        let (at, first) = (entry as usize, exact.seen[entry as usize]);
        let row = exact.rows[at];
        if exact.chosen.len() - first < 2 {
            return exact.catch_up(entry);
        }
        let own = match exact.source.round(exact.space, row, &mut self.own) {
            // Where the source stores codes, its cosine costs no more than theirs.
            Some(own) if own.residual > 0.0 => own,
            _ => return exact.catch_up(entry),
        };
        let kernels = self.panels.kernels;
        let mut least = exact.max_similarity[at];
        self.near.clear();
        let codes = self.codes[first * self.own.len()..].chunks_exact(self.own.len());
        for ((codes, rounded), &row) in codes
            .zip(&self.rounded[first..])
            .zip(&exact.chosen[first..])
        {
            let Some(rounded) = rounded else {
                self.near.push((row, f32::INFINITY));
                continue;
            };
            let dot = kernels.dot_i8(&self.own, codes) as f32;
            let cosine = dot * own.factor * rounded.factor;
            let error = rounded.residual + self.error + (1.0 + rounded.residual) * own.residual;
            least = least.max(cosine - error);
            self.near.push((row, cosine + error));
        }
        self.near.retain(|&(_, most)| most >= least);
        for near in self.near.chunks(STEP) {
            let mut rows = [0; STEP];
            for (to, &(row, _)) in rows.iter_mut().zip(near) {
                *to = row;
            }
            exact.compare(at, &rows[..near.len()]);
        }
        exact.seen[at] = exact.chosen.len();
    }

    fn tighten(&mut self, exact: &Exact<'_>, panel: usize, bounds: &mut Bounds) -> bool {
        let first = std::mem::replace(&mut self.seen[panel], self.limits.len());
        if first == self.limits.len() {
            return false;
        }
        let kernels = self.panels.kernels;
        let Some(group) = self.panels.get(panel) else {
            return false;
        };
        let least = &mut self.least[panel];
        kernels.raise(
            &group.panel,
            &self.queries,
            first,
            &self.limits[first..],
            least,
        );
        for lane in 0..PANEL_ROWS {
            let bound = exact.value_with(self.relevance[panel][lane], least[lane]);
            bounds[lane] = bounds[lane].min(bound);
        }
        true
    }
}

/// Bounds from the one, values from the other.
struct Both<'m, 'a>(&'m mut Exact<'a>, &'m mut Coarse<'a>);

impl Valued for Both<'_, '_> {
    fn tighten(&mut self, panel: usize, bounds: &mut Bounds) -> bool {
        self.1.tighten(self.0, panel, bounds)
    }

    fn soon(&self, entry: u32) {
        if self.0.is_behind(entry) {
            let row = self.0.rows[entry as usize];
            self.0.source.prefetch(self.0.space, row, false);
        }
    }

    fn is_exact(&self, entry: u32) -> bool {
        !self.0.is_behind(entry)
    }

    fn exact(&mut self, entry: u32) -> f64 {
        self.1.catch_up(self.0, entry);
        self.0.bound(entry)
    }
}

impl Diversity for Mmr<'_> {
    fn extend(&mut self, rows: &[u32], scores: &[f64], first: usize) {
        let exact = &mut self.exact;
        exact.relevance.extend(scores, first);
        exact.rows.extend_from_slice(&rows[first..]);
        exact.seen.resize(rows.len(), 0);
        exact.max_similarity.resize(rows.len(), UNSEEN);
        self.lanes = None;
        self.coarse = None;
    }

    fn value(&mut self, entry: u32) -> f64 {
        self.exact.catch_up(entry);
        self.exact.bound(entry)
    }

    fn chosen(&mut self, entry: u32) {
        let row = self.exact.rows[entry as usize];
        self.exact.chosen.push(row);
        self.closed(entry);
        if let Some(coarse) = &mut self.coarse {
            coarse.push(&self.exact, row);
        }
        if let (1, Some(lanes)) = (self.exact.chosen.len(), &mut self.lanes) {
            lanes.reset(|entry| self.exact.bound(entry));
        }
    }

    fn closed(&mut self, entry: u32) {
        if let Some(lanes) = &mut self.lanes {
            lanes.close(entry);
        }
    }

    fn best(&mut self, open: &[u32]) -> usize {
        let exact = &mut self.exact;
        let lanes = self
            .lanes
            .get_or_insert_with(|| Lanes::new(open, exact.rows.len(), |entry| exact.bound(entry)));
        if exact.chosen.is_empty() || lanes.len() != open.len() {
            // Nothing to compare with, or only a part of what is open.
            return lazy::best(exact, open);
        }
        let coarse = self.coarse.get_or_insert_with(|| Coarse::new(exact, lanes));
        lanes.best(&mut Both(exact, coarse))
    }
}

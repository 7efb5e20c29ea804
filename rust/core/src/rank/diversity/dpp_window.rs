//! Determinantal point process among the latest slots: the windowed form of Chen, Zhang and Zhou (2018).
//!
//! An entry is worth what it is in `dpp`, with `det S_{W + i} / det S_W` for `d_i^2`, where `W` are the
//! items of the latest `window` slots: repulsion between neighbours only.
//!
//! The paper's algorithm 2 updates one Cholesky factor by rotations when the oldest item leaves, O(window)
//! for each entry and slot. Here the factor of `S_W` is made anew and solved against, O(window^2): windows
//! are short beside vectors, nothing drifts along a slate, and an item that added nothing while its like
//! was in the window counts again when that has left. A similarity is still worked out once.
//!
//! Values rise when an item leaves, so an old one bounds nothing; that `ln d_i^2` is at most 0 does, and
//! spares the entries that relevance alone leaves behind (see `lazy`). Cost: O(k pool (dim + window^2)) at
//! worst; pool times min(k, window) doubles.

use crate::rank::source::Source;

use super::dpp::gain;
use super::lazy::{self, Lazy, STEP};
use super::residual::{similarity, FLOOR};
use super::ring::Ring;
use super::scale::Scale;
use super::Diversity;

/// The running state.
pub struct WindowedDpp<'a> {
    source: &'a dyn Source,
    space: usize,
    diversity: f64,
    window: usize,
    rows: Vec<u32>,
    relevance: Scale,
    similarities: Ring,
    /// How many slots each entry has seen.
    seen: Vec<usize>,
    /// Values, where an entry has seen all slots; else an upper bound.
    values: Vec<f64>,
    shown_rows: Vec<u32>,
    /// By slot: the item's similarities to those of the slots before it, oldest first, that were in the
    /// window.
    shown: Vec<Vec<f64>>,
    /// The Cholesky factor of the window, oldest item first: a row holds what lies left of the diagonal,
    /// then the diagonal, which is 0 where the item adds nothing to the ones before it.
    factor: Vec<Vec<f64>>,
    /// Kept for its memory.
    row: Vec<f64>,
}

impl<'a> WindowedDpp<'a> {
    /// Compares items with the latest `window` in one space of the source; `diversity` lies in (0, 1],
    /// `window` is at least 1.
    pub fn new(source: &'a dyn Source, space: usize, diversity: f64, window: usize) -> Self {
        WindowedDpp {
            source,
            space,
            diversity,
            window,
            rows: Vec::new(),
            relevance: Scale::default(),
            similarities: Ring::new(Some(window)),
            seen: Vec::new(),
            values: Vec::new(),
            shown_rows: Vec::new(),
            shown: Vec::new(),
            factor: Vec::new(),
            row: Vec::new(),
        }
    }

    /// The first slot of the window.
    fn oldest(&self) -> usize {
        self.shown.len().saturating_sub(self.window)
    }

    /// Works out the similarities of an entry to the items in the window.
    fn see(&mut self, entry: u32) {
        let at = entry as usize;
        let mut first = self.oldest().max(self.seen[at]);
        while first < self.shown.len() {
            let shown = &self.shown_rows[first..];
            let shown = &shown[..shown.len().min(STEP)];
            let mut cosines = [0.0; STEP];
            let cosines = &mut cosines[..shown.len()];
            self.source
                .cosine(self.space, self.rows[at], shown, cosines);
            for (t, &cosine) in (first..).zip(cosines.iter()) {
                self.similarities.set(entry, t, similarity(cosine));
            }
            first += shown.len();
        }
        self.seen[at] = self.shown.len();
    }

    /// Appends the similarities of an entry to the items in the window, oldest first.
    fn to_window(&self, entry: u32, out: &mut Vec<f64>) {
        let window = self.oldest()..self.shown.len();
        out.extend(window.map(|t| self.similarities.get(entry, t)));
    }
}

/// Replaces the similarities of an item by its row of the factor, and returns `d^2`.
fn solve(factor: &[Vec<f64>], row: &mut [f64]) -> f64 {
    let mut squared = 1.0;
    for (a, known) in factor.iter().enumerate() {
        let diagonal = known[a];
        let mut rest = row[a];
        for (x, y) in known[..a].iter().zip(&row[..a]) {
            rest -= x * y;
        }
        row[a] = if diagonal > 0.0 { rest / diagonal } else { 0.0 };
        squared -= row[a] * row[a];
    }
    squared
}

/// Appends an item's row to the factor.
fn append(factor: &mut Vec<Vec<f64>>, mut row: Vec<f64>) {
    let squared = solve(factor, &mut row);
    row.push(if squared >= FLOOR {
        squared.sqrt()
    } else {
        0.0
    });
    factor.push(row);
}

impl Lazy for WindowedDpp<'_> {
    fn bound(&self, entry: u32) -> f64 {
        self.values[entry as usize]
    }

    fn is_behind(&self, entry: u32) -> bool {
        self.seen[entry as usize] < self.shown.len()
    }

    fn advance(&mut self, entry: u32) {
        self.see(entry);
        let mut row = std::mem::take(&mut self.row);
        row.clear();
        self.to_window(entry, &mut row);
        let squared = solve(&self.factor, &mut row);
        self.row = row;
        self.values[entry as usize] = gain(self.diversity, self.relevance.of(entry), squared);
    }
}

impl Diversity for WindowedDpp<'_> {
    fn extend(&mut self, rows: &[u32], scores: &[f64], first: usize) {
        self.relevance.extend(scores, first);
        self.rows.extend_from_slice(&rows[first..]);
        self.similarities.extend(rows.len());
        self.seen.resize(rows.len(), 0);
        for entry in first as u32..rows.len() as u32 {
            let value = gain(self.diversity, self.relevance.of(entry), 1.0);
            self.values.push(value);
        }
    }

    fn value(&mut self, entry: u32) -> f64 {
        self.catch_up(entry);
        self.bound(entry)
    }

    fn chosen(&mut self, entry: u32) {
        self.see(entry);
        let mut similarities = Vec::new();
        self.to_window(entry, &mut similarities);
        let t = self.shown.len();
        self.shown_rows.push(self.rows[entry as usize]);
        self.shown.push(similarities.clone());
        self.similarities.open(t);
        let oldest = self.oldest();
        if oldest == 0 {
            append(&mut self.factor, similarities);
        } else {
            self.factor.clear();
            for (a, own) in self.shown[oldest..].iter().enumerate() {
                append(&mut self.factor, own[own.len() - a..].to_vec());
            }
        }
        for entry in 0..self.values.len() as u32 {
            self.values[entry as usize] = gain(self.diversity, self.relevance.of(entry), 1.0);
        }
    }

    fn best(&mut self, open: &[u32]) -> usize {
        lazy::best(self, open)
    }
}

//! Maximal marginal relevance (Carbonell and Goldstein, 1998) with a running maximum.
//!
//! The value of an entry is `(1 - d) rel - d maxsim`, with `rel` its score brought to [0, 1] by the
//! first pool's smallest and largest (0 when they are the same), and `maxsim` its largest cosine to an
//! item chosen so far (0 before the first). `d` is 0 for relevance only and 1 for diversity only.
//!
//! A step costs one row of cosines against the entries still open, so a slate costs
//! O(k pool dim) and not O(k² pool dim). Cosines are the source's float32 numbers, the same on every
//! machine; the rest is done in float64.

use crate::rank::source::Source;

use super::Diversity;

/// The running state.
pub struct Mmr<'a> {
    source: &'a dyn Source,
    space: usize,
    diversity: f64,
    rows: Vec<u32>,
    relevance: Vec<f64>,
    max_similarity: Vec<f64>,
    any_chosen: bool,
    low: f64,
    span: f64,
    open_rows: Vec<u32>,
    cosines: Vec<f32>,
}

impl<'a> Mmr<'a> {
    /// Compares items in one space of the source.
    pub fn new(source: &'a dyn Source, space: usize, diversity: f64) -> Self {
        Mmr {
            source,
            space,
            diversity,
            rows: Vec::new(),
            relevance: Vec::new(),
            max_similarity: Vec::new(),
            any_chosen: false,
            low: 0.0,
            span: 0.0,
            open_rows: Vec::new(),
            cosines: Vec::new(),
        }
    }

    fn see(&mut self, row: u32, entries: impl Iterator<Item = u32> + Clone) {
        self.open_rows.clear();
        self.open_rows
            .extend(entries.clone().map(|entry| self.rows[entry as usize]));
        self.cosines.clear();
        self.cosines.resize(self.open_rows.len(), 0.0);
        self.source
            .cosine(self.space, row, &self.open_rows, &mut self.cosines);
        for (entry, &cosine) in entries.zip(&self.cosines) {
            let max = &mut self.max_similarity[entry as usize];
            *max = max.max(f64::from(cosine));
        }
    }
}

impl Diversity for Mmr<'_> {
    fn extend(&mut self, rows: &[u32], scores: &[f64], first: usize, chosen: &[u32]) {
        if first == 0 {
            self.low = scores.iter().copied().fold(f64::INFINITY, f64::min);
            self.span = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max) - self.low;
        }
        self.rows.extend_from_slice(&rows[first..]);
        for &score in &scores[first..] {
            self.relevance.push(if self.span > 0.0 {
                (score - self.low) / self.span
            } else {
                0.0
            });
        }
        self.max_similarity.resize(rows.len(), f64::NEG_INFINITY);
        for &row in chosen {
            self.see(row, first as u32..rows.len() as u32);
        }
    }

    fn value(&self, entry: u32) -> f64 {
        let similarity = if self.any_chosen {
            self.max_similarity[entry as usize]
        } else {
            0.0
        };
        (1.0 - self.diversity) * self.relevance[entry as usize] - self.diversity * similarity
    }

    fn chosen(&mut self, entry: u32, open: &[u32]) {
        self.any_chosen = true;
        self.see(self.rows[entry as usize], open.iter().copied());
    }
}

//! Scores on the scale that diversity is weighed on.

/// Relevance of scores: 0 for the smallest of the first pool, 1 for the largest, 0 for all where those
/// are the same. Entries that a deepening adds are put on the scale of the first pool and may lie
/// outside [0, 1], so what was chosen before is not judged anew.
#[derive(Clone, Debug, Default)]
pub(super) struct Scale {
    low: f64,
    span: f64,
    relevance: Vec<f64>,
}

impl Scale {
    /// Takes in the scores from `first` on.
    pub(super) fn extend(&mut self, scores: &[f64], first: usize) {
        if first == 0 {
            self.low = scores.iter().copied().fold(f64::INFINITY, f64::min);
            self.span = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max) - self.low;
        }
        for &score in &scores[first..] {
            self.relevance.push(if self.span > 0.0 {
                (score - self.low) / self.span
            } else {
                0.0
            });
        }
    }

    /// The relevance of an entry.
    #[inline]
    pub(super) fn of(&self, entry: u32) -> f64 {
        self.relevance[entry as usize]
    }
}

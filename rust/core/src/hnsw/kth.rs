//! The k-th best of the scores that a walk has seen: what the distance it still goes is measured by.

/// The best scores so far, best first.
#[derive(Debug, Default)]
pub(crate) struct KthBest {
    best: Vec<f32>,
}

impl KthBest {
    /// Forgets them.
    pub(crate) fn clear(&mut self) {
        self.best.clear();
    }

    /// Takes a score among the `k` best, and returns the k-th; none while there are fewer.
    #[inline]
    pub(crate) fn note(&mut self, score: f32, k: usize) -> Option<f32> {
        if k == 0 {
            return None;
        }
        let full = self.best.len() == k;
        if !full || score > self.best[k - 1] {
            if full {
                self.best.pop();
            }
            let at = self.best.partition_point(|best| *best >= score);
            self.best.insert(at, score);
        }
        self.best.get(k - 1).copied()
    }

    /// The k-th best; none while there are fewer.
    #[inline]
    pub(crate) fn get(&self, k: usize) -> Option<f32> {
        self.best.get(k.checked_sub(1)?).copied()
    }
}

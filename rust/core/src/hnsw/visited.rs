//! Which rows a walk has met: one bit a row, cleared by what was touched.

/// A set of rows that is emptied in the time it took to fill it.
#[derive(Debug, Default)]
pub(crate) struct Visited {
    words: Vec<u64>,
    /// The words that are not zero.
    touched: Vec<u32>,
}

impl Visited {
    /// Empties the set and makes room for rows below `rows`.
    pub(crate) fn begin(&mut self, rows: usize) {
        self.words
            .resize(rows.div_ceil(64).max(self.words.len()), 0);
        for word in self.touched.drain(..) {
            self.words[word as usize] = 0;
        }
    }

    /// Puts a row in; true when it was not.
    pub(crate) fn insert(&mut self, row: u32) -> bool {
        let word = &mut self.words[row as usize / 64];
        let bit = 1u64 << (row % 64);
        if *word & bit != 0 {
            return false;
        }
        if *word == 0 {
            self.touched.push(row / 64);
        }
        *word |= bit;
        true
    }
}

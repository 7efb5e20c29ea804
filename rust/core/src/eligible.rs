//! Which rows may be retrieved: the live ones, less the seen ones, within an optional filter.

/// A set of rows as a bit array. Dense on purpose: a probe inside graph traversal is one load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowSet {
    words: Vec<u64>,
    count: usize,
}

impl RowSet {
    /// No row of `rows`.
    pub fn none(rows: usize) -> Self {
        RowSet {
            words: vec![0; rows.div_ceil(64)],
            count: 0,
        }
    }

    /// Every row of `rows`.
    pub fn full(rows: usize) -> Self {
        let mut words = vec![u64::MAX; rows.div_ceil(64)];
        if let Some(last) = words.last_mut().filter(|_| !rows.is_multiple_of(64)) {
            *last = (1 << (rows % 64)) - 1;
        }
        RowSet { words, count: rows }
    }

    /// The rows whose flag is set.
    pub fn from_flags(flags: &[bool]) -> Self {
        let mut words = vec![0u64; flags.len().div_ceil(64)];
        for (word, chunk) in words.iter_mut().zip(flags.chunks(64)) {
            *word = chunk
                .iter()
                .enumerate()
                .fold(0, |word, (bit, &flag)| word | (u64::from(flag) << bit));
        }
        RowSet::from_words(words)
    }

    /// The rows whose bit is set, 64 to a word, the lowest first.
    pub(crate) fn from_words(words: Vec<u64>) -> Self {
        let count = words.iter().map(|word| word.count_ones() as usize).sum();
        RowSet { words, count }
    }

    /// Makes room for rows below `rows`; none of the new ones is in.
    pub fn grow(&mut self, rows: usize) {
        let words = rows.div_ceil(64).max(self.words.len());
        self.words.resize(words, 0);
    }

    /// Adds a row that lies within the set's range.
    pub fn insert(&mut self, row: u32) {
        let word = &mut self.words[row as usize / 64];
        let bit = 1u64 << (row % 64);
        self.count += usize::from(*word & bit == 0);
        *word |= bit;
    }

    /// Takes a row out.
    pub fn remove(&mut self, row: u32) {
        if let Some(word) = self.words.get_mut(row as usize / 64) {
            let bit = 1u64 << (row % 64);
            self.count -= usize::from(*word & bit != 0);
            *word &= !bit;
        }
    }

    /// Keeps the rows that are in both.
    pub fn intersect(&mut self, other: &RowSet) {
        for (i, word) in self.words.iter_mut().enumerate() {
            *word &= other.words.get(i).copied().unwrap_or(0);
        }
        self.recount();
    }

    /// Takes out the rows that are in the other.
    pub fn subtract(&mut self, other: &RowSet) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
        self.recount();
    }

    /// Adds the rows that are in the other; makes room for them.
    pub fn unite(&mut self, other: &RowSet) {
        self.grow(64 * other.words.len());
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
        self.recount();
    }

    fn recount(&mut self) {
        self.count = self
            .words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum();
    }

    /// Membership; a row outside the range is not a member.
    #[inline]
    pub fn contains(&self, row: u32) -> bool {
        self.words
            .get(row as usize / 64)
            .is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// How many rows are in.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True when no row is in.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(i, &word)| {
            std::iter::successors(Some(word), |w| Some(w & w.wrapping_sub(1)))
                .take_while(|w| *w != 0)
                .map(move |w| (i * 64) as u32 + w.trailing_zeros())
        })
    }
}

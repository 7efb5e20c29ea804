//! Rows as bits, 64 to a word: what filters are added up in.

use crate::eligible::RowSet;

/// The rows below a number, each in or out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    rows: usize,
}

impl Bits {
    /// No row of `rows`.
    pub(crate) fn none(rows: usize) -> Self {
        Bits {
            words: vec![0; rows.div_ceil(64)],
            rows,
        }
    }

    /// The rows whose bit is set, cut or filled up to `rows`.
    pub(crate) fn new(mut words: Vec<u64>, rows: usize) -> Self {
        words.resize(rows.div_ceil(64), 0);
        let mut bits = Bits { words, rows };
        bits.trim();
        bits
    }

    /// Takes out what lies beyond the last row.
    fn trim(&mut self) {
        if let (Some(last), used @ 1..) = (self.words.last_mut(), self.rows % 64) {
            *last &= u64::MAX >> (64 - used);
        }
    }

    /// The same for another number of rows.
    pub(crate) fn resized(&self, rows: usize) -> Bits {
        Bits::new(self.words.clone(), rows)
    }

    /// Puts a row in; one past the end is none of these.
    #[inline]
    pub(crate) fn insert(&mut self, row: u32) {
        if (row as usize) < self.rows {
            self.words[row as usize / 64] |= 1 << (row % 64);
        }
    }

    /// Puts a row in, or takes it out.
    pub(crate) fn set(&mut self, row: u32, present: bool) {
        if (row as usize) < self.rows {
            self.words[row as usize / 64] &= !(1 << (row % 64));
            self.words[row as usize / 64] |= u64::from(present) << (row % 64);
        }
    }

    /// Puts in the rows of some words, from the word `first` on.
    pub(crate) fn unite_words(&mut self, first: usize, words: &[u64]) {
        for (word, other) in self.words.iter_mut().skip(first).zip(words) {
            *word |= other;
        }
        self.trim();
    }

    /// Puts in those of another set.
    pub(crate) fn unite(&mut self, other: &Bits) {
        self.unite_words(0, &other.words);
    }

    /// Keeps the rows that are in both.
    pub(crate) fn intersect(&mut self, other: &Bits) {
        for (i, word) in self.words.iter_mut().enumerate() {
            *word &= other.words.get(i).copied().unwrap_or(0);
        }
    }

    /// The rows that are not in.
    pub(crate) fn complement(mut self) -> Bits {
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.trim();
        self
    }

    /// How many rows are in.
    pub(crate) fn len(&self) -> usize {
        let ones = self.words.iter().map(|word| word.count_ones() as usize);
        ones.sum()
    }

    /// The rows, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(i, &word)| {
            std::iter::successors(Some(word), |w| Some(w & w.wrapping_sub(1)))
                .take_while(|w| *w != 0)
                .map(move |w| (i * 64) as u32 + w.trailing_zeros())
        })
    }

    /// The 64 rows of a word.
    pub(crate) fn word(&self, i: usize) -> u64 {
        self.words.get(i).copied().unwrap_or(0)
    }

    /// As a set of rows.
    pub(crate) fn into_rows(self) -> RowSet {
        RowSet::from_words(self.words)
    }
}

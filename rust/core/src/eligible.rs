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
        RowSet::from_words(flags.chunks(64).map(packed).collect())
    }

    /// Of the rows in `self`, those whose flag is set: one flag for each, in order.
    pub fn flagged(&self, flags: &[bool]) -> Self {
        let mut rest = flags;
        let words = self.words.iter().map(|&word| {
            let (own, others) = rest.split_at(rest.len().min(word.count_ones() as usize));
            rest = others;
            match own.len() {
                0 => 0,
                64 => packed(own),
                // The flags of rows that lie among others are dealt out to their bits.
                _ => {
                    let mut left = word;
                    own.iter().fold(0, |out, &flag| {
                        let bit = left & left.wrapping_neg();
                        left ^= bit;
                        out | if flag { bit } else { 0 }
                    })
                }
            }
        });
        RowSet::from_words(words.collect())
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

    /// Some of the rows, at most `count`, from all over the range: the same for the same set.
    pub fn spread(&self, count: usize) -> impl Iterator<Item = u32> + '_ {
        let words = self.words.len();
        (0..count).filter_map(move |i| {
            let part = i * words / count..(i + 1) * words / count;
            let first = part.start;
            let at = self.words[part].iter().position(|word| *word != 0)? + first;
            Some((at * 64) as u32 + self.words[at].trailing_zeros())
        })
    }

    /// The set as bits, 64 rows to a word, the lowest first.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// The rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        Rows {
            words: self.words.iter(),
            word: 0,
            next: 0,
        }
    }
}

/// Rows of a set, word by word. Written out, because of a chain of adapters the compiler reads options before it knows
/// that they hold something, and memory checkers report that to whoever runs a program under them.
struct Rows<'a> {
    words: std::slice::Iter<'a, u64>,
    /// What is left of the word before `next`.
    word: u64,
    /// The first row of the next word.
    next: u32,
}

impl Iterator for Rows<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        while self.word == 0 {
            self.word = *self.words.next()?;
            self.next = self.next.wrapping_add(64);
        }
        let row = self.next.wrapping_sub(64) + self.word.trailing_zeros();
        self.word &= self.word - 1;
        Some(row)
    }
}

/// Up to 64 flags as bits, the first lowest. Eight bytes of 0 or 1 become eight bits by one product: byte `i` times
/// 2^(56 - 7i) lies at bit 56 + i, and no two of the 64 products meet.
fn packed(flags: &[bool]) -> u64 {
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (eights, rest) = bytemuck::cast_slice::<bool, u8>(flags).as_chunks::<8>();
    let mut word = 0;
    for (i, eight) in eights.iter().enumerate() {
        word |= (u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56) << (8 * i);
    }
    for (i, &flag) in rest.iter().enumerate() {
        word |= u64::from(flag) << (8 * eights.len() + i);
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn flags_become_rows(flags in prop::collection::vec(any::<bool>(), 0..300)) {
            let set = RowSet::from_flags(&flags);
            let rows: Vec<u32> = (0..flags.len() as u32).filter(|row| flags[*row as usize]).collect();
            prop_assert_eq!(set.len(), rows.len());
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), rows);
        }

        #[test]
        fn flags_are_dealt_to_the_rows_there_are(
            live in prop::collection::vec(prop::bool::weighted(0.8), 0..400), whole in 0usize..200, seed in any::<u64>(),
        ) {
            // The first words are full, as where nothing was removed.
            let live: Vec<bool> = std::iter::repeat_n(true, whole).chain(live).collect();
            let live = RowSet::from_flags(&live);
            let flags: Vec<bool> = (0..live.len()).map(|i| seed.rotate_left(i as u32) & 1 == 1).collect();
            let expected: Vec<u32> = live.iter().zip(&flags).filter(|(_, f)| **f).map(|(row, _)| row).collect();
            let set = live.flagged(&flags);
            prop_assert_eq!(set.len(), expected.len());
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn a_spread_is_of_the_set(rows in prop::collection::btree_set(0u32..2000, 0..60), count in 0usize..20) {
            let mut set = RowSet::none(2000);
            rows.iter().for_each(|row| set.insert(*row));
            let some: Vec<u32> = set.spread(count).collect();
            prop_assert!(some.len() <= count && some.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(some.iter().all(|row| set.contains(*row)));
            // One part, or one row in all the parts: it is found.
            prop_assert_eq!(some.is_empty(), rows.is_empty() || count == 0);
        }
    }
}

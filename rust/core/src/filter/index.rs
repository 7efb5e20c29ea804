//! Where the values of a column are: postings for equality, zones for ranges.
//!
//! Postings list the rows of each key (a dictionary code, an integer, a bool), ascending. A key that at
//! least one row in 32 has is kept as bits, which then take no more room than its rows would. An integer
//! column has its keys sorted by value, so that a range is a run of lists. Zones keep the least and the
//! greatest value of each page of rows: a range looks into the pages that its ends cut through, and no
//! others, which is nearly all for values in random order and nearly none for those that grow with time.
//!
//! An index describes a column at one moment; what changed since is the business of `indexed`.

use std::ops::Range;

use crate::column::{Column, ColumnType, Sought, Test};

use super::bits::Bits;

/// One row in so many makes a list into bits.
const DENSE: usize = 32;

/// Rows of a zone: whole words of bits.
pub(crate) const PAGE: usize = 1024;

/// An index of a column.
#[derive(Debug)]
pub(crate) struct ColumnIndex {
    rows: usize,
    nulls: Bits,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Postings(Postings),
    /// Least and greatest of each page; the wrong way round where all are null.
    Moments(Vec<(i64, i64)>),
    Numbers(Vec<(f64, f64)>),
}

#[derive(Debug)]
struct Postings {
    /// The key of each list, by value; `None` where keys count up from 0.
    keys: Option<Vec<i64>>,
    /// Where each list starts, and the end of the last.
    starts: Vec<usize>,
    rows: Vec<u32>,
    /// The lists that are bits, by number: their list is empty.
    dense: Vec<(u32, Bits)>,
}

impl ColumnIndex {
    /// Goes over a column.
    pub(crate) fn build(column: &Column) -> Self {
        let rows = column.len();
        let kind = match column.kind() {
            ColumnType::Time => {
                Kind::Moments(zones(rows, (i64::MAX, i64::MIN), |row| column.time(row)))
            }
            ColumnType::Float => {
                Kind::Numbers(zones(rows, (f64::INFINITY, f64::NEG_INFINITY), |row| {
                    column.numeric(row)
                }))
            }
            ColumnType::Int => Kind::Postings(Postings::by_value(column)),
            ColumnType::Bool | ColumnType::Str | ColumnType::StrList => {
                Kind::Postings(Postings::by_code(column))
            }
        };
        ColumnIndex {
            rows,
            nulls: Bits::new(column.null_words(0..rows), rows),
            kind,
        }
    }

    /// The rows that it covers.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The rows without a value.
    pub(crate) fn nulls(&self) -> &Bits {
        &self.nulls
    }

    /// The rows that pass a test of the column, which may have changed since in the pages that are `dirty`
    /// (ascending); `None` where a scan is as good. Of changed rows what it says means nothing.
    pub(crate) fn find(&self, test: &Test<'_>, rows: usize, dirty: &[usize]) -> Option<Bits> {
        match (&self.kind, test.sought()) {
            (Kind::Postings(postings), Sought::Keys(keys)) => {
                let mut found = Bits::none(rows);
                for key in keys {
                    if let Some(list) = postings.list_of(key) {
                        postings.put(list..list + 1, &mut found);
                    }
                }
                Some(found)
            }
            (Kind::Postings(postings), Sought::Ints(low, high)) => {
                let mut found = Bits::none(rows);
                let keys = postings.keys.as_ref()?;
                let first = keys.partition_point(|&key| key < low);
                let end = keys.partition_point(|&key| key <= high);
                postings.put(first..end.max(first), &mut found);
                Some(found)
            }
            (Kind::Moments(zones), Sought::Ints(low, high)) => {
                Some(self.pages(test, rows, dirty, zones, low, high))
            }
            (Kind::Numbers(zones), Sought::Floats(low, high)) => {
                Some(self.pages(test, rows, dirty, zones, low, high))
            }
            _ => None,
        }
    }

    fn pages<T: PartialOrd + Copy>(
        &self,
        test: &Test<'_>,
        rows: usize,
        dirty: &[usize],
        zones: &[(T, T)],
        low: T,
        high: T,
    ) -> Bits {
        let mut found = Bits::none(rows);
        let mut dirty = dirty.iter().copied().peekable();
        for (page, &(least, greatest)) in zones.iter().enumerate() {
            let start = page * PAGE;
            if start >= rows {
                break;
            }
            while dirty.next_if(|&changed| changed < page).is_some() {}
            let changed = dirty.peek() == Some(&page);
            let words = start / 64..(start + PAGE) / 64;
            if !changed && least >= low && greatest <= high {
                let valid: Vec<u64> = words.clone().map(|i| !self.nulls.word(i)).collect();
                found.unite_words(words.start, &valid);
            } else if changed || (least <= high && greatest >= low) {
                let end = (start + PAGE).min(self.rows).min(rows);
                found.unite_words(words.start, &test.words(start..end));
            }
        }
        found
    }
}

fn zones<T: PartialOrd + Copy>(
    rows: usize,
    none: (T, T),
    value: impl Fn(u32) -> Option<T>,
) -> Vec<(T, T)> {
    (0..rows)
        .step_by(PAGE)
        .map(|start| {
            let page = start as u32..(start + PAGE).min(rows) as u32;
            page.filter_map(&value)
                .fold(none, |(least, greatest), value| {
                    (
                        if value < least { value } else { least },
                        if value > greatest { value } else { greatest },
                    )
                })
        })
        .collect()
}

impl Postings {
    /// Lists by code, which counts up from 0.
    fn by_code(column: &Column) -> Postings {
        let rows = column.len() as u32;
        let mut keys = Vec::new();
        let mut counts: Vec<u32> = Vec::new();
        for row in 0..rows {
            keys.clear();
            column.keys(row, &mut keys);
            for &key in &keys {
                if key as usize >= counts.len() {
                    counts.resize(key as usize + 1, 0);
                }
                counts[key as usize] += 1;
            }
        }
        let mut postings = Postings::with_counts(None, &counts, rows as usize);
        let mut next = postings.starts.clone();
        for row in 0..rows {
            keys.clear();
            column.keys(row, &mut keys);
            for &key in &keys {
                postings.add(key as usize, row, &mut next);
            }
        }
        postings
    }

    /// Lists by integer, sorted.
    fn by_value(column: &Column) -> Postings {
        let mut keys = Vec::new();
        let mut pairs: Vec<(i64, u32)> = Vec::new();
        for row in 0..column.len() as u32 {
            keys.clear();
            column.keys(row, &mut keys);
            pairs.extend(keys.iter().map(|&key| (key as i64, row)));
        }
        pairs.sort_unstable();
        let mut values: Vec<i64> = Vec::new();
        let mut counts: Vec<u32> = Vec::new();
        for &(value, _) in &pairs {
            if values.last() != Some(&value) {
                values.push(value);
                counts.push(0);
            }
            *counts.last_mut().expect("a value has a count") += 1;
        }
        let mut postings = Postings::with_counts(Some(values), &counts, column.len());
        let mut next = postings.starts.clone();
        let mut pairs = pairs.into_iter();
        for (list, &count) in counts.iter().enumerate() {
            for (_, row) in pairs.by_ref().take(count as usize) {
                postings.add(list, row, &mut next);
            }
        }
        postings
    }

    fn with_counts(keys: Option<Vec<i64>>, counts: &[u32], rows: usize) -> Postings {
        let mut starts = Vec::with_capacity(counts.len() + 1);
        let mut dense = Vec::new();
        let mut end = 0;
        for (list, &count) in counts.iter().enumerate() {
            starts.push(end);
            if count as usize * DENSE >= rows {
                dense.push((list as u32, Bits::none(rows)));
            } else {
                end += count as usize;
            }
        }
        starts.push(end);
        Postings {
            keys,
            starts,
            rows: vec![0; end],
            dense,
        }
    }

    fn add(&mut self, list: usize, row: u32, next: &mut [usize]) {
        if self.starts[list] == self.starts[list + 1] {
            let at = self
                .dense
                .binary_search_by_key(&(list as u32), |(list, _)| *list);
            if let Ok(at) = at {
                self.dense[at].1.insert(row);
            }
            return;
        }
        self.rows[next[list]] = row;
        next[list] += 1;
    }

    fn list_of(&self, key: u64) -> Option<usize> {
        match &self.keys {
            Some(keys) => keys.binary_search(&(key as i64)).ok(),
            None => Some(key as usize).filter(|&list| list + 1 < self.starts.len()),
        }
    }

    fn put(&self, lists: Range<usize>, found: &mut Bits) {
        let rows = self.starts[lists.start]..self.starts[lists.end];
        self.rows[rows].iter().for_each(|&row| found.insert(row));
        let first = self
            .dense
            .partition_point(|(list, _)| (*list as usize) < lists.start);
        self.dense[first..]
            .iter()
            .take_while(|(list, _)| (*list as usize) < lists.end)
            .for_each(|(_, bits)| found.unite(bits));
    }
}

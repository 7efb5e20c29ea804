//! Links that a sample of queries taught, kept beside a graph's own.
//!
//! They are a part of their own: the graph's links stay what its builder chose, with their degree, their
//! sections and the codes that other layouts keep of them, and a graph without taught links is walked as
//! ever. `vectors/teach.rs` says which links these are.
//!
//! Layout: for each row where its links begin, then all links. Rows that were added later have none, so an
//! insertion and its undo change nothing here. At a fixed stride of [`DEGREE`] 562,000 links of
//! 150,000 rows would take 9.6 MB; so they take 2.8.

use super::NONE;
use crate::error::{Error, Result};
use crate::store::Buf;

/// The most taught links a row has.
///
/// Recall@10 by distances a query on ALS factors at ef=100: .995 by 816 with 16, .997 by 936 with 32.
pub const DEGREE: usize = 16;

/// Where a row's links begin, and all links.
#[derive(Clone, Debug, Default)]
pub struct Taught {
    /// One more than rows; empty when nothing was taught.
    starts: Buf<u32>,
    links: Buf<u32>,
}

impl Taught {
    /// The links taught to a row.
    #[inline]
    pub fn links(&self, row: u32) -> &[u32] {
        let row = row as usize;
        match (self.starts.get(row), self.starts.get(row + 1)) {
            (Some(&from), Some(&to)) => self.links.get(from as usize..to as usize).unwrap_or(&[]),
            _ => &[],
        }
    }

    /// Links, all rows together.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// True when nothing was taught.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Rows that have any.
    pub fn rows(&self) -> usize {
        self.starts
            .windows(2)
            .filter(|ends| ends[0] < ends[1])
            .count()
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.starts.heap_bytes() + self.links.heap_bytes()
    }

    /// Where rows' links begin, and the links, for a file.
    pub fn parts(&self) -> (&[u32], &[u32]) {
        (&self.starts, &self.links)
    }

    /// Rebuilds taught links of a graph of `rows` rows from a file's sections; every length and id is checked.
    pub fn from_parts(rows: usize, starts: Buf<u32>, links: Buf<u32>) -> Result<Self> {
        let ends = starts.first().zip(starts.last());
        let whole = starts.len() <= rows + 1
            && ends == Some((&0, &u32::try_from(links.len()).unwrap_or(NONE)));
        if !whole {
            return Err(Error::format(format!(
                "{} taught links of {} rows lie beside a graph of {rows} rows",
                links.len(),
                starts.len().saturating_sub(1)
            )));
        }
        for (row, ends) in starts.windows(2).enumerate() {
            let own = links.get(ends[0] as usize..ends[1] as usize);
            let good = own.is_some_and(|own| {
                let known = |id: &u32| (*id as usize) < rows && *id as usize != row;
                own.len() <= DEGREE && own.iter().all(known)
            });
            if !good {
                return Err(Error::format(format!(
                    "row {row} of the graph has a bad taught link"
                )));
            }
        }
        Ok(Taught { starts, links })
    }

    /// From the links of each row.
    pub fn collect<'a>(rows: usize, links_of: impl Fn(u32) -> &'a [u32]) -> Self {
        let mut starts = Vec::with_capacity(rows + 1);
        let mut links = Vec::new();
        starts.push(0);
        for row in 0..rows as u32 {
            links.extend_from_slice(links_of(row));
            starts.push(links.len() as u32);
        }
        if links.is_empty() {
            return Taught::default();
        }
        Taught {
            starts: starts.into(),
            links: links.into(),
        }
    }

    /// What is left when only the given rows are, numbered as they come.
    pub fn keep(&self, rows: &[u32]) -> Self {
        if self.is_empty() {
            return Taught::default();
        }
        let known = rows.iter().max().map_or(0, |row| *row as usize + 1);
        let mut now = vec![NONE; known.max(self.starts.len())];
        for (new, &old) in rows.iter().enumerate() {
            now[old as usize] = new as u32;
        }
        let mut starts = vec![0];
        let mut links = Vec::new();
        for &row in rows {
            let to = self.links(row).iter().map(|link| now[*link as usize]);
            links.extend(to.filter(|link| *link != NONE));
            starts.push(links.len() as u32);
        }
        Taught {
            starts: starts.into(),
            links: links.into(),
        }
    }
}

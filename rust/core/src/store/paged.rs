//! Rows of plain numbers that change in place, in pages that versions share until one of them writes.
//!
//! Links, neighbour codes and attributes change all over, a few rows at a time, while readers of an older
//! version look at them. So rows lie in pages of about [`PAGE_BYTES`]; a copy of the whole shares every page,
//! and the first write to a page that is shared writes to a copy of it. A row is found by two lookups in
//! tables that stay in the caches: the pages' addresses lie in groups of [`GROUP`], which are shared and
//! copied in the same way, so that a copy of a million rows is a copy of a few hundred references.
//!
//! Pages come from an *arena*: regions in huge pages, as all vectors and graphs are (`region` says why), and
//! a list of those that no version holds any more, which are used again. Rows that are added together lie
//! together; what is written later goes to whatever page is free, and the next compaction, which makes a new
//! arena, puts everything in order and gives the old one back.
//!
//! Measured (Zen 4, 100,000 rows of 32 links): to insert a row changes some 20 rows in as many pages; copying
//! those takes about 10 µs of the 300 to 400 that the insertion takes.

use std::fmt;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use bytemuck::Pod;

use super::region::Region;
use super::Buf;
use crate::format::Mapping;

/// Bytes of a page, about: few enough to copy for one row, enough that the tables of pages stay small.
const PAGE_BYTES: usize = 4096;

/// Pages of a group.
const GROUP: usize = 32;

/// An arena grows by this part of what it has.
const GROWTH: usize = 8;

/// Pages by which an arena grows at least.
const LEAST_PAGES: usize = 4;

/// Rows of a fixed number of plain numbers; a copy shares them until one of the two writes.
pub struct Paged<T: Pod> {
    /// Numbers of a row.
    stride: usize,
    /// A page has two to this power of rows.
    shift: u32,
    rows: usize,
    groups: Vec<Arc<[Page<T>]>>,
    arena: Arc<Arena<T>>,
}

struct Page<T: Pod> {
    data: NonNull<T>,
    owner: Owner<T>,
}

enum Owner<T: Pod> {
    Slot(Arc<Slot<T>>),
    /// In a mapped file: never written.
    Mapped(Arc<Mapping>),
}

/// A page's memory, given back to the arena when the last version lets go of it.
struct Slot<T: Pod> {
    data: NonNull<T>,
    arena: Arc<Arena<T>>,
}

struct Arena<T: Pod> {
    /// Numbers of a page.
    page: usize,
    inner: Mutex<Space<T>>,
}

struct Space<T: Pod> {
    regions: Vec<Region<T>>,
    /// Pages that were used and are not any more.
    free: Vec<NonNull<T>>,
    /// The first page of the last region that was never used, and how many there are.
    fresh: (NonNull<T>, usize),
    /// Pages of all regions.
    pages: usize,
}

// SAFETY: a page is read by all versions that hold it and written only by one that is the only holder of its
// slot, through `&mut` (`Paged::own`); a mapped page is never written. So threads share what nobody writes.
#[allow(unsafe_code)]
unsafe impl<T: Pod + Send + Sync> Send for Page<T> {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl<T: Pod + Send + Sync> Sync for Page<T> {}
// SAFETY: a slot is an address and the arena that it goes back to.
#[allow(unsafe_code)]
unsafe impl<T: Pod + Send + Sync> Send for Slot<T> {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl<T: Pod + Send + Sync> Sync for Slot<T> {}
// SAFETY: addresses of pages that nobody holds, behind a lock.
#[allow(unsafe_code)]
unsafe impl<T: Pod + Send + Sync> Send for Space<T> {}

impl<T: Pod> Drop for Slot<T> {
    fn drop(&mut self) {
        self.arena.space().free.push(self.data);
    }
}

impl<T: Pod> Arena<T> {
    fn new(page: usize) -> Arc<Self> {
        Arc::new(Arena {
            page,
            inner: Mutex::new(Space {
                regions: Vec::new(),
                free: Vec::new(),
                fresh: (NonNull::dangling(), 0),
                pages: 0,
            }),
        })
    }

    fn space(&self) -> std::sync::MutexGuard<'_, Space<T>> {
        // Nothing panics between two states of it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that so many pages that were never used lie in a row.
    fn reserve(&self, pages: usize) {
        let mut space = self.space();
        if space.fresh.1 < pages {
            self.grow(&mut space, pages);
        }
    }

    fn grow(&self, space: &mut Space<T>, pages: usize) {
        let (at, left) = space.fresh;
        for page in 0..left {
            // SAFETY: page `page` of the `left` that lie at `at` in the last region.
            #[allow(unsafe_code)]
            space.free.push(unsafe { at.add(page * self.page) });
        }
        let pages = pages.max(space.pages / GROWTH).max(LEAST_PAGES);
        let region = Region::zeroed(pages * self.page);
        space.fresh = (region.data(), region.capacity() / self.page);
        space.pages += pages;
        space.regions.push(region);
    }

    /// A page; what is in it is zeros or what was in it before.
    fn page(self: &Arc<Self>, fresh: bool) -> Page<T> {
        let mut space = self.space();
        let known = if fresh { None } else { space.free.pop() };
        let data = known.unwrap_or_else(|| {
            if space.fresh.1 == 0 {
                self.grow(&mut space, 1);
            }
            let data = space.fresh.0;
            // SAFETY: at least one page lies there; the one behind it may be the end of the region.
            #[allow(unsafe_code)]
            let next = unsafe { data.add(self.page) };
            space.fresh = (next, space.fresh.1 - 1);
            data
        });
        drop(space);
        Page {
            data,
            owner: Owner::Slot(Arc::new(Slot {
                data,
                arena: Arc::clone(self),
            })),
        }
    }
}

impl<T: Pod> Clone for Page<T> {
    fn clone(&self) -> Self {
        Page {
            data: self.data,
            owner: match &self.owner {
                Owner::Slot(slot) => Owner::Slot(Arc::clone(slot)),
                Owner::Mapped(map) => Owner::Mapped(Arc::clone(map)),
            },
        }
    }
}

impl<T: Pod> Clone for Paged<T> {
    fn clone(&self) -> Self {
        Paged {
            stride: self.stride,
            shift: self.shift,
            rows: self.rows,
            groups: self.groups.clone(),
            arena: Arc::clone(&self.arena),
        }
    }
}

impl<T: Pod> fmt::Debug for Paged<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Paged of {} rows of {}", self.rows, self.stride)
    }
}

impl<T: Pod> Paged<T> {
    /// No rows yet, of `stride` numbers each.
    ///
    /// # Panics
    /// If `stride` is 0.
    pub fn new(stride: usize) -> Self {
        let rows = PAGE_BYTES / (stride * size_of::<T>());
        Self::with_rows_a_page(stride, rows.max(1))
    }

    /// The same with the number of rows in a page, rounded down to a power of two.
    ///
    /// # Panics
    /// If either is 0.
    pub fn with_rows_a_page(stride: usize, rows: usize) -> Self {
        assert!(stride > 0, "a row has numbers");
        let shift = rows.ilog2();
        Paged {
            stride,
            shift,
            rows: 0,
            groups: Vec::new(),
            arena: Arena::new(stride << shift),
        }
    }

    /// The rows of a run, a multiple of `stride` numbers: in place if they are in a mapped file.
    pub fn from_buf(mut self, run: &Buf<T>) -> Self {
        let count = run.len() / self.stride;
        match run.mapping() {
            None => self.extend_from_slice(run),
            Some(map) => {
                let pages = run.chunks(self.stride << self.shift).map(|rows| Page {
                    data: NonNull::from(rows).cast(),
                    owner: Owner::Mapped(Arc::clone(map)),
                });
                let pages: Vec<Page<T>> = pages.collect();
                self.groups = pages.chunks(GROUP).map(Arc::from).collect();
                self.rows = count;
            }
        }
        self
    }

    /// Rows.
    #[inline]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The numbers of a row.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &[T] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let page = row >> self.shift;
        let page = &self.groups[page / GROUP][page % GROUP];
        let at = (row & ((1 << self.shift) - 1)) * self.stride;
        // SAFETY: a page holds its rows below `self.rows`, of which this is one, each of `stride` numbers
        // that were written before this version was made; they stay while the page is held.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(page.data.as_ptr().add(at), self.stride)
        }
    }

    /// A row to write to.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row_mut(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let at = (row & ((1 << self.shift) - 1)) * self.stride;
        let data = self.own(row >> self.shift);
        // SAFETY: as in `row`; `own` made this the only holder of the page, and `&mut self` is held.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts_mut(data.as_ptr().add(at), self.stride)
        }
    }

    /// Makes this the only holder of a page, by a copy if there are others; returns where it lies.
    fn own(&mut self, page: usize) -> NonNull<T> {
        let used = self.numbers_in(page);
        let page = &mut Arc::make_mut(&mut self.groups[page / GROUP])[page % GROUP];
        let alone = match &mut page.owner {
            Owner::Slot(slot) => Arc::get_mut(slot).is_some(),
            Owner::Mapped(_) => false,
        };
        if !alone {
            let copy = self.arena.page(false);
            // SAFETY: the page holds `used` numbers that nobody writes, as this version holds it; the copy
            // has room for a page and nobody else knows it.
            #[allow(unsafe_code)]
            unsafe {
                page.data.copy_to_nonoverlapping(copy.data, used);
            }
            *page = copy;
        }
        page.data
    }

    fn page_count(&self) -> usize {
        let last = self.groups.last().map_or(0, |group| group.len());
        self.groups.len().saturating_sub(1) * GROUP + last
    }

    /// Numbers in use of a page.
    fn numbers_in(&self, page: usize) -> usize {
        let before = page << self.shift;
        (self.rows - before).min(1 << self.shift) * self.stride
    }

    /// Sees to it that so many more rows will lie together, though they come one by one.
    pub fn reserve(&mut self, rows: usize) {
        let pages = (self.rows + rows).div_ceil(1 << self.shift);
        self.arena.reserve(pages.saturating_sub(self.page_count()));
    }

    /// Adds `rows` rows filled with a value.
    pub fn grow(&mut self, rows: usize, value: T) {
        self.append(rows, |slots, _| slots.fill(value));
    }

    /// Appends whole rows.
    pub fn extend_from_slice(&mut self, values: &[T]) {
        let stride = self.stride;
        self.append(values.len() / stride, |slots, first| {
            let from = first * stride;
            slots.copy_from_slice(&values[from..from + slots.len()]);
        });
    }

    /// Appends a row.
    pub fn push(&mut self, row: &[T]) {
        debug_assert_eq!(row.len(), self.stride);
        self.extend_from_slice(row);
    }

    /// Appends rows page by page: `write` gets the place of some and the number of the first among the new.
    fn append(&mut self, rows: usize, mut write: impl FnMut(&mut [T], usize)) {
        let end = self.rows.checked_add(rows).expect("a length fits usize");
        let full = 1usize << self.shift;
        let needed = end.div_ceil(full).saturating_sub(self.page_count());
        // Pages that come one by one are taken from those that were used before.
        let together = needed > LEAST_PAGES;
        if together {
            self.arena.reserve(needed);
        }
        let mut done = 0;
        while done < rows {
            let (page, before) = (self.rows >> self.shift, self.rows & (full - 1));
            let some = (full - before).min(rows - done);
            let data = if page < self.page_count() {
                self.own(page)
            } else {
                let new = self.arena.page(together);
                let data = new.data;
                match self.groups.last_mut().filter(|group| group.len() < GROUP) {
                    Some(group) => {
                        let with = group.iter().cloned().chain([new]).collect();
                        *group = with;
                    }
                    None => self.groups.push(Arc::from([new])),
                }
                data
            };
            // SAFETY: the page is held by this version alone, has room for the rows from `before` on, and was
            // zeroed or written as numbers before; `&mut self` is held.
            #[allow(unsafe_code)]
            let slots = unsafe {
                let at = data.as_ptr().add(before * self.stride);
                std::slice::from_raw_parts_mut(at, some * self.stride)
            };
            write(slots, done);
            self.rows += some;
            done += some;
        }
    }

    /// The rows in order, page by page.
    pub fn pages(&self) -> impl Iterator<Item = &[T]> {
        let pages = self.groups.iter().flat_map(|group| group.iter());
        pages.enumerate().map(|(number, page)| {
            // SAFETY: as in `row`, for all rows of the page.
            #[allow(unsafe_code)]
            unsafe {
                std::slice::from_raw_parts(page.data.as_ptr(), self.numbers_in(number))
            }
        })
    }

    /// The numbers of a page, of which all but the last have the same.
    ///
    /// # Panics
    /// If there is no such page.
    #[inline]
    pub fn page(&self, number: usize) -> &[T] {
        let page = &self.groups[number / GROUP][number % GROUP];
        // SAFETY: as in `row`, for all rows of the page.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(page.data.as_ptr(), self.numbers_in(number))
        }
    }

    /// All rows in one run.
    pub fn to_vec(&self) -> Vec<T> {
        self.pages().flatten().copied().collect()
    }

    /// Bytes of memory in use; rows in a mapped file have none.
    pub fn heap_bytes(&self) -> usize {
        let pages = self.groups.iter().flat_map(|group| group.iter());
        let own = pages.filter(|page| matches!(page.owner, Owner::Slot(_)));
        own.count() * self.arena.page * size_of::<T>()
    }
}

impl<T: Pod + PartialEq> PartialEq for Paged<T> {
    fn eq(&self, other: &Self) -> bool {
        self.stride == other.stride && self.rows == other.rows && self.iter().eq(other.iter())
    }
}

impl<T: Pod> Paged<T> {
    /// The only number of a row, of rows of one.
    #[inline(always)]
    pub fn get(&self, row: usize) -> T {
        self.row(row)[0]
    }

    /// Replaces the only number of a row.
    pub fn set(&mut self, row: usize, value: T) {
        self.row_mut(row)[0] = value;
    }

    /// All numbers in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages().flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flat(paged: &Paged<u32>) -> Vec<u32> {
        let by_row: Vec<u32> = (0..paged.len())
            .flat_map(|row| paged.row(row).to_vec())
            .collect();
        assert!(paged.iter().eq(&by_row));
        by_row
    }

    #[test]
    fn a_write_to_one_version_is_not_seen_by_another() {
        let mut old: Paged<u32> = Paged::with_rows_a_page(3, 4);
        old.grow(1000, 7);
        let before = flat(&old);
        let mut new = old.clone();
        new.row_mut(500).copy_from_slice(&[1, 2, 3]);
        new.grow(5, 9);
        assert_eq!(flat(&old), before);
        assert_eq!(
            (new.row(500), new.row(501), new.row(1004)),
            (&[1, 2, 3][..], &[7; 3][..], &[9; 3][..])
        );
        // The old version may be written to as well.
        old.row_mut(500)[0] = 8;
        assert_eq!((new.row(500)[0], old.row(500)[0]), (1, 8));
    }

    #[test]
    fn pages_of_versions_that_are_gone_are_used_again() {
        let mut current: Paged<u64> = Paged::new(16);
        current.grow(10_000, 0);
        let pages = |paged: &Paged<u64>| paged.arena.space().pages;
        let at_first = pages(&current);
        for round in 0..2000usize {
            let mut next = current.clone();
            for i in 0..8 {
                next.row_mut((round * 911 + i * 1237) % 10_000)[i] = round as u64;
            }
            current = next;
        }
        assert!(pages(&current) <= at_first + at_first / GROWTH + LEAST_PAGES);
        assert_eq!(current.row((1999 * 911) % 10_000)[0], 1999);
    }

    #[test]
    fn versions_are_read_while_the_next_is_written() {
        let live = crate::live::Live::new({
            let mut rows: Paged<u64> = Paged::with_rows_a_page(4, 2);
            rows.grow(400, 0);
            rows
        });
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let version = live.read();
                        let round = version.row(0)[0];
                        assert!(version.iter().all(|n| *n == round));
                    }
                });
            }
            for round in 1..500 {
                let write = |rows: &mut Paged<u64>| {
                    (0..rows.len()).for_each(|row| rows.row_mut(row).fill(round));
                    rows.grow(1, round);
                    Ok(())
                };
                live.write(write).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(live.read().len(), 899);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn versions_are_vectors(
            stride in 1..5usize,
            rows in 1..9usize,
            steps in prop::collection::vec((0..4u8, any::<u32>(), 0..200usize), 1..40),
        ) {
            let start: Paged<u32> = Paged::with_rows_a_page(stride, rows);
            let mut versions = vec![(start, Vec::<u32>::new())];
            for (what, value, n) in steps {
                let (paged, plain) = versions.last().unwrap().clone();
                let (mut paged, mut plain) = (paged, plain);
                match what {
                    0 => {
                        paged.grow(n, value);
                        plain.resize(plain.len() + n * stride, value);
                    }
                    1 => {
                        let more: Vec<u32> = (0..(n * stride) as u32).map(|i| i ^ value).collect();
                        paged.extend_from_slice(&more);
                        plain.extend(more);
                    }
                    _ if !paged.is_empty() => {
                        let row = n % paged.len();
                        paged.row_mut(row).fill(value);
                        plain[row * stride..(row + 1) * stride].fill(value);
                    }
                    _ => {}
                }
                // Only the last few stay, so that pages come free.
                if versions.len() == 3 {
                    versions.remove(0);
                }
                versions.push((paged, plain));
                for (paged, plain) in &versions {
                    prop_assert_eq!(&flat(paged), plain);
                }
            }
        }
    }
}

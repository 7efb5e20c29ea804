//! A growing run of plain numbers in huge pages.
//!
//! A graph search reads rows all over its memory, and with pages of 4 KiB nearly every row costs a walk
//! of the page table besides the read: of 79 µs that a search of 100,000 x 384 took with neighbour codes
//! (158 MB), a third were such walks, most of them behind prefetches, which wait for them as well. Runs of
//! 4 MiB and more are therefore mapped from the system with the advice to use huge pages (2 MiB); the system
//! may decline, and then nothing is lost. Pages that were never written take no memory, so room to grow
//! costs address space only.

use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use memmap2::MmapMut;

/// Bytes from which on a run is mapped rather than allocated: two huge pages.
const MAPPED_BYTES: usize = 4 << 20;

/// A vector of plain numbers.
#[derive(Debug)]
pub struct Huge<T: Pod> {
    memory: Memory<T>,
}

#[derive(Debug)]
enum Memory<T> {
    Heap(Vec<T>),
    /// The map, and how many numbers of it are in use; those beyond are zero or left over.
    Pages(MmapMut, usize),
}

impl<T: Pod> Default for Huge<T> {
    fn default() -> Self {
        Huge::from(Vec::new())
    }
}

impl<T: Pod> From<Vec<T>> for Huge<T> {
    fn from(values: Vec<T>) -> Self {
        let mut huge = Huge {
            memory: Memory::Heap(values),
        };
        let len = huge.len();
        if len * size_of::<T>() >= MAPPED_BYTES {
            huge.move_to_pages(len);
        }
        huge
    }
}

impl<T: Pod> Clone for Huge<T> {
    fn clone(&self) -> Self {
        let mut copy = Huge::default();
        copy.extend_from_slice(self);
        copy
    }
}

impl<T: Pod> Deref for Huge<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.memory {
            Memory::Heap(values) => values,
            Memory::Pages(map, len) => bytemuck::cast_slice(&map[..len * size_of::<T>()]),
        }
    }
}

impl<T: Pod> DerefMut for Huge<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.memory {
            Memory::Heap(values) => values,
            Memory::Pages(map, len) => bytemuck::cast_slice_mut(&mut map[..*len * size_of::<T>()]),
        }
    }
}

/// A map of at least so many bytes, or `None` where the system has none to give.
fn pages(bytes: usize) -> Option<MmapMut> {
    let map = MmapMut::map_anon(bytes).ok()?;
    // Advice may be refused; the pages are as good as any then.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Some(map)
}

impl<T: Pod> Huge<T> {
    /// So many zeros.
    pub fn zeroed(len: usize) -> Self {
        let mut huge = Huge::default();
        huge.resize(len, T::zeroed());
        huge
    }

    /// Numbers there is room for without moving.
    fn capacity(&self) -> usize {
        match &self.memory {
            Memory::Heap(values) => values.capacity(),
            Memory::Pages(map, _) => map.len() / size_of::<T>(),
        }
    }

    /// Bytes in use. Room to grow is not counted: beyond what is in use no page was touched, and less than
    /// [`MAPPED_BYTES`] is not in pages.
    pub fn bytes(&self) -> usize {
        self.len() * size_of::<T>()
    }

    fn move_to_pages(&mut self, capacity: usize) {
        let bytes = capacity.checked_mul(size_of::<T>());
        let Some(mut map) = bytes.and_then(pages) else {
            // As large as this and no pages: let the allocator try, and report as it does.
            if let Memory::Heap(values) = &mut self.memory {
                values.reserve(capacity - values.len());
            } else {
                let mut values = Vec::with_capacity(capacity);
                values.extend_from_slice(self);
                self.memory = Memory::Heap(values);
            }
            return;
        };
        let len = self.len();
        map[..len * size_of::<T>()].copy_from_slice(bytemuck::cast_slice(self));
        self.memory = Memory::Pages(map, len);
    }

    /// Makes room for so many more.
    pub fn reserve(&mut self, more: usize) {
        let needed = self.len().checked_add(more).expect("a length fits usize");
        if needed <= self.capacity() {
            return;
        }
        // By half more at least, so that numbers that come one by one are copied a few times only.
        let room = needed.max(self.capacity() + self.capacity() / 2);
        match &mut self.memory {
            Memory::Heap(values) if needed * size_of::<T>() < MAPPED_BYTES => values.reserve(more),
            _ => self.move_to_pages(room),
        }
    }

    /// Shortens or lengthens to `len`, new places filled with `value`.
    pub fn resize(&mut self, len: usize, value: T) {
        let before = self.len();
        self.reserve(len.saturating_sub(before));
        match &mut self.memory {
            Memory::Heap(values) => values.resize(len, value),
            Memory::Pages(_, used) => {
                *used = len;
                if len > before {
                    self[before..].fill(value);
                }
            }
        }
    }

    /// Appends one number.
    pub fn push(&mut self, value: T) {
        self.resize(self.len() + 1, value);
    }

    /// Appends a slice.
    pub fn extend_from_slice(&mut self, values: &[T]) {
        let before = self.len();
        self.reserve(values.len());
        match &mut self.memory {
            Memory::Heap(own) => own.extend_from_slice(values),
            Memory::Pages(_, used) => {
                *used += values.len();
                self[before..].copy_from_slice(values);
            }
        }
    }

    /// Drops the numbers from `len` on. Where that is half of them or more, their memory goes back.
    pub fn truncate(&mut self, len: usize) {
        let before = self.len();
        if len >= before {
            return;
        }
        match &mut self.memory {
            Memory::Heap(values) => values.truncate(len),
            Memory::Pages(_, used) => *used = len,
        }
        if len <= before / 2 {
            *self = self.clone();
        }
    }
}

impl<T: Pod> Extend<T> for Huge<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        let values = values.into_iter();
        self.reserve(values.size_hint().0);
        values.for_each(|value| self.push(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers just below and above what is mapped.
    const EDGE: usize = MAPPED_BYTES / 4;

    #[test]
    fn moving_to_pages_and_growing_keeps_every_number() {
        let mut huge: Huge<u32> = Huge::default();
        let mut plain: Vec<u32> = Vec::new();
        for step in 0..40u32 {
            let values: Vec<u32> = (0..EDGE as u32 / 16).map(|i| i ^ step).collect();
            huge.extend_from_slice(&values);
            plain.extend_from_slice(&values);
            huge.push(step);
            plain.push(step);
        }
        assert!(matches!(huge.memory, Memory::Pages(..)));
        assert!(*huge == *plain);
        assert!(*huge.clone() == *plain);
        assert!(*Huge::from(plain.clone()) == *plain);
        huge.truncate(10);
        huge.resize(EDGE + 5, 7);
        plain.truncate(10);
        plain.resize(EDGE + 5, 7);
        assert!(*huge == *plain);
        assert_eq!(huge.bytes(), 4 * (EDGE + 5));
    }

    #[test]
    fn zeros_are_zeros_also_where_numbers_were() {
        let mut huge: Huge<u16> = Huge::zeroed(4 * EDGE);
        huge.fill(9);
        huge.truncate(1);
        huge.resize(4 * EDGE, 0);
        assert_eq!(huge[0], 9);
        assert!(huge[1..].iter().all(|x| *x == 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn it_is_a_vector(steps in prop::collection::vec((0..4u8, 0..3 * EDGE / 2), 1..8)) {
            let mut huge: Huge<u32> = Huge::default();
            let mut plain: Vec<u32> = Vec::new();
            for (what, n) in steps {
                match what {
                    0 => (huge.resize(n, 3), plain.resize(n, 3)),
                    1 => (huge.truncate(n), plain.truncate(n)),
                    2 => (huge.extend(0..n as u32 / 8), plain.extend(0..n as u32 / 8)),
                    _ => (huge.reserve(n), plain.reserve(n)),
                };
                prop_assert!(*huge == *plain);
            }
        }
    }
}

//! A run of plain numbers that only grows, shared by all copies of it, or a window into a mapped file.
//!
//! Vectors never change once they are stored, so versions of a catalog share them: a copy is another length
//! over the same memory. The copy that still ends where the memory in use ends may append in place, beyond
//! what any other copy sees; any other moves to memory of its own first. The first of several copies to
//! append therefore goes on where they all end, and the others cannot tell.
//!
//! To append is to *claim*: the region counts the numbers that were ever promised to anybody, and a copy of
//! length `n` may write from `n` on only if it moves that count from `n` to where it will end, by one
//! compare-and-exchange. No copy is longer than the count, so what was claimed is seen by nobody else until
//! the claimer hands out copies of its new length. An append that fails half way leaves the count where it
//! is; the next one moves on to new memory.

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use bytemuck::Pod;

use super::claim::Claimed;
use super::region::Region;
use crate::format::Mapping;

/// Plain numbers, owned or mapped; a copy costs a reference.
pub struct Buf<T: Pod> {
    /// Where the numbers lie, so that reading them asks nothing else.
    data: NonNull<T>,
    len: usize,
    owner: Owner<T>,
}

enum Owner<T: Pod> {
    /// In memory of this process.
    Shared(Arc<Shared<T>>),
    /// In a file's pages.
    Mapped(Arc<Mapping>),
}

struct Shared<T: Pod> {
    region: Region<T>,
    /// Numbers that were ever promised to a copy. Never more than the region has room for.
    claimed: Claimed,
}

// SAFETY: a `Buf` reads numbers below its length, which nobody writes any more: they were written before the
// copy that has this length was made, by the one that claimed them (see the head of this file), or are a
// read-only map. Writing needs `&mut`.
#[allow(unsafe_code)]
unsafe impl<T: Pod + Send + Sync> Send for Buf<T> {}
// SAFETY: as above; `&Buf` only reads.
#[allow(unsafe_code)]
unsafe impl<T: Pod + Send + Sync> Sync for Buf<T> {}

impl<T: Pod> Clone for Buf<T> {
    fn clone(&self) -> Self {
        Buf {
            data: self.data,
            len: self.len,
            owner: match &self.owner {
                Owner::Shared(shared) => Owner::Shared(Arc::clone(shared)),
                Owner::Mapped(map) => Owner::Mapped(Arc::clone(map)),
            },
        }
    }
}

impl<T: Pod> Default for Buf<T> {
    fn default() -> Self {
        Buf::with_capacity(0)
    }
}

impl<T: Pod> From<Vec<T>> for Buf<T> {
    fn from(values: Vec<T>) -> Self {
        let mut buf = Buf::with_capacity(values.len());
        buf.extend_from_slice(&values);
        buf
    }
}

impl<T: Pod> FromIterator<T> for Buf<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        values.into_iter().collect::<Vec<T>>().into()
    }
}

impl<T: Pod> fmt::Debug for Buf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buf of {}", self.len)
    }
}

impl<T: Pod> Deref for Buf<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `data` is valid for `len` numbers as long as the owner is, and nobody writes them: see
        // `Send` above.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(self.data.as_ptr(), self.len)
        }
    }
}

impl<T: Pod> Buf<T> {
    /// No numbers, and room for some.
    pub fn with_capacity(capacity: usize) -> Self {
        let region = Region::zeroed(capacity);
        Buf {
            data: region.data(),
            len: 0,
            owner: Owner::Shared(Arc::new(Shared {
                region,
                claimed: Claimed::new(0),
            })),
        }
    }

    /// The numbers in some bytes of a mapped file; `None` where these are not whole and aligned numbers.
    pub fn mapped(map: &Arc<Mapping>, bytes: std::ops::Range<usize>) -> Option<Self> {
        let values: &[T] = bytemuck::try_cast_slice(map.bytes().get(bytes)?).ok()?;
        Some(Buf {
            data: NonNull::from(values).cast(),
            len: values.len(),
            owner: Owner::Mapped(Arc::clone(map)),
        })
    }

    /// The map that these numbers lie in, if they do.
    pub(super) fn mapping(&self) -> Option<&Arc<Mapping>> {
        match &self.owner {
            Owner::Shared(_) => None,
            Owner::Mapped(map) => Some(map),
        }
    }

    /// Appends numbers.
    pub fn extend_from_slice(&mut self, values: &[T]) {
        self.extend_with(values.len(), |slots| slots.copy_from_slice(values));
    }

    /// Appends a number.
    pub fn push(&mut self, value: T) {
        self.extend_with(1, |slots| slots[0] = value);
    }

    /// Appends `more` numbers, which `write` gets as zeros or what an append that failed left there, and has
    /// to write.
    pub fn extend_with<R>(&mut self, more: usize, write: impl FnOnce(&mut [T]) -> R) -> R {
        let end = self.len.checked_add(more).expect("a length fits usize");
        if !self.claim(end) {
            // By half more at least, so that numbers that come one by one are copied a few times only.
            self.move_to(end.max(self.len + self.len / 2));
            assert!(self.claim(end), "memory of one's own can be claimed");
        }
        // SAFETY: `len..end` lies within the region, was claimed by this copy alone just now, and is not yet
        // within the length of any copy; `&mut self` keeps this one from being used meanwhile. `T` is plain,
        // and the memory was zeroed when it was made.
        #[allow(unsafe_code)]
        let slots =
            unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr().add(self.len), more) };
        let out = write(slots);
        self.len = end;
        out
    }

    /// Claims the numbers from the length to `end`, if no other copy has claimed any of them.
    fn claim(&mut self, end: usize) -> bool {
        let Owner::Shared(shared) = &mut self.owner else {
            return end == self.len;
        };
        if end > shared.region.capacity() {
            return false;
        }
        if let Some(shared) = Arc::get_mut(shared) {
            shared.claimed.extend_alone(end);
            return true;
        }
        shared.claimed.extend(self.len, end)
    }

    /// Moves to memory of its own, with room for `capacity` numbers.
    fn move_to(&mut self, capacity: usize) {
        let mut own = Buf::with_capacity(capacity);
        own.extend_from_slice(self);
        *self = own;
    }

    /// Makes room for so many more, to be appended in parts.
    pub fn reserve(&mut self, more: usize) {
        let end = self.len.checked_add(more).expect("a length fits usize");
        let room = match &self.owner {
            Owner::Shared(shared) => shared.region.capacity(),
            Owner::Mapped(_) => self.len,
        };
        if end > room {
            self.move_to(end.max(self.len + self.len / 2));
        }
    }

    /// Bytes of memory in use; a mapped run has none. Room to grow is not counted: pages beyond what is in use
    /// were not touched.
    pub fn heap_bytes(&self) -> usize {
        match self.owner {
            Owner::Shared(_) => self.len * size_of::<T>(),
            Owner::Mapped(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_copy_to_append_goes_on_in_place_and_the_others_move() {
        let mut first: Buf<u32> = Buf::with_capacity(8);
        first.extend_from_slice(&[1, 2, 3]);
        let at = first.as_ptr();
        let (mut second, third) = (first.clone(), first.clone());
        second.push(4);
        first.push(5);
        assert_eq!(
            (&*first, &*second, &*third),
            (&[1, 2, 3, 5][..], &[1, 2, 3, 4][..], &[1, 2, 3][..])
        );
        assert_eq!((second.as_ptr(), third.as_ptr()), (at, at));
        assert_ne!(first.as_ptr(), at);
        // A version that was given up has claimed what the next one wants.
        drop(second);
        let mut fourth = third.clone();
        fourth.push(6);
        assert_eq!((&*fourth, &*third), (&[1, 2, 3, 6][..], &[1, 2, 3][..]));
    }

    #[test]
    fn an_append_that_panics_leaves_every_copy_as_it_was() {
        let mut buf: Buf<u8> = Buf::with_capacity(16);
        buf.extend_from_slice(&[1, 2]);
        let copy = buf.clone();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            buf.extend_with(2, |slots| {
                slots[0] = 9;
                panic!("half way");
            })
        }));
        assert!(panicked.is_err());
        assert_eq!((&*buf, &*copy), (&[1, 2][..], &[1, 2][..]));
        buf.extend_from_slice(&[3, 4]);
        assert_eq!((&*buf, &*copy), (&[1, 2, 3, 4][..], &[1, 2][..]));
    }

    #[test]
    fn copies_in_many_threads_append_without_touching_each_other() {
        let mut base: Buf<u64> = Buf::with_capacity(4096);
        base.extend_from_slice(&[7; 100]);
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let mut own = base.clone();
                let base = &base;
                scope.spawn(move || {
                    for i in 0..200 {
                        own.push(thread * 1000 + i);
                        let kept = own.clone();
                        assert_eq!(&kept[..100], &base[..]);
                        for (j, value) in kept[100..].iter().enumerate() {
                            assert_eq!(*value, thread * 1000 + j as u64);
                        }
                    }
                });
            }
        });
    }
}

//! Zeroed memory of a fixed size, in huge pages where it is large.
//!
//! A graph search reads rows all over its memory, and with pages of 4 KiB nearly every row costs a walk
//! of the page table besides the read: of 79 µs that a search of 100,000 x 384 took with neighbour codes
//! (158 MB), a third were such walks, most of them behind prefetches, which wait for them as well. Regions of
//! 4 MiB and more are therefore mapped from the system with the advice to use huge pages (2 MiB); the system
//! may decline, and then nothing is lost. Pages that were never written take no memory, so room to grow
//! costs address space only.
//!
//! A region hands out an address and says nothing of who may use it: that is the business of `buf` and
//! `paged`, the only two that have one. What a smaller region held is overwritten before its memory goes
//! back to the allocator; mapped memory comes back from the system as zeros.

use std::alloc::{alloc_zeroed, dealloc, handle_alloc_error, Layout};
use std::ptr::NonNull;

use bytemuck::Pod;
use memmap2::MmapMut;

/// Bytes from which on a region is mapped rather than allocated: two huge pages.
const MAPPED_BYTES: usize = 4 << 20;

/// Small regions begin at a cache line, as mapped ones do.
const ALIGN: usize = 64;

/// Memory for `capacity` numbers, zeroed when it is made.
#[derive(Debug)]
pub(super) struct Region<T: Pod> {
    data: NonNull<T>,
    capacity: usize,
    memory: Memory,
}

#[derive(Debug)]
enum Memory {
    /// No memory: a capacity of 0.
    None,
    Heap(Layout),
    /// Held for its drop alone.
    #[allow(dead_code)]
    Pages(MmapMut),
}

// SAFETY: a region owns plain memory and has no way of its own to read or write it. Those who do so through
// `data` see to it that no two threads use one place while one of them writes there.
#[allow(unsafe_code)]
unsafe impl<T: Pod + Send> Send for Region<T> {}
// SAFETY: as above: sharing a region shares an address.
#[allow(unsafe_code)]
unsafe impl<T: Pod + Sync> Sync for Region<T> {}

impl<T: Pod> Region<T> {
    /// Room for `capacity` numbers, all zero.
    pub fn zeroed(capacity: usize) -> Self {
        let layout = Layout::array::<T>(capacity).expect("a region fits the address space");
        let layout = layout
            .align_to(ALIGN)
            .expect("a region fits the address space");
        if layout.size() == 0 {
            return Region {
                data: NonNull::dangling(),
                capacity,
                memory: Memory::None,
            };
        }
        if layout.size() >= MAPPED_BYTES {
            if let Some(mut map) = pages(layout.size()) {
                let data = NonNull::new(map.as_mut_ptr().cast()).expect("a map has an address");
                return Region {
                    data,
                    capacity,
                    memory: Memory::Pages(map),
                };
            }
        }
        // SAFETY: the layout has a size other than 0.
        #[allow(unsafe_code)]
        let data = unsafe { alloc_zeroed(layout) };
        let Some(data) = NonNull::new(data.cast()) else {
            handle_alloc_error(layout)
        };
        Region {
            data,
            capacity,
            memory: Memory::Heap(layout),
        }
    }

    /// Where the numbers lie; valid for `capacity` of them as long as the region is.
    pub fn data(&self) -> NonNull<T> {
        self.data
    }

    /// How many numbers there is room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }
}

impl<T: Pod> Drop for Region<T> {
    fn drop(&mut self) {
        if let Memory::Heap(layout) = self.memory {
            // SAFETY: the memory was allocated with this layout, and whoever used it is gone: they keep the
            // region alive as long as they do.
            #[allow(unsafe_code)]
            unsafe {
                // Written so that the compiler cannot tell that nobody will read it. The size is a multiple of
                // the alignment.
                let words = self.data.cast::<u64>();
                for word in 0..layout.size() / size_of::<u64>() {
                    words.add(word).write_volatile(0);
                }
                dealloc(self.data.as_ptr().cast(), layout);
            }
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

//! A run of plain numbers that is either owned or a window into a memory-mapped file.
//!
//! Readers see a slice in both cases; the first write to a mapped run copies it, so a mapped index
//! can be changed without touching its file.

use std::ops::Deref;
use std::sync::Arc;

use bytemuck::Pod;

use super::huge::Huge;
use crate::format::Mapping;

/// Plain numbers, owned or mapped.
#[derive(Debug)]
pub enum Buf<T: Pod> {
    /// In memory of this process.
    Owned(Huge<T>),
    /// In a file's pages: the byte range was checked for bounds and alignment when it was made.
    Mapped(Arc<Mapping>, std::ops::Range<usize>),
}

impl<T: Pod> Clone for Buf<T> {
    fn clone(&self) -> Self {
        match self {
            Buf::Owned(values) => Buf::Owned(values.clone()),
            Buf::Mapped(map, range) => Buf::Mapped(Arc::clone(map), range.clone()),
        }
    }
}

impl<T: Pod> Default for Buf<T> {
    fn default() -> Self {
        Buf::Owned(Huge::default())
    }
}

impl<T: Pod> From<Vec<T>> for Buf<T> {
    fn from(values: Vec<T>) -> Self {
        Buf::Owned(values.into())
    }
}

impl<T: Pod> Deref for Buf<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match self {
            Buf::Owned(values) => values,
            Buf::Mapped(map, range) => bytemuck::cast_slice(&map.bytes()[range.clone()]),
        }
    }
}

impl<T: Pod> Buf<T> {
    /// The owned vector; a mapped run is copied first.
    pub fn make_mut(&mut self) -> &mut Huge<T> {
        if let Buf::Mapped(..) = self {
            let mut values = Huge::default();
            values.extend_from_slice(self);
            *self = Buf::Owned(values);
        }
        match self {
            Buf::Owned(values) => values,
            Buf::Mapped(..) => unreachable!("made owned above"),
        }
    }

    /// Bytes of heap memory held; a mapped run holds none.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Buf::Owned(values) => values.bytes(),
            Buf::Mapped(..) => 0,
        }
    }
}

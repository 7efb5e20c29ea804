//! The container that every file of the project is: a header, a table of named sections, and the
//! sections, each aligned to 64 bytes and covered by a CRC-32.
//!
//! ```text
//! 0   8   magic "PERSOCOR"
//! 8   4   format version (u32, little endian, as every number)
//! 12  4   kind: 1 index, 2 catalog
//! 16  4   number of sections
//! 20  4   CRC-32 of the table
//! 24  8   length of the whole file
//! 32  28  zero
//! 60  4   CRC-32 of bytes 0..60
//! 64      table: 64 bytes a section: name (40 bytes, zero padded), offset u64, length u64,
//!         CRC-32 u32, zero u32
//! ```
//!
//! Sections follow in table order without overlap. A reader checks every length against the size of
//! the file before it allocates anything. Nothing in a file is executable.

mod map;
mod read;
mod write;

pub use map::Mapping;
pub use read::Reader;
pub use write::{write_bytes, Writer};

/// First bytes of every file.
const MAGIC: [u8; 8] = *b"PERSOCOR";
/// The version written, and the newest that is read. Version 2 adds a space's layout and finer copy;
/// version 3 states a content hash over facts (`catalog/hash.rs`).
pub const VERSION: u32 = 3;
/// The oldest version that is read.
const OLDEST: u32 = 1;
const HEADER: usize = 64;
const ENTRY: usize = 64;
const NAME: usize = 40;
/// Sections start at multiples of this: a cache line, and more than any number type needs.
const ALIGN: usize = 64;
/// A catalog has a handful of sections a space and an attribute.
const MAX_SECTIONS: usize = 65_536;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One vector index.
    Index = 1,
    /// A catalog.
    Catalog = 2,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Index => "an index",
            Kind::Catalog => "a catalog",
        }
    }

    fn from_number(number: u32) -> Option<Kind> {
        match number {
            1 => Some(Kind::Index),
            2 => Some(Kind::Catalog),
            _ => None,
        }
    }
}

#[cfg(target_endian = "big")]
compile_error!("files hold little-endian numbers that are read in place");

#[cfg(test)]
mod tests;

//! Vectors as a table brings them, and their way into a space without being linked at once.

use std::borrow::Cow;

use super::Vectors;
use crate::error::{Error, Result};
use crate::hnsw::Hook;

/// Rows of one space, one after another.
#[derive(Clone, Debug)]
pub enum Numbers<'a> {
    /// Single precision: the table's own memory, or a piece converted.
    F32(Cow<'a, [f32]>),
    /// Whole numbers. A space of int8 keeps them as they are, with scale 1, but for a row with a -128, which has no
    /// code and is rounded like any other.
    I8(&'a [i8]),
}

impl Numbers<'_> {
    /// Numbers in all rows together.
    pub fn len(&self) -> usize {
        match self {
            Numbers::F32(numbers) => numbers.len(),
            Numbers::I8(numbers) => numbers.len(),
        }
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Vectors {
    /// [`Vectors::check`] for a piece whose first row is the `first`-th of what the user brought.
    pub fn check_numbers(&self, argument: &str, numbers: &Numbers<'_>, first: usize) -> Result<()> {
        let dim = self.spec.dim;
        let numbers = match numbers {
            Numbers::F32(numbers) if numbers.len().is_multiple_of(dim) => numbers,
            Numbers::I8(numbers) if numbers.len().is_multiple_of(dim) => return Ok(()),
            other => {
                let expected = format!("rows of {dim} components");
                let got = format!("{} numbers", other.len());
                return Err(Error::invalid(argument, expected, got));
            }
        };
        if self.check(argument, numbers).is_ok() {
            return Ok(());
        }
        for (i, row) in numbers.chunks_exact(dim).enumerate() {
            if let Err(Error::Invalid { expected, got, .. }) = self.check(argument, row) {
                let got = format!("{got} in row {}", first + i);
                return Err(Error::invalid(argument, expected, got));
            }
        }
        self.check(argument, numbers)
    }

    /// Appends checked vectors that nothing finds before [`Vectors::link_appended`].
    pub fn append_unlinked(&mut self, numbers: &Numbers<'_>) {
        match numbers {
            Numbers::F32(numbers) => {
                self.store.push(numbers);
                if let Some(finer) = &mut self.finer {
                    finer.push(numbers);
                }
            }
            Numbers::I8(codes) => {
                self.store.push_codes(codes);
                if let Some(finer) = &mut self.finer {
                    finer.push_codes(codes);
                }
            }
        }
    }

    /// The same with copies of stored rows, bit for bit.
    pub fn append_copies_unlinked(&mut self, rows: &[u32]) {
        self.store.push_copies(rows);
        if let Some(finer) = &mut self.finer {
            finer.push_copies(rows);
        }
    }

    /// Links what was appended. When it fails, the rows are there without links, and the space is not to be used.
    pub fn link_appended(&mut self, hook: Hook<'_>) -> Result<()> {
        self.link(None, hook)
    }
}

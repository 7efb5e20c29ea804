//! Texts that are only appended, one after another in one run of bytes.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use super::{Buf, Lookup};
use crate::error::{Error, Result};

/// Texts by number; a copy costs two references.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    /// Where each text ends; it begins where the one before ends.
    ends: Buf<u64>,
    bytes: Buf<u8>,
}

impl Texts {
    /// From the ends of the texts and their bytes, which must be UTF-8 and end where the last text ends.
    pub fn from_parts(ends: Buf<u64>, bytes: Buf<u8>) -> Result<Self> {
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Error::format("a section of texts is not UTF-8"))?;
        let mut start = 0;
        for &end in ends.iter() {
            let end = usize::try_from(end).ok();
            let own = end.and_then(|end| text.get(start..end));
            start += own
                .ok_or_else(|| Error::format("a text lies outside its section"))?
                .len();
        }
        if start != text.len() {
            return Err(Error::format(
                "a section of texts has some that belong to none",
            ));
        }
        Ok(Texts { ends, bytes })
    }

    /// The ends of the texts, and their bytes, for a file.
    pub fn parts(&self) -> (&[u64], &[u8]) {
        (&self.ends, &self.bytes)
    }

    /// Texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True without texts.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of a text, which order as the texts do.
    #[inline]
    pub fn bytes(&self, i: usize) -> &[u8] {
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..self.ends[i] as usize]
    }

    /// A text.
    pub fn get(&self, i: usize) -> &str {
        std::str::from_utf8(self.bytes(i)).expect("only text was appended")
    }

    /// All texts.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// Appends a text.
    pub fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len() as u64);
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.ends.heap_bytes() + self.bytes.heap_bytes()
    }
}

/// Distinct texts, by code and the other way round.
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    texts: Texts,
    codes: Lookup,
    state: RandomState,
}

impl Dictionary {
    /// The code of a text, which it gets if it has none.
    pub fn code(&mut self, text: &str) -> Result<u32> {
        if let Some(code) = self.find(text) {
            return Ok(code);
        }
        let code = u32::try_from(self.texts.len()).map_err(|_| {
            Error::invalid("attributes", "at most 4294967295 distinct texts", "more")
        })?;
        self.texts.push(text);
        let (state, texts) = (&self.state, &self.texts);
        self.codes
            .insert(state.hash_one(text.as_bytes()), code, |code| {
                state.hash_one(texts.bytes(code as usize))
            });
        Ok(code)
    }

    /// The code of a text, if it has one.
    pub fn find(&self, text: &str) -> Option<u32> {
        self.codes
            .find(self.state.hash_one(text.as_bytes()), |code| {
                self.texts.bytes(code as usize) == text.as_bytes()
            })
    }

    /// The text of a code.
    pub fn text(&self, code: u32) -> &str {
        self.texts.get(code as usize)
    }

    /// All texts, by code.
    pub fn texts(&self) -> &Texts {
        &self.texts
    }

    /// Distinct texts.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// True without texts.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.texts.heap_bytes() + self.codes.heap_bytes()
    }
}

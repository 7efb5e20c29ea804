//! A column with only some of its rows, in memory of its own: what a compaction leaves of it.

use bytemuck::Pod;

use super::{list, pages, Column, Data};
use crate::store::{Buf, Dictionary, Paged};

impl Column {
    /// The given rows, in their order. Texts that none of them has are not kept.
    pub fn keep(&self, rows: &[u32]) -> Column {
        Column {
            valid: gather(&self.valid, rows),
            data: match &self.data {
                Data::Bool(values) => Data::Bool(gather(values, rows)),
                Data::Int(values) => Data::Int(gather(values, rows)),
                Data::Float(values) => Data::Float(gather(values, rows)),
                Data::Time(values) => Data::Time(gather(values, rows)),
                Data::Str(values, dictionary) => {
                    let mut used = Used::new(dictionary);
                    let mut kept = pages(1);
                    for &row in rows {
                        let code = match self.is_valid(row as usize) {
                            true => used.code(values.get(row as usize)),
                            false => 0,
                        };
                        kept.push(&[code]);
                    }
                    Data::Str(kept, used.kept)
                }
                Data::StrList {
                    spans,
                    codes,
                    dictionary,
                    ..
                } => {
                    let mut used = Used::new(dictionary);
                    let mut kept = pages(2);
                    let mut kept_codes = Buf::default();
                    for &row in rows {
                        let own = list(spans, codes, row as usize);
                        kept.push(&[kept_codes.len() as u64, own.len() as u64]);
                        own.iter()
                            .for_each(|code| kept_codes.push(used.code(*code)));
                    }
                    Data::StrList {
                        spans: kept,
                        codes: kept_codes,
                        garbage: 0,
                        dictionary: used.kept,
                    }
                }
            },
        }
    }
}

fn gather<T: Pod>(values: &Paged<T>, rows: &[u32]) -> Paged<T> {
    let mut kept = pages(1);
    kept.reserve(rows.len());
    rows.iter()
        .for_each(|row| kept.push(values.row(*row as usize)));
    kept
}

/// The texts of a dictionary that are used, with new codes in order of first use.
struct Used<'a> {
    all: &'a Dictionary,
    codes: Vec<Option<u32>>,
    kept: Dictionary,
}

impl<'a> Used<'a> {
    fn new(all: &'a Dictionary) -> Self {
        Used {
            all,
            codes: vec![None; all.len()],
            kept: Dictionary::default(),
        }
    }

    fn code(&mut self, code: u32) -> u32 {
        let (all, kept) = (self.all, &mut self.kept);
        *self.codes[code as usize].get_or_insert_with(|| {
            kept.code(all.text(code))
                .expect("there are no more texts than before")
        })
    }
}

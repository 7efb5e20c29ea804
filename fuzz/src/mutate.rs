//! Mutations of the structured inputs.

use serde_json::Value;

use crate::container::{names, Sections};
use crate::json::{self, Choices};

/// Strings that mean something somewhere.
pub const WORDS: &[&str] = &[
    "",
    "ip",
    "cosine",
    "l2",
    "f32",
    "f16",
    "i8",
    "bool",
    "int",
    "float",
    "timestamp",
    "str",
    "list[str]",
    "cf",
    "content",
    "similarity",
    "similarity.cf",
    "value",
    "decay",
    "mmr",
    "dpp",
    "spread",
    "calibrated",
    "diversity",
    "window",
    "strength",
    "target",
    "epsilon_greedy",
    "softmax",
    "plackett_luce",
    "thompson_sampling",
    "ucb",
    "scope",
    "slots",
    "only",
    "prior",
    "slate",
    "none",
    "minmax",
    "zscore",
    "rank",
    "genre",
    "popularity",
    "year",
    "published",
    "adult",
    "lang",
    "boost",
    "fresh",
    "exact",
    "graph",
    "attributes",
    "given",
    "é",
    "a\u{0}b",
    "spec",
    "next_id",
    "spaces",
    "columns",
    "generation",
    "content_hash",
];

const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x3f80_0000,
    0x7f7f_ffff,
    0x7f80_0000,
    0x7fc0_0000,
    0xffff_ffff,
    0x5f7f_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];

/// One mutation of an input in place; `bytes` is the fuzzer's own mutation of a run of bytes.
/// Returns the new length.
pub fn sections(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: impl FnOnce(&mut [u8], usize, usize) -> usize,
) -> usize {
    let mut choices = Choices::new(seed);
    let mut sections = Sections::unpack(&data[..size]);
    if sections.list.is_empty() {
        return bytes(data, size, max_size);
    }
    let at = choices.below(sections.list.len());
    match choices.below(16) {
        0 => sections.flags = choices.below(8) as u8,
        1 => drop(sections.list.remove(at)),
        2 => {
            let copy = sections.list[at].clone();
            let to = choices.below(sections.list.len() + 1);
            sections.list.insert(to, copy);
        }
        3 => sections.list[at].0 = choices.below(names().len()) as u8,
        4 => {
            let to = choices.below(sections.list.len());
            sections.list[at].1 = sections.list[to].1.clone();
        }
        5 => {
            let len = choices.below(sections.list[at].1.len() + 1);
            sections.list[at].1.truncate(len);
        }
        6..=9 => number(&mut sections.list[at].1, &mut choices),
        10..=12 => meta(&mut sections, &mut choices),
        _ => {
            let section = &mut sections.list[at].1;
            let len = section.len();
            let most = (len + 64).min(usize::from(u16::MAX)).max(len);
            section.resize(most, 0);
            let len = bytes(section, len, most);
            section.truncate(len);
        }
    }
    let packed = sections.pack();
    let len = packed.len().min(max_size);
    data[..len].copy_from_slice(&packed[..len]);
    len
}

/// One mutation of bytes that are mostly numbers, in place. Returns the new length.
pub fn numbers(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: impl FnOnce(&mut [u8], usize, usize) -> usize,
) -> usize {
    let mut choices = Choices::new(seed);
    if size == 0 || choices.below(4) == 0 {
        return bytes(data, size, max_size);
    }
    number(&mut data[..size], &mut choices);
    size
}

/// One mutation of a JSON document in place. Returns the new length.
pub fn document(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: impl FnOnce(&mut [u8], usize, usize) -> usize,
) -> usize {
    let mut choices = Choices::new(seed);
    let parsed: Option<Value> = serde_json::from_slice(&data[..size]).ok();
    match parsed.filter(|_| choices.below(8) > 0) {
        Some(mut document) => {
            json::mutate(&mut document, WORDS, &mut choices);
            let text = document.to_string().into_bytes();
            if text.len() > max_size {
                return size;
            }
            data[..text.len()].copy_from_slice(&text);
            text.len()
        }
        None => bytes(data, size, max_size),
    }
}

/// Changes one aligned number: to a special one, to a near one, or to another of it.
fn number(bytes: &mut [u8], choices: &mut Choices) {
    let width = [1, 2, 4, 8][choices.below(4)];
    let count = bytes.len() / width;
    if count == 0 {
        return;
    }
    let at = choices.below(count) * width;
    let other = choices.below(count) * width;
    let mut old = [0u8; 8];
    old[..width].copy_from_slice(&bytes[at..at + width]);
    let old = u64::from_le_bytes(old);
    let new = match choices.below(4) {
        0 => NUMBERS[choices.below(NUMBERS.len())],
        1 => old.wrapping_add(1),
        2 => old.wrapping_sub(1),
        _ => {
            bytes.copy_within(other..other + width, at);
            return;
        }
    };
    bytes[at..at + width].copy_from_slice(&new.to_le_bytes()[..width]);
}

fn meta(sections: &mut Sections, choices: &mut Choices) {
    if let Some(mut meta) = crate::repair::meta(sections) {
        json::mutate(&mut meta, WORDS, choices);
        sections.set("meta", meta.to_string().into_bytes());
    }
}

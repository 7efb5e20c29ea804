//! Files of hnswlib's `saveIndex`, as `save_index` of its Python package writes them. Checked against 0.8.0.
//!
//! ```text
//! 0   8   offset of the bottom links in an element: 0
//! 8   8   capacity, in elements
//! 16  8   elements
//! 24  8   bytes of an element
//! 32  8   offset of the label in an element
//! 40  8   offset of the vector in an element: 4 + 4 maxM0
//! 48  4   highest layer (i32; -1 when empty)
//! 52  4   element that searches start from
//! 56  24  maxM, maxM0, M
//! 80  8   1 / ln(M) (f64)
//! 88  8   ef_construction
//! 96      elements: number of bottom links (u16), 1 where removed (u8), zero (u8), maxM0 slots (u32), the vector
//!         (dim f32), the label (u64)
//!         for each element: bytes of its upper links (u32), and for each layer from 1 on their number (u16), 2 unused
//!         bytes, maxM slots (u32)
//! ```
//!
//! Neither the metric nor the dimension is stated: the dimension follows from the offsets, the metric is what the caller
//! says. Vectors of the space "cosine" are stored at unit length, their inner product is what hnswlib compares by.
//! Slots beyond the number of links hold what was there before.

use super::{Foreign, Found, Input, Links};
use crate::error::{Error, Result};
use crate::hnsw::NONE;
use crate::metric::Metric;

/// The bit that marks a removed element.
const REMOVED: u8 = 1;

/// Reads a file of vectors of `dim` components.
pub fn read(input: &mut Input<'_>, dim: usize, metric: Metric) -> Result<Foreign> {
    let header = Header::read(input, dim)?;
    let rows = input.holds("elements", header.rows, header.element)?;
    let bottom = header.max_m0 as usize;
    let fit = header.misfit();
    let keep = fit.is_none();

    let mut vectors = Vec::with_capacity(rows * dim);
    let mut labels = Vec::with_capacity(rows);
    let mut live = Vec::with_capacity(rows);
    let mut base = Vec::with_capacity(if keep { rows * bottom } else { 0 });
    let mut element = vec![0u8; header.element as usize];
    for row in 0..rows {
        input.fill("an element", &mut element)?;
        let (links, rest) = element.split_at(4 + 4 * bottom);
        let (vector, label) = rest.split_at(4 * dim);
        if links[2] & !REMOVED != 0 {
            return Err(Error::format(format!(
                "element {row} has the unknown marks {:#04x}",
                links[2]
            )));
        }
        live.push(links[2] & REMOVED == 0);
        collect_links(links, row, 0, rows, keep.then_some(&mut base))?;
        vectors.extend(numbers(vector).map(f32::from_bits));
        let label = u64::from_le_bytes(label.try_into().expect("8 bytes"));
        labels.push(i64::try_from(label).map_err(|_| {
            Error::format(format!(
                "element {row} has the label {label}, beyond an int64"
            ))
        })?);
    }

    let mut levels = Vec::with_capacity(rows);
    let mut upper = Vec::new();
    let layer = 4 + 4 * header.max_m;
    let mut links = Vec::new();
    for row in 0..rows {
        let bytes = u64::from(input.u32("the length of an element's upper links")?);
        if bytes % layer != 0 {
            return Err(Error::format(format!(
                "element {row} has {bytes} bytes of upper links, not a multiple of {layer}"
            )));
        }
        let level = u8::try_from(bytes / layer).map_err(|_| {
            Error::format(format!(
                "element {row} reaches layer {}, more than any graph has",
                bytes / layer
            ))
        })?;
        levels.push(level);
        for level in 1..=level {
            input.holds("an element's upper links", 1, layer)?;
            links.resize(layer as usize, 0);
            input.fill("an element's upper links", &mut links)?;
            collect_links(&links, row, level, rows, keep.then_some(&mut upper))?;
        }
    }
    input.end()?;
    let top = levels.iter().map(|level| i32::from(*level)).max();
    if top.unwrap_or(-1) != header.top {
        return Err(Error::format(format!(
            "the file states the highest layer {}, and its elements reach {}",
            header.top,
            top.unwrap_or(-1)
        )));
    }
    let graph = match fit {
        Some(reason) => Found::Misfit {
            m: bottom / 2,
            ef_construction: header.ef_construction,
            reason,
        },
        None => Found::Links(Links {
            m: header.m as usize,
            ef_construction: header.ef_construction,
            base,
            levels,
            upper,
            entry: if rows == 0 { NONE } else { header.entry },
        }),
    };
    Ok(Foreign {
        format: "hnswlib",
        dim,
        metric,
        vectors,
        labels,
        live,
        graph,
    })
}

struct Header {
    rows: u64,
    element: u64,
    top: i32,
    entry: u32,
    max_m: u64,
    max_m0: u64,
    m: u64,
    ef_construction: u64,
}

impl Header {
    fn read(input: &mut Input<'_>, dim: usize) -> Result<Self> {
        let mut word = || input.u64("the header of an hnswlib file");
        let bottom_offset = word()?;
        let capacity = word()?;
        let (rows, element) = (word()?, word()?);
        let (label, vector) = (word()?, word()?);
        let top = input.i32("the header of an hnswlib file")?;
        let entry = input.u32("the header of an hnswlib file")?;
        let mut word = || input.u64("the header of an hnswlib file");
        let (max_m, max_m0, m) = (word()?, word()?, word()?);
        let _ratio = word()?;
        let ef_construction = word()?;

        let bad = |what: String| {
            Error::format(format!(
                "not an hnswlib index of float32 vectors, or damaged: {what}"
            ))
        };
        // Sixteen bits number the links of an element, and 32 the elements.
        if max_m0 > u64::from(u16::MAX) || max_m > u64::from(u16::MAX) {
            return Err(bad(format!(
                "room for {max_m0} bottom and {max_m} upper links"
            )));
        }
        if bottom_offset != 0 || vector != 4 + 4 * max_m0 {
            return Err(bad(format!(
                "links at {bottom_offset} and the vector at {vector} of an element with room for {max_m0} links"
            )));
        }
        let width = label.checked_sub(vector).filter(|width| {
            *width > 0 && width % 4 == 0 && *width <= 4 * crate::store::MAX_DIM as u64
        });
        let Some(width) = width else {
            return Err(bad(format!(
                "a vector between bytes {vector} and {label} of an element"
            )));
        };
        if element != label + 8 {
            return Err(bad(format!(
                "elements of {element} bytes with a label at {label}"
            )));
        }
        if rows > capacity || rows >= u64::from(NONE) {
            return Err(bad(format!("{rows} elements in room for {capacity}")));
        }
        if width != 4 * dim as u64 {
            return Err(Error::invalid(
                "dim",
                format!("{}, the file's", width / 4),
                dim,
            ));
        }
        Ok(Header {
            rows,
            element,
            top,
            entry,
            max_m,
            max_m0,
            m,
            ef_construction,
        })
    }

    /// Why the links cannot be those of a graph here.
    fn misfit(&self) -> Option<String> {
        let Header {
            m, max_m, max_m0, ..
        } = *self;
        if !(2..=512).contains(&m) {
            return Some(format!("M is {m}, and a graph here has 2 to 512"));
        }
        (max_m != m || max_m0 != 2 * m).then(|| {
            format!("room for {max_m0} bottom and {max_m} upper links, and a graph here has 2M and M of M = {m}")
        })
    }
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let word = |four: &[u8]| u32::from_le_bytes(four.try_into().expect("4 bytes"));
    bytes.chunks_exact(4).map(word)
}

/// Checks one list of links, and adds its slots, those beyond the links empty.
fn collect_links(
    list: &[u8],
    row: usize,
    level: u8,
    rows: usize,
    out: Option<&mut Vec<u32>>,
) -> Result<()> {
    let count = usize::from(u16::from_le_bytes([list[0], list[1]]));
    let slots = list.len() / 4 - 1;
    if count > slots
        || numbers(&list[4..])
            .take(count)
            .any(|id| id as usize >= rows)
    {
        return Err(Error::format(format!(
            "element {row} has a bad link in layer {level}"
        )));
    }
    if let Some(out) = out {
        out.extend(numbers(&list[4..]).take(count));
        out.extend(std::iter::repeat_n(NONE, slots - count));
    }
    Ok(())
}

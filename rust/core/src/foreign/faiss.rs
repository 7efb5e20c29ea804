//! Files of faiss's `write_index`: `IndexFlat`, `IndexHNSWFlat`, `IndexHNSWSQ` with 8 bits, and any of these in an
//! `IndexIDMap` or `IndexIDMap2`. Checked against 1.15.1.
//!
//! ```text
//! index       type (4 letters), header, and by type:
//!   IxFI IxF2   flat, by inner product and L2: vectors (f32 vector)
//!   IxSQ        scalar quantiser: kind (i32; 0 is 8 bits a component, with a range each), range statistic (i32), its
//!               argument (f32), d (u64), bytes of a code (u64), ranges (f32 vector: d minima, d widths), codes (u8 vector)
//!   IHNf IHNs   graph, then its storage as an index: flat, scalar quantiser
//!   IxMp IxM2   the wrapped index, then ids (i64 vector)
//! header      d (i32), vectors (i64), two unused (i64), trained (u8), metric (i32: 0 inner product, 1 L2)
//! graph       probabilities of the levels (f64 vector), first slot of each layer in a row's slots (i32 vector), layers
//!             of each row (i32 vector), where each row's slots begin and the end of the last (u64 vector), slots
//!             (i32 vector, -1 where empty), entry row (i32), highest layer (i32), efConstruction (i32), efSearch (i32),
//!             one unused (i32)
//! vector      number (u64), values; IxFI and IxF2 count 4 bytes as one
//! ```
//!
//! A code `c` of 8 bits stands for `min + (c + 0.5) / 255 * width`, component by component.

use super::{Foreign, Found, Input, Links};
use crate::error::{Error, Result};
use crate::hnsw::NONE;
use crate::metric::Metric;
use crate::store::MAX_DIM;

/// Reads a file.
pub fn read(input: &mut Input<'_>) -> Result<Foreign> {
    let foreign = match input.tag("the type of a faiss index")? {
        tag if &tag == b"IxMp" || &tag == b"IxM2" => {
            let header = Header::read(input)?;
            let tag = input.tag("the type of the wrapped index")?;
            let mut foreign = read_plain(input, tag)?;
            let inner = Header::of(&foreign);
            if inner != header {
                return Err(differ("the map", header, "the index in it", inner));
            }
            let count = input.u64("the number of ids")?;
            if count != header.rows {
                return Err(Error::format(format!(
                    "{count} ids belong to {} vectors",
                    header.rows
                )));
            }
            foreign.labels = input.values("ids", count)?;
            foreign
        }
        tag => read_plain(input, tag)?,
    };
    input.end()?;
    Ok(foreign)
}

/// An index that is not wrapped.
fn read_plain(input: &mut Input<'_>, tag: [u8; 4]) -> Result<Foreign> {
    let mut foreign = match &tag {
        b"IxFI" | b"IxF2" | b"IxSQ" => read_storage(input, tag)?,
        b"IHNf" | b"IHNs" => {
            let header = Header::read(input)?;
            let graph = read_graph(input, header)?;
            let inner = input.tag("the type of the graph's storage")?;
            let fits = match &inner {
                b"IxFI" | b"IxF2" => &tag == b"IHNf",
                b"IxSQ" => &tag == b"IHNs",
                _ => false,
            };
            if !fits {
                return Err(unread(inner, "the storage of a graph"));
            }
            let mut foreign = read_storage(input, inner)?;
            let storage = Header::of(&foreign);
            if storage != header {
                return Err(differ("the graph", header, "its storage", storage));
            }
            foreign.graph = graph;
            foreign
        }
        _ => return Err(unread(tag, "the file")),
    };
    foreign.labels = (0..foreign.live.len() as i64).collect();
    Ok(foreign)
}

fn unread(tag: [u8; 4], whose: &str) -> Error {
    Error::format(format!(
        "{whose} is of type \"{}\"; what is read are faiss's IndexFlat (IxFI, IxF2), IndexHNSWFlat (IHNf) and \
         IndexHNSWSQ with 8 bits (IHNs, IxSQ), in an IndexIDMap (IxMp, IxM2) or not",
        tag.escape_ascii()
    ))
}

fn differ(outer: &str, has: Header, inner: &str, holds: Header) -> Error {
    Error::format(format!("{outer} has {has}, {inner} {holds}"))
}

/// What the head of each index says, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Header {
    dim: usize,
    rows: u64,
    metric: Metric,
}

impl std::fmt::Display for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Header { dim, rows, metric } = self;
        write!(
            f,
            "{rows} vectors of {dim} components under {:?}",
            metric.as_str()
        )
    }
}

impl Header {
    fn read(input: &mut Input<'_>) -> Result<Self> {
        let what = "the header of a faiss index";
        let dim = input.i32(what)?;
        let rows = input.i64(what)?;
        let _unused = (input.i64(what)?, input.i64(what)?);
        let trained = input.u8(what)?;
        let metric = input.i32(what)?;
        let dim = usize::try_from(dim)
            .ok()
            .filter(|dim| (1..=MAX_DIM).contains(dim))
            .ok_or_else(|| {
                Error::format(format!(
                    "an index of {dim} dimensions; 1 to {MAX_DIM} are read"
                ))
            })?;
        let rows = u64::try_from(rows)
            .ok()
            .filter(|rows| *rows < u64::from(NONE))
            .ok_or_else(|| Error::format(format!("an index of {rows} vectors")))?;
        let metric = match metric {
            0 => Metric::Ip,
            1 => Metric::L2,
            other => {
                return Err(Error::format(format!(
                    "an index of faiss's metric {other}; 0 (inner product) and 1 (L2) are read"
                )))
            }
        };
        match trained {
            1 => Ok(Header { dim, rows, metric }),
            0 => Err(Error::format("an index that is not trained")),
            other => Err(Error::format(format!(
                "a header whose flag of training is {other}"
            ))),
        }
    }

    fn of(foreign: &Foreign) -> Self {
        Header {
            dim: foreign.dim,
            rows: foreign.live.len() as u64,
            metric: foreign.metric,
        }
    }
}

/// Vectors alone.
fn read_storage(input: &mut Input<'_>, tag: [u8; 4]) -> Result<Foreign> {
    let header = Header::read(input)?;
    let Header { dim, rows, metric } = header;
    let flat = match &tag {
        b"IxFI" => Some(Metric::Ip),
        b"IxF2" => Some(Metric::L2),
        _ => None,
    };
    if flat.is_some_and(|named| named != metric) {
        return Err(Error::format(format!(
            "an index of type \"{}\" whose metric is {:?}",
            tag.escape_ascii(),
            metric.as_str()
        )));
    }
    let numbers = rows * dim as u64;
    let vectors = if flat.is_some() {
        let count = input.u64("the number of components")?;
        if count != numbers {
            return Err(Error::format(format!("{count} components for {header}")));
        }
        input.values("vectors", count)?
    } else {
        let quantiser = Quantiser::read(input, dim)?;
        let count = input.u64("the number of codes")?;
        if count != numbers {
            return Err(Error::format(format!("{count} codes for {header}")));
        }
        quantiser.decode(&input.values("codes", count)?)
    };
    Ok(Foreign {
        format: "faiss",
        dim,
        metric,
        vectors,
        labels: Vec::new(),
        live: vec![true; rows as usize],
        graph: Found::Nothing,
    })
}

/// Eight bits a component, each with a range of its own.
struct Quantiser {
    dim: usize,
    /// The minima, then the widths.
    ranges: Vec<f32>,
}

impl Quantiser {
    /// Names of faiss's `QuantizerType`, for what is refused.
    const KINDS: [&'static str; 9] = [
        "QT_8bit",
        "QT_4bit",
        "QT_8bit_uniform",
        "QT_4bit_uniform",
        "QT_fp16",
        "QT_8bit_direct",
        "QT_6bit",
        "QT_bf16",
        "QT_8bit_direct_signed",
    ];

    fn read(input: &mut Input<'_>, dim: usize) -> Result<Self> {
        let what = "a scalar quantiser";
        let kind = input.i32(what)?;
        let _statistic = (input.i32(what)?, input.u32(what)?);
        let (own_dim, code) = (input.u64(what)?, input.u64(what)?);
        if kind != 0 {
            let known = usize::try_from(kind)
                .ok()
                .and_then(|kind| Self::KINDS.get(kind));
            let name = known.map_or_else(|| kind.to_string(), |name| name.to_string());
            return Err(Error::format(format!(
                "a scalar quantiser of kind {name}; QT_8bit is read"
            )));
        }
        if own_dim != dim as u64 || code != dim as u64 {
            return Err(Error::format(format!(
                "a scalar quantiser of {own_dim} dimensions in {code} bytes beside vectors of {dim}"
            )));
        }
        let count = input.u64("the number of ranges")?;
        if count != 2 * dim as u64 {
            return Err(Error::format(format!(
                "{count} ends of ranges for {dim} dimensions"
            )));
        }
        let ranges: Vec<f32> = input.values("ranges", count)?;
        if !ranges.iter().all(|end| end.is_finite()) {
            return Err(Error::format("a scalar quantiser's range is not finite"));
        }
        Ok(Quantiser { dim, ranges })
    }

    fn decode(&self, codes: &[u8]) -> Vec<f32> {
        let (minima, widths) = self.ranges.split_at(self.dim);
        let mut out = Vec::with_capacity(codes.len());
        for row in codes.chunks_exact(self.dim) {
            let ends = minima.iter().zip(widths);
            let value = |(code, (min, width)): (&u8, (&f32, &f32))| {
                min + (f32::from(*code) + 0.5) / 255.0 * width
            };
            out.extend(row.iter().zip(ends).map(value));
        }
        out
    }
}

/// The graph of an `IndexHNSW`.
fn read_graph(input: &mut Input<'_>, header: Header) -> Result<Found> {
    fn vector<T: bytemuck::Pod>(input: &mut Input<'_>, what: &str) -> Result<Vec<T>> {
        let count = input.u64(what)?;
        input.values(what, count)
    }
    let _probabilities: Vec<u64> = vector(input, "probabilities of the levels")?;
    let firsts: Vec<i32> = vector(input, "first slots of the layers")?;
    let layers: Vec<i32> = vector(input, "layers of the rows")?;
    let offsets: Vec<u64> = vector(input, "offsets of the rows' slots")?;
    let slots: Vec<i32> = vector(input, "slots")?;
    let what = "the end of a graph";
    let (entry, top) = (input.i32(what)?, input.i32(what)?);
    let ef_construction = input.i32(what)?;
    let _unused = (input.i32(what)?, input.i32(what)?);

    let rows = header.rows as usize;
    let bad = |what: String| Error::format(format!("a faiss graph is damaged: {what}"));
    let rising = firsts.windows(2).all(|pair| pair[0] <= pair[1]);
    if firsts.first() != Some(&0) || !rising {
        return Err(bad("its layers' slots do not follow each other".into()));
    }
    if layers.len() != rows || offsets.len() != rows + 1 || offsets[0] != 0 {
        return Err(bad(format!(
            "{rows} rows have {} numbers of layers and {} offsets",
            layers.len(),
            offsets.len()
        )));
    }
    for (row, (&count, ends)) in layers.iter().zip(offsets.windows(2)).enumerate() {
        let wanted = usize::try_from(count)
            .ok()
            .filter(|count| *count > 0)
            .and_then(|count| firsts.get(count));
        let wanted = wanted.map(|first| ends[0].checked_add(*first as u64));
        if wanted.flatten() != Some(ends[1]) {
            return Err(bad(format!(
                "row {row} of {count} layers has its slots from {} to {}",
                ends[0], ends[1]
            )));
        }
    }
    if offsets[rows] != slots.len() as u64 {
        return Err(bad(format!(
            "{} slots, and the last row's end at {}",
            slots.len(),
            offsets[rows]
        )));
    }
    if let Some(id) = slots.iter().find(|id| **id < -1 || **id >= rows as i32) {
        return Err(bad(format!("it links to {id}, of {rows} rows")));
    }
    if top != layers.iter().max().map_or(-1, |most| most - 1)
        || !(if rows == 0 { -1..0 } else { 0..rows as i32 }).contains(&entry)
    {
        return Err(bad(format!(
            "its highest layer is {top} and its entry row {entry}"
        )));
    }
    let bottom = firsts.get(1).map_or(0, |slots| *slots as usize);
    let m = bottom / 2;
    let ef_construction = ef_construction.max(0) as u64;
    let even = firsts.iter().skip(1).enumerate();
    let even = even
        .map(|(above, first)| (*first as usize, bottom + above * m))
        .all(|(first, wanted)| first == wanted);
    if !even || bottom != 2 * m || !(2..=512).contains(&m) {
        let reason = format!(
            "room for {bottom} bottom links, layers from the slots {:?}, and a graph here has 2M and M with M from 2 to 512",
            &firsts[..firsts.len().min(4)]
        );
        return Ok(Found::Misfit {
            m,
            ef_construction,
            reason,
        });
    }
    let levels = layers
        .iter()
        .map(|count| u8::try_from(count - 1))
        .collect::<std::result::Result<Vec<u8>, _>>()
        .map_err(|_| bad("a row has more than 256 layers".into()))?;
    let mut base = Vec::with_capacity(rows * bottom);
    let mut upper = Vec::with_capacity(slots.len() - rows * bottom);
    let mut rest = &slots[..];
    for &level in &levels {
        for layer in 0..=level {
            let (own, tail) = rest.split_at(if layer == 0 { bottom } else { m });
            rest = tail;
            // What follows an empty slot is never read there either.
            let links = own.iter().take_while(|id| **id >= 0);
            let out = if layer == 0 { &mut base } else { &mut upper };
            let end = out.len() + own.len();
            out.extend(links.map(|id| *id as u32));
            out.resize(end, NONE);
        }
    }
    Ok(Found::Links(Links {
        m,
        ef_construction,
        base,
        levels,
        upper,
        entry: if rows == 0 { NONE } else { entry as u32 },
    }))
}

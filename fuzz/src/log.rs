//! The checks of the log target: a log beside a catalog's file is refused with [`Error::Format`], or what it leads to
//! answers.
//!
//! An input is a flag byte and then frames: a byte each for the kind and for how far its generation is off, a length
//! (u16), the payload. Checksums, lengths and content hashes are written around them, so that a mutation arrives at
//! the parser of the payload; with the flag [`RAW`] the rest is the segment as it is, behind a good header.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use perso_core::catalog::{Catalog, Upsert};
use perso_core::column::{ColumnType, Value};
use perso_core::durable::{open_read, Change, Durable, Options};
use perso_core::error::Error;
use perso_core::ids::Ids;
use perso_core::live::Live;
use perso_core::metric::{Dtype, Metric};
use perso_core::vectors::Spec;

use crate::files::scratch;
use crate::{answers, memory, repair};

/// The bytes behind the flag byte are the segment's.
pub const RAW: u8 = 1;

const HEADER: usize = 64;
const HEAD: usize = 72;
/// Every frame costs a replay of those before it, until its content hash is known.
const MOST: usize = 12;

fn go(_: usize, _: usize) -> bool {
    true
}

fn spaces() -> Vec<(String, Spec)> {
    vec![
        ("a".into(), Spec::new(3, Metric::Cosine, Dtype::I8)),
        ("b".into(), Spec::new(2, Metric::Ip, Dtype::F32)),
    ]
}

/// An empty catalog's file; its log is what changes.
fn file() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let path = scratch("logged");
        let empty = Catalog::new(spaces()).expect("spaces");
        empty.save(&path, &go).expect("a scratch file");
        path
    })
}

struct Frame<'a> {
    kind: u8,
    off: u8,
    payload: &'a [u8],
}

fn frames(mut rest: &[u8]) -> Vec<Frame<'_>> {
    let mut out = Vec::new();
    while let [kind, off, low, high, tail @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
        let (payload, after) = tail.split_at(len);
        out.push(Frame {
            kind: *kind,
            off: *off,
            payload,
        });
        rest = after;
        if out.len() == MOST {
            break;
        }
    }
    out
}

fn header() -> Vec<u8> {
    let mut header = vec![0; HEADER];
    header[..8].copy_from_slice(b"PERSOLOG");
    header[8..12].copy_from_slice(&1u32.to_le_bytes());
    header[16..24].copy_from_slice(&1u64.to_le_bytes());
    let crc = crc32fast::hash(&header[..60]);
    header[60..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// A segment of some frames; those whose content hash is not known get one of zeros.
fn segment(frames: &[Frame<'_>], hashes: &[[u8; 32]]) -> Vec<u8> {
    let mut out = header();
    let mut generation = 0u64;
    for (i, frame) in frames.iter().enumerate() {
        generation = generation.wrapping_add(u64::from(frame.kind != 0) + u64::from(frame.off));
        let mut head = Vec::with_capacity(HEAD);
        head.extend(b"PCfr");
        head.extend(u32::from(frame.kind).to_le_bytes());
        head.extend((frame.payload.len() as u64).to_le_bytes());
        head.extend(generation.to_le_bytes());
        head.extend((out.len() as u64).to_le_bytes());
        head.extend(hashes.get(i).unwrap_or(&[0; 32]));
        head.extend(crc32fast::hash(frame.payload).to_le_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&1u64.to_le_bytes());
        hasher.update(&head);
        head.extend(hasher.finalize().to_le_bytes());
        out.extend(head);
        out.extend_from_slice(frame.payload);
    }
    out
}

fn open(log: &[u8]) -> Result<Catalog, Error> {
    let path = file();
    let mut name = path.as_os_str().to_owned();
    name.push(".log.1");
    std::fs::write(name, log).expect("a scratch file");
    let bound = memory::bound_of_file(log.len() + 4096);
    let opened = memory::bounded("replaying", bound, || open_read(path, false, 1, &go));
    if let Err(error) = &opened {
        assert!(matches!(error, Error::Format(_)), "{error:?}");
    }
    opened.map(|(catalog, _)| catalog)
}

/// An input as a log. True when it was accepted.
pub fn log(input: &[u8]) -> bool {
    let Some((flags, rest)) = input.split_first() else {
        return false;
    };
    let opened = if flags & RAW != 0 {
        open(&[header(), rest.to_vec()].concat())
    } else {
        let frames = frames(rest);
        let mut hashes = Vec::new();
        loop {
            let opened = open(&segment(&frames, &hashes));
            let message = opened.as_ref().err().map(Error::to_string);
            let hash = message.as_deref().and_then(repair::hash_in);
            match hash {
                // A mark, or a change that the one before had made already, states the hash before it.
                Some(hash) if hashes.len() < frames.len() => hashes.push(bytes_of(hash)),
                _ => break opened,
            }
        }
    };
    match opened {
        Ok(catalog) => answers::catalog(catalog),
        Err(_) => return false,
    }
    true
}

fn bytes_of(hex: &str) -> [u8; 32] {
    std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex"))
}

/// Logs of a durable catalog, as inputs and whole.
pub fn seeds() -> Vec<Vec<u8>> {
    let path = scratch("seed-log");
    let (durable, catalog) =
        Durable::open(&path, Some(spaces()), Options::default(), &go).expect("a durable catalog");
    let live = Live::new(catalog);
    let apply = |change| {
        durable.apply(&live, change, 1, &go).expect("a change");
    };
    let upsert = |ids: Vec<i64>, attributes| {
        let rows = |dim: usize| (0..ids.len() * dim).map(|i| i as f32 - 1.5).collect();
        Change::Upsert(Upsert {
            vectors: vec![("a".into(), rows(3)), ("b".into(), rows(2))],
            ids: Ids::Int(ids),
            attributes,
        })
    };
    apply(upsert(vec![1, 2], Vec::new()));
    let text = |text: &str| Value::Str(text.into());
    let attributes = vec![
        (
            "flag".into(),
            ColumnType::Bool,
            vec![Value::Bool(true), Value::Null, Value::Bool(false)],
        ),
        (
            "n".into(),
            ColumnType::Int,
            vec![Value::Int(-3), Value::Int(1 << 60), Value::Null],
        ),
        (
            "x".into(),
            ColumnType::Float,
            vec![Value::Float(0.5), Value::Null, Value::Int(7)],
        ),
        (
            "at".into(),
            ColumnType::Time,
            vec![Value::Time(5), Value::Null, Value::Time(-1)],
        ),
        (
            "s".into(),
            ColumnType::Str,
            vec![text("käse"), text(""), Value::Null],
        ),
        (
            "l".into(),
            ColumnType::StrList,
            vec![
                Value::StrList(vec!["p".into(), "q".into()]),
                Value::StrList(vec![]),
                Value::Null,
            ],
        ),
    ];
    apply(upsert(vec![3, 1, -9], attributes));
    apply(Change::Upsert(Upsert {
        ids: Ids::Int(vec![2]),
        vectors: Vec::new(),
        attributes: vec![("n".into(), ColumnType::Int, vec![Value::Int(9)])],
    }));
    apply(Change::Remove(Ids::Int(vec![3])));
    durable.close(&live).expect("a closed log");
    let mut name = path.as_os_str().to_owned();
    name.push(".log.1");
    let bytes = std::fs::read(&name).expect("the log");
    std::fs::remove_file(&name).expect("the log");
    std::fs::remove_file(&path).expect("the file");
    let mut packed = vec![0];
    let mut rest = &bytes[HEADER..];
    while rest.len() >= HEAD {
        let len = u16::from_le_bytes([rest[8], rest[9]]);
        packed.extend([rest[4], 0]);
        packed.extend(len.to_le_bytes());
        packed.extend_from_slice(&rest[HEAD..HEAD + usize::from(len)]);
        rest = &rest[HEAD + usize::from(len)..];
    }
    let raw = [&[RAW][..], &bytes[HEADER..]].concat();
    vec![packed, raw]
}

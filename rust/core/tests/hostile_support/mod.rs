//! Small files of every layout and column type, and damage done to each of their bits.
#![allow(dead_code)] // Each binary of tests uses a part of it.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use perso_core::catalog::{Catalog, Upsert};
use perso_core::column::{ColumnType, Value};
use perso_core::format::{Kind, Reader, Writer};
use perso_core::hnsw::{Graph, Params};
use perso_core::ids::Ids;
use perso_core::index::Index;
use perso_core::local::LocalCodes;
use perso_core::metric::{Dtype, Metric};
use perso_core::vectors::{Layout, Rescore, Spec, Vectors};

pub const HEADER: usize = 64;

pub fn go(_: usize, _: usize) -> bool {
    true
}

fn numbers(rows: usize, dim: usize) -> Vec<f32> {
    (0..rows * dim)
        .map(|i| ((i * 2_654_435_761) >> 7 & 0xffff) as f32 / 32_768.0 - 1.0)
        .collect()
}

fn spec(dim: usize, metric: Metric, dtype: Dtype, layout: Layout) -> Spec {
    Spec {
        m: 2,
        ef_construction: 8,
        layout,
        rescore: (layout == Layout::Compact).then_some(Rescore::F16),
        ..Spec::new(dim, metric, dtype)
    }
}

/// Adds to a file's sections what its layout keeps beside so many vectors that a few have no part in it: links, with
/// taught ones and what a sample told, and codes.
fn with_graph(path: &Path, vectors: &Vectors) {
    let names = [
        "meta",
        "live",
        "ids.int",
        "ids.ends",
        "ids.text",
        "vectors",
        "scales",
        "norms",
        "fine_vectors",
        "fine_norms",
    ];
    let mut reader = Reader::open(path, Kind::Index, false).unwrap();
    let mut writer = Writer::new(Kind::Index);
    for name in names
        .into_iter()
        .filter(|name| reader.has(name))
        .collect::<Vec<_>>()
    {
        writer.add_owned(name, &reader.owned::<u8>(name).unwrap());
    }
    let spec = vectors.spec();
    let mut graph = Graph::new(Params {
        m: spec.m,
        ef_construction: spec.ef_construction,
        seed: spec.seed,
    });
    graph.insert_rows(vectors.store(), &go).unwrap();
    let (base, levels, upper, entry) = graph.parts();
    writer.add_owned("links", &base.to_vec());
    writer.add_owned("levels", levels);
    writer.add_owned("upper", &upper.to_vec());
    writer.add_owned("entry", &[entry]);
    writer.add_owned("due", &[1u32, 0]);
    writer.add_owned("sampled", &[4, 2.5f32.to_bits(), 64]);
    let rows = vectors.len() as u32;
    writer.add_owned(
        "taught_starts",
        &(0..=rows).map(|row| row.min(1)).collect::<Vec<_>>(),
    );
    writer.add_owned("taught", &[rows - 1]);
    if spec.layout == Layout::Local {
        let mut local = LocalCodes::new(vectors.store(), 2 * spec.m, spec.seed);
        local.update(vectors.store(), &graph, &[]);
        let (codes, mean) = local.parts();
        writer.add_owned("local", &codes.to_vec());
        writer.add_owned("local_mean", mean);
    }
    writer.write(path, &go).unwrap();
}

/// An index of each layout, by name.
pub fn indexes(folder: &Path) -> Vec<PathBuf> {
    let kinds = [
        ("exact", Metric::Ip, Dtype::F32, Layout::Exact),
        ("auto", Metric::Cosine, Dtype::F16, Layout::Auto),
        ("compact", Metric::Cosine, Dtype::I8, Layout::Compact),
        ("local", Metric::L2, Dtype::F32, Layout::Local),
    ];
    let mut paths = Vec::new();
    for (name, metric, dtype, layout) in kinds {
        let path = folder.join(name);
        let mut index = Index::new(spec(3, metric, dtype, layout)).unwrap();
        let rows = if layout == Layout::Local { 4 } else { 6 };
        let ids = match layout {
            Layout::Auto => Ids::Str((0..rows).map(|i| format!("é{i}").into()).collect()),
            _ => Ids::Int((0..rows as i64).map(|i| 10 * i - 20).collect()),
        };
        index
            .add(&numbers(rows, 3), Some(ids.clone()), 1, &go)
            .unwrap();
        let second = match &ids {
            Ids::Int(ids) => Ids::Int(vec![ids[1]]),
            Ids::Str(ids) => Ids::Str(vec![ids[1].clone()]),
        };
        index.remove(&second).unwrap();
        index.save(&path, &go).unwrap();
        if layout != Layout::Exact {
            let mut vectors = Vectors::new(index.spec().clone()).unwrap();
            vectors.push(&numbers(rows, 3), &go).unwrap();
            if matches!(layout, Layout::Compact | Layout::Local) {
                with_graph(&path, &vectors);
            }
        }
        paths.push(path);
    }
    paths
}

/// A catalog with two spaces and a column of each type, values missing in each.
pub fn catalog(path: &Path) {
    let spaces = vec![
        (
            "a".to_owned(),
            spec(2, Metric::Cosine, Dtype::I8, Layout::Auto),
        ),
        (
            "b".to_owned(),
            spec(3, Metric::L2, Dtype::F16, Layout::Exact),
        ),
    ];
    let mut catalog = Catalog::new(spaces).unwrap();
    let column = |value: fn(usize) -> Value| -> Vec<Value> {
        (0..5)
            .map(|i| if i == 3 { Value::Null } else { value(i) })
            .collect()
    };
    let tags = |i: usize| {
        Value::StrList(
            ["p", "ß"][..i % 3 % 2 + i % 2]
                .iter()
                .map(|&t| t.into())
                .collect(),
        )
    };
    let attributes = vec![
        (
            "at".into(),
            ColumnType::Time,
            column(|i| Value::Time(i as i64 * 86_400_000_000)),
        ),
        (
            "count".into(),
            ColumnType::Int,
            column(|i| Value::Int(i as i64 - 2)),
        ),
        (
            "flag".into(),
            ColumnType::Bool,
            column(|i| Value::Bool(i % 2 == 0)),
        ),
        (
            "genre".into(),
            ColumnType::Str,
            column(|i| Value::Str(["x", "yé"][i % 2].into())),
        ),
        (
            "price".into(),
            ColumnType::Float,
            column(|i| Value::Float(i as f64 / 8.0)),
        ),
        ("tags".into(), ColumnType::StrList, column(tags)),
    ];
    let upsert = Upsert {
        ids: Ids::Str((0..5).map(|i| format!("i{i}").into()).collect()),
        vectors: vec![("a".into(), numbers(5, 2)), ("b".into(), numbers(5, 3))],
        attributes,
    };
    catalog.upsert(upsert, 1, &go).unwrap();
    catalog.remove(&Ids::Str(vec!["i1".into()])).unwrap();
    catalog.save(path, &go).unwrap();
}

/// Files that hnswlib and faiss wrote, a kilobyte each (`tests/files/make_foreign.py`).
pub fn foreign() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/files/foreign");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| name.starts_with("tiny_") && name.ends_with(".bin"))
        .map(|(name, path)| (name, std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    assert_eq!(files.len(), 7);
    files
}

/// A file whose bytes can be changed one by one without writing all of it anew.
pub struct Target {
    pub good: Vec<u8>,
    file: File,
}

impl Target {
    pub fn of(path: &Path) -> Self {
        Target {
            good: std::fs::read(path).unwrap(),
            file: OpenOptions::new().write(true).open(path).unwrap(),
        }
    }

    /// Writes bytes at a place.
    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        self.file.seek(SeekFrom::Start(at as u64)).unwrap();
        self.file.write_all(bytes).unwrap();
    }

    /// Makes the file as it was, from a place to another.
    pub fn restore(&mut self, at: usize, len: usize) {
        let good = self.good[at..at + len].to_vec();
        self.put(at, &good);
    }

    pub fn cut(&mut self, len: usize) {
        self.file.set_len(len as u64).unwrap();
    }

    pub fn whole(&mut self) {
        self.restore(0, self.good.len());
    }

    /// Name and range of each section.
    pub fn sections(&self) -> Vec<(String, std::ops::Range<usize>)> {
        let word =
            |at: usize| u64::from_le_bytes(self.good[at..at + 8].try_into().unwrap()) as usize;
        let count = u32::from_le_bytes(self.good[16..20].try_into().unwrap()) as usize;
        (0..count)
            .map(|i| {
                let entry = HEADER + 64 * i;
                let name = self.good[entry..entry + 40]
                    .split(|b| *b == 0)
                    .next()
                    .unwrap();
                let start = word(entry + 40);
                (
                    String::from_utf8(name.to_vec()).unwrap(),
                    start..start + word(entry + 48),
                )
            })
            .collect()
    }

    /// Writes one damaged byte of a section with the checksums that go with it; returns what has to be restored.
    pub fn put_sealed(&mut self, section: usize, at: usize, byte: u8) {
        let sections = self.sections();
        let (_, range) = &sections[section];
        let mut bytes = self.good[range.clone()].to_vec();
        bytes[at - range.start] = byte;
        let mut head = self.good[..HEADER + 64 * sections.len()].to_vec();
        let entry = HEADER + 64 * section;
        head[entry + 56..entry + 60].copy_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        seal(&mut head);
        self.put(at, &[byte]);
        self.put(0, &head);
    }

    /// The same for a byte of the table.
    pub fn put_sealed_table(&mut self, at: usize, byte: u8) {
        let mut head = self.good[..HEADER + 64 * self.sections().len()].to_vec();
        head[at] = byte;
        seal(&mut head);
        self.put(0, &head);
    }

    pub fn restore_sealed(&mut self, at: usize) {
        self.restore(at, 1);
        self.restore(0, HEADER + 64 * self.sections().len());
    }
}

/// Makes the checksums of a table and a header hold.
fn seal(head: &mut [u8]) {
    let table = crc32fast::hash(&head[HEADER..]);
    head[20..24].copy_from_slice(&table.to_le_bytes());
    let header = crc32fast::hash(&head[..60]);
    head[60..64].copy_from_slice(&header.to_le_bytes());
}

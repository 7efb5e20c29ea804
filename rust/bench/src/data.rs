//! Data that is the same on every machine: integer hashes, sums, products and square roots, no function of a
//! platform's mathematics library, whose last bit would change a graph and with it every count.

use std::path::Path;

use perso_core::catalog::{Catalog, Upsert};
use perso_core::column::{ColumnType, Value};
use perso_core::ids::Ids;
use perso_core::index::Index;
use perso_core::metric::{Dtype, Metric};
use perso_core::vectors::{Layout, Spec};

/// Queries of every set.
pub const QUERIES: usize = 32;

const CLUSTERS: usize = 100;

/// Splitmix64: a sequence of hashes of a counter.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// About normal, variance 1: the sum of four 16-bit uniform numbers.
    pub fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: u32 = (0..4).map(|i| (bits >> (16 * i)) as u16 as u32).sum();
        (sum as f32 / 65_536.0 - 2.0) * 1.732
    }
}

/// Items and queries in clusters, with a spectrum that falls, as embeddings have it.
pub struct Vectors {
    pub items: Vec<f32>,
    pub queries: Vec<f32>,
}

/// `rows` items of unit norm; under inner product, norms that vary tenfold. The queries do not depend on `rows`.
pub fn vectors(rows: usize, dim: usize, metric: Metric) -> Vectors {
    let mut numbers = Numbers::new(dim as u64);
    let spectrum: Vec<f32> = (0..dim).map(|i| 1.0 / (1.0 + 0.1 * i as f32)).collect();
    let centres: Vec<f32> = (0..CLUSTERS * dim).map(|_| numbers.normal()).collect();
    let mut draw = |count: usize| {
        let mut out = Vec::with_capacity(count * dim);
        for _ in 0..count {
            let centre = numbers.below(CLUSTERS) * dim;
            let start = out.len();
            out.extend(
                (0..dim).map(|i| (centres[centre + i] + 1.6 * numbers.normal()) * spectrum[i]),
            );
            let norm = out[start..].iter().map(|x: &f32| x * x).sum::<f32>().sqrt();
            let length = match metric {
                Metric::Ip => 0.2 + 1.8 * numbers.unit() * numbers.unit() * numbers.unit(),
                Metric::Cosine | Metric::L2 => 1.0,
            };
            out[start..].iter_mut().for_each(|x| *x *= length / norm);
        }
        out
    };
    let queries = draw(QUERIES);
    let items = draw(rows);
    Vectors { items, queries }
}

/// Codes in [-127, 127].
pub fn codes(count: usize, seed: u64) -> Vec<i8> {
    let mut numbers = Numbers::new(seed);
    (0..count)
        .map(|_| ((numbers.next() >> 56) as i8).max(-127))
        .collect()
}

/// Numbers in [-1, 1).
pub fn floats(count: usize, seed: u64) -> Vec<f32> {
    let mut numbers = Numbers::new(seed);
    (0..count).map(|_| 2.0 * numbers.unit() - 1.0).collect()
}

/// Half-precision bits of finite numbers below 2 in size.
pub fn halves(count: usize, seed: u64) -> Vec<u16> {
    let mut numbers = Numbers::new(seed);
    (0..count).map(|_| numbers.next() as u16 & 0xbfff).collect()
}

/// A space with a layout that is named, so that no choice of the library's comes between a scenario and its record.
pub fn spec(dim: usize, metric: Metric, dtype: Dtype, layout: Layout) -> Spec {
    Spec {
        layout,
        ..Spec::new(dim, metric, dtype)
    }
}

/// The index of a description, from the folder, or built (on every core: graphs do not depend on it) and left there.
pub fn index(folder: &Path, spec: Spec, rows: usize) -> (Index, Vec<f32>) {
    let name = format!("{rows}-{}", serde_json::json!(spec));
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let path = folder.join(format!("{name}.index"));
    if !path.exists() {
        let made = vectors(rows, spec.dim, spec.metric);
        let mut index = Index::new(spec.clone()).expect("a valid description");
        index
            .add(&made.items, None, -1, &|_, _| true)
            .expect("valid vectors");
        index
            .save(&path, &|_, _| true)
            .expect("a folder that can be written");
    }
    let queries = vectors(0, spec.dim, spec.metric).queries;
    (
        Index::load(&path, false).expect("the index just written"),
        queries,
    )
}

/// A catalog with one space and three attributes; the moment that ages are measured from is 0.
pub fn catalog(folder: &Path, rows: usize, dim: usize) -> (Catalog, Vec<f32>) {
    let path = folder.join(format!("{rows}-{dim}.catalog"));
    if !path.exists() {
        let made = vectors(rows, dim, Metric::Cosine);
        let mut numbers = Numbers::new(3);
        let mut column = |make: &dyn Fn(&mut Numbers) -> Value| -> Vec<Value> {
            (0..rows).map(|_| make(&mut numbers)).collect()
        };
        let popularity = column(&|n| Value::Float(f64::from(1.0 / (0.01 + n.unit()))));
        let published = column(&|n| Value::Time(-(n.below(90 * 86_400) as i64) * 1_000_000));
        let genre = column(&|n| Value::Str(format!("genre-{}", n.below(24)).into()));
        let upsert = Upsert {
            ids: Ids::Int((0..rows as i64).collect()),
            vectors: vec![("content".into(), made.items)],
            attributes: vec![
                ("popularity".into(), ColumnType::Float, popularity),
                ("published".into(), ColumnType::Time, published),
                ("genre".into(), ColumnType::Str, genre),
            ],
        };
        let space = Spec::new(dim, Metric::Cosine, Dtype::I8);
        let mut catalog = Catalog::new(vec![("content".into(), space)]).expect("a valid space");
        catalog
            .upsert(upsert, -1, &|_, _| true)
            .expect("valid items");
        catalog
            .save(&path, &|_, _| true)
            .expect("a folder that can be written");
    }
    let queries = vectors(0, dim, Metric::Cosine).queries;
    (
        Catalog::open(&path, false).expect("the catalog just written"),
        queries,
    )
}

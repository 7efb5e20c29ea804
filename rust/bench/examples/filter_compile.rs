//! What it costs to compile a filter that was not asked before, by a scan (the first question about an
//! attribute) and by its index, and what it costs to build that. `docs/filters.md` has the numbers.
//!
//! ```text
//! cargo run --release -p perso-bench --example filter_compile
//! ```

use std::time::Instant;

use perso_core::catalog::{Catalog, Upsert};
use perso_core::column::{ColumnType, Value};
use perso_core::filter::{Expr, Filter};
use perso_core::ids::Ids;
use perso_core::metric::{Dtype, Metric};
use perso_core::vectors::{Layout, Spec};

/// A number below `n` that looks random, for each `i`: splitmix64.
fn scatter(i: u64, n: u64) -> u64 {
    let mut z = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) % n
}

fn catalog(n: u64) -> Catalog {
    let spec = Spec {
        dim: 1,
        metric: Metric::L2,
        dtype: Dtype::I8,
        m: 16,
        ef_construction: 200,
        seed: 0,
        layout: Layout::Exact,
        rescore: None,
    };
    let mut catalog = Catalog::new(vec![("v".into(), spec)]).expect("a catalog");
    let text = |kinds: u64| {
        let values = (0..n).map(|i| Value::Str(format!("v{}", scatter(i, kinds)).into()));
        (ColumnType::Str, values.collect::<Vec<_>>())
    };
    let tags = (0..n).map(|i| {
        let tag = |j| format!("v{}", scatter(3 * i + j, 1000)).into();
        Value::StrList((0..3).map(tag).collect())
    });
    let columns = [
        ("0.01%", text(10_000)),
        ("1%", text(100)),
        ("50%", text(2)),
        ("tags", (ColumnType::StrList, tags.collect())),
        (
            "price",
            (
                ColumnType::Float,
                (0..n)
                    .map(|i| Value::Float(scatter(i, 1_000_000) as f64 / 1e6))
                    .collect(),
            ),
        ),
        (
            "count",
            (
                ColumnType::Int,
                (0..n)
                    .map(|i| Value::Int(scatter(i, 1_000_000) as i64))
                    .collect(),
            ),
        ),
        (
            "at",
            (
                ColumnType::Time,
                (0..n).map(|i| Value::Time(i as i64)).collect(),
            ),
        ),
    ];
    let upsert = Upsert {
        ids: Ids::Int((0..n as i64).collect()),
        vectors: vec![("v".into(), vec![1.0; n as usize])],
        attributes: columns
            .into_iter()
            .map(|(name, (kind, values))| (name.to_owned(), kind, values))
            .collect(),
    };
    catalog.upsert(upsert, 1, &|_, _| true).expect("items");
    catalog
}

fn compile(catalog: &Catalog, text: &str) -> (f64, usize) {
    let filter = Filter::of(Expr::parse("filter", text).expect("a filter"));
    let start = Instant::now();
    let kept = catalog.filter(&filter).expect("it fits");
    (start.elapsed().as_secs_f64() * 1e6, kept.rows.len())
}

/// The JSON of a filter that was not asked before, for each turn.
type Case = Box<dyn Fn(u64) -> String>;

fn main() {
    for n in [100_000, 1_000_000u64] {
        let catalog = catalog(n);
        // Each question is another text, so that no answer is remembered.
        let within = |low: f64, width: f64, i: u64| {
            let low = low + i as f64 * 1e-7;
            (low, low + width)
        };
        let cases: [(&str, Case); 9] = [
            (
                "equality, 0.01%",
                Box::new(|i| format!(r#"{{"in":["0.01%",["v7","x{i}"]]}}"#)),
            ),
            (
                "equality, 1%",
                Box::new(|i| format!(r#"{{"in":["1%",["v7","x{i}"]]}}"#)),
            ),
            (
                "equality, 50%",
                Box::new(|i| format!(r#"{{"in":["50%",["v1","x{i}"]]}}"#)),
            ),
            (
                "contains any of 3, 0.9%",
                Box::new(|i| format!(r#"{{"contains_any":["tags",["v1","v2","v3","x{i}"]]}}"#)),
            ),
            (
                "range of a float in random order, 1%",
                Box::new(move |i| {
                    let (low, high) = within(0.3, 0.01, i);
                    format!(r#"{{"range":["price",{{"from":{low},"to":{high}}}]}}"#)
                }),
            ),
            (
                "range of an int in random order, 1%",
                Box::new(|i| {
                    let (low, high) = (300_000 + i, 310_000 + i);
                    format!(r#"{{"range":["count",{{"from":{low},"to":{high}}}]}}"#)
                }),
            ),
            (
                "range of moments that grow, 1%",
                Box::new(move |i| {
                    let (low, high) = (n / 3 + i, n / 3 + n / 100 + i);
                    format!(r#"{{"range":["at",{{"from":{{"us":{low}}},"to":{{"us":{high}}}}}]}}"#)
                }),
            ),
            (
                "1% and 50% and a range of 30%",
                Box::new(move |i| {
                    let (low, high) = within(0.3, 0.3, i);
                    format!(
                        r#"{{"and":[{{"is":["1%","v7"]}},{{"is":["50%","v1"]}},{{"range":["price",{{"from":{low},"to":{high}}}]}}]}}"#
                    )
                }),
            ),
            (
                "not (equality, 1%)",
                Box::new(|i| format!(r#"{{"not":{{"in":["1%",["v7","x{i}"]]}}}}"#)),
            ),
        ];
        println!("\n{n} rows: microseconds");
        println!(
            "{:40} {:>9} {:>9} {:>9} {:>9}",
            "", "kept", "scan", "build", "index"
        );
        for (name, text) in &cases {
            let (scan, kept) = compile(&catalog, &text(0));
            let (build, _) = compile(&catalog, &text(1));
            let mut times: Vec<f64> = (2..203).map(|i| compile(&catalog, &text(i)).0).collect();
            times.sort_by(f64::total_cmp);
            println!(
                "{name:40} {kept:>9} {scan:>9.0} {build:>9.0} {:>9.1}",
                times[100]
            );
        }
        let same = cases[1].1(0);
        let mut again: Vec<f64> = (0..201).map(|_| compile(&catalog, &same).0).collect();
        again.sort_by(f64::total_cmp);
        println!("{:40} {:>39.2}", "asked again", again[100]);
    }
}

//! Against an oracle that looks at one value at a time, over catalogs that change in between.

use std::collections::BTreeMap;

use super::{Columns, Expr, Filter};
use crate::catalog::{Catalog, Upsert};
use crate::column::{ColumnType, Value};
use crate::eligible::RowSet;
use crate::ids::Ids;
use crate::metric::{Dtype, Metric};
use crate::rank::Source;
use crate::select::{select, Where};
use crate::vectors::{Layout, Spec};

/// Numbers that look random: splitmix64.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    fn word(&mut self) -> Box<str> {
        format!("w{}", self.below(40)).into()
    }

    fn value(&mut self, kind: ColumnType) -> Value {
        if self.below(7) == 0 {
            return Value::Null;
        }
        match kind {
            ColumnType::Bool => Value::Bool(self.below(5) == 0),
            ColumnType::Int => Value::Int(match self.below(3) {
                0 => self.below(3) as i64 - 1,
                1 => self.below(1000) as i64,
                _ => [i64::MIN, i64::MAX, (1 << 53) + 1][self.below(3) as usize],
            }),
            ColumnType::Float => Value::Float(match self.below(3) {
                0 => [-0.0, 0.0, 9_007_199_254_740_992.0][self.below(3) as usize],
                _ => self.below(100) as f64 / 4.0,
            }),
            ColumnType::Time => Value::Time(self.below(1000) as i64),
            ColumnType::Str => Value::Str(self.word()),
            ColumnType::StrList => {
                Value::StrList((0..self.below(4)).map(|_| self.word()).collect())
            }
        }
    }
}

const KINDS: [(&str, ColumnType); 7] = [
    ("bool", ColumnType::Bool),
    ("int", ColumnType::Int),
    ("float", ColumnType::Float),
    ("time", ColumnType::Time),
    ("str", ColumnType::Str),
    ("tags", ColumnType::StrList),
    ("grows", ColumnType::Time),
];

fn spec() -> Spec {
    Spec {
        dim: 1,
        metric: Metric::L2,
        dtype: Dtype::F32,
        m: 4,
        ef_construction: 8,
        seed: 0,
        layout: Layout::Exact,
        rescore: None,
    }
}

fn upsert(
    catalog: &mut Catalog,
    numbers: &mut Numbers,
    ids: Vec<i64>,
    vectors: bool,
    names: &[&str],
) {
    let of = |(name, kind): &(&str, ColumnType), numbers: &mut Numbers| {
        let values = ids.iter().map(|&id| match *name {
            "grows" => Value::Time(id * 10),
            _ => numbers.value(*kind),
        });
        ((*name).to_owned(), *kind, values.collect())
    };
    let wanted = KINDS.iter().filter(|(name, _)| names.contains(name));
    let attributes = wanted.map(|kind| of(kind, numbers)).collect();
    let numbers = ids.iter().map(|&id| id as f32).collect();
    let upsert = Upsert {
        vectors: if vectors {
            vec![("v".into(), numbers)]
        } else {
            Vec::new()
        },
        ids: Ids::Int(ids),
        attributes,
    };
    catalog.upsert(upsert, 1, &|_, _| true).unwrap();
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(value) | Value::Time(value) => Some(*value as f64),
        Value::Float(value) => Some(*value),
        _ => None,
    }
}

/// Kleene's truth of a filter for one item. Numbers are compared as doubles, so filters here have none that
/// a double would round.
fn truth(expr: &Expr, item: &BTreeMap<String, Value>) -> Option<bool> {
    use super::{Literal, Moment};
    let equal = |value: &Value, literal: &Literal| match (value, literal) {
        (Value::Bool(a), Literal::Bool(b)) => a == b,
        (Value::Str(a), Literal::Str(b)) => a == b,
        (Value::Time(a), Literal::Moment(b)) => *a == b.us,
        (Value::Int(a), Literal::Int(b)) => a == b,
        (value, Literal::Int(b)) => number(value) == Some(*b as f64),
        (value, Literal::Float(b)) => number(value) == Some(*b),
        _ => unreachable!("{value} and {literal}"),
    };
    let compared = |value: &Value, literal: &Literal| match (value, literal) {
        (Value::Str(a), Literal::Str(b)) => a.cmp(b),
        (Value::Time(a), Literal::Moment(Moment { us })) => a.cmp(us),
        (Value::Int(a), Literal::Int(b)) => a.cmp(b),
        (value, Literal::Int(b)) => number(value).unwrap().partial_cmp(&(*b as f64)).unwrap(),
        (value, Literal::Float(b)) => number(value).unwrap().partial_cmp(b).unwrap(),
        _ => unreachable!("{value} and {literal}"),
    };
    let known = |name: &String, passes: &dyn Fn(&Value) -> bool| match &item[name] {
        Value::Null => None,
        value => Some(passes(value)),
    };
    match expr {
        Expr::And(parts) => {
            let found: Vec<_> = parts.iter().map(|part| truth(part, item)).collect();
            if found.contains(&Some(false)) {
                Some(false)
            } else if found.contains(&None) {
                None
            } else {
                Some(true)
            }
        }
        Expr::Or(parts) => {
            let not = |part: &Expr| Expr::Not(Box::new(part.clone()));
            truth(&Expr::And(parts.iter().map(not).collect()), item).map(|found| !found)
        }
        Expr::Not(part) => truth(part, item).map(|found| !found),
        Expr::Is(name, literal) => known(name, &|value| equal(value, literal)),
        Expr::In(name, literals) => Some(match &item[name] {
            Value::Null => literals.contains(&None),
            value => literals.iter().flatten().any(|one| equal(value, one)),
        }),
        Expr::Range(name, ends) => known(name, &|value| {
            ends.from
                .as_ref()
                .is_none_or(|end| compared(value, end).is_ge())
                && ends
                    .above
                    .as_ref()
                    .is_none_or(|end| compared(value, end).is_gt())
                && ends
                    .to
                    .as_ref()
                    .is_none_or(|end| compared(value, end).is_le())
                && ends
                    .below
                    .as_ref()
                    .is_none_or(|end| compared(value, end).is_lt())
        }),
        Expr::Null(name) => Some(item[name] == Value::Null),
        Expr::ContainsAny(name, texts) => known(name, &|value| match value {
            Value::StrList(list) => texts.iter().any(|text| list.contains(text)),
            _ => unreachable!(),
        }),
        Expr::ContainsAll(name, texts) => known(name, &|value| match value {
            Value::StrList(list) => texts.iter().all(|text| list.contains(text)),
            _ => unreachable!(),
        }),
    }
}

const FILTERS: [&str; 38] = [
    r#"{"is":["bool",true]}"#,
    r#"{"is":["bool",false]}"#,
    r#"{"in":["bool",[true,null]]}"#,
    r#"{"is":["int",1]}"#,
    r#"{"is":["int",1.0]}"#,
    r#"{"is":["int",1.5]}"#,
    r#"{"is":["int",-9223372036854775808]}"#,
    r#"{"in":["int",[0,7,70,700,9223372036854775807]]}"#,
    r#"{"in":["int",[]]}"#,
    r#"{"range":["int",{"from":5,"to":300}]}"#,
    r#"{"range":["int",{"above":5,"below":6}]}"#,
    r#"{"range":["int",{"above":0.5,"below":7.5}]}"#,
    r#"{"range":["int",{"above":1.0,"to":7.0}]}"#,
    r#"{"range":["int",{"above":9223372036854775807}]}"#,
    r#"{"range":["int",{"to":-9223372036854775808}]}"#,
    r#"{"range":["int",{"from":1e300}]}"#,
    r#"{"range":["int",{"above":-1e300}]}"#,
    r#"{"is":["float",0]}"#,
    r#"{"is":["float",-0.0]}"#,
    r#"{"in":["float",[0.25,1,null]]}"#,
    r#"{"range":["float",{"above":0}]}"#,
    r#"{"range":["float",{"below":0.0}]}"#,
    r#"{"range":["float",{"from":1.25,"below":1.75}]}"#,
    r#"{"range":["float",{"from":9007199254740992}]}"#,
    r#"{"is":["time",{"us":7}]}"#,
    r#"{"in":["time",[{"us":7},{"us":90}]]}"#,
    r#"{"range":["time",{"from":{"us":7},"below":{"us":90}}]}"#,
    r#"{"range":["grows",{"from":{"us":7000},"below":{"us":9000}}]}"#,
    r#"{"range":["grows",{"above":{"us":30000}}]}"#,
    r#"{"is":["str","w3"]}"#,
    r#"{"is":["str","none has it"]}"#,
    r#"{"in":["str",["w1","w2","w3","w4","w5","w6","w7","w8","w9","w10","x"]]}"#,
    r#"{"in":["str",["w1",null]]}"#,
    r#"{"range":["str",{"above":"w3","to":"w5"}]}"#,
    r#"{"null":"str"}"#,
    r#"{"contains_any":["tags",["w1","w2"]]}"#,
    r#"{"contains_all":["tags",["w1","w2"]]}"#,
    r#"{"contains_all":["tags",[]]}"#,
];

/// Every filter, its negation, and pairs, against the oracle.
fn check(catalog: &Catalog, numbers: &mut Numbers, what: &str) {
    let live: Vec<u32> = catalog.id_map().live_rows().collect();
    let items: Vec<BTreeMap<String, Value>> = catalog
        .get(&catalog.id_map().live_ids())
        .unwrap()
        .into_iter()
        .map(|item| item.attributes.into_iter().collect())
        .collect();
    let mut texts: Vec<String> = FILTERS.iter().map(ToString::to_string).collect();
    texts.extend(FILTERS.iter().map(|text| format!(r#"{{"not":{text}}}"#)));
    for _ in 0..40 {
        let mut any = || texts[numbers.below(texts.len() as u64) as usize].clone();
        let (a, b, c) = (any(), any(), any());
        texts.push(format!(r#"{{"and":[{a},{b},{c}]}}"#));
        texts.push(format!(r#"{{"or":[{a},{{"not":{{"and":[{b},{c}]}}}}]}}"#));
    }
    for text in &texts {
        let expr = Expr::parse("where", text).unwrap();
        let filter = Filter::of(expr.clone());
        let kept = catalog.filter(&filter).unwrap();
        let mut wanted = RowSet::none(catalog.id_map().rows_len());
        for (&row, item) in live.iter().zip(&items) {
            if truth(&expr, item) == Some(true) {
                wanted.insert(row);
            }
        }
        let found: Vec<u32> = kept.rows.iter().collect();
        let expected: Vec<u32> = wanted.iter().collect();
        assert_eq!(found, expected, "{what}: {text}");
        assert_eq!(kept.live, catalog.len());
        assert_eq!(kept.generation, catalog.generation());
        let again = catalog.filter(&Filter::of(expr)).unwrap();
        let same = std::sync::Arc::ptr_eq(&kept, &again);
        // What is kept is for the latest state.
        assert!(same || what.contains("before"), "{what}: {text} anew");
        let selected = select(catalog.id_map(), "where", Where::Rows(&kept.rows), None).unwrap();
        assert_eq!(selected.within, expected.len());
    }
}

const ALL: [&str; 7] = ["bool", "int", "float", "time", "str", "tags", "grows"];

#[test]
fn as_one_value_at_a_time_whatever_changed_since() {
    let mut numbers = Numbers(1);
    let mut catalog = Catalog::new(vec![("v".into(), spec())]).unwrap();
    upsert(&mut catalog, &mut numbers, (0..5000).collect(), true, &ALL);
    check(&catalog, &mut numbers, "new");
    assert_eq!(Source::indexed(&catalog).unwrap().built().len(), ALL.len());
    let fork = catalog.clone();
    for round in 0..4 {
        let mut some = |n: u64| {
            let mut ids: Vec<i64> = (0..n).map(|_| numbers.below(5000) as i64).collect();
            ids.sort_unstable();
            ids.dedup();
            ids.retain(|id| catalog.id_map().row(&crate::ids::Id::Int(*id)).is_some());
            ids
        };
        let (changed, moved, gone) = (some(60), some(20), some(20));
        let names = [&ALL[..], &["int", "str"], &["tags"]][round % 3];
        upsert(&mut catalog, &mut numbers, changed, false, names);
        upsert(&mut catalog, &mut numbers, moved, true, &["str"]);
        let first = 5000 + 50 * round as i64;
        upsert(
            &mut catalog,
            &mut numbers,
            (first..first + 50).collect(),
            true,
            &ALL,
        );
        catalog.remove(&Ids::Int(gone)).unwrap();
        check(&catalog, &mut numbers, &format!("round {round}"));
    }
    assert!(!Source::indexed(&catalog).unwrap().built().is_empty());
    // Another that grew out of the same state, and the state itself.
    check(&fork, &mut numbers, "before");
    let mut other = fork.clone();
    upsert(&mut other, &mut numbers, (0..300).collect(), false, &ALL);
    check(&other, &mut numbers, "fork");
    check(&catalog, &mut numbers, "after the fork");
    check(&fork, &mut numbers, "before, again");
    // More changes than are noted, and then fewer rows than are dead.
    let there = |id: &i64| catalog.id_map().row(&crate::ids::Id::Int(*id)).is_some();
    let many: Vec<i64> = (0..2000).filter(there).collect();
    upsert(&mut catalog, &mut numbers, many, false, &ALL);
    check(&catalog, &mut numbers, "many");
    let gone: Vec<i64> = match catalog.id_map().live_ids() {
        Ids::Int(ids) => ids.into_iter().filter(|id| id % 5 < 3).collect(),
        Ids::Str(_) => unreachable!(),
    };
    catalog.remove(&Ids::Int(gone)).unwrap();
    assert_eq!(catalog.len(), catalog.id_map().rows_len());
    check(&catalog, &mut numbers, "compacted");
}

#[test]
fn a_few_rows_are_scanned() {
    let mut numbers = Numbers(2);
    let mut catalog = Catalog::new(vec![("v".into(), spec())]).unwrap();
    upsert(&mut catalog, &mut numbers, (0..150).collect(), true, &ALL);
    check(&catalog, &mut numbers, "few");
    assert!(Source::indexed(&catalog).unwrap().built().is_empty());
}

#[test]
fn sets_of_filters() {
    let mut numbers = Numbers(3);
    let mut catalog = Catalog::new(vec![("v".into(), spec())]).unwrap();
    upsert(&mut catalog, &mut numbers, (0..300).collect(), true, &ALL);
    let text = Expr::parse("where", r#"{"range":["int",{"from":1}]}"#).unwrap();
    let (ints, ids) = (
        std::sync::Arc::new(Filter::of(text.clone())),
        std::sync::Arc::new(Filter::Ids(std::sync::Arc::new(Ids::Int(vec![
            3, 5, 7, 900,
        ])))),
    );
    let source: &dyn Source = &catalog;
    let found = |filter: Filter| filter.compile(source, "where").unwrap().rows.clone();
    let (a, b) = (found((*ints).clone()), found((*ids).clone()));
    assert_eq!(b.len(), 3);
    let mut both = a.clone();
    both.intersect(&b);
    assert_eq!(found(Filter::And(ints.clone(), ids.clone())), both);
    let mut either = a.clone();
    either.unite(&b);
    assert_eq!(found(Filter::Or(ints.clone(), ids.clone())), either);
    assert_eq!(
        found(Filter::Not(ints)),
        found(Filter::of(Expr::Not(Box::new(text))))
    );
    assert_eq!(found(Filter::Not(ids)).len(), 297);
    assert!(source.row_ids().len() == 300);
}

#[test]
fn what_is_wrong_is_named() {
    let mut numbers = Numbers(4);
    let mut catalog = Catalog::new(vec![("v".into(), spec())]).unwrap();
    upsert(&mut catalog, &mut numbers, (0..9).collect(), true, &ALL);
    for (text, message) in [
        (
            r#"{"is":["int","x"]}"#,
            r#"where["int"]: expected a number, as it is a int attribute, got "x" (str)"#,
        ),
        (
            r#"{"is":["str",1]}"#,
            r#"where["str"]: expected a str, as it is a str attribute, got 1 (int)"#,
        ),
        (
            r#"{"range":["time",{"from":5}]}"#,
            r#"where["time"]: expected a datetime, as it is a timestamp attribute, got 5 (int)"#,
        ),
        (
            r#"{"is":["tags","x"]}"#,
            r#"where["tags"]: expected contains_any or contains_all with texts, as it is a list[str] attribute, got "x" (str)"#,
        ),
        (
            r#"{"contains_any":["str",["x"]]}"#,
            r#"where["str"]: expected a list[str] attribute for contains_any and contains_all, got a str attribute"#,
        ),
        (
            r#"{"range":["bool",{"from":true}]}"#,
            r#"where["bool"]: expected equality, as it is a bool attribute, got a range"#,
        ),
        (r#"{"and":[{"null":"no"}]}"#, r#"no such attribute: "no""#),
    ] {
        let filter = Filter::of(Expr::parse("where", text).unwrap());
        let error = catalog.filter(&filter).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
    }
    for text in [
        "",
        "{}",
        "[]",
        "7",
        r#"{"and":[]}"#,
        r#"{"or":[]}"#,
        r#"{"is":["a",null]}"#,
        r#"{"is":["a"]}"#,
        r#"{"range":["a",{}]}"#,
        r#"{"range":["a",{"from":1,"above":1}]}"#,
        r#"{"range":["a",{"form":1}]}"#,
        r#"{"is":["a",{"us":1.5}]}"#,
        r#"{"xor":[]}"#,
        r#"{"is":["a",1],"null":"a"}"#,
    ] {
        let error = Expr::parse("where", text).unwrap_err().to_string();
        assert!(error.starts_with("where"), "{text}: {error}");
    }
}

#[test]
fn documents_keep_their_form() {
    for text in FILTERS.iter().chain(&[
        r#"{"not":{"or":[{"null":"a"},{"in":["b",[1,null]]}]}}"#,
        r#"{"is":["a",0.1]}"#,
    ]) {
        let expr = Expr::parse("where", text).unwrap();
        assert_eq!(Expr::parse("where", &expr.to_json()).unwrap(), expr);
    }
    let named = Expr::parse(
        "where",
        r#"{"and":[{"null":"b"},{"not":{"null":"a"}},{"is":["b",1]}]}"#,
    );
    assert_eq!(named.unwrap().attributes(), ["a", "b"]);
}

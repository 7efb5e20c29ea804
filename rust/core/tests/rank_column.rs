//! Attribute columns: values in, values out, through files, and damaged files.

use perso_core::column::{Column, ColumnType, Parts, Value};
use perso_core::error::Error;
use proptest::prelude::*;

const KINDS: [ColumnType; 6] = [
    ColumnType::Bool,
    ColumnType::Int,
    ColumnType::Float,
    ColumnType::Time,
    ColumnType::Str,
    ColumnType::StrList,
];

fn text() -> impl Strategy<Value = Box<str>> {
    prop_oneof![
        Just("".into()),
        Just("Drama".into()),
        Just("Ünïcødé 🎬".into()),
        "[a-d]{1,3}".prop_map(|s| s.into_boxed_str()),
    ]
}

fn value(kind: ColumnType) -> BoxedStrategy<Value> {
    let some = match kind {
        ColumnType::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        ColumnType::Int => any::<i64>().prop_map(Value::Int).boxed(),
        ColumnType::Float => any::<f64>()
            .prop_filter("finite", |x| x.is_finite())
            .prop_map(Value::Float)
            .boxed(),
        ColumnType::Time => any::<i64>().prop_map(Value::Time).boxed(),
        ColumnType::Str => text().prop_map(Value::Str).boxed(),
        ColumnType::StrList => prop::collection::vec(text(), 0..4)
            .prop_map(Value::StrList)
            .boxed(),
    };
    prop_oneof![1 => Just(Value::Null), 4 => some].boxed()
}

#[derive(Clone, Debug)]
enum Step {
    Push(Value),
    Set(usize, Value),
    Grow(usize),
}

fn history() -> impl Strategy<Value = (ColumnType, Vec<Step>)> {
    prop::sample::select(&KINDS[..]).prop_flat_map(|kind| {
        let step = prop_oneof![
            5 => value(kind).prop_map(Step::Push),
            4 => (any::<usize>(), value(kind)).prop_map(|(row, value)| Step::Set(row, value)),
            1 => (0usize..600).prop_map(Step::Grow),
        ];
        (Just(kind), prop::collection::vec(step, 0..120))
    })
}

fn run(kind: ColumnType, steps: &[Step]) -> (Column, Vec<Value>) {
    let mut column = Column::new(kind);
    let mut model: Vec<Value> = Vec::new();
    for step in steps {
        match step {
            Step::Push(value) => {
                column.push("a", value.clone()).unwrap();
                model.push(value.clone());
            }
            Step::Set(row, value) if !model.is_empty() => {
                let row = row % model.len();
                column.set("a", row as u32, value.clone()).unwrap();
                model[row] = value.clone();
            }
            Step::Set(..) => {}
            Step::Grow(rows) => {
                column.grow(*rows);
                model.resize(model.len() + rows, Value::Null);
            }
        }
    }
    (column, model)
}

fn bytes(column: &Column, row: usize) -> Vec<u8> {
    let mut out = Vec::new();
    column.row_bytes(row as u32, &mut out);
    out
}

/// Every way of reading must work, whatever the column went through.
fn read_all(column: &Column) {
    let mut keys = Vec::new();
    for row in 0..column.len() as u32 + 2 {
        let _ = (
            column.get(row),
            column.numeric(row),
            column.time(row),
            bytes(column, row as usize),
        );
        column.keys(row, &mut keys);
    }
    keys.iter().for_each(|&key| {
        column.key_name(key);
    });
}

proptest! {
    #[test]
    fn a_column_is_a_list_of_values((kind, steps) in history()) {
        let (column, model) = run(kind, &steps);
        prop_assert_eq!(column.len(), model.len());
        prop_assert_eq!(column.kind(), kind);
        for (row, value) in model.iter().enumerate() {
            prop_assert_eq!(&column.get(row as u32), value);
            let mut keys = Vec::new();
            column.keys(row as u32, &mut keys);
            let names: Vec<String> = keys.iter().map(|&key| column.key_name(key)).collect();
            let expected: Vec<String> = match value {
                Value::Bool(b) => vec![b.to_string()],
                Value::Int(i) => vec![i.to_string()],
                Value::Str(s) => vec![s.to_string()],
                Value::StrList(list) => {
                    let mut distinct: Vec<String> = Vec::new();
                    for text in list {
                        if !distinct.contains(&text.to_string()) {
                            distinct.push(text.to_string());
                        }
                    }
                    distinct
                }
                _ => vec![],
            };
            prop_assert_eq!(names, expected);
            let numeric = match value {
                Value::Bool(b) => Some(if *b { 1.0 } else { 0.0 }),
                Value::Int(i) => Some(*i as f64),
                Value::Float(x) => Some(*x),
                _ => None,
            };
            prop_assert_eq!(column.numeric(row as u32), numeric);
        }
        prop_assert_eq!(column.get(model.len() as u32), Value::Null);
    }

    #[test]
    fn a_file_gives_the_same_column((kind, steps) in history()) {
        let (column, model) = run(kind, &steps);
        let parts = column.to_parts();
        let back = Column::from_parts(kind, parts.clone()).unwrap();
        for row in 0..model.len() {
            prop_assert_eq!(back.get(row as u32), column.get(row as u32));
        }
        // The history does not show: the same values pushed once give the same arrays and bytes.
        let mut plain = Column::new(kind);
        model.iter().for_each(|value| plain.push("a", value.clone()).unwrap());
        prop_assert_eq!(plain.to_parts(), parts);
        for row in 0..model.len() {
            prop_assert_eq!(bytes(&plain, row), bytes(&column, row));
        }
    }

    #[test]
    fn equal_values_and_no_others_have_equal_bytes(
        (a, b) in prop::sample::select(&KINDS[..]).prop_flat_map(|kind| (value(kind), value(kind))),
    ) {
        let kind = a.column_type().or(b.column_type()).unwrap_or(ColumnType::Int);
        let mut left = Column::new(kind);
        left.push("a", a.clone()).unwrap();
        let mut right = Column::new(kind);
        // Another dictionary.
        if kind == ColumnType::Str {
            right.push("a", Value::Str("something else".into())).unwrap();
        } else {
            right.push("a", Value::Null).unwrap();
        }
        right.push("a", b.clone()).unwrap();
        let same = a == b && !matches!((&a, &b), (Value::Float(x), Value::Float(y)) if x.to_bits() != y.to_bits());
        prop_assert_eq!(bytes(&left, 0) == bytes(&right, 1), same);
    }

    #[test]
    fn a_damaged_file_is_an_error_or_a_column(
        (kind, steps) in history(),
        (field, at, change, other) in (0usize..8, any::<usize>(), any::<u64>(), 0usize..6),
    ) {
        let mut parts = run(kind, &steps).0.to_parts();
        damage(&mut parts, field, at, change);
        for kind in [kind, KINDS[other]] {
            match Column::from_parts(kind, parts.clone()) {
                Ok(column) => read_all(&column),
                Err(error) => prop_assert!(matches!(error, Error::Format(_)), "{error:?}"),
            }
        }
    }
}

fn damage(parts: &mut Parts, field: usize, at: usize, change: u64) {
    fn edit<T: Copy>(values: &mut Vec<T>, at: usize, change: u64, new: T) {
        match (change % 3, values.len()) {
            (0, _) => values.push(new),
            (_, 0) => {}
            (1, n) => {
                values.remove(at % n);
            }
            (_, n) => values[at % n] = new,
        }
    }
    match field {
        0 => edit(&mut parts.validity, at, change, (change >> 8) as u8),
        1 => edit(&mut parts.bools, at, change, (change >> 8) as u8),
        2 => edit(&mut parts.ints, at, change, change as i64),
        3 => edit(&mut parts.floats, at, change, f64::from_bits(change)),
        4 => edit(&mut parts.codes, at, change, (change >> 8) as u32),
        5 => edit(&mut parts.offsets, at, change, change >> (change % 64)),
        6 => edit(&mut parts.dict_offsets, at, change, change >> (change % 64)),
        _ => edit(&mut parts.dict_bytes, at, change, (change >> 8) as u8),
    }
}

#[test]
fn specific_damage_is_refused() {
    let mut column = Column::new(ColumnType::StrList);
    for list in [vec!["a", "b"], vec!["b"]] {
        let list = list.into_iter().map(Into::into).collect();
        column.push("genre", Value::StrList(list)).unwrap();
    }
    let good = column.to_parts();
    assert!(Column::from_parts(ColumnType::StrList, good.clone()).is_ok());
    type Damage = fn(&mut Parts);
    let damages: [(&str, Damage); 8] = [
        ("a code beyond the dictionary", |p| p.codes[0] = 2),
        ("falling offsets", |p| p.offsets[1] = 4),
        ("offsets that start late", |p| p.offsets[0] = 1),
        ("a short dictionary", |p| p.dict_bytes.truncate(1)),
        ("text that is not UTF-8", |p| p.dict_bytes[0] = 0xff),
        ("a dictionary entry twice", |p| p.dict_bytes[1] = b'a'),
        ("a flag that is neither 0 nor 1", |p| p.validity[0] = 2),
        ("a row too few", |p| p.validity.truncate(1)),
    ];
    for (what, damage) in damages {
        let mut parts = good.clone();
        damage(&mut parts);
        let error = Column::from_parts(ColumnType::StrList, parts).expect_err(what);
        assert!(
            error.to_string().contains("list[str] column is damaged"),
            "{what}: {error}"
        );
    }
    let nan = Parts {
        validity: vec![1],
        floats: vec![f64::NAN],
        ..Parts::default()
    };
    assert!(Column::from_parts(ColumnType::Float, nan).is_err());
}

#[test]
fn wrong_values_name_the_attribute() {
    let mut column = Column::new(ColumnType::Float);
    let error = column
        .push("price", Value::Str("cheap".into()))
        .unwrap_err();
    assert!(matches!(error, Error::Type { .. }));
    assert_eq!(
        error.to_string(),
        "attributes[\"price\"]: expected float values, got \"cheap\" (str)"
    );
    let error = column.push("price", Value::Float(f64::NAN)).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }));
    assert!(error
        .to_string()
        .starts_with("attributes[\"price\"]: expected finite"));
    assert!(column.push("price", Value::Float(f64::INFINITY)).is_err());
    assert!(column.push("price", Value::Int((1 << 53) + 1)).is_err());
    assert!(column.is_empty(), "a refused value leaves nothing behind");
    column.push("price", Value::Int(3)).unwrap();
    assert_eq!(column.get(0), Value::Float(3.0));
    assert!(column.set("price", 0, Value::Bool(true)).is_err());
    assert_eq!(column.get(0), Value::Float(3.0));
    assert!(Column::new(ColumnType::Int)
        .push("n", Value::Bool(true))
        .is_err());
    assert!(Column::new(ColumnType::StrList)
        .push("g", Value::Str("x".into()))
        .is_err());
}

#[test]
fn replaced_lists_do_not_pile_up() {
    let mut column = Column::new(ColumnType::StrList);
    let list =
        |i: usize| Value::StrList((0..8).map(|j| format!("{}", (i + j) % 50).into()).collect());
    for i in 0..100 {
        column.push("genre", list(i)).unwrap();
    }
    for i in 0..50_000 {
        column.set("genre", (i * 37 % 100) as u32, list(i)).unwrap();
    }
    let debug = format!("{column:?}").len();
    assert!(
        debug < 500_000,
        "the column keeps what nothing refers to: {debug} characters of it"
    );
    for row in 0..100 {
        let last = (0..50_000).rev().find(|i| i * 37 % 100 == row).unwrap();
        assert_eq!(column.get(row as u32), list(last));
    }
}

//! Which rows of a column pass a test, one row at a time or all of them at once.
//!
//! A test is bound to its column: texts have become dictionary codes, so a scan compares integers. A scan
//! goes over 64 rows at a time: flags first, which the compiler does with vectors, then eight flags to a
//! byte by one multiplication. A null passes no test.

use std::ops::Range;

use crate::eligible::RowSet;
use crate::store::Paged;

use super::{list, Column, Data, ROWS_A_PAGE};

/// The first number that is too large for an integer.
const TWO_63: f64 = 9_223_372_036_854_775_808.0;

/// A test of a column's values.
#[derive(Clone, Debug)]
pub struct Test<'a> {
    column: &'a Column,
    wanted: Wanted,
}

/// What passes.
#[derive(Clone, Debug)]
enum Wanted {
    /// By value of a bool column: whether it passes.
    Bools([bool; 2]),
    /// One of these, ascending.
    Ints(Vec<i64>),
    /// One of these, ascending.
    Floats(Vec<f64>),
    /// One dictionary code.
    Code(u32),
    /// One of a few dictionary codes.
    Few(Vec<u32>),
    /// By dictionary code: whether it passes.
    Codes(Vec<bool>),
    /// From the first to the second, both included.
    IntRange(i64, i64),
    /// The same.
    FloatRange(f64, f64),
    /// Every value, but no null.
    Any,
}

/// Codes that are compared one by one: a table by code has the size of the dictionary.
const FEW: usize = 8;

/// What a test wants, for those who know where the rows are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sought {
    /// Rows with one of these [`Column::keys`].
    Keys(Vec<u64>),
    /// Integers or moments from the first to the second, both included.
    Ints(i64, i64),
    /// Numbers, likewise.
    Floats(f64, f64),
    /// Something else.
    Other,
}

impl Column {
    /// The rows of a bool column with one of these values.
    pub fn one_of_bools(&self, values: &[bool]) -> Test<'_> {
        let wanted = [values.contains(&false), values.contains(&true)];
        self.test(Wanted::Bools(wanted))
    }

    /// The rows of an int column with one of these values, or of a timestamp column with one of these moments.
    pub fn one_of_ints(&self, values: &[i64]) -> Test<'_> {
        let mut values = values.to_vec();
        values.sort_unstable();
        self.test(Wanted::Ints(values))
    }

    /// The rows of a str column with one of these texts, or of a list[str] column that hold one.
    pub fn one_of_texts<'t>(&self, texts: impl Iterator<Item = &'t str>) -> Test<'_> {
        let (Data::Str(_, dictionary) | Data::StrList { dictionary, .. }) = &self.data else {
            return self.test(Wanted::Codes(Vec::new()));
        };
        // A text that the dictionary lacks is in no row.
        let known = texts.filter_map(|text| dictionary.find(text));
        let codes: Vec<u32> = known.collect();
        self.test(match codes[..] {
            [code] => Wanted::Code(code),
            _ if codes.len() <= FEW => Wanted::Few(codes),
            _ => {
                let mut wanted = vec![false; dictionary.len()];
                for code in codes {
                    wanted[code as usize] = true;
                }
                Wanted::Codes(wanted)
            }
        })
    }

    /// The rows of a str column whose text passes.
    pub fn texts(&self, passes: impl Fn(&str) -> bool) -> Test<'_> {
        let wanted = match &self.data {
            Data::Str(_, dictionary) => {
                let codes = 0..dictionary.len() as u32;
                codes.map(|code| passes(dictionary.text(code))).collect()
            }
            _ => Vec::new(),
        };
        self.test(Wanted::Codes(wanted))
    }

    /// The rows of a float column with one of these values, none of which is NaN.
    pub fn one_of_floats(&self, values: &[f64]) -> Test<'_> {
        let mut values = values.to_vec();
        // Zero has two forms that are equal.
        values.iter_mut().for_each(|value| *value += 0.0);
        values.sort_unstable_by(f64::total_cmp);
        self.test(Wanted::Floats(values))
    }

    /// The rows of an int or timestamp column from `low` to `high`, both included.
    pub fn between_ints(&self, low: i64, high: i64) -> Test<'_> {
        self.test(Wanted::IntRange(low, high))
    }

    /// The rows with a value.
    pub fn any(&self) -> Test<'_> {
        self.test(Wanted::Any)
    }

    /// Whether a row has no value; true past the end.
    #[inline]
    pub fn is_null(&self, row: u32) -> bool {
        !self.is_valid(row as usize)
    }

    /// The rows of a range that have no value, 64 to a word; the range starts at a multiple of 64.
    pub(crate) fn null_words(&self, rows: Range<usize>) -> Vec<u64> {
        let mut words = Vec::with_capacity(rows.len().div_ceil(64));
        each_64(rows, |page, at| {
            let valid = &self.valid.page(page)[at];
            words.push(word(&[1; 64][..valid.len()], valid, &|valid| valid == 0));
        });
        words
    }

    /// The rows of an int, float or timestamp column with a number from `low` to `high`, both included;
    /// `None` for no bound. Of a timestamp the number is its microseconds.
    pub fn between(&self, low: Option<f64>, high: Option<f64>) -> Test<'_> {
        let (low, high) = (
            low.unwrap_or(f64::NEG_INFINITY),
            high.unwrap_or(f64::INFINITY),
        );
        self.test(match self.data {
            // No integer lies above the one or below the other.
            Data::Int(_) | Data::Time(_) if low >= TWO_63 || high < -TWO_63 => {
                Wanted::IntRange(1, 0)
            }
            // A cast of what lies beyond an integer's range gives its end.
            Data::Int(_) | Data::Time(_) => {
                Wanted::IntRange(low.ceil() as i64, high.floor() as i64)
            }
            _ => Wanted::FloatRange(low, high),
        })
    }

    fn test(&self, wanted: Wanted) -> Test<'_> {
        Test {
            column: self,
            wanted,
        }
    }
}

impl Test<'_> {
    /// Whether a row passes; one past the end does not.
    pub fn matches(&self, row: u32) -> bool {
        let at = row as usize;
        if !self.column.is_valid(at) {
            return false;
        }
        match (&self.column.data, &self.wanted) {
            (_, Wanted::Any) => true,
            (Data::Bool(values), Wanted::Bools(wanted)) => wanted[usize::from(values.get(at))],
            (Data::Int(values) | Data::Time(values), Wanted::Ints(wanted)) => {
                wanted.binary_search(&values.get(at)).is_ok()
            }
            (Data::Int(values) | Data::Time(values), &Wanted::IntRange(low, high)) => {
                (low..=high).contains(&values.get(at))
            }
            (Data::Float(values), Wanted::Floats(wanted)) => holds(wanted, values.get(at)),
            (Data::Float(values), &Wanted::FloatRange(low, high)) => {
                (low..=high).contains(&values.get(at))
            }
            (Data::Str(values, _), &Wanted::Code(code)) => values.get(at) == code,
            (Data::Str(values, _), Wanted::Few(codes)) => codes.contains(&values.get(at)),
            (Data::Str(values, _), Wanted::Codes(wanted)) => wanted[values.get(at) as usize],
            (Data::StrList { spans, codes, .. }, wanted) => {
                let list = list(spans, codes, at);
                match wanted {
                    Wanted::Code(code) => list.contains(code),
                    Wanted::Few(few) => list.iter().any(|code| few.contains(code)),
                    Wanted::Codes(wanted) => list.iter().any(|&code| wanted[code as usize]),
                    _ => false,
                }
            }
            _ => false,
        }
    }

    /// All rows that pass, dead ones among them.
    pub fn rows(&self) -> RowSet {
        RowSet::from_words(self.words(0..self.column.len()))
    }

    /// The rows of a range that pass, 64 to a word; the range starts at a multiple of 64.
    pub(crate) fn words(&self, rows: Range<usize>) -> Vec<u64> {
        let valid = &self.column.valid;
        match (&self.column.data, &self.wanted) {
            (_, Wanted::Any) => scan(valid, valid, rows, |_| true),
            (Data::Bool(values), &Wanted::Bools([no, yes])) => scan(valid, values, rows, |value| {
                let value = value == 1;
                (value & yes) | (!value & no)
            }),
            (Data::Int(values) | Data::Time(values), Wanted::Ints(wanted)) => match wanted[..] {
                [one] => scan(valid, values, rows, |value| value == one),
                _ => scan(valid, values, rows, |value| {
                    wanted.binary_search(&value).is_ok()
                }),
            },
            (Data::Int(values) | Data::Time(values), &Wanted::IntRange(low, high)) => {
                scan(valid, values, rows, |value| {
                    (value >= low) & (value <= high)
                })
            }
            (Data::Float(values), Wanted::Floats(wanted)) => {
                scan(valid, values, rows, |value| holds(wanted, value))
            }
            (Data::Float(values), &Wanted::FloatRange(low, high)) => {
                scan(valid, values, rows, |value| {
                    (value >= low) & (value <= high)
                })
            }
            (Data::Str(values, _), &Wanted::Code(code)) => {
                scan(valid, values, rows, |value| value == code)
            }
            (Data::Str(values, _), Wanted::Few(codes)) => {
                scan(valid, values, rows, |value| codes.contains(&value))
            }
            // The code of a null is one that may not be in the dictionary.
            (Data::Str(values, _), Wanted::Codes(wanted)) => scan(valid, values, rows, |value| {
                wanted.get(value as usize).copied().unwrap_or(false)
            }),
            _ => {
                let mut words = vec![0; rows.len().div_ceil(64)];
                let first = rows.start as u32;
                let passing = (first..rows.end as u32).filter(|row| self.matches(*row));
                passing.for_each(|row| words[(row - first) as usize / 64] |= 1 << (row % 64));
                words
            }
        }
    }

    /// What it wants.
    pub(crate) fn sought(&self) -> Sought {
        let keys =
            |codes: &mut dyn Iterator<Item = u32>| Sought::Keys(codes.map(u64::from).collect());
        match (&self.column.data, &self.wanted) {
            (_, &Wanted::Bools(wanted)) => keys(&mut (0..2).filter(|&i| wanted[i as usize])),
            (Data::Int(_), Wanted::Ints(values)) => {
                Sought::Keys(values.iter().map(|&value| value as u64).collect())
            }
            (Data::Time(_), Wanted::Ints(values)) => match values[..] {
                [one] => Sought::Ints(one, one),
                _ => Sought::Other,
            },
            (_, &Wanted::Code(code)) => keys(&mut std::iter::once(code)),
            (_, Wanted::Few(codes)) => keys(&mut codes.iter().copied()),
            (_, Wanted::Codes(wanted)) => {
                keys(&mut (0..wanted.len() as u32).filter(|&code| wanted[code as usize]))
            }
            (_, &Wanted::IntRange(low, high)) => Sought::Ints(low, high),
            (_, &Wanted::FloatRange(low, high)) => Sought::Floats(low, high),
            (_, Wanted::Floats(values)) => match values[..] {
                [one] => Sought::Floats(one, one),
                _ => Sought::Other,
            },
            _ => Sought::Other,
        }
    }
}

/// Whether an ascending list has a value.
fn holds(wanted: &[f64], value: f64) -> bool {
    wanted
        .binary_search_by(|other| other.total_cmp(&(value + 0.0)))
        .is_ok()
}

/// Calls `f` with the page and the place in it of each 64 rows of a range, which starts at a multiple of 64.
fn each_64(rows: Range<usize>, mut f: impl FnMut(usize, Range<usize>)) {
    for start in rows.clone().step_by(64) {
        let at = start % ROWS_A_PAGE;
        f(start / ROWS_A_PAGE, at..at + 64.min(rows.end - start));
    }
}

/// The valid rows of a range whose value passes.
fn scan<T: bytemuck::Pod>(
    valid: &Paged<u8>,
    values: &Paged<T>,
    rows: Range<usize>,
    passes: impl Fn(T) -> bool,
) -> Vec<u64> {
    let mut words = Vec::with_capacity(rows.len().div_ceil(64));
    each_64(rows, |page, at| {
        let (valid, values) = (valid.page(page), values.page(page));
        words.push(word(&valid[at.clone()], &values[at], &passes));
    });
    words
}

/// The same for up to 64 rows, a bit a row.
#[inline]
fn word<T: Copy>(valid: &[u8], values: &[T], passes: &impl Fn(T) -> bool) -> u64 {
    let mut flags = [0u8; 64];
    for ((flag, &valid), &value) in flags.iter_mut().zip(valid).zip(values) {
        *flag = valid & u8::from(passes(value));
    }
    let mut word = 0;
    for (i, eight) in flags.chunks_exact(8).enumerate() {
        let mut bytes = [0u8; 8];
        bytes.copy_from_slice(eight);
        // Byte i of the factor's product brings the flag of byte i to bit 56 + i.
        let packed = u64::from_le_bytes(bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        word |= packed << (8 * i);
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::{ColumnType, Value};

    fn column(kind: ColumnType, values: impl Iterator<Item = Value>) -> Column {
        let mut column = Column::new(kind);
        values.for_each(|value| column.push("a", value).unwrap());
        column
    }

    /// A scan finds the rows that single tests find, and those are the ones that `expected` names.
    fn check(test: &Test<'_>, expected: impl Fn(&Value) -> bool) {
        let column = test.column;
        let scanned = test.rows();
        let mut count = 0;
        for row in 0..column.len() as u32 + 70 {
            let wanted = expected(&column.get(row));
            assert_eq!(test.matches(row), wanted, "row {row}");
            assert_eq!(scanned.contains(row), wanted, "row {row} of the scan");
            count += usize::from(wanted);
        }
        assert_eq!(scanned.len(), count);
        assert_eq!(scanned.iter().count(), count);
    }

    #[test]
    fn scans_and_single_tests_agree_for_every_length() {
        let null = |i: i64, value: Value| if i % 7 == 3 { Value::Null } else { value };
        for n in (0..70).chain([127, 128, 200]) {
            let ints = column(
                ColumnType::Int,
                (0..n).map(|i| null(i, Value::Int(i % 5 - 2))),
            );
            check(&ints.one_of_ints(&[-2]), |v| *v == Value::Int(-2));
            check(&ints.one_of_ints(&[2, 0, 9]), |v| {
                matches!(v, Value::Int(0 | 2))
            });
            check(&ints.between(Some(-1.5), Some(1.0)), |v| {
                matches!(v, Value::Int(-1..=1))
            });
            check(&ints.between(None, Some(0.5)), |v| {
                matches!(v, Value::Int(..=0))
            });
            check(&ints.between(None, None), |v| *v != Value::Null);
            check(&ints.between(Some(0.2), Some(0.8)), |_| false);

            let floats = column(
                ColumnType::Float,
                (0..n).map(|i| null(i, Value::Float(i as f64 / 8.0))),
            );
            check(
                &floats.between(Some(1.0), Some(2.0)),
                |v| matches!(v, Value::Float(x) if (1.0..=2.0).contains(x)),
            );
            let times = column(ColumnType::Time, (0..n).map(|i| null(i, Value::Time(i))));
            check(&times.between(Some(5.0), None), |v| {
                matches!(v, Value::Time(5..))
            });

            let bools = column(
                ColumnType::Bool,
                (0..n).map(|i| null(i, Value::Bool(i % 3 == 0))),
            );
            check(&bools.one_of_bools(&[true]), |v| *v == Value::Bool(true));
            check(&bools.one_of_bools(&[false]), |v| *v == Value::Bool(false));
            check(&bools.one_of_bools(&[false, true]), |v| *v != Value::Null);

            let text = |i: i64| Box::from(["a", "b", "c"][(i % 3) as usize]);
            let texts = column(
                ColumnType::Str,
                (0..n).map(|i| null(i, Value::Str(text(i)))),
            );
            let is = |v: &Value, wanted: &[&str]| match v {
                Value::Str(text) => wanted.contains(&&**text),
                Value::StrList(texts) => texts.iter().any(|text| wanted.contains(&&**text)),
                _ => false,
            };
            let lists = column(
                ColumnType::StrList,
                (0..n).map(|i| {
                    null(
                        i,
                        Value::StrList((0..i % 4).map(|j| text(i / 4 + j)).collect()),
                    )
                }),
            );
            for wanted in [&["b"][..], &["c", "a"], &["b", "z"], &["z"], &["z", "y"]] {
                for column in [&texts, &lists] {
                    check(&column.one_of_texts(wanted.iter().copied()), |v| {
                        is(v, wanted)
                    });
                }
            }
        }
    }

    #[test]
    fn ends_of_integers() {
        let ends = column(
            ColumnType::Int,
            [i64::MIN, -1, i64::MAX].into_iter().map(Value::Int),
        );
        check(&ends.between(Some(0.0), None), |v| {
            *v == Value::Int(i64::MAX)
        });
        check(&ends.between(None, Some(-2.0)), |v| {
            *v == Value::Int(i64::MIN)
        });
        check(&ends.between(Some(1e300), None), |_| false);
    }
}

//! A filter over the columns of a source: its types checked, its texts looked up, and which rows it keeps.
//!
//! Logic is Kleene's, as that of Arrow's kernels: a comparison with a null is null, `and` and `or` are
//! known where one side decides, and what is null in the end is not kept. So two sets describe a filter:
//! the rows where it is true (`yes`), and those where it is not false (`maybe`); `not` swaps their
//! complements. A conjunction whose parts so far leave few rows asks the others row by row.

use crate::column::{Column, ColumnType, Sought, Test};
use crate::error::{Error, Result};

use super::bits::Bits;
use super::expr::{Ends, Expr, Literal};
use super::indexed::{Indexed, View};
use super::Columns;

/// The first number that is too large for an integer.
const TWO_63: f64 = 9_223_372_036_854_775_808.0;

/// Of how many rows one is few enough to go on row by row.
const SPARSE: usize = 64;

/// A filter whose attributes were found.
#[derive(Clone, Debug)]
pub(crate) enum Bound<'a> {
    And(Vec<Bound<'a>>),
    Or(Vec<Bound<'a>>),
    Not(Box<Bound<'a>>),
    /// Null where the value is.
    Test(Leaf<'a>),
    /// Never null: a null is among the values or it is not.
    In(Leaf<'a>, bool),
    /// Whether the value is null.
    Null(Leaf<'a>),
}

/// A test of one attribute.
#[derive(Clone, Debug)]
pub(crate) struct Leaf<'a> {
    attribute: Box<str>,
    column: &'a Column,
    test: Test<'a>,
    indexed: Option<&'a Indexed>,
}

impl<'a> Leaf<'a> {
    /// A test of the column of an attribute.
    pub(crate) fn new<C: Columns + ?Sized>(
        columns: &'a C,
        attribute: &str,
        test: impl FnOnce(&'a Column) -> Result<Test<'a>>,
    ) -> Result<Leaf<'a>> {
        let column = columns
            .attribute(attribute)
            .ok_or_else(|| Error::missing("attribute", format!("{attribute:?}")))?;
        Ok(Leaf {
            attribute: attribute.into(),
            column,
            test: test(column)?,
            indexed: columns.indexed(),
        })
    }

    fn view(&self) -> Option<View> {
        self.indexed?.view(&self.attribute, self.column)
    }

    fn yes(&self, rows: usize) -> Bits {
        if let Some(found) = self.view().and_then(|view| view.yes(&self.test, rows)) {
            return found;
        }
        let len = self.column.len().min(rows);
        Bits::new(self.test.words(0..len), rows)
    }

    fn nulls(&self, rows: usize) -> Bits {
        if let Some(view) = self.view() {
            return view.nulls(self.column, rows);
        }
        let len = self.column.len().min(rows);
        let mut nulls = Bits::new(self.column.null_words(0..len), rows);
        (len as u32..rows as u32).for_each(|row| nulls.insert(row));
        nulls
    }

    fn truth(&self, row: u32) -> Option<bool> {
        (!self.column.is_null(row)).then(|| self.test.matches(row))
    }
}

impl<'a> Bound<'a> {
    /// Looks up what it compares with; `argument` is what the caller calls it.
    pub(crate) fn new<C: Columns + ?Sized>(
        columns: &'a C,
        argument: &str,
        expr: &Expr,
    ) -> Result<Self> {
        let each = |parts: &[Expr]| {
            let bound = parts.iter().map(|part| Bound::new(columns, argument, part));
            bound.collect::<Result<Vec<_>>>()
        };
        let leaf = |name: &str, test: &dyn Fn(&'a Column, &About<'_>) -> Result<Test<'a>>| {
            Leaf::new(columns, name, |column| {
                let about = About {
                    argument,
                    attribute: name,
                    kind: column.kind(),
                };
                test(column, &about)
            })
        };
        Ok(match expr {
            Expr::And(parts) => Bound::And(each(parts)?),
            Expr::Or(parts) => Bound::Or(each(parts)?),
            Expr::Not(part) => Bound::Not(Box::new(Bound::new(columns, argument, part)?)),
            Expr::Is(name, value) => Bound::Test(leaf(name, &|column, about| {
                one_of(column, about, &[value])
            })?),
            Expr::In(name, values) => {
                let known: Vec<&Literal> = values.iter().flatten().collect();
                let null = values.iter().any(Option::is_none);
                Bound::In(
                    leaf(name, &|column, about| one_of(column, about, &known))?,
                    null,
                )
            }
            Expr::Range(name, ends) => {
                Bound::Test(leaf(name, &|column, about| range(column, about, ends))?)
            }
            Expr::Null(name) => Bound::Null(leaf(name, &|column, _| Ok(column.any()))?),
            Expr::ContainsAny(name, texts) => Bound::Test(leaf(name, &|column, about| {
                about.expect_list()?;
                Ok(column.one_of_texts(texts.iter().map(|text| &**text)))
            })?),
            Expr::ContainsAll(name, texts) => {
                // Without texts every list has all of them.
                let all = leaf(name, &|column, about| {
                    about.expect_list()?;
                    Ok(column.any())
                })?;
                let one = |text: &str| {
                    let test = |column: &'a Column, _: &About<'_>| {
                        Ok(column.one_of_texts(std::iter::once(text)))
                    };
                    Ok(Bound::Test(leaf(name, &test)?))
                };
                match &texts[..] {
                    [] => Bound::Test(all),
                    texts => Bound::And(texts.iter().map(|text| one(text)).collect::<Result<_>>()?),
                }
            }
        })
    }

    /// Whether it is true of a row, false, or null.
    pub(crate) fn truth(&self, row: u32) -> Option<bool> {
        match self {
            Bound::And(parts) => fold(parts, row, false),
            Bound::Or(parts) => fold(parts, row, true),
            Bound::Not(part) => part.truth(row).map(|truth| !truth),
            Bound::Test(leaf) => leaf.truth(row),
            Bound::In(leaf, null) => Some(leaf.truth(row).unwrap_or(*null)),
            Bound::Null(leaf) => Some(leaf.column.is_null(row)),
        }
    }

    /// The rows below `rows` of which it is true, dead ones among them.
    pub(crate) fn yes(&self, rows: usize) -> Bits {
        match self {
            Bound::And(parts) => {
                let passes = |part: &Bound<'a>, row| part.truth(row) == Some(true);
                both(parts, rows, Bound::yes, passes)
            }
            Bound::Or(parts) => either(parts, rows, Bound::yes),
            Bound::Not(part) => part.maybe(rows).complement(),
            Bound::Test(leaf) => leaf.yes(rows),
            Bound::In(leaf, null) => {
                let mut found = leaf.yes(rows);
                if *null {
                    found.unite(&leaf.nulls(rows));
                }
                found
            }
            Bound::Null(leaf) => leaf.nulls(rows),
        }
    }

    /// Those of which it is not false.
    pub(crate) fn maybe(&self, rows: usize) -> Bits {
        match self {
            Bound::And(parts) => {
                let passes = |part: &Bound<'a>, row| part.truth(row) != Some(false);
                both(parts, rows, Bound::maybe, passes)
            }
            Bound::Or(parts) => either(parts, rows, Bound::maybe),
            Bound::Not(part) => part.yes(rows).complement(),
            Bound::Test(leaf) => {
                let mut found = leaf.yes(rows);
                found.unite(&leaf.nulls(rows));
                found
            }
            Bound::In(..) | Bound::Null(_) => self.yes(rows),
        }
    }

    /// Whether an index names its rows.
    fn is_keyed(&self) -> bool {
        match self {
            Bound::Test(leaf) | Bound::In(leaf, false) => {
                matches!(leaf.test.sought(), Sought::Keys(_))
            }
            _ => false,
        }
    }
}

/// Kleene's `and` (decided by false) or `or` (decided by true).
fn fold(parts: &[Bound<'_>], row: u32, decisive: bool) -> Option<bool> {
    let mut truth = Some(!decisive);
    for part in parts {
        match part.truth(row) {
            Some(found) if found == decisive => return Some(decisive),
            Some(_) => {}
            None => truth = None,
        }
    }
    truth
}

fn both<'a>(
    parts: &[Bound<'a>],
    rows: usize,
    all: impl Fn(&Bound<'a>, usize) -> Bits,
    passes: impl Fn(&Bound<'a>, u32) -> bool,
) -> Bits {
    let mut order: Vec<&Bound<'a>> = parts.iter().collect();
    order.sort_by_key(|part| !part.is_keyed());
    let Some((first, mut rest)) = order.split_first() else {
        return Bits::none(rows).complement();
    };
    let mut found = all(first, rows);
    while let Some((next, after)) = rest.split_first() {
        if found.len() <= rows / SPARSE {
            let kept = |row: &u32| rest.iter().all(|part| passes(part, *row));
            let mut few = Bits::none(rows);
            found.iter().filter(kept).for_each(|row| few.insert(row));
            return few;
        }
        found.intersect(&all(next, rows));
        rest = after;
    }
    found
}

fn either<'a>(parts: &[Bound<'a>], rows: usize, all: impl Fn(&Bound<'a>, usize) -> Bits) -> Bits {
    let mut found = Bits::none(rows);
    for part in parts {
        found.unite(&all(part, rows));
    }
    found
}

/// What errors name.
struct About<'a> {
    argument: &'a str,
    attribute: &'a str,
    kind: ColumnType,
}

impl About<'_> {
    fn argument(&self) -> String {
        format!("{}[{:?}]", self.argument, self.attribute)
    }

    fn wrong(&self, value: &Literal) -> Error {
        let wanted = match self.kind {
            ColumnType::Bool => "a bool",
            ColumnType::Int | ColumnType::Float => "a number",
            ColumnType::Time => "a datetime",
            ColumnType::Str => "a str",
            ColumnType::StrList => "contains_any or contains_all with texts",
        };
        Error::wrong_type(
            self.argument(),
            format!("{wanted}, as it is a {} attribute", self.kind),
            format!("{value} ({})", value.kind()),
        )
    }

    fn expect_list(&self) -> Result<()> {
        if self.kind == ColumnType::StrList {
            return Ok(());
        }
        Err(Error::wrong_type(
            self.argument(),
            "a list[str] attribute for contains_any and contains_all",
            format!("a {} attribute", self.kind),
        ))
    }
}

/// The rows with one of some values.
fn one_of<'a>(column: &'a Column, about: &About<'_>, values: &[&Literal]) -> Result<Test<'a>> {
    fn all<T>(
        about: &About<'_>,
        values: &[&Literal],
        read: impl Fn(&Literal) -> Option<T>,
    ) -> Result<Vec<T>> {
        let read = |value: &&Literal| read(value).ok_or_else(|| about.wrong(value));
        values.iter().map(read).collect()
    }
    Ok(match about.kind {
        ColumnType::Bool => {
            let bools = all(about, values, |value| match value {
                Literal::Bool(value) => Some(*value),
                _ => None,
            });
            column.one_of_bools(&bools?)
        }
        // A number that no integer equals is no row's.
        ColumnType::Int => {
            let ints = all(about, values, |value| match value {
                Literal::Int(value) => Some(Some(*value)),
                Literal::Float(value) => {
                    let whole = *value == value.trunc() && (-TWO_63..TWO_63).contains(value);
                    Some(whole.then_some(*value as i64))
                }
                _ => None,
            });
            column.one_of_ints(&ints?.into_iter().flatten().collect::<Vec<_>>())
        }
        ColumnType::Float => {
            let floats = all(about, values, |value| match value {
                Literal::Int(value) => {
                    let near = *value as f64;
                    Some((near as i128 == i128::from(*value)).then_some(near))
                }
                Literal::Float(value) => Some(Some(*value)),
                _ => None,
            });
            column.one_of_floats(&floats?.into_iter().flatten().collect::<Vec<_>>())
        }
        ColumnType::Time => {
            let moments = all(about, values, |value| match value {
                Literal::Moment(moment) => Some(moment.us),
                _ => None,
            });
            column.one_of_ints(&moments?)
        }
        ColumnType::Str => {
            let texts = all(about, values, |value| match value {
                Literal::Str(text) => Some(text.clone()),
                _ => None,
            });
            column.one_of_texts(texts?.iter().map(|text| &**text))
        }
        ColumnType::StrList => {
            let value = values.first().copied();
            return Err(value.map_or_else(
                || {
                    let got = "a list of values";
                    Error::wrong_type(
                        about.argument(),
                        "contains_any, as it is a list[str] attribute",
                        got,
                    )
                },
                |value| about.wrong(value),
            ));
        }
    })
}

/// The rows within some ends.
fn range<'a>(column: &'a Column, about: &About<'_>, ends: &Ends) -> Result<Test<'a>> {
    let low = ends.from.as_ref().or(ends.above.as_ref());
    let high = ends.to.as_ref().or(ends.below.as_ref());
    let (low_strict, high_strict) = (ends.above.is_some(), ends.below.is_some());
    match about.kind {
        ColumnType::Int | ColumnType::Time => {
            let read = |end: Option<&Literal>| {
                end.map(|end| match (about.kind, end) {
                    (ColumnType::Int, Literal::Int(value)) => Ok(Number::Int(*value)),
                    (ColumnType::Int, Literal::Float(value)) => Ok(Number::Float(*value)),
                    (ColumnType::Time, Literal::Moment(moment)) => Ok(Number::Int(moment.us)),
                    _ => Err(about.wrong(end)),
                })
                .transpose()
            };
            let low = read(low)?.map_or(Some(i64::MIN), |end| end.least_int(low_strict));
            let high = read(high)?.map_or(Some(i64::MAX), |end| end.most_int(high_strict));
            Ok(match (low, high) {
                (Some(low), Some(high)) => column.between_ints(low, high),
                _ => column.between_ints(1, 0),
            })
        }
        ColumnType::Float => {
            let read = |end: Option<&Literal>| {
                end.map(|end| match end {
                    Literal::Int(value) => Ok(Number::Int(*value)),
                    Literal::Float(value) => Ok(Number::Float(*value)),
                    _ => Err(about.wrong(end)),
                })
                .transpose()
            };
            let low = read(low)?.map(|end| end.least_float(low_strict));
            let high = read(high)?.map(|end| -end.negated_least_float(high_strict));
            Ok(column.between(low, high))
        }
        ColumnType::Str => {
            let read = |end: Option<&Literal>| {
                end.map(|end| match end {
                    Literal::Str(text) => Ok(text.clone()),
                    _ => Err(about.wrong(end)),
                })
                .transpose()
            };
            let (low, high) = (read(low)?, read(high)?);
            Ok(column.texts(|text| {
                let above = low.as_ref().is_none_or(|low| {
                    if low_strict {
                        text > &**low
                    } else {
                        text >= &**low
                    }
                });
                let below = high.as_ref().is_none_or(|high| {
                    if high_strict {
                        text < &**high
                    } else {
                        text <= &**high
                    }
                });
                above && below
            }))
        }
        ColumnType::Bool => Err(Error::wrong_type(
            about.argument(),
            "equality, as it is a bool attribute",
            "a range",
        )),
        ColumnType::StrList => {
            let end = ends.given().next();
            Err(end.map_or_else(
                || Error::wrong_type(about.argument(), "contains_any", "a range"),
                |end| about.wrong(end),
            ))
        }
    }
}

/// An end of a range. Whole numbers and doubles are compared exactly, without rounding one to the other.
#[derive(Clone, Copy, Debug)]
enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    /// The least integer that is at least this, or above it; `None` where there is none.
    fn least_int(self, strict: bool) -> Option<i64> {
        let (whole, exact) = match self {
            Number::Int(value) => (value, true),
            Number::Float(value) => {
                let up = value.ceil();
                if up >= TWO_63 {
                    return None;
                }
                if up < -TWO_63 {
                    return Some(i64::MIN);
                }
                (up as i64, up == value)
            }
        };
        whole.checked_add(i64::from(strict && exact))
    }

    /// The greatest integer that is at most this, or below it; `None` where there is none.
    fn most_int(self, strict: bool) -> Option<i64> {
        let (whole, exact) = match self {
            Number::Int(value) => (value, true),
            Number::Float(value) => {
                let down = value.floor();
                if down < -TWO_63 {
                    return None;
                }
                if down >= TWO_63 {
                    return Some(i64::MAX);
                }
                (down as i64, down == value)
            }
        };
        whole.checked_sub(i64::from(strict && exact))
    }

    /// The least double that is at least this, or above it.
    fn least_float(self, strict: bool) -> f64 {
        match self {
            Number::Int(value) => least_double(i128::from(value), strict),
            Number::Float(value) if strict => value.next_up(),
            Number::Float(value) => value,
        }
    }

    /// The same of its negative.
    fn negated_least_float(self, strict: bool) -> f64 {
        match self {
            Number::Int(value) => least_double(-i128::from(value), strict),
            Number::Float(value) => Number::Float(-value).least_float(strict),
        }
    }
}

fn least_double(value: i128, strict: bool) -> f64 {
    let near = value as f64;
    let above = match (near as i128).cmp(&value) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => !strict,
        std::cmp::Ordering::Greater => true,
    };
    if above {
        near
    } else {
        near.next_up()
    }
}

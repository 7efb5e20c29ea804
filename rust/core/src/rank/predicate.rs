//! Conditions on attributes: which items a rule is for.
//!
//! A predicate is a conjunction, one condition an attribute: `{"genre": "news"}` is equality, and of a
//! list[str] attribute that it contains the text; `{"genre": ["news", "sport"]}` is any of these;
//! `{"price": {"from": 5, "to": 20}}` a range with both ends in it, either of which may be absent. A range
//! of moments says `"time": true` and counts in microseconds since the epoch, so that nobody's seconds are
//! taken for microseconds. A null meets no condition. Floats and moments have ranges only: that two of
//! them are equal is an accident.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::column::{Column, ColumnType, Test};
use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::filter::{Bound, Leaf};

use super::policy::MAX_INTEGER;
use super::source::Source;

/// Conditions by attribute, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PredicateSpec(pub BTreeMap<String, Condition>);

/// What an attribute's value must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Condition {
    /// This.
    Is(Match),
    /// One of these: of one type, ascending, each once.
    AnyOf(Vec<Match>),
    /// Within this.
    Within(Range),
}

/// A value that an attribute is compared with; a list of texts matches when it holds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Match {
    /// A bool.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A text.
    Str(Box<str>),
}

/// Numbers or moments from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The least; `None` for no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
    /// The most; `None` for no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<f64>,
    /// These are microseconds since the epoch.
    #[serde(default, skip_serializing_if = "is_false")]
    pub time: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Match {
    fn fits(&self, kind: ColumnType) -> bool {
        match self {
            Match::Bool(_) => kind == ColumnType::Bool,
            Match::Int(_) => kind == ColumnType::Int,
            Match::Str(_) => matches!(kind, ColumnType::Str | ColumnType::StrList),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Match::Bool(value) => write!(f, "{value}"),
            Match::Int(value) => write!(f, "{value}"),
            Match::Str(value) => write!(f, "{value:?}"),
        }
    }
}

impl fmt::Display for PredicateSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (attribute, condition)) in self.0.iter().enumerate() {
            let and = if i > 0 { " and " } else { "" };
            write!(f, "{and}{attribute}")?;
            match condition {
                Condition::Is(value) => write!(f, " = {value}")?,
                Condition::AnyOf(values) => {
                    let values: Vec<String> = values.iter().map(Match::to_string).collect();
                    write!(f, " in [{}]", values.join(", "))?;
                }
                Condition::Within(range) => {
                    let unit = if range.time { " us" } else { "" };
                    if let Some(from) = range.from {
                        write!(f, " from {from}{unit}")?;
                    }
                    if let Some(to) = range.to {
                        write!(f, " to {to}{unit}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Condition {
    fn values(&self) -> &[Match] {
        match self {
            Condition::Is(value) => std::slice::from_ref(value),
            Condition::AnyOf(values) => values,
            Condition::Within(_) => &[],
        }
    }
}

impl PredicateSpec {
    /// Checks what can be checked without the attributes; `argument` is what the caller calls it.
    pub fn validate(&self, argument: &str) -> Result<()> {
        if self.0.is_empty() {
            return Err(Error::invalid(
                argument,
                "one or more attributes with a condition each",
                "none",
            ));
        }
        for (attribute, condition) in &self.0 {
            condition.validate(&format!("{argument}[{attribute:?}]"))?;
        }
        Ok(())
    }
}

impl Condition {
    fn validate(&self, argument: &str) -> Result<()> {
        let values = self.values();
        let large = |value: &&Match| matches!(value, Match::Int(value) if value.unsigned_abs() > MAX_INTEGER as u64);
        if let Some(value) = values.iter().find(large) {
            return Err(Error::invalid(
                argument,
                "an integer of at most 2^53 in magnitude",
                value,
            ));
        }
        match self {
            Condition::Is(_) => Ok(()),
            Condition::AnyOf(values) => {
                let one_type = |pair: &[Match]| {
                    std::mem::discriminant(&pair[0]) == std::mem::discriminant(&pair[1])
                };
                let ascending = values
                    .windows(2)
                    .all(|pair| one_type(pair) && pair[0] < pair[1]);
                if ascending && !values.is_empty() {
                    return Ok(());
                }
                Err(Error::invalid(
                    argument,
                    "one or more values of one type, ascending, each once",
                    format!(
                        "[{}]",
                        values
                            .iter()
                            .map(ToString::to_string)
                            .collect::<Vec<_>>()
                            .join(", ")
                    ),
                ))
            }
            Condition::Within(range) => range.validate(argument),
        }
    }
}

impl Range {
    fn validate(&self, argument: &str) -> Result<()> {
        let ends = || [self.from, self.to].into_iter().flatten();
        if ends().next().is_none() {
            return Err(Error::invalid(argument, "from, to or both", "neither"));
        }
        if let Some(bad) = ends().find(|end| !end.is_finite()) {
            return Err(Error::invalid(argument, "finite numbers", bad));
        }
        let most = MAX_INTEGER as f64;
        let moment = |end: &f64| end.trunc() == *end && end.abs() <= most;
        if let Some(bad) = ends().find(|end| self.time && !moment(end)) {
            return Err(Error::invalid(
                argument,
                "moments in whole microseconds, within 2^53 of the epoch",
                bad,
            ));
        }
        match (self.from, self.to) {
            (Some(from), Some(to)) if from > to => Err(Error::invalid(
                argument,
                format!("an end of at least {from}"),
                to,
            )),
            _ => Ok(()),
        }
    }
}

/// A predicate over the columns of a source: a filter that is one conjunction.
#[derive(Clone, Debug)]
pub struct Predicate<'a> {
    bound: Bound<'a>,
    rows: usize,
}

impl<'a> Predicate<'a> {
    /// Looks up what it compares with; `argument` is what the caller calls it.
    pub fn new(source: &'a dyn Source, argument: &str, spec: &PredicateSpec) -> Result<Self> {
        let bind = |(attribute, condition): (&String, &Condition)| {
            let argument = || format!("{argument}[{attribute:?}]");
            let leaf = Leaf::new(source, attribute, |column| {
                test(column, argument, condition)
            })?;
            Ok(Bound::Test(leaf))
        };
        Ok(Predicate {
            bound: Bound::And(spec.0.iter().map(bind).collect::<Result<_>>()?),
            rows: source.ids().rows_len(),
        })
    }

    /// Whether a row meets all conditions.
    pub fn matches(&self, row: u32) -> bool {
        self.bound.truth(row) == Some(true)
    }

    /// All rows that do, dead ones among them.
    pub fn rows(&self) -> RowSet {
        self.bound.yes(self.rows).into_rows()
    }
}

fn test<'a>(
    column: &'a Column,
    argument: impl Fn() -> String,
    condition: &Condition,
) -> Result<Test<'a>> {
    let kind = column.kind();
    if let Condition::Within(range) = condition {
        let (fits, wanted) = if range.time {
            (kind == ColumnType::Time, "a timestamp attribute")
        } else {
            let fits = matches!(kind, ColumnType::Int | ColumnType::Float);
            (fits, "an int or float attribute for a range of numbers")
        };
        if fits {
            return Ok(column.between(range.from, range.to));
        }
        let hint = if kind == ColumnType::Time {
            ", whose range is one of moments"
        } else {
            ""
        };
        return Err(Error::wrong_type(
            argument(),
            wanted,
            format!("a {kind} attribute{hint}"),
        ));
    }
    if !kind.is_countable() {
        return Err(Error::wrong_type(
            argument(),
            format!("a range, as it is a {kind} attribute: values that are equal are an accident"),
            condition
                .values()
                .first()
                .map_or_else(String::new, ToString::to_string),
        ));
    }
    if let Some(value) = condition.values().iter().find(|value| !value.fits(kind)) {
        return Err(Error::wrong_type(
            argument(),
            format!("a value of a {kind} attribute"),
            value,
        ));
    }
    let values = condition.values();
    Ok(match kind {
        ColumnType::Bool => {
            let bools = values.iter().filter_map(|value| match value {
                Match::Bool(value) => Some(*value),
                _ => None,
            });
            column.one_of_bools(&bools.collect::<Vec<_>>())
        }
        ColumnType::Int => {
            let ints = values.iter().filter_map(|value| match value {
                Match::Int(value) => Some(*value),
                _ => None,
            });
            column.one_of_ints(&ints.collect::<Vec<_>>())
        }
        _ => column.one_of_texts(values.iter().filter_map(|value| match value {
            Match::Str(value) => Some(&**value),
            _ => None,
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> PredicateSpec {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn documents_keep_their_form() {
        for json in [
            r#"{"a":true,"b":7,"c":"x"}"#,
            r#"{"a":[1,2],"b":["x","y"]}"#,
            r#"{"a":{"from":1.5,"to":2.5},"b":{"to":0.5}}"#,
            r#"{"a":{"from":1.5,"time":true}}"#,
        ] {
            assert_eq!(serde_json::to_string(&spec(json)).unwrap(), json);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, argument) in [
            ("{}", "where"),
            (r#"{"a":[]}"#, r#"where["a"]"#),
            (r#"{"a":[2,1]}"#, r#"where["a"]"#),
            (r#"{"a":[1,1]}"#, r#"where["a"]"#),
            (r#"{"a":[1,"x"]}"#, r#"where["a"]"#),
            (r#"{"b":true,"a":9007199254740993}"#, r#"where["a"]"#),
            (r#"{"a":{}}"#, r#"where["a"]"#),
            (r#"{"a":{"from":2,"to":1}}"#, r#"where["a"]"#),
            (r#"{"a":{"from":0.5,"time":true}}"#, r#"where["a"]"#),
        ] {
            match spec(json).validate("where") {
                Err(Error::Invalid { argument: got, .. }) => assert_eq!(got, argument, "{json}"),
                other => panic!("{json}: {other:?}"),
            }
        }
        for json in [r#"{"a":1.5}"#, r#"{"a":{"above":1}}"#, r#"{"a":null}"#] {
            assert!(
                serde_json::from_str::<PredicateSpec>(json).is_err(),
                "{json}"
            );
        }
        assert!(spec(r#"{"a":{"from":1,"to":1},"b":["x"]}"#)
            .validate("where")
            .is_ok());
    }
}

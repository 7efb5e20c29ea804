//! What a filter says: a tree of predicates over attributes, and its JSON.
//!
//! One key an object, which says what it is:
//!
//! ```text
//! {"and": [filter, ...]}   {"or": [filter, ...]}   {"not": filter}
//! {"is": [attribute, value]}               {"in": [attribute, [value or null, ...]]}
//! {"range": [attribute, {"from" or "above": value, "to" or "below": value}]}
//! {"null": attribute}
//! {"contains_any": [attribute, [text, ...]]}   {"contains_all": [attribute, [text, ...]]}
//! ```
//!
//! A value is a bool, a number, a text, or a moment: `{"us": microseconds since the epoch}`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expr {
    /// All of these.
    And(Vec<Expr>),
    /// One of these or more.
    Or(Vec<Expr>),
    /// Not this.
    Not(Box<Expr>),
    /// The attribute has this value.
    Is(String, Literal),
    /// The attribute has one of these values; `None` for a null.
    In(String, Vec<Option<Literal>>),
    /// The attribute lies within this.
    Range(String, Ends),
    /// The attribute has no value.
    Null(String),
    /// The list has one of these texts or more.
    ContainsAny(String, Vec<Box<str>>),
    /// The list has all of these texts.
    ContainsAll(String, Vec<Box<str>>),
}

/// A value that an attribute is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Literal {
    /// A bool.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A finite number.
    Float(f64),
    /// A text.
    Str(Box<str>),
    /// A moment.
    Moment(Moment),
}

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// How many.
    pub us: i64,
}

/// The ends of a range, at most one below and one above, at least one in all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ends {
    /// This or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Literal>,
    /// More than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<Literal>,
    /// This or less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Literal>,
    /// Less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Literal>,
}

impl Literal {
    /// The type, as error messages say it.
    pub fn kind(&self) -> &'static str {
        match self {
            Literal::Bool(_) => "bool",
            Literal::Int(_) => "int",
            Literal::Float(_) => "float",
            Literal::Str(_) => "str",
            Literal::Moment(_) => "timestamp",
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Bool(value) => write!(f, "{value}"),
            Literal::Int(value) => write!(f, "{value}"),
            Literal::Float(value) => write!(f, "{value:?}"),
            Literal::Str(value) => write!(f, "{value:?}"),
            Literal::Moment(Moment { us }) => write!(f, "{us} us"),
        }
    }
}

impl Ends {
    /// Those that are there.
    pub fn given(&self) -> impl Iterator<Item = &Literal> {
        [&self.from, &self.above, &self.to, &self.below]
            .into_iter()
            .flatten()
    }
}

impl Expr {
    /// Reads a filter; `argument` is what the caller calls it.
    pub fn parse(argument: &str, json: &str) -> Result<Expr> {
        let expr: Expr = serde_json::from_str(json)
            .map_err(|error| Error::invalid(argument, "a filter as JSON", error))?;
        expr.validate(argument)?;
        Ok(expr)
    }

    /// Checks what can be checked without the attributes.
    pub fn validate(&self, argument: &str) -> Result<()> {
        match self {
            Expr::And(parts) | Expr::Or(parts) => {
                if parts.is_empty() {
                    return Err(Error::invalid(argument, "one or more filters", "none"));
                }
                parts.iter().try_for_each(|part| part.validate(argument))
            }
            Expr::Not(part) => part.validate(argument),
            Expr::Range(attribute, ends) => {
                let Ends {
                    from,
                    above,
                    to,
                    below,
                } = ends;
                let twice =
                    (from.is_some() && above.is_some()) || (to.is_some() && below.is_some());
                if twice || ends.given().next().is_none() {
                    return Err(Error::invalid(
                        format!("{argument}[{attribute:?}]"),
                        "from or above, to or below, one of them or more",
                        if twice { "both" } else { "none" },
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Its JSON: the same filter, the same text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a tree of strings and numbers is JSON")
    }

    /// The attributes that it names, in order, each once.
    pub fn attributes(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.name(&mut names);
        names.sort_unstable();
        names.dedup();
        names
    }

    fn name<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| part.name(names)),
            Expr::Not(part) => part.name(names),
            Expr::Is(name, _)
            | Expr::In(name, _)
            | Expr::Range(name, _)
            | Expr::Null(name)
            | Expr::ContainsAny(name, _)
            | Expr::ContainsAll(name, _) => names.push(name),
        }
    }
}

//! Rules of merchandising, beside what is learnt: one file a kind.
//!
//! They apply in the order in which a policy lists them. `boost` adds to the score of some items, and is
//! a term of its own; `hide` takes items out of what is eligible, before anything is retrieved.

mod boost;
mod hide;
mod id;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

use super::policy::{Policy, SignalSpec};
use super::predicate::PredicateSpec;
use super::source::Source;

pub(crate) use boost::Boost;
pub(crate) use hide::hidden;
pub use id::RuleId;

/// A rule of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RuleSpec {
    /// Adds to the score of matching items.
    Boost {
        /// Which items.
        r#where: PredicateSpec,
        /// How much, in units of the score; less than 0 demotes.
        by: f64,
        /// Term name; a policy fills in `boost`, `boost_2`, … where there is none.
        #[serde(default)]
        name: Option<String>,
    },
    /// Shows no matching item.
    Hide {
        /// Which items; `None` for those of `ids` alone.
        #[serde(default)]
        r#where: Option<PredicateSpec>,
        /// These items as well: of one kind, ascending, each once. One that is not there is fine.
        #[serde(default)]
        ids: Option<Vec<RuleId>>,
    },
}

/// Gives names to boosts that have none: `boost` to the first boost, `boost_2` to the second.
pub(crate) fn fill_names(rules: &mut [RuleSpec]) {
    let names = rules.iter_mut().filter_map(|rule| match rule {
        RuleSpec::Boost { name, .. } => Some(name),
        RuleSpec::Hide { .. } => None,
    });
    for (i, name) in names.enumerate() {
        name.get_or_insert_with(|| match i {
            0 => "boost".into(),
            _ => format!("boost_{}", i + 1),
        });
    }
}

/// Checks what can be checked without a source; names are filled in.
pub(crate) fn validate(rules: &[RuleSpec], signals: &[SignalSpec]) -> Result<()> {
    let mut names: BTreeSet<&str> = signals.iter().map(SignalSpec::name).collect();
    for (at, rule) in rules.iter().enumerate() {
        match rule {
            RuleSpec::Boost { r#where, by, name } => {
                r#where.validate(&argument(at, "where"))?;
                if !by.is_finite() {
                    return Err(Error::invalid(argument(at, "by"), "a finite number", by));
                }
                let name = name.as_deref().unwrap_or_default();
                if name.is_empty() {
                    return Err(Error::invalid(
                        argument(at, "name"),
                        "a name",
                        "an empty one",
                    ));
                }
                if !names.insert(name) {
                    return Err(Error::invalid(
                        argument(at, "name"),
                        "a name that no signal and no other boost has",
                        format!("{name:?}"),
                    ));
                }
            }
            RuleSpec::Hide { r#where, ids } => {
                hide::validate(at, r#where.as_ref(), ids.as_deref())?
            }
        }
    }
    Ok(())
}

/// What the Python user calls a part of a rule.
fn argument(at: usize, part: &str) -> String {
    format!("rules[{at}].{part}")
}

/// How many boosts a policy has: so many terms come after those of its signals.
pub(crate) fn boost_count(policy: &Policy) -> usize {
    let boosts = policy.spec().rules.iter();
    boosts
        .filter(|rule| matches!(rule, RuleSpec::Boost { .. }))
        .count()
}

/// The boosts of a policy, bound to a source.
pub(crate) fn boosts<'a>(source: &'a dyn Source, policy: &'a Policy) -> Result<Vec<Boost<'a>>> {
    let mut out = Vec::new();
    for (at, rule) in policy.spec().rules.iter().enumerate() {
        if let RuleSpec::Boost { r#where, by, name } = rule {
            let name = name.as_deref().unwrap_or_default();
            out.push(Boost::new(
                source,
                &argument(at, "where"),
                r#where,
                *by,
                name,
            )?);
        }
    }
    Ok(out)
}

//! Rules of merchandising, beside what is learnt: one file a kind.
//!
//! They apply in the order in which a policy lists them. `boost` adds to the score of some items, and is
//! a term of its own; `hide` takes items out of what is eligible, before anything is retrieved; `slots` are
//! pins and minima, which narrow what a slot can show.

mod boost;
mod hide;
mod id;
mod slots;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

use super::policy::{Policy, SignalSpec};
use super::predicate::PredicateSpec;
use super::source::Source;

pub(crate) use boost::Boost;
pub(crate) use hide::hidden;
pub use id::RuleId;
pub(crate) use slots::masks;

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
    /// A slot shows this item, or the best of those that match.
    Pin {
        /// From 0.
        slot: i64,
        /// The item; `None` with `where`.
        #[serde(default)]
        id: Option<RuleId>,
        /// Which items; `None` with `id`.
        #[serde(default)]
        r#where: Option<PredicateSpec>,
    },
    /// So many matching items or more are among the first.
    AtLeast {
        /// How many.
        count: i64,
        /// Which items.
        r#where: PredicateSpec,
        /// Among the first so many; `None` for the whole slate.
        #[serde(default)]
        top: Option<i64>,
        /// Name of its price; a policy fills in `at_least`, `at_least_2`, … where there is none.
        #[serde(default)]
        name: Option<String>,
    },
}

/// Gives names to boosts and minima that have none: `boost` to the first boost, `boost_2` to the second.
pub(crate) fn fill_names(rules: &mut [RuleSpec]) {
    let (mut boosts, mut minima) = (0, 0);
    for rule in rules {
        let (name, kind, count) = match rule {
            RuleSpec::Boost { name, .. } => (name, "boost", &mut boosts),
            RuleSpec::AtLeast { name, .. } => (name, "at_least", &mut minima),
            RuleSpec::Hide { .. } | RuleSpec::Pin { .. } => continue,
        };
        *count += 1;
        name.get_or_insert_with(|| match count {
            1 => kind.into(),
            _ => format!("{kind}_{count}"),
        });
    }
}

/// Checks what can be checked without a source; names are filled in.
pub(crate) fn validate(rules: &[RuleSpec], signals: &[SignalSpec]) -> Result<()> {
    let mut names: BTreeSet<&str> = signals.iter().map(SignalSpec::name).collect();
    let mut minima = BTreeSet::new();
    let (mut pinned, mut pins) = (BTreeSet::new(), BTreeSet::new());
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
            RuleSpec::Pin { slot, id, r#where } => {
                let (id, r#where) = (id.as_ref(), r#where.as_ref());
                slots::validate_pin(at, *slot, id, r#where, &mut pinned, &mut pins)?;
            }
            RuleSpec::AtLeast {
                count,
                r#where,
                top,
                name,
            } => {
                let name = name.as_deref().unwrap_or_default();
                slots::validate_minimum(at, (*count, *top), r#where, name, &mut minima)?;
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

//! A hide: items that are not shown, whatever they score.
//!
//! They are taken from what is eligible before retrieval, so they cost no place in the pool: columns are
//! scanned once, for all requests of a batch.

use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::ids::Id;
use crate::rank::policy::Policy;
use crate::rank::predicate::{Predicate, PredicateSpec};
use crate::rank::source::Source;

use super::{argument, RuleId, RuleSpec};

pub(super) fn validate(
    at: usize,
    r#where: Option<&PredicateSpec>,
    ids: Option<&[RuleId]>,
) -> Result<()> {
    if r#where.is_none() && ids.is_none() {
        return Err(Error::invalid(
            format!("rules[{at}]"),
            "where, ids or both",
            "neither",
        ));
    }
    if let Some(spec) = r#where {
        spec.validate(&argument(at, "where"))?;
    }
    let Some(ids) = ids else { return Ok(()) };
    let kind = |id: &RuleId| std::mem::discriminant(&id.0);
    let good = |pair: &[RuleId]| kind(&pair[0]) == kind(&pair[1]) && pair[0] < pair[1];
    if ids.is_empty() || !ids.windows(2).all(good) {
        return Err(Error::invalid(
            argument(at, "ids"),
            "one or more ids of one kind, ascending, each once",
            format!("{} ids", ids.len()),
        ));
    }
    Ok(())
}

/// The rows that a policy hides, whether or not they are live.
pub(crate) fn hidden(source: &dyn Source, policy: &Policy) -> Result<RowSet> {
    let all = source.ids();
    let mut rows = RowSet::none(0);
    for (at, rule) in policy.spec().rules.iter().enumerate() {
        let RuleSpec::Hide { r#where, ids } = rule else {
            continue;
        };
        rows.grow(all.rows_len());
        if let Some(spec) = r#where {
            let predicate = Predicate::new(source, &argument(at, "where"), spec)?;
            rows.unite(&predicate.rows());
        }
        let ids = ids.as_deref().unwrap_or_default();
        if let Some(first) = ids.first() {
            let given = match first.0 {
                Id::Int(_) => "int",
                Id::Str(_) => "str",
            };
            let kind = all.by_row().kind();
            if all.rows_len() > 0 && kind != given {
                return Err(Error::wrong_type(
                    argument(at, "ids"),
                    format!("{kind} ids, as the items have"),
                    format!("{given} ids"),
                ));
            }
        }
        ids.iter()
            .filter_map(|id| all.row(&id.0))
            .for_each(|row| rows.insert(row));
    }
    Ok(rows)
}

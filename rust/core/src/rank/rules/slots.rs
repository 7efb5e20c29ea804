//! Rules about slots: an item or a group that a slot is for, and at least so many of a group.
//!
//! They become the masks of a slate (see `mask`), together with the pins of the request, which go first.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::ids::Id;
use crate::rank::mask::{Group, Masks};
use crate::rank::policy::{Policy, MAX_INTEGER};
use crate::rank::pool::Retriever;
use crate::rank::predicate::{Predicate, PredicateSpec};
use crate::rank::slate::Asked;
use crate::rank::source::Source;

use super::{argument, RuleId, RuleSpec};

/// Checks a pin; `slots` and `ids` are those that earlier ones took.
pub(super) fn validate_pin<'a>(
    at: usize,
    slot: i64,
    id: Option<&'a RuleId>,
    r#where: Option<&PredicateSpec>,
    slots: &mut BTreeSet<i64>,
    ids: &mut BTreeSet<&'a RuleId>,
) -> Result<()> {
    if !(0..MAX_INTEGER).contains(&slot) {
        return Err(Error::invalid(
            argument(at, "slot"),
            "an integer of at least 0",
            slot,
        ));
    }
    if !slots.insert(slot) {
        return Err(Error::invalid(
            argument(at, "slot"),
            "a slot that no other pin is for",
            slot,
        ));
    }
    if id.is_some_and(|id| !ids.insert(id)) {
        return Err(Error::invalid(
            argument(at, "id"),
            "an item that is pinned once",
            id.map(|id| id.0.to_string()).unwrap_or_default(),
        ));
    }
    match (id, r#where) {
        (Some(_), None) => Ok(()),
        (None, Some(spec)) => spec.validate(&argument(at, "where")),
        (id, _) => Err(Error::invalid(
            format!("rules[{at}]"),
            "either id or where",
            if id.is_some() { "both" } else { "neither" },
        )),
    }
}

/// Checks a minimum; `names` are those that earlier ones took.
pub(super) fn validate_minimum<'a>(
    at: usize,
    (count, top): (i64, Option<i64>),
    r#where: &PredicateSpec,
    name: &'a str,
    names: &mut BTreeSet<&'a str>,
) -> Result<()> {
    r#where.validate(&argument(at, "where"))?;
    if !(1..=MAX_INTEGER).contains(&count) {
        return Err(Error::invalid(
            argument(at, "count"),
            "an integer of at least 1",
            count,
        ));
    }
    if let Some(top) = top.filter(|top| !(count..=MAX_INTEGER).contains(top)) {
        return Err(Error::invalid(
            argument(at, "top"),
            format!("None, or an integer of at least count = {count}"),
            top,
        ));
    }
    if name.is_empty() || !names.insert(name) {
        return Err(Error::invalid(
            argument(at, "name"),
            "a name that no other minimum has",
            format!("{name:?}"),
        ));
    }
    Ok(())
}

/// The masks that a request and its policy ask for.
pub(crate) fn masks<'a>(
    source: &'a dyn Source,
    policy: &'a Policy,
    asked: &Asked,
    retriever: &dyn Retriever,
) -> Result<Masks<'a>> {
    let mut masks = Masks::default();
    let ids = source.ids();
    for (i, (&slot, id)) in asked.pins.iter().enumerate() {
        if asked.pins.values().take(i).any(|other| other == id) {
            let got = format!("{id} twice");
            return Err(Error::invalid("pins", "each item once", got));
        }
        masks.pin_id(slot, id, Some(ids.require(id)?), asked.k, retriever);
    }
    let group = |at: usize, spec: &PredicateSpec| -> Result<Group<'a>> {
        let predicate = Predicate::new(source, &argument(at, "where"), spec)?;
        let has = move |row| predicate.matches(row);
        Ok(Group::new(spec.to_string(), has))
    };
    for (at, rule) in policy.spec().rules.iter().enumerate() {
        match rule {
            RuleSpec::Pin { slot, id, r#where } => {
                // What is wrong with a pin is so for every request, whatever goes before it.
                let within = r#where.as_ref().map(|spec| group(at, spec)).transpose()?;
                check_kind(source, at, id.as_ref())?;
                let slot = usize::try_from(*slot).unwrap_or(usize::MAX);
                if asked.pins.contains_key(&slot) {
                    continue;
                }
                if let Some(group) = within {
                    masks.pin_within(slot, asked.k, group);
                } else if let Some(RuleId(id)) = id {
                    masks.pin_id(slot, id, ids.row(id), asked.k, retriever);
                }
            }
            RuleSpec::AtLeast {
                count,
                r#where,
                top,
                name,
            } => {
                let size = |n: i64| usize::try_from(n).unwrap_or(usize::MAX);
                masks.at_least(
                    name.clone().unwrap_or_default(),
                    size(*count),
                    top.map(size),
                    asked.k,
                    group(at, r#where)?,
                );
            }
            RuleSpec::Boost { .. } | RuleSpec::Hide { .. } => {}
        }
    }
    Ok(masks)
}

fn check_kind(source: &dyn Source, at: usize, id: Option<&RuleId>) -> Result<()> {
    let Some(RuleId(id)) = id else { return Ok(()) };
    let given = match id {
        Id::Int(_) => "int",
        Id::Str(_) => "str",
    };
    let kind = source.ids().by_row().kind();
    if source.ids().rows_len() == 0 || kind == given {
        return Ok(());
    }
    Err(Error::wrong_type(
        argument(at, "id"),
        format!("an {kind} id, as the items have"),
        format!("{given} {id}"),
    ))
}

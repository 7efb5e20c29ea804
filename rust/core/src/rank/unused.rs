//! What a request brings and no part of its policy uses is refused: it would be ignored.

use crate::error::{Error, Result};

use super::bind::{explore_names, space_index, Ask, Used};
use super::policy::{Policy, SignalSpec};
use super::source::Source;

/// An error for the first thing that would be.
pub(super) fn refuse_unused(
    source: &dyn Source,
    policy: &Policy,
    ask: &Ask<'_>,
    used: &Used<'_>,
) -> Result<()> {
    let Used {
        spaces,
        signals,
        scores: uses_given,
    } = used;
    let explored: Vec<&str> = explore_names(policy).collect();
    let used = |name: &&str| signals.contains(name) || explored.contains(name);
    if let Some(name) = ask.signals.names().find(|name| !used(name)) {
        let known: Vec<String> = policy
            .signals()
            .iter()
            .flat_map(|spec| match spec {
                SignalSpec::Value { name, .. } => std::slice::from_ref(name),
                SignalSpec::Model { features, .. } => features,
                _ => &[],
            })
            .map(String::as_str)
            .chain(explored)
            .map(|name| format!("{name:?}"))
            .collect();
        let known = if known.is_empty() {
            "none, because the policy's Blend names no signal".to_string()
        } else {
            format!(
                "signals that the policy's Blend names ({})",
                known.join(", ")
            )
        };
        return Err(Error::invalid("signals", known, format!("{name:?}")));
    }
    named("models", ask.signals.model_names(), policy, |spec| {
        matches!(spec, SignalSpec::Model { .. })
    })?;
    named("lists", ask.signals.list_names(), policy, |spec| {
        matches!(spec, SignalSpec::List { .. })
    })?;
    if source.given_scores().is_some() && !uses_given && !ask.scores_may_idle {
        return Err(Error::invalid(
            "scores",
            "a Blend with similarity as a number, which candidate scores stand for",
            "scores that no signal of the policy uses",
        ));
    }
    for (name, _) in ask.user.unwrap_or_default() {
        let space = space_index(source, name)?;
        if spaces.contains(&space) {
            continue;
        }
        let expected = if *uses_given {
            "None, because the candidates bring scores that stand for the similarity"
        } else {
            "vectors for spaces that the policy's similarity uses"
        };
        return Err(Error::invalid(
            "user",
            expected,
            format!("a vector for {name:?}"),
        ));
    }
    Ok(())
}

/// Refuses a name that is not that of a signal of this kind.
fn named<'a>(
    argument: &str,
    mut given: impl Iterator<Item = &'a str>,
    policy: &Policy,
    kind: impl Fn(&SignalSpec) -> bool,
) -> Result<()> {
    let known = policy.signals().iter().filter(|&spec| kind(spec));
    match given.find(|name| !known.clone().any(|spec| spec.name() == *name)) {
        Some(name) => Err(Error::invalid(
            argument,
            format!("{argument} that the policy's Blend names"),
            format!("{name:?}"),
        )),
        None => Ok(()),
    }
}

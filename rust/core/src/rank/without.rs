//! A policy without the parts that read some names.
//!
//! A part reads the names of its signals and attributes. A mask takes away every part that reads a masked name:
//!
//! - of the blend, signals of that name or that read an attribute of that name; `similarity` stands for that of
//!   every space. A model reads its features, and what the signals among them read;
//! - caps on it, and `Calibrated` by it;
//! - the condition of an explorer's `only` on it: the other conditions stay. An explorer whose posterior reads it
//!   goes altogether;
//! - of the rules, boosts and minima of that name, and those with a condition on it. What a rule hid is not in the pool, and
//!   stays out.
//!
//! What is left may hold no signal: every score is then 0, and the order that of the ids.

use std::collections::BTreeSet;

use crate::error::{Error, Result};

use super::explore::{ExploreSpec, ScopeSpec};
use super::policy::{DiversitySpec, PolicySpec, ScoreSpec, SignalSpec};
use super::predicate::PredicateSpec;
use super::rules::RuleSpec;

/// The name that stands for every similarity.
const SIMILARITY: &str = "similarity";

/// The names that some part of a policy reads.
pub(crate) fn names_read(spec: &PolicySpec) -> BTreeSet<&str> {
    let PolicySpec {
        schema: _,
        candidates: _,
        score: ScoreSpec { signals },
        diversity,
        caps,
        explore,
        rules,
    } = spec;
    let mut names: BTreeSet<&str> = signals
        .iter()
        .flat_map(|signal| of_signal(signal, signals))
        .collect();
    names.extend(diversity.as_ref().and_then(of_diversity));
    names.extend(caps.keys().map(String::as_str));
    names.extend(explore.iter().flat_map(of_explore));
    names.extend(rules.iter().flat_map(of_rule));
    names
}

/// The names under which a policy reads attributes, where models have answered already. Of a signal that a request
/// may bring it is the name too: an attribute stands for one that it does not.
pub(crate) fn attributes_read(spec: &PolicySpec) -> BTreeSet<&str> {
    let mut names: BTreeSet<&str> = spec
        .score
        .signals
        .iter()
        .filter_map(|signal| match signal {
            SignalSpec::Value { name, .. } => Some(name.as_str()),
            SignalSpec::Decay { attribute, .. } => Some(attribute),
            SignalSpec::Similarity { .. } | SignalSpec::Model { .. } | SignalSpec::List { .. } => {
                None
            }
        })
        .collect();
    names.extend(spec.diversity.as_ref().and_then(of_diversity));
    names.extend(spec.caps.keys().map(String::as_str));
    names.extend(spec.explore.iter().flat_map(of_explore));
    let conditions = spec.rules.iter().filter_map(conditions_of);
    names.extend(conditions.flat_map(|one| one.0.keys()).map(String::as_str));
    names
}

/// The policy without what reads a name of the mask.
pub(crate) fn masked(spec: &PolicySpec, mask: &[String]) -> Result<PolicySpec> {
    let known = names_read(spec);
    if mask.is_empty() {
        return Err(nothing_reads(&known, "none"));
    }
    if let Some(name) = mask.iter().find(|name| !known.contains(name.as_str())) {
        return Err(nothing_reads(&known, &format!("{name:?}")));
    }
    let hit = |name: &str| mask.iter().any(|masked| masked == name);
    let signals = &spec.score.signals;
    Ok(PolicySpec {
        schema: spec.schema.clone(),
        candidates: spec.candidates,
        score: ScoreSpec {
            signals: signals
                .iter()
                .filter(|signal| !of_signal(signal, signals).into_iter().any(hit))
                .cloned()
                .collect(),
        },
        diversity: spec
            .diversity
            .clone()
            .filter(|diversity| !of_diversity(diversity).is_some_and(hit)),
        caps: spec
            .caps
            .iter()
            .filter(|(attribute, _)| !hit(attribute))
            .map(|(attribute, cap)| (attribute.clone(), *cap))
            .collect(),
        explore: spec
            .explore
            .clone()
            .filter(|explore| !of_posterior(explore).any(hit))
            .map(|explore| unscoped(explore, hit)),
        rules: spec
            .rules
            .iter()
            .filter(|rule| !of_rule(rule).into_iter().any(hit))
            .cloned()
            .collect(),
    })
}

fn nothing_reads(known: &BTreeSet<&str>, got: &str) -> Error {
    let known: Vec<String> = known.iter().map(|name| format!("{name:?}")).collect();
    Error::invalid(
        "mask",
        format!("names that the policy reads ({})", known.join(", ")),
        got,
    )
}

fn of_signal<'a>(signal: &'a SignalSpec, all: &'a [SignalSpec]) -> Vec<&'a str> {
    match signal {
        SignalSpec::Similarity { name, .. } => vec![name, SIMILARITY],
        SignalSpec::Value { name, .. } | SignalSpec::List { name, .. } => vec![name],
        SignalSpec::Decay {
            name, attribute, ..
        } => vec![name, attribute],
        SignalSpec::Model { name, features, .. } => {
            let mut names = vec![name.as_str()];
            for feature in features {
                names.push(feature);
                // No model feeds another, so this goes no deeper.
                let fed = all.iter().filter(|one| {
                    one.name() == feature && !matches!(one, SignalSpec::Model { .. })
                });
                names.extend(fed.flat_map(|one| of_signal(one, all)));
            }
            names
        }
    }
}

fn of_diversity(spec: &DiversitySpec) -> Option<&str> {
    match spec {
        // They compare items in a space and read no attribute.
        DiversitySpec::Mmr { .. } | DiversitySpec::Dpp { .. } | DiversitySpec::Spread { .. } => {
            None
        }
        DiversitySpec::Calibrated { attribute, .. } => Some(attribute),
    }
}

fn of_rule(rule: &RuleSpec) -> Vec<&str> {
    let mut names = Vec::new();
    if let RuleSpec::Boost { name, .. } | RuleSpec::AtLeast { name, .. } = rule {
        names.extend(name.as_deref());
    }
    names.extend(
        conditions_of(rule)
            .into_iter()
            .flat_map(|one| one.0.keys())
            .map(String::as_str),
    );
    names
}

fn conditions_of(rule: &RuleSpec) -> Option<&PredicateSpec> {
    match rule {
        RuleSpec::Boost { r#where, .. } | RuleSpec::AtLeast { r#where, .. } => Some(r#where),
        RuleSpec::Hide { r#where, .. } | RuleSpec::Pin { r#where, .. } => r#where.as_ref(),
    }
}

fn of_explore(spec: &ExploreSpec) -> impl Iterator<Item = &str> {
    let only = spec.scope().only.iter();
    of_posterior(spec).chain(only.flat_map(|only| only.0.keys()).map(String::as_str))
}

fn of_posterior(spec: &ExploreSpec) -> impl Iterator<Item = &str> {
    let posterior = spec.posterior();
    posterior
        .into_iter()
        .flat_map(|posterior| posterior.names())
}

fn unscoped(mut spec: ExploreSpec, hit: impl Fn(&str) -> bool) -> ExploreSpec {
    let (ExploreSpec::EpsilonGreedy { scope, .. }
    | ExploreSpec::Softmax { scope, .. }
    | ExploreSpec::PlackettLuce { scope, .. }
    | ExploreSpec::ThompsonSampling { scope, .. }
    | ExploreSpec::Ucb { scope, .. }) = &mut spec;
    let ScopeSpec { only, .. } = scope;
    if let Some(conditions) = only {
        conditions.0.retain(|attribute, _| !hit(attribute));
        if conditions.0.is_empty() {
            *only = None;
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rank::policy::Policy;

    const EVERYTHING: &str = r#"{"schema":"perso_core.policy/1","candidates":50,
        "score":{"signals":[
            {"kind":"similarity","name":"similarity.a","space":"a","weight":1,"normalize":"minmax"},
            {"kind":"similarity","name":"similarity.b","space":"b","weight":1,"normalize":"minmax"},
            {"kind":"value","name":"pop","weight":1,"normalize":"minmax"},
            {"kind":"decay","name":"fresh","attribute":"at","half_life_us":5,"weight":1,"normalize":"none"},
            {"kind":"model","name":"ctr","features":["fresh","similarity.b","price"],"weight":1,"normalize":"none"}
        ]},
        "diversity":{"kind":"calibrated","attribute":"genre","strength":0.5},
        "caps":{"genre":3,"shop":2},
        "explore":{"kind":"thompson_sampling","weight":1,"replace":false,"draws":64,
            "posterior":{"kind":"beta","alpha":"wins","beta":"losses","prior":[1,1]},
            "scope":{"slots":[1],"only":{"new":true,"shop":"x"}}},
        "rules":[{"kind":"boost","where":{"shop":"x","tier":[1,2]},"by":1,"name":"sale"},
            {"kind":"hide","where":{"stock":{"to":0}}},{"kind":"hide","ids":[7]}]}"#;

    fn without(mask: &[&str]) -> PolicySpec {
        let mask: Vec<String> = mask.iter().map(|name| name.to_string()).collect();
        masked(Policy::parse(EVERYTHING).unwrap().spec(), &mask).unwrap()
    }

    fn signals(mask: &[&str]) -> Vec<String> {
        let left = without(mask).score.signals;
        left.iter()
            .map(|signal| signal.name().to_string())
            .collect()
    }

    #[test]
    fn names_of_every_part_are_read() {
        let policy = Policy::parse(EVERYTHING).unwrap();
        let names: Vec<&str> = names_read(policy.spec()).into_iter().collect();
        let all = "at ctr fresh genre losses new pop price sale shop similarity similarity.a similarity.b stock tier wins";
        assert_eq!(names.join(" "), all);
    }

    #[test]
    fn signals_go_with_what_they_read() {
        for (mask, left) in [
            ("pop", "similarity.a similarity.b fresh ctr"),
            ("similarity", "pop fresh"),
            ("similarity.a", "similarity.b pop fresh ctr"),
            ("similarity.b", "similarity.a pop fresh"),
            ("fresh", "similarity.a similarity.b pop"),
            ("at", "similarity.a similarity.b pop"),
            ("price", "similarity.a similarity.b pop fresh"),
            ("genre", "similarity.a similarity.b pop fresh ctr"),
        ] {
            assert_eq!(signals(&[mask]).join(" "), left, "{mask}");
        }
        assert_eq!(signals(&["similarity", "pop", "at"]).len(), 0);
    }

    #[test]
    fn other_parts_go_with_what_they_read() {
        let left = without(&["genre"]);
        assert_eq!(left.diversity, None);
        assert_eq!(left.caps.keys().collect::<Vec<_>>(), ["shop"]);
        assert!(left.explore.is_some());
        let left = without(&["shop"]);
        assert_eq!(left.caps.keys().collect::<Vec<_>>(), ["genre"]);
        let scope = left.explore.unwrap().scope().clone();
        assert_eq!(scope.slots, Some(vec![1]));
        assert_eq!(scope.only.unwrap().0.keys().collect::<Vec<_>>(), ["new"]);
        let scope = without(&["shop", "new"]).explore.unwrap().scope().clone();
        assert_eq!((scope.slots, scope.only), (Some(vec![1]), None));
        for (mask, left) in [
            ("sale", 2),
            ("shop", 2),
            ("tier", 2),
            ("stock", 2),
            ("pop", 3),
        ] {
            assert_eq!(without(&[mask]).rules.len(), left, "{mask}");
        }
        assert_eq!(without(&["tier", "stock"]).rules.len(), 1);
        assert_eq!(without(&["losses"]).explore, None);
        assert!(without(&["losses"]).diversity.is_some());
    }

    #[test]
    fn a_mask_that_nothing_reads_is_refused() {
        let policy = Policy::parse(EVERYTHING).unwrap();
        for mask in [vec![], vec!["pop".to_string(), "a".to_string()]] {
            let error = masked(policy.spec(), &mask).unwrap_err().to_string();
            assert!(error.starts_with("mask: expected names that the policy reads (\"at\", "));
            assert!(error.ends_with(if mask.is_empty() {
                "got none"
            } else {
                "got \"a\""
            }));
        }
    }
}

//! Short texts that say why an item is where it is, and why a slate is short.

use super::caps::Caps;
use super::policy::SignalSpec;
use super::request::Counts;
use super::rules;
use super::slate::Slate;
use super::slots::Slot;

/// Terms that a reason names.
const TERMS: usize = 3;

/// One text per slot.
pub(crate) fn reasons(slate: &Slate) -> Vec<String> {
    let masked = slate.masked();
    let of_all: Vec<String> = impersonal(slate)
        .map(str::to_string)
        .into_iter()
        .chain((!masked.is_empty()).then(|| format!("not allowed: {}", masked.join(", "))))
        .collect();
    (0..slate.len())
        .map(|slot| reason(slate, slot, &of_all))
        .collect()
}

fn reason(slate: &Slate, at: usize, of_all: &[String]) -> String {
    let slot = &slate.slots[at];
    // Terms of boosts come after those of signals.
    let signals = slate.term_names.len() - rules::boost_count(&slate.policy);
    let (names, boosts) = slate.term_names.split_at(signals);
    let (terms, boosted) = slate.terms_of(at).split_at(signals);
    let mut parts = vec![leading_terms(names, terms)];
    for (name, by) in boosts.iter().zip(boosted).filter(|(_, by)| **by != 0.0) {
        let what = if *by > 0.0 { "boosted" } else { "demoted" };
        parts.push(format!("{what} {by:+.3} ({name})"));
    }
    if slot.explored {
        parts.push(format!(
            "explored with probability {}{} instead of {}",
            if slot.estimate.is_some() {
                "about "
            } else {
                ""
            },
            probability(slot.propensity),
            slate.greedy_id(at)
        ));
    } else if slot.varied {
        parts.push("chosen for variety".into());
    }
    parts.extend(slate.outcome.why.get(at).cloned().flatten());
    parts.extend_from_slice(of_all);
    parts.join("; ")
}

/// The largest terms by magnitude, with their signs.
fn leading_terms(names: &[String], terms: &[f64]) -> String {
    let mut order: Vec<usize> = (0..terms.len()).filter(|&i| terms[i] != 0.0).collect();
    order.sort_by(|&a, &b| terms[b].abs().total_cmp(&terms[a].abs()).then(a.cmp(&b)));
    let shown: Vec<String> = order
        .iter()
        .take(TERMS)
        .map(|&i| format!("{} {:+.3}", names[i], terms[i]))
        .collect();
    if shown.is_empty() {
        "no signal speaks for or against it".into()
    } else {
        shown.join(", ")
    }
}

fn probability(p: f64) -> String {
    if p < 0.001 {
        format!("{p:.1e}")
    } else {
        format!("{p:.3}")
    }
}

/// Why no personal input was used, if none was.
fn impersonal(slate: &Slate) -> Option<&'static str> {
    let mut similarities = slate
        .policy
        .signals()
        .iter()
        .filter(|spec| matches!(spec, SignalSpec::Similarity { .. }))
        .peekable();
    if similarities.peek().is_none() {
        return Some("not personalised: the policy uses no similarity");
    }
    let used = similarities.any(|spec| slate.term_names.iter().any(|name| name == spec.name()));
    let masked = slate.asked.allow.is_some_and(|allow| !allow.profile);
    (!used).then_some(if masked {
        "not personalised: the request does not allow the profile"
    } else {
        "not personalised: no user vector was given"
    })
}

/// What is left without support.
pub(crate) fn support(slots: &[Slot]) -> Option<String> {
    let without = slots.iter().filter(|slot| slot.support < slot.eligible);
    match (without.count(), slots.len()) {
        (0, _) => None,
        (some, all) => Some(format!(
            "in {some} of {all} slots some eligible candidates have probability 0: the log of such slates \
             tells nothing of policies that would show them there"
        )),
    }
}

/// Why a slate has fewer items than asked for.
pub(crate) fn short(filled: usize, k: usize, counts: Counts, caps: &Caps<'_>) -> Option<String> {
    if filled >= k {
        return None;
    }
    let full = caps.describe_full();
    if filled < counts.eligible && !full.is_empty() {
        return Some(format!("caps leave no further item: {full}"));
    }
    if counts.live == 0 {
        return Some("there are no items".into());
    }
    let mut why = Vec::new();
    if counts.excluded > 0 {
        why.push(format!("{} excluded", counts.excluded));
    }
    if counts.filtered > 0 {
        why.push(format!("{} filtered", counts.filtered));
    }
    if counts.hidden > 0 {
        why.push(format!("{} hidden", counts.hidden));
    }
    let why = if why.is_empty() {
        String::new()
    } else {
        format!(" ({})", why.join(", "))
    };
    Some(match counts.eligible {
        0 => format!("no item is eligible{why}"),
        1 => format!("only 1 item is eligible{why}"),
        n => format!("only {n} items are eligible{why}"),
    })
}

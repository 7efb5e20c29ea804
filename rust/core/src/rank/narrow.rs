//! What a policy uses of what a request brings, and a request narrowed to that.
//!
//! A request that brings what its policy would ignore is refused (see `bind`). Where one request is for two
//! policies, or where a policy has lost some of its parts, each gets what is its own, so that its slate and its
//! record are those of a request made for it alone.

use std::collections::BTreeSet;

use crate::error::Result;

use super::bind::{bind_used, explore_names, Ask};
use super::policy::{DiversitySpec, Policy, SignalSpec};
use super::request::{Target, User};
use super::signals::Signals;
use super::source::Source;

/// Something that a request brings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Brought<'a> {
    /// The user's vector in a space.
    Vector(&'a str),
    /// Numbers per item.
    Signal(&'a str),
    /// A model.
    Model(&'a str),
    /// An outside list.
    List(&'a str),
    /// A target of shares.
    Target,
}

/// What a policy uses of a request, by name.
#[derive(Debug)]
pub(crate) struct Uses {
    vectors: BTreeSet<String>,
    signals: BTreeSet<String>,
    models: BTreeSet<String>,
    lists: BTreeSet<String>,
    target: bool,
    /// The scores that came with the candidates.
    pub(crate) scores: bool,
}

impl Uses {
    /// Finds the input of every signal, and with that what is used.
    pub(crate) fn of(source: &dyn Source, policy: &Policy, ask: &Ask<'_>) -> Result<Self> {
        let (_, used) = bind_used(source, policy, ask)?;
        let models = |spec: &SignalSpec| match spec {
            SignalSpec::Model { name, .. } => Some(name.clone()),
            _ => None,
        };
        let lists = |spec: &SignalSpec| match spec {
            SignalSpec::List { name, .. } => Some(name.clone()),
            _ => None,
        };
        Ok(Uses {
            vectors: used
                .spaces
                .iter()
                .map(|&space| source.spaces()[space].name.clone())
                .collect(),
            signals: used
                .signals
                .iter()
                .copied()
                .chain(explore_names(policy))
                .map(String::from)
                .collect(),
            models: policy.signals().iter().filter_map(models).collect(),
            lists: policy.signals().iter().filter_map(lists).collect(),
            target: matches!(
                policy.spec().diversity,
                Some(DiversitySpec::Calibrated { .. })
            ),
            scores: used.scores,
        })
    }

    /// Whether this is used.
    pub(crate) fn has(&self, what: Brought<'_>) -> bool {
        match what {
            Brought::Vector(space) => self.vectors.contains(space),
            Brought::Signal(name) => self.signals.contains(name),
            Brought::Model(name) => self.models.contains(name),
            Brought::List(name) => self.lists.contains(name),
            Brought::Target => self.target,
        }
    }
}

/// What is left of a request.
pub(crate) struct Narrowed {
    /// `None` where no vector is left.
    pub(crate) user: Option<User>,
    pub(crate) signals: Signals,
    pub(crate) target: Option<Target>,
}

impl Narrowed {
    /// What is kept of these.
    pub(crate) fn new(
        user: Option<&User>,
        signals: &Signals,
        target: Option<&Target>,
        keeps: impl Fn(Brought<'_>) -> bool,
    ) -> Self {
        // A user without any vector stays one, to be refused.
        let user = user.and_then(|user| {
            let kept: User = user
                .iter()
                .filter(|(space, _)| keeps(Brought::Vector(space)))
                .cloned()
                .collect();
            (!kept.is_empty() || user.is_empty()).then_some(kept)
        });
        Narrowed {
            user,
            signals: signals.only(
                |name| keeps(Brought::Signal(name)),
                |name| keeps(Brought::Model(name)),
                |name| keeps(Brought::List(name)),
            ),
            target: target.filter(|_| keeps(Brought::Target)).cloned(),
        }
    }
}

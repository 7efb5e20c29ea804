//! Consent: the categories of personal input that a request may use.
//!
//! What is not allowed is treated as if it had not been given, before anything looks at it, so a slate made without
//! a category cannot depend on it. A signal that is withheld is read from the attribute of its name; where there is
//! none it is missing for every item, and its term is 0: a consent that is withdrawn must not break a feed.

use serde::{Deserialize, Serialize};

use super::request::Request;

/// Which categories may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// What was seen: `exclude`.
    pub history: bool,
    /// The user's vectors, and the user's own target.
    pub profile: bool,
    /// The request's signals.
    pub signals: bool,
}

impl Allow {
    /// The names of what is withheld, sorted.
    pub fn masked(self) -> Vec<&'static str> {
        [
            ("history", self.history),
            ("profile", self.profile),
            ("signals", self.signals),
        ]
        .into_iter()
        .filter(|(_, allowed)| !allowed)
        .map(|(name, _)| name)
        .collect()
    }
}

/// The request without what it does not allow; `None` where it allows all that it has. The rows that may be shown are
/// the caller's to choose without a history that is withheld.
pub(crate) fn without_masked(request: &Request) -> Option<Request> {
    let allow = request.allow?;
    let mut kept = None;
    if !allow.profile && (request.user.is_some() || request.target.is_some()) {
        let kept = kept.get_or_insert_with(|| request.clone());
        kept.user = None;
        kept.target = None;
    }
    if !allow.signals {
        let kept = kept.get_or_insert_with(|| request.clone());
        kept.signals = std::sync::Arc::new(request.signals.withheld());
    }
    kept
}

//! A shadow: a second policy that ranks the same request, whose slate nobody is shown.
//!
//! Both rank from one state of the source, with one seed and request id, so draws of the same place are the same
//! numbers. Either gets what it uses of the request: the slate that is shown, and its record, are those of a
//! request without a shadow. What neither uses stays with the policy that serves, which refuses it.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::threads;

use super::allow::without_masked;
use super::bind::{space_of_bare_vector, Ask};
use super::narrow::{Narrowed, Uses};
use super::policy::Policy;
use super::request::Request;
use super::slate::Slate;
use super::source::Source;
use super::{about, in_batch, rank_given, Given};

/// Ranks one request by two policies: the slate to show, and the shadow's.
///
/// What is wrong with the shadow is an error too, and begins with `shadow: `.
pub fn rank_beside(
    source: &dyn Source,
    policy: &Arc<Policy>,
    shadow: &Arc<Policy>,
    request: &Request,
) -> Result<(Slate, Slate)> {
    let masked = without_masked(request);
    let request = masked.as_ref().unwrap_or(request);
    let ask = Ask {
        user: request.user.as_deref(),
        signals: &request.signals,
        at: request.at,
        answers_recorded: false,
        scores_may_idle: true,
    };
    let of_shadow = |error| about("shadow", error);
    let ours = Uses::of(source, policy, &ask)?;
    let theirs = Uses::of(source, shadow, &ask).map_err(of_shadow)?;
    let (user, target) = (request.user.as_ref(), request.target.as_ref());
    let served = Narrowed::new(user, &request.signals, target, |what| {
        ours.has(what) || !theirs.has(what)
    });
    let second = Narrowed::new(user, &request.signals, target, |what| theirs.has(what));
    let slate = rank_given(source, policy, request, &given(&served, theirs.scores))?;
    let other =
        rank_given(source, shadow, request, &given(&second, ours.scores)).map_err(of_shadow)?;
    Ok((slate, other))
}

fn given(narrowed: &Narrowed, scores_may_idle: bool) -> Given<'_> {
    Given {
        user: narrowed.user.as_ref(),
        signals: &narrowed.signals,
        target: narrowed.target.as_ref(),
        scores_may_idle,
        hidden: None,
    }
}

/// Ranks many requests by two policies on up to `threads` threads, as [`rank_beside`] does each.
pub fn rank_many_beside(
    source: &dyn Source,
    policy: &Arc<Policy>,
    shadow: &Arc<Policy>,
    requests: &[Request],
    threads: usize,
) -> Result<Vec<(Slate, Slate)>> {
    let pairs = threads::map(
        threads,
        requests,
        || (),
        |(), request| rank_beside(source, policy, shadow, request),
    )?;
    in_batch(pairs)
}

/// The space that a bare user vector is for, where it is for two policies: that of the one that has one.
pub fn space_of_bare_vector_beside(
    source: &dyn Source,
    policy: &Policy,
    shadow: &Policy,
) -> Result<usize> {
    match (
        space_of_bare_vector(source, policy),
        space_of_bare_vector(source, shadow),
    ) {
        (Ok(ours), Ok(theirs)) if ours != theirs => {
            let name = |space: usize| format!("{:?}", source.spaces()[space].name);
            Err(Error::invalid(
                "user",
                format!(
                    "{{space: vector}} with the spaces {} of the policy and {} of its shadow",
                    name(ours),
                    name(theirs)
                ),
                "one vector without a space",
            ))
        }
        (Ok(space), _) | (Err(_), Ok(space)) => Ok(space),
        (Err(error), Err(_)) => Err(error),
    }
}

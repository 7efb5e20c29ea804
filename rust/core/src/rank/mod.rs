//! Ranking: from a user's vector to a slate with reasons and exact propensities.
//!
//! Each file holds one idea. A request runs through them in this order:
//!
//! 1. `policy` (what is wanted, validated once) with `rules/` and `predicate` (what holds beside the
//!    score), `request`, `interests`, `signals`, `model` and `lists` (who asks, and what they bring),
//!    `allow` (what of it may be used), `bind` (every signal finds its input, and nothing is ignored);
//! 2. `pool` (retrieval through the [`Source`] seam), `blend` (normalised terms that add up exactly);
//! 3. `slots` (the loop over slots), which asks `caps` (what may still be shown), `mask` (what must
//!    be), `diversity` (what is best given the slots above) with `soft_caps` (what too much of one thing costs), and `explore/`
//!    with `rng` (what is drawn, and how likely it was);
//! 4. `slate` and `reasons` (the result), `origin` (what it was made from), `record` and `replay` (the same slate again, bit for bit).
//!
//! `budget` lowers how far retrieval, the pool and diversity go for a request that has little time.
//!
//! `beside` ranks one request by two policies, each with its share of it (`narrow`). `counterfactual` ranks a
//! recorded pool by what is left of its policy without some names (`without`).
//!
//! Everything here is a pure function of the source's content, the policy and the request. Ties are
//! ordered by id, so nothing depends on the order of rows, on hashes or on threads.

mod allow;
mod beside;
mod bind;
pub mod blend;
pub mod budget;
mod candidates;
pub mod caps;
mod counterfactual;
pub mod diversity;
mod engine;
pub mod explore;
mod interests;
mod lists;
mod mask;
mod model;
mod narrow;
mod normalize;
mod origin;
pub mod policy;
mod pool;
pub mod predicate;
mod reasons;
mod record;
mod record_text;
mod record_user;
mod record_withheld;
mod replay;
mod request;
pub mod rng;
pub mod rules;
mod signals;
mod slate;
pub mod slots;
mod soft_caps;
mod source;
mod timing;
mod unused;
mod without;

use std::sync::Arc;

use crate::eligible::RowSet;
use crate::error::{Error, Result};
use crate::threads;

pub use crate::select::Where;
pub use allow::Allow;
pub use beside::{rank_beside, rank_many_beside, space_of_bare_vector_beside};
pub use bind::space_of_bare_vector;
pub(crate) use bind::{explore_names, space_index};
pub use budget::{Budget, Lowered};
pub(crate) use candidates::retrieve_given;
pub use candidates::{unnamed_space, Candidates};
pub use counterfactual::counterfactual;
pub use interests::{Combine, Interests, Taste};
pub use lists::{List, ListCounts, ListsCounts};
pub use mask::Outcome;
pub use model::Predict;
pub use origin::{Origin, OriginSpace, Packed};
pub use policy::Policy;
pub use record::{record_json, record_json_of, UserVectors, SCHEMA as RECORD_SCHEMA};
pub use replay::{replay, replay_with, Personal};
pub use request::{Counts, Eligibility, Pins, Request, Target, User};
pub use signals::Signals;
pub use slate::{Asked, PoolTrace, Slate};
pub use slots::Slot;
pub use source::{Path, Retrieved, Source, SpaceInfo};
pub use timing::{Clock, Stage, Timings};
pub(crate) use without::attributes_read;

/// Ranks one request.
///
/// A slate has `min(k, eligible)` items, or fewer where caps forbid more; then it says why.
/// Time: the retrieval, then O(pool signals + k pool dim).
pub fn rank(source: &dyn Source, policy: &Arc<Policy>, request: &Request) -> Result<Slate> {
    let masked = allow::without_masked(request);
    let request = masked.as_ref().unwrap_or(request);
    rank_given(source, policy, request, &Given::all(request))
}

/// What a policy is given of a request.
struct Given<'a> {
    user: Option<&'a User>,
    signals: &'a Signals,
    target: Option<&'a Target>,
    scores_may_idle: bool,
    /// What the policy hides, where somebody has worked it out already.
    hidden: Option<&'a RowSet>,
}

impl<'a> Given<'a> {
    /// Everything.
    fn all(request: &'a Request) -> Self {
        Given {
            user: request.user.as_ref(),
            signals: &request.signals,
            target: request.target.as_ref(),
            scores_may_idle: false,
            hidden: None,
        }
    }
}

/// Ranks a request with its share of what it brings.
fn rank_given(
    source: &dyn Source,
    policy: &Arc<Policy>,
    request: &Request,
    given: &Given<'_>,
) -> Result<Slate> {
    let clock = Clock::start();
    if request.k == 0 {
        return Err(Error::invalid("k", "at least 1", 0));
    }
    if request.allow.is_some_and(|allow| !allow.history) && request.eligible.counts.excluded > 0 {
        return Err(Error::invalid(
            "eligible",
            "rows chosen without the history that is not allowed",
            format!("{} excluded", request.eligible.counts.excluded),
        ));
    }
    let ask = bind::Ask {
        user: given.user.map(Vec::as_slice),
        signals: given.signals,
        at: request.at,
        answers_recorded: false,
        scores_may_idle: given.scores_may_idle,
    };
    let bound = bind::bind(source, policy, &ask)?;
    let inputs = bind::explore_inputs(source, policy, given.signals)?;
    let boosts = rules::boosts(source, policy)?;
    let worked_out;
    let hidden = match given.hidden {
        Some(hidden) => hidden,
        None => {
            worked_out = rules::hidden(source, policy)?;
            &worked_out
        }
    };
    let shown = (!hidden.is_empty()).then(|| request.eligible.without(hidden));
    let eligible = shown.as_ref().unwrap_or(&request.eligible);
    let mut live = pool::Live::new(source, &bound, &boosts, &eligible.rows);
    let mut budget = None;
    if let Some(us) = request.budget_us {
        let pool = policy.pool_size(request.k)?;
        let eligible = eligible.rows.len();
        let ranking = budget::Ranking::new(source, policy, &bound, request.k, pool, eligible);
        let (planned, extent) = budget::plan(&ranking, us)?;
        live.narrow(extent.parts);
        budget = Some(planned);
    }
    let asked = Asked {
        user: given.user.cloned(),
        k: request.k,
        at: request.at,
        seed: request.seed,
        request_id: request.request_id.clone(),
        counts: eligible.counts,
        target: given.target.cloned(),
        lists: given.signals.list_counts(&eligible.rows),
        pins: request.pins.clone(),
        allow: request.allow,
        budget,
        route: request.route.clone(),
    };
    engine::run(
        source, policy, &bound, &boosts, &inputs, asked, &mut live, clock,
    )
}

/// Ranks many requests on up to `threads` threads. The slates are those of [`rank`], in order; when
/// some fail, the error is that of the first of them.
pub fn rank_many(
    source: &dyn Source,
    policy: &Arc<Policy>,
    requests: &[Request],
    threads: usize,
) -> Result<Vec<Slate>> {
    let hidden = rules::hidden(source, policy)?;
    let slates = threads::map(
        threads,
        requests,
        || (),
        |(), request| {
            let masked = allow::without_masked(request);
            let request = masked.as_ref().unwrap_or(request);
            let given = Given {
                hidden: Some(&hidden),
                ..Given::all(request)
            };
            rank_given(source, policy, request, &given)
        },
    )?;
    in_batch(slates)
}

/// The results of a batch, or the error of the first that failed, which says which it was.
fn in_batch<T>(results: Vec<Result<T>>) -> Result<Vec<T>> {
    results
        .into_iter()
        .enumerate()
        .map(|(i, result)| result.map_err(|error| about(&format!("request {i}"), error)))
        .collect()
}

/// Says which part of a call an error is about.
fn about(what: &str, error: Error) -> Error {
    match error {
        Error::Invalid {
            argument,
            expected,
            got,
        } => Error::Invalid {
            argument: format!("{what}: {argument}"),
            expected,
            got,
        },
        Error::Type {
            argument,
            expected,
            got,
        } => Error::Type {
            argument: format!("{what}: {argument}"),
            expected,
            got,
        },
        other => other,
    }
}

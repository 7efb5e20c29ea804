//! What a recorded slate would have been without some signals or attributes.
//!
//! The record is replayed, and refused where it does not replay. Then the same pool is ranked once more by what is
//! left of the policy without the parts that read a masked name (see `without`), with the same moment, seed and
//! request id, so that draws of the same place are the same numbers. The pool stays the recorded one, with its
//! deepenings: a masked name that had its say in retrieval has had it here too, and where the remaining caps leave
//! no further item of that pool, the slate is short.

use std::sync::Arc;

use crate::error::Result;

use super::bind::Ask;
use super::narrow::{Narrowed, Uses};
use super::policy::Policy;
use super::replay;
use super::request::User;
use super::slate::{Asked, Slate};
use super::source::Source;
use super::without::masked;

/// The slate of a record, and what it would have been with these names masked.
///
/// `user` as for [`super::replay`]. A record that cannot be replayed is an [`crate::error::Error::Replay`]; a mask
/// with a name that no part of the policy reads is refused. The counterfactual slate has the masked policy and the
/// inputs that this one uses.
pub fn counterfactual(
    json: &str,
    source: &dyn Source,
    user: Option<User>,
    mask: &[String],
) -> Result<(Slate, Slate)> {
    let (recorded, served) = replay::read(json, source, user)?;
    let policy = Arc::new(Policy::unchecked(masked(recorded.policy.spec(), mask)?)?);
    let asked = &recorded.asked;
    let ask = Ask {
        user: asked.user.as_deref(),
        signals: &recorded.signals,
        at: asked.at,
        answers_recorded: true,
        scores_may_idle: true,
    };
    let uses = Uses::of(source, &policy, &ask)?;
    let (user, target) = (asked.user.as_ref(), asked.target.as_ref());
    let left = Narrowed::new(user, &recorded.signals, target, |what| uses.has(what));
    let asked = Asked {
        user: left.user,
        target: left.target,
        ..asked.clone()
    };
    let slate = recorded.rank(source, &policy, asked, &left.signals)?;
    Ok((served, slate))
}

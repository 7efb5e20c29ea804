//! Ranking and replaying whatever holds items: a catalog, or a capsule.

use std::sync::Arc;
use std::time::Instant;

use perso_core::rank::{self, Policy, Source};

use super::profile::{self, Locked};
use super::slate::Ranked;
use crate::border::Failure;
use crate::request;

/// Ranks one request.
pub(super) fn ranked_by(
    source: &dyn Source,
    policy: &Arc<Policy>,
    profile: Option<&Locked>,
    request: &str,
    start: Instant,
) -> Result<Ranked, Failure> {
    let request = {
        let profile = profile.map(profile::lock).transpose()?;
        request::parse(request, source, policy, profile.as_deref())?
    };
    let filter_us = start.elapsed().as_secs_f64() * 1e6;
    let slate = rank::rank(source, policy, &request)?;
    Ok(Ranked::new(slate, source.content_hash(), filter_us))
}

/// Makes the slate of a record again.
#[cfg(feature = "replay")]
pub(super) fn replayed(
    source: &dyn Source,
    record: &str,
    personal: Option<&str>,
) -> Result<Ranked, Failure> {
    let personal = personal.map(|json| request::parse_personal(json, source));
    let personal = personal.transpose()?.unwrap_or_default();
    let slate = rank::replay_with(record, source, personal)?;
    Ok(Ranked::new(slate, source.content_hash(), 0.0))
}

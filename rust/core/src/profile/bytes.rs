//! A profile as bytes, for the key-value store it lives in between requests.
//!
//! ```text
//! 0   8   magic "PERSOPRO"
//! 8   4   format version (u32, little endian, as every number)
//! 12  4   dim
//! 16  32  SHA-256 of the plan's canonical form
//! 48  4   number of kinds
//! 52  4   prior: 0 none, 1 the user's base, 2 a population's
//! 56  8   moment of the latest event (i64, microseconds since the epoch; 0 without events)
//! 64  24  evidence of the short term, the long term, the negative events (f64)
//! 88      events by kind, in the order of the kinds' names (u64)
//!         sums of the short term, the long term, the negative events (dim f64 each)
//!         the prior (dim f32), where there is one
//!         CRC-32 of all that
//! ```
//!
//! The length follows from the header and is checked before anything is allocated. Numbers that no events could have led
//! to are refused, so that whatever is read can be ranked with.

use std::sync::Arc;

use crate::error::{Error, Result};

use super::plan::{Plan, HEAVIEST};
use super::state::{check, Prior, Profile, Sum, MOST_DIM};

const MAGIC: [u8; 8] = *b"PERSOPRO";
const VERSION: u32 = 1;
const HEADER: usize = 88;
const CHECKSUM: usize = 4;
/// Room for rounding in what is checked: more than any number of events could use up.
const SLACK: f64 = 1.001;

impl Profile {
    /// The state as bytes: the same events in the same order give the same bytes on every platform.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (which, prior): (u32, &[f32]) = match &self.prior {
            None => (0, &[]),
            Some(Prior::Base(vector)) => (1, vector),
            Some(Prior::Population(vector)) => (2, vector),
        };
        let kinds = self.counts.len();
        let mut out = Vec::with_capacity(size(self.dim(), kinds, which > 0));
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend((self.dim() as u32).to_le_bytes());
        out.extend(self.plan.digest());
        out.extend((kinds as u32).to_le_bytes());
        out.extend(which.to_le_bytes());
        out.extend(self.latest.to_le_bytes());
        let sums = [&self.short, &self.long, &self.negative];
        for sum in sums {
            out.extend(sum.evidence.to_le_bytes());
        }
        for count in &self.counts {
            out.extend(count.to_le_bytes());
        }
        for component in sums.into_iter().flat_map(|sum| &sum.of) {
            out.extend(component.to_le_bytes());
        }
        for component in prior {
            out.extend(component.to_le_bytes());
        }
        out.extend(crc32fast::hash(&out).to_le_bytes());
        out
    }

    /// The state that [`Profile::to_bytes`] wrote under the same plan.
    pub fn from_bytes(bytes: &[u8], plan: Arc<Plan>) -> Result<Self> {
        let mut rest = bytes;
        if take(&mut rest)? != MAGIC {
            return Err(bad("these bytes are not a profile"));
        }
        let version = u32::from_le_bytes(take(&mut rest)?);
        if version != VERSION {
            return Err(bad(format!(
                "a profile of format version {version}; this library reads version {VERSION}"
            )));
        }
        let dim = u32::from_le_bytes(take(&mut rest)?) as usize;
        let digest: [u8; 32] = take(&mut rest)?;
        let kinds = u32::from_le_bytes(take(&mut rest)?) as usize;
        let which = u32::from_le_bytes(take(&mut rest)?);
        if !(1..=MOST_DIM).contains(&dim) || which > 2 {
            return Err(bad("a damaged profile: its header makes no sense"));
        }
        let whole = size(dim, kinds.min(1 << 20), which > 0);
        if bytes.len() != whole {
            return Err(bad(format!(
                "a damaged profile: {} bytes, its header speaks of {whole}",
                bytes.len()
            )));
        }
        let (covered, checksum) = bytes.split_at(whole - CHECKSUM);
        if checksum != crc32fast::hash(covered).to_le_bytes() {
            return Err(bad("a damaged profile: its checksum does not hold"));
        }
        if digest != *plan.digest() || kinds != plan.spec().kinds.len() {
            return Err(bad(
                "a profile of another plan: its events were weighed and decayed otherwise",
            ));
        }
        let latest = i64::from_le_bytes(take(&mut rest)?);
        let mut evidence = [0.0; 3];
        for number in &mut evidence {
            *number = f64::from_le_bytes(take(&mut rest)?);
        }
        let mut counts = vec![0; kinds];
        for count in &mut counts {
            *count = u64::from_le_bytes(take(&mut rest)?);
        }
        let mut sums = evidence.map(|evidence| Sum {
            of: Vec::with_capacity(dim),
            evidence,
        });
        for sum in &mut sums {
            for _ in 0..dim {
                sum.of.push(f64::from_le_bytes(take(&mut rest)?));
            }
        }
        let mut prior = Vec::new();
        for _ in 0..if which > 0 { dim } else { 0 } {
            prior.push(f32::from_le_bytes(take(&mut rest)?));
        }
        let [short, long, negative] = sums;
        let profile = Profile {
            plan,
            prior: match which {
                0 => None,
                1 => Some(Prior::Base(prior)),
                _ => Some(Prior::Population(prior)),
            },
            latest,
            counts,
            short,
            long,
            negative,
        };
        profile.check()?;
        Ok(profile)
    }

    /// Refuses what no events could have led to.
    fn check(&self) -> Result<()> {
        let events = self.events();
        let most = HEAVIEST * events as f64 * SLACK;
        for sum in [&self.short, &self.long, &self.negative] {
            // Written so that a NaN does not pass. Rounding in the last place is all there is among subnormals.
            let bound = sum.evidence * SLACK + f64::MIN_POSITIVE;
            let squares = sum.of.iter().map(|x| (x / bound) * (x / bound));
            let held = (0.0..=most).contains(&sum.evidence)
                && squares.sum::<f64>() <= 1.0
                && (events > 0 || sum.of.iter().all(|&x| x == 0.0));
            if !held {
                return Err(bad("a damaged profile: sums that no events lead to"));
            }
        }
        let contained = self.long.evidence * SLACK + f64::MIN_POSITIVE;
        if self.negative.evidence > contained || (events == 0 && self.latest != 0) {
            return Err(bad("a damaged profile: sums that no events lead to"));
        }
        match &self.prior {
            None => Ok(()),
            Some(prior) => check(prior.argument(), self.dim(), prior.vector())
                .map_err(|error| bad(format!("a damaged profile: {error}"))),
        }
    }
}

/// Bytes of a whole profile.
fn size(dim: usize, kinds: usize, prior: bool) -> usize {
    HEADER + 8 * kinds + 3 * 8 * dim + if prior { 4 * dim } else { 0 } + CHECKSUM
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N]> {
    let (head, tail) = rest
        .split_first_chunk::<N>()
        .ok_or_else(|| bad("a damaged profile: it is cut short"))?;
    *rest = tail;
    Ok(*head)
}

fn bad(message: impl Into<String>) -> Error {
    Error::format(message)
}

//! Diversity: how good each candidate is for the next slot, given the slots above it.

mod basis;
mod calibrated;
mod dpp;
mod dpp_window;
mod lanes;
mod lazy;
mod mmr;
mod plain;
mod residual;
mod ring;
mod rounded;
mod scale;
mod spread;

pub use calibrated::Calibrated;
pub use dpp::Dpp;
pub use dpp_window::WindowedDpp;
pub use mmr::Mmr;
pub use spread::Spread;

use crate::error::{Error, Result};
use crate::metric::Metric;

use super::bind::space_index;
use super::policy::{validate_target, DiversitySpec};
use super::request::Target;
use super::source::Source;

/// A greedy objective over a pool that may grow.
pub trait Diversity {
    /// Takes in the pool's entries from `first` on: with `first` 0 to begin with, and again after each
    /// deepening.
    fn extend(&mut self, rows: &[u32], scores: &[f64], first: usize);

    /// How good an entry is for the next slot.
    fn value(&mut self, entry: u32) -> f64;

    /// Appends the values of some entries, for an explorer that reads them all.
    fn values(&mut self, open: &[u32], out: &mut Vec<f64>) {
        out.extend(open.iter().map(|&entry| self.value(entry)));
    }

    /// An entry was chosen for a slot.
    fn chosen(&mut self, entry: u32);

    /// An entry that was open cannot be chosen in any further slot; one that was chosen is closed without this.
    /// Not for an entry that a mask keeps out of some slots only.
    fn closed(&mut self, _entry: u32) {}

    /// The position in `open`, which is ordered by (score descending, id), of the best entry. Equal
    /// values go to the one that comes first.
    ///
    /// Each slot's first call is with all that is open; others with a part of it may follow, for a choice among
    /// some of the entries. What is prepared for all in the first call after [`Diversity::extend`] is so for all
    /// indeed, and a shorter `open` is known to be a part.
    /// A slot whose item is given has no call, and that item may never have been open.
    fn best(&mut self, open: &[u32]) -> usize {
        let mut best = 0;
        let mut best_value = f64::NEG_INFINITY;
        for (position, &entry) in open.iter().enumerate() {
            let value = self.value(entry);
            if value > best_value {
                (best, best_value) = (position, value);
            }
        }
        best
    }
}

/// No diversity: the best score.
#[derive(Clone, Debug, Default)]
pub struct Relevance {
    scores: Vec<f64>,
}

impl Diversity for Relevance {
    fn extend(&mut self, _: &[u32], scores: &[f64], first: usize) {
        self.scores.extend_from_slice(&scores[first..]);
    }

    fn value(&mut self, entry: u32) -> f64 {
        self.scores[entry as usize]
    }

    fn chosen(&mut self, _: u32) {}

    fn best(&mut self, _: &[u32]) -> usize {
        0
    }
}

/// The objective that a policy asks for. A strength of 0 is the order of the scores, whatever the kind;
/// names that do not exist are errors all the same. `wanted` is the request's own target, which goes before
/// the policy's.
pub(crate) fn from_spec<'a>(
    source: &'a dyn Source,
    spec: Option<&DiversitySpec>,
    wanted: Option<&Target>,
) -> Result<Box<dyn Diversity + 'a>> {
    if let Some(wanted) = wanted {
        if !matches!(spec, Some(DiversitySpec::Calibrated { .. })) {
            return Err(Error::invalid(
                "target",
                "None, because the policy has no Calibrated that would aim at it",
                format!("shares of {} values", wanted.len()),
            ));
        }
        validate_target(wanted)?;
    }
    let Some(spec) = spec else {
        return Ok(Box::new(Relevance::default()));
    };
    let compared = |diversity: f64, space: &Option<String>| {
        let space = match space {
            Some(name) => Some(space_index(source, name)?),
            None => default_space(source),
        };
        match space {
            // Nothing is compared, so no space is needed.
            _ if diversity == 0.0 => Ok(None),
            Some(space) => Ok(Some(space)),
            None => Err(Error::invalid(
                "diversity",
                "a source with vectors to compare items by",
                "candidates without vectors",
            )),
        }
    };
    let window = |window: i64| usize::try_from(window).unwrap_or(usize::MAX);
    let chosen: Option<Box<dyn Diversity + 'a>> = match spec {
        DiversitySpec::Mmr { diversity, space } => compared(*diversity, space)?
            .map(|space| Box::new(Mmr::new(source, space, *diversity)) as _),
        DiversitySpec::Dpp {
            diversity,
            space,
            window: None,
        } => compared(*diversity, space)?
            .map(|space| Box::new(Dpp::new(source, space, *diversity)) as _),
        DiversitySpec::Dpp {
            diversity,
            space,
            window: Some(slots),
        } => compared(*diversity, space)?.map(|space| {
            Box::new(WindowedDpp::new(source, space, *diversity, window(*slots))) as _
        }),
        DiversitySpec::Spread {
            diversity,
            window: slots,
            space,
        } => compared(*diversity, space)?
            .map(|space| Box::new(Spread::new(source, space, *diversity, window(*slots))) as _),
        DiversitySpec::Calibrated {
            attribute,
            strength,
            target,
        } => {
            let column = source
                .column(attribute)
                .ok_or_else(|| Error::missing("attribute", format!("{attribute:?}")))?;
            if !column.kind().is_countable() {
                return Err(Error::wrong_type(
                    "attribute",
                    "a bool, int, str or list[str] attribute",
                    format!("{attribute:?}, a {} attribute", column.kind()),
                ));
            }
            let calibrated = Calibrated::new(column, *strength, wanted.or(target.as_ref()))?;
            (*strength > 0.0).then(|| Box::new(calibrated) as _)
        }
    };
    Ok(chosen.unwrap_or_else(|| Box::new(Relevance::default())))
}

/// The same without what it costs to compare: relevance alone.
pub(crate) fn relevance_of(spec: &DiversitySpec) -> Box<dyn Diversity> {
    match spec.strength() {
        0.0 => Box::new(Relevance::default()),
        strength => Box::new(plain::Plain::new(strength)),
    }
}

/// The space that an objective compares items in; `None` where it compares none, or there is none.
pub(crate) fn space_of(source: &dyn Source, spec: &DiversitySpec) -> Result<Option<usize>> {
    match spec {
        DiversitySpec::Mmr { space, .. }
        | DiversitySpec::Dpp { space, .. }
        | DiversitySpec::Spread { space, .. } => match space {
            Some(name) => space_index(source, name).map(Some),
            None => Ok(default_space(source)),
        },
        DiversitySpec::Calibrated { .. } => Ok(None),
    }
}

/// The first cosine space, else the first.
fn default_space(source: &dyn Source) -> Option<usize> {
    let spaces = source.spaces();
    spaces
        .iter()
        .position(|space| space.metric == Metric::Cosine)
        .or(if spaces.is_empty() { None } else { Some(0) })
}

//! What a ranking is predicted to take: a sum over its stages of counts times prices.
//!
//! Counted are rows, components, bytes, the pool, the slots and the breadth of walks; not counted are what comes before
//! (filters, `exclude`) and what code of the caller's own takes (models). Deepenings are not foreseen.

use crate::price::{gathered, log2, sorted};
use crate::rank::bind::{Bound, Input};
use crate::rank::diversity::space_of;
use crate::rank::explore::ExploreSpec;
use crate::rank::policy::{DiversitySpec, Normalize, Policy};
use crate::rank::source::Source;

use super::{tenth, Extent, Lowered};
use crate::price::WHOLE;

// --- prices, in nanoseconds ---------------------------------------------------------------------------

/// A call whatever it does.
const CALL: f64 = 4_000.0;
/// A candidate: put in order of ids and of scores, kept, and copied into the slate.
const ENTRY: f64 = 60.0;
/// A term: rounded, added up.
const TERM: f64 = 6.0;
/// A value of an attribute, a signal, a list.
const VALUE: f64 = 8.0;
/// A decay.
const DECAY: f64 = 20.0;
/// A place among the values of the pool, for each binary digit of their number.
const PLACE: f64 = 6.0;
/// An exponential.
const EXP: f64 = 18.0;
/// A key that a cap counts, of each candidate.
const KEY: f64 = 20.0;
/// A slot.
const SLOT: f64 = 300.0;
/// A candidate that is open, in each slot.
const OPEN: f64 = 0.6;

/// A row without a user: its blend alone, and the choice of the best.
const PREFERENCE: f64 = 20.0;

/// A candidate rounded and packed for bounds, and each of its components.
const ROUND: f64 = 40.0;
const ROUND_COMPONENT: f64 = 0.6;
/// A component in a slot, by bounds.
const BOUND: f64 = 0.02;
/// A candidate whose bound is looked at in a slot.
const BOUNDED: f64 = 0.3;
/// Cosines that MMR and DPP ask for in a slot, whatever the pool.
const NEAREST: f64 = 10.0;
/// Of a pool, what the lazy choice of a window brings up to date in a slot.
const STALE: f64 = 0.3;
/// An earlier slot, of a candidate whose direction is worked out.
const DIRECTION: f64 = 1.0;
/// A candidate of a calibrated slate in a slot.
const SHARE: f64 = 15.0;

/// A candidate whose value an explorer reads.
const READ: f64 = 4.0;
/// A point of a distribution function.
const POINT: f64 = 20.0;

// ------------------------------------------------------------------------------------------------------

/// A ranking, by its counts.
pub(crate) struct Ranking<'a> {
    source: &'a dyn Source,
    policy: &'a Policy,
    pub(super) k: usize,
    /// The pool that the policy wants, as far as there are eligible rows.
    pool: usize,
    eligible: usize,
    /// Spaces that candidates are retrieved from, each with its queries.
    searches: Vec<(usize, usize)>,
    /// Rows of outside lists.
    listed: usize,
    /// Nanoseconds to blend a row: of the pool, and of all eligible ones where none retrieve.
    blended: f64,
    /// Normalisers that look a value up among the pool's.
    places: f64,
}

impl<'a> Ranking<'a> {
    /// Counts.
    pub(crate) fn new(
        source: &'a dyn Source,
        policy: &'a Policy,
        bound: &[Bound<'_>],
        k: usize,
        pool: usize,
        eligible: usize,
    ) -> Self {
        let mut ranking = Ranking {
            source,
            policy,
            k: k.min(eligible),
            pool: pool.min(eligible),
            eligible,
            searches: Vec::new(),
            listed: 0,
            blended: 0.0,
            places: 0.0,
        };
        let mut lists = 0;
        for one in bound.iter().filter(|one| one.retrieves()) {
            lists += 1;
            match one.input {
                Input::List(_) => ranking.listed += 1,
                Input::Similarity { space, query } => {
                    let queries = query.queries(source.spaces()[space].metric).len();
                    lists += queries - 1;
                    ranking.searches.push((space, queries));
                }
                _ => ranking.searches.push((0, 1)),
            }
        }
        for one in bound {
            ranking.blended += TERM
                + match one.input {
                    // Retrieval has worked out the scores of a single list.
                    Input::Similarity { .. } if lists == 1 && one.retrieves() => VALUE,
                    Input::Similarity { space, query } => {
                        let bytes = source.row_bytes(space) as f64;
                        query.vectors().count() as f64 * gathered(bytes)
                    }
                    Input::Decay { .. } => DECAY,
                    _ => VALUE,
                };
            match one.spec.normalize() {
                Normalize::Rank | Normalize::Rrf { .. } => ranking.places += 1.0,
                Normalize::Sigmoid { .. } => ranking.blended += EXP,
                Normalize::Percentiles { at } => ranking.blended += PLACE * log2(at.len()),
                _ => {}
            }
        }
        ranking.blended += TERM * policy.spec().rules.len() as f64;
        ranking
    }

    /// All of the policy.
    pub(super) fn whole(&self) -> Extent {
        let diversity = self.policy.spec().diversity.as_ref();
        Extent {
            parts: WHOLE,
            pool: self.pool,
            diversity: diversity.is_some_and(|spec| spec.strength() > 0.0),
        }
    }

    /// The kind of its diversity.
    pub(super) fn diversity(&self) -> &'static str {
        let diversity = self.policy.spec().diversity.as_ref();
        diversity.map_or("none", DiversitySpec::kind)
    }

    /// Whether a walk of retrieval could be narrower.
    pub(super) fn walks(&self, pool: usize) -> bool {
        let walk = |space| self.source.outlook(space, pool, self.eligible, WHOLE).ef;
        self.searches
            .iter()
            .any(|&(space, _)| walk(space).is_some())
    }

    /// What narrower walks save.
    pub(super) fn narrowed(&self, pool: usize, parts: usize) -> Vec<Lowered> {
        let mut out = Vec::new();
        for &(space, queries) in &self.searches {
            let look = |parts| self.source.outlook(space, pool, self.eligible, parts);
            let (before, after) = (look(WHOLE), look(parts));
            if let (Some(from), Some(to)) = (before.ef, after.ef) {
                if to < from {
                    out.push(Lowered::Ef {
                        space: self.source.spaces()[space].name.clone(),
                        from: from as u64,
                        to: to as u64,
                        saves_us: tenth((before.ns - after.ns) * queries as f64 / 1e3),
                    });
                }
            }
        }
        out
    }

    /// Microseconds that so much of it is predicted to take.
    pub(super) fn us(&self, extent: Extent) -> f64 {
        let pool = extent.pool;
        let slots = self.k.min(pool) as f64;
        let mut ns = CALL + self.retrieval(extent) + self.blend(pool);
        let keys = self.policy.spec().caps.len() as f64;
        ns += pool as f64 * (ENTRY + KEY * keys) + sorted(pool);
        ns += slots * (SLOT + pool as f64 * OPEN * (1.0 + keys));
        let diversity = self.policy.spec().diversity.as_ref();
        if let Some(spec) = diversity.filter(|_| extent.diversity) {
            ns += self.compared(spec, pool, slots);
        }
        ns += self.explored(pool, slots, extent.diversity);
        ns / 1e3
    }

    fn retrieval(&self, extent: Extent) -> f64 {
        let (pool, eligible) = (extent.pool, self.eligible);
        if self.searches.is_empty() && self.listed == 0 {
            return eligible as f64 * (PREFERENCE + self.blended)
                + eligible as f64 * PLACE * self.places * log2(eligible);
        }
        let searches = self.searches.iter().map(|&(space, queries)| {
            let outlook = self.source.outlook(space, pool, eligible, extent.parts);
            queries as f64 * outlook.ns
        });
        searches.sum::<f64>() + (self.listed * pool) as f64 * VALUE
    }

    fn blend(&self, pool: usize) -> f64 {
        pool as f64 * (self.blended + PLACE * self.places * log2(pool))
    }

    /// What comparing items takes.
    fn compared(&self, spec: &DiversitySpec, pool: usize, slots: f64) -> f64 {
        let n = pool as f64;
        let Ok(Some(space)) = space_of(self.source, spec) else {
            return slots * n * SHARE;
        };
        let dim = self.source.spaces()[space].dim as f64;
        let cosine = gathered(self.source.row_bytes(space) as f64);
        let bounds = n * (ROUND + ROUND_COMPONENT * dim) + slots * n * (BOUNDED + BOUND * dim);
        match spec {
            DiversitySpec::Mmr { .. } => bounds + slots * NEAREST * cosine,
            DiversitySpec::Dpp { window: None, .. } => {
                bounds + slots * NEAREST * (cosine + slots * DIRECTION) * slots / 2.0
            }
            DiversitySpec::Dpp {
                window: Some(window),
                ..
            }
            | DiversitySpec::Spread { window, .. } => {
                let window = (*window as f64).min(slots);
                slots * n * (BOUNDED + STALE * (cosine + window * DIRECTION))
            }
            DiversitySpec::Calibrated { .. } => 0.0,
        }
    }

    /// What exploration takes.
    fn explored(&self, pool: usize, slots: f64, diversity: bool) -> f64 {
        let Some(spec) = &self.policy.spec().explore else {
            return 0.0;
        };
        let n = pool as f64;
        let slots = match &spec.scope().slots {
            Some(of) => (of.len() as f64).min(slots),
            None => slots,
        };
        let compared = self.policy.spec().diversity.as_ref();
        let values = match compared
            .filter(|_| diversity)
            .and_then(|spec| space_of(self.source, spec).ok().flatten())
        {
            // Every value is brought up to date in every slot.
            Some(space) => READ + gathered(self.source.row_bytes(space) as f64),
            None => READ,
        };
        match spec {
            ExploreSpec::EpsilonGreedy { .. } => 0.0,
            ExploreSpec::PlackettLuce { .. } => slots * n * EXP,
            ExploreSpec::Softmax { .. } => slots * n * (EXP + values),
            ExploreSpec::Ucb { .. } => slots * n * (READ + values),
            ExploreSpec::ThompsonSampling { draws, .. } => {
                slots * n * (values + EXP * 4.0) + slots * *draws as f64 * n * POINT
            }
        }
    }
}

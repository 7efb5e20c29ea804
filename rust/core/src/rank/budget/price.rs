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
const CALL: f64 = 2_000.0;
/// A candidate: put in order of ids and of scores, kept, and copied into the slate.
const ENTRY: f64 = 40.0;
/// A term: rounded, added up.
const TERM: f64 = 5.0;
/// A value of an attribute, a signal, a list, or a score that is there.
const VALUE: f64 = 10.0;
/// The same from rows in any order.
const VALUE_ANYWHERE: f64 = 20.0;
/// A decay.
const DECAY: f64 = 40.0;
/// A place among the values of the pool, and the sorting of these, for each binary digit of their number.
const PLACE: f64 = 5.5;
/// An exponential.
const EXP: f64 = 11.0;
/// A candidate under a cap.
const KEY: f64 = 5.0;
/// A slot under a cap, and each candidate in it.
const CAPPED: f64 = 450.0;
const CAPPED_OPEN: f64 = 0.4;
/// A slot.
const SLOT: f64 = 200.0;

/// A candidate rounded and packed for bounds, each of its components, and each byte of one beyond an int8 code.
const ROUND: f64 = 37.0;
const ROUND_COMPONENT: f64 = 0.07;
const ROUND_BYTE: f64 = 0.2;
/// A slot of MMR, and each byte of the vectors that it compares exactly.
const MMR_SLOT: f64 = 500.0;
const MMR_BYTE: f64 = 2.4;
/// A candidate of DPP beyond its rounding, and each of its components.
const DPP: f64 = 12.0;
const DPP_COMPONENT: f64 = 0.15;
/// A slot of DPP for each slot above, and each component of it.
const DPP_SLOT: f64 = 42.0;
const DPP_SLOT_COMPONENT: f64 = 0.12;
/// A candidate whose value is taken anew when a window slides, and each slot of the window.
const SLID: f64 = 5.0;
const SLID_SLOT: f64 = 1.9;
/// A candidate of a window that has seen nothing slide.
const LAZY: f64 = 1.0;
/// A candidate of a calibrated slate, and in each slot.
const CALIBRATED: f64 = 80.0;
const CALIBRATED_SLOT: f64 = 5.0;

/// A candidate whose value an explorer reads, and each byte of its vector.
const READ: f64 = 4.0;
const READ_COSINE: f64 = 36.0;
const READ_BYTE: f64 = 0.04;
/// A point of a distribution function.
const POINT: f64 = 20.0;
/// A sample of a posterior.
const SAMPLE: f64 = 60.0;

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
    /// Nanoseconds to blend a row where rows come in order.
    blended: f64,
    /// Numbers of a row that lie elsewhere for each of them.
    scattered: f64,
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
            scattered: 0.0,
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
            let elsewhere = !matches!(one.input, Input::Similarity { .. } | Input::Withheld);
            ranking.scattered += f64::from(u8::from(elsewhere));
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

    /// Whether a walk of retrieval is narrower with so many parts of its breadth.
    pub(super) fn narrows(&self, pool: usize, parts: usize) -> bool {
        let walk = |space, parts| self.source.outlook(space, pool, self.eligible, parts).ef;
        self.searches
            .iter()
            .any(|&(space, _)| walk(space, parts) < walk(space, WHOLE))
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
        let (n, caps) = (pool as f64, self.policy.spec().caps.len() as f64);
        ns += n * (ENTRY + KEY * caps) + sorted(pool);
        ns += slots * (SLOT + caps * (CAPPED + n * CAPPED_OPEN));
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
            return eligible as f64 * (self.blended + PLACE * self.places * log2(eligible));
        }
        let searches = self.searches.iter().map(|&(space, queries)| {
            let outlook = self.source.outlook(space, pool, eligible, extent.parts);
            queries as f64 * outlook.ns
        });
        searches.sum::<f64>() + (self.listed * pool) as f64 * VALUE
    }

    fn blend(&self, pool: usize) -> f64 {
        let elsewhere = self.scattered * (VALUE_ANYWHERE - VALUE);
        pool as f64 * (self.blended + elsewhere + PLACE * self.places * log2(pool))
    }

    /// What comparing items takes.
    fn compared(&self, spec: &DiversitySpec, pool: usize, slots: f64) -> f64 {
        let n = pool as f64;
        let Ok(Some(space)) = space_of(self.source, spec) else {
            return n * CALIBRATED + slots * n * CALIBRATED_SLOT;
        };
        let dim = self.source.spaces()[space].dim as f64;
        let bytes = self.source.row_bytes(space) as f64;
        let round = ROUND + ROUND_COMPONENT * dim + ROUND_BYTE * (bytes - dim).max(0.0);
        match spec {
            DiversitySpec::Mmr { .. } => n * round + slots * (MMR_SLOT + MMR_BYTE * bytes),
            DiversitySpec::Dpp { window: None, .. } => {
                n * (round + DPP + DPP_COMPONENT * dim)
                    + slots * slots * (DPP_SLOT + DPP_SLOT_COMPONENT * dim)
            }
            DiversitySpec::Dpp {
                window: Some(window),
                ..
            }
            | DiversitySpec::Spread { window, .. } => {
                let window = (*window as f64).min(slots);
                let slid = (slots - window) * n * (SLID + SLID_SLOT * window);
                window * n * LAZY + slid + slots * (MMR_SLOT + MMR_BYTE * bytes)
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
            Some(space) => READ_COSINE + READ_BYTE * self.source.row_bytes(space) as f64,
            None => READ,
        };
        match spec {
            ExploreSpec::EpsilonGreedy { .. } => 0.0,
            ExploreSpec::PlackettLuce { .. } => slots * n * EXP,
            ExploreSpec::Softmax { .. } => slots * n * (EXP + values),
            ExploreSpec::Ucb { .. } => slots * n * (READ + values),
            ExploreSpec::ThompsonSampling { draws, .. } => {
                slots * n * (values + SAMPLE) + slots * *draws as f64 * n * POINT
            }
        }
    }
}

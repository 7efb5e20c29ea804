//! The score: a weighted sum of signals, each normalised over the pool.
//!
//! # Normalisers
//!
//! With `x` the value, and the minimum, maximum, mean and population standard deviation (divisor `n`)
//! taken over the pool's `n` values that are there:
//!
//! - `none`: `x`
//! - `minmax`: `(x - min) / (max - min)`
//! - `zscore`: `(x - mean) / sd`
//! - `rank`: `(below + (equal - 1) / 2) / (n - 1)`: the average rank of ties, 0 for the smallest and 1
//!   for the largest
//!
//! - `rrf`: `1 / (k + 1 + above)`, with `above` the number of larger values: reciprocal rank fusion (Cormack, Clarke
//!   and Buettcher, SIGIR 2009), where equal values share their best rank
//!
//! Three know nothing of the pool, so a term means the same in every slate:
//!
//! - `linear`: `(x - origin) / unit`
//! - `sigmoid`: `1 / (1 + exp(-(x - origin) / unit))` (Platt's scaling, 1999, with the parameters given)
//! - `percentiles`: with quantiles `v_0 <= ... <= v_n` at even steps, `(i + (x - v_i) / (v_(i+1) - v_i)) / n` for
//!   `v_i < x < v_(i+1)`, 0 below the first and 1 above the last; the middle of their places for a value that
//!   several quantiles have
//!
//! A pool whose values are all the same tells nothing apart: each of its values becomes 0 (but not
//! under `none`, `rrf` and the last three). A missing value contributes 0: under `minmax` and `rank` that is the value of the
//! pool's last, under `zscore` that of its average.
//!
//! The parameters are fitted once, to the first pool, in the order of ids (so the sums in them do not
//! depend on the order of the input). Rows that a deepening adds are normalised with the same
//! parameters: `minmax` may leave [0, 1] for them, `rank` counts against the first pool and stays
//! within [0, 1].
//!
//! # Sums that are exact
//!
//! `terms` must add up to `score` bit for bit, in whatever order someone adds them, so no partial sum
//! may round. For a row of `m` terms with largest magnitude `M < 2^E`, each term is rounded to a
//! multiple of `g = 2^(E + ceil(log2 m) - 53)`. A partial sum is then a multiple of `g` of magnitude
//! at most `m 2^E <= 2^53 g`: an integer of at most 53 bits times a power of two, which a double holds
//! exactly. The rounding moves a term by at most `g/2 <= M 2^(ceil(log2 m) - 53)`: for up to 8
//! signals, less than one part in 2^50 of the row's largest term; for one signal, by nothing. The
//! grid is the row's own, so it does not depend on who else is in the pool.

use crate::error::{Error, Result};

use super::bind::{Bound, Feature, Input};
use super::interests::Taste;
use super::model::Predict;
use super::policy::{Normalize, Shape};
use super::pool::Known;
use super::rules::Boost;
use super::source::Source;

/// A normaliser with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Normaliser {
    /// The value itself.
    Identity,
    /// Nothing to tell apart.
    Zero,
    /// `(x - origin) / unit`.
    Affine {
        /// The value that becomes 0.
        origin: f64,
        /// The difference that becomes 1.
        unit: f64,
    },
    /// `1 / (k + rank)` against these values, ascending.
    Reciprocal {
        /// What is added to the rank.
        k: f64,
        /// The pool's values.
        sorted: Vec<f64>,
    },
    /// Average rank against these values, ascending, as a share of the last.
    Rank(Vec<f64>),
    /// `1 / (1 + exp(-(x - origin) / unit))`.
    Sigmoid {
        /// The value that becomes 1/2.
        origin: f64,
        /// The scale.
        unit: f64,
    },
    /// The place among these quantiles, ascending, interpolated.
    Percentiles(Vec<f64>),
}

impl Normaliser {
    /// Fits to a pool's values; NaN stands for a missing one.
    pub fn fit(kind: &Normalize, values: &[f64]) -> Self {
        match kind {
            Normalize::None => return Normaliser::Identity,
            &Normalize::Linear { origin, unit } => return Normaliser::Affine { origin, unit },
            &Normalize::Sigmoid { origin, unit } => return Normaliser::Sigmoid { origin, unit },
            Normalize::Percentiles { at } => return Normaliser::Percentiles(at.clone()),
            &Normalize::Rrf { k } => {
                let sorted = ascending(values);
                return Normaliser::Reciprocal { k, sorted };
            }
            Normalize::Minmax | Normalize::Zscore | Normalize::Rank => {}
        }
        let present = || values.iter().copied().filter(|value| !value.is_nan());
        let low = present().fold(f64::INFINITY, f64::min);
        let high = present().fold(f64::NEG_INFINITY, f64::max);
        if low >= high {
            return Normaliser::Zero;
        }
        let affine = |origin: f64, unit: f64| {
            // Differences of subnormals can vanish in the mean of their squares.
            if unit > 0.0 {
                Normaliser::Affine { origin, unit }
            } else {
                Normaliser::Zero
            }
        };
        match kind {
            Normalize::Minmax => affine(low, high - low),
            Normalize::Zscore => {
                let n = present().count() as f64;
                let mean = present().fold(0.0, |sum, value| sum + value) / n;
                let square =
                    present().fold(0.0, |sum, value| sum + (value - mean) * (value - mean));
                affine(mean, (square / n).sqrt())
            }
            _ => Normaliser::Rank(ascending(values)),
        }
    }

    /// The normalised value; NaN, a missing value, stays NaN.
    pub fn apply(&self, value: f64) -> f64 {
        match self {
            Normaliser::Identity => value,
            Normaliser::Zero => 0.0 * value,
            Normaliser::Affine { origin, unit } => (value - origin) / unit,
            Normaliser::Rank(_) | Normaliser::Percentiles(_) | Normaliser::Reciprocal { .. }
                if value.is_nan() =>
            {
                value
            }
            Normaliser::Reciprocal { k, sorted } => {
                let better = sorted.len() - sorted.partition_point(|other| *other <= value);
                1.0 / (k + 1.0 + better as f64)
            }
            Normaliser::Rank(sorted) => {
                let (below, equal) = place(sorted, value);
                let last = (sorted.len() - 1) as f64;
                // A value that is not in the pool falls between two ranks, or off an end.
                (below as f64 + (equal as f64 - 1.0) / 2.0).clamp(0.0, last) / last
            }
            Normaliser::Sigmoid { origin, unit } => {
                1.0 / (1.0 + libm::exp(-(value - origin) / unit))
            }
            Normaliser::Percentiles(at) => {
                let (below, equal) = place(at, value);
                let last = (at.len() - 1) as f64;
                if equal > 0 {
                    return (below as f64 + (equal as f64 - 1.0) / 2.0) / last;
                }
                if below == 0 || below == at.len() {
                    return if below == 0 { 0.0 } else { 1.0 };
                }
                let (low, high) = (at[below - 1], at[below]);
                // Halved, because the difference of two large numbers may overflow.
                let share = (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
                ((below - 1) as f64 + share) / last
            }
        }
    }
}

/// The values that are there, ascending, without negative zeros.
fn ascending(values: &[f64]) -> Vec<f64> {
    let present = values.iter().copied().filter(|value| !value.is_nan());
    let mut sorted: Vec<f64> = present.map(|value| value + 0.0).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// How many of some ascending numbers are below a value, and how many are equal to it.
fn place(ascending: &[f64], value: f64) -> (usize, usize) {
    let below = ascending.partition_point(|other| *other < value);
    let equal = ascending[below..].partition_point(|other| *other <= value);
    (below, equal)
}

/// What is left after an age of `a` half-lives: `2^-a`, `1 - a/2` down to 0, or `2^(-a²)`; a half after one in each.
/// The age is cut off at 0: what is dated in the future counts as new.
pub fn decay(shape: Shape, at: i64, time: i64, half_life: f64) -> f64 {
    let age = at.saturating_sub(time).max(0) as f64 / half_life;
    match shape {
        Shape::Exponential => libm::exp2(-age),
        Shape::Linear => (1.0 - age / 2.0).max(0.0),
        Shape::Gauss => libm::exp2(-age * age),
    }
}

/// Rounds a row's terms to a grid on which sums are exact, and adds them up. `None` when a term, or
/// a sum of them, is no finite number.
pub fn settle(terms: &mut [f64]) -> Option<f64> {
    if terms.iter().any(|term| !term.is_finite()) {
        return None;
    }
    // `f64::max` would be a call in the library made for size.
    let larger = |max: f64, term: &f64| if term.abs() > max { term.abs() } else { max };
    let largest = terms.iter().fold(0.0, larger);
    // `largest < 2^above`. A biased exponent of 0 means a subnormal: a count of 2^-1074.
    let bits = largest.to_bits();
    let above = match (bits >> 52) as i32 {
        0 => 64 - bits.leading_zeros() as i32 - 1074,
        biased => biased - 1022,
    };
    let count_bits = (terms.len() as u32).next_power_of_two().trailing_zeros() as i32;
    if above + count_bits > 1023 {
        return None;
    }
    let exponent = above + count_bits - 53;
    // Every double is a multiple of 2^-1074.
    if exponent > -1074 && terms.len() > 1 {
        let grid = power_of_two(exponent);
        for term in terms.iter_mut() {
            *term = (*term / grid).round_ties_even() * grid;
        }
    }
    let mut sum = 0.0;
    for term in terms.iter_mut() {
        *term += 0.0; // no negative zeros
        sum += *term;
    }
    Some(sum)
}

/// `2^exponent` for exponents from -1074 to 1023.
fn power_of_two(exponent: i32) -> f64 {
    if exponent >= -1022 {
        f64::from_bits(((exponent + 1023) as u64) << 52)
    } else {
        f64::from_bits(1 << (exponent + 1074))
    }
}

/// The scored rows of a pool, in order of pooling.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// Per signal, the values before normalisation; NaN where there is none.
    pub(crate) values: Vec<Vec<f64>>,
    /// `rows x terms`: one term a signal, then one a boost.
    pub(crate) terms: Vec<f64>,
    /// One per row.
    pub(crate) scores: Vec<f64>,
}

/// A blend bound to its inputs.
pub(crate) struct Blend<'a> {
    source: &'a dyn Source,
    bound: &'a [Bound<'a>],
    boosts: &'a [Boost<'a>],
    fitted: Vec<Normaliser>,
    asks_models: bool,
}

impl<'a> Blend<'a> {
    pub(crate) fn new(
        source: &'a dyn Source,
        bound: &'a [Bound<'a>],
        boosts: &'a [Boost<'a>],
    ) -> Self {
        Blend {
            source,
            bound,
            boosts,
            fitted: Vec::new(),
            asks_models: true,
        }
    }

    /// The same with the answers of models missing.
    pub(crate) fn without_models(self) -> Self {
        Blend {
            asks_models: false,
            ..self
        }
    }

    /// Terms of a row.
    pub(crate) fn width(&self) -> usize {
        self.bound.len() + self.boosts.len()
    }

    /// Their names.
    pub(crate) fn term_names(&self) -> Vec<String> {
        let signals = self.bound.iter().map(|bound| bound.spec.name());
        let boosts = self.boosts.iter().map(|boost| boost.name);
        signals.chain(boosts).map(str::to_string).collect()
    }

    /// Appends rows to the table; the first rows are the ones that normalisers are fitted to. `known` are their
    /// scores in a space, where somebody has them.
    pub(crate) fn extend(
        &mut self,
        rows: &[u32],
        known: Option<&Known>,
        table: &mut Table,
    ) -> Result<()> {
        let signals = self.bound.len();
        table.values.resize_with(signals, Vec::new);
        let first = table.scores.len();
        for (bound, values) in self.bound.iter().zip(&mut table.values) {
            self.gather(&bound.input, rows, known, values)?;
        }
        for (s, bound) in self.bound.iter().enumerate() {
            if let Input::Model(model) = bound.input {
                let answers = if self.asks_models {
                    self.ask(model, bound, rows, &table.values, first)?
                } else {
                    vec![f64::NAN; rows.len()]
                };
                table.values[s].extend(answers);
            }
        }
        if self.fitted.len() != signals {
            self.fitted = self
                .bound
                .iter()
                .zip(&table.values)
                .map(|(bound, values)| Normaliser::fit(bound.spec.normalize(), values))
                .collect();
        }
        let width = self.width();
        table.terms.resize((first + rows.len()) * width, 0.0);
        for (s, bound) in self.bound.iter().enumerate() {
            let (weight, normaliser) = (bound.spec.weight(), &self.fitted[s]);
            for (i, &value) in table.values[s][first..].iter().enumerate() {
                if !value.is_nan() {
                    let term = weight * normaliser.apply(value);
                    table.terms[(first + i) * width + s] = term;
                }
            }
        }
        for (b, boost) in self.boosts.iter().enumerate() {
            for (i, &row) in rows.iter().enumerate() {
                table.terms[(first + i) * width + signals + b] = boost.term(row);
            }
        }
        for i in first..first + rows.len() {
            let terms = &mut table.terms[i * width..(i + 1) * width];
            match settle(terms) {
                Some(score) => table.scores.push(score),
                None => return Err(self.overflow(terms, rows[i - first])),
            }
        }
        Ok(())
    }

    /// What a model says of some rows, whose other values start at `first`.
    fn ask(
        &self,
        model: &dyn Predict,
        bound: &Bound<'_>,
        rows: &[u32],
        values: &[Vec<f64>],
        first: usize,
    ) -> Result<Vec<f64>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let width = bound.features.len();
        let mut features = vec![f32::NAN; rows.len() * width];
        let mut other = Vec::new();
        for (f, feature) in bound.features.iter().enumerate() {
            let column = match feature {
                Feature::Bound(at) => &values[*at][first..],
                Feature::Other(input) => {
                    other.clear();
                    self.gather(input, rows, None, &mut other)?;
                    &other
                }
                Feature::Missing => continue,
            };
            for (row, &value) in features.chunks_exact_mut(width).zip(column) {
                row[f] = value as f32;
            }
        }
        let answers = model.predict(&features, rows.len(), width)?;
        let argument = || format!("models[{:?}]", bound.spec.name());
        if answers.len() != rows.len() {
            return Err(Error::invalid(
                argument(),
                format!("{} numbers, one per row", rows.len()),
                answers.len(),
            ));
        }
        match answers.iter().position(|answer| !answer.is_finite()) {
            Some(at) => Err(Error::invalid(
                argument(),
                "finite numbers",
                format!(
                    "{} for item {}",
                    answers[at],
                    self.source.ids().id(rows[at])
                ),
            )),
            None => Ok(answers),
        }
    }

    /// Appends the signal's values for some rows; none for a model, which is asked when the others are there.
    fn gather(
        &self,
        input: &Input<'_>,
        rows: &[u32],
        known: Option<&Known>,
        out: &mut Vec<f64>,
    ) -> Result<()> {
        match *input {
            Input::Similarity { space, query } => {
                let mut worked_out = Vec::new();
                match (query, known) {
                    (Taste::Vector(_), Some(known)) if known.space == space => {
                        self.check_scores(space, rows, &known.scores)?;
                        out.extend(known.scores.iter().map(|&score| f64::from(score)));
                    }
                    (Taste::Vector(query), _) => {
                        self.similarity(space, query, rows, &mut worked_out)?;
                        out.extend(worked_out.iter().map(|&score| f64::from(score)));
                    }
                    (Taste::Interests(all), _) => {
                        for vector in query.vectors() {
                            self.similarity(space, vector, rows, &mut worked_out)?;
                        }
                        // One run of scores per vector.
                        let of = |i: usize| worked_out[i..].iter().step_by(rows.len());
                        let of = |i: usize| of(i).map(|&score| f64::from(score));
                        out.extend((0..rows.len()).map(|i| all.score(of(i))));
                    }
                }
            }
            Input::Given(scores) => out.extend(rows.iter().map(|&row| scores[row as usize])),
            Input::Signal(values) => out.extend(rows.iter().map(|&row| values.value(row))),
            Input::Attribute(column) => {
                out.extend(
                    rows.iter()
                        .map(|&row| column.numeric(row).unwrap_or(f64::NAN)),
                );
            }
            Input::Decay {
                column,
                at,
                half_life,
                shape,
            } => out.extend(rows.iter().map(|&row| match column.time(row) {
                Some(time) => decay(shape, at, time, half_life),
                None => f64::NAN,
            })),
            Input::List(list) => out.extend(rows.iter().map(|&row| list.value(row))),
            Input::Withheld => out.extend(rows.iter().map(|_| f64::NAN)),
            Input::Model(_) => {}
        }
        Ok(())
    }

    /// Appends the scores of some rows with a vector.
    fn similarity(
        &self,
        space: usize,
        query: &[f32],
        rows: &[u32],
        out: &mut Vec<f32>,
    ) -> Result<()> {
        let from = out.len();
        out.resize(from + rows.len(), 0.0);
        self.source
            .similarity(space, query, rows, &mut out[from..])?;
        self.check_scores(space, rows, &out[from..])
    }

    fn check_scores(&self, space: usize, rows: &[u32], scores: &[f32]) -> Result<()> {
        match scores.iter().position(|score| !score.is_finite()) {
            Some(at) => {
                let name = &self.source.spaces()[space].name;
                Err(Error::invalid(
                    format!("user[{name:?}]"),
                    "a vector whose scores are finite in float32",
                    format!("{} for item {}", scores[at], self.source.ids().id(rows[at])),
                ))
            }
            None => Ok(()),
        }
    }

    fn overflow(&self, terms: &[f64], row: u32) -> Error {
        let culprit = terms
            .iter()
            .position(|term| !term.is_finite())
            .map_or("score", |term| match self.bound.get(term) {
                Some(bound) => bound.spec.name(),
                None => self.boosts[term - self.bound.len()].name,
            });
        Error::invalid(
            culprit,
            "values whose weighted, normalised sum is finite in float64",
            format!("an overflow for item {}", self.source.ids().id(row)),
        )
    }
}

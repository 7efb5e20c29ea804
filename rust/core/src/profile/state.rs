//! The sums of one user: events in, a vector out. The formulas are in the module's head.

use std::sync::Arc;

use crate::error::{Error, Result};

use super::plan::Plan;

/// Components of a profile's vectors; a file of more is damaged.
pub(crate) const MOST_DIM: usize = 65_536;

/// What a vector is pulled towards while there is little evidence.
#[derive(Clone, Debug, PartialEq)]
pub enum Prior {
    /// The user's own vector, from a trained model.
    Base(Vec<f32>),
    /// The vector of a population.
    Population(Vec<f32>),
}

impl Prior {
    /// The vector.
    pub fn vector(&self) -> &[f32] {
        match self {
            Prior::Base(vector) | Prior::Population(vector) => vector,
        }
    }

    /// What the caller knows it as.
    pub(crate) fn argument(&self) -> &'static str {
        match self {
            Prior::Base(_) => "base",
            Prior::Population(_) => "prior",
        }
    }
}

/// A decayed sum with its evidence.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sum {
    pub of: Vec<f64>,
    pub evidence: f64,
}

impl Sum {
    fn zero(dim: usize) -> Self {
        Sum {
            of: vec![0.0; dim],
            evidence: 0.0,
        }
    }

    fn decay(&mut self, left: f64) {
        for component in &mut self.of {
            *component *= left;
        }
        self.evidence *= left;
    }

    /// Adds `weight` times the direction of a vector of a length.
    fn add(&mut self, vector: &[f32], length: f64, weight: f64) {
        for (component, &x) in self.of.iter_mut().zip(vector) {
            *component += weight * (f64::from(x) / length);
        }
        self.evidence += weight.abs();
    }
}

/// Evidence at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Of the short term.
    pub short: f64,
    /// Of the long term.
    pub long: f64,
    /// Of the events of negative weight, over the long term; `long` includes it.
    pub negative: f64,
}

/// A user's state.
#[derive(Clone, Debug)]
pub struct Profile {
    pub(crate) plan: Arc<Plan>,
    pub(crate) prior: Option<Prior>,
    /// The latest event's moment, which the sums are as of; 0 before the first.
    pub(crate) latest: i64,
    /// Events by kind, in the order of the kinds' names.
    pub(crate) counts: Vec<u64>,
    pub(crate) short: Sum,
    pub(crate) long: Sum,
    pub(crate) negative: Sum,
}

impl Profile {
    /// A user nothing is known of but a prior, if that.
    pub fn new(plan: Arc<Plan>, dim: usize, prior: Option<Prior>) -> Result<Self> {
        if !(1..=MOST_DIM).contains(&dim) {
            let expected = format!("1 to {MOST_DIM} components");
            return Err(Error::invalid("dim", expected, dim));
        }
        if let Some(prior) = &prior {
            check(prior.argument(), dim, prior.vector())?;
        }
        Ok(Profile {
            counts: vec![0; plan.spec().kinds.len()],
            plan,
            prior,
            latest: 0,
            short: Sum::zero(dim),
            long: Sum::zero(dim),
            negative: Sum::zero(dim),
        })
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Components of a vector.
    pub fn dim(&self) -> usize {
        self.short.of.len()
    }

    /// What the vector is pulled towards.
    pub fn prior(&self) -> Option<&Prior> {
        self.prior.as_ref()
    }

    /// Events so far.
    pub fn events(&self) -> u64 {
        self.counts.iter().fold(0, |n, &m| n.saturating_add(m))
    }

    /// Events so far by kind.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        let kinds = self.plan.spec().kinds.keys().map(String::as_str);
        kinds.zip(self.counts.iter().copied())
    }

    /// The latest event's moment in microseconds since the epoch.
    pub fn latest(&self) -> Option<i64> {
        (self.events() > 0).then_some(self.latest)
    }

    /// Takes in an event; the state is as it was where it is refused.
    pub fn observe(&mut self, item: &[f32], kind: &str, at: i64) -> Result<()> {
        let (place, weight) = self.plan.kind(kind)?;
        check("item", self.dim(), item)?;
        let length = length(item);
        if length == 0.0 {
            return Err(Error::invalid(
                "item",
                "a vector with a direction",
                "one of length 0",
            ));
        }
        let first = self.events() == 0;
        let (short, long) = self.half_lives();
        let (left_short, left_long) = if first || at >= self.latest {
            if !first {
                self.short.decay(left(short, self.latest, at));
                let left_long = left(long, self.latest, at);
                self.long.decay(left_long);
                self.negative.decay(left_long);
            }
            self.latest = at;
            (1.0, 1.0)
        } else {
            (left(short, at, self.latest), left(long, at, self.latest))
        };
        self.short.add(item, length, weight * left_short);
        self.long.add(item, length, weight * left_long);
        if weight < 0.0 {
            self.negative.add(item, length, -weight * left_long);
        }
        self.counts[place] = self.counts[place].saturating_add(1);
        Ok(())
    }

    /// The vector as of a moment; `None` while it would be zero: no prior, and no evidence or none left.
    pub fn vector(&self, at: i64) -> Option<Vec<f32>> {
        let spec = self.plan.spec();
        let (strength, share) = (spec.prior_strength, spec.short_weight);
        let (left_short, left_long) = self.lefts(at);
        let evidence = self.evidence(at);
        let prior = self.prior.as_ref().map(Prior::vector);
        let scale = match prior.map(length) {
            Some(length) if length > 0.0 => length,
            _ => 1.0,
        };
        let of_short = share * (evidence.short / (evidence.short + strength));
        let short_by = share * scale * (left_short / (evidence.short + strength));
        let long_by = scale * (left_long / (evidence.long + strength));
        let prior_by = strength / (evidence.long + strength);
        let component = |i: usize| {
            let prior = prior.map_or(0.0, |prior| f64::from(prior[i]));
            let long = prior_by * prior + long_by * self.long.of[i];
            (1.0 - of_short) * long + short_by * self.short.of[i]
        };
        said((0..self.dim()).map(component))
    }

    /// The mean direction of the events of negative weight, by weight and age over the long term; `None` without any.
    pub fn negative(&self) -> Option<Vec<f32>> {
        let evidence = self.negative.evidence;
        if evidence < f64::MIN_POSITIVE {
            return None;
        }
        said(self.negative.of.iter().map(|x| x / evidence))
    }

    /// The evidence as of a moment.
    pub fn evidence(&self, at: i64) -> Evidence {
        let (short, long) = self.lefts(at);
        Evidence {
            short: short * self.short.evidence,
            long: long * self.long.evidence,
            negative: long * self.negative.evidence,
        }
    }

    fn half_lives(&self) -> (Option<i64>, Option<i64>) {
        let spec = self.plan.spec();
        (Some(spec.half_life_us), spec.long_half_life_us)
    }

    /// What is left of the sums at a moment.
    fn lefts(&self, at: i64) -> (f64, f64) {
        let (short, long) = self.half_lives();
        (left(short, self.latest, at), left(long, self.latest, at))
    }
}

/// What is left at `to` of something from `from`: all of it where `to` is no later.
fn left(half_life: Option<i64>, from: i64, to: i64) -> f64 {
    match half_life {
        Some(half_life) if to > from => {
            let age = (i128::from(to) - i128::from(from)) as f64;
            libm::exp2(-age / half_life as f64)
        }
        _ => 1.0,
    }
}

/// A vector's length; finite and exact enough for every finite float32 vector.
fn length(vector: &[f32]) -> f64 {
    let squares = vector.iter().map(|&x| f64::from(x) * f64::from(x));
    squares.fold(0.0, |sum, square| sum + square).sqrt()
}

/// A vector as float32; `None` where nothing of it is a normal number.
fn said(vector: impl Iterator<Item = f64>) -> Option<Vec<f32>> {
    let vector: Vec<f32> = vector.map(|x| x as f32).collect();
    vector.iter().any(|x| x.is_normal()).then_some(vector)
}

/// Refuses a vector that is of another width, or that no ranking would take.
pub(crate) fn check(argument: &str, dim: usize, vector: &[f32]) -> Result<()> {
    if vector.len() != dim {
        let expected = format!("{dim} components");
        return Err(Error::invalid(argument, expected, vector.len()));
    }
    if let Some(bad) = vector.iter().find(|x| !x.is_finite()) {
        return Err(Error::invalid(argument, "finite numbers", bad));
    }
    // A quarter of the range: sums of float32 squares stay within it, however they are added.
    if length(vector).powi(2) > f64::from(f32::MAX) / 4.0 {
        let got = "a vector whose squared length overflows a float32";
        return Err(Error::invalid(argument, "finite numbers", got));
    }
    Ok(())
}

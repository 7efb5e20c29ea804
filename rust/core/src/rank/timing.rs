//! Where a request's time went.

use std::time::Instant;

/// A stage of a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Finding the pool, and deepening it.
    Retrieve,
    /// Signals, normalisers, blend.
    Score,
    /// Choosing the diversified best, and caps.
    Diversify,
    /// Drawing.
    Explore,
}

/// Microseconds per stage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timings {
    /// Finding the pool, and deepening it.
    pub retrieve: f64,
    /// Signals, normalisers, blend.
    pub score: f64,
    /// Choosing the diversified best, and caps.
    pub diversify: f64,
    /// Drawing.
    pub explore: f64,
    /// The whole call.
    pub total: f64,
}

impl Timings {
    /// By name, in order of the stages.
    pub fn pairs(&self) -> [(&'static str, f64); 5] {
        [
            ("retrieve", self.retrieve),
            ("score", self.score),
            ("diversify", self.diversify),
            ("explore", self.explore),
            ("total", self.total),
        ]
    }
}

/// Splits time between stages: each lap ends a stretch and says which stage it belonged to.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    last: Instant,
    timings: Timings,
}

impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        let now = Instant::now();
        Clock {
            start: now,
            last: now,
            timings: Timings::default(),
        }
    }

    /// The time since the last lap went into `stage`.
    pub fn lap(&mut self, stage: Stage) {
        let now = Instant::now();
        let spent = (now - self.last).as_secs_f64() * 1e6;
        self.last = now;
        *match stage {
            Stage::Retrieve => &mut self.timings.retrieve,
            Stage::Score => &mut self.timings.score,
            Stage::Diversify => &mut self.timings.diversify,
            Stage::Explore => &mut self.timings.explore,
        } += spent;
    }

    /// Ends the call.
    pub fn stop(self) -> Timings {
        Timings {
            total: self.start.elapsed().as_secs_f64() * 1e6,
            ..self.timings
        }
    }
}

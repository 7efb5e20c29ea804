//! Outside models: numbers that somebody else's code makes from the numbers of a pool.
//!
//! A model is asked once for the first pool and once for each deepening, with the rows of that step in the order
//! of their ids. What it answers is recorded for each entry as a signal of the request is, so a replay needs no
//! model, whatever the model has become since.

use std::fmt;

use crate::error::{Error, Result};

use super::policy::{ExploreSpec, PolicySpec, SignalSpec};

/// A model, from wherever it comes.
pub trait Predict: fmt::Debug + Send + Sync {
    /// One finite number for each of `rows` rows. `features` holds `rows x width` numbers, row by row, NaN where
    /// one is missing.
    fn predict(&self, features: &[f32], rows: usize, width: usize) -> Result<Vec<f64>>;
}

/// The features of a model's signal: names of what is no model, each once.
pub(crate) fn validate_features(
    argument: &str,
    features: &[String],
    signals: &[SignalSpec],
) -> Result<()> {
    let argument = || format!("{argument}.features");
    if features.is_empty() {
        return Err(Error::invalid(argument(), "at least one name", "none"));
    }
    for (i, feature) in features.iter().enumerate() {
        if feature.is_empty() {
            return Err(Error::invalid(argument(), "names", "an empty one"));
        }
        if features[..i].contains(feature) {
            return Err(Error::invalid(
                argument(),
                "each name once",
                format!("{feature:?} twice"),
            ));
        }
        let model =
            |spec: &SignalSpec| matches!(spec, SignalSpec::Model { .. }) && spec.name() == feature;
        if signals.iter().any(model) {
            return Err(Error::invalid(
                argument(),
                "names of what is no model",
                format!("{feature:?}, a model"),
            ));
        }
    }
    Ok(())
}

/// A record keeps the answers of a model or list under its name, so no explorer may mean something else by it.
pub(crate) fn validate_explored(spec: &PolicySpec) -> Result<()> {
    let posterior = spec.explore.as_ref().and_then(ExploreSpec::posterior);
    for name in posterior
        .into_iter()
        .flat_map(|posterior| posterior.names())
    {
        let answer = |spec: &SignalSpec| {
            matches!(spec, SignalSpec::Model { .. } | SignalSpec::List { .. })
                && spec.name() == name
        };
        if spec.score.signals.iter().any(answer) {
            return Err(Error::invalid(
                "explore",
                "signals or attributes, and no model or list",
                format!("{name:?}, which the blend means otherwise"),
            ));
        }
    }
    Ok(())
}

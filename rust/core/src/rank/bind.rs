//! Before anything is computed, every signal of the policy finds its input in the request or the
//! source, and whatever the policy would ignore is refused.

use crate::column::{Column, ColumnType};
use crate::error::{Error, Result};

use super::interests::Taste;
use super::lists::List;
use super::model::Predict;
use super::policy::{Policy, Shape, SignalSpec};
use super::signals::{argument, SignalLookup, Signals};
use super::source::Source;
use super::unused::refuse_unused;

/// One number per row, from wherever it comes.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    /// The metric's score between the user's vector and the row's.
    Similarity { space: usize, query: &'a Taste },
    /// The scores that came with the candidates.
    Given(&'a [f64]),
    /// Numbers that came with the request.
    Signal(SignalLookup<'a>),
    /// A bool, int or float attribute.
    Attribute(&'a Column),
    /// Decay with the age of a timestamp attribute.
    Decay {
        column: &'a Column,
        at: i64,
        half_life: f64,
        shape: Shape,
    },
    /// The numbers of a list from outside.
    List(&'a List),
    /// A signal that is withheld, and no attribute has its name: missing for every row.
    Withheld,
    /// What a model makes of the signal's features.
    Model(&'a dyn Predict),
}

/// One column of what a model is fed with.
#[derive(Clone, Copy)]
pub(crate) enum Feature<'a> {
    /// The value, before normalisation, of the bound signal at this position.
    Bound(usize),
    /// A number that the blend itself does not use.
    Other(Input<'a>),
    /// A similarity, and there is no user.
    Missing,
}

/// A signal of the policy that this request has an input for.
#[derive(Clone)]
pub(crate) struct Bound<'a> {
    pub(crate) spec: &'a SignalSpec,
    pub(crate) input: Input<'a>,
    /// Of a model only.
    pub(crate) features: Vec<Feature<'a>>,
}

impl Bound<'_> {
    /// Whether candidates are retrieved by this signal: it must be of this user or this request, and wanted.
    pub(crate) fn retrieves(&self) -> bool {
        matches!(
            self.input,
            Input::Similarity { .. } | Input::Given(_) | Input::List(_)
        ) && self.spec.weight() > 0.0
    }
}

/// What a request is made of, without the rows it may show: what a replay has as well.
pub(crate) struct Ask<'a> {
    pub(crate) user: Option<&'a [(String, Taste)]>,
    pub(crate) signals: &'a Signals,
    pub(crate) at: i64,
    /// Whether the answers of models and the numbers of lists are among the signals, as they are in a record.
    pub(crate) answers_recorded: bool,
    /// Whether scores that came with the candidates may stay unused.
    pub(crate) scores_may_idle: bool,
}

/// What the blend of a policy takes of what a request and a source bring.
pub(crate) struct Used<'a> {
    /// Spaces of the user's vectors, by position.
    pub(crate) spaces: Vec<usize>,
    /// Signals of the request.
    pub(crate) signals: Vec<&'a str>,
    /// The scores that came with the candidates.
    pub(crate) scores: bool,
}

/// Finds the input of every signal of the policy, and refuses what the policy would ignore.
///
/// Without a user the similarities are left out; nothing else is.
pub(crate) fn bind<'a>(
    source: &'a dyn Source,
    policy: &'a Policy,
    ask: &Ask<'a>,
) -> Result<Vec<Bound<'a>>> {
    let (bound, used) = bind_used(source, policy, ask)?;
    refuse_unused(source, policy, ask, &used)?;
    Ok(bound)
}

/// The same without a word on what is not used.
pub(crate) fn bind_used<'a>(
    source: &'a dyn Source,
    policy: &'a Policy,
    ask: &Ask<'a>,
) -> Result<(Vec<Bound<'a>>, Used<'a>)> {
    source.check_moment(ask.at)?;
    check_user(source, ask.user)?;
    let mut used_spaces = Vec::new();
    let mut used_signals = Vec::new();
    let mut uses_given = false;
    let mut bound = Vec::with_capacity(policy.signals().len());
    for spec in policy.signals() {
        let input = match spec {
            SignalSpec::Similarity { space, .. } => match (space, source.given_scores()) {
                (None, Some(scores)) => {
                    uses_given = true;
                    Some(Input::Given(scores))
                }
                _ => bind_similarity(source, space.as_deref(), ask.user)?.inspect(|input| {
                    if let Input::Similarity { space, .. } = input {
                        used_spaces.push(*space);
                    }
                }),
            },
            SignalSpec::Value { name, .. } => match ask.signals.lookup(name) {
                Some(values) => {
                    used_signals.push(name.as_str());
                    if let Some(len) = values.rows() {
                        check_rows(name, len, source.ids().rows_len())?;
                    }
                    Some(Input::Signal(values))
                }
                None => Some(attribute(source, ask.signals, name)?),
            },
            SignalSpec::Decay {
                name,
                attribute,
                half_life_us,
                shape,
                ..
            } => Some(Input::Decay {
                column: time_column(source, name, attribute)?,
                at: ask.at,
                half_life: *half_life_us as f64,
                shape: *shape,
            }),
            SignalSpec::List { name, .. } | SignalSpec::Model { name, .. } => {
                let recorded = ask.signals.lookup(name).filter(|_| ask.answers_recorded);
                if recorded.is_some() {
                    used_signals.push(name.as_str());
                }
                // What came with the items stands for a model or list that the request has not.
                let lacks = ask.signals.model(name).is_none() && ask.signals.list(name).is_none();
                let packed = source.packed_signal(name).filter(|_| lacks);
                Some(match (recorded, packed) {
                    (Some(values), _) => Input::Signal(values),
                    (None, Some(column)) => Input::Attribute(column),
                    (None, None) if matches!(spec, SignalSpec::List { .. }) => {
                        Input::List(the_list(ask.signals, name)?)
                    }
                    (None, None) => Input::Model(the_model(ask.signals, name)?),
                })
            }
        };
        bound.extend(input.map(|input| Bound {
            spec,
            input,
            features: Vec::new(),
        }));
    }
    let features = bound
        .iter()
        .map(|one| bind_features(source, policy, ask.signals, &bound, one, &mut used_signals))
        .collect::<Result<Vec<_>>>()?;
    for (one, features) in bound.iter_mut().zip(features) {
        one.features = features;
    }
    let used = Used {
        spaces: used_spaces,
        signals: used_signals,
        scores: uses_given,
    };
    Ok((bound, used))
}

fn the_list<'a>(signals: &'a Signals, name: &str) -> Result<&'a List> {
    signals.list(name).ok_or_else(|| {
        let given: Vec<String> = signals.list_names().map(|n| format!("{n:?}")).collect();
        Error::invalid(
            "lists",
            format!("a list named {name:?}, which the policy's Blend asks for (it may be empty)"),
            if given.is_empty() {
                "none".to_string()
            } else {
                given.join(", ")
            },
        )
    })
}

fn the_model<'a>(signals: &'a Signals, name: &str) -> Result<&'a dyn Predict> {
    signals.model(name).ok_or_else(|| {
        let given: Vec<String> = signals.model_names().map(|n| format!("{n:?}")).collect();
        Error::invalid(
            "models",
            format!("a model named {name:?}, which the policy's Blend asks for"),
            if given.is_empty() {
                "none".to_string()
            } else {
                given.join(", ")
            },
        )
    })
}

/// What a model is fed with: nothing for other signals, and for models whose answers are recorded.
fn bind_features<'a>(
    source: &'a dyn Source,
    policy: &'a Policy,
    signals: &'a Signals,
    bound: &[Bound<'a>],
    one: &Bound<'a>,
    used: &mut Vec<&'a str>,
) -> Result<Vec<Feature<'a>>> {
    let (SignalSpec::Model { features, .. }, Input::Model(_)) = (one.spec, one.input) else {
        return Ok(Vec::new());
    };
    let mut out = Vec::with_capacity(features.len());
    for name in features {
        let named = |spec: &SignalSpec| spec.name() == name;
        out.push(if let Some(at) = bound.iter().position(|b| named(b.spec)) {
            Feature::Bound(at)
        } else if policy.signals().iter().any(named) {
            Feature::Missing
        } else if let Some(values) = signals.lookup(name) {
            used.push(name);
            if let Some(len) = values.rows() {
                check_rows(name, len, source.ids().rows_len())?;
            }
            Feature::Other(Input::Signal(values))
        } else {
            Feature::Other(attribute(source, signals, name)?)
        });
    }
    Ok(out)
}

/// The numbers that exploration reads, in the order of its posterior's names.
pub(crate) fn explore_inputs<'a>(
    source: &'a dyn Source,
    policy: &'a Policy,
    signals: &'a Signals,
) -> Result<Vec<(&'a str, Input<'a>)>> {
    explore_names(policy)
        .map(|name| match signals.lookup(name) {
            Some(values) => {
                if let Some(len) = values.rows() {
                    check_rows(name, len, source.ids().rows_len())?;
                }
                Ok((name, Input::Signal(values)))
            }
            None => Ok((name, attribute(source, signals, name)?)),
        })
        .collect()
}

pub(crate) fn explore_names(policy: &Policy) -> impl Iterator<Item = &str> {
    let posterior = policy.spec().explore.as_ref().and_then(|e| e.posterior());
    posterior
        .into_iter()
        .flat_map(|posterior| posterior.names())
}

fn check_rows(name: &str, len: usize, rows: usize) -> Result<()> {
    if len == rows {
        return Ok(());
    }
    Err(Error::invalid(
        argument(name),
        format!("{rows} numbers, one per item"),
        len,
    ))
}

fn check_user(source: &dyn Source, user: Option<&[(String, Taste)]>) -> Result<()> {
    let Some(user) = user else { return Ok(()) };
    if user.is_empty() {
        return Err(Error::invalid(
            "user",
            "a vector per space, or None",
            "no vector",
        ));
    }
    for (i, (name, taste)) in user.iter().enumerate() {
        let info = &source.spaces()[space_index(source, name)?];
        if user[..i].iter().any(|(other, _)| other == name) {
            return Err(Error::invalid(
                "user",
                "each space once",
                format!("{name:?} twice"),
            ));
        }
        let argument = format!("user[{name:?}]");
        taste.check(&argument, info.metric)?;
        for vector in taste.vectors() {
            check_vector(&argument, vector, info.dim)?;
        }
    }
    Ok(())
}

fn check_vector(argument: &str, vector: &[f32], dim: usize) -> Result<()> {
    if vector.len() != dim {
        return Err(Error::invalid(
            argument,
            format!("{dim} components"),
            vector.len(),
        ));
    }
    if let Some(bad) = vector.iter().find(|value| !value.is_finite()) {
        return Err(Error::invalid(argument, "finite numbers", bad));
    }
    if !perso_kernels::Kernels::get()
        .dot_f32(vector, vector)
        .is_finite()
    {
        return Err(Error::invalid(
            argument,
            "finite numbers",
            "a vector whose squared length overflows a float32",
        ));
    }
    Ok(())
}

/// The position of a space.
pub(crate) fn space_index(source: &dyn Source, name: &str) -> Result<usize> {
    source
        .spaces()
        .iter()
        .position(|space| space.name == name)
        .ok_or_else(|| Error::missing("space", format!("{name:?}")))
}

fn bind_similarity<'a>(
    source: &'a dyn Source,
    space: Option<&str>,
    user: Option<&'a [(String, Taste)]>,
) -> Result<Option<Input<'a>>> {
    // A name that does not exist is an error even when nobody asks.
    let named = space.map(|name| space_index(source, name)).transpose()?;
    let Some(user) = user else { return Ok(None) };
    let space = match (named, user, source.spaces()) {
        (Some(space), _, _) => space,
        (None, [(only, _)], _) => space_index(source, only)?,
        (None, _, [_]) => 0,
        (None, _, spaces) => {
            let names: Vec<String> = spaces.iter().map(|s| format!("{:?}", s.name)).collect();
            return Err(Error::invalid(
                "similarity",
                format!(
                    "{{space: weight}} naming one or more of {}",
                    names.join(", ")
                ),
                "a number, which does not say which of the user's spaces it is for",
            ));
        }
    };
    let name = &source.spaces()[space].name;
    match user.iter().find(|(given, _)| given == name) {
        Some((_, query)) => Ok(Some(Input::Similarity { space, query })),
        None => Err(Error::invalid(
            "user",
            format!("a vector for space {name:?}, which the policy's similarity uses"),
            format!(
                "vectors for {} only",
                user.iter()
                    .map(|(name, _)| format!("{name:?}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        )),
    }
}

/// What stands for a signal that was not given: the numbers that came with the items, else the attribute.
fn attribute<'a>(source: &'a dyn Source, signals: &Signals, name: &str) -> Result<Input<'a>> {
    if let Some(column) = source.packed_signal(name) {
        return Ok(Input::Attribute(column));
    }
    match numeric_column(source, name) {
        Ok(column) => Ok(Input::Attribute(column)),
        Err(_) if signals.are_withheld() => Ok(Input::Withheld),
        Err(error) => Err(error),
    }
}

fn numeric_column<'a>(source: &'a dyn Source, name: &str) -> Result<&'a Column> {
    let column = source
        .column(name)
        .ok_or_else(|| Error::missing("signal or attribute", format!("{name:?}")))?;
    if column.kind().is_numeric() {
        return Ok(column);
    }
    let hint = if column.kind() == ColumnType::Time {
        "; Decay takes a timestamp"
    } else {
        ""
    };
    Err(Error::wrong_type(
        name,
        "a signal, or a bool, int or float attribute",
        format!("a {} attribute{hint}", column.kind()),
    ))
}

fn time_column<'a>(source: &'a dyn Source, name: &str, attribute: &str) -> Result<&'a Column> {
    let column = source
        .column(attribute)
        .ok_or_else(|| Error::missing("attribute", format!("{attribute:?}")))?;
    if column.kind() == ColumnType::Time {
        return Ok(column);
    }
    Err(Error::wrong_type(
        format!("{name}.attribute"),
        "a timestamp attribute",
        format!("{attribute:?}, a {} attribute", column.kind()),
    ))
}

/// The space that a bare user vector is for: the one the policy's similarity names, if it names one
/// only, else the only one there is.
pub fn space_of_bare_vector(source: &dyn Source, policy: &Policy) -> Result<usize> {
    let mut named: Vec<usize> = Vec::new();
    for spec in policy.signals() {
        if let SignalSpec::Similarity {
            space: Some(name), ..
        } = spec
        {
            named.push(space_index(source, name)?);
        }
    }
    match (named.as_slice(), source.spaces()) {
        ([space], _) => Ok(*space),
        ([], [_]) => Ok(0),
        (_, spaces) => {
            let names: Vec<String> = spaces.iter().map(|s| format!("{:?}", s.name)).collect();
            Err(Error::invalid(
                "user",
                if names.is_empty() {
                    "None, because there is no space".to_string()
                } else {
                    format!("{{space: vector}} with spaces out of {}", names.join(", "))
                },
                "one vector without a space",
            ))
        }
    }
}

//! `rank`, `rank_many`, `replay` and `counterfactual`.

use std::sync::Arc;
use std::time::Instant;

use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use perso_core::error::Error;
use perso_core::ids::Ids;
use perso_core::rank::{
    self as core, Combine, Eligibility, Pins, Request, Signals, Source, Taste, User,
};
use perso_core::route::Route;
use perso_core::threads;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::candidates::Candidates;
use crate::capsule::Capsule;
use crate::catalog::Catalog;
use crate::convert;
use crate::error::Outcome;
use crate::filter::{Given, GivenEach};
use crate::model::{models_in, GivenModels};
use crate::policy::Policy;
use crate::slate::{Origin, Slate};

/// What items are ranked from.
#[derive(FromPyObject)]
pub enum Items<'py> {
    Catalog(PyRef<'py, Catalog>),
    Candidates(PyRef<'py, Candidates>),
    Capsule(PyRef<'py, Capsule>),
}

/// The same without the GIL.
pub enum Held<'a> {
    Catalog(&'a Catalog),
    Candidates(&'a Arc<core::Candidates>),
    Capsule(&'a Arc<perso_core::capsule::Capsule>),
}

impl Items<'_> {
    pub fn hold(&self) -> Held<'_> {
        match self {
            Items::Catalog(catalog) => Held::Catalog(catalog),
            Items::Candidates(candidates) => Held::Candidates(&candidates.core),
            Items::Capsule(capsule) => Held::Capsule(&capsule.core),
        }
    }

    /// What tells it from others.
    pub fn place(&self) -> usize {
        match self {
            Items::Catalog(catalog) => catalog.place(),
            Items::Candidates(candidates) => Arc::as_ptr(&candidates.core) as usize,
            Items::Capsule(capsule) => Arc::as_ptr(&capsule.core) as usize,
        }
    }
}

impl Held<'_> {
    /// Calls `f` with the source, of which a catalog stays the version that it is now.
    pub fn with<T>(&self, f: impl FnOnce(&dyn Source, Origin) -> Outcome<T>) -> Outcome<T> {
        match self {
            Held::Catalog(catalog) => {
                let held = catalog.read();
                let origin = Origin::Catalog(Source::content_hash(&*held));
                f(&*held, origin)
            }
            Held::Candidates(held) => f(&***held, Origin::Candidates(Arc::clone(held))),
            Held::Capsule(held) => f(&***held, Origin::Capsule(Source::content_hash(&***held))),
        }
    }
}

/// One named signal: a number an item in the order of the ids, or numbers for some ids.
pub enum GivenSignal {
    All(String, Vec<f64>),
    Some(String, Ids, Vec<f64>),
}

/// NaN stands for a missing number; the Python layer refuses a NaN that a user wrote.
pub fn signals_in(signals: &Bound<'_, PyDict>) -> Outcome<Vec<GivenSignal>> {
    let mut out = Vec::with_capacity(signals.len());
    for (name, value) in signals.iter() {
        let name: String = name.extract()?;
        out.push(
            if let Ok(values) = value.extract::<PyReadonlyArray1<'_, f64>>() {
                GivenSignal::All(name, values.as_array().to_vec())
            } else {
                let (ids, values): (Bound<'_, PyAny>, PyReadonlyArray1<'_, f64>) =
                    value.extract()?;
                let ids = convert::ids(&format!("signals[{name:?}]"), &ids)?;
                GivenSignal::Some(name, ids, values.as_array().to_vec())
            },
        );
    }
    Ok(out)
}

fn bind_signals(
    source: &dyn Source,
    given: &[GivenSignal],
    models: &GivenModels,
) -> Result<Arc<Signals>, Error> {
    let mut signals = Signals::new();
    for (name, model) in models {
        signals.insert_model(name, Arc::clone(model))?;
    }
    for signal in given {
        match signal {
            GivenSignal::All(name, values) => {
                let values = values.iter().map(|v| (!v.is_nan()).then_some(*v));
                signals.insert_live(name, source.ids(), values)?;
            }
            GivenSignal::Some(name, ids, values) => {
                signals.insert_ids(name, source.ids(), ids, values)?;
            }
        }
    }
    Ok(Arc::new(signals))
}

/// Outside lists by name: ids, best first, or ids with scores.
type GivenLists = Vec<(String, Ids, Option<Vec<f64>>)>;

fn lists_in(lists: &Bound<'_, PyDict>) -> Outcome<GivenLists> {
    let mut out = Vec::with_capacity(lists.len());
    for (name, value) in lists.iter() {
        let name: String = name.extract()?;
        let (ids, scores): (Bound<'_, PyAny>, Option<PyReadonlyArray1<'_, f64>>) =
            value.extract()?;
        let ids = convert::ids(&format!("lists[{name:?}]"), &ids)?;
        out.push((name, ids, scores.map(|scores| scores.as_array().to_vec())));
    }
    Ok(out)
}

/// The signals of a request that brings lists.
fn with_lists(
    signals: &Arc<Signals>,
    source: &dyn Source,
    lists: &GivenLists,
) -> Result<Arc<Signals>, Error> {
    if lists.is_empty() {
        return Ok(Arc::clone(signals));
    }
    let mut signals = Signals::clone(signals);
    for (name, ids, scores) in lists {
        let list = core::List::new(name, source.ids(), ids, scores.as_deref())?;
        signals.insert_list(name, list)?;
    }
    Ok(Arc::new(signals))
}

/// The name "" of a space stands for the one that the policy's similarity uses.
fn name_bare_vector(
    source: &dyn Source,
    policy: &core::Policy,
    shadow: Option<&core::Policy>,
    user: &mut User,
) -> Result<(), Error> {
    if let [(name, _)] = &mut user[..] {
        if name.is_empty() {
            let space = match shadow {
                None => core::space_of_bare_vector(source, policy)?,
                Some(shadow) => core::space_of_bare_vector_beside(source, policy, shadow)?,
            };
            name.clone_from(&source.spaces()[space].name);
        }
    }
    Ok(())
}

/// Slots, each once, and as many ids.
type GivenPins<'py> = (Vec<usize>, Bound<'py, PyAny>);

fn pins_in((slots, ids): &GivenPins<'_>) -> Outcome<Pins> {
    let ids = convert::ids("pins", ids)?;
    Ok((0..ids.len())
        .map(|i| ids.get(i))
        .zip(slots)
        .map(|(id, &slot)| (slot, id))
        .collect())
}

/// The slate to show, and that of a shadow if there is one, which took no part in filtering.
type Pair = (Slate, Option<Slate>);

fn pair((slate, shadow): (core::Slate, core::Slate), origin: Origin, filter_us: f64) -> Pair {
    let shadow = Slate::new(shadow, origin.clone(), 0.0);
    (Slate::new(slate, origin, filter_us), Some(shadow))
}

#[pyfunction]
#[pyo3(signature = (source, user, policy, k, r#where, exclude, signals, models, lists, at_us, seed, request_id, target, pins, shadow, allow, budget_us, route))]
#[allow(clippy::too_many_arguments)] // One for each argument of the Python function.
pub fn rank(
    py: Python<'_>,
    source: Items<'_>,
    user: Option<&Bound<'_, PyDict>>,
    policy: PyRef<'_, Policy>,
    k: usize,
    r#where: Option<&Bound<'_, PyAny>>,
    exclude: Option<&Bound<'_, PyAny>>,
    signals: &Bound<'_, PyDict>,
    models: &Bound<'_, PyDict>,
    lists: &Bound<'_, PyDict>,
    at_us: i64,
    seed: u64,
    request_id: String,
    target: Option<core::Target>,
    pins: Option<GivenPins<'_>>,
    shadow: Option<PyRef<'_, Policy>>,
    allow: Option<[bool; 3]>,
    budget_us: Option<f64>,
    route: Option<&str>,
) -> Outcome<Pair> {
    let start = Instant::now();
    let allow = allow.map(allow_in);
    let route = route.map(Route::parse).transpose()?.map(Arc::new);
    let exclude = exclude.filter(|_| allow.is_none_or(|allow| allow.history));
    let mut user = user.map(user_in).transpose()?;
    let filter = Given::new("where", r#where, source.place())?;
    let exclude = convert::optional_ids("exclude", exclude)?;
    let signals = signals_in(signals)?;
    let models = models_in(models)?;
    let lists = lists_in(lists)?;
    let pins = pins.as_ref().map(pins_in).transpose()?.unwrap_or_default();
    let held = source.hold();
    let policy: &Policy = &policy;
    let shadow: Option<&Policy> = shadow.as_deref();
    py.detach(|| {
        held.with(|source, origin| {
            if let Some(user) = &mut user {
                name_bare_vector(source, &policy.core, shadow.map(|one| &*one.core), user)?;
            }
            let kept = filter.kept(source, "where")?;
            let only = filter.as_where(kept.as_deref());
            let eligible = Eligibility::new(source.ids(), only, exclude.as_ref())?;
            let request = Request {
                user,
                k,
                eligible,
                signals: with_lists(&bind_signals(source, &signals, &models)?, source, &lists)?,
                at: at_us,
                seed,
                request_id,
                target,
                pins,
                allow,
                budget_us,
                route,
            };
            let filter_us = start.elapsed().as_secs_f64() * 1e6;
            if let Some(shadow) = shadow {
                let both = core::rank_beside(source, &policy.core, &shadow.core, &request)?;
                return Ok(pair(both, origin, filter_us));
            }
            let slate = core::rank(source, &policy.core, &request)?;
            Ok((Slate::new(slate, origin, filter_us), None))
        })
    })
}

#[pyfunction]
#[pyo3(signature = (source, users, count, policy, k, r#where, exclude, signals, models, lists, at_us, seed, request_ids, num_threads, targets, pins, shadow, allow, budget_us, route))]
#[allow(clippy::too_many_arguments)] // One for each argument of the Python function.
pub fn rank_many(
    py: Python<'_>,
    source: Items<'_>,
    users: Option<&Bound<'_, PyDict>>,
    count: usize,
    policy: PyRef<'_, Policy>,
    k: usize,
    r#where: Option<&Bound<'_, PyAny>>,
    exclude: Option<Vec<Bound<'_, PyAny>>>,
    signals: &Bound<'_, PyDict>,
    models: &Bound<'_, PyDict>,
    lists: Vec<Bound<'_, PyDict>>,
    at_us: i64,
    seed: u64,
    request_ids: Vec<String>,
    num_threads: i64,
    targets: Option<Vec<core::Target>>,
    pins: Option<Vec<GivenPins<'_>>>,
    shadow: Option<PyRef<'_, Policy>>,
    allow: Option<[bool; 3]>,
    budget_us: Option<f64>,
    route: Option<&str>,
) -> Outcome<Vec<Pair>> {
    let start = Instant::now();
    let allow = allow.map(allow_in);
    let route = route.map(Route::parse).transpose()?.map(Arc::new);
    let exclude = exclude.filter(|_| allow.is_none_or(|allow| allow.history));
    let mut users = users_in(users, count)?;
    if request_ids.len() != count {
        return Err(Error::invalid(
            "request_id",
            format!("{count} request ids, one a user"),
            request_ids.len(),
        )
        .into());
    }
    if let Some(targets) = targets.as_ref().filter(|targets| targets.len() != count) {
        let expected = format!("{count} targets, one a user");
        return Err(Error::invalid("target", expected, targets.len()).into());
    }
    if ![0, count].contains(&lists.len()) {
        let expected = format!("{count} mappings of lists, one a user");
        return Err(Error::invalid("lists", expected, lists.len()).into());
    }
    let filters = GivenEach::new("where", r#where, source.place(), count)?;
    let exclude: Vec<Option<Ids>> = match exclude {
        None => vec![None; count],
        Some(lists) if lists.len() == count => lists
            .iter()
            .map(|list| convert::ids("exclude", list).map(Some))
            .collect::<Outcome<_>>()?,
        Some(lists) => {
            let expected = format!("{count} lists of ids, one a user");
            return Err(Error::invalid("exclude", expected, lists.len()).into());
        }
    };
    let signals = signals_in(signals)?;
    let models = models_in(models)?;
    let lists: Vec<GivenLists> = lists.iter().map(lists_in).collect::<Outcome<_>>()?;
    let pins: Vec<Pins> = match pins {
        None => vec![Pins::new(); count],
        Some(given) if given.len() == count => given.iter().map(pins_in).collect::<Outcome<_>>()?,
        Some(given) => {
            let expected = format!("{count} mappings, one a user");
            return Err(Error::invalid("pins", expected, given.len()).into());
        }
    };
    let held = source.hold();
    let policy: &Policy = &policy;
    let shadow: Option<&Policy> = shadow.as_deref();
    py.detach(|| {
        let threads = threads::resolve("num_threads", num_threads)?;
        held.with(|source, origin| {
            let signals = bind_signals(source, &signals, &models)?;
            let kept = filters.kept(source)?;
            let mut requests = Vec::with_capacity(count);
            for (i, request_id) in request_ids.into_iter().enumerate() {
                let mut user = users.as_mut().map(|users| std::mem::take(&mut users[i]));
                if let Some(user) = &mut user {
                    name_bare_vector(source, &policy.core, shadow.map(|one| &*one.core), user)?;
                }
                let only = filters.as_where(&kept, i);
                let eligible = Eligibility::new(source.ids(), only, exclude[i].as_ref())?;
                requests.push(Request {
                    user,
                    k,
                    eligible,
                    signals: match &lists[..] {
                        [] => Arc::clone(&signals),
                        lists => with_lists(&signals, source, &lists[i])?,
                    },
                    at: at_us,
                    seed,
                    request_id,
                    target: targets.as_ref().map(|targets| targets[i].clone()),
                    pins: pins[i].clone(),
                    allow,
                    budget_us,
                    route: route.clone(),
                });
            }
            let filter_us = start.elapsed().as_secs_f64() * 1e6 / count.max(1) as f64;
            if let Some(shadow) = shadow {
                let (policy, shadow) = (&policy.core, &shadow.core);
                let both = core::rank_many_beside(source, policy, shadow, &requests, threads)?;
                let pairs = both.into_iter();
                return Ok(pairs
                    .map(|both| pair(both, origin.clone(), filter_us))
                    .collect());
            }
            let slates = core::rank_many(source, &policy.core, &requests, threads)?;
            Ok(slates
                .into_iter()
                .map(|slate| (Slate::new(slate, origin.clone(), filter_us), None))
                .collect())
        })
    })
}

/// What a record may withhold: a filter, exclusions, signals, models, lists and a target.
type Withheld<'py> = (
    Option<Bound<'py, PyAny>>,
    Option<Bound<'py, PyAny>>,
    Bound<'py, PyDict>,
    Bound<'py, PyDict>,
    Bound<'py, PyDict>,
    Option<core::Target>,
);

#[pyfunction]
#[pyo3(signature = (record, source, user, withheld))]
pub fn replay(
    py: Python<'_>,
    record: &str,
    source: Items<'_>,
    user: Option<&Bound<'_, PyDict>>,
    withheld: Option<Withheld<'_>>,
) -> Outcome<Slate> {
    let mut user = user.map(user_in).transpose()?;
    let place = source.place();
    let held = source.hold();
    let Some((r#where, exclude, signals, models, lists, target)) = withheld else {
        return py.detach(|| {
            held.with(|source, origin| {
                let slate = core::replay(record, source, user)?;
                Ok(Slate::new(slate, origin, 0.0))
            })
        });
    };
    let filter = Given::new("where", r#where.as_ref(), place)?;
    let exclude = convert::optional_ids("exclude", exclude.as_ref())?;
    let signals = signals_in(&signals)?;
    let models = models_in(&models)?;
    let lists = lists_in(&lists)?;
    py.detach(|| {
        held.with(|source, origin| {
            if let (Held::Capsule(capsule), Some(user)) = (&held, &mut user) {
                name_bare_vector(source, capsule.policy(), None, user)?;
            }
            let kept = filter.kept(source, "where")?;
            let only = filter.as_where(kept.as_deref());
            let eligible = Eligibility::new(source.ids(), only, exclude.as_ref())?;
            let personal = core::Personal {
                user,
                eligible: Some(eligible),
                signals: with_lists(&bind_signals(source, &signals, &models)?, source, &lists)?,
                target,
            };
            let slate = core::replay_with(record, source, personal)?;
            Ok(Slate::new(slate, origin, 0.0))
        })
    })
}

/// The slate of a record, and what it would have been with some names masked.
#[pyfunction]
pub fn counterfactual(
    py: Python<'_>,
    record: &str,
    source: Items<'_>,
    user: Option<&Bound<'_, PyDict>>,
    mask: Vec<String>,
) -> Outcome<(Slate, Slate)> {
    let user = user.map(user_in).transpose()?;
    let held = source.hold();
    py.detach(|| {
        held.with(|source, origin| {
            let (served, other) = core::counterfactual(record, source, user, &mask)?;
            Ok((
                Slate::new(served, origin.clone(), 0.0),
                Slate::new(other, origin, 0.0),
            ))
        })
    })
}

/// Profile, history, signals.
fn allow_in([profile, history, signals]: [bool; 3]) -> core::Allow {
    core::Allow {
        history,
        profile,
        signals,
    }
}

fn user_in(user: &Bound<'_, PyDict>) -> Outcome<User> {
    let mut out = Vec::with_capacity(user.len());
    for (name, vector) in user.iter() {
        out.push((name.extract()?, taste_in(&vector)?));
    }
    Ok(out)
}

/// A vector, or interests: vectors, weights, negative vectors, the weight of these, and how they combine.
fn taste_in(given: &Bound<'_, PyAny>) -> Outcome<Taste> {
    if let Ok(vector) = given.extract::<PyReadonlyArray1<'_, f32>>() {
        return Ok(vector.as_array().to_vec().into());
    }
    type Given<'py> = (
        PyReadonlyArray2<'py, f32>,
        Vec<f64>,
        PyReadonlyArray2<'py, f32>,
        f64,
        String,
    );
    let (vectors, weights, negative, negative_weight, combine): Given<'_> = given.extract()?;
    let rows = |matrix: &PyReadonlyArray2<'_, f32>| {
        let rows = matrix.as_array();
        rows.outer_iter().map(|row| row.to_vec()).collect()
    };
    let combine = Combine::parse(&combine)
        .ok_or_else(|| Error::invalid("combine", "\"max\" or \"mean\"", &combine))?;
    Ok(Taste::Interests(Box::new(core::Interests {
        vectors: rows(&vectors),
        weights,
        negative: rows(&negative),
        negative_weight,
        combine,
    })))
}

fn users_in(users: Option<&Bound<'_, PyDict>>, count: usize) -> Outcome<Option<Vec<User>>> {
    let Some(users) = users else {
        return Ok(None);
    };
    let mut out: Vec<User> = vec![Vec::with_capacity(users.len()); count];
    for (name, matrix) in users.iter() {
        let name: String = name.extract()?;
        if let Ok(each) = matrix.extract::<Vec<Bound<'_, PyTuple>>>() {
            if each.len() != count {
                let expected = format!("{count} users in every space");
                return Err(Error::invalid("user", expected, each.len()).into());
            }
            for (user, given) in out.iter_mut().zip(&each) {
                user.push((name.clone(), taste_in(given)?));
            }
            continue;
        }
        let matrix: PyReadonlyArray2<'_, f32> = matrix.extract()?;
        let [rows, dim] = [matrix.shape()[0], matrix.shape()[1]];
        if rows != count {
            return Err(
                Error::invalid("user", format!("{count} rows in every space"), rows).into(),
            );
        }
        let numbers = convert::contiguous("user", &matrix)?;
        for (i, user) in out.iter_mut().enumerate() {
            user.push((
                name.clone(),
                numbers[i * dim..(i + 1) * dim].to_vec().into(),
            ));
        }
    }
    Ok(Some(out))
}

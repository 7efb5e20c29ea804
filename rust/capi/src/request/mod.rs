//! The JSON document of a request: all that `rank` of Python takes and JSON can carry. Nothing in it is optional that
//! would otherwise come from a clock or a random source: the same call gives the same record.
//!
//! - here: from the document to the core's request;
//! - `shapes`: the parts that JSON may write in more than one way.

mod shapes;

use std::collections::btree_map::Entry;
use std::sync::Arc;

use perso_core::error::{Error, Result};
use perso_core::filter::Filter;
use perso_core::ids::Id;
use perso_core::profile::Profile;
#[cfg(feature = "replay")]
use perso_core::rank::Personal;
use perso_core::rank::{
    self, Allow, Eligibility, List, Pins, Policy, Request, Signals, Source, Target, Taste, User,
    Where,
};
use perso_core::route::Route;

use shapes::{Each, IdList, Listing, Numbers, OneId, Only, Tastes};

/// What a request says.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    k: usize,
    at: i64,
    seed: u64,
    request_id: String,
    #[serde(default)]
    user: Option<Tastes>,
    #[serde(default)]
    exclude: Option<IdList>,
    #[serde(default, rename = "where")]
    only: Option<Only>,
    #[serde(default)]
    signals: Option<Each<Numbers>>,
    #[serde(default)]
    lists: Option<Each<Listing>>,
    #[serde(default)]
    target: Option<Each<f64>>,
    #[serde(default)]
    pins: Option<Vec<Pin>>,
    #[serde(default)]
    allow: Option<Allowed>,
    #[serde(default)]
    budget_us: Option<f64>,
    #[serde(default)]
    route: Option<Route>,
}

/// An item for a slot, as records have it.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Pin {
    slot: usize,
    id: OneId,
}

/// The personal input that may be used; what is not named may.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Allowed {
    history: bool,
    profile: bool,
    signals: bool,
}

impl Default for Allowed {
    fn default() -> Self {
        Allowed {
            history: true,
            profile: true,
            signals: true,
        }
    }
}

/// What a record may lack of a request.
#[cfg(feature = "replay")]
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Lacking {
    #[serde(default)]
    user: Option<Tastes>,
    #[serde(default)]
    exclude: Option<IdList>,
    #[serde(default, rename = "where")]
    only: Option<Only>,
    #[serde(default)]
    signals: Option<Each<Numbers>>,
    #[serde(default)]
    lists: Option<Each<Listing>>,
    #[serde(default)]
    target: Option<Each<f64>>,
}

/// Reads a request to this source, to be ranked by this policy, for whom this profile is of.
pub(crate) fn parse(
    json: &str,
    source: &dyn Source,
    policy: &Policy,
    profile: Option<&Profile>,
) -> Result<Request> {
    let document: Document = serde_json::from_str(json).map_err(|error| {
        let expected =
            "a JSON object with k, at, seed, request_id and, where wanted, user, exclude, where, \
                        signals, lists, target, pins, allow, budget_us, route";
        Error::invalid("request_json", expected, error)
    })?;
    let allow = document.allow.map(|allowed| Allow {
        history: allowed.history,
        profile: allowed.profile,
        signals: allowed.signals,
    });
    let personal = allow.is_none_or(|allow| allow.profile);
    let user = match document.user {
        Some(tastes) if personal => Some(named(tastes, source, policy)?),
        _ => None,
    };
    let user = match profile {
        Some(profile) if personal => with_profile(user, profile, document.at)?,
        _ => user,
    };
    let history = allow.is_none_or(|allow| allow.history);
    let exclude = document.exclude.filter(|_| history);
    Ok(Request {
        user,
        k: document.k,
        eligible: eligible(source, document.only, exclude)?,
        signals: Arc::new(signals(source, document.signals, document.lists)?),
        at: document.at,
        seed: document.seed,
        request_id: document.request_id,
        target: document.target.map(target).transpose()?,
        pins: pins(document.pins.unwrap_or_default())?,
        allow,
        budget_us: document.budget_us,
        route: document.route.map(followed).transpose()?,
    })
}

/// Reads what a record was written without.
#[cfg(feature = "replay")]
pub(crate) fn parse_personal(json: &str, source: &dyn Source) -> Result<Personal> {
    let lacking: Lacking = serde_json::from_str(json).map_err(|error| {
        let expected = "a JSON object with, where the record lacks them, user, exclude, where, signals, lists, target";
        Error::invalid("personal_json", expected, error)
    })?;
    let user = match lacking.user {
        None => None,
        Some(Tastes::Spaces(user)) => Some(user),
        Some(Tastes::Bare(_)) => {
            let expected = "an object with a vector, or interests, for each space";
            return Err(Error::invalid("user", expected, "a list"));
        }
    };
    let eligible = match (lacking.only, lacking.exclude) {
        (None, None) => None,
        (only, exclude) => Some(eligible(source, only, exclude)?),
    };
    Ok(Personal {
        user,
        eligible,
        signals: Arc::new(signals(source, lacking.signals, lacking.lists)?),
        target: lacking.target.map(target).transpose()?,
    })
}

/// The rows that may be shown.
fn eligible(
    source: &dyn Source,
    only: Option<Only>,
    exclude: Option<IdList>,
) -> Result<Eligibility> {
    let kept;
    let only = match only {
        None => Where::All,
        Some(Only::Ids(IdList(ref wanted))) => Where::Ids(wanted),
        Some(Only::Filter(expr)) => {
            expr.validate("where")?;
            kept = Filter::of(expr).compile(source, "where")?;
            Where::Rows(&kept.rows)
        }
    };
    let exclude = exclude.as_ref().map(|IdList(seen)| seen);
    Eligibility::new(source.ids(), only, exclude)
}

/// A vector without a space is for the one that the policy's similarity names, or the only one there is.
fn named(tastes: Tastes, source: &dyn Source, policy: &Policy) -> Result<User> {
    match tastes {
        Tastes::Spaces(user) => Ok(user),
        Tastes::Bare(vector) => {
            let space = rank::space_of_bare_vector(source, policy)?;
            Ok(vec![(source.spaces()[space].name.clone(), vector.into())])
        }
    }
}

/// The user with the vector that a profile has at a moment. Without any evidence there is nobody, or, beside what is
/// known in other spaces, zeros, which tell no items apart.
fn with_profile(user: Option<User>, profile: &Profile, at: i64) -> Result<Option<User>> {
    let space = &profile.plan().spec().space;
    let mut user = user.unwrap_or_default();
    if user.iter().any(|(name, _)| name == space) {
        let expected = format!("no vector for space {space:?}, which the profile is for");
        return Err(Error::invalid("user", expected, "one"));
    }
    let vector = match profile.vector(at) {
        None if user.is_empty() => return Ok(None),
        None => vec![0.0; profile.dim()],
        Some(vector) => vector,
    };
    user.push((space.clone(), Taste::Vector(vector)));
    Ok(Some(user))
}

fn signals(
    source: &dyn Source,
    numbers: Option<Each<Numbers>>,
    lists: Option<Each<Listing>>,
) -> Result<Signals> {
    let mut signals = Signals::new();
    for (name, given) in numbers.map_or_else(Vec::new, |Each(all)| all) {
        match given {
            Numbers::All(values) => signals.insert_live(&name, source.ids(), values)?,
            Numbers::Some { ids, values } => {
                signals.insert_ids(&name, source.ids(), &ids.0, &values)?;
            }
        }
    }
    for (name, given) in lists.map_or_else(Vec::new, |Each(all)| all) {
        let (ids, scores) = match &given {
            Listing::Order(ids) => (ids, None),
            Listing::Scored { ids, scores } => (ids, Some(&scores[..])),
        };
        let list = List::new(&name, source.ids(), &ids.0, scores)?;
        signals.insert_list(&name, list)?;
    }
    Ok(signals)
}

/// A decision that follows from its own inputs.
fn followed(route: Route) -> Result<Arc<Route>> {
    Ok(Arc::new(Route::parse(&route.to_json()?)?))
}

fn target(Each(shares): Each<f64>) -> Result<Target> {
    let mut target = Target::new();
    for (value, share) in shares {
        match target.entry(value) {
            Entry::Occupied(twice) => {
                let got = format!("{:?} twice", twice.key());
                return Err(Error::invalid("target", "each value once", got));
            }
            Entry::Vacant(free) => free.insert(share),
        };
    }
    Ok(target)
}

fn pins(given: Vec<Pin>) -> Result<Pins> {
    let mut pins = Pins::new();
    for Pin { slot, id } in given {
        let id = match id {
            OneId::Int(id) => Id::Int(id),
            OneId::Str(id) => Id::Str(id),
        };
        if pins.insert(slot, id).is_some() {
            let got = format!("{slot} twice");
            return Err(Error::invalid("pins", "each slot once", got));
        }
    }
    Ok(pins)
}

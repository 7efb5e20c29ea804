//! Making a recorded slate again, bit for bit, or saying why that cannot be.
//!
//! Scores, diversity, caps and draws are computed anew from the source's content; only retrieval is
//! taken from the record (see `record`). The result is compared with the recorded one field by field,
//! so a record that does not follow from its inputs is refused.
//!
//! A record that withholds personal input has no pool either. It is ranked anew, retrieval included, with what the caller
//! gives of it, and compared as far as it goes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::ids::Id;

use super::bind::{bind, explore_inputs, Ask};
use super::budget::Budget;
use super::engine;
use super::lists::ListCounts;
use super::policy::{Policy, SignalSpec};
use super::pool::{First, Retriever};
use super::record::{digest, document, to_value, Document, SCHEMA};
use super::record_withheld::{withhold, WITHHELD};
use super::request::{Counts, Eligibility, Pins, Request, Target, User};
use super::rules;
use super::signals::Signals;
use super::slate::{Asked, Slate};
use super::source::{Path, Source};
use super::timing::Clock;

/// Makes the slate of a record again.
///
/// `user` is needed when the record holds only hashes of the user's vectors; otherwise it may be
/// given, and must then be the same. Every failure is an [`Error::Replay`] with its reason.
pub fn replay(json: &str, source: &dyn Source, user: Option<User>) -> Result<Slate> {
    let personal = Personal {
        user,
        ..Personal::default()
    };
    replay_with(json, source, personal)
}

/// What a record may withhold.
#[derive(Clone, Debug, Default)]
pub struct Personal {
    /// The user's vectors.
    pub user: Option<User>,
    /// What was eligible; `None` for everything.
    pub eligible: Option<Eligibility>,
    /// What the request brought.
    pub signals: Arc<Signals>,
    /// The request's own target.
    pub target: Option<Target>,
}

/// The same for a record that may withhold more than vectors. What a record holds cannot be given, but for the user.
pub fn replay_with(json: &str, source: &dyn Source, personal: Personal) -> Result<Slate> {
    as_replay(try_replay(json, source, personal))
}

fn try_replay(json: &str, source: &dyn Source, personal: Personal) -> Result<Slate> {
    let found = Found::new(json, source)?;
    match found.recorded.personal.as_deref() {
        Some(WITHHELD) => again_with(&found, source, personal),
        Some(other) => refuse(format!("its personal input is {other:?}, which is unknown")),
        None => {
            let signals = &personal.signals;
            if personal.eligible.is_some()
                || personal.target.is_some()
                || signals.names().next().is_some()
                || signals.model_names().next().is_some()
                || signals.list_names().next().is_some()
            {
                return refuse(
                    "it holds what was eligible, signals and a target: only the user can be given",
                );
            }
            let (_, slate) = again(found, source, personal.user)?;
            Ok(slate)
        }
    }
}

/// The inputs of a record, and the slate that they give, which is the recorded one.
pub(crate) fn read(
    json: &str,
    source: &dyn Source,
    user: Option<User>,
) -> Result<(Recorded, Slate)> {
    let read = || {
        let found = Found::new(json, source)?;
        if found.recorded.personal.is_some() {
            return refuse("it withholds personal input, and its pool with it");
        }
        again(found, source, user)
    };
    as_replay(read())
}

fn as_replay<T>(result: Result<T>) -> Result<T> {
    result.map_err(|error| match error {
        Error::Replay(_) | Error::Interrupted => error,
        other => Error::Replay(other.to_string()),
    })
}

/// What a record says that its slate was made from.
pub(crate) struct Recorded {
    pub(crate) policy: Arc<Policy>,
    pub(crate) asked: Asked,
    pub(crate) signals: Signals,
    steps: Vec<Vec<u32>>,
    path: Path,
}

impl Recorded {
    /// Ranks the recorded pool by some policy, with a request that fits it.
    pub(crate) fn rank(
        &self,
        source: &dyn Source,
        policy: &Arc<Policy>,
        asked: Asked,
        signals: &Signals,
    ) -> Result<Slate> {
        let clock = Clock::start();
        let user = asked.user.clone();
        let ask = Ask {
            user: user.as_deref(),
            signals,
            at: asked.at,
            answers_recorded: true,
            // The policy of a shadow may leave them to the one that served; no other record has them unused.
            scores_may_idle: true,
        };
        let bound = bind(source, policy, &ask)?;
        let boosts = rules::boosts(source, policy)?;
        let inputs = explore_inputs(source, policy, signals)?;
        let mut pool = RecordedPool {
            pooled: self.steps.iter().flatten().copied().collect(),
            steps: self.steps.iter(),
            path: self.path,
        };
        engine::run(
            source, policy, &bound, &boosts, &inputs, asked, &mut pool, clock,
        )
    }
}

fn refuse<T>(reason: impl Into<String>) -> Result<T> {
    Err(Error::Replay(reason.into()))
}

/// A record that is whole, and of this source.
struct Found {
    /// Its fields but for the digest.
    value: Value,
    recorded: Document,
    policy: Arc<Policy>,
}

impl Found {
    fn new(json: &str, source: &dyn Source) -> Result<Self> {
        let not_a_record = |error| Error::Replay(format!("it is no {SCHEMA} document: {error}"));
        let mut value: Value = serde_json::from_str(json).map_err(not_a_record)?;
        match value.get("schema").and_then(Value::as_str) {
            Some(SCHEMA) => {}
            Some(other) => {
                return refuse(format!("its schema is {other:?}, and this is {SCHEMA:?}"))
            }
            None => return refuse(format!("it is no {SCHEMA} document: it names no schema")),
        }
        let recorded: Document = serde_json::from_value(value.clone()).map_err(not_a_record)?;
        if digest(&mut value)? != recorded.digest {
            return refuse(
                "its content does not match its digest: it was changed after it was written",
            );
        }
        let policy = Arc::new(Policy::new(recorded.policy.clone())?);
        if policy.hash() != recorded.policy_hash {
            return refuse(format!(
                "its policy has hash {}, and the record says {}",
                policy.hash(),
                recorded.policy_hash
            ));
        }
        if !source.has_content(&recorded.content_hash) {
            return refuse(format!(
            "the catalog's content has changed: its hash is {} at generation {}, and the record was made from \
             {} at generation {}",
            source.content_hash(),
            source.generation(),
            recorded.content_hash,
            recorded.generation
        ));
        }
        Ok(Found {
            value,
            recorded,
            policy,
        })
    }

    fn count(&self, name: &str, n: u64) -> Result<usize> {
        usize::try_from(n).map_err(|_| Error::Replay(format!("it has an impossible {name}: {n}")))
    }

    fn counts(&self) -> Result<Counts> {
        let counted = &self.recorded.eligibility;
        Ok(Counts {
            live: self.count("count", counted.live)?,
            filtered: self.count("count", counted.filtered)?,
            excluded: self.count("count", counted.excluded)?,
            hidden: self.count("count", counted.hidden)?,
            eligible: self.count("count", counted.eligible)?,
        })
    }

    /// The slate, if it is the recorded one as far as the record goes.
    fn confirm(&self, mut slate: Slate, withheld: bool) -> Result<Slate> {
        let Found {
            value, recorded, ..
        } = self;
        // A replayed slate says of its source what the record says; layouts are no part of the content.
        slate.origin = match (&recorded.source, slate.origin) {
            (Some(recorded), Some(again)) => Some(again.with_layouts_of(recorded)),
            _ => recorded.source.clone(),
        };
        slate.recorded_content = Some(recorded.content_hash.clone());
        let mut again = document(&slate, String::new());
        again.user_key_hmac.clone_from(&recorded.user_key_hmac);
        again.library = recorded.library.clone();
        again.generation = recorded.generation;
        if recorded.user.is_none() {
            again.user = None;
        }
        // Records written before support was noted say nothing of it, which is no contradiction.
        for (again, recorded) in again.choices.iter_mut().zip(&recorded.choices) {
            if recorded.support.is_none() {
                again.support = None;
            }
        }
        let mut again = to_value(&again)?;
        if withheld {
            withhold(&mut again);
        }
        digest(&mut again)?;
        match first_difference("record", value, &again) {
            Some(difference) => refuse(difference),
            None => Ok(slate),
        }
    }
}

/// Ranks again what a record without personal input is of.
fn again_with(found: &Found, source: &dyn Source, personal: Personal) -> Result<Slate> {
    let Found {
        recorded, policy, ..
    } = found;
    let eligible = match personal.eligible {
        Some(eligible) => eligible,
        None => Eligibility::all(source.ids()),
    };
    let (was, is) = (found.counts()?, eligible.counts);
    if (was.live, was.filtered, was.excluded) != (is.live, is.filtered, is.excluded) {
        return refuse(format!(
            "of {} items a filter left out {} and exclude {}, and with what was given it is {} and {}: give what it withholds",
            was.live, was.filtered, was.excluded, is.filtered, is.excluded
        ));
    }
    let request = Request {
        user: personal.user,
        k: found.count("k", recorded.k)?,
        eligible,
        signals: personal.signals,
        at: recorded.at,
        seed: recorded.seed,
        request_id: recorded.request_id.clone(),
        target: personal.target,
        pins: recorded_pins(recorded)?,
        allow: recorded.allow,
        budget_us: recorded.budget.as_ref().map(|budget| budget.us),
        route: recorded.route.clone().map(Arc::new),
    };
    let slate = super::rank(source, policy, &request)?;
    found.confirm(slate, true).map_err(|error| match error {
        Error::Replay(difference) => Error::Replay(format!(
            "{difference}; it withholds personal input, and what was given may be other"
        )),
        other => other,
    })
}

fn again(found: Found, source: &dyn Source, user: Option<User>) -> Result<(Recorded, Slate)> {
    let Found {
        recorded, policy, ..
    } = &found;
    let policy = Arc::clone(policy);
    let user = the_user(recorded, user)?;
    let path = Path::parse(&recorded.path)
        .ok_or_else(|| Error::Replay(format!("it has an unknown path {:?}", recorded.path)))?;
    let steps = pool_rows(recorded, source)?;
    let hidden = rules::hidden(source, &policy)?;
    if let Some(row) = steps.iter().flatten().find(|&&row| hidden.contains(row)) {
        let id = source.ids().id(*row);
        return refuse(format!(
            "item {id} of its pool is one that its policy hides"
        ));
    }
    check_allowed(recorded, &policy)?;
    let signals = the_signals(recorded, &steps)?;

    let asked = Asked {
        user,
        k: found.count("k", recorded.k)?,
        at: recorded.at,
        seed: recorded.seed,
        request_id: recorded.request_id.clone(),
        counts: found.counts()?,
        target: recorded.target.clone(),
        pins: recorded_pins(recorded)?,
        lists: recorded
            .lists
            .iter()
            .map(|(name, list)| {
                let counts = ListCounts {
                    given: found.count("count", list.given)?,
                    eligible: found.count("count", list.eligible)?,
                };
                Ok((name.clone(), counts))
            })
            .collect::<Result<_>>()?,
        allow: recorded.allow,
        // There is no retrieval to predict: what was decided is done.
        budget: recorded.budget.clone().map(Budget::in_words),
        route: recorded.route.clone().map(Arc::new),
    };
    let inputs = Recorded {
        policy,
        asked,
        signals,
        steps,
        path,
    };
    let slate = inputs.rank(
        source,
        &inputs.policy,
        inputs.asked.clone(),
        &inputs.signals,
    )?;
    let slate = found.confirm(slate, false)?;
    Ok((inputs, slate))
}

/// The recorded vectors, or those given in place of hashes.
fn the_user(recorded: &Document, given: Option<User>) -> Result<Option<User>> {
    let Some(hashes) = &recorded.user_sha256 else {
        return match (&recorded.user, given) {
            (None, None) => Ok(None),
            (Some(_), _) => refuse("it has user vectors without their hashes"),
            (None, Some(_)) => refuse("it was made without a user, and one was given"),
        };
    };
    let from_record = recorded.user.as_ref().map(|user| {
        user.iter()
            .map(|(space, taste)| Some((space.clone(), taste.taste()?)))
            .collect::<Option<User>>()
    });
    let from_record = match from_record {
        Some(None) => return refuse("it has a user's interests combined in an unknown way"),
        Some(user) => user,
        None => None,
    };
    let Some(user): Option<User> = given.or(from_record) else {
        return refuse("it holds only hashes of the user's vectors: give them as user");
    };
    if user.len() != hashes.len() {
        return refuse(format!(
            "it was made with {} user vectors, not {}",
            hashes.len(),
            user.len()
        ));
    }
    for (space, taste) in &user {
        if taste.vectors().next().is_none() || hashes.get(space) != Some(&taste.hash()) {
            return refuse(format!(
                "the user's vector for space {space:?} is not the recorded one"
            ));
        }
    }
    Ok(Some(user))
}

/// A record holds nothing of what its request did not allow.
fn check_allowed(recorded: &Document, policy: &Policy) -> Result<()> {
    let Some(allow) = recorded.allow else {
        return Ok(());
    };
    let holds = |what: &str| refuse(format!("it holds {what}, which its request did not allow"));
    if !allow.profile && (recorded.user_sha256.is_some() || recorded.target.is_some()) {
        return holds("a profile");
    }
    if !allow.history && recorded.eligibility.excluded > 0 {
        return holds("excluded items");
    }
    let answered = |name: &str| {
        let kept = |s: &SignalSpec| matches!(s, SignalSpec::Model { .. } | SignalSpec::List { .. });
        let named = |s: &SignalSpec| kept(s) && s.name() == name;
        policy.signals().iter().any(named)
    };
    if !allow.signals && recorded.signals.keys().any(|name| !answered(name)) {
        return holds("signals");
    }
    Ok(())
}

fn pool_rows(recorded: &Document, source: &dyn Source) -> Result<Vec<Vec<u32>>> {
    let mut seen = HashSet::new();
    let mut steps = Vec::with_capacity(recorded.pool.len());
    for step in &recorded.pool {
        let mut rows = Vec::with_capacity(step.ids.len());
        for id in &step.ids {
            let id = Id::from(id);
            let Some(row) = source.ids().row(&id) else {
                return refuse(format!("item {id} of its pool is not there"));
            };
            if !seen.insert(row) {
                return refuse(format!("item {id} is twice in its pool"));
            }
            rows.push(row);
        }
        steps.push(rows);
    }
    Ok(steps)
}

fn the_signals(recorded: &Document, steps: &[Vec<u32>]) -> Result<Signals> {
    let pooled: usize = steps.iter().map(Vec::len).sum();
    let mut signals = Signals::new();
    if recorded.allow.is_some_and(|allow| !allow.signals) {
        signals.withhold();
    }
    for (name, values) in &recorded.signals {
        if values.len() != pooled {
            return refuse(format!(
                "signal {name:?} has {} values for {pooled} pool entries",
                values.len()
            ));
        }
        let by_row: HashMap<u32, f64> = steps
            .iter()
            .flatten()
            .zip(values)
            .filter_map(|(&row, value)| value.map(|value| (row, value)))
            .collect();
        signals.insert_sparse(name, by_row)?;
    }
    Ok(signals)
}

fn recorded_pins(recorded: &Document) -> Result<Pins> {
    let mut pins = Pins::new();
    for pin in &recorded.pins {
        let slot = usize::try_from(pin.slot)
            .map_err(|_| Error::Replay(format!("it has an impossible slot: {}", pin.slot)))?;
        if pins.insert(slot, Id::from(&pin.id)).is_some() {
            return refuse(format!("slot {slot} is twice in its pins"));
        }
    }
    Ok(pins)
}

/// The retrievals of a record, served in their order.
struct RecordedPool<'a> {
    /// The rows of all of them. A pinned item that may be shown is always among these.
    pooled: HashSet<u32>,
    steps: std::slice::Iter<'a, Vec<u32>>,
    path: Path,
}

impl Retriever for RecordedPool<'_> {
    fn first(&mut self, _: usize) -> Result<First> {
        Ok(First {
            rows: self.steps.next().cloned().unwrap_or_default(),
            known: None,
            path: self.path,
        })
    }

    fn deepen(&mut self, _: usize, _: &mut dyn FnMut(u32) -> bool) -> Result<Vec<u32>> {
        Ok(self.steps.next().cloned().unwrap_or_default())
    }

    fn is_eligible(&self, row: u32) -> bool {
        self.pooled.contains(&row)
    }

    fn join(&mut self, _: Vec<u32>) -> Vec<u32> {
        self.steps.next().cloned().unwrap_or_default()
    }
}

/// Where two documents first differ, in words.
fn first_difference(at: &str, recorded: &Value, again: &Value) -> Option<String> {
    match (recorded, again) {
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            a.iter().find_map(|(key, a)| {
                let at = format!("{at}.{key}");
                match b.get(key) {
                    Some(b) => first_difference(&at, a, b),
                    None => Some(format!("{at} does not follow from its inputs")),
                }
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(i, (a, b))| first_difference(&format!("{at}[{i}]"), a, b)),
        (Value::Array(a), Value::Array(b)) => Some(format!(
            "{at} has {} entries, and its inputs give {}",
            a.len(),
            b.len()
        )),
        // 1 and 1.0 are one number to most programs that a record passes through.
        (Value::Number(a), Value::Number(b)) if a == b || same_double(a, b) => None,
        (a, b) if a == b => None,
        (a, b) => Some(format!("{at} is {a}, and its inputs give {b}")),
    }
}

fn same_double(a: &serde_json::Number, b: &serde_json::Number) -> bool {
    (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64()
}

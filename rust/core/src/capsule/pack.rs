//! From items to a signed capsule. The same items, policy, moments and key give the same bytes.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use flatbuffers::{FlatBufferBuilder, WIPOffset};

use super::columns;
use super::generated::perso_core as fb;
use super::sign::PrivateKey;
use super::{Capsule, MOST_BYTES, MOST_ITEMS};
use crate::column::{Column, ColumnType, Value};
use crate::error::{Error, Result};
use crate::ids::{Id, IdMap, Ids};
use crate::metric::{Dtype, Metric};
use crate::profile::Plan;
use crate::rank::policy::{PolicySpec, SignalSpec};
use crate::rank::{
    attributes_read, diversity, explore_names, space_index, Eligibility, Policy, Request, Slate,
    Source,
};
use crate::store::{Data, VectorStore};

/// What goes into a capsule.
#[derive(Clone, Copy, Debug)]
pub struct Packing<'a> {
    /// The candidates, in the order that the capsule keeps.
    pub ids: &'a Ids,
    /// Their spaces; `None` for those that the policy and the plan need.
    pub spaces: Option<&'a [String]>,
    /// How vectors are kept: `i8` or `f16`.
    pub dtype: Dtype,
    /// Attributes beside those that the policy needs.
    pub attributes: &'a [String],
    /// Numbers under the names of signals, models and lists, one a candidate, NaN where there is none.
    pub signals: &'a [(String, Vec<f64>)],
    /// What profiles on the device learn from.
    pub plan: Option<&'a Plan>,
    /// Now: microseconds since the epoch.
    pub made_at: i64,
    /// From when on it is refused.
    pub expires_at: i64,
}

/// Makes a capsule of some items of a source, for a policy that a device can follow.
///
/// Scores that came with candidates go with them where the policy uses them. What a device cannot work out, which is what
/// models and lists say, has to be among [`Packing::signals`]; a policy that lacks something is refused.
pub fn pack(
    source: &dyn Source,
    policy: &Arc<Policy>,
    packing: &Packing<'_>,
    key: &PrivateKey,
) -> Result<Vec<u8>> {
    let rows = rows_of(source, packing.ids)?;
    if packing.dtype == Dtype::F32 {
        return Err(Error::invalid("dtype", "\"i8\" or \"f16\"", "\"f32\""));
    }
    if packing.made_at >= packing.expires_at {
        let got = format!("{} µs", packing.expires_at.wrapping_sub(packing.made_at));
        return Err(Error::invalid("ttl", "more than 0", got));
    }
    check_answers(policy.spec(), packing.signals)?;
    let bytes = seal(encode(source, policy, packing, &rows)?, key);
    if bytes.len() > MOST_BYTES {
        let expected = format!("items that fit a capsule of {MOST_BYTES} bytes");
        return Err(Error::invalid(
            "ids",
            expected,
            format!("{} bytes", bytes.len()),
        ));
    }
    // What a device would be told is told here: that something the policy names is not there.
    let capsule = Capsule::open(&bytes, &[key.public()], packing.made_at)?;
    capsule.rank(&Request {
        user: None,
        k: 1,
        eligible: Eligibility::all(capsule.id_map()),
        signals: Arc::default(),
        at: packing.made_at,
        seed: 0,
        request_id: String::new(),
        target: None,
        pins: Default::default(),
        allow: None,
        budget_us: None,
        route: None,
    })?;
    Ok(bytes)
}

/// Signs a buffer that has its size in front. Nothing is checked: that is the business of who opens it.
pub fn seal(mut body: Vec<u8>, key: &PrivateKey) -> Vec<u8> {
    body.extend_from_slice(key.public().id_bytes());
    let signature = key.sign(&body);
    body.extend_from_slice(&signature);
    body
}

/// Numbers by the names of signals, one a candidate, NaN where there is none.
pub type Numbers = Vec<(String, Vec<f64>)>;

/// Up to `most` candidates of a slate: what it shows, then the best of the rest of its pool. With them come the numbers of
/// its request, of models and of lists that a policy reads.
pub fn candidates_of(slate: &Slate, policy: &Policy, most: usize) -> (Ids, Numbers) {
    let mut entries: Vec<usize> = slate.slots.iter().map(|slot| slot.entry as usize).collect();
    let shown: HashSet<usize> = entries.iter().copied().collect();
    let scores = &slate.pool.scores;
    let mut rest: Vec<(usize, Id)> = (0..scores.len())
        .filter(|entry| !shown.contains(entry))
        .map(|entry| (entry, slate.pool.ids.get(entry)))
        .collect();
    rest.sort_by(|(a, left), (b, right)| scores[*b].total_cmp(&scores[*a]).then(left.cmp(right)));
    entries.extend(rest.into_iter().map(|(entry, _)| entry));
    entries.truncate(most);
    let ids = match &slate.pool.ids {
        Ids::Int(ids) => Ids::Int(entries.iter().map(|&entry| ids[entry]).collect()),
        Ids::Str(ids) => Ids::Str(entries.iter().map(|&entry| ids[entry].clone()).collect()),
    };
    let named = names_of(policy);
    let signals = slate.pool.signals.iter();
    let signals = signals
        .filter(|(name, _)| named.contains(name.as_str()))
        .map(|(name, values)| {
            (
                name.clone(),
                entries.iter().map(|&entry| values[entry]).collect(),
            )
        })
        .collect();
    (ids, signals)
}

/// The names under which a policy reads numbers that may come with a request.
fn names_of(policy: &Policy) -> BTreeSet<&str> {
    let named = policy.signals().iter().filter_map(|signal| match signal {
        SignalSpec::Value { name, .. }
        | SignalSpec::Model { name, .. }
        | SignalSpec::List { name, .. } => Some(name.as_str()),
        SignalSpec::Similarity { .. } | SignalSpec::Decay { .. } => None,
    });
    named.chain(explore_names(policy)).collect()
}

fn rows_of(source: &dyn Source, ids: &Ids) -> Result<Vec<u32>> {
    if !(1..=MOST_ITEMS).contains(&ids.len()) {
        return Err(Error::invalid(
            "ids",
            format!("1 to {MOST_ITEMS} ids"),
            ids.len(),
        ));
    }
    IdMap::new().check_batch("ids", ids)?;
    crate::select::check_kind("ids", source.ids(), ids)?;
    source.ids().require_all(ids)
}

/// What came along is of use, and nothing that a server alone can say is lacking.
fn check_answers(spec: &PolicySpec, signals: &[(String, Vec<f64>)]) -> Result<()> {
    let given = |name: &str| signals.iter().any(|(other, _)| other == name);
    for signal in &spec.score.signals {
        let what = match signal {
            SignalSpec::Model { .. } => "model",
            SignalSpec::List { .. } => "list",
            _ => continue,
        };
        if !given(signal.name()) {
            return Err(Error::invalid(
                "policy",
                "one whose models and lists have answered already: their numbers as signals, because a device has neither",
                format!("a Blend with the {what} {:?} and no numbers of it", signal.name()),
            ));
        }
    }
    Ok(())
}

fn encode(
    source: &dyn Source,
    policy: &Arc<Policy>,
    packing: &Packing<'_>,
    rows: &[u32],
) -> Result<Vec<u8>> {
    let mut builder = FlatBufferBuilder::new();
    let (ints, text_ends, texts) = match packing.ids {
        Ids::Int(ids) => (Some(columns::write_integers(&mut builder, ids)), None, None),
        Ids::Str(ids) => {
            let mut ends: Vec<u32> = Vec::with_capacity(ids.len());
            let mut bytes = Vec::new();
            for id in ids {
                bytes.extend_from_slice(id.as_bytes());
                ends.push(u32::try_from(bytes.len()).map_err(|_| {
                    Error::invalid("ids", "texts of at most 4294967295 bytes in all", "more")
                })?);
            }
            (
                None,
                Some(builder.create_vector(&ends)),
                Some(builder.create_vector(&bytes)),
            )
        }
    };
    let mut spaces = Vec::new();
    for at in spaces_of(source, policy, packing)? {
        spaces.push(write_space(&mut builder, source, at, packing.dtype, rows)?);
    }
    let spaces = builder.create_vector(&spaces);
    let bare = |signal: &SignalSpec| matches!(signal, SignalSpec::Similarity { space: None, .. });
    let given = source.given_scores();
    let scores = given.filter(|_| policy.signals().iter().any(bare));
    let scores = scores.map(|scores| {
        let scores: Vec<f64> = rows.iter().map(|&row| scores[row as usize]).collect();
        builder.create_vector(&scores)
    });
    let attributes = attributes_of(&mut builder, source, policy, packing, rows)?;
    let attributes = builder.create_vector(&attributes);
    let signals = signals_of(&mut builder, policy, packing)?;
    let signals = builder.create_vector(&signals);
    let hash = bytes_of(&source.content_hash());
    let args = fb::CapsuleArgs {
        ints,
        text_ends,
        texts,
        spaces: Some(spaces),
        scores,
        attributes: Some(attributes),
        signals: Some(signals),
        policy: Some(builder.create_string(policy.canonical_json())),
        profile_plan: packing
            .plan
            .map(|plan| builder.create_string(plan.canonical_json())),
        library: Some(builder.create_string(env!("CARGO_PKG_VERSION"))),
        generation: source.generation(),
        content_hash: Some(builder.create_vector(&hash)),
        made_at: packing.made_at,
        expires_at: packing.expires_at,
    };
    let root = fb::Capsule::create(&mut builder, &args);
    fb::finish_size_prefixed_capsule_buffer(&mut builder, root);
    Ok(builder.finished_data().to_vec())
}

/// The bytes that a hash in hex stands for.
fn bytes_of(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| {
            let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or_default() as u8;
            16 * digit(pair[0]) + digit(pair[1])
        })
        .collect()
}

/// The spaces that go along, in the order of the source: which space stands first decides which one is compared by.
fn spaces_of(
    source: &dyn Source,
    policy: &Policy,
    packing: &Packing<'_>,
) -> Result<BTreeSet<usize>> {
    let mut wanted = BTreeSet::new();
    if let Some(plan) = packing.plan {
        wanted.insert(space_index(source, &plan.spec().space)?);
    }
    if let Some(names) = packing.spaces {
        for name in names {
            if !wanted.insert(space_index(source, name)?)
                && names.iter().filter(|n| *n == name).count() > 1
            {
                return Err(Error::invalid(
                    "spaces",
                    "each space once",
                    format!("{name:?} twice"),
                ));
            }
        }
        return Ok(wanted);
    }
    if let Some(spec) = &policy.spec().diversity {
        wanted.extend(diversity::space_of(source, spec)?);
    }
    for signal in policy.signals() {
        match signal {
            SignalSpec::Similarity {
                space: Some(name), ..
            } => {
                wanted.insert(space_index(source, name)?);
            }
            // The candidates' own scores, or the plan's space, or the only one.
            SignalSpec::Similarity { space: None, .. }
                if source.given_scores().is_none() && packing.plan.is_none() =>
            {
                match source.spaces() {
                    [] => {}
                    [_] => {
                        wanted.insert(0);
                    }
                    many => {
                        let names: Vec<String> =
                            many.iter().map(|info| format!("{:?}", info.name)).collect();
                        return Err(Error::invalid(
                            "spaces",
                            format!("one or more of {}", names.join(", ")),
                            "None, and the policy's similarity does not say which it is of",
                        ));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(wanted)
}

fn write_space<'b>(
    builder: &mut FlatBufferBuilder<'b>,
    source: &dyn Source,
    at: usize,
    dtype: Dtype,
    rows: &[u32],
) -> Result<WIPOffset<fb::Space<'b>>> {
    let info = &source.spaces()[at];
    let store = source.store(at).ok_or_else(|| {
        let got = format!("a source that keeps none of space {:?}", info.name);
        Error::invalid("catalog", "one with vectors", got)
    })?;
    let kept = store.keep(rows);
    let kept = match kept.dtype() == dtype {
        // Bit for bit: a device scores as the server does.
        true => kept,
        false => {
            let mut other = VectorStore::new(kept.dim(), kept.metric(), dtype)?;
            let mut row = vec![0.0; kept.dim()];
            for i in 0..kept.len() {
                kept.get(i as u32, &mut row);
                other.check(&format!("space {:?}", info.name), &row)?;
                other.push(&row);
            }
            other
        }
    };
    let (codes, scales, halves) = match kept.data() {
        Data::I8 { codes, scales } => {
            let codes = builder.create_vector(codes);
            (Some(codes), Some(builder.create_vector(scales)), None)
        }
        Data::F16(halves) => (None, None, Some(builder.create_vector(halves))),
        Data::F32(_) => (None, None, None),
    };
    let args = fb::SpaceArgs {
        name: Some(builder.create_string(&info.name)),
        dim: info.dim as u32,
        metric: match info.metric {
            Metric::Ip => fb::Metric::Ip,
            Metric::Cosine => fb::Metric::Cosine,
            Metric::L2 => fb::Metric::L2,
        },
        codes,
        scales,
        halves,
    };
    Ok(fb::Space::create(builder, &args))
}

fn attributes_of<'b>(
    builder: &mut FlatBufferBuilder<'b>,
    source: &dyn Source,
    policy: &Policy,
    packing: &Packing<'_>,
    rows: &[u32],
) -> Result<Vec<WIPOffset<fb::Column<'b>>>> {
    let mut names: BTreeSet<&str> = attributes_read(policy.spec());
    for name in packing.attributes {
        if source.column(name).is_none() {
            return Err(Error::missing("attribute", format!("{name:?}")));
        }
        names.insert(name);
    }
    let mut out = Vec::new();
    for name in names {
        // One that is not there may be a signal; else ranking says so.
        if let Some(column) = source.column(name) {
            out.push(columns::write(builder, name, &column.keep(rows))?);
        }
    }
    Ok(out)
}

fn signals_of<'b>(
    builder: &mut FlatBufferBuilder<'b>,
    policy: &Policy,
    packing: &Packing<'_>,
) -> Result<Vec<WIPOffset<fb::Column<'b>>>> {
    let named = names_of(policy);
    let mut sorted: Vec<&(String, Vec<f64>)> = packing.signals.iter().collect();
    sorted.sort_by_key(|(name, _)| name.as_str());
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let got = format!("{:?} twice", pair[0].0);
        return Err(Error::invalid("signals", "each name once", got));
    }
    let mut out = Vec::new();
    for (name, values) in sorted {
        let argument = format!("signals[{name:?}]");
        if !named.contains(name.as_str()) {
            let named: Vec<String> = named.iter().map(|name| format!("{name:?}")).collect();
            let expected = format!("names that the policy reads ({})", named.join(", "));
            return Err(Error::invalid("signals", expected, format!("{name:?}")));
        }
        if values.len() != packing.ids.len() {
            let expected = format!("{} numbers, one a candidate", packing.ids.len());
            return Err(Error::invalid(argument, expected, values.len()));
        }
        let mut column = Column::new(ColumnType::Float);
        for &value in values {
            let value = match value.is_nan() {
                true => Value::Null,
                false => Value::Float(value),
            };
            column.push(name, value)?;
        }
        out.push(columns::write(builder, name, &column)?);
    }
    Ok(out)
}

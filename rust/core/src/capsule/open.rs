//! From bytes to a capsule. Whatever comes here is hostile until its signature holds, and then it may still be wrong:
//! lengths, ids, numbers and documents are checked one by one, so that ranking can rely on them.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytemuck::Pod;
use flatbuffers::{Follow, Vector, VerifierOptions};
use sha2::{Digest, Sha256};

use super::columns;
use super::generated::perso_core as fb;
use super::sign::{PublicKey, ID_BYTES, SIGNATURE_BYTES};
use super::{check_moment, Capsule, Provenance, MOST_BYTES, MOST_ITEMS};
use crate::error::{Error, Refusal, Result};
use crate::format::Mapping;
use crate::ids::{ByRow, IdMap};
use crate::metric::Metric;
use crate::profile::Plan;
use crate::rank::policy::hex;
use crate::rank::{Policy, SpaceInfo};
use crate::store::{Buf, Data, Texts, VectorStore};

/// The size in front of the buffer.
const PREFIX: usize = 4;
/// Where the identifier is: behind the size and the place of the root.
const IDENTIFIER: Range<usize> = 8..12;
/// What comes after the buffer.
pub(super) const TRAILER: usize = ID_BYTES + SIGNATURE_BYTES;
/// Addresses of numbers are multiples of this where the bytes begin at one.
const ALIGN: usize = 8;
/// Spaces, and columns of a kind, at most.
const MOST_SPACES: usize = 64;
const MOST_COLUMNS: usize = 1024;

impl Capsule {
    /// Opens a capsule, of which a copy is kept.
    ///
    /// `keys` are those that may have signed it, the old one and the new one while keys change; `at` is the moment of its
    /// use, in microseconds since the epoch. Every refusal is an [`Error::Capsule`].
    pub fn open(bytes: &[u8], keys: &[PublicKey], at: i64) -> Result<Capsule> {
        // Before anything is copied.
        let signed = check(bytes, keys)?;
        read(Arc::new(Mapping::copy_of(bytes)), &signed, at)
    }

    /// Opens a capsule in place: nothing of it is copied but ids as texts and attributes, where the bytes begin at a
    /// multiple of 8. The caller sees to it that they stay as they are.
    pub fn open_static(bytes: &'static [u8], keys: &[PublicKey], at: i64) -> Result<Capsule> {
        let signed = check(bytes, keys)?;
        let aligned = bytes.as_ptr().addr().is_multiple_of(ALIGN);
        let map = match aligned {
            true => Mapping::of_static(bytes),
            false => Mapping::copy_of(bytes),
        };
        read(Arc::new(map), &signed, at)
    }

    /// Opens a file.
    pub fn load(path: &Path, keys: &[PublicKey], at: i64) -> Result<Capsule> {
        let mut bytes = Vec::new();
        let most = MOST_BYTES as u64 + 1;
        std::fs::File::open(path)?
            .take(most)
            .read_to_end(&mut bytes)?;
        Self::open(&bytes, keys, at)
    }
}

/// What the outside of a capsule says, once its signature holds.
struct Signed {
    /// Bytes of the buffer with its size.
    body: usize,
    key_id: String,
}

fn refuse<T>(reason: Refusal, message: impl Into<String>) -> Result<T> {
    Err(Error::capsule(reason, message))
}

fn damaged(message: impl std::fmt::Display) -> Error {
    let message = format!("a damaged capsule, and signed as it is: {message}");
    Error::capsule(Refusal::Damaged, message)
}

/// Checks length, version, key and signature: what is at fixed places.
fn check(bytes: &[u8], keys: &[PublicKey]) -> Result<Signed> {
    if bytes.len() > MOST_BYTES {
        let message = format!("{} bytes: a capsule has at most {MOST_BYTES}", bytes.len());
        return refuse(Refusal::Foreign, message);
    }
    let (Some((size, _)), Some(identifier)) =
        (bytes.split_first_chunk::<PREFIX>(), bytes.get(IDENTIFIER))
    else {
        let message = format!(
            "a capsule that is cut short, or none: {} bytes",
            bytes.len()
        );
        return refuse(Refusal::Truncated, message);
    };
    let (ours, version) = fb::CAPSULE_IDENTIFIER.as_bytes().split_at(3);
    if !identifier.starts_with(ours) {
        return refuse(Refusal::Foreign, "these bytes are not a capsule");
    }
    if !identifier.ends_with(version) {
        let version = version.escape_ascii();
        let theirs = identifier[3..].escape_ascii();
        let message =
            format!("a capsule of format version {theirs}; this library reads version {version}");
        return refuse(Refusal::Version, message);
    }
    let body = PREFIX as u64 + u64::from(u32::from_le_bytes(*size));
    let (whole, have) = (body + TRAILER as u64, bytes.len() as u64);
    if have < whole {
        let message = format!("a capsule that is cut short: {have} bytes of {whole}");
        return refuse(Refusal::Truncated, message);
    }
    if have > whole {
        let message = format!("a capsule of {whole} bytes, and {} after it", have - whole);
        return refuse(Refusal::Trailing, message);
    }
    let (message, signature) = bytes.split_at(bytes.len() - SIGNATURE_BYTES);
    let (body, key_id) = message.split_at(message.len() - ID_BYTES);
    let Some(key) = keys.iter().find(|key| key.id_bytes() == key_id) else {
        let known: Vec<String> = keys.iter().map(PublicKey::id).collect();
        let message = format!(
            "a capsule signed with key {}, and the keys given are: {}",
            hex(key_id),
            if known.is_empty() {
                "none".into()
            } else {
                known.join(", ")
            }
        );
        return refuse(Refusal::Key, message);
    };
    let holds = signature
        .try_into()
        .is_ok_and(|signature| key.verifies(message, signature));
    if !holds {
        let message = format!(
            "a capsule whose signature does not hold: it was changed after it was signed, or not signed with key {}",
            key.id()
        );
        return refuse(Refusal::Tampered, message);
    }
    Ok(Signed {
        body: body.len(),
        key_id: key.id(),
    })
}

/// Reads what was signed.
fn read(map: Arc<Mapping>, signed: &Signed, at: i64) -> Result<Capsule> {
    let body = &map.bytes()[..signed.body];
    let options = VerifierOptions {
        max_depth: 4,
        max_tables: 2 + MOST_SPACES + 4 * MOST_COLUMNS,
        // No text or table is there twice, so nothing can grow in being read but by tables of places, which are shared.
        max_apparent_size: 2 * body.len(),
        ignore_missing_null_terminator: false,
    };
    let held = fb::size_prefixed_root_as_capsule_with_opts(&options, body).map_err(damaged)?;
    let content_hash = held.content_hash().bytes();
    if content_hash.len() != 32 {
        return Err(damaged(format!("a hash of {} bytes", content_hash.len())));
    }
    let provenance = Provenance {
        library: held.library().into(),
        generation: held.generation(),
        content_hash: hex(content_hash),
        made_at: held.made_at(),
        expires_at: held.expires_at(),
        key_id: signed.key_id.clone(),
    };
    if provenance.made_at >= provenance.expires_at {
        return Err(damaged("it expires before it was made"));
    }
    check_moment(provenance.made_at, provenance.expires_at, at)?;
    let facts = facts(&map, &held).map_err(|error| match error {
        Error::Capsule { .. } => error,
        other => damaged(other),
    })?;
    let hash = hex(&Sha256::digest(body));
    let Facts {
        ids,
        spaces,
        stores,
        scores,
        attributes,
        signals,
        policy,
        plan,
    } = facts;
    Ok(Capsule {
        hash,
        ids,
        spaces,
        stores,
        scores,
        attributes,
        signals,
        policy,
        plan,
        provenance,
        map,
    })
}

/// What is in a capsule beside its provenance.
struct Facts {
    ids: IdMap,
    spaces: Vec<SpaceInfo>,
    stores: Vec<VectorStore>,
    scores: Option<Vec<f64>>,
    attributes: BTreeMap<String, crate::column::Column>,
    signals: BTreeMap<String, crate::column::Column>,
    policy: Arc<Policy>,
    plan: Option<Arc<Plan>>,
}

fn facts(map: &Arc<Mapping>, held: &fb::Capsule<'_>) -> Result<Facts> {
    let ids = read_ids(map, held)?;
    let rows = ids.len();
    let mut spaces: Vec<SpaceInfo> = Vec::new();
    let mut stores = Vec::new();
    let given = held.spaces().into_iter().flatten();
    for space in given {
        if spaces.len() == MOST_SPACES {
            return Err(damaged("too many spaces"));
        }
        let (info, store) = read_space(map, rows, &space)?;
        if spaces.iter().any(|other| other.name == info.name) {
            return Err(damaged(format!("space {:?} is there twice", info.name)));
        }
        spaces.push(info);
        stores.push(store);
    }
    let scores = match held.scores() {
        None => None,
        Some(scores) => {
            let scores: Vec<f64> = scores.iter().collect();
            if scores.len() != rows {
                return Err(damaged(format!(
                    "{} scores for {rows} candidates",
                    scores.len()
                )));
            }
            // Bit order and numeric order agree where there is no -0.0.
            let good = |x: &f64| x.is_finite() && !(*x == 0.0 && x.is_sign_negative());
            if let Some(bad) = scores.iter().find(|x| !good(x)) {
                return Err(damaged(format!("a score of {bad:?}")));
            }
            Some(scores)
        }
    };
    let attributes = columns::read_all(rows, held.attributes(), MOST_COLUMNS)?;
    let signals = columns::read_all(rows, held.signals(), MOST_COLUMNS)?;
    if let Some((name, _)) = signals
        .iter()
        .find(|(_, column)| !column.kind().is_numeric())
    {
        return Err(damaged(format!("signal {name:?} is no number")));
    }
    let policy = Policy::parse(held.policy())?;
    if policy.canonical_json() != held.policy() {
        return Err(damaged("its policy is not in canonical form"));
    }
    let plan = held.profile_plan().map(Plan::parse).transpose()?;
    if let Some(plan) = &plan {
        if Some(plan.canonical_json()) != held.profile_plan() {
            return Err(damaged("its plan of profiles is not in canonical form"));
        }
        let space = &plan.spec().space;
        if spaces.iter().all(|info| info.name != *space) {
            return Err(damaged(format!(
                "its plan is of space {space:?}, which is not there"
            )));
        }
    }
    Ok(Facts {
        ids,
        spaces,
        stores,
        scores,
        attributes,
        signals,
        policy: Arc::new(policy),
        plan: plan.map(Arc::new),
    })
}

fn read_ids(map: &Arc<Mapping>, held: &fb::Capsule<'_>) -> Result<IdMap> {
    let by_row = match (held.ints(), held.text_ends(), held.texts()) {
        (Some(ints), None, None) => ByRow::Int(columns::read_integers(ints)?.into()),
        (None, Some(ends), Some(texts)) => {
            if ends.len() > MOST_ITEMS {
                return Err(damaged(format!("{} candidates", ends.len())));
            }
            let ends: Buf<u64> = ends.iter().map(u64::from).collect();
            ByRow::Str(Texts::from_parts(ends, numbers(map, &texts))?)
        }
        _ => return Err(damaged("its ids are not of one kind")),
    };
    let rows = by_row.len();
    if !(1..=MOST_ITEMS).contains(&rows) {
        return Err(damaged(format!(
            "{rows} candidates, where 1 to {MOST_ITEMS} can be"
        )));
    }
    IdMap::from_parts(by_row, &vec![true; rows])
}

fn read_space(
    map: &Arc<Mapping>,
    rows: usize,
    space: &fb::Space<'_>,
) -> Result<(SpaceInfo, VectorStore)> {
    let name = space.name();
    if name.is_empty() {
        return Err(damaged("a space without a name"));
    }
    let metric = match space.metric() {
        fb::Metric::Ip => Metric::Ip,
        fb::Metric::Cosine => Metric::Cosine,
        fb::Metric::L2 => Metric::L2,
        fb::Metric(other) => return Err(damaged(format!("metric {other} of space {name:?}"))),
    };
    let data = match (space.codes(), space.scales(), space.halves()) {
        (Some(codes), Some(scales), None) => Data::I8 {
            codes: numbers(map, &codes),
            scales: numbers(map, &scales),
        },
        (None, None, Some(halves)) => Data::F16(numbers(map, &halves)),
        _ => {
            return Err(damaged(format!(
                "vectors of space {name:?} are of no one kind"
            )))
        }
    };
    let dim = space.dim() as usize;
    let store = VectorStore::from_data(rows, dim, metric, data)
        .map_err(|error| damaged(format!("space {name:?}: {error}")))?;
    let info = SpaceInfo {
        name: name.into(),
        dim,
        metric,
    };
    Ok((info, store))
}

/// The numbers of a vector, in place where they are aligned.
fn numbers<'a, T: Pod + Follow<'a, Inner = T>>(
    map: &Arc<Mapping>,
    vector: &Vector<'a, T>,
) -> Buf<T> {
    let bytes = vector.bytes();
    // The vector lies within the mapped bytes, so this is its place among them.
    let start = bytes.as_ptr().addr() - map.bytes().as_ptr().addr();
    match Buf::mapped(map, start..start + bytes.len()) {
        Some(window) => window,
        None => vector.iter().collect(),
    }
}

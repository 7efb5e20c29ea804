//! Capsules: what a device opens, what they say of themselves, and the ranking of their candidates.

use std::ffi::{c_char, CString};
use std::ptr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use perso_core::capsule::{Capsule, PublicKey, KEY_BYTES, MOST_BYTES};
use perso_core::error::Error;
use perso_core::ids::{Id, IdMap, Ids};

use super::profile::{self, PcProfile};
use super::slate::{at, lend, PcSlate};
use super::source::ranked_by;
#[cfg(feature = "replay")]
use super::source::replayed;
use super::{check_flags, OPEN_IN_PLACE};
use crate::border::{self, call, Failure, Handle, Out, OutArray};
use crate::status::Status;

/// Keys that a call may be given.
const MOST_KEYS: usize = 1000;

/// What `pc_capsule` of the header is: it never changes, so any number of threads may use it.
pub type PcCapsule = Handle<OpenCapsule>;

/// A capsule with its texts as C has them.
#[derive(Debug)]
pub struct OpenCapsule {
    capsule: Capsule,
    texts: OnceLock<Texts>,
}

/// Texts of a capsule; `None` for one with a NUL in it.
#[derive(Debug)]
struct Texts {
    ids: Vec<Option<CString>>,
    hash: Option<CString>,
    content_hash: Option<CString>,
    key_id: Option<CString>,
    library: Option<CString>,
    policy: Option<CString>,
    plan: Option<Option<CString>>,
}

impl OpenCapsule {
    fn texts(&self) -> &Texts {
        self.texts.get_or_init(|| {
            let text = |text: &str| CString::new(text).ok();
            let capsule = &self.capsule;
            let from = capsule.provenance();
            Texts {
                ids: match capsule.ids() {
                    Ids::Int(ids) => ids.iter().map(|id| text(&id.to_string())).collect(),
                    Ids::Str(ids) => ids.iter().map(|id| text(id)).collect(),
                },
                hash: text(capsule.hash()),
                content_hash: text(&from.content_hash),
                key_id: text(&from.key_id),
                library: text(&from.library),
                policy: text(capsule.policy().canonical_json()),
                plan: capsule.plan().map(|plan| text(plan.canonical_json())),
            }
        })
    }
}

impl profile::Items for OpenCapsule {
    const NAME: &'static str = "capsule";

    fn ids(&self) -> &IdMap {
        self.capsule.id_map()
    }

    fn vector(&self, space: &str, id: &Id) -> Result<Vec<f32>, Error> {
        self.capsule.vector(id, space)
    }
}

fn give(capsule: Capsule) -> *mut PcCapsule {
    Handle::give(OpenCapsule {
        capsule,
        texts: OnceLock::new(),
    })
}

/// Public keys, one after another.
///
/// # Safety
/// `keys` is null or points to `count` keys that stay unchanged until the call returns.
unsafe fn keys_in(keys: *const u8, count: usize) -> Result<Vec<PublicKey>, Failure> {
    if !(1..=MOST_KEYS).contains(&count) {
        let expected = format!("1 to {MOST_KEYS} keys");
        return Err(Error::invalid("n_keys", expected, count).into());
    }
    // SAFETY: the same contract.
    let bytes = unsafe { border::array_in("keys", keys, count * KEY_BYTES) }?;
    let keys = bytes.chunks_exact(KEY_BYTES).map(PublicKey::new);
    Ok(keys.collect::<Result<_, Error>>()?)
}

/// Opens a capsule's file.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_open(
    path: *const c_char,
    keys: *const u8,
    n_keys: usize,
    at: i64,
    out: *mut *mut PcCapsule,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, path, keys) = unsafe {
            let out = Out::new("out", out, ptr::null_mut())?;
            (out, border::path_in("path", path)?, keys_in(keys, n_keys)?)
        };
        if let Ok(about) = path.metadata() {
            // Twice: as it is read, and as it is kept.
            let bytes = usize::try_from(about.len()).unwrap_or(usize::MAX);
            border::room_for("the capsule", bytes.min(MOST_BYTES) * 2)?;
        }
        out.set(give(Capsule::load(&path, &keys, at)?));
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// Opens the bytes of a capsule.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments)] // One for each argument of the C function.
pub unsafe extern "C" fn pc_capsule_open_memory(
    bytes: *const u8,
    len: usize,
    keys: *const u8,
    n_keys: usize,
    at: i64,
    flags: u32,
    out: *mut *mut PcCapsule,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says. `'static` stands for "until the capsule is freed", which the header has the
        // caller promise for bytes that are read in place; of the others nothing is kept.
        let (out, bytes, keys): (_, &'static [u8], _) = unsafe {
            let out = Out::new("out", out, ptr::null_mut())?;
            (
                out,
                border::bytes_in_place("bytes", bytes, len)?,
                keys_in(keys, n_keys)?,
            )
        };
        check_flags(flags, OPEN_IN_PLACE, "PC_OPEN_IN_PLACE")?;
        let capsule = if flags & OPEN_IN_PLACE != 0 {
            Capsule::open_static(bytes, &keys, at)
        } else {
            border::room_for("the capsule", len.min(MOST_BYTES))?;
            Capsule::open(bytes, &keys, at)
        }?;
        out.set(give(capsule));
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// Frees a capsule.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_free(capsule: *mut PcCapsule) {
    // SAFETY: the caller's promise is that of `free`.
    unsafe { Handle::free(capsule) }
}

/// Reads one number of a capsule.
///
/// # Safety
/// As the header says of every function with these arguments.
unsafe fn number<T: Copy + Default>(
    capsule: *const PcCapsule,
    out: *mut T,
    error: *mut *mut c_char,
    of: impl FnOnce(&Capsule) -> Result<T, Failure>,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, opened) = unsafe {
            let out = Out::new("out", out, T::default())?;
            (out, Handle::look("capsule", capsule)?)
        };
        out.set(of(&opened.capsule)?);
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// Lends a text of a capsule.
///
/// # Safety
/// As the header says of every function with these arguments.
unsafe fn text(
    capsule: *const PcCapsule,
    out: *mut *const c_char,
    error: *mut *mut c_char,
    of: impl FnOnce(&Texts) -> Result<Option<&Option<CString>>, Failure>,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, opened) = unsafe {
            let out = Out::new("out", out, ptr::null())?;
            (out, Handle::look("capsule", capsule)?)
        };
        of(opened.texts())?.map_or(Ok(()), |text| lend(out, text))
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// How many candidates a capsule has.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_len(
    capsule: *const PcCapsule,
    out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe { number(capsule, out, error, |capsule| Ok(capsule.len())) }
}

/// The candidates' ids, where they are integers.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_ids(
    capsule: *const PcCapsule,
    out: *mut i64,
    capacity: usize,
    n_out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (count, opened, out) = unsafe {
            (
                Out::new("n_out", n_out, 0)?,
                Handle::look("capsule", capsule)?,
                OutArray::new("out", out, capacity)?,
            )
        };
        let Ids::Int(ids) = opened.capsule.ids() else {
            return Err(Failure {
                status: Status::TextIds,
                message:
                    "the capsule's ids are text, and out holds 64-bit integers; pc_capsule_id_text \
                          gives ids of either kind"
                        .into(),
            });
        };
        out.fill(&ids)?;
        count.set(ids.len());
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// The id of a candidate, as text.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_id_text(
    capsule: *const PcCapsule,
    i: usize,
    out: *mut *const c_char,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe {
        text(capsule, out, error, |texts| {
            at("i", &texts.ids, i).map(Some)
        })
    }
}

/// The components of the vectors of a space.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_dim(
    capsule: *const PcCapsule,
    space: *const c_char,
    out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    let dim = |capsule: &Capsule| {
        // SAFETY: as the header says.
        let space = unsafe { border::text_in("space", space) }?;
        dim_of(capsule, space)
    };
    // SAFETY: as the header says.
    unsafe { number(capsule, out, error, dim) }
}

fn dim_of(capsule: &Capsule, space: &str) -> Result<usize, Failure> {
    let found = capsule.spaces().iter().find(|info| info.name == space);
    let missing = || Error::missing("space", format!("{space:?}")).into();
    found.map(|info| info.dim).ok_or_else(missing)
}

/// The generation of the catalog that a capsule was made from.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_generation(
    capsule: *const PcCapsule,
    out: *mut u64,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe {
        number(capsule, out, error, |capsule| {
            Ok(capsule.provenance().generation)
        })
    }
}

/// When a capsule was made.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_made_at(
    capsule: *const PcCapsule,
    out: *mut i64,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe {
        number(capsule, out, error, |capsule| {
            Ok(capsule.provenance().made_at)
        })
    }
}

/// From when on a capsule is refused.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_expires_at(
    capsule: *const PcCapsule,
    out: *mut i64,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe {
        number(capsule, out, error, |capsule| {
            Ok(capsule.provenance().expires_at)
        })
    }
}

/// What a record names a capsule by.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_hash(
    capsule: *const PcCapsule,
    out: *mut *const c_char,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe { text(capsule, out, error, |texts| Ok(Some(&texts.hash))) }
}

/// The hash of the content of the catalog that a capsule was made from.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_content_hash(
    capsule: *const PcCapsule,
    out: *mut *const c_char,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe { text(capsule, out, error, |texts| Ok(Some(&texts.content_hash))) }
}

/// Which key signed a capsule.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_key_id(
    capsule: *const PcCapsule,
    out: *mut *const c_char,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe { text(capsule, out, error, |texts| Ok(Some(&texts.key_id))) }
}

/// Which version of the library made a capsule.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_library(
    capsule: *const PcCapsule,
    out: *mut *const c_char,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe { text(capsule, out, error, |texts| Ok(Some(&texts.library))) }
}

/// The policy of a capsule.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_policy(
    capsule: *const PcCapsule,
    out: *mut *const c_char,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe { text(capsule, out, error, |texts| Ok(Some(&texts.policy))) }
}

/// What profiles are to learn from.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_plan(
    capsule: *const PcCapsule,
    out: *mut *const c_char,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe { text(capsule, out, error, |texts| Ok(texts.plan.as_ref())) }
}

/// A profile of a user without events, by the plan of a capsule.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_profile_new(
    capsule: *const PcCapsule,
    base: *const f32,
    prior: *const f32,
    out: *mut *mut PcProfile,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, opened) = unsafe {
            let out = Out::new("out", out, ptr::null_mut())?;
            (out, Handle::look("capsule", capsule)?)
        };
        let plan = opened.capsule.plan();
        let plan =
            plan.ok_or_else(|| Error::missing("plan", "the capsule was made without one"))?;
        let dim = dim_of(&opened.capsule, &plan.spec().space)?;
        // SAFETY: as the header says.
        let made = unsafe { profile::made(Arc::clone(plan), dim, base, prior) }?;
        out.set(Handle::give(made));
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// Takes in an event about a candidate.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_observe(
    capsule: *const PcCapsule,
    profile: *const PcProfile,
    id: i64,
    kind: *const c_char,
    at: i64,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe { profile::observe(capsule, profile, || Ok(Id::Int(id)), kind, at, error) }
}

/// The same where ids are text.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_observe_text(
    capsule: *const PcCapsule,
    profile: *const PcProfile,
    id: *const c_char,
    kind: *const c_char,
    at: i64,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe { profile::observe(capsule, profile, || profile::text_id(id), kind, at, error) }
}

/// Ranks the candidates of a capsule by its policy.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_rank(
    capsule: *const PcCapsule,
    profile: *const PcProfile,
    request_json: *const c_char,
    out: *mut *mut PcSlate,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        let start = Instant::now();
        // SAFETY: as the header says.
        let (out, opened, profile, request) = unsafe {
            let out = Out::new("out", out, ptr::null_mut())?;
            (
                out,
                Handle::look("capsule", capsule)?,
                Handle::look_if_any("profile", profile)?,
                border::text_in("request_json", request_json)?,
            )
        };
        let capsule = &opened.capsule;
        let ranked = ranked_by(capsule, capsule.policy(), profile, request, start)?;
        out.set(Handle::give(ranked));
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// Makes the slate of a record again.
///
/// # Safety
/// As the header says.
#[cfg(feature = "replay")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_capsule_replay(
    capsule: *const PcCapsule,
    record_json: *const c_char,
    personal_json: *const c_char,
    out: *mut *mut PcSlate,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, opened, record, personal) = unsafe {
            let out = Out::new("out", out, ptr::null_mut())?;
            (
                out,
                Handle::look("capsule", capsule)?,
                border::text_in("record_json", record_json)?,
                border::optional_text_in("personal_json", personal_json)?,
            )
        };
        out.set(Handle::give(replayed(&opened.capsule, record, personal)?));
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

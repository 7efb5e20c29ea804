//! Profiles: what a user's events say, and the vector that comes of it.

use std::ffi::c_char;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard};

use perso_core::error::Error;
use perso_core::ids::{Id, IdMap, Ids};
use perso_core::profile::{Plan, Prior, Profile};
use perso_core::select::check_kind;

use crate::border::{self, call, Failure, Handle, Out, OutArray};
use crate::status::Status;

/// A profile that one call at a time works with.
pub(super) type Locked = Mutex<Profile>;

/// What `pc_profile` of the header is.
pub type PcProfile = Handle<Locked>;

/// Waits for the calls that work with a profile now.
pub(super) fn lock(profile: &Locked) -> Result<MutexGuard<'_, Profile>, Failure> {
    profile.lock().map_err(|_| Failure {
        status: Status::Panic,
        message: "profile: an earlier call on it met a defect of the library, so its state is not known; free it"
            .into(),
    })
}

fn plan(json: &str) -> Result<Arc<Plan>, Failure> {
    Ok(Arc::new(Plan::parse(json)?))
}

fn check_dim(dim: usize, wanted: usize) -> Result<(), Failure> {
    if dim == wanted {
        return Ok(());
    }
    let expected = format!("{wanted}, the components of the profile");
    Err(Error::invalid("dim", expected, dim).into())
}

/// A profile of a user without events.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_profile_new(
    plan_json: *const c_char,
    dim: usize,
    base: *const f32,
    prior: *const f32,
    out: *mut *mut PcProfile,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, plan) = unsafe {
            let out = Out::new("out", out, ptr::null_mut())?;
            (out, plan(border::text_in("plan_json", plan_json)?)?)
        };
        // SAFETY: as the header says.
        out.set(Handle::give(unsafe { made(plan, dim, base, prior) }?));
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// A profile without events.
///
/// # Safety
/// `base` and `prior` are null or point to `dim` numbers.
pub(super) unsafe fn made(
    plan: Arc<Plan>,
    dim: usize,
    base: *const f32,
    prior: *const f32,
) -> Result<Locked, Failure> {
    // Before so many numbers are read.
    Profile::new(Arc::clone(&plan), dim, None)?;
    // SAFETY: the same contract.
    let (base, prior) = unsafe {
        (
            border::optional_array_in("base", base, dim)?.map(Prior::Base),
            border::optional_array_in("prior", prior, dim)?.map(Prior::Population),
        )
    };
    if base.is_some() {
        // Not used then, and checked all the same.
        Profile::new(Arc::clone(&plan), dim, prior.clone())?;
    }
    Ok(Mutex::new(Profile::new(plan, dim, base.or(prior))?))
}

/// The profile that some bytes hold.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_profile_from_bytes(
    bytes: *const u8,
    len: usize,
    plan_json: *const c_char,
    out: *mut *mut PcProfile,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, bytes, plan) = unsafe {
            let out = Out::new("out", out, ptr::null_mut())?;
            (
                out,
                border::bytes_in_place("bytes", bytes, len)?,
                plan(border::text_in("plan_json", plan_json)?)?,
            )
        };
        let profile = Profile::from_bytes(bytes, plan)?;
        out.set(Handle::give(Mutex::new(profile)));
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// Frees a profile.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_profile_free(profile: *mut PcProfile) {
    // SAFETY: the caller's promise is that of `free`.
    unsafe { Handle::free(profile) }
}

/// How many bytes a profile takes.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_profile_size(
    profile: *const PcProfile,
    out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, profile) =
            unsafe { (Out::new("out", out, 0)?, Handle::look("profile", profile)?) };
        out.set(lock(profile)?.to_bytes().len());
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// The bytes of a profile.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_profile_to_bytes(
    profile: *const PcProfile,
    out: *mut u8,
    capacity: usize,
    n_out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (count, profile, out) = unsafe {
            (
                Out::new("n_out", n_out, 0)?,
                Handle::look("profile", profile)?,
                OutArray::new("out", out, capacity)?,
            )
        };
        let bytes = lock(profile)?.to_bytes();
        out.fill(&bytes)?;
        count.set(bytes.len());
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// Takes in an event about a vector.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_profile_observe(
    profile: *const PcProfile,
    item: *const f32,
    dim: usize,
    kind: *const c_char,
    at: i64,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (profile, kind) = unsafe {
            (
                Handle::look("profile", profile)?,
                border::text_in("kind", kind)?,
            )
        };
        let mut profile = lock(profile)?;
        check_dim(dim, profile.dim())?;
        // SAFETY: as the header says.
        let item = unsafe { border::array_in("item", item, dim) }?;
        Ok(profile.observe(&item, kind, at)?)
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// Whatever has items with vectors.
pub(super) trait Items: Send + Sync + Sized {
    /// As the header calls it.
    const NAME: &'static str;

    fn ids(&self) -> &IdMap;

    /// An item's vector as it is stored.
    fn vector(&self, space: &str, id: &Id) -> Result<Vec<f32>, Error>;
}

/// Takes in an event about an item.
///
/// # Safety
/// As the header says of the functions that observe items.
pub(super) unsafe fn observe<T: Items>(
    items: *const Handle<T>,
    profile: *const PcProfile,
    id: impl FnOnce() -> Result<Id, Failure>,
    kind: *const c_char,
    at: i64,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (items, profile, kind) = unsafe {
            (
                Handle::look(T::NAME, items)?,
                Handle::look("profile", profile)?,
                border::text_in("kind", kind)?,
            )
        };
        let id = id()?;
        let one = match &id {
            Id::Int(id) => Ids::Int(vec![*id]),
            Id::Str(id) => Ids::Str(vec![id.clone()]),
        };
        check_kind("id", items.ids(), &one)?;
        let mut profile = lock(profile)?;
        let item = items.vector(&profile.plan().spec().space, &id)?;
        Ok(profile.observe(&item, kind, at)?)
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// An id that came as text.
///
/// # Safety
/// `id` is null or NUL-terminated, and stays unchanged until the call returns.
pub(super) unsafe fn text_id(id: *const c_char) -> Result<Id, Failure> {
    // SAFETY: the same contract.
    unsafe { border::text_in("id", id) }.map(|id| Id::Str(id.into()))
}

/// How many events a profile has seen.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_profile_events(
    profile: *const PcProfile,
    out: *mut u64,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, profile) =
            unsafe { (Out::new("out", out, 0)?, Handle::look("profile", profile)?) };
        out.set(lock(profile)?.events());
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// The vector of a profile at a moment.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_profile_vector(
    profile: *const PcProfile,
    at: i64,
    out: *mut f32,
    capacity: usize,
    n_out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (count, profile, out) = unsafe {
            (
                Out::new("n_out", n_out, 0)?,
                Handle::look("profile", profile)?,
                OutArray::new("out", out, capacity)?,
            )
        };
        if let Some(vector) = lock(profile)?.vector(at) {
            out.fill(&vector)?;
            count.set(vector.len());
        }
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

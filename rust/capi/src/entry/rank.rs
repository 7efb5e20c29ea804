//! The call, over catalogs: rank, and replay.

use std::ffi::c_char;
use std::ptr;
use std::sync::Arc;
use std::time::Instant;

use perso_core::catalog::Catalog;
use perso_core::rank::{Policy, UserVectors};

use super::catalog::PcCatalog;
use super::profile::{Locked, PcProfile};
use super::slate::{PcSlate, Ranked};
use super::source::ranked_by;
#[cfg(feature = "replay")]
use super::source::replayed;
use crate::border::{self, call, Failure, Handle, Out};
use crate::status::Status;

/// Ranks one request, and gives its record.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_rank(
    catalog: *const PcCatalog,
    request_json: *const c_char,
    policy_json: *const c_char,
    record_json_out: *mut *mut c_char,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, catalog, request, policy) = unsafe {
            let out = Out::new("record_json_out", record_json_out, ptr::null_mut())?;
            (
                out,
                Handle::look("catalog", catalog)?,
                border::text_in("request_json", request_json)?,
                border::text_in("policy_json", policy_json)?,
            )
        };
        let ranked = ranked(catalog, None, request, policy)?;
        out.set(border::text_out(ranked.record(UserVectors::Included)?)?);
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// Ranks one request, and gives its slate.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_rank_slate(
    catalog: *const PcCatalog,
    profile: *const PcProfile,
    request_json: *const c_char,
    policy_json: *const c_char,
    out: *mut *mut PcSlate,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, catalog, profile, request, policy) = unsafe {
            let out = Out::new("out", out, ptr::null_mut())?;
            (
                out,
                Handle::look("catalog", catalog)?,
                Handle::look_if_any("profile", profile)?,
                border::text_in("request_json", request_json)?,
                border::text_in("policy_json", policy_json)?,
            )
        };
        out.set(Handle::give(ranked(catalog, profile, request, policy)?));
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// Ranks by a policy that came as text.
fn ranked(
    catalog: &Catalog,
    profile: Option<&Locked>,
    request: &str,
    policy: &str,
) -> Result<Ranked, Failure> {
    let start = Instant::now();
    let policy = Arc::new(Policy::parse(policy)?);
    ranked_by(catalog, &policy, profile, request, start)
}

/// Makes the slate of a record again, and gives its record.
///
/// # Safety
/// As the header says.
#[cfg(feature = "replay")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_replay(
    catalog: *const PcCatalog,
    record_json: *const c_char,
    record_json_out: *mut *mut c_char,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, catalog, record) = unsafe {
            let out = Out::new("record_json_out", record_json_out, ptr::null_mut())?;
            (
                out,
                Handle::look("catalog", catalog)?,
                border::text_in("record_json", record_json)?,
            )
        };
        let replayed = replayed(catalog, record, None)?;
        out.set(border::text_out(replayed.record(UserVectors::Included)?)?);
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// Makes the slate of a record again, and gives it.
///
/// # Safety
/// As the header says.
#[cfg(feature = "replay")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_replay_slate(
    catalog: *const PcCatalog,
    record_json: *const c_char,
    personal_json: *const c_char,
    out: *mut *mut PcSlate,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, catalog, record, personal) = unsafe {
            let out = Out::new("out", out, ptr::null_mut())?;
            (
                out,
                Handle::look("catalog", catalog)?,
                border::text_in("record_json", record_json)?,
                border::optional_text_in("personal_json", personal_json)?,
            )
        };
        out.set(Handle::give(replayed(catalog, record, personal)?));
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

//! The exported functions, in the order of the header, which describes them to their callers.
//!
//! Each one first empties its results, then turns pointers into references, then calls the core.
//! All pointers of a call are null or what the header says they are; a `# Safety` section that says
//! "as the header says" means that.

use std::ffi::c_char;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::Arc;

use perso_core::catalog::Catalog;
use perso_core::error::Error;
use perso_core::ids::Ids;
use perso_core::rank::{self, Policy, UserVectors};
use perso_core::vectors::Ask;

use crate::border::{self, call, Failure, Out, OutArray, PcCatalog};
use crate::open;
use crate::request;
use crate::status::Status;

/// Version of the ABI; `PC_ABI_VERSION` of the header.
pub const ABI_VERSION: u32 = 1;

/// Flag of [`pc_catalog_open`]: large sections are read in place; `PC_OPEN_MMAP` of the header.
pub const OPEN_MMAP: u32 = 1;

/// The version of the ABI that this library has.
#[unsafe(no_mangle)]
pub extern "C" fn pc_abi_version() -> u32 {
    ABI_VERSION
}

/// The name of a status.
#[unsafe(no_mangle)]
pub extern "C" fn pc_status_name(status: i32) -> *const c_char {
    Status::from_code(status)
        .map_or(c"unknown", Status::name)
        .as_ptr()
}

/// Frees a text.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_string_free(text: *mut c_char) {
    // SAFETY: the caller's promise is that of `text_free`.
    unsafe { border::text_free(text) }
}

/// Opens a catalog file.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_catalog_open(
    path: *const c_char,
    flags: u32,
    out: *mut *mut PcCatalog,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, path) = unsafe {
            let out = Out::new("out", out, ptr::null_mut())?;
            (out, border::path_in("path", path)?)
        };
        if flags & !OPEN_MMAP != 0 {
            let expected = "0 or PC_OPEN_MMAP";
            return Err(Error::invalid("flags", expected, format!("{flags:#x}")).into());
        }
        let mmap = flags & OPEN_MMAP != 0;
        out.set(border::catalog_out(open::open(&path, mmap)?));
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// Closes a catalog.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_catalog_free(catalog: *mut PcCatalog) {
    // SAFETY: the caller's promise is that of `catalog_free`.
    let free = || unsafe { border::catalog_free(catalog) };
    // Nobody can be told about a panic, and there is nothing left to be done about it.
    let _ = catch_unwind(AssertUnwindSafe(free));
}

/// How many items a catalog has.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_catalog_len(
    catalog: *const PcCatalog,
    out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, catalog) = unsafe { (Out::new("out", out, 0)?, border::catalog_in(catalog)?) };
        out.set(catalog.len());
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// The hash of a catalog's content.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_catalog_content_hash(
    catalog: *const PcCatalog,
    out: *mut *mut c_char,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, catalog) = unsafe {
            let out = Out::new("out", out, ptr::null_mut())?;
            (out, border::catalog_in(catalog)?)
        };
        out.set(border::text_out(catalog.content_hash())?);
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// The items nearest to a vector.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments)] // One for each argument of the C function.
pub unsafe extern "C" fn pc_catalog_search(
    catalog: *const PcCatalog,
    space: *const c_char,
    query: *const f32,
    dim: usize,
    k: usize,
    ids_out: *mut i64,
    scores_out: *mut f32,
    n_out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (count, catalog, ids, scores, name) = unsafe {
            let count = Out::new("n_out", n_out, 0)?;
            (
                count,
                border::catalog_in(catalog)?,
                OutArray::new("ids_out", ids_out, k)?,
                OutArray::new("scores_out", scores_out, k)?,
                border::text_in("space", space)?,
            )
        };
        let space = catalog.space(name)?;
        let wanted = catalog.vectors(space).spec().dim;
        if dim != wanted {
            let expected = format!("{wanted}, the components of space {name:?}");
            return Err(Error::invalid("dim", expected, dim).into());
        }
        // SAFETY: as the header says.
        let query = unsafe { border::array_in("query", query, dim) }?;
        let (found, values) = search(catalog, space, &query, k)?;
        ids.set(&found);
        scores.set(&values);
        count.set(found.len());
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

fn search(
    catalog: &Catalog,
    space: usize,
    query: &[f32],
    k: usize,
) -> Result<(Vec<i64>, Vec<f32>), Failure> {
    let eligible = catalog.eligible(rank::Where::All, None)?;
    let ask = Ask {
        k,
        ef: None,
        eligible: eligible.as_ref(),
        exact: false,
    };
    let answers = catalog.search(space, query, ask, 1)?;
    let hits = answers.into_iter().flat_map(|(hits, _)| hits);
    let (rows, scores): (Vec<u32>, Vec<f32>) = hits.map(|hit| (hit.row, hit.score)).unzip();
    match catalog.id_map().ids_of(rows) {
        Ids::Int(ids) => Ok((ids, scores)),
        Ids::Str(_) => Err(Failure {
            status: Status::TextIds,
            message:
                "the catalog's ids are text, and ids_out holds 64-bit integers; pc_rank gives \
                      ids of either kind"
                    .into(),
        }),
    }
}

/// Ranks one request.
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
                border::catalog_in(catalog)?,
                border::text_in("request_json", request_json)?,
                border::text_in("policy_json", policy_json)?,
            )
        };
        let policy = Arc::new(Policy::parse(policy)?);
        let request = request::parse(request, catalog)?;
        let slate = rank::rank(catalog, &policy, &request)?;
        let record = rank::record_json(&slate, catalog, UserVectors::Included)?;
        out.set(border::text_out(record)?);
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// Makes the slate of a record again.
///
/// # Safety
/// As the header says.
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
                border::catalog_in(catalog)?,
                border::text_in("record_json", record_json)?,
            )
        };
        let slate = rank::replay(record, catalog, None)?;
        let record = rank::record_json(&slate, catalog, UserVectors::Included)?;
        out.set(border::text_out(record)?);
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

//! Catalogs: open, ask, search.

use std::ffi::c_char;
use std::ptr;

use perso_core::catalog::Catalog;
use perso_core::error::Error;
use perso_core::ids::{Id, IdMap, Ids};
use perso_core::rank::{Source, Where};
use perso_core::vectors::Ask;

use super::profile::{observe, text_id, Items, PcProfile};
use super::{check_flags, OPEN_IN_PLACE};
use crate::border::{self, call, Failure, Handle, Out, OutArray};
use crate::open;
use crate::status::Status;

/// What `pc_catalog` of the header is: items that never change, so any number of threads may use them.
pub type PcCatalog = Handle<Catalog>;

/// Flag of [`pc_catalog_open`]: large sections are read in place; `PC_OPEN_MMAP` of the header.
pub const OPEN_MMAP: u32 = 1;

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
        check_flags(flags, OPEN_MMAP, "PC_OPEN_MMAP")?;
        let mmap = flags & OPEN_MMAP != 0;
        if let (false, Ok(about)) = (mmap, path.metadata()) {
            border::room_for(
                "the catalog",
                usize::try_from(about.len()).unwrap_or(usize::MAX),
            )?;
        }
        out.set(Handle::give(open::open(&path, mmap)?));
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// Opens the bytes of a catalog file.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_catalog_open_memory(
    bytes: *const u8,
    len: usize,
    flags: u32,
    out: *mut *mut PcCatalog,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says. `'static` stands for "until the catalog is freed", which the header has the
        // caller promise for bytes that are read in place; of the others nothing is kept.
        let (out, bytes): (_, &'static [u8]) = unsafe {
            let out = Out::new("out", out, ptr::null_mut())?;
            (out, border::bytes_in_place("bytes", bytes, len)?)
        };
        check_flags(flags, OPEN_IN_PLACE, "PC_OPEN_IN_PLACE")?;
        let catalog = if flags & OPEN_IN_PLACE != 0 {
            Catalog::of_static(bytes)
        } else {
            border::room_for("the catalog", len)?;
            Catalog::of_bytes(bytes)
        }?;
        out.set(Handle::give(catalog));
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
    // SAFETY: the caller's promise is that of `free`.
    unsafe { Handle::free(catalog) }
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
        let (out, catalog) =
            unsafe { (Out::new("out", out, 0)?, Handle::look("catalog", catalog)?) };
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
            (out, Handle::look("catalog", catalog)?)
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
                Handle::look("catalog", catalog)?,
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
        ids.fill(&found)?;
        scores.fill(&values)?;
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
    let eligible = catalog.eligible(Where::All, None)?;
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

/// The generation of a catalog.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_catalog_generation(
    catalog: *const PcCatalog,
    out: *mut u64,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, catalog) =
            unsafe { (Out::new("out", out, 0)?, Handle::look("catalog", catalog)?) };
        out.set(catalog.generation());
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// The components of the vectors of a space.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_catalog_dim(
    catalog: *const PcCatalog,
    space: *const c_char,
    out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, catalog, name) = unsafe {
            (
                Out::new("out", out, 0)?,
                Handle::look("catalog", catalog)?,
                border::text_in("space", space)?,
            )
        };
        out.set(catalog.vectors(catalog.space(name)?).spec().dim);
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

impl Items for Catalog {
    const NAME: &'static str = "catalog";

    fn ids(&self) -> &IdMap {
        self.id_map()
    }

    fn vector(&self, space: &str, id: &Id) -> Result<Vec<f32>, Error> {
        let vectors = self.vectors(self.space(space)?);
        let mut vector = vec![0.0; vectors.spec().dim];
        vectors.get(self.id_map().require(id)?, &mut vector);
        Ok(vector)
    }
}

/// Takes in an event about an item of a catalog.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_catalog_observe(
    catalog: *const PcCatalog,
    profile: *const PcProfile,
    id: i64,
    kind: *const c_char,
    at: i64,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe { observe(catalog, profile, || Ok(Id::Int(id)), kind, at, error) }
}

/// The same where ids are text.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_catalog_observe_text(
    catalog: *const PcCatalog,
    profile: *const PcProfile,
    id: *const c_char,
    kind: *const c_char,
    at: i64,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe { observe(catalog, profile, || text_id(id), kind, at, error) }
}

//! Slates: what a ranking gave, read field by field, and its record.

use std::ffi::{c_char, CString};
use std::ptr;
use std::sync::OnceLock;

use perso_core::error::Error;
use perso_core::ids::Ids;
use perso_core::rank::{self, Slate, UserVectors};

use crate::border::{self, call, Failure, Handle, Out, OutArray};
use crate::status::Status;

/// Flag of [`pc_slate_record`]: with all personal input; `PC_RECORD_PERSONAL` of the header.
pub const RECORD_PERSONAL: u32 = 1;

/// Flag of [`pc_slate_record`]: with hashes in place of the user's vectors; `PC_RECORD_HASHES` of the header.
pub const RECORD_HASHES: u32 = 2;

/// What `pc_slate` of the header is: it never changes, and needs nothing of what it was made from.
pub type PcSlate = Handle<Ranked>;

/// A slate with what its record must name, and its texts as C has them.
#[derive(Debug)]
pub struct Ranked {
    slate: Slate,
    content_hash: String,
    filter_us: f64,
    texts: OnceLock<Texts>,
}

/// Texts of a slate; `None` for one with a NUL in it.
#[derive(Debug)]
struct Texts {
    ids: Vec<Option<CString>>,
    reasons: Vec<Option<CString>>,
    terms: Vec<Option<CString>>,
    short_reason: Option<Option<CString>>,
    path: Option<CString>,
    given_up: Vec<Option<CString>>,
}

impl Ranked {
    pub(super) fn new(slate: Slate, content_hash: String, filter_us: f64) -> Self {
        Ranked {
            slate,
            content_hash,
            filter_us,
            texts: OnceLock::new(),
        }
    }

    pub(super) fn record(&self, user: UserVectors) -> Result<String, Error> {
        rank::record_json_of(&self.slate, &self.content_hash, user, None)
    }

    fn texts(&self) -> &Texts {
        self.texts.get_or_init(|| {
            let slate = &self.slate;
            let text = |text: &str| CString::new(text).ok();
            Texts {
                ids: match &slate.ids {
                    Ids::Int(ids) => ids.iter().map(|id| text(&id.to_string())).collect(),
                    Ids::Str(ids) => ids.iter().map(|id| text(id)).collect(),
                },
                reasons: slate.reasons().iter().map(|reason| text(reason)).collect(),
                terms: slate.term_names.iter().map(|name| text(name)).collect(),
                short_reason: slate.short_reason.as_deref().map(text),
                path: text(slate.path.as_str()),
                given_up: slate.given_up().iter().map(|what| text(what)).collect(),
            }
        })
    }

    /// Microseconds of a stage, or of all of them.
    fn timing(&self, stage: &str) -> Result<f64, Error> {
        if stage == "filter" {
            return Ok(self.filter_us);
        }
        let timings = self.slate.timings.pairs();
        let found = timings.into_iter().find(|(name, _)| *name == stage);
        let (name, us) = found.ok_or_else(|| Error::missing("stage", format!("{stage:?}")))?;
        Ok(if name == "total" {
            us + self.filter_us
        } else {
            us
        })
    }
}

/// The entry of a slot, or of a term.
pub(super) fn at<'a, T>(argument: &str, all: &'a [T], i: usize) -> Result<&'a T, Failure> {
    all.get(i).ok_or_else(|| {
        let expected = format!("less than {}", all.len());
        Error::invalid(argument, expected, i).into()
    })
}

/// Gives a text that stays the handle's.
pub(super) fn lend(out: Out<*const c_char>, text: &Option<CString>) -> Result<(), Failure> {
    let text = text.as_ref().ok_or_else(border::has_nul)?;
    out.set(text.as_ptr());
    Ok(())
}

/// Frees a slate.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_free(slate: *mut PcSlate) {
    // SAFETY: the caller's promise is that of `free`.
    unsafe { Handle::free(slate) }
}

/// How many items a slate has.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_len(
    slate: *const PcSlate,
    out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, slate) = unsafe { (Out::new("out", out, 0)?, Handle::look("slate", slate)?) };
        out.set(slate.slate.len());
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// Writes one value of each slot.
///
/// # Safety
/// As the header says of every function with these arguments.
unsafe fn by_slot<T: Copy>(
    slate: *const PcSlate,
    out: *mut T,
    capacity: usize,
    n_out: *mut usize,
    error: *mut *mut c_char,
    of: impl FnOnce(&Slate) -> Result<Vec<T>, Failure>,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (count, slate, out) = unsafe {
            (
                Out::new("n_out", n_out, 0)?,
                Handle::look("slate", slate)?,
                OutArray::new("out", out, capacity)?,
            )
        };
        let values = of(&slate.slate)?;
        out.fill(&values)?;
        count.set(values.len());
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// The ids, where they are integers.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_ids(
    slate: *const PcSlate,
    out: *mut i64,
    capacity: usize,
    n_out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    let ids = |slate: &Slate| match &slate.ids {
        Ids::Int(ids) => Ok(ids.clone()),
        Ids::Str(_) => Err(Failure {
            status: Status::TextIds,
            message:
                "the slate's ids are text, and out holds 64-bit integers; pc_slate_id_text gives \
                      ids of either kind"
                    .into(),
        }),
    };
    // SAFETY: as the header says.
    unsafe { by_slot(slate, out, capacity, n_out, error, ids) }
}

/// The scores.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_scores(
    slate: *const PcSlate,
    out: *mut f64,
    capacity: usize,
    n_out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    let scores = |slate: &Slate| Ok(slate.scores.clone());
    // SAFETY: as the header says.
    unsafe { by_slot(slate, out, capacity, n_out, error, scores) }
}

/// The propensities.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_propensities(
    slate: *const PcSlate,
    out: *mut f64,
    capacity: usize,
    n_out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    let propensities = |slate: &Slate| Ok(slate.propensities());
    // SAFETY: as the header says.
    unsafe { by_slot(slate, out, capacity, n_out, error, propensities) }
}

/// Which items exploration put there.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_explored(
    slate: *const PcSlate,
    out: *mut u8,
    capacity: usize,
    n_out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    let explored = |slate: &Slate| Ok(slate.explored().into_iter().map(u8::from).collect());
    // SAFETY: as the header says.
    unsafe { by_slot(slate, out, capacity, n_out, error, explored) }
}

/// One term of every score.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_term(
    slate: *const PcSlate,
    name: *const c_char,
    out: *mut f64,
    capacity: usize,
    n_out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    let term = |slate: &Slate| {
        // SAFETY: as the header says.
        let name = unsafe { border::text_in("name", name) }?;
        let missing = || Error::missing("term", format!("{name:?}")).into();
        slate.term(name).ok_or_else(missing)
    };
    // SAFETY: as the header says.
    unsafe { by_slot(slate, out, capacity, n_out, error, term) }
}

/// How many terms a score has.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_term_count(
    slate: *const PcSlate,
    out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, slate) = unsafe { (Out::new("out", out, 0)?, Handle::look("slate", slate)?) };
        out.set(slate.slate.term_names.len());
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// Lends a text of a slate.
///
/// # Safety
/// As the header says of every function with these arguments.
unsafe fn text_of(
    slate: *const PcSlate,
    out: *mut *const c_char,
    error: *mut *mut c_char,
    of: impl FnOnce(&Texts) -> Result<Option<&Option<CString>>, Failure>,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, slate) = unsafe {
            (
                Out::new("out", out, ptr::null())?,
                Handle::look("slate", slate)?,
            )
        };
        of(slate.texts())?.map_or(Ok(()), |text| lend(out, text))
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// The name of a term.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_term_name(
    slate: *const PcSlate,
    term: usize,
    out: *mut *const c_char,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe {
        text_of(slate, out, error, |texts| {
            at("term", &texts.terms, term).map(Some)
        })
    }
}

/// The id of a slot, as text.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_id_text(
    slate: *const PcSlate,
    slot: usize,
    out: *mut *const c_char,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe {
        text_of(slate, out, error, |texts| {
            at("slot", &texts.ids, slot).map(Some)
        })
    }
}

/// Why a slot has its item.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_reason(
    slate: *const PcSlate,
    slot: usize,
    out: *mut *const c_char,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe {
        text_of(slate, out, error, |texts| {
            at("slot", &texts.reasons, slot).map(Some)
        })
    }
}

/// Why there are fewer items than asked for.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_short_reason(
    slate: *const PcSlate,
    out: *mut *const c_char,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe { text_of(slate, out, error, |texts| Ok(texts.short_reason.as_ref())) }
}

/// How the candidates were found.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_path(
    slate: *const PcSlate,
    out: *mut *const c_char,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe { text_of(slate, out, error, |texts| Ok(Some(&texts.path))) }
}

/// How many things were given up for a budget.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_given_up_count(
    slate: *const PcSlate,
    out: *mut usize,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, slate) = unsafe { (Out::new("out", out, 0)?, Handle::look("slate", slate)?) };
        out.set(slate.slate.given_up().len());
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// One of the things that were given up.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_given_up(
    slate: *const PcSlate,
    i: usize,
    out: *mut *const c_char,
    error: *mut *mut c_char,
) -> Status {
    // SAFETY: as the header says.
    unsafe {
        text_of(slate, out, error, |texts| {
            at("i", &texts.given_up, i).map(Some)
        })
    }
}

/// How long a stage took.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_timing_us(
    slate: *const PcSlate,
    stage: *const c_char,
    out: *mut f64,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, slate, stage) = unsafe {
            (
                Out::new("out", out, 0.0)?,
                Handle::look("slate", slate)?,
                border::text_in("stage", stage)?,
            )
        };
        out.set(slate.timing(stage)?);
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

/// The decision record of a slate.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_slate_record(
    slate: *const PcSlate,
    flags: u32,
    out: *mut *mut c_char,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, slate) = unsafe {
            (
                Out::new("out", out, ptr::null_mut())?,
                Handle::look("slate", slate)?,
            )
        };
        let user = match flags {
            0 => UserVectors::Withheld,
            RECORD_PERSONAL => UserVectors::Included,
            RECORD_HASHES => UserVectors::Hashed,
            _ => {
                let expected = "0, PC_RECORD_PERSONAL or PC_RECORD_HASHES";
                return Err(Error::invalid("flags", expected, format!("{flags:#x}")).into());
            }
        };
        out.set(border::text_out(slate.record(user)?)?);
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

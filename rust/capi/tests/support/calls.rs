//! Calls of the exported functions with what every caller does around them.

use std::ffi::{c_char, CStr, CString};
use std::path::Path;
use std::ptr::null_mut;

use perso_core_capi::*;
use tempfile::TempDir;

use super::{int_catalog, save};

/// What a call said: its status, and its message, which is there exactly when it failed.
pub fn told(call: impl FnOnce(*mut *mut c_char) -> Status) -> (Status, String) {
    let stale = c"stale";
    let mut error = stale.as_ptr().cast_mut();
    let status = call(&mut error);
    let message = taken(error);
    assert_eq!(status == Status::Ok, message.is_none());
    (status, message.unwrap_or_default())
}

pub fn succeeds(call: impl FnOnce(*mut *mut c_char) -> Status) {
    let (status, message) = told(call);
    assert_eq!(status, Status::Ok, "{message}");
}

pub fn fails(status: Status, message: &str, call: impl FnOnce(*mut *mut c_char) -> Status) {
    let (found, text) = told(call);
    assert_eq!(found, status, "{text}");
    assert!(text.contains(message), "{text:?} does not say {message:?}");
}

/// Copies a text of the library's and frees it.
pub fn taken(text: *mut c_char) -> Option<String> {
    // SAFETY: every text in these tests is null or came from the library.
    unsafe {
        let copy = (!text.is_null()).then(|| CStr::from_ptr(text).to_str().unwrap().to_owned());
        pc_string_free(text);
        copy
    }
}

/// An open catalog that closes itself.
pub struct Opened(pub *mut PcCatalog);

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: the handle came from the library and is freed once.
        unsafe { pc_catalog_free(self.0) }
    }
}

pub fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

pub fn open(path: &Path, flags: u32) -> Opened {
    let path = c(path.to_str().unwrap());
    let mut catalog = null_mut();
    // SAFETY: as the header says.
    succeeds(|error| unsafe { pc_catalog_open(path.as_ptr(), flags, &mut catalog, error) });
    Opened(catalog)
}

pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub fn opened_int() -> Opened {
    let folder = folder();
    open(&save(&int_catalog(), folder.path(), "shop.pc"), 0)
}

pub fn rank(
    catalog: &Opened,
    request: &str,
    policy: &str,
    out: &mut *mut c_char,
    error: *mut *mut c_char,
) -> Status {
    let (request, policy) = (c(request), c(policy));
    // SAFETY: as the header says.
    unsafe { pc_rank(catalog.0, request.as_ptr(), policy.as_ptr(), out, error) }
}

pub fn record(catalog: &Opened, request: &str, policy: &str) -> String {
    let mut out = null_mut();
    succeeds(|error| rank(catalog, request, policy, &mut out, error));
    taken(out).unwrap()
}

pub fn rank_fails(catalog: &Opened, status: Status, message: &str, request: &str, policy: &str) {
    let mut out = c"stale".as_ptr().cast_mut();
    fails(status, message, |error| {
        rank(catalog, request, policy, &mut out, error)
    });
    assert!(out.is_null());
}

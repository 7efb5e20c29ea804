//! Server or device: the decision, made from what the caller knows.

use std::ffi::c_char;
use std::ptr;

use perso_core::route;

use crate::border::{self, call, Out};
use crate::status::Status;

/// Decides where a slate is to be made.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pc_route(
    situation_json: *const c_char,
    route_json_out: *mut *mut c_char,
    error: *mut *mut c_char,
) -> Status {
    let body = || {
        // SAFETY: as the header says.
        let (out, situation) = unsafe {
            let out = Out::new("route_json_out", route_json_out, ptr::null_mut())?;
            (out, border::text_in("situation_json", situation_json)?)
        };
        out.set(border::text_out(route::decide_json(situation)?)?);
        Ok(())
    };
    // SAFETY: as the header says.
    unsafe { call(error, body) }
}

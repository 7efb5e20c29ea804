//! Long calls: the work runs on another thread while the calling one, without the GIL, wakes every
//! 50 ms to look for Ctrl-C and to tell the caller's progress function. Python handles signals on its
//! main thread only, so the thread that called must be the one that looks.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use perso_core::error::{Error, Result};
use pyo3::prelude::*;

use crate::error::Outcome;

const BEAT: Duration = Duration::from_millis(50);

/// Work on fewer rows than this is over before anybody could interrupt it, and shorter than making a thread
/// for it is worth.
const MANY: usize = 256;

/// The same as [`run`] for work on so many rows, which is done at once where they are few and nobody asked
/// for progress.
pub fn run_many<T: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    rows: usize,
    work: impl FnOnce(&(dyn Fn(usize, usize) -> bool + Sync)) -> Result<T> + Send,
) -> Outcome<T> {
    if progress.is_none() && rows < MANY {
        return Ok(py.detach(|| work(&|_, _| true))?);
    }
    run(py, progress, work)
}

/// Runs `work`, handing it a hook of (done, total) that answers whether to go on.
pub fn run<T: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&(dyn Fn(usize, usize) -> bool + Sync)) -> Result<T> + Send,
) -> Outcome<T> {
    let stop = AtomicBool::new(false);
    let done = AtomicUsize::new(0);
    let total = AtomicUsize::new(0);
    let hook = |d: usize, t: usize| {
        total.store(t, Ordering::Relaxed);
        done.store(d, Ordering::Relaxed);
        !stop.load(Ordering::Relaxed)
    };
    let tell = |py: Python<'_>| -> PyResult<()> {
        py.check_signals()?;
        let total = total.load(Ordering::Relaxed);
        match &progress {
            Some(progress) if total > 0 => {
                let done = done.load(Ordering::Relaxed).min(total);
                progress.call1(py, (done, total)).map(|_| ())
            }
            _ => Ok(()),
        }
    };
    let (result, asked_to_stop) = py.detach(|| {
        std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel::<()>();
            let worker = scope.spawn(|| {
                // Dropped on return and on panic alike: either ends the wait below.
                let _sender = sender;
                work(&hook)
            });
            let mut asked_to_stop: Option<PyErr> = None;
            while receiver.recv_timeout(BEAT) == Err(mpsc::RecvTimeoutError::Timeout) {
                if asked_to_stop.is_none() {
                    asked_to_stop = Python::attach(tell).err();
                    stop.store(asked_to_stop.is_some(), Ordering::Relaxed);
                }
            }
            (worker.join(), asked_to_stop)
        })
    });
    match (result, asked_to_stop) {
        (Err(panic), _) => std::panic::resume_unwind(panic),
        (Ok(Err(Error::Interrupted)), Some(reason)) => Err(reason.into()),
        // The work was done before it could be stopped: the exception is raised all the same, as
        // Python would after any call that ends while a signal waits.
        (Ok(Ok(_)), Some(reason)) => Err(reason.into()),
        (Ok(result), _) => {
            let value = result?;
            tell(py)?;
            Ok(value)
        }
    }
}

//! What a catalog has behind it: nothing, a file that it follows, or a log that it writes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use perso_core::catalog::Catalog as Core;
use perso_core::durable::{self, Change, Durable, Follower, Options, Sync};
use perso_core::error::{Error, Result};
use perso_core::live::Live;
use perso_core::vectors::Spec;
use pyo3::prelude::*;
use pyo3::types::PyDict;

type Hook<'a> = &'a (dyn Fn(usize, usize) -> bool + std::marker::Sync);

/// What a catalog has behind it.
#[derive(Debug)]
pub enum Behind {
    /// Nothing: it was made here.
    Nothing,
    /// A file that it was read from, and that may have a log.
    File(Mutex<Follower>),
    /// A log that it writes.
    Log(Arc<Durable>),
}

impl Drop for Behind {
    fn drop(&mut self) {
        if let Behind::Log(durable) = self {
            durable.abandon();
        }
    }
}

impl Behind {
    /// Opens a file for reading.
    pub fn file(path: &Path, mmap: bool, hook: Hook<'_>) -> Result<(Core, Behind)> {
        let (core, follower) = durable::open_read(path, mmap, -1, hook)?;
        Ok((core, Behind::File(Mutex::new(follower))))
    }

    /// Opens a file and its log for writing.
    pub fn log(
        path: &Path,
        spaces: Option<Vec<(String, Spec)>>,
        options: Options,
        hook: Hook<'_>,
    ) -> Result<(Core, Behind)> {
        let (durable, core) = Durable::open(path, spaces, options, hook)?;
        Ok((core, Behind::Log(Arc::new(durable))))
    }

    /// Makes a change, durable where there is a log.
    pub fn apply(
        &self,
        core: &Arc<Live<Core>>,
        change: Change,
        num_threads: i64,
        hook: Hook<'_>,
    ) -> Result<()> {
        match self {
            Behind::Log(durable) => {
                durable.apply(core, change, num_threads, hook)?;
                durable.keep_short(core);
                Ok(())
            }
            _ => core.write(|core| change.apply(core, num_threads, hook)),
        }
    }

    /// Drops what removed items left behind, in memory and in files.
    pub fn compact(&self, core: &Arc<Live<Core>>) -> Result<()> {
        self.apply(core, Change::Compact, 1, &|_, _| true)?;
        match self {
            // The log has what they were.
            Behind::Log(durable) => durable.checkpoint(core, &|_, _| true),
            _ => Ok(()),
        }
    }

    /// Writes the file anew.
    pub fn checkpoint(&self, core: &Live<Core>, hook: Hook<'_>) -> Result<()> {
        let Behind::Log(durable) = self else {
            return Err(Error::invalid(
                "catalog",
                "one that was opened with durable=True",
                "one that was not",
            ));
        };
        durable.checkpoint(core, hook)
    }

    /// Takes in what another process wrote.
    pub fn refresh(&self, core: &Live<Core>, hook: Hook<'_>) -> Result<u64> {
        match self {
            Behind::Nothing => Err(Error::invalid(
                "catalog",
                "one that was opened from a file",
                "one that was made here",
            )),
            // Nobody else writes it.
            Behind::Log(_) => Ok(0),
            Behind::File(follower) => {
                let mut follower = follower.lock().unwrap_or_else(PoisonError::into_inner);
                core.write(|core| follower.refresh(core, -1, hook))
            }
        }
    }

    /// Lets go of the log.
    pub fn close(&self, core: &Live<Core>) -> Result<()> {
        match self {
            Behind::Log(durable) => durable.close(core),
            _ => Ok(()),
        }
    }

    /// The path that errors of the operating system are about.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Behind::Log(durable) => Some(durable.path()),
            _ => None,
        }
    }

    /// For `stats()`; `None` without a log.
    pub fn stats<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Behind::Log(durable) = self else {
            return Ok(None);
        };
        let stats = py.detach(|| durable.stats());
        let out = PyDict::new(py);
        out.set_item("path", durable.path().as_os_str())?;
        out.set_item("sync", durable.options().sync.as_str())?;
        out.set_item("bytes", stats.log_bytes)?;
        out.set_item("segments", stats.segments)?;
        out.set_item("changes", stats.changes)?;
        out.set_item("appends", stats.appends)?;
        out.set_item("checkpoints", stats.checkpoints)?;
        out.set_item("checkpoint_error", stats.checkpoint_error)?;
        out.set_item("cut_bytes", stats.cut_bytes)?;
        Ok(Some(out))
    }
}

/// How a log is kept, as Python says it.
pub fn options(mmap: bool, sync: &str, log_limit: Option<u64>) -> Result<Options> {
    Ok(Options {
        sync: Sync::parse("sync", sync)?,
        log_limit,
        mmap,
        ..Options::default()
    })
}

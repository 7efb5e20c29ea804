//! The one who writes a durable catalog.

use std::any::Any;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::change::Change;
use super::frame::{Head, COMPACT};
use super::log::Log;
use super::recover::{state_of, Reading};
use super::segment::{self, beside};
use super::storage::{Disk, Storage};
use super::Options;
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::hnsw::Hook;
use crate::live::Live;
use crate::rank::Source;
use crate::vectors::Spec;

/// Changes of fewer items than this cannot be interrupted, so one thread may make those of others.
const TOGETHER: usize = 1024;

/// Holds a catalog's lock and its log.
#[derive(Debug)]
pub struct Durable {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    options: Options,
    /// The process that opened it: a child that was forked must not write.
    process: u32,
    /// Changes that wait for whoever appends next.
    queue: Mutex<Vec<Arc<Ticket>>>,
    state: Mutex<State>,
    /// Held while a checkpoint is made.
    checkpointing: Mutex<()>,
    /// A thread makes one.
    aside: AtomicBool,
    /// Nobody waits for it any more.
    abandoned: AtomicBool,
}

struct State {
    /// `None` when closed.
    open: Option<Open>,
    /// Bytes of the file.
    file: u64,
    /// No checkpoint before the log has so many bytes: the last one failed.
    not_before: u64,
    stats: Stats,
}

struct Open {
    log: Log,
    /// Held for as long as it is here.
    _lock: Box<dyn Any + Send>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("log", &self.open.as_ref().map(|open| &open.log))
            .field("stats", &self.stats)
            .finish()
    }
}

/// What happened to a durable catalog since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of the log; 0 when closed.
    pub log_bytes: u64,
    /// Files of the log.
    pub segments: usize,
    /// Writes to the log: fewer than changes where threads shared one.
    pub appends: u64,
    /// Changes in them.
    pub changes: u64,
    /// Checkpoints made.
    pub checkpoints: u64,
    /// Why the last one could not be made.
    pub checkpoint_error: Option<String>,
    /// Bytes of a write that was cut off, taken away when it was opened.
    pub cut_bytes: u64,
}

/// A change that waits for its turn.
#[derive(Debug)]
struct Ticket {
    change: Mutex<Option<(Change, i64)>>,
    outcome: Mutex<Option<Result<()>>>,
}

/// A panic of another thread left nothing half done that this module keeps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Durable {
    /// Opens a catalog for writing, and recovers it. `spaces`, where the file is not there: an empty one is
    /// made. `hook` is told bytes of the log done of all.
    pub fn open(
        path: &Path,
        spaces: Option<Vec<(String, Spec)>>,
        options: Options,
        hook: Hook<'_>,
    ) -> Result<(Durable, Catalog)> {
        Durable::open_in(Arc::new(Disk), path, spaces, options, hook)
    }

    /// The same on any storage.
    pub fn open_in(
        storage: Arc<dyn Storage>,
        path: &Path,
        spaces: Option<Vec<(String, Spec)>>,
        options: Options,
        hook: Hook<'_>,
    ) -> Result<(Durable, Catalog)> {
        // Checked before anything is written.
        let empty = spaces.clone().map(Catalog::new).transpose()?;
        let there = || match storage.read(path, 0) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        if empty.is_none() && !there()? {
            return Err(Error::Io(io::Error::new(
                io::ErrorKind::NotFound,
                format!(
                    "{} is not there; with spaces= it would be made",
                    path.display()
                ),
            )));
        }
        let held = storage.lock(&beside(path, ".lock"))?;
        let there = there()?;
        match storage.remove(&beside(path, ".checkpoint")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        if let Some(empty) = empty.filter(|_| !there) {
            if let Some(number) = segment::numbers(&*storage, path)?.first() {
                return Err(Error::format(format!(
                    "segment {number} of a log is there, and the file that it belongs to is not"
                )));
            }
            write_file(&*storage, path, &empty, hook)?;
        }
        let reading = Reading {
            storage: &*storage,
            path,
            mmap: options.mmap,
            num_threads: options.num_threads,
            hook,
        };
        let found = reading.recover()?;
        if let Some(spaces) = &spaces {
            check_spaces(spaces, &found.catalog)?;
        }
        for number in found.obsolete.iter().chain(&found.headless) {
            storage.remove(&segment::path_of(path, *number))?;
        }
        if found.headless.is_some() {
            // If it came back after a power cut, the segment before it would seem to be complete.
            storage.sync_dir(segment::folder_of(path))?;
        }
        let numbers = [found.headless, found.end.map(|end| end.number + 1)];
        let next = numbers.into_iter().flatten().max().unwrap_or(1);
        let log = Log::open(
            &storage,
            path.to_owned(),
            options.sync,
            found.older,
            found.end,
            next,
            found.catalog.generation(),
        )?;
        let stats = Stats {
            cut_bytes: found.end.map_or(0, |end| end.torn),
            ..Stats::default()
        };
        let file = storage.read(path, 0)?.1;
        let durable = Durable {
            storage,
            path: path.to_owned(),
            options,
            process: std::process::id(),
            queue: Mutex::default(),
            state: Mutex::new(State {
                open: Some(Open { log, _lock: held }),
                file,
                not_before: 0,
                stats,
            }),
            checkpointing: Mutex::default(),
            aside: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
        };
        Ok((durable, found.catalog))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it is kept.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        let state = lock(&self.state);
        let log = state.open.as_ref().map(|open| &open.log);
        Stats {
            log_bytes: log.map_or(0, Log::bytes),
            segments: log.map_or(0, Log::segments),
            ..state.stats.clone()
        }
    }

    /// Whether a checkpoint is due.
    pub fn is_due(&self) -> bool {
        let (limit, bytes) = self.limit_and_bytes();
        bytes > limit
    }

    fn limit_and_bytes(&self) -> (u64, u64) {
        let state = lock(&self.state);
        let limit = self.options.log_limit;
        let limit = limit.unwrap_or_else(|| (64 << 20).max(state.file / 2));
        let bytes = state.open.as_ref().map_or(0, |open| open.log.bytes());
        (limit.max(state.not_before), bytes)
    }

    /// Makes a change: when this returns it is on disk, as [`super::Sync`] has it, and visible. After an error
    /// neither, but for the error that the log takes no more: a change that could not be taken back may be
    /// there when the catalog is opened again.
    pub fn apply(
        &self,
        live: &Live<Catalog>,
        change: Change,
        num_threads: i64,
        hook: Hook<'_>,
    ) -> Result<()> {
        if change.len() >= TOGETHER {
            let outcomes = self.commit(
                &mut lock(&self.state),
                live,
                vec![(change, num_threads)],
                hook,
            );
            return outcomes.into_iter().collect();
        }
        let ticket = Arc::new(Ticket {
            change: Mutex::new(Some((change, num_threads))),
            outcome: Mutex::new(None),
        });
        lock(&self.queue).push(Arc::clone(&ticket));
        // Whoever gets here first makes the changes of all that wait behind it.
        let mut state = lock(&self.state);
        if lock(&ticket.change).is_some() {
            let waiting = std::mem::take(&mut *lock(&self.queue));
            let changes = waiting
                .iter()
                .filter_map(|ticket| lock(&ticket.change).take());
            let outcomes = self.commit(&mut state, live, changes.collect(), &|_, _| true);
            for (ticket, outcome) in waiting.iter().zip(outcomes) {
                *lock(&ticket.outcome) = Some(outcome);
            }
        }
        let outcome = lock(&ticket.outcome).take();
        outcome.unwrap_or_else(|| {
            Err(Error::Io(io::Error::other(
                "a change that another thread made at the same time panicked; this one was not made",
            )))
        })
    }

    /// Makes some changes with one append.
    fn commit(
        &self,
        state: &mut State,
        live: &Live<Catalog>,
        changes: Vec<(Change, i64)>,
        hook: Hook<'_>,
    ) -> Vec<Result<()>> {
        let mut outcomes: Vec<Option<Result<()>>> = changes.iter().map(|_| None).collect();
        let mut made = 0;
        let done = self.log(state).and_then(|log| {
            live.write(|catalog| {
                let mut frames = Vec::new();
                for ((change, threads), outcome) in changes.into_iter().zip(&mut outcomes) {
                    let before = catalog.generation();
                    let (kind, mut frame) = (change.kind(), change.frame());
                    match change.apply(catalog, threads, hook) {
                        Ok(()) => {}
                        Err(error) if catalog.generation() == before => {
                            *outcome = Some(Err(error));
                            continue;
                        }
                        Err(error) => return Err(error),
                    }
                    let (generation, hash) = state_of(catalog);
                    if generation == before && kind != COMPACT {
                        *outcome = Some(Ok(()));
                        continue;
                    }
                    made += 1;
                    Head::seal(kind, generation, hash, log.synced, log.number, &mut frame);
                    if frames.is_empty() {
                        frames = frame;
                    } else {
                        frames.extend_from_slice(&frame);
                    }
                }
                if frames.is_empty() {
                    return Ok(());
                }
                log.append(&frames)
            })
        });
        if done.is_ok() && made > 0 {
            state.stats.appends += 1;
            state.stats.changes += made;
        }
        outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(|| done.as_ref().copied().map_err(again)))
            .collect()
    }

    fn log<'s>(&self, state: &'s mut State) -> Result<&'s mut Log> {
        let process = std::process::id();
        if process != self.process {
            return Err(Error::invalid(
                "catalog",
                format!(
                    "a change by process {}, which opened it for writing",
                    self.process
                ),
                format!("one by process {process}"),
            ));
        }
        let open = state.open.as_mut().ok_or_else(|| {
            Error::invalid(
                "catalog",
                "one that is open for writing",
                "one that was closed",
            )
        })?;
        open.log.usable()?;
        Ok(&mut open.log)
    }

    /// Brings the file up to date and removes the log that it then has. Neither readers nor writers are kept
    /// waiting.
    pub fn checkpoint(&self, live: &Live<Catalog>, hook: Hook<'_>) -> Result<()> {
        let _one = lock(&self.checkpointing);
        let mut keep = None;
        let made = self.rotate(live).and_then(|rotated| match rotated {
            None => Ok(()),
            Some((number, version)) => {
                keep = Some(number);
                write_file(&*self.storage, &self.path, &version, hook)
            }
        });
        let mut state = lock(&self.state);
        match (&made, keep) {
            (Ok(()), Some(keep)) => {
                state.stats.checkpoints += 1;
                state.stats.checkpoint_error = None;
                state.not_before = 0;
                if let Ok((_, len)) = self.storage.read(&self.path, 0) {
                    state.file = len;
                }
                if let Some(open) = &mut state.open {
                    open.log.remove_before(keep);
                }
            }
            (Ok(()), None) => {}
            (Err(error), _) => {
                state.stats.checkpoint_error = Some(error.to_string());
                // Not at every change: when the log has grown by half.
                let bytes = state.open.as_ref().map_or(0, |open| open.log.bytes());
                state.not_before = bytes + bytes / 2;
            }
        }
        made
    }

    /// Begins a segment: its number, and the catalog that it begins with. `None` when the file has everything.
    fn rotate(&self, live: &Live<Catalog>) -> Result<Option<(u64, Arc<Catalog>)>> {
        let mut state = lock(&self.state);
        let log = self.log(&mut state)?;
        if !log.has_frames() {
            return Ok(None);
        }
        // Changes are published while the log is held, so this is what it has come to.
        let version = live.read();
        log.rotate(version.generation())?;
        Ok(Some((log.number, version)))
    }

    /// Makes a checkpoint when one is due, on a thread of its own; where the log has outgrown its limit four
    /// times meanwhile, here, so that it cannot grow without bound.
    pub fn keep_short(self: &Arc<Self>, live: &Arc<Live<Catalog>>) {
        let (limit, bytes) = self.limit_and_bytes();
        if bytes <= limit {
            return;
        }
        if bytes > limit.saturating_mul(4) {
            // The change is safe already: why there is no checkpoint is for `stats` to tell.
            let _ = self.checkpoint(live, &|_, _| true);
            return;
        }
        if self.aside.swap(true, Ordering::AcqRel) {
            return;
        }
        let (durable, live) = (Arc::clone(self), Arc::clone(live));
        let work = move || {
            let go = |_: usize, _: usize| !durable.abandoned.load(Ordering::Acquire);
            let _ = durable.checkpoint(&live, &go);
            durable.aside.store(false, Ordering::Release);
        };
        let name = "perso-core-checkpoint".to_owned();
        if std::thread::Builder::new().name(name).spawn(work).is_err() {
            self.aside.store(false, Ordering::Release);
        }
    }

    /// Ends the log with a mark that vouches for it and lets go of the lock. Closing again does nothing.
    pub fn close(&self, live: &Live<Catalog>) -> Result<()> {
        let _one = lock(&self.checkpointing);
        let mut state = lock(&self.state);
        let Some(mut open) = state.open.take() else {
            return Ok(());
        };
        if std::process::id() != self.process || open.log.usable().is_err() {
            return Ok(());
        }
        let (generation, hash) = state_of(&live.read());
        open.log.close(generation, hash)
    }

    /// Lets go of the lock without a word in the log, as the end of the process would: a checkpoint that is being
    /// made is given up.
    pub fn abandon(&self) {
        // In a forked child nobody would ever let go of what a thread of the parent holds.
        if std::process::id() == self.process {
            self.abandoned.store(true, Ordering::Release);
            let _one = lock(&self.checkpointing);
            lock(&self.state).open = None;
        }
    }
}

/// Refuses spaces that are not those of the file; the seed is the file's.
fn check_spaces(spaces: &[(String, Spec)], catalog: &Catalog) -> Result<()> {
    let told = |(name, spec): (&str, &Spec)| {
        let spec = Spec {
            seed: 0,
            ..spec.clone()
        };
        (name.to_owned(), spec)
    };
    let given: Vec<_> = spaces
        .iter()
        .map(|(name, spec)| told((name, spec)))
        .collect();
    let found: Vec<_> = catalog.specs().map(told).collect();
    if given == found {
        return Ok(());
    }
    Err(Error::invalid(
        "spaces",
        format!("those of the file, {found:?}"),
        format!("{given:?}"),
    ))
}

/// Writes a catalog to the side and puts it in place.
fn write_file(storage: &dyn Storage, path: &Path, catalog: &Catalog, hook: Hook<'_>) -> Result<()> {
    let side = beside(path, ".checkpoint");
    let write = || -> Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, storage.create(&side)?);
        catalog.write_to(&mut out, hook)?;
        out.flush()?;
        out.get_mut().sync()?;
        Ok(())
    };
    if let Err(error) = write() {
        // What is left of it is overwritten by the next.
        let _ = storage.remove(&side);
        return Err(error);
    }
    storage.rename(&side, path)?;
    storage.sync_dir(segment::folder_of(path))?;
    Ok(())
}

/// One failure for each of those it concerns.
fn again(error: &Error) -> Error {
    match error {
        Error::Io(io) => Error::Io(match io.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(io.kind(), io.to_string()),
        }),
        Error::Invalid {
            argument,
            expected,
            got,
        } => Error::invalid(&**argument, &**expected, got),
        Error::Interrupted => Error::Interrupted,
        other => Error::Io(io::Error::other(other.to_string())),
    }
}

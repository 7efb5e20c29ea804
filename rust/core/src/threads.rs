//! Worker threads for one call.
//!
//! Each parallel call makes its own pool and drops it: there is no global state, so a process that
//! forks after using the library (a pre-fork server) has children that work. Making a pool costs some
//! 50 µs a thread, which the calls that want one are long enough to hide.

use crate::error::{Error, Result};

/// How many threads a call may use: -1 for every core.
pub fn resolve(argument: &str, num_threads: i64) -> Result<usize> {
    match num_threads {
        -1 => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
        1..=1024 => Ok(num_threads as usize),
        other => Err(Error::invalid(
            argument,
            "-1 (every core) or 1 to 1024",
            other,
        )),
    }
}

/// `f` of each item, in order. One thread, or little to do, means a plain loop.
pub fn map<T, S, R>(
    threads: usize,
    items: &[T],
    init: impl Fn() -> S + Sync + Send,
    f: impl Fn(&mut S, &T) -> R + Sync + Send,
) -> Result<Vec<R>>
where
    T: Sync,
    S: Send,
    R: Send,
{
    if threads <= 1 || items.len() <= 1 {
        let mut state = init();
        return Ok(items.iter().map(|item| f(&mut state, item)).collect());
    }
    with_pool(threads.min(items.len()), || par_map(items, &init, &f))
}

/// The same inside a pool that is there already, or a plain loop outside one.
pub fn par_map<T, S, R>(
    items: &[T],
    init: &(impl Fn() -> S + Sync + Send),
    f: &(impl Fn(&mut S, &T) -> R + Sync + Send),
) -> Vec<R>
where
    T: Sync,
    S: Send,
    R: Send,
{
    use rayon::prelude::*;
    if items.len() <= 1 || rayon::current_thread_index().is_none() {
        let mut state = init();
        return items.iter().map(|item| f(&mut state, item)).collect();
    }
    items
        .par_iter()
        .map_init(init, |state, item| f(state, item))
        .collect()
}

/// Runs `f` inside a pool of its own.
///
/// A worker of another pool that waits for this one would do work of its own pool meanwhile, on top of what it
/// holds; where that is a lock, as when a model that is asked during a ranking changes the catalog, and the
/// work wants it too, it would wait for itself. So such a worker waits idly, for a thread that belongs to no
/// pool.
pub fn with_pool<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> Result<R> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("perso-core-{i}"))
        .build()
        .map_err(|error| Error::Io(std::io::Error::other(error)))?;
    if rayon::current_thread_index().is_none() {
        return Ok(pool.install(f));
    }
    std::thread::scope(|scope| match scope.spawn(|| pool.install(f)).join() {
        Ok(value) => Ok(value),
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

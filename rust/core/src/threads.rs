//! Worker threads for one call.
//!
//! Each parallel call makes its own pool and drops it: there is no global state, so a process that
//! forks after using the library (a pre-fork server) has children that work. Making a pool costs some
//! 50 µs a thread, which the calls that want one are long enough to hide.
//!
//! Without the feature `threads` this is one thread and no rayon, as a device wants it: whatever number a
//! call names, its work is done by the thread that called. Results are the same, as they do not depend on
//! the number of threads.

#[cfg(feature = "threads")]
mod pool;
#[cfg(not(feature = "threads"))]
#[path = "threads/alone.rs"]
mod pool;

use crate::error::{Error, Result};
pub use pool::{current, par_chunks_mut, par_map, with_pool};

/// How many threads a call may use: -1 for every core.
pub fn resolve(argument: &str, num_threads: i64) -> Result<usize> {
    match num_threads {
        -1 | 1..=1024 if cfg!(not(feature = "threads")) => Ok(1),
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

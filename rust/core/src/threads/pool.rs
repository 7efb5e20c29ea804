//! Many threads: rayon's pools, one a call.

use rayon::prelude::*;

use crate::error::{Error, Result};

/// How many threads work beside the one that asks, itself among them: 1 outside a pool.
pub fn current() -> usize {
    rayon::current_thread_index().map_or(1, |_| rayon::current_num_threads())
}

/// [`map`](super::map) inside a pool that is there already, or a plain loop outside one.
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
    if items.len() <= 1 || rayon::current_thread_index().is_none() {
        let mut state = init();
        return items.iter().map(|item| f(&mut state, item)).collect();
    }
    items
        .par_iter()
        .map_init(init, |state, item| f(state, item))
        .collect()
}

/// `f` of each `size` values and of what is left, with the place of the first: inside a pool that is there already,
/// or a plain loop outside one.
pub fn par_chunks_mut<T, S>(
    values: &mut [T],
    size: usize,
    init: &(impl Fn() -> S + Sync + Send),
    f: &(impl Fn(&mut S, usize, &mut [T]) + Sync + Send),
) where
    T: Send,
    S: Send,
{
    if rayon::current_thread_index().is_none() {
        let mut state = init();
        for (i, chunk) in values.chunks_mut(size).enumerate() {
            f(&mut state, i * size, chunk);
        }
        return;
    }
    values
        .par_chunks_mut(size)
        .enumerate()
        .for_each_init(init, |state, (i, chunk)| f(state, i * size, chunk));
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

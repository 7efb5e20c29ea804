//! One thread: what `pool` has, as plain loops.

use crate::error::Result;

/// How many threads work beside the one that asks, itself among them.
pub fn current() -> usize {
    1
}

/// `f` of each item, in order.
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
    let mut state = init();
    items.iter().map(|item| f(&mut state, item)).collect()
}

/// `f` of each `size` values and of what is left, in order, with the place of the first.
pub fn par_chunks_mut<T, S>(
    values: &mut [T],
    size: usize,
    init: &(impl Fn() -> S + Sync + Send),
    f: &(impl Fn(&mut S, usize, &mut [T]) + Sync + Send),
) where
    T: Send,
    S: Send,
{
    let mut state = init();
    for (i, chunk) in values.chunks_mut(size).enumerate() {
        f(&mut state, i * size, chunk);
    }
}

/// Runs `f`.
pub fn with_pool<R: Send>(_threads: usize, f: impl FnOnce() -> R + Send) -> Result<R> {
    Ok(f())
}

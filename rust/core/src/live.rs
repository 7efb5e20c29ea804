//! The version that is current: readers take it and keep it, one writer at a time makes the next.
//!
//! A version never changes once it is here. A reader holds its own for as long as it likes and waits for
//! nobody; a writer works on a copy, which costs little because what it does not touch is shared, and puts it
//! here when it is whole. So a change that fails, is interrupted or panics has never happened, and what one
//! call reads is one state of the data. The swap itself is the `arc-swap` crate's: readers do not write to a
//! counter that others read.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::error::Result;

/// A value that is read while it is replaced.
#[derive(Debug)]
pub struct Live<T> {
    current: ArcSwap<T>,
    /// Held by whoever makes the next version, with those before it that readers had not let go of yet:
    /// the memory of a version is given back by a writer, so that no reader pays for it.
    turn: Mutex<Vec<Arc<T>>>,
}

impl<T: Clone> Live<T> {
    /// The first version.
    pub fn new(value: T) -> Self {
        Live {
            current: ArcSwap::from_pointee(value),
            turn: Mutex::new(Vec::new()),
        }
    }

    /// The current version, which stays what it is.
    pub fn read(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Makes the next version: `change` gets a copy of the current one, which is published when it succeeds
    /// and dropped when it fails. Changes come one after another.
    pub fn write<R>(&self, change: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        // A panic in `change` spoiled a copy that nobody else saw.
        let mut retired = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = T::clone(&self.current.load());
        let out = change(&mut next)?;
        retired.push(self.current.swap(Arc::new(next)));
        retired.retain(|version| Arc::strong_count(version) > 1);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::error::Error;

    #[test]
    fn a_change_that_fails_or_panics_was_never_there() {
        let live = Live::new(vec![1]);
        let failed: Result<()> = live.write(|value| {
            value.push(2);
            Err(Error::Interrupted)
        });
        assert!(failed.is_err());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            live.write(|value| -> Result<()> {
                value.push(3);
                panic!("half way")
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(*live.read(), [1]);
        live.write(|value| {
            value.push(4);
            Ok(())
        })
        .unwrap();
        assert_eq!(*live.read(), [1, 4]);
    }

    #[test]
    fn readers_see_whole_versions_in_order_while_writers_take_turns() {
        // Every version holds one number many times over, so a mixture would show.
        let live = Live::new(vec![0u64; 64]);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let mut last = 0;
                        while !done.load(Ordering::Relaxed) {
                            let version = live.read();
                            assert!(version.iter().all(|n| *n == version[0]));
                            assert!(version[0] >= last);
                            last = version[0];
                        }
                        last
                    })
                })
                .collect();
            let writers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..2000 {
                            live.write(|value| {
                                value.iter_mut().for_each(|n| *n += 1);
                                Ok(())
                            })
                            .unwrap();
                        }
                    })
                })
                .collect();
            writers.into_iter().for_each(|w| w.join().unwrap());
            done.store(true, Ordering::Relaxed);
            for reader in readers {
                reader.join().unwrap();
            }
        });
        assert_eq!(live.read()[0], 4000);
    }

    #[test]
    fn a_version_is_dropped_by_the_writer_after_its_last_reader() {
        let live = Live::new(Arc::new(0));
        let (held, mut seen) = (live.read(), Vec::new());
        for n in 1..4 {
            live.write(|value| {
                *value = Arc::new(n);
                Ok(())
            })
            .unwrap();
            seen.push(Arc::downgrade(&live.read()));
        }
        // The current one is left, and the one that is held.
        assert_eq!(
            seen.iter().filter(|weak| weak.upgrade().is_some()).count(),
            1
        );
        assert_eq!((**held, live.turn.lock().unwrap().len()), (0, 1));
        drop(held);
        live.write(|_| Ok(())).unwrap();
        assert!(live.turn.lock().unwrap().is_empty());
    }
}

//! The claims of copies that append to shared memory (`store/claim.rs`), before a model checker: loom runs every
//! interleaving of a few threads, and fails where two of them touch one place at once while one of them writes,
//! or where one could read what was not yet written.
//!
//! What `store/buf.rs` does with addresses is done here with loom's cells, one a number, under the same rules: a
//! copy reads below its length; to append it claims, and where it cannot, it moves to memory of its own.

#[path = "../src/store/claim.rs"]
mod claim;

/// What `claim` asks its parent for.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};
}

use claim::Claimed;
use loom::cell::UnsafeCell;
use loom::sync::{Arc, Mutex};
use loom::thread;

const ROOM: usize = 4;

struct Region {
    cells: [UnsafeCell<usize>; ROOM],
    claimed: Claimed,
}

#[derive(Clone)]
struct Copy {
    region: Arc<Region>,
    len: usize,
}

impl Copy {
    fn new(values: &[usize]) -> Self {
        let region = Region {
            cells: std::array::from_fn(|i| UnsafeCell::new(values.get(i).copied().unwrap_or(0))),
            claimed: Claimed::new(values.len()),
        };
        Copy {
            region: Arc::new(region),
            len: values.len(),
        }
    }

    fn read(&self) -> Vec<usize> {
        let read = |cell: &UnsafeCell<usize>| {
            cell.with(|at| {
                // SAFETY: loom's cell fails the test where this is not so.
                unsafe { *at }
            })
        };
        self.region.cells[..self.len].iter().map(read).collect()
    }

    fn push(&mut self, value: usize) {
        let end = self.len + 1;
        let claimed = match Arc::get_mut(&mut self.region) {
            Some(alone) => {
                alone.claimed.extend_alone(end);
                true
            }
            None => self.region.claimed.extend(self.len, end),
        };
        if !claimed {
            *self = Copy::new(&self.read());
            return self.push(value);
        }
        self.region.cells[self.len].with_mut(|at| {
            // SAFETY: as above.
            unsafe { *at = value }
        });
        self.len = end;
    }
}

#[test]
fn copies_that_append_at_once_never_meet() {
    loom::model(|| {
        let first = Copy::new(&[1]);
        let mut own = first.clone();
        let mut other = first.clone();
        let thread = thread::spawn(move || {
            other.push(2);
            other.push(3);
            assert_eq!(other.read(), [1, 2, 3]);
        });
        own.push(4);
        assert_eq!(own.read(), [1, 4]);
        assert_eq!(first.read(), [1]);
        thread.join().unwrap();
        assert_eq!((own.read(), first.read()), (vec![1, 4], vec![1]));
    });
}

#[test]
fn a_reader_of_a_published_copy_sees_all_of_it_while_the_next_is_made() {
    loom::model(|| {
        let current = Arc::new(Mutex::new(Copy::new(&[1])));
        let shared = Arc::clone(&current);
        let writer = thread::spawn(move || {
            for value in 2..4 {
                let mut next = shared.lock().unwrap().clone();
                next.push(value);
                *shared.lock().unwrap() = next;
            }
        });
        let version = current.lock().unwrap().clone();
        let seen = version.read();
        assert!(seen.iter().copied().eq(1..=seen.len()), "{seen:?}");
        writer.join().unwrap();
        assert_eq!(version.read(), seen);
        assert_eq!(current.lock().unwrap().read(), [1, 2, 3]);
    });
}

#[test]
fn what_a_copy_that_was_given_up_had_claimed_is_free_once_it_is_gone() {
    loom::model(|| {
        let mut kept = Copy::new(&[1]);
        let mut given_up = kept.clone();
        let thread = thread::spawn(move || {
            given_up.push(2);
            assert_eq!(given_up.read(), [1, 2]);
        });
        kept.push(3);
        thread.join().unwrap();
        kept.push(4);
        assert_eq!(kept.read(), [1, 3, 4]);
    });
}

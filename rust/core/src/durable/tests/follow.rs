//! Readers beside a writer.

use std::sync::Mutex;

use super::faults::Watch;
use super::*;

/// A reader that looks at every single operation of the writer sees only states that there were, in order.
#[test]
fn a_reader_at_every_operation_sees_whole_states_in_order() {
    let home = folder();
    let path = path_in(home.path());
    let (changes, catalogs) = script(120, 13);
    let states: Vec<_> = catalogs.iter().map(state_of).collect();
    let faulty = Faulty::new(home.path(), None, 1);
    let opened = Opened::new(Arc::new(faulty.clone()), &path, Sync::Always).unwrap();
    let (catalog, follower) = open_read(&path, false, 1, &go).unwrap();
    let reader = Arc::new(Mutex::new((catalog, follower, 0u64)));
    let (looked, known, from) = (Arc::clone(&reader), states.clone(), path.clone());
    faulty.watch(Watch(Arc::new(move || {
        let (catalog, follower, seen) = &mut *looked.lock().unwrap();
        let before = catalog.generation();
        let more = follower.refresh(catalog, 1, &go).unwrap();
        assert_eq!(catalog.generation(), before + more);
        assert!(known.contains(&state_of(catalog)));
        *seen += more;
        // One that begins just now.
        let (fresh, _) = open_read(&from, false, 1, &go).unwrap();
        assert_eq!(state_of(&fresh), state_of(catalog));
    })));
    for change in changes {
        let _ = opened.apply(change);
    }
    assert!(opened.durable.stats().checkpoints > 3);
    let (catalog, follower, seen) = &mut *reader.lock().unwrap();
    *seen += follower.refresh(catalog, 1, &go).unwrap();
    assert_eq!(follower.refresh(catalog, 1, &go).unwrap(), 0);
    same(catalog, &catalogs[120]);
    assert_eq!(*seen, catalog.generation());
}

/// A reader that looks seldom, with any number of checkpoints between, ends up at the same place.
#[test]
fn a_reader_that_was_away_catches_up() {
    let (changes, catalogs) = script(120, 17);
    for every in [1, 5, 40, 119] {
        let home = folder();
        let path = path_in(home.path());
        let opened = Opened::new(Arc::new(Disk), &path, Sync::Never).unwrap();
        let (mut catalog, mut follower) = open_read(&path, true, 1, &go).unwrap();
        for (i, change) in changes.iter().enumerate() {
            let _ = opened.apply(change.clone());
            if i % every == 0 {
                follower.refresh(&mut catalog, 1, &go).unwrap();
                same(&catalog, &catalogs[i + 1]);
            }
        }
        drop(opened);
        follower.refresh(&mut catalog, 1, &go).unwrap();
        same(&catalog, &catalogs[120]);
    }
}

/// A writer that takes back what a reader has seen: the reader begins again.
#[test]
fn a_change_that_was_taken_back_is_taken_back_by_readers() {
    let home = folder();
    let path = path_in(home.path());
    let (changes, _) = script(40, 19);
    let opened = Opened::new(Arc::new(Disk), &path, Sync::Always).unwrap();
    for change in &changes {
        let _ = opened.durable.apply(&opened.live, change.clone(), 1, &go);
    }
    let log = segment::path_of(&path, 1);
    let short = std::fs::read(&log).unwrap();
    let expected = opened.state();
    let mut dice = Dice(5);
    let mut more = || loop {
        let change = change(&mut dice, &opened.live.read());
        let before = opened.state();
        let _ = opened.durable.apply(&opened.live, change, 1, &go);
        if opened.state() != before {
            break;
        }
    };
    more();
    let long = std::fs::read(&log).unwrap();
    let (mut catalog, mut follower) = open_read(&path, false, 1, &go).unwrap();
    assert_eq!(state_of(&catalog), opened.state());
    std::fs::write(&log, &short).unwrap();
    assert_eq!(follower.refresh(&mut catalog, 1, &go).unwrap(), 0);
    assert_eq!(state_of(&catalog), expected);
    // And where another frame stands in its place.
    std::fs::write(&log, &long).unwrap();
    assert_eq!(follower.refresh(&mut catalog, 1, &go).unwrap(), 1);
    assert_eq!(state_of(&catalog), opened.state());
}

#[test]
fn a_catalog_that_was_changed_here_is_not_refreshed() {
    let home = folder();
    let path = path_in(home.path());
    let (changes, _) = script(20, 23);
    let opened = Opened::new(Arc::new(Disk), &path, Sync::Always).unwrap();
    let (mut catalog, mut follower) = open_read(&path, false, 1, &go).unwrap();
    changes
        .iter()
        .for_each(|change| drop(opened.apply(change.clone())));
    let _ = changes[0].clone().apply(&mut catalog, 1, &go);
    let refused = follower.refresh(&mut catalog, 1, &go);
    assert!(
        matches!(refused, Err(Error::Invalid { expected, .. }) if expected.contains("not changed"))
    );
}

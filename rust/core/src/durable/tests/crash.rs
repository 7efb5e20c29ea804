//! The machine stops, or the disk refuses, at every single operation.

use super::faults::Fault;
use super::*;

const CHANGES: usize = 200;

/// Runs the script until it is over or the machine stops. Returns how many changes were answered with
/// success or refusal by the catalog.
fn run(faulty: &Faulty, path: &Path, changes: &[Change], sync: Sync) -> usize {
    let Ok(opened) = Opened::new(Arc::new(faulty.clone()), path, sync) else {
        assert!(faulty.crashed());
        return 0;
    };
    for (i, change) in changes.iter().enumerate() {
        let refused = opened.apply(change.clone()).is_err();
        if refused && faulty.crashed() {
            return i;
        }
    }
    let closed = opened.durable.close(&opened.live);
    assert!(closed.is_ok() || faulty.crashed());
    changes.len()
}

/// After a crash at any operation, and another one while it recovers: every acknowledged change is there,
/// at most the one in flight besides, and nothing else.
fn at_every_operation(sync: Sync) {
    let (changes, catalogs) = script(CHANGES, 7);
    let home = folder();
    let steady = Faulty::new(home.path(), None, 0);
    run(&steady, &path_in(home.path()), &changes, sync);
    let operations = steady.operations();
    assert!(operations > CHANGES, "{operations}");
    let (mut in_flight, mut crashes_in_recovery, mut checkpoints) = (0, 0, 0);
    for at in 0..operations {
        let home = folder();
        let path = path_in(home.path());
        // The seed decides on short writes, so it is the same as that of the counted run.
        let faulty = Faulty::new(home.path(), Some((at, Fault::Crash)), 0);
        let acknowledged = run(&faulty, &path, &changes, sync);
        faulty.survives(at as u64);
        // Stop again while it recovers, at some operation that it may not even get to.
        let again = Faulty::new(home.path(), Some((at % 7, Fault::Crash)), at as u64);
        if Opened::new(Arc::new(again.clone()), &path, sync).is_err() {
            assert!(again.crashed());
            crashes_in_recovery += 1;
        }
        again.survives(!(at as u64));

        let last = Faulty::new(home.path(), None, at as u64);
        let opened = Opened::new(Arc::new(last), &path, sync).unwrap();
        let found = opened.live.read();
        let before = catalogs[acknowledged].generation();
        let (generation, _) = opened.state();
        let known = match sync {
            Sync::Always => acknowledged..=(acknowledged + 1).min(CHANGES),
            Sync::Never => 0..=(acknowledged + 1).min(CHANGES),
        };
        let here = known
            .clone()
            .find(|i| catalogs[*i].generation() == generation);
        let here = here.unwrap_or_else(|| panic!("crash {at}: {generation} after {before}"));
        assert_eq!(state_of(&found), state_of(&catalogs[here]), "crash {at}");
        in_flight += usize::from(generation > before);
        checkpoints += usize::from(!path.with_extension("perso.log.1").exists());
        if at % 8 == 0 {
            // It goes on as if nothing had happened, and its searches as well.
            let from = (here..CHANGES).find(|i| catalogs[*i].generation() == generation);
            for change in &changes[from.unwrap_or(CHANGES)..] {
                let _ = opened.apply(change.clone());
            }
            same(&opened.live.read(), &catalogs[CHANGES]);
            opened.durable.close(&opened.live).unwrap();
            let (reader, _) = open_read(&path, at % 16 == 0, 1, &go).unwrap();
            same(&reader, &catalogs[CHANGES]);
        }
    }
    // The test has met what it is about.
    assert!(in_flight > 20 || sync == Sync::Never, "{in_flight}");
    assert!(crashes_in_recovery > 20, "{crashes_in_recovery}");
    assert!(checkpoints > 20, "{checkpoints}");
}

#[test]
fn a_crash_at_every_operation() {
    at_every_operation(Sync::Always);
}

#[test]
fn a_crash_at_every_operation_without_sync_leaves_a_prefix() {
    at_every_operation(Sync::Never);
}

/// A full disk or a failing one: the change raises, nothing of it is visible, the others are not touched.
fn refusals(code: i32, times: usize) -> usize {
    let (changes, _) = script(80, 11);
    let home = folder();
    let steady = Faulty::new(home.path(), None, 0);
    run(&steady, &path_in(home.path()), &changes, Sync::Always);
    let (mut failed, mut stuck) = (0, 0);
    for at in 0..steady.operations() {
        let home = folder();
        let path = path_in(home.path());
        let faulty = Faulty::new(home.path(), Some((at, Fault::Error(code, times))), 0);
        let Ok(opened) = Opened::new(Arc::new(faulty), &path, Sync::Always) else {
            // A file that could not be made may be made again.
            assert!(Opened::new(Arc::new(Disk), &path, Sync::Always).is_ok());
            continue;
        };
        let mut model = Catalog::new(spaces()).unwrap();
        let mut besides = None;
        for change in &changes {
            let before = opened.state();
            match opened.apply(change.clone()) {
                Ok(()) => change.clone().apply(&mut model, 1, &go).unwrap(),
                Err(Error::Io(error)) => {
                    assert_eq!(opened.state(), before);
                    failed += 1;
                    if error.to_string().contains("takes no more changes") {
                        stuck += 1;
                        break;
                    }
                    // What could not be taken back is the first that failed.
                    besides = besides.or_else(|| {
                        let mut more = model.clone();
                        change.clone().apply(&mut more, 1, &go).ok()?;
                        Some(state_of(&more))
                    });
                }
                Err(_) => assert!(change.clone().apply(&mut model.clone(), 1, &go).is_err()),
            }
            assert_eq!(opened.state(), state_of(&model));
        }
        drop(opened);
        let found = Opened::new(Arc::new(Disk), &path, Sync::Always)
            .unwrap()
            .state();
        assert!(found == state_of(&model) || (times > 1 && Some(found) == besides));
    }
    assert!(failed > 50, "{failed}");
    stuck
}

#[test]
fn a_disk_that_refuses_once_costs_one_change() {
    const ENOSPC: i32 = 28;
    assert_eq!(refusals(ENOSPC, 1), 0);
}

#[test]
fn a_log_that_cannot_be_taken_back_takes_no_more() {
    const EIO: i32 = 5;
    assert!(refusals(EIO, 2) > 20);
    assert!(refusals(EIO, 1000) > 20);
}

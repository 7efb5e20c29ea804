//! Several threads write; the lock.

use super::*;

fn one(id: i64, number: f32) -> Change {
    Change::Upsert(Upsert {
        ids: Ids::Int(vec![id]),
        vectors: vec![("a".into(), vec![number; 3]), ("b".into(), vec![number; 2])],
        attributes: Vec::new(),
    })
}

#[test]
fn threads_share_appends_and_lose_nothing() {
    let home = tempfile::tempdir().unwrap();
    let path = path_in(home.path());
    let opened = Opened::new(Arc::new(Disk), &path, Sync::Always).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let opened = &opened;
            scope.spawn(move || {
                for i in 0..40 {
                    opened.apply(one(100 * thread + i, 1.0 + i as f32)).unwrap();
                    assert!(opened
                        .live
                        .read()
                        .contains(&crate::ids::Id::Int(100 * thread + i)));
                    // A refusal in a batch is nobody else's.
                    assert!(opened.apply(Change::Remove(Ids::Int(vec![-1]))).is_err());
                }
            });
        }
    });
    let stats = opened.durable.stats();
    assert_eq!((stats.changes, opened.live.read().len()), (240, 240));
    assert!(stats.appends <= 240 && stats.checkpoints > 0);
    let expected = opened.live.read();
    drop(opened);
    let again = Opened::new(Arc::new(Disk), &path, Sync::Always).unwrap();
    same(&again.live.read(), &expected);
}

#[test]
fn changes_that_wait_together_are_appended_together() {
    let home = folder();
    let opened = Opened::new(Arc::new(Disk), &path_in(home.path()), Sync::Always).unwrap();
    // Held up until all of them wait.
    let held = opened.live.read();
    let waiting = std::sync::Barrier::new(5);
    std::thread::scope(|scope| {
        let blocker = scope.spawn(|| {
            opened.live.write(|_| {
                waiting.wait();
                std::thread::sleep(std::time::Duration::from_millis(300));
                Ok(())
            })
        });
        for id in 0..4 {
            let (opened, waiting) = (&opened, &waiting);
            scope.spawn(move || {
                waiting.wait();
                opened.apply(one(id, 1.0)).unwrap();
            });
        }
        blocker.join().unwrap().unwrap();
    });
    drop(held);
    let stats = opened.durable.stats();
    assert_eq!(stats.changes, 4);
    // The first goes alone; those that came while it waited go together.
    assert!(stats.appends <= 3, "{stats:?}");
}

#[test]
fn checkpoints_are_made_aside_and_given_up_with_the_catalog() {
    let home = folder();
    let path = path_in(home.path());
    let (durable, catalog) =
        Durable::open(&path, Some(spaces()), options(Sync::Never), &go).unwrap();
    let (durable, live) = (Arc::new(durable), Arc::new(Live::new(catalog)));
    for i in 0..400 {
        durable.apply(&live, one(i % 50, i as f32), 1, &go).unwrap();
        durable.keep_short(&live);
        assert!(durable.stats().log_bytes <= 4 * 3000 + 300);
    }
    assert!(durable.stats().checkpoints > 1);
    let expected = state_of(&live.read());
    durable.apply(&live, Change::Compact, 1, &go).unwrap();
    assert_eq!(state_of(&live.read()), expected);
    durable.abandon();
    assert!(durable.apply(&live, one(1, 1.0), 1, &go).is_err());
    let again = Opened::new(Arc::new(Disk), &path, Sync::Always).unwrap();
    assert_eq!(again.state(), expected);
    assert_eq!(again.live.read().id_map().rows_len(), 50);
}

#[test]
fn nobody_else_can_open_it_for_writing() {
    let home = folder();
    let path = path_in(home.path());
    let opened = Opened::new(Arc::new(Disk), &path, Sync::Always).unwrap();
    let refusal = Opened::new(Arc::new(Disk), &path, Sync::Always).err();
    let Some(Error::Io(error)) = refusal else {
        panic!("expected an operating system error, got {refusal:?}");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    let process = format!("process {}", std::process::id());
    assert!(error.to_string().contains(&process), "{error}");
    opened.durable.close(&opened.live).unwrap();
    opened.durable.close(&opened.live).unwrap();
    let closed = opened.apply(one(1, 1.0));
    assert!(matches!(closed, Err(Error::Invalid { got, .. }) if got.contains("closed")));
    Opened::new(Arc::new(Disk), &path, Sync::Always).unwrap();
}

#[test]
fn other_spaces_than_those_of_the_file_are_refused() {
    let home = folder();
    let path = path_in(home.path());
    drop(Opened::new(Arc::new(Disk), &path, Sync::Always).unwrap());
    let other = vec![("a".into(), Spec::new(4, Metric::Cosine, Dtype::I8))];
    let refused = Durable::open(&path, Some(other), Options::default(), &go);
    assert!(matches!(refused, Err(Error::Invalid { argument, .. }) if argument == "spaces"));
    let missing = Durable::open(&home.path().join("no"), None, Options::default(), &go);
    assert!(matches!(missing, Err(Error::Io(error)) if error.to_string().contains("spaces=")));
    assert!(check_target(&path).is_err() && check_target(&home.path().join("no")).is_ok());
}

#[test]
fn a_checkpoint_that_is_interrupted_is_made_later() {
    let home = folder();
    let path = path_in(home.path());
    let opened = Opened::new(Arc::new(Disk), &path, Sync::Always).unwrap();
    opened.apply(one(1, 1.0)).unwrap();
    let stopped = opened.durable.checkpoint(&opened.live, &|_, _| false);
    assert!(matches!(stopped, Err(Error::Interrupted)));
    let stats = opened.durable.stats();
    assert_eq!((stats.checkpoints, stats.segments), (0, 2));
    assert!(stats.checkpoint_error.is_some());
    opened.apply(one(2, 1.0)).unwrap();
    opened.durable.checkpoint(&opened.live, &go).unwrap();
    let stats = opened.durable.stats();
    assert_eq!(
        (stats.checkpoints, stats.segments, stats.checkpoint_error),
        (1, 1, None)
    );
    let files = std::fs::read_dir(home.path()).unwrap().count();
    assert_eq!(files, 3, "the file, a segment, the lock");
    let expected = opened.state();
    drop(opened);
    assert_eq!(
        state_of(&open_read(&path, false, 1, &go).unwrap().0),
        expected
    );
}

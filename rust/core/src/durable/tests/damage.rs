//! Bytes that changed after they were written: found, and never taken for a write that was cut off.

use proptest::prelude::*;

use super::*;

/// A catalog with a closed log of some segments.
fn closed(folder: &Path, count: usize) -> (PathBuf, Vec<Catalog>) {
    let path = path_in(folder);
    let (changes, catalogs) = script(count, 3);
    let opened = Opened::new(Arc::new(Disk), &path, Sync::Always).unwrap();
    for change in changes {
        let _ = opened.durable.apply(&opened.live, change, 1, &go);
    }
    opened.durable.close(&opened.live).unwrap();
    (path, catalogs)
}

#[test]
fn every_flipped_byte_is_found_or_does_not_matter() {
    let home = folder();
    let (path, catalogs) = closed(home.path(), 12);
    let expected = state_of(&catalogs[12]);
    let log = segment::path_of(&path, 1);
    let good = std::fs::read(&log).unwrap();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&log, &bytes).unwrap();
        match open_read(&path, false, 1, &go) {
            Ok((catalog, _)) => {
                assert_eq!(state_of(&catalog), expected, "byte {at}");
                assert!(
                    at >= good.len() - frame::HEAD,
                    "byte {at} is not the mark's"
                );
            }
            Err(Error::Format(_)) => {}
            Err(other) => panic!("byte {at}: {other:?}"),
        }
        // Nor is it taken away when it is opened for writing.
        if at % 5 == 0 && Opened::new(Arc::new(Disk), &path, Sync::Always).is_err() {
            assert_eq!(std::fs::read(&log).unwrap(), bytes);
        }
    }
}

#[test]
fn every_cut_leaves_the_changes_before_it() {
    let home = folder();
    let (path, catalogs) = closed(home.path(), 12);
    let log = segment::path_of(&path, 1);
    let good = std::fs::read(&log).unwrap();
    let mut seen = 0;
    for len in (0..good.len()).rev() {
        std::fs::write(&log, &good[..len]).unwrap();
        let (catalog, _) = open_read(&path, false, 1, &go).unwrap();
        let state = state_of(&catalog);
        let here = catalogs.iter().position(|known| state_of(known) == state);
        assert!(here.is_some(), "cut to {len}");
        seen = seen.max(12 - here.unwrap_or(0));
        // The writer cuts the rest away and goes on.
        if len % 9 == 0 {
            let opened = Opened::new(Arc::new(Disk), &path, Sync::Always).unwrap();
            assert_eq!(opened.state(), state);
            assert!(std::fs::metadata(&log).unwrap().len() <= len.max(segment::HEADER) as u64);
        }
    }
    assert_eq!(seen, 12);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let home = folder();
    let (path, _) = closed(home.path(), 12);
    let refusal = |path: &Path| match open_read(path, false, 1, &go) {
        Err(Error::Format(message)) => message,
        other => panic!("expected a format error, got {other:?}"),
    };
    let file = std::fs::read(&path).unwrap();
    // Another catalog of the same generation.
    Catalog::new(vec![
        ("a".into(), spaces()[0].1.clone()),
        ("b".into(), Spec::new(2, Metric::L2, Dtype::F32)),
    ])
    .unwrap()
    .save(&path, &go)
    .unwrap();
    assert!(refusal(&path).contains("belongs to another file"));
    // One from after the log.
    let mut later = Catalog::new(spaces()).unwrap();
    let one = || Upsert {
        ids: Ids::Int(vec![1]),
        vectors: vec![("a".into(), vec![1.0; 3]), ("b".into(), vec![1.0; 2])],
        attributes: Vec::new(),
    };
    (0..50).for_each(|_| later.upsert(one(), 1, &go).unwrap());
    later.save(&path, &go).unwrap();
    assert!(refusal(&path).contains("changes after the end of its log"));
    std::fs::write(&path, &file).unwrap();
    // A segment that another number was given to.
    std::fs::rename(segment::path_of(&path, 1), segment::path_of(&path, 2)).unwrap();
    assert!(refusal(&path).contains("says that it is segment 1"));
    // A log without a file.
    std::fs::remove_file(&path).unwrap();
    let made = Opened::new(Arc::new(Disk), &path, Sync::Always);
    assert!(
        matches!(made, Err(Error::Format(message)) if message.contains("the file that it belongs to"))
    );
}

#[test]
fn a_missing_segment_is_missed() {
    let home = folder();
    let path = path_in(home.path());
    let (changes, _) = script(30, 5);
    let opened = Opened::new(Arc::new(Disk), &path, Sync::Always).unwrap();
    let first = std::fs::read(&path).unwrap();
    let mut segments = Vec::new();
    for change in changes {
        let _ = opened.durable.apply(&opened.live, change, 1, &go);
        let last = *segment::numbers(&Disk, &path).unwrap().last().unwrap();
        segments.retain(|(number, _)| *number != last);
        segments.push((last, std::fs::read(segment::path_of(&path, last)).unwrap()));
        if opened.durable.stats().log_bytes > 1000 {
            opened.durable.checkpoint(&opened.live, &go).unwrap();
        }
    }
    let expected = opened.state();
    drop(opened);
    // The first file with all segments is the same catalog: the log alone has everything.
    std::fs::write(&path, &first).unwrap();
    assert!(segments.len() > 3);
    for (number, bytes) in &segments {
        std::fs::write(segment::path_of(&path, *number), bytes).unwrap();
    }
    assert_eq!(
        state_of(&open_read(&path, false, 1, &go).unwrap().0),
        expected
    );
    for (number, bytes) in &segments[..segments.len() - 1] {
        let log = segment::path_of(&path, *number);
        std::fs::remove_file(&log).unwrap();
        assert!(matches!(
            open_read(&path, false, 1, &go),
            Err(Error::Format(_))
        ));
        // And in one that is not the last, a cut is damage.
        std::fs::write(&log, &bytes[..bytes.len() - 1]).unwrap();
        assert!(matches!(
            open_read(&path, false, 1, &go),
            Err(Error::Format(_))
        ));
        std::fs::write(&log, bytes).unwrap();
    }
}

proptest! {
    /// What is written is read; bytes from anywhere are refused or read, and never panic.
    #[test]
    fn payloads(seed in any::<u64>(), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let (changes, _) = script(6, seed);
        for one in changes {
            let payload = one.frame().split_off(frame::HEAD);
            let again = Change::parse(one.kind(), &payload).unwrap();
            prop_assert_eq!(format!("{again:?}"), format!("{one:?}"));
            if payload.is_empty() {
                continue;
            }
            let mut bytes = payload.clone();
            bytes[at.index(payload.len())] ^= flip;
            let _ = Change::parse(one.kind(), &bytes);
            let cut = Change::parse(one.kind(), &payload[..at.index(payload.len())]);
            prop_assert!(matches!(cut, Err(Error::Format(_))));
        }
    }
}

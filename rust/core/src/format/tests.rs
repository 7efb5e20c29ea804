use super::*;
use crate::error::Error;
use proptest::prelude::*;

fn sample(path: &std::path::Path) {
    let mut writer = Writer::new(Kind::Index);
    writer.add("numbers", &[1u32, 2, 3]);
    writer.add_owned("bytes", &[7u8; 100]);
    writer.add("empty", &[] as &[f32]);
    writer.write(path, &|_, _| true).unwrap();
}

fn read_all(path: &std::path::Path, mmap: bool) -> crate::error::Result<(Vec<u32>, Vec<u8>)> {
    let read = |mut reader: Reader<'_>| {
        assert!(reader.owned::<f32>("empty")?.is_empty());
        Ok((reader.owned("numbers")?, reader.owned("bytes")?))
    };
    let found = Reader::open(path, Kind::Index, mmap).and_then(read);
    // From memory it is the same, to the message.
    let bytes = std::fs::read(path).unwrap();
    let copied = Reader::of_bytes(&bytes, Kind::Index).and_then(read);
    let placed = Reader::of_static(bytes.leak(), Kind::Index).and_then(read);
    for other in [copied, placed] {
        assert_eq!(format!("{other:?}"), format!("{found:?}"));
    }
    found
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    sample(&path);
    for mmap in [false, true] {
        assert_eq!(
            read_all(&path, mmap).unwrap(),
            (vec![1, 2, 3], vec![7; 100])
        );
    }
    assert!(matches!(
        Reader::open(&path, Kind::Catalog, false),
        Err(Error::Format(message)) if message.contains("holds an index, not a catalog")
    ));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn every_cut_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    sample(&path);
    let bytes = std::fs::read(&path).unwrap();
    for len in 0..bytes.len() {
        std::fs::write(&path, &bytes[..len]).unwrap();
        for mmap in [false, true] {
            assert!(matches!(read_all(&path, mmap), Err(Error::Format(_))));
        }
    }
}

proptest! {
    /// A flipped byte is either found or lies in padding.
    #[test]
    fn damage_is_found(at in 0usize..640, flip in 1u8..=255) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        sample(&path);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        std::fs::write(&path, &bytes).unwrap();
        match read_all(&path, at.is_multiple_of(2)) {
            Ok(read) => prop_assert_eq!(read, (vec![1, 2, 3], vec![7; 100])),
            Err(error) => prop_assert!(matches!(error, Error::Format(_))),
        }
    }

    /// Bytes from anywhere behind a good header: an error, never a panic.
    #[test]
    fn any_table_is_survived(entries in prop::collection::vec(any::<u8>(), 0..400), count in any::<u32>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut bytes = vec![0u8; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12] = 1;
        bytes[16..20].copy_from_slice(&count.to_le_bytes());
        let end = (count as usize).saturating_mul(ENTRY).min(entries.len());
        bytes[20..24].copy_from_slice(&crc32fast::hash(&entries[..end]).to_le_bytes());
        bytes[24..32].copy_from_slice(&((HEADER + entries.len()) as u64).to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&entries);
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(mut reader) = Reader::open(&path, Kind::Index, true) {
            prop_assert!(reader.section::<u32>("numbers").is_err());
        }
    }
}

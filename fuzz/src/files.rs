//! The checks of the file targets: a file is refused with [`Error::Format`], or what it holds answers.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use perso_core::catalog::Catalog;
use perso_core::error::{Error, Result};
use perso_core::index::Index;
use tempfile::TempDir;

use crate::answers;
use crate::container::{self, Sections};
use crate::{memory, repair};

/// A path of this process, in memory where the system has such a place.
pub fn scratch(name: &str) -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let shared = Path::new("/dev/shm");
        let root = if shared.is_dir() {
            shared.to_owned()
        } else {
            std::env::temp_dir()
        };
        tempfile::Builder::new()
            .prefix("perso-fuzz-")
            .tempdir_in(root)
            .expect("a folder for scratch files")
    });
    folder.path().join(name)
}

fn read<T>(file: &[u8], open: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let path = scratch("input");
    std::fs::write(&path, file).expect("a scratch file");
    let opened = memory::bounded("reading", memory::bound_of_file(file.len()), || open(&path));
    if let Err(error) = &opened {
        assert!(matches!(error, Error::Format(_)), "{error:?}");
    }
    opened
}

/// A structured input as an index. True when it was accepted.
pub fn index(input: &[u8]) -> bool {
    let mut sections = Sections::unpack(input);
    if sections.flags & container::REPAIR_NORMS != 0 {
        repair::norms(&mut sections);
    }
    let mmap = sections.flags & container::MAP != 0;
    match read(&sections.file(1), |path| Index::load(path, mmap)) {
        Ok(index) => answers::index(index),
        Err(_) => return false,
    }
    true
}

/// A structured input as a catalog. True when it was accepted.
pub fn catalog(input: &[u8]) -> bool {
    let mut sections = Sections::unpack(input);
    if sections.flags & container::REPAIR_NORMS != 0 {
        repair::norms(&mut sections);
    }
    let mmap = sections.flags & container::MAP != 0;
    let mut opened = read(&sections.file(2), |path| Catalog::open(path, mmap));
    if sections.flags & container::KEEP_HASH == 0 {
        if let Err(error) = &opened {
            if let Some(hash) = repair::hash_in(&error.to_string()) {
                repair::content_hash(&mut sections, hash);
                opened = read(&sections.file(2), |path| Catalog::open(path, mmap));
            }
        }
    }
    match opened {
        Ok(catalog) => answers::catalog(catalog),
        Err(_) => return false,
    }
    true
}

/// A flag byte and a whole file, as either kind. True when it was accepted.
pub fn raw(input: &[u8]) -> bool {
    let Some((flags, file)) = input.split_first() else {
        return false;
    };
    let mut file = file.to_vec();
    if flags & container::KEEP_HASH == 0 {
        container::seal_header(&mut file);
    }
    let mmap = flags & container::MAP != 0;
    let index = read(&file, |path| Index::load(path, mmap));
    let catalog = read(&file, |path| Catalog::open(path, mmap));
    assert!(index.is_err() || catalog.is_err(), "a file is of one kind");
    let accepted = index.is_ok() || catalog.is_ok();
    if let Ok(index) = index {
        answers::index(index);
    }
    if let Ok(catalog) = catalog {
        answers::catalog(catalog);
    }
    accepted
}

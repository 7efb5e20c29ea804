//! The checks of the targets for files of other libraries: one is refused with [`Error::Format`], or as something else than
//! what the caller says it is, or the index that comes of it answers.

use std::path::Path;

use perso_core::error::{Error, Result};
use perso_core::foreign::{read_faiss, read_hnswlib, Choice, Foreign, Input, Options};
use perso_core::metric::{Dtype, Metric};
use perso_core::vectors::{Layout, Rescore};

use crate::{answers, memory};

/// A flag byte, then a file of hnswlib. True when it was accepted.
pub fn hnswlib(input: &[u8]) -> bool {
    let Some((&flags, file)) = input.split_first() else {
        return false;
    };
    let space = [Metric::L2, Metric::Ip, Metric::Cosine][usize::from(flags & 3) % 3];
    // What the file says, as a caller who knows what it holds.
    let word = |at: usize| {
        let bytes = file.get(at..at + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().expect("8 bytes")))
    };
    let width = word(32)
        .zip(word(40))
        .map(|(label, vector)| label.wrapping_sub(vector));
    let dim = width.map_or(1, |width| (width / 4).clamp(1, 70_000)) as usize;
    imported(file, flags, |input| read_hnswlib(input, dim, space))
}

/// A flag byte, then a file of faiss. True when it was accepted.
pub fn faiss(input: &[u8]) -> bool {
    let Some((&flags, file)) = input.split_first() else {
        return false;
    };
    let metric = [None, Some(Metric::Cosine), None, Some(Metric::L2)][usize::from(flags & 3)];
    imported(file, flags, |input| read_faiss(input, metric))
}

fn imported(file: &[u8], flags: u8, read: impl FnOnce(&mut Input<'_>) -> Result<Foreign>) -> bool {
    let dtype = [Dtype::F32, Dtype::F16, Dtype::I8, Dtype::I8][usize::from(flags >> 2 & 3)];
    let options = Options {
        ids: None,
        dtype,
        layout: [Layout::Auto, Layout::Compact, Layout::Local, Layout::Exact]
            [usize::from(flags >> 4 & 3)],
        rescore: (dtype == Dtype::I8 && flags & 4 != 0).then_some(Rescore::F16),
        seed: 1,
        graph: [Choice::Auto, Choice::Keep, Choice::Build, Choice::Keep][usize::from(flags >> 6)],
        num_threads: 1,
    };
    let made = memory::bounded("importing", memory::bound_of_file(file.len()), || {
        let foreign = read(&mut Input::of(file))?;
        foreign.into_index(options, &|_, _| true)
    });
    match made {
        Ok(imported) => answers::index(imported.index),
        Err(Error::Format(_)) => return false,
        Err(Error::Invalid { argument, .. })
            if ["space", "metric", "dim", "dtype", "graph"].contains(&&*argument) =>
        {
            return false;
        }
        Err(error) => panic!("{error:?}"),
    }
    true
}

/// The tiny files that these libraries wrote (`tests/files/make_foreign.py`), with flags under which they are accepted.
pub fn seeds(library: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/files/foreign");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of files")
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&format!("tiny_{library}")) && name.ends_with(".bin")
        })
        .collect();
    names.sort();
    let mut out = Vec::new();
    for path in names {
        let file = std::fs::read(&path).expect("a file");
        let name = path.to_string_lossy();
        let space = match library {
            "hnswlib" if name.contains("_ip") => 1,
            "hnswlib" if name.contains("_cosine") => 2,
            _ => 0,
        };
        // Each storage type, layout and choice, but not all of their products; a file without links cannot keep them.
        let forms: &[u8] = if name.contains("_flat.bin") && !name.contains("hnsw") {
            &[0x00, 0x14, 0x28]
        } else {
            &[0x00, 0x14, 0x6c, 0x58, 0x98, 0x24]
        };
        for form in forms {
            out.push([&[form | space][..], &file].concat());
        }
    }
    out
}

//! Passes every file of the corpora through its target's checks, without a fuzzer, and counts how many
//! were accepted: a corpus whose inputs are all refused tests nothing but refusals.

use std::path::Path;

use perso_fuzz::{documents, files, foreign, log, profile};

type Check = fn(&[u8]) -> bool;

fn main() {
    let targets: [(&str, Check); 9] = [
        ("index_file", files::index),
        ("catalog_file", files::catalog),
        ("raw_file", files::raw),
        ("record", documents::record),
        ("policy", documents::policy),
        ("route", documents::route),
        ("profile", profile::profile),
        ("hnswlib_file", foreign::hnswlib),
        ("faiss_file", foreign::faiss),
        ("log", log::log),
    ];
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, check) in targets {
        let Ok(folder) = std::fs::read_dir(corpora.join(target)) else {
            println!("{target}: no corpus");
            continue;
        };
        let (mut count, mut accepted) = (0, 0);
        for entry in folder {
            let input = std::fs::read(entry.expect("a folder entry").path()).expect("an input");
            count += 1;
            accepted += usize::from(check(&input));
        }
        println!("{target}: {count} inputs, {accepted} accepted");
    }
}

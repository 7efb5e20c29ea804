//! Writes the corpora that the targets start from, and checks that every seed is accepted.

use std::path::Path;

use perso_fuzz::{capsule, documents, files, foreign, log, profile, world};

fn write(target: &str, seeds: &[Vec<u8>], check: fn(&[u8]) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    std::fs::create_dir_all(&folder).expect("a folder for the corpus");
    for (i, seed) in seeds.iter().enumerate() {
        assert!(check(seed), "seed {i} of {target} is refused");
        std::fs::write(folder.join(format!("seed-{i}")), seed).expect("a seed file");
    }
    println!("{target}: {} seeds", seeds.len());
}

fn main() {
    let indexes = world::index_inputs();
    let catalogs = world::catalog_inputs();
    let packed = |inputs: &[perso_fuzz::container::Sections]| -> Vec<Vec<u8>> {
        inputs.iter().map(|sections| sections.pack()).collect()
    };
    write("index_file", &packed(&indexes), files::index);
    write("catalog_file", &packed(&catalogs), files::catalog);
    let raw: Vec<Vec<u8>> = [(1, &indexes), (2, &catalogs)]
        .into_iter()
        .flat_map(|(kind, inputs)| inputs.iter().map(move |sections| (kind, sections)))
        .map(|(kind, sections)| [vec![sections.flags], sections.file(kind)].concat())
        .collect();
    write("raw_file", &raw, files::raw);
    let records: Vec<Vec<u8>> = world::records()
        .into_iter()
        .map(String::into_bytes)
        .collect();
    write("record", &records, documents::record);
    let policies: Vec<Vec<u8>> = world::policies()
        .iter()
        .map(|policy| policy.to_string().into_bytes())
        .collect();
    write("policy", &policies, documents::policy);
    write("route", &documents::route_seeds(), documents::route);
    write("profile", &profile::seeds(), profile::profile);
    write("capsule", &capsule::seeds(), capsule::capsule);
    write("hnswlib_file", &foreign::seeds("hnswlib"), foreign::hnswlib);
    write("faiss_file", &foreign::seeds("faiss"), foreign::faiss);
    write("log", &log::seeds(), log::log);
}

//! Numbers that have to fit other numbers: norms, and the content hash of a catalog.

use perso_kernels::Kernels;
use serde_json::Value;

use crate::container::Sections;

fn numbers<T: bytemuck::Pod>(bytes: &[u8]) -> Vec<T> {
    bytes
        .chunks_exact(std::mem::size_of::<T>())
        .map(bytemuck::pod_read_unaligned)
        .collect()
}

/// The JSON description.
pub fn meta(sections: &Sections) -> Option<Value> {
    serde_json::from_slice(sections.get("meta")?).ok()
}

/// Replaces the norms of all spaces by those of the vectors.
pub fn norms(sections: &mut Sections) {
    let Some(meta) = meta(sections) else { return };
    if let Some(spec) = meta.get("spec") {
        norms_of(sections, "", spec);
    }
    let spaces = meta.get("spaces").and_then(Value::as_array);
    for (i, space) in spaces.into_iter().flatten().take(2).enumerate() {
        norms_of(sections, &format!("s{i}."), &space[1]);
    }
}

fn norms_of(sections: &mut Sections, prefix: &str, spec: &Value) {
    let dim = spec["dim"]
        .as_u64()
        .filter(|dim| (1..=65_535).contains(dim));
    let bytes = sections.get(&format!("{prefix}vectors"));
    let (Some(dim), Some(bytes)) = (dim, bytes) else {
        return;
    };
    let dim = dim as usize;
    let vectors: Vec<f32> = match spec["dtype"].as_str() {
        Some("f32") => numbers(bytes),
        Some("f16") => numbers::<u16>(bytes)
            .into_iter()
            .map(|bits| half::f16::from_bits(bits).to_f32())
            .collect(),
        Some("i8") => {
            let scales = sections.get(&format!("{prefix}scales")).unwrap_or_default();
            let scales: Vec<f32> = numbers(scales);
            numbers::<i8>(bytes)
                .chunks_exact(dim)
                .zip(scales)
                .flat_map(|(row, scale)| row.iter().map(move |code| f32::from(*code) * scale))
                .collect()
        }
        _ => return,
    };
    let kernels = Kernels::get();
    let norms: Vec<u8> = vectors
        .chunks_exact(dim)
        .flat_map(|row| kernels.dot_f32(row, row).sqrt().to_le_bytes())
        .collect();
    sections.set(&format!("{prefix}norms"), norms);
}

/// Writes a content hash into the description.
pub fn content_hash(sections: &mut Sections, hash: &str) {
    if let Some(mut meta) = meta(sections) {
        if let Some(stated) = meta.get_mut("content_hash") {
            *stated = Value::String(hash.into());
            sections.set("meta", meta.to_string().into_bytes());
        }
    }
}

/// The hash that an error message of the catalog's reader names as the file's own.
pub fn hash_in(message: &str) -> Option<&str> {
    let at = message.find("content hash ")? + "content hash ".len();
    message
        .get(at..at + 64)
        .filter(|hash| hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

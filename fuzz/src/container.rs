//! The project's container without what a fuzzer cannot guess: checksums, lengths and offsets.
//!
//! An input of the structured targets is a flag byte and then sections: one byte that stands for the
//! name, a length (u16), the bytes. [`Sections::file`] makes a whole file of it whose checksums hold,
//! so that a mutation arrives at the parser of the section's content.

use std::sync::OnceLock;

/// Norms are computed from the vectors instead of taken from the input.
pub const REPAIR_NORMS: u8 = 1;
/// The file is opened with a memory mapping.
pub const MAP: u8 = 2;
/// The content hash in the description is left as it came.
pub const KEEP_HASH: u8 = 4;

const HEADER: usize = 64;
const ENTRY: usize = 64;
const NAME: usize = 40;

/// Every section name that a reader knows, and one that none knows.
pub fn names() -> &'static [String] {
    static NAMES: OnceLock<Vec<String>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut names: Vec<String> = ["meta", "live", "ids.int", "ids.ends", "ids.text"]
            .map(String::from)
            .to_vec();
        for space in ["", "s0.", "s1."] {
            for part in [
                "vectors", "scales", "norms", "links", "levels", "upper", "entry",
            ] {
                names.push(format!("{space}{part}"));
            }
            for part in [
                "fine_vectors",
                "fine_norms",
                "due",
                "sampled",
                "taught_starts",
                "taught",
                "local",
                "local_mean",
            ] {
                names.push(format!("{space}{part}"));
            }
        }
        for column in 0..7 {
            for part in [
                "validity",
                "bools",
                "ints",
                "floats",
                "codes",
                "offsets",
                "dict_offsets",
                "dict_bytes",
            ] {
                names.push(format!("c{column}.{part}"));
            }
        }
        names.push("unknown".into());
        names
    })
}

/// The sections of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sections {
    /// See the constants above.
    pub flags: u8,
    /// Index into [`names`], and bytes.
    pub list: Vec<(u8, Vec<u8>)>,
}

impl Sections {
    /// From an input; every input is one.
    pub fn unpack(input: &[u8]) -> Self {
        let Some((&flags, mut rest)) = input.split_first() else {
            return Sections::default();
        };
        let mut list = Vec::new();
        while let [name, low, high, tail @ ..] = rest {
            let len = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
            list.push((*name, tail[..len].to_vec()));
            rest = &tail[len..];
        }
        Sections { flags, list }
    }

    /// As an input.
    pub fn pack(&self) -> Vec<u8> {
        let mut out = vec![self.flags];
        for (name, bytes) in &self.list {
            let bytes = &bytes[..bytes.len().min(usize::from(u16::MAX))];
            out.push(*name);
            out.extend((bytes.len() as u16).to_le_bytes());
            out.extend_from_slice(bytes);
        }
        out
    }

    /// The sections of a good file.
    pub fn of_file(file: &[u8], flags: u8) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let u64_at = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize;
        let list = (0..u32_at(16) as usize)
            .map(|i| {
                let entry = HEADER + i * ENTRY;
                let name = &file[entry..entry + NAME];
                let name = name.split(|b| *b == 0).next().unwrap();
                let at = names()
                    .iter()
                    .position(|known| known.as_bytes() == name)
                    .expect("every section name is in the table");
                let start = u64_at(entry + 40);
                let bytes = file[start..start + u64_at(entry + 48)].to_vec();
                (at as u8, bytes)
            })
            .collect();
        Sections { flags, list }
    }

    /// The name of a section.
    pub fn name(at: u8) -> &'static str {
        &names()[usize::from(at) % names().len()]
    }

    /// The first section with a name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.list
            .iter()
            .find(|(at, _)| Self::name(*at) == name)
            .map(|(_, bytes)| &bytes[..])
    }

    /// Replaces a section, or adds it.
    pub fn set(&mut self, name: &str, bytes: Vec<u8>) {
        match self.list.iter_mut().find(|(at, _)| Self::name(*at) == name) {
            Some((_, old)) => *old = bytes,
            None => {
                let at = names().iter().position(|known| known == name);
                self.list.push((at.expect("a known name") as u8, bytes));
            }
        }
    }

    /// A file with good checksums. `kind` is 1 for an index and 2 for a catalog.
    pub fn file(&self, kind: u32) -> Vec<u8> {
        let mut table = Vec::new();
        let mut body: Vec<u8> = Vec::new();
        let start = HEADER + ENTRY * self.list.len();
        for (name, bytes) in &self.list {
            let mut entry = [0u8; ENTRY];
            let name = Self::name(*name).as_bytes();
            entry[..name.len()].copy_from_slice(name);
            entry[40..48].copy_from_slice(&((start + body.len()) as u64).to_le_bytes());
            entry[48..56].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
            entry[56..60].copy_from_slice(&crc32fast::hash(bytes).to_le_bytes());
            table.extend_from_slice(&entry);
            body.extend_from_slice(bytes);
            body.resize(body.len().next_multiple_of(64), 0);
        }
        let mut file = vec![0u8; HEADER];
        file[..8].copy_from_slice(b"PERSOCOR");
        file[8..12].copy_from_slice(&3u32.to_le_bytes());
        file[12..16].copy_from_slice(&kind.to_le_bytes());
        file[16..20].copy_from_slice(&(self.list.len() as u32).to_le_bytes());
        file.extend_from_slice(&table);
        file.extend_from_slice(&body);
        seal_header(&mut file);
        file
    }
}

/// Makes the checksums and the length of a header hold, and of the sections as far as the table
/// makes sense: for inputs that are whole files.
pub fn seal_header(file: &mut [u8]) {
    if file.len() < HEADER {
        return;
    }
    let size = file.len() as u64;
    file[24..32].copy_from_slice(&size.to_le_bytes());
    let count = u32::from_le_bytes(file[16..20].try_into().unwrap()) as usize;
    let end = count
        .checked_mul(ENTRY)
        .and_then(|len| len.checked_add(HEADER))
        .filter(|end| *end <= file.len());
    if let Some(end) = end {
        let (head, body) = file.split_at_mut(end);
        for entry in head[HEADER..].chunks_exact_mut(ENTRY) {
            let number =
                |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().unwrap()) as usize;
            let range = number(40)
                .checked_sub(end)
                .and_then(|start| Some(start..start.checked_add(number(48))?));
            if let Some(bytes) = range.and_then(|range| body.get(range)) {
                let crc = crc32fast::hash(bytes);
                entry[56..60].copy_from_slice(&crc.to_le_bytes());
            }
        }
        let crc = crc32fast::hash(&file[HEADER..end]);
        file[20..24].copy_from_slice(&crc.to_le_bytes());
    }
    let crc = crc32fast::hash(&file[..60]);
    file[60..64].copy_from_slice(&crc.to_le_bytes());
}

//! A file system that fails where it is told to, and forgets what was not synced.
//!
//! The files lie in a real folder, so that everything reads them as it always does; beside them is kept
//! what a power cut would leave: the bytes of each file at its last sync, the names in the folder at its
//! last sync. Every operation that changes something counts. At the one named it stops: a write may
//! have happened in part, anything else wholly or not at all, and nothing after it happens.
//! [`Faulty::survives`] then makes the folder one of those that may be found afterwards.

use std::any::Any;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::super::storage::{Disk, LogFile, Storage};

/// What happens at the operations named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The machine stops.
    Crash,
    /// The operation fails with this error and has happened in part; so do as many after it.
    Error(i32, usize),
}

/// Numbers without a pattern.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

#[derive(Clone, Debug)]
enum Naming {
    Link(OsString, usize),
    Unlink(OsString),
}

#[derive(Debug)]
struct Disc {
    folder: PathBuf,
    /// Bytes of each file at its last sync.
    synced: Vec<Vec<u8>>,
    names: BTreeMap<OsString, usize>,
    synced_names: BTreeMap<OsString, usize>,
    /// What was done to names since.
    pending: Vec<Naming>,
    /// Where files that have no name any more, and are open, are found.
    unnamed: BTreeMap<usize, Vec<u8>>,
    operations: usize,
    fault: Option<(usize, Fault)>,
    crashed: bool,
    dice: Dice,
    watch: Option<Watch>,
}

#[derive(Clone)]
pub struct Watch(pub Arc<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Faulty(Arc<Mutex<Disc>>);

enum Verdict {
    Go,
    /// Fails; a write has written part, anything else is done where this is true.
    Fail(io::Error, bool),
}

impl Faulty {
    /// Over a folder whose files are all on disk.
    pub fn new(folder: &Path, fault: Option<(usize, Fault)>, seed: u64) -> Self {
        let mut disc = Disc {
            folder: folder.to_owned(),
            synced: Vec::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            pending: Vec::new(),
            unnamed: BTreeMap::new(),
            operations: 0,
            fault,
            crashed: false,
            dice: Dice(seed),
            watch: None,
        };
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            disc.names.insert(entry.file_name(), disc.synced.len());
            disc.synced.push(std::fs::read(entry.path()).unwrap());
        }
        disc.synced_names = disc.names.clone();
        Faulty(Arc::new(Mutex::new(disc)))
    }

    /// Calls something before each operation.
    pub fn watch(&self, watch: Watch) {
        self.0.lock().unwrap().watch = Some(watch);
    }

    pub fn operations(&self) -> usize {
        self.0.lock().unwrap().operations
    }

    pub fn crashed(&self) -> bool {
        self.0.lock().unwrap().crashed
    }

    fn step(&self) -> Verdict {
        let watch = self.0.lock().unwrap().watch.clone();
        if let Some(watch) = watch {
            (watch.0)();
        }
        let mut disc = self.0.lock().unwrap();
        let now = disc.operations;
        disc.operations += 1;
        if disc.crashed {
            return Verdict::Fail(io::Error::other("the machine has stopped"), false);
        }
        let done = disc.dice.below(2) == 0;
        match disc.fault {
            Some((at, Fault::Crash)) if at == now => {
                disc.crashed = true;
                Verdict::Fail(io::Error::other("the machine stops"), done)
            }
            Some((at, Fault::Error(code, times))) if (at..at + times).contains(&now) => {
                Verdict::Fail(io::Error::from_raw_os_error(code), false)
            }
            _ => Verdict::Go,
        }
    }

    /// Does an operation on names, or not.
    fn name(&self, act: impl FnOnce(&mut Disc) -> io::Result<()>) -> io::Result<()> {
        match self.step() {
            Verdict::Go => act(&mut self.0.lock().unwrap()),
            Verdict::Fail(error, done) => {
                if done {
                    let _ = act(&mut self.0.lock().unwrap());
                }
                Err(error)
            }
        }
    }

    /// Makes the folder what a power cut leaves of it: of what was not synced, anything.
    pub fn survives(&self, seed: u64) {
        let mut disc = self.0.lock().unwrap();
        let mut dice = Dice(seed);
        let mut names = disc.synced_names.clone();
        // One run in three keeps all of it and one none.
        let keep = dice.below(3);
        for naming in disc.pending.clone() {
            if keep == 0 || (keep == 2 && dice.below(2) == 0) {
                match naming {
                    Naming::Link(name, file) => drop(names.insert(name, file)),
                    Naming::Unlink(name) => drop(names.remove(&name)),
                }
            }
        }
        let contents: BTreeMap<OsString, Vec<u8>> = names
            .iter()
            .map(|(name, file)| {
                let now = disc.bytes_now(*file);
                (name.clone(), rest_of(&disc.synced[*file], &now, &mut dice))
            })
            .collect();
        for name in disc.names.keys() {
            let _ = std::fs::remove_file(disc.folder.join(name));
        }
        for (name, bytes) in contents {
            std::fs::write(disc.folder.join(name), bytes).unwrap();
        }
        disc.crashed = true;
    }
}

/// What may be found of a file: its bytes at the last sync, or those of now, or something between.
fn rest_of(synced: &[u8], now: &[u8], dice: &mut Dice) -> Vec<u8> {
    let common = synced.iter().zip(now).take_while(|(a, b)| a == b).count();
    if common < synced.len() {
        // Cut since, and perhaps written again: the old bytes or the new ones, and of those a part.
        return match dice.below(3) {
            0 => synced.to_vec(),
            1 => now.to_vec(),
            _ => now[..common + dice.below(now.len() - common + 1)].to_vec(),
        };
    }
    let mut bytes = now.to_vec();
    let tail = now.len() - common;
    match dice.below(4) {
        0 => bytes.truncate(common),
        1 => bytes.truncate(common + dice.below(tail + 1)),
        // The length has arrived and some of the bytes have not.
        2 => {
            let from = common + dice.below(tail + 1);
            let to = from + dice.below(now.len() - from + 1);
            bytes[from..to].fill(0);
        }
        _ => {}
    }
    bytes
}

impl Disc {
    fn bytes_now(&self, file: usize) -> Vec<u8> {
        let name = self.names.iter().find(|(_, other)| **other == file);
        match name {
            Some((name, _)) => std::fs::read(self.folder.join(name)).unwrap(),
            None => self.unnamed[&file].clone(),
        }
    }

    /// Before a name goes to another file.
    fn keep_bytes(&mut self, name: &OsString) {
        if let Some(file) = self.names.get(name).copied() {
            let bytes = self.bytes_now(file);
            self.unnamed.insert(file, bytes);
        }
    }
}

fn name_of(path: &Path) -> OsString {
    path.file_name().unwrap().to_owned()
}

/// An open file.
#[derive(Debug)]
struct Handle {
    faulty: Faulty,
    file: File,
    number: usize,
    path: PathBuf,
}

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Interrupted and short writes are an everyday matter, and no operations of their own.
        let (odd, short) = {
            let mut disc = self.faulty.0.lock().unwrap();
            let odd = disc.dice.below(16);
            (odd, disc.dice.below(bytes.len()))
        };
        if odd == 0 && !self.faulty.crashed() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = if odd == 1 && short > 0 {
            short
        } else {
            bytes.len()
        };
        match self.faulty.step() {
            Verdict::Go => {
                self.file.write_all(&bytes[..len])?;
                Ok(len)
            }
            Verdict::Fail(error, _) => {
                let alive = {
                    let disc = self.faulty.0.lock().unwrap();
                    !disc.crashed || disc.fault.is_some_and(|(at, _)| at + 1 == disc.operations)
                };
                if alive {
                    let part = self.faulty.0.lock().unwrap().dice.below(bytes.len() + 1);
                    self.file.write_all(&bytes[..part])?;
                }
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogFile for Handle {
    fn sync(&mut self) -> io::Result<()> {
        let act = || {
            let mut disc = self.faulty.0.lock().unwrap();
            disc.synced[self.number] = std::fs::read(&self.path).unwrap();
        };
        match self.faulty.step() {
            Verdict::Go => {
                act();
                Ok(())
            }
            Verdict::Fail(error, done) => {
                if done {
                    act();
                }
                Err(error)
            }
        }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        match self.faulty.step() {
            Verdict::Go => self.file.set_len(len),
            Verdict::Fail(error, done) => {
                if done {
                    self.file.set_len(len)?;
                }
                Err(error)
            }
        }
    }
}

impl Storage for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let mut number = 0;
        self.name(|disc| {
            let name = name_of(path);
            // A file that is there is emptied, which is a cut that was not synced.
            number = match disc.names.get(&name) {
                Some(number) => *number,
                None => {
                    let number = disc.synced.len();
                    disc.synced.push(Vec::new());
                    disc.names.insert(name.clone(), number);
                    disc.pending.push(Naming::Link(name, number));
                    number
                }
            };
            File::create(path).map(drop)
        })?;
        let file = OpenOptions::new().append(true).open(path)?;
        let (faulty, path) = (self.clone(), path.to_owned());
        Ok(Box::new(Handle {
            faulty,
            file,
            number,
            path,
        }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let number = self.0.lock().unwrap().names[&name_of(path)];
        let file = OpenOptions::new().append(true).open(path)?;
        let (faulty, path) = (self.clone(), path.to_owned());
        Ok(Box::new(Handle {
            faulty,
            file,
            number,
            path,
        }))
    }

    fn read(&self, path: &Path, from: u64) -> io::Result<(Box<dyn Read + Send>, u64)> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(from))?;
        let seed = self.0.lock().unwrap().dice.below(1 << 30) as u64;
        Ok((Box::new(Stutter(file, Dice(seed))), len))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.name(|disc| {
            let (old, new) = (name_of(from), name_of(to));
            disc.keep_bytes(&new);
            let number = disc.names.remove(&old).unwrap();
            disc.names.insert(new.clone(), number);
            // A rename happens as one.
            disc.pending.push(Naming::Link(new, number));
            disc.pending.push(Naming::Unlink(old));
            std::fs::rename(from, to)
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let name = name_of(path);
        if !self.0.lock().unwrap().names.contains_key(&name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.name(|disc| {
            disc.keep_bytes(&name);
            disc.names.remove(&name);
            disc.pending.push(Naming::Unlink(name));
            std::fs::remove_file(path)
        })
    }

    fn sync_dir(&self, _folder: &Path) -> io::Result<()> {
        self.name(|disc| {
            disc.synced_names = disc.names.clone();
            disc.pending.clear();
            Ok(())
        })
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        Disk.list(folder)
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Any + Send>> {
        Ok(Box::new(()))
    }
}

/// Reads in small pieces, with interruptions.
struct Stutter(File, Dice);

impl Read for Stutter {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.1.below(8) {
            0 => Err(io::ErrorKind::Interrupted.into()),
            1 | 2 => {
                let len = bytes.len().min(1 + self.1.below(100));
                self.0.read(&mut bytes[..len])
            }
            _ => self.0.read(bytes),
        }
    }
}

//! One entry of the log.
//!
//! ```text
//! 0   4   magic "PCfr"
//! 4   4   kind: 0 mark, 1 upsert, 2 remove, 3 compact (u32, little endian, as every number)
//! 8   8   length of the payload
//! 16  8   the catalog's generation after it
//! 24  8   bytes of this segment that were known to be on disk when it was written
//! 32  32  the catalog's content hash after it
//! 64  4   CRC-32 of the payload
//! 68  4   CRC-32 of the segment's number (u64) and bytes 0..68
//! 72      payload
//! ```
//!
//! The fourth number tells a write that was cut off from damage: a frame that is bad and lies before the
//! offset that some later frame states was on disk once, whole, and has been damaged since. The segment's
//! number is in the checksum because a file system may show old blocks of another segment after a power
//! cut. A mark changes nothing: the last entry of a log that was closed, it vouches for the one before.

/// Bytes before the payload.
pub(super) const HEAD: usize = 72;
pub(super) const MAGIC: [u8; 4] = *b"PCfr";

pub(super) const MARK: u32 = 0;
pub(super) const UPSERT: u32 = 1;
pub(super) const REMOVE: u32 = 2;
pub(super) const COMPACT: u32 = 3;

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub kind: u32,
    pub len: u64,
    pub generation: u64,
    pub synced: u64,
    pub hash: [u8; 32],
    pub crc: u32,
}

impl Head {
    /// Writes the head over the first bytes of a frame whose payload is there already.
    pub fn seal(
        kind: u32,
        generation: u64,
        hash: [u8; 32],
        synced: u64,
        segment: u64,
        frame: &mut [u8],
    ) {
        let (head, payload) = frame.split_at_mut(HEAD);
        head[..4].copy_from_slice(&MAGIC);
        head[4..8].copy_from_slice(&kind.to_le_bytes());
        head[8..16].copy_from_slice(&(payload.len() as u64).to_le_bytes());
        head[16..24].copy_from_slice(&generation.to_le_bytes());
        head[24..32].copy_from_slice(&synced.to_le_bytes());
        head[32..64].copy_from_slice(&hash);
        head[64..68].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        let crc = checksum(segment, &head[..68]);
        head[68..].copy_from_slice(&crc.to_le_bytes());
    }

    /// How many generations it makes: a mark and a compaction change no content.
    pub fn steps(&self) -> u64 {
        u64::from(self.kind != MARK && self.kind != COMPACT)
    }

    /// Reads a head; `None` when these bytes are none of this segment's.
    pub fn parse(segment: u64, bytes: &[u8; HEAD]) -> Option<Head> {
        if bytes[..4] != MAGIC || checksum(segment, &bytes[..68]) != u32_at(bytes, 68) {
            return None;
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(&bytes[32..64]);
        Some(Head {
            kind: u32_at(bytes, 4),
            len: u64_at(bytes, 8),
            generation: u64_at(bytes, 16),
            synced: u64_at(bytes, 24),
            hash,
            crc: u32_at(bytes, 64),
        })
    }
}

fn checksum(segment: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&segment.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

//! Cutting slices into the pieces the kernels load.
//!
//! The end of a row that does not fill a register is never copied: a call of `memcpy` and a load that
//! waits for its stores cost 20 ns a row, four times the rest of the work at 50 dimensions. Where the
//! row is long enough, the register's worth that ends where the row ends is loaded instead, and
//! shifted or masked. A shorter row is read in words (two loads that overlap where the length is not a
//! power of two), which are put together in registers.

/// The whole groups of 32 elements, as four blocks of eight.
#[inline(always)]
pub(crate) fn groups<T>(x: &[T]) -> &[[[T; 8]; 4]] {
    x.as_chunks::<8>().0.as_chunks::<4>().0
}

/// Element types every bit pattern of which may be looked at as bytes.
pub(crate) trait Plain: Copy {}
impl Plain for f32 {}
impl Plain for u16 {}
impl Plain for i8 {}

#[inline(always)]
fn bytes<T: Plain>(x: &[T]) -> &[u8] {
    // SAFETY: a `Plain` type has no padding and `u8` no alignment; the size is that of the slice.
    unsafe { core::slice::from_raw_parts(x.as_ptr().cast(), size_of_val(x)) }
}

/// Up to eight bytes as a little-endian word, zeros above.
#[inline(always)]
fn word(bytes: &[u8]) -> u64 {
    if let Some(eight) = bytes.first_chunk() {
        u64::from_le_bytes(*eight)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        // Four to seven: where the two overlap they hold the same bytes.
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        u64::from(first) | u64::from(last) << (8 * (bytes.len() - 4))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u16::from_le_bytes(*first), u16::from_le_bytes(*last));
        u64::from(first) | u64::from(last) << (8 * (bytes.len() - 2))
    } else {
        bytes.first().map_or(0, |&byte| u64::from(byte))
    }
}

/// The first `8 * W` bytes of a slice, as words; what it does not have is zero.
#[inline(always)]
pub(crate) fn words<T: Plain, const W: usize>(x: &[T]) -> [u64; W] {
    let bytes = bytes(x);
    core::array::from_fn(|w| word(&bytes[(8 * w).min(bytes.len())..]))
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_are_the_bytes_and_zeros() {
        let data: Vec<i8> = (1..=40).collect();
        for len in 0..=40 {
            let got = words::<i8, 4>(&data[..len]);
            let mut expected = [0u8; 32];
            for (to, from) in expected.iter_mut().zip(&data[..len]) {
                *to = *from as u8;
            }
            assert_eq!(got.map(u64::to_le_bytes).concat(), expected, "{len} bytes");
        }
        assert_eq!(
            words::<u16, 2>(&[0x0102, 0x0304, 0x0506]),
            [0x0506_0304_0102, 0]
        );
        assert_eq!(words::<f32, 1>(&[1.0]), [u64::from(1f32.to_bits())]);
    }
}

//! Cutting slices into the pieces the 8-lane kernels load.

/// Groups of 32 elements, as four blocks of eight, and what does not fill a group.
#[inline(always)]
pub(crate) fn groups<T>(x: &[T]) -> (&[[[T; 8]; 4]], &[T]) {
    let groups = x.as_chunks::<8>().0.as_chunks::<4>().0;
    (groups, &x[groups.len() * 32..])
}

/// Block `index` of `N` elements of a tail, padded with zeros.
#[inline(always)]
pub(crate) fn padded<T: Copy + Default, const N: usize>(tail: &[T], index: usize) -> [T; N] {
    let rest = tail.get(index * N..).unwrap_or_default();
    match rest.first_chunk::<N>() {
        Some(block) => *block,
        None => {
            let mut block = [T::default(); N];
            for (to, from) in block.iter_mut().zip(rest) {
                *to = *from;
            }
            block
        }
    }
}

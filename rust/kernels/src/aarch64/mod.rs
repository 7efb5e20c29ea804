//! AArch64: Advanced SIMD is part of the baseline, detected all the same.

mod fastscan;
mod neon;
mod nibble;

use crate::Kernels;

/// Append the rows this CPU can run, slowest first.
pub(crate) fn push_available(rows: &mut Vec<&'static Kernels>) {
    if std::arch::is_aarch64_feature_detected!("neon") {
        rows.push(&neon::KERNELS);
    }
}

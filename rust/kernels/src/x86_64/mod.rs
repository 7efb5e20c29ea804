//! x86-64: which rows this CPU can run.

mod avx2;
mod avx512;
mod avx512vnni;
mod fastscan;
mod nibble;
mod panel2;
mod panel512;

use crate::Kernels;

/// Append the rows this CPU can run, slowest first. Every feature a row's functions enable is
/// asked for by name: this is the check their `#[target_feature]` rests on.
pub(crate) fn push_available(rows: &mut Vec<&'static Kernels>) {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    if avx2 {
        rows.push(&avx2::KERNELS);
    }
    let avx512 = avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    if avx512 {
        rows.push(&avx512::KERNELS);
        if is_x86_feature_detected!("avx512vnni") {
            rows.push(&avx512vnni::KERNELS);
        }
    }
}

//! SIMD dot products and squared distances that give the same bits on every instruction set.
//!
//! # Canonical reduction order
//!
//! Floating-point addition is not associative, so a dot product depends on the order its terms are
//! summed in. Every float kernel here, on every instruction set, uses one order:
//!
//! 1. 32 accumulators ("lanes") start at `+0.0`; element `i` goes to lane `i % 32`.
//! 2. A step is one *fused* multiply-add, rounded once: `acc = fma(q, x, acc)` for a dot product,
//!    `d = q - x; acc = fma(d, d, acc)` for a squared distance, and `d = fma(-scale, x, q)` where
//!    the row is int8 codes with a scale.
//! 3. The last group is padded with zeros up to 32 elements, and the padded lanes take the step too
//!    (`fma(0, 0, -0.0)` is `+0.0`, so skipping it would show in the sign of a zero).
//! 4. The lanes fold by halves: lane `l` takes lane `l + 16`, then `l + 8`, `l + 4`, `l + 2`, `l + 1`.
//!
//! So a score is a function of its inputs alone, and a ranking made on one machine can be replayed
//! on another. Integer kernels are exact. Widening (f16 or int8 to f32) is exact as well. Results
//! that are NaN are NaN everywhere, but the payload of the NaN is not part of the promise; nor is
//! anything under a floating-point environment changed behind Rust's back (flush-to-zero).
//!
//! # Use
//!
//! ```
//! use perso_kernels::{Kernels, Matrix, Rows};
//!
//! let k = Kernels::get();
//! let items = [1.0f32, 0.0, 0.0, 1.0, 3.0, 4.0]; // three rows of two
//! let mut scores = [0.0f32; 2];
//! k.dot_f32_rows(&[2.0, 1.0], Matrix::new(&items, 2, 2), Rows::Ids(&[2, 0]), &mut scores);
//! assert_eq!(scores, [10.0, 2.0]);
//! ```
//!
//! f16 values are `u16` bit patterns (IEEE binary16), so the crate depends on nothing.

mod api;
#[macro_use]
mod bounds;
#[cfg(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_endian = "little")
))]
mod blocks;
mod dispatch;
pub mod fastscan;
mod fused;
mod isa;
mod matrix;
pub mod nibble;
mod panel;
#[macro_use]
mod sift;
#[macro_use]
mod walk;
pub mod scalar;

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use api::{MAX_DIM_DOT_I8, MAX_DIM_FASTSCAN, MAX_DIM_L2_I8};
pub use bounds::{first_largest, Direction, Lane, Left};
pub use dispatch::Kernels;
pub use isa::{Isa, IsaError, ISA_VARIABLE};
pub use matrix::{prefetch, prefetch_far, Matrix, Rows};
pub use panel::{Coded, Limit, Panel, PanelQueries, PANEL_ROWS};
pub use sift::{Coarse, Scaled, Sieve, SIFT_ROWS};

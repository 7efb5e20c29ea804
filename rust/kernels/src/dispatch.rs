//! The dispatch table: one row of function pointers per instruction set.

use crate::isa::{Isa, IsaError, ISA_VARIABLE};
use crate::{bounds, panel, scalar, Matrix, Rows};
use std::sync::OnceLock;

pub(crate) type Pair<Q, X, Out> = unsafe fn(&[Q], &[X]) -> Out;
pub(crate) type Many<Q, X, Out> = unsafe fn(&[Q], Matrix<'_, X>, Rows<'_>, &mut [Out]);
type ScaledPair = unsafe fn(&[f32], f32, &[i8]) -> f32;
type ScaledMany = unsafe fn(&[f32], &[f32], Matrix<'_, i8>, Rows<'_>, &mut [f32]);

/// The kernels of one instruction set.
///
/// The pointers are `unsafe` because they may only be called on a CPU that has the instructions.
/// They are private, and a row is only handed out after its features were detected, so holding a
/// `&'static Kernels` is the proof that they may be called.
pub struct Kernels {
    pub(crate) isa: Isa,
    pub(crate) dot_f32: Pair<f32, f32, f32>,
    pub(crate) l2_f32: Pair<f32, f32, f32>,
    pub(crate) dot_f16: Pair<f32, u16, f32>,
    pub(crate) l2_f16: Pair<f32, u16, f32>,
    pub(crate) dot_i8: Pair<i8, i8, i32>,
    pub(crate) dot_i8_any: Pair<i8, i8, i32>,
    pub(crate) l2_i8: Pair<i8, i8, i32>,
    pub(crate) dot_f32_i8: Pair<f32, i8, f32>,
    pub(crate) l2_f32_i8: ScaledPair,
    pub(crate) dot_f32_rows: Many<f32, f32, f32>,
    pub(crate) l2_f32_rows: Many<f32, f32, f32>,
    pub(crate) dot_f16_rows: Many<f32, u16, f32>,
    pub(crate) l2_f16_rows: Many<f32, u16, f32>,
    pub(crate) dot_i8_rows: Many<i8, i8, i32>,
    pub(crate) dot_i8_any_rows: Many<i8, i8, i32>,
    pub(crate) l2_i8_rows: Many<i8, i8, i32>,
    pub(crate) dot_f32_i8_rows: Many<f32, i8, f32>,
    pub(crate) l2_f32_i8_rows: ScaledMany,
    pub(crate) sift_i8: crate::sift::Sift,
    pub(crate) estimate: crate::fastscan::Estimate,
    pub(crate) fill_table: crate::fastscan::Fill,
    pub(crate) hadamard: crate::fastscan::InPlace,
    pub(crate) nibble_dots: crate::nibble::Dots,
    pub(crate) f32_to_f16: unsafe fn(&[f32], &mut [u16]),
    pub(crate) f16_to_f32: unsafe fn(&[u16], &mut [f32]),
    pub(crate) form: panel::Form,
    pub(crate) pack: panel::Pack,
    pub(crate) reach: panel::Reach,
    pub(crate) dots: panel::Dots,
    pub(crate) raise: bounds::Raise,
    pub(crate) spend: bounds::Spend,
    pub(crate) log_left: bounds::LogLeft,
    pub(crate) subtract: bounds::Subtract,
    pub(crate) subtract_codes: bounds::SubtractCodes,
    pub(crate) quantise: panel::Quantise,
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernels")
            .field("isa", &self.isa)
            .finish_non_exhaustive()
    }
}

impl Kernels {
    /// Every row this CPU can run, slowest (scalar) first.
    pub fn available() -> Vec<&'static Kernels> {
        #[allow(unused_mut)] // Only the scalar row exists on other architectures.
        let mut rows = vec![&scalar::KERNELS];
        #[cfg(target_arch = "x86_64")]
        crate::x86_64::push_available(&mut rows);
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        crate::aarch64::push_available(&mut rows);
        rows
    }

    /// The fastest row this CPU can run. The environment is not consulted.
    pub fn detect() -> &'static Kernels {
        Self::available().pop().unwrap_or(&scalar::KERNELS)
    }

    /// The row `PERSO_CORE_ISA` names, or [`Kernels::detect`] if it is unset or empty.
    ///
    /// # Errors
    /// If the variable names no row, or one this CPU cannot run.
    pub fn from_env() -> Result<&'static Kernels, IsaError> {
        match std::env::var_os(ISA_VARIABLE) {
            Some(value) if !value.is_empty() => Self::by_name(&value.to_string_lossy()),
            _ => Ok(Self::detect()),
        }
    }

    /// The row with this name (see [`Isa::as_str`]), if this CPU can run it.
    ///
    /// # Errors
    /// If there is no such row, or this CPU cannot run it.
    pub fn by_name(name: &str) -> Result<&'static Kernels, IsaError> {
        let rows = Self::available();
        rows.iter()
            .find(|row| row.isa.as_str() == name)
            .copied()
            .ok_or_else(|| IsaError {
                value: name.to_owned(),
                available: rows.iter().map(|row| row.isa).collect(),
            })
    }

    /// The row to use, chosen on the first call: [`Kernels::from_env`], or [`Kernels::detect`] if
    /// the variable is wrong.
    pub fn get() -> &'static Kernels {
        static CHOSEN: OnceLock<&'static Kernels> = OnceLock::new();
        CHOSEN.get_or_init(|| Self::from_env().unwrap_or_else(|_| Self::detect()))
    }

    /// The instruction set of this row.
    pub fn isa(&self) -> Isa {
        self.isa
    }
}

//! The instruction sets there are kernels for, and how one is named.

use std::fmt;

/// The environment variable that narrows the choice: `PERSO_CORE_ISA=scalar`, `avx2`, ...
pub const ISA_VARIABLE: &str = "PERSO_CORE_ISA";

/// An instruction set with a row of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust, any CPU: the oracle the others are tested against.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL (and everything of [`Isa::Avx2`]).
    Avx512,
    /// [`Isa::Avx512`] with VNNI, which multiplies and sums four int8 pairs at once.
    Avx512Vnni,
    /// AArch64 Advanced SIMD.
    Neon,
}

impl Isa {
    /// The name used in `PERSO_CORE_ISA` and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Vnni => "avx512vnni",
            Isa::Neon => "neon",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `PERSO_CORE_ISA` asks for something this CPU cannot run, or that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsaError {
    pub(crate) value: String,
    pub(crate) available: Vec<Isa>,
}

impl IsaError {
    /// What was asked for.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What could have been asked for on this CPU, slowest first.
    pub fn available(&self) -> &[Isa] {
        &self.available
    }
}

impl fmt::Display for IsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.available.iter().map(|isa| isa.as_str()).collect();
        write!(
            f,
            "{ISA_VARIABLE} must name an instruction set this CPU can run, one of {}; got {:?}",
            names.join(", "),
            self.value
        )
    }
}

impl std::error::Error for IsaError {}

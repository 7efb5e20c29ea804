//! What the kernel tests share: data, and the shape of a float kernel under test.
#![allow(dead_code)] // Each test binary uses a part of it.

use perso_kernels::Kernels;

/// A small deterministic generator (SplitMix64), so that a failure names its data by a seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [-1, 1), with all 24 bits of the significand in use.
    pub fn unit(&mut self) -> f32 {
        ((self.bits() >> 39) as f32 / (1 << 24) as f32) - 1.0
    }

    /// Signs and magnitudes mixed over 2^-20 to 2^20, with zeros of both signs among them.
    pub fn wide(&mut self) -> f32 {
        match self.bits() % 16 {
            0 => 0.0,
            1 => -0.0,
            _ => self.unit() * 2f32.powi((self.bits() % 41) as i32 - 20),
        }
    }

    pub fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.wide()).collect()
    }

    /// Finite f16 bit patterns, subnormals and both zeros included.
    pub fn halves(&mut self, n: usize) -> Vec<u16> {
        (0..n)
            .map(|_| loop {
                let half = self.bits() as u16;
                if half & 0x7c00 != 0x7c00 {
                    return half;
                }
            })
            .collect()
    }

    /// Any i8.
    pub fn bytes(&mut self, n: usize) -> Vec<i8> {
        (0..n).map(|_| self.bits() as i8).collect()
    }

    /// Codes in [-127, 127], as rows have them.
    pub fn codes(&mut self, n: usize) -> Vec<i8> {
        self.bytes(n)
            .into_iter()
            .map(|code| code.max(-127))
            .collect()
    }
}

/// The lengths every kernel is tried at: every tail, and some long ones.
pub fn lengths() -> impl Iterator<Item = usize> {
    (0..=130).chain([255, 256, 300, 384, 511, 768, 1000, 1536, 4099])
}

/// Every row this CPU can run, with the proof that there is something to compare.
pub fn kernels() -> Vec<&'static Kernels> {
    let rows = Kernels::available();
    assert_eq!(rows[0].isa().as_str(), "scalar");
    rows
}

/// Equal bits, or both NaN.
#[track_caller]
pub fn same_bits(got: f32, expected: f32, context: impl Fn() -> String) {
    assert!(
        got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan()),
        "{}: got {got:e} ({:08x}), expected {expected:e} ({:08x})",
        context(),
        got.to_bits(),
        expected.to_bits()
    );
}

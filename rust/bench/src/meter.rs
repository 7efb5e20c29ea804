//! Marks the calls that callgrind counts.
//!
//! Callgrind is started with instrumentation and collection off, so setting up costs little and counts
//! nothing; both are switched on around the calls alone. The switch is a client request: rotations that
//! come to nothing on a processor and that valgrind recognises, `rax` pointing to six words, the request
//! and its arguments (valgrind.h, amd64). Outside valgrind they do nothing.

use std::path::{Path, PathBuf};

const TOOL: u64 = (b'C' as u64) << 24 | (b'T' as u64) << 16;
const TOGGLE_COLLECT: u64 = TOOL + 2;
const START_INSTRUMENTATION: u64 = TOOL + 4;

#[cfg(target_arch = "x86_64")]
fn request(code: u64) {
    let words = [code, 0, 0, 0, 0, 0u64];
    // SAFETY: the rotations add up to 128 bits, so `rdi` ends as it began, `rbx` is exchanged with itself, and
    // valgrind reads the six words and writes `rdx` alone.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") words.as_ptr(),
            inout("rdx") 0u64 => _,
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn request(_code: u64) {}

/// What a scenario runs its calls through.
pub struct Meter {
    folder: PathBuf,
    calls: usize,
}

impl Meter {
    pub fn new(folder: PathBuf) -> Self {
        Meter { folder, calls: 0 }
    }

    /// Where scenarios keep what takes long to build.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Counts `calls` calls, after one that is left out because it fills caches and sizes buffers.
    pub fn count(&mut self, calls: usize, mut operation: impl FnMut(usize)) {
        operation(0);
        self.count_cold(calls, operation);
    }

    /// Counts `calls` calls from the first.
    pub fn count_cold(&mut self, calls: usize, mut operation: impl FnMut(usize)) {
        assert_eq!(self.calls, 0, "a scenario counts once");
        self.calls = calls;
        request(START_INSTRUMENTATION);
        request(TOGGLE_COLLECT);
        (0..calls).for_each(&mut operation);
        request(TOGGLE_COLLECT);
    }

    /// What the counts are divided by, and which kernels ran.
    pub fn report(&self, name: &str) -> serde_json::Value {
        let isa = perso_kernels::Kernels::get().isa().as_str();
        serde_json::json!({"scenario": name, "calls": self.calls, "isa": isa})
    }
}

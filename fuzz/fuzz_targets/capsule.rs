//! The buffer of a capsule: see `capsule` for the checks.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate, Corpus};

fuzz_target!(|input: &[u8]| -> Corpus {
    perso_fuzz::capsule::capsule(input);
    Corpus::Keep
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    perso_fuzz::mutate::numbers(data, size, max_size, seed, fuzzer_mutate)
});

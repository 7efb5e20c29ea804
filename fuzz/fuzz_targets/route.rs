//! A situation or a decision, as JSON: see `documents` for the checks.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate, Corpus};

fuzz_target!(|input: &[u8]| -> Corpus {
    perso_fuzz::documents::route(input);
    Corpus::Keep
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    perso_fuzz::mutate::document(data, size, max_size, seed, fuzzer_mutate)
});

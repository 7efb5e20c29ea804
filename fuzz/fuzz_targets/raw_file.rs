//! Any bytes as a file, with checksums made to hold unless the flag byte says otherwise.
#![no_main]

use libfuzzer_sys::{fuzz_target, Corpus};

fuzz_target!(|input: &[u8]| -> Corpus {
    perso_fuzz::files::raw(input);
    Corpus::Keep
});

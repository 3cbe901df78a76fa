#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tower_privacy_log::fuzz::resolve(input));

//! Any bytes, read as everything that the venue sends.
#![no_main]

libfuzzer_sys::fuzz_target!(|frame: &[u8]| barflow_fuzz::read_as("coinbase", frame));

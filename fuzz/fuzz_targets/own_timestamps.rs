#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stillwell_fuzz::own_timestamps::run(data));

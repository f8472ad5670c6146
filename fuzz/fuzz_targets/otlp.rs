#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stillwell_fuzz::otlp::run(data));

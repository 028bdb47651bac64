#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    dm_p2p::fuzzing::descriptor(bytes);
});

//! Turns whatever the fuzzer makes up into the comment of a stranger.
//! It must not crash, and must be no command unless it is one in every letter.
//! The rules are those of the tests, which draw texts that are nearly commands; the fuzzer draws all others.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/integration/judges/rules.rs"]
mod rules;

fuzz_target!(|body: &str| rules::hold(body));

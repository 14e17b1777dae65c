//! Any bytes as a configuration file: read, checked, made into parameters, printed, read again.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../bodies/config.rs"]
mod body;

fuzz_target!(|bytes: &[u8]| body::survive(bytes));

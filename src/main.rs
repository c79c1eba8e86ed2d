//! Starts the process: one TLS provider, arguments, exit code.
//! It knows no use case.
//! Everything else lives in the library, so that tests can call it.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The only provider that is linked; a second call could not happen, so its error says nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    preview_action::cli::run(std::env::args_os())
}

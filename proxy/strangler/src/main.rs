//! The binary `strangler`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    strangler::cli::run().await
}

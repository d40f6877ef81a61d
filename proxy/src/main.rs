//! The binary `strangler`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    proxy::cli::run().await
}

//! Starts a local server, says `<url> <folder>`, and holds it until killed: what the tests kill with -9.

use std::io::{Write, stdout};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = testkit::postgres::own_server().await;
    writeln!(stdout(), "{} {}", server.url("postgres"), server.folder().display())?;
    std::future::pending().await
}

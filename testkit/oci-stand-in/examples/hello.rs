//! Connects through a client library and says what the server calls itself, or why that cannot be.
//! Arguments: folder of the library, user, password, connect string.

use std::io::Write;

use oracle::{Connection, InitParams};

fn hello(arguments: &[String]) -> oracle::Result<String> {
    let [library, user, password, connect] = arguments else {
        return Ok("folder, user, password, connect string".into());
    };
    InitParams::new().oracle_client_lib_dir(library)?.init()?;
    let (version, banner) = Connection::connect(user, password, connect)?.server_version()?;
    Ok(format!("{version}: {banner}"))
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let told = hello(&arguments).unwrap_or_else(|error| error.to_string());
    writeln!(std::io::stdout(), "{told}")
}

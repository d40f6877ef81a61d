//! What a comparison costs the proxy.
fn main() {}

//! The binary `strangler`.

fn main() {}

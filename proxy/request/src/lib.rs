//! What travels from the gateway to the data plane: arguments, errors, and the port between them.

pub mod arguments;
pub mod error;
pub mod roads;

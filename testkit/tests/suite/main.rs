//! What tests rely on, tested; and the shape of the workspace.

// `cfg(test)` is always true here; it tells clippy that helpers are test code as well.
#[cfg(test)]
mod control;
#[cfg(test)]
mod drivers;
#[cfg(test)]
mod local_server;
#[cfg(test)]
mod nothing;
#[cfg(test)]
mod repository;
#[cfg(test)]
mod shared_postgres;

//! What operators rely on: changes reach every replica, rollbacks always do, and mistakes change nothing.

// `cfg(test)` is always true here; it tells clippy that helpers are test code as well.
#[cfg(test)]
mod adoption;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod completions;
#[cfg(test)]
mod drift;
#[cfg(test)]
mod drill_down;
#[cfg(test)]
mod encrypted;
#[cfg(test)]
mod flags;
#[cfg(test)]
mod follow;
#[cfg(test)]
mod guarded;
#[cfg(test)]
mod handover;
#[cfg(test)]
mod menagerie;
#[cfg(test)]
mod record;
#[cfg(test)]
mod replica;
#[cfg(test)]
mod restores;
#[cfg(test)]
mod rollback;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod sides;
#[cfg(test)]
mod webhooks;
#[cfg(test)]
mod whole;

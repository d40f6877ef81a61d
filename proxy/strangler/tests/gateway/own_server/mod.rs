//! Real processes of the real binary over real databases. The name of this module makes nextest run
//! its tests one at a time.

mod at_rest;
mod bombs;
mod browser;
mod crash;
mod evidence;
mod fleet;
mod guard;
mod handover;
mod handover_killed;
mod harm;
mod lives;
mod locked;
mod lost;
mod newcomer;
mod operators;
mod outages;
mod race;
mod rehearsal;
mod sagas;
mod shop;
mod story;
mod torture;

//! Handing the authority over a group from one side to the other: freeze, drain, decide, open.
//!
//! The fences of both sides are the truth (`model::fence`); a rollout follows them, but for one thing: modern is opened
//! only after a rollout says that it is (`decide`), so that no handover overruns a rollback. Every step can be repeated and
//! resumed by anybody, since what is to be done next is read from the fences alone.
//!
//! A group begins, or is taken up again, by `begin`: it looks at both sides before it opens a fence.
//!
//! Promise: at no time do both sides take writes, whoever crashes, sleeps or repeats; a handover that is left in the
//! middle is undone by any replica when its time is over. Clients wait meanwhile, and see no error.
//! Not here: who may order it (`desk`), what a fence is on each engine (`adapters`).

pub mod begin;
pub mod coordinate;
pub mod decide;
pub mod drain;
pub mod keeper;
pub mod safety;
pub mod steps;

//! The port to the control store: rollouts, replicas and evidence.
//!
//! Its outage stops neither reads nor writes nor rollback: every caller must go on without it.

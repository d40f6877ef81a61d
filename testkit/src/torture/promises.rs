//! The promises that are checked, as reports name them.

/// Nothing waits for ever.
pub const SETTLES: &str = "when the trouble is over everything settles";
/// Nothing acknowledged is lost or doubled.
pub const ONCE: &str = "every acknowledged write stands once on both sides, and what failed stands nowhere";
/// The same, by each database's own sums.
pub const ACCOUNTS: &str = "what each client has booked on each shelf adds up to what it knows, on both sides";
/// Nothing is done by halves.
pub const SAGAS: &str = "every order is whole or nothing of it stands, and nothing is reserved for nothing";
/// Nobody who decides was told what was not so.
pub const SAID: &str = "what reports and orders say is what both databases say";
/// Nothing else is different either.
pub const EQUAL: &str = "both sides are equal, row by row";
/// Nobody was told what was not so.
pub const LINEARIZABLE: &str = "the history of every key is linearizable, with reads as far as they are promised";
/// Trouble stays where it was made.
pub const INJECTED: &str = "clients see no error that was not injected";
/// The fleet obeys.
pub const OBEYS: &str = "orders are refused only in trouble, and no kind of disturbance is missing";
/// Processes hold.
pub const LIVE: &str = "replicas live until they are killed, and nothing in them panics";

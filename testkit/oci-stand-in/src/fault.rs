//! Faults on demand: `BEGIN STAND_IN.FAULTS('…'); END;` over any connection, for the database of that connection.
//!
//! `op[:substring]:action[:count][:after=n][:session=name]`, several with `;` between.
//! - op: `connect` `exec` `fetch` `commit` `rollback` `ping`
//! - substring: of the statement, any case
//! - action: `ora-03113` (fails with that code) · `latency=50ms` · `hang` (until broken off, or the call timeout) ·
//!   `stuck` (until broken off; no call timeout helps) · `deaf=500ms` (nothing helps) ·
//!   `lost-ack` (does it, then the session is dead) · `kill` (the session is dead before it is done)
//! - count: how often; for ever when left out. after: how many calls pass first. session: its action's name, or its
//!   module's while it has none.

use std::time::Duration;

use parking_lot::Mutex;

use crate::address::Address;
use crate::code::{OracleError, Outcome};

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Fails with this code; nothing is done.
    Fail(i32),
    /// Takes longer.
    Latency(Duration),
    /// Does nothing until it is broken off.
    Hang,
    /// Does nothing until it is broken off, whatever the call timeout says.
    Stuck,
    /// Takes longer, and neither a time-out nor a break ends it.
    Deaf(Duration),
    /// Is done, and nobody is told.
    LostAnswer,
    /// The session ends before it is done.
    Kill,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    op: String,
    text: String,
    action: Action,
    left: Option<u32>,
    after: u32,
    session: Option<String>,
}

static PLANNED: Mutex<Vec<(Address, Fault)>> = Mutex::new(Vec::new());

/// Plans faults for a database, in place of those planned before.
///
/// # Errors
/// ORA-06550 with what is wrong in the text.
pub fn plan(address: &Address, text: &str) -> Outcome<()> {
    let faults = parse(text)?;
    let mut planned = PLANNED.lock();
    planned.retain(|(of, _)| of != address);
    planned.extend(faults.into_iter().map(|fault| (address.clone(), fault)));
    Ok(())
}

/// The fault that a call meets, if any.
pub fn next(address: &Address, op: &str, text: &str, session: &str) -> Option<Action> {
    let mut planned = PLANNED.lock();
    let text = text.to_uppercase();
    for (of, fault) in planned.iter_mut() {
        let meets = of == address
            && fault.op == op
            && text.contains(&fault.text)
            && fault.session.as_ref().is_none_or(|name| name == session);
        if !meets || fault.left == Some(0) {
            continue;
        }
        if fault.after > 0 {
            fault.after -= 1;
            continue;
        }
        fault.left = fault.left.map(|left| left - 1);
        return Some(fault.action.clone());
    }
    None
}

fn parse(text: &str) -> Outcome<Vec<Fault>> {
    let faults = text.split(';').map(str::trim).filter(|fault| !fault.is_empty());
    faults.map(parse_one).collect()
}

fn parse_one(text: &str) -> Outcome<Fault> {
    let wrong = |what: &str| OracleError::new(6550, format!("fault `{text}`: {what}"));
    let mut parts = text.split(':').map(str::trim);
    let op = parts.next().unwrap_or_default().to_lowercase();
    if !["connect", "exec", "fetch", "commit", "rollback", "ping"].contains(&op.as_str()) {
        return Err(wrong("begins with connect, exec, fetch, commit, rollback or ping"));
    }
    let mut fault = Fault { op, text: String::new(), action: Action::Kill, left: None, after: 0, session: None };
    let mut action = None;
    for part in parts {
        if let Some(session) = part.strip_prefix("session=") {
            fault.session = Some(session.to_owned());
        } else if let Some(after) = part.strip_prefix("after=") {
            fault.after = after.parse().map_err(|_| wrong("after= takes a number"))?;
        } else if action.is_some() {
            fault.left = Some(part.parse().map_err(|_| wrong("how often is a number"))?);
        } else if let Some(known) = action_of(part) {
            action = Some(known);
        } else {
            fault.text = part.to_uppercase();
        }
    }
    fault.action = action
        .ok_or_else(|| wrong("says no action: ora-NNNNN, latency=Nms, hang, stuck, deaf=Nms, lost-ack or kill"))?;
    Ok(fault)
}

fn action_of(text: &str) -> Option<Action> {
    match text {
        "hang" => Some(Action::Hang),
        "stuck" => Some(Action::Stuck),
        "lost-ack" => Some(Action::LostAnswer),
        "kill" => Some(Action::Kill),
        _ => {
            let millis = |time: &str| time.strip_suffix("ms")?.parse().ok().map(Duration::from_millis);
            if let Some(time) = text.strip_prefix("latency=") {
                return millis(time).map(Action::Latency);
            }
            if let Some(time) = text.strip_prefix("deaf=") {
                return millis(time).map(Action::Deaf);
            }
            text.strip_prefix("ora-")?.parse().ok().map(Action::Fail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_for_one_database_and_are_used_up() {
        let here = Address { database: "here".into(), ..Address::default() };
        let there = Address { database: "there".into(), ..Address::default() };
        plan(&here, "exec:stkbal:ora-00060:2:after=1; commit:lost-ack:1:session=write").unwrap();
        let exec = |at| next(at, "exec", "UPDATE STKBAL SET x = 1", "read");
        let met: Vec<_> = (0..4).map(|_| exec(&here)).collect();
        assert_eq!(met, [None, Some(Action::Fail(60)), Some(Action::Fail(60)), None]);
        assert_eq!(exec(&there), None);
        assert_eq!(next(&here, "commit", "", "read"), None);
        assert_eq!(next(&here, "commit", "", "write"), Some(Action::LostAnswer));
        plan(&here, "").unwrap();
        assert_eq!(exec(&here), None);
    }

    #[test]
    fn a_fault_that_cannot_be_read_says_why() {
        for (text, why) in [("walk:kill", "begins with"), ("exec", "no action"), ("exec:kill:often", "a number")] {
            let error = plan(&Address::default(), text).unwrap_err();
            assert!(error.text.contains(why), "{error}");
        }
    }
}

//! Every step of a write meets every fault: the client is told the truth, the ledger settles, both
//! sides are equal, nothing acknowledged is lost and nothing refused stands. Invariants 1, 2 and 5.
//!
//! A case is one transfer with an `Idempotency-Key`, repeated by its client until it is answered. A
//! crash takes the whole replica with all of its tasks, and another one starts over the same stores.
//! Time is paused: hangs and leases cost nothing.

use std::fmt::Write as _;
use std::time::Duration;

use data_plane::catchup::relay::RelaySettings;
use model::{Side, Stage};
use serde_json::json;
use testkit::faults::{Call, Fault, FaultyStore};

use crate::rig::{Ground, Pace, Replica, process, until};
use crate::shelves::Shelves;

/// A step of a write, and what has to go wrong before so that it is taken at all.
struct Step {
    name: &'static str,
    side: Side,
    call: Call,
    nth: usize,
    before: Option<(Side, Call, Fault)>,
}

const STEPS: [Step; 8] = [
    Step { name: "execute", side: Side::Legacy, call: Call::Execute, nth: 1, before: None },
    Step {
        name: "claim, it stands",
        side: Side::Legacy,
        call: Call::Claim,
        nth: 1,
        before: Some((Side::Legacy, Call::Execute, Fault::FailAfter)),
    },
    Step {
        name: "claim, it is late",
        side: Side::Legacy,
        call: Call::Claim,
        nth: 1,
        before: Some((Side::Legacy, Call::Execute, Fault::Late)),
    },
    Step { name: "apply", side: Side::Modern, call: Call::Apply, nth: 1, before: None },
    Step { name: "settle", side: Side::Legacy, call: Call::Settle, nth: 1, before: None },
    Step {
        name: "relay: lease",
        side: Side::Legacy,
        call: Call::LeaseUnsettled,
        nth: 1,
        before: Some((Side::Modern, Call::Apply, Fault::Down)),
    },
    Step {
        name: "relay: apply",
        side: Side::Modern,
        call: Call::Apply,
        nth: 2,
        before: Some((Side::Modern, Call::Apply, Fault::Down)),
    },
    Step {
        name: "relay: settle",
        side: Side::Legacy,
        call: Call::Settle,
        nth: 1,
        before: Some((Side::Modern, Call::Apply, Fault::Down)),
    },
];

/// One call goes wrong, or the whole side is out of reach from that call on for two seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Once(Fault),
    Outage,
}

const TROUBLES: [Trouble; 9] = [
    Trouble::Once(Fault::Reject),
    Trouble::Once(Fault::FailAfter),
    Trouble::Once(Fault::Hang),
    Trouble::Once(Fault::Late),
    Trouble::Once(Fault::Twice),
    Trouble::Once(Fault::Down),
    Trouble::Once(Fault::CrashBefore),
    Trouble::Once(Fault::CrashAfter),
    Trouble::Outage,
];

const MOVE: &str = "mutation { move(from: \"A\", to: \"B\", quantity: 10) { id onHand } }";
const LOOK: &str = "{ shelves(ids: [\"A\", \"B\"]) { onHand } }";
const UNTOUCHED: &str = "A=100 B=100 C=100";
const MOVED: &str = "A=90 B=110 C=100";

/// What a client was told about its transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Done,
    /// An error's code.
    Code(String),
    /// The connection broke.
    Nothing,
}

impl Told {
    fn shown(&self) -> &str {
        match self {
            Self::Done => "done",
            Self::Code(code) => code,
            Self::Nothing => "connection lost",
        }
    }
}

async fn transfer(replica: &Replica) -> Told {
    let reply = replica.ask_with(MOVE, &json!({}), &[("idempotency-key", "one transfer")]).await;
    if reply.body["errors"].is_null() {
        let moved = json!({ "data": { "move": [{ "id": "A", "onHand": 90 }, { "id": "B", "onHand": 110 }] } });
        assert_eq!(reply.body, moved);
        return Told::Done;
    }
    Told::Code(reply.code().to_owned())
}

fn pace(step: &Step) -> Pace {
    // The relay takes the very write that was left to it, at its next look.
    let older_than = if step.name.starts_with("relay") { Duration::ZERO } else { Duration::from_millis(500) };
    Pace { relay: Some(RelaySettings { older_than, ..RelaySettings::default() }), ..Pace::default() }
}

/// What became of one case.
struct Row {
    first: Told,
    repeats: Vec<Told>,
    relayed: bool,
}

fn plan(store: &FaultyStore, step: &Step, trouble: Trouble) {
    match trouble {
        Trouble::Once(fault) => store.on(step.call, step.nth, fault),
        // Nobody else calls this early, so the outage begins at this step.
        Trouble::Outage => store.always(step.call, Fault::Down),
    }
}

async fn first_life(shelves: &Shelves, step: &Step, trouble: Trouble) -> Told {
    let ground = &shelves.ground;
    let store = ground.stores.get(step.side);
    if let Some((side, call, fault)) = step.before {
        ground.stores.get(side).on(call, 1, fault);
    }
    let replica = Replica::ready(ground, &pace(step)).await;
    let lease = step.call == Call::LeaseUnsettled;
    if !lease {
        plan(store, step, trouble);
    }
    let told = tokio::select! {
        told = transfer(&replica) => told,
        () = store.crashed() => return Told::Nothing,
    };
    if lease {
        plan(store, step, trouble);
    }
    if told == Told::Done {
        let seen = replica.ask(LOOK).await.text;
        assert_eq!(seen, r#"{"data":{"shelves":[{"onHand":90},{"onHand":110}]}}"#, "the client's own write");
    }
    let crash = matches!(trouble, Trouble::Once(Fault::CrashBefore | Fault::CrashAfter));
    if crash {
        store.crashed().await;
    }
    if trouble == Trouble::Outage {
        tokio::time::sleep(Duration::from_secs(2)).await;
        store.heal();
    }
    if !crash {
        settles(ground).await;
    }
    told
}

async fn settles(ground: &Ground) {
    ground.settled().await;
    // The relay of a replica that is alive has nothing left to do: what it does next changes nothing.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(ground.backlog().await, 0);
}

async fn second_life(shelves: &Shelves, step: &Step, first: &Told) -> Vec<Told> {
    let replica = Replica::ready(&shelves.ground, &pace(step)).await;
    settles(&shelves.ground).await;
    assert!(shelves.are_equal(), "settled means equal: {}", shelves.told(Side::Modern));
    let stands = shelves.told(Side::Legacy) == MOVED;
    match first {
        Told::Done => assert!(stands, "an acknowledged write is lost"),
        Told::Code(code) if code == "OUTCOME_UNKNOWN" => {}
        Told::Code(code) => {
            assert_eq!(shelves.told(Side::Legacy), UNTOUCHED, "{code} means that nothing was written");
        }
        Told::Nothing => {}
    }
    let mut repeats = Vec::new();
    while repeats.last() != Some(&Told::Done) {
        assert!(repeats.len() < 5, "{repeats:?}");
        repeats.push(transfer(&replica).await);
    }
    until("the repeat is on both sides", async || shelves.are_equal()).await;
    settles(&shelves.ground).await;
    repeats
}

fn run(step: &Step, trouble: Trouble) -> Row {
    let shelves = process(Shelves::new());
    // Reads are modern's, so that a client would see at once what the secondary lacks.
    shelves.ground.set(Stage::Shift, 100.0, 0.0);
    let first = process(first_life(&shelves, step, trouble));
    let applied = shelves.ground.stores.modern.calls(Call::Apply);
    shelves.ground.stores.legacy.heal();
    shelves.ground.stores.modern.heal();
    let repeats = process(second_life(&shelves, step, &first));
    assert_eq!((shelves.told(Side::Legacy), shelves.told(Side::Modern)), (MOVED.to_owned(), MOVED.to_owned()));
    if step.side == Side::Modern || step.name.starts_with("relay") || step.name == "settle" {
        let unharmed = first == Told::Done || matches!(trouble, Trouble::Once(Fault::CrashBefore | Fault::CrashAfter));
        assert!(unharmed, "a client must not see what befalls the secondary");
    }
    Row { first, repeats, relayed: applied != 1 || shelves.ground.stores.modern.calls(Call::Apply) != 1 }
}

#[test]
fn every_step_of_a_write_survives_every_fault() {
    let mut table =
        format!("{:<18} {:<12} {:<18} {:<16} {}\n", "step", "fault", "the client saw", "and on repeat", "applied");
    for step in &STEPS {
        for trouble in TROUBLES {
            let shown = match trouble {
                Trouble::Once(Fault::Late) if !matches!(step.call, Call::Execute | Call::Apply) => continue,
                Trouble::Once(fault) => format!("{fault:?}"),
                Trouble::Outage => "Outage".to_owned(),
            };
            println!("{} × {shown}", step.name);
            let Row { first, repeats, relayed } = run(step, trouble);
            let repeats: Vec<_> = repeats.iter().map(Told::shown).collect();
            let applied = if relayed { "again" } else { "once" };
            let (first, repeats) = (first.shown(), repeats.join(", "));
            let _ = writeln!(table, "{:<18} {shown:<12} {first:<18} {repeats:<16} {applied}", step.name);
        }
    }
    insta::assert_snapshot!(table);
}

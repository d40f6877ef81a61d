use super::*;

fn deed(text: &str) -> Deed {
    Deed {
        action: Action::Approved,
        group: Some("inventory".into()),
        author: Author { who: "ada".into(), origin: "desk".into(), reason: Some(text.into()) },
        rollout: Some(RolloutVersion(7)),
        detail: json!({ "b": 1, "a": [text] }),
    }
}

fn chain(length: u32) -> Vec<AuditEntry> {
    let mut entries: Vec<AuditEntry> = Vec::new();
    for number in 0..length {
        let at = Instant::parse("2026-01-31T08:00:00.000001Z").unwrap();
        let last = entries.last().map(|entry| (entry.place, &entry.hash));
        entries.push(AuditEntry::following(last, &deed(&number.to_string()), at));
    }
    entries
}

fn verified(entries: &[AuditEntry]) -> Result<(), Tampered> {
    let mut verifier = Verifier::default();
    entries.iter().try_for_each(|entry| verifier.take(entry))
}

#[test]
fn a_chain_that_nobody_touched_is_well() {
    let entries = chain(5);
    assert_eq!(verified(&entries), Ok(()));
    assert_eq!(entries[0].previous, AuditHash::beginning());
    assert_eq!(entries[0].detail, r#"{"a":["0"],"b":1}"#);
}

#[test]
fn whatever_is_touched_is_found_at_its_place() {
    type Touch = fn(&mut AuditEntry);
    let touches: [Touch; 7] = [
        |entry| entry.author.who = "eve".into(),
        |entry| entry.author.reason = None,
        |entry| entry.group = None,
        |entry| entry.rollout = None,
        |entry| entry.action = Action::Rollout,
        |entry| entry.detail.push(' '),
        |entry| entry.at = Instant::parse("2026-01-31T08:00:00.000002Z").unwrap(),
    ];
    for touch in touches {
        let mut entries = chain(5);
        touch(&mut entries[2]);
        assert_eq!(verified(&entries), Err(Tampered::Altered(3)));
        // Whoever also mends the hash breaks the link to the next one.
        entries[2].hash = entries[2].computed();
        assert_eq!(verified(&entries), Err(Tampered::Unchained(4)));
    }
    let mut entries = chain(5);
    entries.remove(2);
    assert_eq!(verified(&entries), Err(Tampered::Gap { after: 2, found: 4 }));
}

#[test]
fn every_action_is_found_by_its_name() {
    for action in Action::ALL {
        assert_eq!(Action::named(action.as_str()), Some(action));
        assert_eq!(json!(action), json!(action.as_str()));
    }
}

use super::*;

/// Every SQLSTATE that a statement of ours may meet and whose class says too little, by whose doing it is.
const TABLE: &[(&str, &[&str])] = &[
    // Nobody knows whether it stands.
    ("no_answer", &["08000", "08003", "08006", "08007", "08P01", "40003", "57P01", "57P02", "57P05"]),
    // The server's state: all other calls of the kind fail as well.
    ("unreachable", &["08001", "08004", "53000", "53200", "53300", "57P03", "57P04", "58000", "58030"]),
    ("unwritable", &["25006", "53100"]),
    // Others were in the way, or somebody broke it off: the same call may succeed.
    ("conflict", &["25P02", "25P03", "26000", "40000", "40001", "40002", "40P01", "55006", "55P03", "57014"]),
    // The client's doing.
    ("TOO_LONG", &["22001", "54000"]),
    ("OUT_OF_RANGE", &["22003", "22008", "22015"]),
    ("BAD_CHARACTER", &["22021", "22P05"]),
    ("BAD_VALUE", &["22000", "22004", "22007", "22012", "22018", "22023", "2201B", "2201W", "22P02", "22P03"]),
    ("REFUSED_BY_RULE", &["23000", "23P01", "44000", "P0001", "P0002"]),
    ("ALREADY_EXISTS", &["23505"]),
    ("STILL_REFERENCED", &["23001", "23503"]),
    ("MISSING_VALUE", &["23502"]),
    // The server's owner, or the contract's: the client can do nothing but wait.
    ("exhausted", &["2200H"]),
    (
        "misfit",
        &[
            "0A000", "21000", "25001", "25P01", "2F002", "38000", "39000", "3D000", "3F000", "42501", "42601", "42703",
            "42804", "42883", "428C9", "42P01", "42P10", "53400", "54001", "54011", "54023", "55000", "55P02", "58P01",
            "58P02", "F0000", "HV000", "P0003", "P0004", "XX000", "XX001", "XX002",
        ],
    ),
];

fn name(meaning: &Meaning) -> &str {
    match meaning {
        Meaning::NoAnswer => "no_answer",
        Meaning::Unreachable => "unreachable",
        Meaning::Unwritable => "unwritable",
        Meaning::Conflict => "conflict",
        Meaning::Refused(refusal) => &refusal.code,
        Meaning::Misfit(_) => "misfit",
        Meaning::Exhausted(_) => "exhausted",
    }
}

#[test]
fn every_sqlstate_has_one_meaning() {
    // PostgreSQL always names the constraint of a check that failed.
    let said = Said { message: "m", ..Said::default() };
    for (expected, states) in TABLE {
        for state in *states {
            assert_eq!(name(&meaning_of(state, said)), *expected, "{state}");
        }
    }
    let ruled = Said { constraint: Some("on_hand_not_negative"), ..said };
    assert_eq!(name(&meaning_of("23514", ruled)), "REFUSED_BY_RULE");
}

/// Of each class that says whose doing an error is, what is told to a client as its own mistake.
#[test]
fn an_unknown_sqlstate_of_the_servers_classes_is_no_mistake_of_the_client() {
    for class in ["08", "25", "40", "42", "53", "55", "57", "58", "XX", "F0", "0A", "3D"] {
        for rest in ["000", "001", "999", "P99"] {
            let meaning = meaning_of(&format!("{class}{rest}"), Said::default());
            assert!(!matches!(meaning, Meaning::Refused(_)), "{class}{rest}: {meaning:?}");
        }
    }
}

#[test]
fn one_sqlstate_with_two_causes_is_told_apart_by_what_no_language_changes() {
    let partition = meaning_of("23514", Said { message: "keine Partition", ..Said::default() });
    assert_eq!(partition, Meaning::Misfit("no partition takes the row: create one for it".to_owned()));
    for routine in NO_NUMBERS_LEFT {
        let wrapped = meaning_of("54000", Said { routine: Some(routine), ..Said::default() });
        assert_eq!(wrapped, Meaning::Unwritable, "{routine}");
    }
    let standby = Said { message: "recovery is in progress", ..Said::default() };
    assert_eq!(meaning_of("55000", standby), Meaning::Unwritable);
    let cached = Said { message: "cached plan must not change result type", ..Said::default() };
    assert_eq!(meaning_of("0A000", cached), Meaning::Conflict);
}

#[test]
fn a_rule_is_named_and_a_value_is_not() {
    let said = Said { message: "row holds 4711", constraint: Some("on_hand_not_negative"), ..Said::default() };
    let Meaning::Refused(refusal) = meaning_of("23514", said) else {
        panic!("a rule refuses");
    };
    assert_eq!(refusal.message, "the rule on_hand_not_negative forbids it");
    let meaning = meaning_of("22P02", Said { message: "invalid input: \"4711\"", ..Said::default() });
    assert!(!format!("{meaning:?}").contains("4711"));
}

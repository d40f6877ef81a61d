use super::*;

/// Every code of the table, by what it means for a statement, and for a commit.
const TABLE: &[(&[i32], &str, &str)] = &[
    (&[54, 60, 8177, 30_006, 4020], "conflict", "conflict"),
    (&[4068, 4061, 4065, 932, 1007], "conflict", "conflict"),
    (
        &[
            22, 28, 31, 45, 378, 602, 603, 609, 1012, 1041, 1043, 1092, 2396, 3113, 3114, 3122, 3135, 12_153, 12_537,
            12_547, 12_570, 12_583, 27_146, 28_511, 56_600, 25_401, 25_402, 25_403, 25_404, 25_405, 25_406, 25_407,
            25_408, 25_409,
        ],
        "no_answer",
        "no_answer",
    ),
    (
        &[12_514, 12_518, 12_519, 12_520, 12_528, 12_541, 12_543, 12_545, 12_170, 1033, 1034, 1089, 1090],
        "unreachable",
        "no_answer",
    ),
    (&[3136, 3156, 1013, 40, 2391], "no_answer", "no_answer"),
    (&[1555, 1466, 8181, 8180], "snapshot_lost", "snapshot_lost"),
    (&[1], "ALREADY_EXISTS", "ALREADY_EXISTS"),
    (&[1400, 1407], "MISSING_VALUE", "MISSING_VALUE"),
    (&[1438, 1426, 1455, 1841], "OUT_OF_RANGE", "OUT_OF_RANGE"),
    (
        &[
            1722, 1830, 1831, 1832, 1833, 1834, 1835, 1836, 1837, 1838, 1839, 1840, 1842, 1843, 1844, 1845, 1846, 1847,
            1848, 1849, 1850, 1851, 1852, 1853, 1854, 1855, 1856, 1857, 1858, 1859, 1860, 1861, 1878, 1427, 1403,
        ],
        "BAD_VALUE",
        "BAD_VALUE",
    ),
    (&[2290, 20_001, 20_999], "REFUSED_BY_RULE", "REFUSED_BY_RULE"),
    (&[2291, 2292], "STILL_REFERENCED", "STILL_REFERENCED"),
    (&[12_899, 1401, 1461], "TOO_LONG", "TOO_LONG"),
    (&[1017, 28_000, 28_001, 28_002, 1031, 942, 904, 4043, 12_154, 12_505], "misfit", "misfit"),
    (&[24_418, 24_457, 24_459, 18, 20, 257], "unreachable", "no_answer"),
    (&[1653, 1654, 1688, 1691, 16_000, 30_036], "unwritable", "no_answer"),
    (&[600, 7445, 3137, 12_704, 1489, 99_999], "misfit", "misfit"),
];

fn named(error: &StoreError) -> String {
    match error {
        StoreError::Refused { refusal, .. } => refusal.code.clone(),
        other => other.kind().to_owned(),
    }
}

fn of(code: i32, moment: Moment) -> StoreError {
    stated(Side::Legacy, Duration::from_secs(1), of_ora(code), moment, None)
}

#[test]
fn every_code_has_one_meaning() {
    for (codes, statement, commit) in TABLE {
        for code in *codes {
            assert_eq!(named(&of(*code, Moment::Statement)), *statement, "ORA-{code:05}");
            assert_eq!(named(&of(*code, Moment::Commit)), *commit, "ORA-{code:05} at commit");
        }
    }
}

#[test]
fn a_lost_or_late_commit_may_stand_and_nothing_else_does() {
    for (codes, ..) in TABLE {
        for code in *codes {
            let error = of(*code, Moment::Commit);
            assert_eq!(error.may_have_applied(), matches!(error, StoreError::NoAnswer { .. }), "ORA-{code:05}");
        }
    }
}

#[test]
fn a_driver_error_without_code_is_understood_by_its_first_line() {
    let lines = [
        ("DPI-1080: connection was closed by ORA-03113", Some(3113)),
        ("DPI-1067: call timeout of 200 ms exceeded with ORA-03136\u{1}garbage ORA-00001", Some(3136)),
        ("DPI-1010: not connected", None),
        ("ORA-", None),
        ("ORA-99999999999999999999", None),
    ];
    for (line, code) in lines {
        assert_eq!(code_in(line), code, "{line}");
    }
    for (dpi, expected) in [(1067, Meaning::TimedOut), (1080, Meaning::SessionLost), (1010, Meaning::SessionLost)] {
        assert_eq!(meaning(0, Some(dpi), ErrorKind::DpiError), expected, "DPI-{dpi}");
    }
}

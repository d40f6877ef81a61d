use super::*;

/// Every code of the table, by what it means for a statement.
const TABLE: &[(&[i32], &str)] = &[
    (&[54, 60, 8177, 30_006, 4020], "conflict"),
    (&[4068, 4061, 4065, 932, 1007], "conflict"),
    (
        &[
            22, 28, 31, 45, 378, 602, 603, 609, 1012, 1041, 1043, 1092, 2396, 3113, 3114, 3122, 3135, 12_153, 12_537,
            12_547, 12_570, 12_583, 27_146, 28_511, 56_600, 25_401, 25_402, 25_403, 25_404, 25_405, 25_406, 25_407,
            25_408, 25_409,
        ],
        "no_answer",
    ),
    (
        &[12_514, 12_516, 12_518, 12_519, 12_520, 12_528, 12_541, 12_543, 12_545, 12_170, 1033, 1034, 1089, 1090],
        "unreachable",
    ),
    (&[3136, 3156, 1013, 40, 2391], "no_answer"),
    (&[1555, 1466, 8181, 8180], "snapshot_lost"),
    (&[1], "ALREADY_EXISTS"),
    (&[1400, 1407], "MISSING_VALUE"),
    (&[1438, 1426, 1455, 1841], "OUT_OF_RANGE"),
    (
        &[
            1722, 1830, 1831, 1832, 1833, 1834, 1835, 1836, 1837, 1838, 1839, 1840, 1842, 1843, 1844, 1845, 1846, 1847,
            1848, 1849, 1850, 1851, 1852, 1853, 1854, 1855, 1856, 1857, 1858, 1859, 1860, 1861, 1878, 1403, 1476, 6502,
        ],
        "BAD_VALUE",
    ),
    (&[2290, 20_001, 20_999], "REFUSED_BY_RULE"),
    (&[2291, 2292], "STILL_REFERENCED"),
    (&[12_899, 1401, 1461], "TOO_LONG"),
    (&[1017, 28_000, 28_001, 28_002, 1031, 942, 904, 4043, 12_154, 12_505], "misfit"),
    (&[24_418, 24_457, 24_459, 18, 20, 257, 4030, 4031], "unreachable"),
    (&[1536, 1631, 1632, 1653, 1654, 1688, 1691, 16_000, 30_036], "unwritable"),
    (&[8004], "exhausted"),
    (&[34, 600, 7445, 3137, 12_704, 1489, 1422, 1427, 2289, 14_400, 99_999], "misfit"),
];

fn named(error: &StoreError) -> String {
    match error {
        StoreError::Refused { refusal, .. } => refusal.code.clone(),
        error if error.is_exhausted() => "exhausted".to_owned(),
        other => other.kind().to_owned(),
    }
}

#[test]
fn every_code_has_one_meaning() {
    for (codes, expected) in TABLE {
        for code in *codes {
            let error = of_code(Side::Legacy, Duration::from_secs(1), *code);
            assert_eq!(named(&error), *expected, "ORA-{code:05}");
        }
    }
}

/// Whatever comes while a commit is on its way leaves its outcome open, known to us or not, but for the one code that
/// says that all was undone.
#[test]
fn at_a_commit_one_code_alone_means_that_nothing_was_written() {
    let listed = TABLE.iter().flat_map(|(codes, _)| codes.iter().copied());
    for code in listed.chain([0, 2050, 2054, 3150, 12_161, 12_560, 12_571]) {
        assert_eq!(undone_by(code, "ORA-00001: unique constraint\nORA-00001"), None, "ORA-{code:05}");
    }
    let cases = [
        ("ORA-02091: transaction rolled back\nORA-00001: unique constraint (X.Y) violated", "ALREADY_EXISTS"),
        ("ORA-02091: transaction rolled back\nORA-02291: integrity constraint violated", "STILL_REFERENCED"),
        ("ORA-02091: transaction rolled back\nORA-02290: check constraint violated", "REFUSED_BY_RULE"),
        ("ORA-02091: transaction rolled back\nORA-03113: garbage", "REFUSED_BY_RULE"),
        ("ORA-02091: transaction rolled back", "REFUSED_BY_RULE"),
    ];
    for (text, expected) in cases {
        assert!(matches!(undone_by(2091, text), Some(Meaning::Refused(code, _)) if code == expected), "{text}");
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

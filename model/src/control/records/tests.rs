use proptest::prelude::*;

use super::*;

fn records(keys: impl IntoIterator<Item = u64>, bits: usize) -> Records {
    let mut records = Records::of_bits(bits);
    keys.into_iter().for_each(|key| records.add(Mark::of("Product", &format!("[\"{key}\"]"))));
    records
}

#[test]
fn a_record_counts_once_however_often_it_was_compared() {
    let mut records = records(0..500, BITS_OF_A_SLOT);
    let before = records.clone();
    (0..100_000).for_each(|_| records.add(Mark::of("Product", "[\"7\"]")));
    assert_eq!(records, before);
    assert!(records.estimate().abs_diff(500) <= 20, "{}", records.estimate());
    assert_ne!(Mark::of("Product", "1"), Mark::of("Produc", "t1"));
}

#[test]
fn who_chooses_the_keys_cannot_make_a_few_seem_many() {
    // GIVEN somebody who knows the hash, and asks only for records that set a bit each
    let mut chosen = Records::of_bits(BITS_OF_AN_HOUR);
    let (mut asked, mut key) = (0_u64, 0_u64);
    while asked < 10_000 {
        let before = chosen.clone();
        chosen.add(Mark::of("Product", &key.to_string()));
        asked += u64::from(chosen != before);
        key += 1;
    }
    // THEN ten thousand seem less than sixteen thousand, and not the thirty thousand that a gate asks for
    assert!(chosen.estimate() < 16_000, "{}", chosen.estimate());
}

#[test]
fn the_estimate_is_near_up_to_what_the_documentation_says_and_then_a_lower_bound() {
    for (count, bits) in
        [(0, BITS_OF_A_SLOT), (1, BITS_OF_A_SLOT), (10_000, BITS_OF_A_SLOT), (100_000, BITS_OF_AN_HOUR)]
    {
        let off = records(0..count, bits).estimate().abs_diff(count);
        assert!(off * 10 <= count, "{count}: off by {off}");
    }
    assert!((15_000..16_000).contains(&records(0..300_000, BITS_OF_A_SLOT).estimate()));
}

fn found() -> impl Strategy<Value = Found> {
    (
        prop::collection::vec(0..4_000u64, 0..80),
        prop::collection::btree_set(0..9_000u64, 0..200),
        any::<bool>(),
        0..9i64,
    )
        .prop_map(|(compared, wrong, small, second)| {
            let at = chrono::DateTime::from_timestamp(1_800_000_000 + second, 0).map(Instant::new);
            Found {
                records: records(compared, if small { 64 } else { 256 }),
                wrong: wrong.into_iter().map(Mark).collect(),
                answered: 3,
                first: at,
                last: at,
                ..Found::default()
            }
        })
}

proptest! {
    #[test]
    fn findings_add_up_in_any_order_and_survive_being_stored(all in prop::collection::vec(found(), 0..5)) {
        let sum = |all: &mut dyn Iterator<Item = &Found>| all.fold(Found::default(), |mut sum, one| {
            sum.merge(one);
            sum
        });
        let forth = sum(&mut all.iter());
        prop_assert_eq!(&forth, &sum(&mut all.iter().rev()));
        prop_assert!(forth.wrong.len() <= MOST_WRONG);
        let json = serde_json::to_string(&forth).unwrap();
        prop_assert_eq!(serde_json::from_str::<Found>(&json).unwrap(), forth);
    }

    #[test]
    fn any_text_is_a_map_or_an_error(text in "[A-Za-z0-9_!-]{0,40}") {
        let _ = serde_json::from_value::<Records>(text.into());
    }
}

//! What a decision costs: bucket of the key, and who answers.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use data_plane::route::decide;
use model::{Bucket, Epoch, GroupName, Percentage, Policy, Stage};

fn deciding(criterion: &mut Criterion) {
    let share = |percent: f64| Percentage::try_from(percent).expect("a percentage");
    let policy = Policy::new(Stage::Shift, share(25.0), share(10.0), Epoch(1)).expect("shift takes any share");
    let group = GroupName::from("inventory");
    criterion.bench_function("decide for a key", |bencher| {
        bencher.iter(|| {
            let place = Bucket::of(black_box(&group), black_box("BLT-000010/BER1"));
            decide(black_box(&policy), place, false, Bucket::FIRST)
        });
    });
}

criterion_group!(benches, deciding);
criterion_main!(benches);

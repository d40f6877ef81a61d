//! What one comparison costs the proxy: a record of 12 fields, equal and different, and a list of 50.

use std::hint::black_box;
use std::sync::Arc;

use chrono::NaiveDate;
use criterion::{Criterion, criterion_group, criterion_main};
use model::contract::{ColumnType, Compare, Field, Home};
use model::{Decimal, EntityKey, EntityType, Instant, Kind, PerSide, Record, Value};
use shadow_compare::{Answer, Asked, Excuses, Question, judge};

const KINDS: [Kind; 4] = [Kind::Text, Kind::Int, Kind::Decimal, Kind::Instant];

fn entity() -> Arc<EntityType> {
    let home = || Home::new("C", ColumnType::Varchar(None));
    let field = |place: usize| Field {
        name: format!("field{place}").as_str().into(),
        kind: KINDS[place % KINDS.len()],
        nullable: true,
        home: PerSide { legacy: home(), modern: home() },
        compare: Compare { scale: Some(2), to_seconds: true, ..Compare::default() },
        sensitive: false,
        stamped: false,
    };
    let table = PerSide { legacy: "T".into(), modern: "t".into() };
    let fields = (0..12).map(field).collect();
    let entity = EntityType::new("Item".into(), "inventory".into(), table, fields, &["field0"]);
    Arc::new(entity.expect("field0 exists"))
}

fn record(entity: &EntityType, row: i64, cents: i64) -> Record {
    let mut record = Record::empty(entity);
    for index in entity.all_fields().iter() {
        let value = match entity.field(index).kind {
            Kind::Text => Value::text(format!("text {row}")),
            Kind::Int => Value::Int(row),
            Kind::Bool => Value::Bool(true),
            Kind::Decimal => Value::Decimal(format!("{row}.{cents:03}").parse::<Decimal>().expect("a number")),
            Kind::Instant => Value::Instant(Instant::parse("2026-01-31T08:00:00.123Z").expect("an instant")),
        };
        record.set(index, value);
    }
    record
}

fn judging(criterion: &mut Criterion) {
    let entity = entity();
    let excuses = Excuses::of_contract(NaiveDate::from_ymd_opt(2026, 1, 31).expect("a day"));
    let rows =
        |count: i64, cents| -> Answer { (0..count).map(|row| record(&entity, row, cents)).collect::<Vec<_>>().into() };
    let question = |asked| Question { entity: entity.clone(), fields: entity.all_fields(), asked };
    let key = EntityKey::new("Item".into(), vec!["text 0".into()]);
    let keyed = question(Asked::Keys(vec![key]));
    let list = question(Asked::List { ordered: false, params: "{}".into() });

    let cases = [
        ("record of 12 fields, equal", &keyed, 1, 345, 345),
        ("record of 12 fields, 3 equal by rounding", &keyed, 1, 345, 350),
        ("record of 12 fields, 3 different", &keyed, 1, 345, 999),
        ("list of 50, equal", &list, 50, 345, 345),
        ("list of 50, every row different", &list, 50, 345, 999),
    ];
    let mut group = criterion.benchmark_group("judge");
    for (name, question, count, legacy, modern) in cases {
        let answers = PerSide { legacy: rows(count, legacy), modern: rows(count, modern) };
        group.bench_function(name, |bencher| {
            bencher.iter(|| judge(black_box(question), black_box(&answers), &excuses));
        });
    }
    group.finish();
}

criterion_group!(benches, judging);
criterion_main!(benches);

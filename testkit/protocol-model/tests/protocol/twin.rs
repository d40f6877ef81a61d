//! The model's fences are read as the program reads its own: what was checked of one holds for the other.

use model::{Epoch, PerSide};
use protocol_model::{Authority, Fence, Side, Stand};

const STANDS: [(Stand, model::Stand); 4] = [
    (Stand::Open, model::Stand::Open),
    (Stand::Frozen, model::Stand::Frozen),
    (Stand::Closed, model::Stand::Closed),
    (Stand::Alone, model::Stand::Alone),
];

fn side(side: model::Side) -> Side {
    match side {
        model::Side::Legacy => Side::Legacy,
        model::Side::Modern => Side::Modern,
    }
}

fn number(epoch: Epoch) -> u8 {
    u8::try_from(epoch.0).expect("small")
}

#[test]
fn every_pair_of_fences_means_the_same_to_the_model_and_to_the_program() {
    for (a, b) in (1..5u8).flat_map(|a| (1..5u8).map(move |b| (a, b))) {
        for ((legacy, own_legacy), (modern, own_modern)) in STANDS.iter().flat_map(|a| STANDS.map(|b| (*a, b))) {
            let told = Authority::of([Fence::new(a, legacy), Fence::new(b, modern)]);
            let own = model::Authority::of(&PerSide {
                legacy: model::Fence::new(Epoch(a.into()), own_legacy),
                modern: model::Fence::new(Epoch(b.into()), own_modern),
            });
            let own = match own {
                model::Authority::Held { by, epoch } => Authority::Held(side(by), number(epoch)),
                model::Authority::Frozen { last, epoch } => Authority::Frozen(side(last), number(epoch)),
                model::Authority::GivenUp { back, epoch } => Authority::GivenUp(side(back), number(epoch)),
                model::Authority::Alone { epoch } => Authority::Alone(number(epoch)),
                // Only of a fence that nobody has moved, which the model does not have.
                model::Authority::Unopened | model::Authority::Broken => Authority::Broken,
            };
            assert_eq!(told, own, "{a} {legacy:?}, {b} {modern:?}");
        }
    }
}

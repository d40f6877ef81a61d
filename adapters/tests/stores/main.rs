//! Every store passes the contract suite; what only PostgreSQL can show is beside it.

#[cfg(test)]
mod altered;
#[cfg(test)]
mod any_oracle;
#[cfg(test)]
mod both;
#[cfg(test)]
mod cancels;
#[cfg(test)]
mod checksum;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod contracts;
#[cfg(test)]
mod counts;
#[cfg(test)]
mod encrypted;
#[cfg(test)]
mod exhausted;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod inspect;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod keyless;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod left_out;
#[cfg(test)]
mod not_taken;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod own_keys;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod races;
#[cfg(test)]
mod rehearsals;
#[cfg(test)]
mod road;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod small_limits;
#[cfg(test)]
mod standby;
#[cfg(test)]
mod starts;
#[cfg(test)]
mod upgrades;
#[cfg(test)]
mod zones;

use std::sync::Arc;

use model::{Role, Side};
use testkit::contract::{Subject, WITHIN};
use testkit::inventory;

mod memory {
    use testkit::begin::Begin as _;

    use super::{Arc, Role, Side, Subject, WITHIN, inventory};

    async fn make() -> (Subject, ()) {
        let store: Subject = Arc::new(inventory::in_memory(Side::Modern));
        let prepared = store.begin_as(&[inventory::group()], Role::Primary, WITHIN).await;
        prepared.expect("prepared");
        (store, ())
    }

    testkit::store_contract!(make);
}

mod postgres_as_legacy {
    use super::postgres::Fixture;
    use super::{Side, Subject};

    async fn make() -> (Subject, Fixture) {
        let fixture = Fixture::new(Side::Legacy).await;
        (fixture.subject(), fixture)
    }

    testkit::store_contract!(make);
}

mod oracle_as_legacy {
    use super::any_oracle::Fixture;
    use super::{Side, Subject};

    async fn make() -> (Subject, Fixture) {
        let fixture = Fixture::new(Side::Legacy).await;
        (fixture.subject(), fixture)
    }

    testkit::store_contract!(make);
}

mod oracle_as_modern {
    use super::any_oracle::Fixture;
    use super::{Side, Subject};

    async fn make() -> (Subject, Fixture) {
        let fixture = Fixture::new(Side::Modern).await;
        (fixture.subject(), fixture)
    }

    testkit::store_contract!(make);
}

mod postgres_as_modern {
    use super::postgres::Fixture;
    use super::{Side, Subject};

    async fn make() -> (Subject, Fixture) {
        let fixture = Fixture::new(Side::Modern).await;
        (fixture.subject(), fixture)
    }

    testkit::store_contract!(make);
}

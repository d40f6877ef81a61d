//! As secondary: states that are newer than what is recorded for their key, where nobody else has changed the row.
//!
//! 1. Take the fences of the groups, shared: who opens one waits for us. Raise the version rows that are older, in key
//!    order, where the fence is not open: the rows that were raised are locked, and newer.
//! 2. Record the first version of keys that have none. Whoever did so meanwhile wins the row; then 1. again for it.
//! 3. Lock the rows of the newer ones and compare their numbers with what we left (`stands`).
//! 4. Put or delete the rows, and look once more: what stands now must be what was written; its number is kept.
//! 5. Carry the ledger rows along of writes that stand as a whole. Then commit.
//!
//! Where a write cannot be applied, undo it all and begin again without it. Each step is one statement for all rows: one
//! round trip. Keys are taken in order in each of them; two batches may still block each other, and one of them gets
//! `Conflict`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use model::foreign::Found;
use model::{
    Applied, Change, Contract, EntityKey, EntityName, Incarnation, Recorded, Side, StoreError, Unnumbered, WriteId,
};

use super::bind::Bind;
use super::session::Session;
use super::table::{Table, bucket, misfit};
use super::write_text::{first_version, raise_version};
use super::{bookkeeping, carry, error, ledger, own_keys, read, row_steps, stands, wire};
use crate::gate::Gate;
use crate::id_map::Numbers;
use crate::known::Known;
use crate::order::{Order, Turn};

/// What one transaction came to, not committed yet.
#[derive(Default)]
struct Done {
    newer: HashSet<usize>,
    /// Those of them whose row was there, and nobody knows whose it was.
    unproven: HashSet<EntityKey>,
    /// What stands in place of the others.
    winners: HashMap<EntityKey, Recorded>,
    /// Rows that somebody else has changed, and that were overwritten.
    met: HashMap<EntityKey, Found>,
    /// Changes that must be left out with their writes, and their answers. Then nothing is committed.
    out: Vec<(EntityKey, Applied)>,
    /// Writes whose idempotency key another one has.
    taken: HashMap<WriteId, WriteId>,
}

/// See `Store::apply`, with `over` `Store::apply_over`, and `Lives::bring_back`.
pub(super) fn apply<'c>(
    session: &mut Session,
    contract: &Contract,
    side: Side,
    changes: &'c [Change],
    over: bool,
    gate: Gate,
    known: &Known,
) -> Result<Vec<Applied>, StoreError> {
    let keys: Vec<_> = changes.iter().map(|change| change.key.clone()).collect();
    read::require_batch(side, None, &keys)?;
    if keys.iter().collect::<HashSet<_>>().len() < keys.len() {
        return Err(misfit(side, "two changes of one key in one call"));
    }
    let (kept, gone): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.state.is_some());
    let keys = |changes: Vec<&'c Change>| changes.into_iter().map(|change| &change.key);
    let mut numbers = own_keys::of_keys(session, contract, side, keys(kept), Unnumbered::Number)?;
    numbers.extend(own_keys::of_keys(session, contract, side, keys(gone), Unnumbered::Leave)?);
    let mut order: Vec<usize> = (0..changes.len()).collect();
    order.sort_by_key(|place| {
        let key = &changes[*place].key;
        (key.entity(), key.as_text())
    });
    let call = Call { contract, side, changes, numbers: &numbers, over, gate, known };
    let mut out: HashMap<EntityKey, Applied> = HashMap::new();
    let mut taken: HashMap<WriteId, WriteId> = HashMap::new();
    // Ends: each round leaves at least one write out, or knows one key more that is taken.
    while !order.is_empty() {
        let done = match call.transact(session, &order, &taken) {
            Ok(done) => done,
            Err(error) => {
                session.roll_back();
                return Err(error);
            }
        };
        if done.out.is_empty() && done.taken.len() == taken.len() {
            session.commit()?;
            return call.answers(&order, done, out);
        }
        session.roll_back();
        taken = done.taken;
        let left_out: HashMap<EntityKey, Applied> = done.out.into_iter().collect();
        let concerned = changes.iter().filter(|change| left_out.contains_key(&change.key));
        let writes: HashSet<WriteId> = concerned.map(|change| change.write).collect();
        order.retain(|place| !writes.contains(&changes[*place].write));
        out.extend(left_out);
    }
    call.answers(&order, Done::default(), out)
}

/// What a call works with.
struct Call<'a> {
    contract: &'a Contract,
    side: Side,
    changes: &'a [Change],
    numbers: &'a Numbers,
    /// Whether what somebody else has made of a row is overwritten.
    over: bool,
    gate: Gate,
    /// Keeps the order in which tables are changed.
    known: &'a Known,
}

impl Call<'_> {
    /// One answer per change: `order` are the places that went through.
    fn answers(
        &self,
        order: &[usize],
        mut done: Done,
        mut out: HashMap<EntityKey, Applied>,
    ) -> Result<Vec<Applied>, StoreError> {
        let through: HashSet<_> = order.iter().collect();
        let slot = |(place, change): (usize, &Change)| {
            if !through.contains(&place) {
                return Ok(out.remove(&change.key).unwrap_or(Applied::Held));
            }
            if let Some(other) = done.taken.get(&change.write).filter(|_| change.idempotency.is_some()) {
                return Ok(Applied::KeyTaken(*other));
            }
            if done.unproven.contains(&change.key) {
                return Ok(Applied::Unproven);
            }
            if done.newer.contains(&place) {
                return Ok(done.met.remove(&change.key).map_or(Applied::Newer, Applied::Over));
            }
            match done.winners.get(&change.key) {
                Some(winner) if winner.write == change.write => Ok(Applied::There),
                Some(winner) => Ok(Applied::Stale(*winner)),
                None => Err(misfit(self.side, "a version was recorded and is not there: does something hide its row?")),
            }
        };
        self.changes.iter().enumerate().map(slot).collect()
    }

    /// Everything but the commit; stops early where a write must be left out.
    fn transact(
        &self,
        session: &mut Session,
        order: &[usize],
        taken: &HashMap<WriteId, WriteId>,
    ) -> Result<Done, StoreError> {
        let Self { contract, side, changes, .. } = *self;
        let open: Vec<&Change> = order.iter().map(|place| &changes[*place]).collect();
        bookkeeping::lock_fences(session, contract, side, &open)?;
        let proves = match self.gate {
            Gate::Secondary(source) => Some((contract, source)),
            Gate::GoneBack(of, _) if bookkeeping::holds_gone_back(session, of)? => None,
            Gate::GoneBack(..) => {
                let barred = open.iter().map(|change| (change.key.clone(), Applied::Barred));
                return Ok(Done { out: barred.collect(), ..Done::default() });
            }
        };
        let raised = raise(session, changes, order, &[], proves)?;
        let barred = raised.barred.iter().map(|place| (changes[*place].key.clone(), Applied::Barred));
        let mut done = Done { newer: raised.newer, out: barred.collect(), ..Done::default() };
        if !done.out.is_empty() {
            return Ok(done);
        }
        let late = order.iter().filter(|place| !done.newer.contains(place)).map(|place| &changes[*place].key);
        done.winners = carry::recorded_of(session, side, &late.collect::<Vec<_>>())?;
        self.change(session, order, &mut done)?;
        if done.out.is_empty() {
            let newer = |place: &usize| done.newer.contains(place);
            let there = |change: &Change| done.winners.get(&change.key).is_some_and(|won| won.write == change.write);
            let waits = |place: &&usize| !self.gate.carries_late() && !newer(place) && !there(&changes[**place]);
            let late = order.iter().filter(waits);
            let late: HashSet<WriteId> = late.map(|place| changes[*place].write).collect();
            let whole = open.iter().copied().filter(|change| !late.contains(&change.write));
            done.taken = carry::carry(session, contract, side, &whole.collect::<Vec<_>>(), taken)?;
        }
        Ok(done)
    }

    /// In which order the tables are changed. Asked of the catalogue once, and where there are several.
    fn turns(&self, session: &mut Session, order: &[usize]) -> Result<Arc<Order>, StoreError> {
        let mut types = order.iter().map(|place| self.changes[*place].key.entity());
        let first = types.next();
        match self.known.order() {
            Some(turns) => Ok(turns),
            None if types.all(|other| Some(other) == first) => Ok(Arc::default()),
            None => {
                let references = row_steps::references(session, self.contract, self.side)?;
                Ok(self.known.ordered(Order::of(self.contract.entities.keys(), &references)))
            }
        }
    }

    /// Changes the rows of the changes that are newer, and verifies them.
    fn change(&self, session: &mut Session, order: &[usize], done: &mut Done) -> Result<(), StoreError> {
        let mut shapes: BTreeMap<(Turn, &EntityName, Vec<usize>), Vec<&Change>> = BTreeMap::new();
        let turns = self.turns(session, order)?;
        for change in order.iter().filter(|place| done.newer.contains(place)).map(|place| &self.changes[*place]) {
            let fields = change.state.as_ref().map(|record| record.fields()).unwrap_or_default();
            let shape = fields.iter().map(|index| index.get()).collect();
            shapes.entry((turns.turn(change), change.key.entity(), shape)).or_default().push(change);
        }
        let mut tables = Vec::with_capacity(shapes.len());
        for ((_, name, _), changes) in shapes {
            let table =
                Table::new(ledger::entity(self.contract, self.side, name.as_str())?, self.side).with(self.numbers);
            let looked = stands::look(session, table, &changes, self.gate.leaves_unproven())?;
            done.out.extend(looked.hidden.into_iter().map(|key| (key, Applied::NotThere)));
            done.unproven.extend(looked.unproven);
            if self.over {
                done.met.extend(looked.foreign);
            } else {
                done.out.extend(looked.foreign.into_iter().map(|(key, found)| (key, Applied::Foreign(found))));
            }
            tables.push((table, changes, looked.standing));
        }
        if !done.out.is_empty() {
            return Ok(());
        }
        let mut acts = Vec::new();
        for (table, changes, standing) in &tables {
            acts.extend(row_steps::acts(*table, changes, standing)?);
        }
        row_steps::run(session, acts)?;
        // After all of them: a trigger of one may change the rows of another.
        for (table, changes, _) in tables {
            done.out.extend(stands::verify(session, table, &changes)?);
        }
        Ok(())
    }
}

/// Version rows that are looked at by one statement.
const KEPT_AT_ONCE: usize = 64;

/// The shape of a row's number, and the number.
pub(super) type Number = (i64, i64);

/// What became of version rows.
struct Raised {
    /// The places whose version was recorded.
    newer: HashSet<usize>,
    /// The places of groups whose fence is open here, or missing.
    barred: HashSet<usize>,
}

/// Records the versions of a primary's own writes, with the `numbers` of all rows. The places whose version was
/// recorded.
pub(super) fn record_versions(
    session: &mut Session,
    changes: &[Change],
    order: &[usize],
    numbers: &[Number],
) -> Result<HashSet<usize>, StoreError> {
    raise(session, changes, order, numbers, None).map(|raised| raised.newer)
}

/// That our version rows are what they were just told to be: a trigger may keep a row as it was, and the statement counts
/// all the same. Asked in the transaction of the write, which fails with it.
fn require_kept(session: &mut Session, changes: &[Change], places: &HashSet<usize>) -> Result<(), StoreError> {
    let mut asked: Vec<&Change> = places.iter().map(|place| &changes[*place]).collect();
    // Statements of few lengths, for the sake of the server's cache: the last row is named more than once.
    let one = |first: usize| {
        format!(
            "(v.entity = :{first} AND v.key = :{} AND v.write_id = :{} AND v.position = :{})",
            first + 1,
            first + 2,
            first + 3
        )
    };
    asked.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    for page in asked.chunks(KEPT_AT_ONCE) {
        let count = bucket(page.len());
        let rows: Vec<String> = (0..count).map(|row| one(row * 4 + 1)).collect();
        let text = format!("SELECT COUNT(*) FROM strangler_version v WHERE {}", rows.join(" OR "));
        let last = page.len() - 1;
        let binds: Vec<Bind> = (0..count)
            .map(|row| page[row.min(last)])
            .flat_map(|change| {
                [
                    Bind::text(change.key.entity().as_str()),
                    Bind::text(change.key.as_text()),
                    Bind::write(change.write),
                    Bind::number(change.version.position.0),
                ]
            })
            .collect();
        let found = session.query(&text, &binds, 1)?;
        if found.first().and_then(|row| wire::number::<usize>(row, 0)) != Some(page.len()) {
            let problem = "strangler_version keeps another row than it was told: drop the trigger on it";
            return Err(misfit(session.side, problem));
        }
    }
    Ok(())
}

/// Steps 1 and 2. Who knows the `numbers` of all rows by now has them recorded in passing; who is `secondary` proves that
/// the fence of each change's group is not open, and that the other side lives as it was last read.
fn raise(
    session: &mut Session,
    changes: &[Change],
    order: &[usize],
    numbers: &[Number],
    secondary: Option<(&Contract, Incarnation)>,
) -> Result<Raised, StoreError> {
    let (numbered, proves) = (!numbers.is_empty(), secondary.is_some());
    let (raise, first) = (raise_version(numbered, proves), first_version(numbered, proves));
    let number = |place: usize| numbers.get(place).copied();
    let side = session.side;
    let proof = |place: usize| -> Result<Vec<Bind>, StoreError> {
        let Some((contract, source)) = secondary else { return Ok(Vec::new()) };
        let entity = ledger::entity(contract, side, changes[place].key.entity().as_str())?;
        Ok(bookkeeping::proof(side, &entity.group, source))
    };
    let mut raised = Raised { newer: HashSet::new(), barred: HashSet::new() };
    let mut open = order.to_vec();
    // Once for versions that are there, once more for those that others record meanwhile.
    for _ in 0..2 {
        let mut rows = Vec::with_capacity(open.len());
        for place in &open {
            let mut binds = raise_binds(&changes[*place], number(*place));
            binds.extend(proof(*place)?);
            rows.push(binds);
        }
        let counts = session.batch_all(&raise, &rows)?;
        let (done, left): (Vec<_>, Vec<_>) = open.iter().zip(counts).partition(|(_, raised)| *raised > 0);
        raised.newer.extend(done.into_iter().map(|(place, _)| *place));
        let left: Vec<usize> = left.into_iter().map(|(place, _)| *place).collect();
        let mut rows = Vec::with_capacity(left.len());
        for place in &left {
            let mut binds = version_binds(&changes[*place], number(*place));
            binds.extend(proof(*place)?);
            rows.push(binds);
        }
        let mut taken = Vec::new();
        for (place, recorded) in left.iter().zip(session.batch(&first, &rows)?) {
            match recorded {
                Ok(1) => {
                    raised.newer.insert(*place);
                }
                Ok(0) if proves => {
                    raised.barred.insert(*place);
                }
                Ok(_) => {
                    return Err(misfit(side, "the version of a key was not recorded: does something hide its row?"));
                }
                Err(error::EXISTS) => taken.push(*place),
                Err(code) => return Err(session.of_code(code)),
            }
        }
        open = taken;
        if open.is_empty() {
            break;
        }
    }
    require_kept(session, changes, &raised.newer)?;
    Ok(raised)
}

fn version_binds(change: &Change, number: Option<Number>) -> Vec<Bind> {
    let version = change.version;
    let mut binds = vec![
        Bind::number(version.epoch.0),
        Bind::number(version.incarnation.0),
        Bind::number(version.position.0),
        Bind::write(change.write),
        Bind::text(if change.state.is_none() { "Y" } else { "N" }),
    ];
    binds.extend(number.into_iter().flat_map(|(shape, number)| [Bind::number(shape), Bind::number(number)]));
    binds.extend([Bind::text(change.key.entity().as_str()), Bind::text(change.key.as_text())]);
    binds
}

fn raise_binds(change: &Change, number: Option<Number>) -> Vec<Bind> {
    let version = change.version;
    let (epoch, incarnation) = (Bind::number(version.epoch.0), Bind::number(version.incarnation.0));
    let mut binds = version_binds(change, number);
    binds.extend([epoch.clone(), epoch, incarnation.clone(), incarnation, Bind::number(version.position.0)]);
    binds
}

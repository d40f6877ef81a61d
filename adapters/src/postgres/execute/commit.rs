//! The second round trip of a write: its ledger rows, which prove the fence, and the commit. What stood before, where it
//! is a repeat.
//!
//! Every way on which the rows are not there, or the versions have not risen, fails inside the insert: so nothing is
//! committed that the ledger does not have.

use std::collections::HashMap;

use model::write::went_back;
use model::{Base, Change, Incarnation, Position, States, StoreError, Version, Written};

use tokio_postgres::Row;

use super::Plan;
use crate::postgres::session::Session;
use crate::postgres::{error, ledger, pipeline, read, wire};

impl Plan<'_> {
    /// The second round trip.
    pub(super) async fn commit(&self, session: &Session, states: States) -> Result<Written, StoreError> {
        let step = ledger::insert(self.contract, self.side, self.command, &states)?;
        let statement = session.prepare(&[&step.text]).await?.remove(0);
        let mut answers = pipeline::close(session, &[(statement, step.values)]).await?;
        let inserted = match answers.remove(0) {
            Ok(answer) => answer,
            Err(error) if error::is_fence(&error) => {
                return Err(StoreError::Fenced { side: self.side });
            }
            Err(error) if error::is_suspension(&error) => {
                return Err(StoreError::suspended(self.side));
            }
            Err(error) if error.code().is_some_and(|code| code.code() == ledger::UNWRITTEN) => {
                let problem = "strangler_ledger keeps no row of a write: a trigger, rule or policy is on it";
                return Err(read::misfit(self.side, problem.into()));
            }
            Err(error) if error.code().is_some_and(|code| code.code() == ledger::WENT_BACK) => {
                let types = self.touches.iter().map(|key| key.entity());
                return Err(read::misfit(self.side, went_back(types)));
            }
            Err(error) => {
                return match error::unique_constraint(&error) {
                    Some(error::constraint::WRITE_ID) => self.repeated(session, error).await,
                    Some(error::constraint::IDEMPOTENCY_KEY) => self.before(session).await,
                    Some(_) | None => Err(session.error(error)),
                };
            }
        };
        // It is proven that there is one: what cannot be read is known to stand all the same.
        let Some(row) = inserted.rows.first() else { return Err(session.no_answer()) };
        let unreadable = |_: StoreError| session.no_answer();
        let incarnation = wire::number(self.side, row, 0).map_err(unreadable)?;
        let position = wire::number(self.side, row, 1).map_err(unreadable)?;
        let version =
            Version { epoch: self.command.epoch, incarnation: Incarnation(incarnation), position: Position(position) };
        let bases = self.bases(&inserted.rows).map_err(unreadable)?;
        Ok(Written::Now(self.changes(states, version, &bases)))
    }

    /// What each key's version row said before, by ordinal.
    fn bases(&self, rows: &[Row]) -> Result<HashMap<u16, Base>, StoreError> {
        let mut bases = HashMap::new();
        for row in rows {
            let ordinal: i16 = wire::get(self.side, row, 2)?;
            let base = ledger::base(self.side, wire::get(self.side, row, 3)?)?;
            bases.extend(base.map(|base| (ordinal.cast_unsigned(), base)));
        }
        Ok(bases)
    }

    fn changes(&self, states: States, version: Version, bases: &HashMap<u16, Base>) -> Vec<Change> {
        let numbered = (0_u16..).zip(states);
        let change = |(ordinal, (key, state))| Change {
            write: self.command.write,
            ordinal,
            key,
            version,
            state,
            idempotency: self.command.idempotency.clone().filter(|_| ordinal == 0),
            base: bases.get(&ordinal).copied(),
        };
        numbered.map(change).collect()
    }

    /// The first result of the idempotency key.
    pub(super) async fn before(&self, session: &Session) -> Result<Written, StoreError> {
        let Some((key, fingerprint)) = &self.command.idempotency else {
            return Err(read::misfit(self.side, "a repeat without idempotency key".into()));
        };
        let found = ledger::by_idempotency_key(session, self.contract, self.side, key).await?;
        if found.fingerprint.as_ref() != Some(fingerprint) {
            return Err(StoreError::KeyReused);
        }
        Ok(Written::Before(found.changes))
    }

    /// The write id is in the ledger: it stands already, or was abandoned meanwhile.
    async fn repeated(&self, session: &Session, error: tokio_postgres::Error) -> Result<Written, StoreError> {
        let write = self.command.write;
        let found = ledger::by_write_id(session, self.contract, self.side, write).await?;
        if found.abandoned {
            return Err(StoreError::Conflict { side: self.side, source: Box::new(error) });
        }
        Ok(Written::Before(found.changes))
    }
}

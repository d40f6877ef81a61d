//! The part of the port that is about shapes.

use std::time::Duration;

use async_trait::async_trait;
use model::shape::Remembered;
use model::{GroupName, NotRead, Shape, ShapeLog, StoreError};

use super::PostgresStore;
use crate::postgres::session::Use;
use crate::postgres::shapes;

#[async_trait]
impl ShapeLog for PostgresStore {
    async fn shapes(&self, within: Duration) -> Result<Vec<Remembered>, StoreError> {
        look!(self, within, |session| shapes::read(&session, self.side))
    }

    async fn register(&self, shape: &Shape, after: u32, within: Duration) -> Result<bool, StoreError> {
        call!(self, Use::Write, within, |session| shapes::register(&session, shape, after))
    }

    async fn remember_shape(&self, shape: &Shape, within: Duration) -> Result<(), StoreError> {
        call!(self, Use::Write, within, |session| shapes::remember(&session, shape))
    }

    async fn left_to_newer(
        &self,
        group: &GroupName,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<NotRead>, StoreError> {
        let (contract, side, known) = (&self.contract, self.side, &self.known);
        look!(self, within, |session| shapes::left_to_newer(&session, contract, side, known, group, limit))
    }
}

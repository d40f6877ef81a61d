//! Live figures: the same questions, answered again and again.

use std::time::Duration;

use async_graphql::{Context, Result, Subscription};
use futures::Stream;

use super::query::Group;
use super::{at_least, desk, shown};
use crate::auth::Role;

/// The shortest pause between two answers.
const SHORTEST: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST: Duration = Duration::from_secs(60);

/// Live figures.
pub struct Subscription;

#[Subscription]
impl Subscription {
    /// Every group, now and every so often.
    #[graphql(guard = "at_least(Role::Viewer)")]
    async fn groups(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "From 500 to 60000", default = 2_000)] every_millis: u32,
    ) -> Result<impl Stream<Item = Result<Vec<Group>>> + use<>> {
        let desk = desk(context)?.clone();
        let pause = Duration::from_millis(every_millis.into()).clamp(SHORTEST, LONGEST);
        Ok(futures::stream::unfold((desk, false), move |(desk, waited)| async move {
            if waited {
                tokio::time::sleep(pause).await;
            }
            let groups = desk.groups().await.map_err(shown);
            let groups = groups.map(|groups| groups.into_iter().map(Group::from).collect());
            Some((groups, (desk, true)))
        }))
    }
}

//! What orders would do: asked in the words of the order itself, and nothing changes.

use async_graphql::{Context, Object, Result, SimpleObject};
use model::{GroupName, RolloutVersion};

use super::differences::ExcuseInput;
use super::mutation::wish;
use super::types::PolicyShape;
use super::{at_least, desk, shown};
use crate::auth::{Identity, Role};
use control_plane::desk::{Desk, Knowing, Past, Preview};

/// What each order would do.
#[derive(Clone, Copy)]
pub(super) struct Previews;

/// One setting that changes.
#[derive(SimpleObject)]
struct SettingShape {
    /// stage, reads, shadow or primary.
    name: String,
    from: String,
    to: String,
}

/// What stands against an order.
#[derive(SimpleObject)]
struct ObjectionShape {
    /// A gate's name, or `dual write`: what `pastGates` names.
    name: String,
    sentence: String,
}

/// What an order would do.
#[derive(SimpleObject)]
#[graphql(name = "Preview")]
struct PreviewShape {
    group: String,
    /// The newest rollout that was looked at: give it to the order as `after`, and it is refused if somebody has changed
    /// the group since.
    rollout: u64,
    /// The policy that holds.
    from: PolicyShape,
    /// The policy that would.
    to: PolicyShape,
    /// What differs; nothing where everything is so already.
    settings: Vec<SettingShape>,
    /// What ends with it.
    stops: Vec<String>,
    /// Who is answered by whom afterwards, and who has the writes.
    answered: Vec<String>,
    /// What stands against it: the order is refused unless its `pastGates` names each.
    objections: Vec<ObjectionShape>,
    /// The same in a few words; empty without any.
    objections_in_words: String,
    /// What else to know.
    notes: Vec<String>,
    /// Whether it takes a second person.
    second_person: bool,
}

impl From<Preview> for PreviewShape {
    fn from(preview: Preview) -> Self {
        let objections_in_words =
            control_plane::desk::preview::in_words(&preview.objections.iter().collect::<Vec<_>>());
        let Preview { group, rollout, from, to, settings, stops, answered, objections, notes, second_person } = preview;
        let setting =
            |s: control_plane::desk::preview::Setting| SettingShape { name: s.name.to_owned(), from: s.from, to: s.to };
        let objection =
            |o: control_plane::desk::preview::Objection| ObjectionShape { name: o.name, sentence: o.sentence };
        Self {
            group: group.to_string(),
            rollout: rollout.0,
            from: (&from).into(),
            to: (&to).into(),
            settings: settings.into_iter().map(setting).collect(),
            stops,
            answered,
            objections: objections.into_iter().map(objection).collect(),
            objections_in_words,
            notes,
            second_person,
        }
    }
}

/// What whoever orders something has seen.
pub(super) fn seen(past: &[String], after: Option<u64>) -> Knowing {
    Knowing { past: Past::named(past.iter().map(String::as_str)), rollout: after.map(RolloutVersion) }
}

fn group(desk: &Desk, name: &str) -> Result<GroupName> {
    desk.group(name).map_err(shown)
}

#[Object(guard = "at_least(Role::Viewer)")]
impl Previews {
    /// What `setPolicy` would do.
    async fn set(
        &self,
        context: &Context<'_>,
        #[graphql(name = "group")] name: String,
        stage: Option<String>,
        reads: Option<f64>,
        shadow: Option<f64>,
    ) -> Result<PreviewShape> {
        let desk = desk(context)?;
        let wish = wish(stage, reads, shadow)?;
        Ok(desk.set_preview(&group(desk, &name)?, &wish).await.map_err(shown)?.into())
    }

    /// What `undo` would do.
    async fn undo(
        &self,
        context: &Context<'_>,
        #[graphql(name = "group")] name: String,
        #[graphql(desc = "The change to take back; null: the newest, if it is your own")] rollout: Option<u64>,
    ) -> Result<PreviewShape> {
        let (desk, who) = (desk(context)?, &context.data::<Identity>()?.who);
        let rollout = rollout.map(RolloutVersion);
        Ok(desk.undo_preview(&group(desk, &name)?, rollout, who).await.map_err(shown)?.into())
    }

    /// What `rollBack` would do. The rollback itself needs neither this nor the control store.
    async fn roll_back(&self, context: &Context<'_>, #[graphql(name = "group")] name: String) -> Result<PreviewShape> {
        let desk = desk(context)?;
        Ok(desk.rollback_preview(&group(desk, &name)?).await.map_err(shown)?.into())
    }

    /// What the first step of `promote` would do, and what it waits for.
    async fn promote(&self, context: &Context<'_>, #[graphql(name = "group")] name: String) -> Result<PreviewShape> {
        let desk = desk(context)?;
        Ok(desk.promote_preview(&group(desk, &name)?).await.map_err(shown)?.into())
    }

    /// What `approve` would do.
    async fn approve(&self, context: &Context<'_>, id: String) -> Result<PreviewShape> {
        Ok(desk(context)?.approve_preview(&id).await.map_err(shown)?.into())
    }

    /// What `excuse` would excuse of what is on record, in sentences.
    async fn excuse(&self, context: &Context<'_>, excuse: ExcuseInput) -> Result<Vec<String>> {
        desk(context)?.excuse_preview(&excuse.wish().map_err(shown)?).await.map_err(shown)
    }
}

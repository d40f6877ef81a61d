//! What orders would do, as their preview says it, and what is asked of whoever gives them: the same, from one place.

use model::control::Author;
use model::evidence::Verdict;
use model::{GroupName, Policy, RolloutVersion, Side, Stage};

use super::preview::{self, Knowing, Objection, Past, Preview};
use super::{ApprovalRules, Desk, DeskError, ExcuseWish, SetOutcome};
use crate::rollout::since::changed_since;
use crate::rollout::{Refused, SetPolicy, propose, way_back};

/// There are objections that an order does not go past.
pub const PAST_GATES: &str = "PAST_GATES";
/// Changes that are looked at for an undo: the newest, and the one before.
const LAST_TWO: usize = 2;

impl ApprovalRules {
    /// Whether going from one policy to another needs a second person. Lowering reads never does.
    pub fn ask(&self, from: &Policy, to: &Policy) -> bool {
        let lowers = from.stage() == to.stage() && to.reads() <= from.reads();
        self.stages.contains(&to.stage()) && !lowers
    }
}

impl Desk {
    /// What [`Desk::set`] would do.
    ///
    /// # Errors
    /// As [`Desk::set`], for a wish that cannot be granted.
    pub async fn set_preview(&self, group: &GroupName, wish: &SetPolicy) -> Result<Preview, DeskError> {
        let seen = self.newest().await?.rollout;
        let from = seen.policy(group);
        let ends = wish.stage == Some(Stage::Modern) && from.stage() == Stage::Reverse;
        let to = if ends { self.after_dual_write(&from, wish)? } else { granted(&from, wish)? };
        let mut preview = self.preview(group, seen.version, from, to).await;
        if ends {
            preview.second_person = true;
            preview
                .notes
                .push("Legacy gets every write that it lacks first; meanwhile clients' writes wait.".to_owned());
        }
        Ok(preview)
    }

    /// What [`Desk::undo`] would do.
    ///
    /// # Errors
    /// As [`Desk::undo`].
    pub async fn undo_preview(
        &self,
        group: &GroupName,
        rollout: Option<RolloutVersion>,
        who: &str,
    ) -> Result<Preview, DeskError> {
        let (undone, wish) = self.way_back_of(group, rollout, who).await?;
        let mut preview = self.set_preview(group, &wish).await?;
        preview.notes.push(format!("It takes back what {} changed in rollout {}.", undone.who, undone.rollout));
        Ok(preview)
    }

    /// What [`Desk::roll_back`] would do. Nothing is asked of whoever rolls back.
    ///
    /// # Errors
    /// When the control store does not tell, or modern is primary. The rollback itself needs no control store.
    pub async fn rollback_preview(&self, group: &GroupName) -> Result<Preview, DeskError> {
        let seen = self.newest().await?.rollout;
        let from = seen.policy(group);
        if from.primary() == Side::Modern {
            return Err(super::rollback::modern_is_primary(group, from.stage()));
        }
        let mut preview = self.preview(group, seen.version, from, from.rolled_back()).await;
        preview.second_person = false;
        preview
            .notes
            .push("A promotion that is under way ends, and what was proposed before it cannot be approved.".to_owned());
        Ok(preview)
    }

    /// What [`Desk::promote`] would do: its first step, and what that step waits for.
    ///
    /// # Errors
    /// As [`Desk::promote`].
    pub async fn promote_preview(&self, group: &GroupName) -> Result<Preview, DeskError> {
        let seen = self.newest().await?.rollout;
        let from = seen.policy(group);
        let (first, last, plan) = self.first_step(group, &from).await?;
        let mut preview = self.preview(group, seen.version, from, first).await;
        // It waits until they hold: nobody goes past them.
        let closed: Vec<Objection> = std::mem::take(&mut preview.objections);
        preview.second_person = self.approvals.ask(&from, &last);
        preview.notes.push(format!("The plan: {plan}. Each step is taken only while every gate holds."));
        preview.notes.push(match closed.len() {
            0 => "Every gate holds: the first step is taken at once.".to_owned(),
            _ => format!("Nothing moves yet: {}.", preview::in_words(&closed.iter().collect::<Vec<_>>())),
        });
        Ok(preview)
    }

    /// What approving a proposal would do.
    ///
    /// # Errors
    /// When none waits under this id, the control store does not tell, or the group has changed since.
    pub async fn approve_preview(&self, id: &str) -> Result<Preview, DeskError> {
        let proposal = self.open_proposal(id).await?;
        let seen = self.newest().await?.rollout;
        let group = proposal.group.clone();
        if !proposal.steps.is_empty() {
            return self.promote_preview(&group).await;
        }
        let mut preview = self.preview(&group, seen.version, seen.policy(&group), proposal.to).await;
        if proposal.to.primary() != proposal.from.primary() {
            let (to, from) = (proposal.to.primary(), proposal.from.primary());
            preview.notes.push(format!(
                "The authority for writes goes from {from} to {to}: `strangler groups handover {group} --to {to} --dry-run` \
                 tells what would be lost."
            ));
        }
        Ok(preview)
    }

    /// What an excuse would excuse of what is stored, in sentences.
    ///
    /// # Errors
    /// As [`Desk::excuse`].
    pub async fn excuse_preview(&self, wish: &ExcuseWish) -> Result<Vec<String>, DeskError> {
        // Nobody's: it is not kept.
        let nobody = Author { who: "nobody".into(), origin: "preview".into(), reason: Some("preview".into()) };
        let (excuse, filter, _) = self.checked_excuse(wish, &nobody)?;
        let report = self.report(&filter).await?;
        let found = report.routes.iter().filter(|route| route.route == excuse.scope.route);
        let found = found.flat_map(|route| &route.differences).filter(|line| line.verdict == Verdict::Mismatch);
        let rows: u64 = found.map(|line| line.count).sum();
        let mut told = vec![format!(
            "Would be excused until {}, {} answers for it: {}.",
            excuse.until, excuse.owner, excuse.scope
        )];
        told.push(match (rows, wish.rule) {
            (0, _) => "No such difference is on record: look at its route, field and cause.".to_owned(),
            (rows, None) => format!("On record are {} that differ so.", shadow_compare::words::rows(rows)),
            (rows, Some(rule)) => format!(
                "On record are {} that differ so; of them only those that `{rule}` explains are excused.",
                shadow_compare::words::rows(rows)
            ),
        });
        told.push("What is excused no longer counts as a mismatch: gates and guard take it as equal.".to_owned());
        Ok(told)
    }

    /// Sets a group's policy back to what held before its newest change, which must be `rollout` where one is given, and
    /// the caller's own where none is.
    ///
    /// # Errors
    /// `OVERTAKEN` when somebody else has changed the group since, and as [`Desk::set`].
    pub async fn undo(
        &self,
        group: &GroupName,
        rollout: Option<RolloutVersion>,
        past: Past,
        author: &Author,
    ) -> Result<SetOutcome, DeskError> {
        let (undone, wish) = self.way_back_of(group, rollout, &author.who).await?;
        let why = author.reason.as_deref().unwrap_or_default();
        let author = Author { reason: Some(format!("undo of rollout {}: {why}", undone.rollout)), ..author.clone() };
        // Only as long as that one is the newest: whatever comes after it is somebody's, too.
        let seen = Knowing { past, rollout: Some(undone.rollout) };
        self.set(group, &wish, &seen, &author).await
    }

    async fn way_back_of(
        &self,
        group: &GroupName,
        rollout: Option<RolloutVersion>,
        who: &str,
    ) -> Result<(Undone, SetPolicy), DeskError> {
        let changes = self.control.history(Some(group), LAST_TWO).await?;
        let [last, before] = changes.as_slice() else {
            return Err(DeskError::wrong(
                "NOT_POSSIBLE",
                format!("group `{group}` was never changed: nothing to undo"),
            ));
        };
        let undone = Undone { who: last.author.who.clone(), rollout: last.rollout.version };
        let overtaken = |hint: &str| {
            let message = format!(
                "the newest change of group `{group}` is rollout {} by {} ({}){hint}",
                undone.rollout, undone.who, last.summary
            );
            DeskError::no("OVERTAKEN", message)
        };
        match rollout {
            Some(meant) if meant != undone.rollout => return Err(overtaken(&format!(", not rollout {meant}"))),
            None if undone.who != who => {
                return Err(overtaken(&format!(": to undo that one, name it (--rollout {})", undone.rollout)));
            }
            Some(_) | None => {}
        }
        let (was, is) = (before.rollout.policy(group), last.rollout.policy(group));
        let wish = way_back(&was, &is).ok_or_else(|| {
            let message = format!("nothing that is set leads back from rollout {}: {}", undone.rollout, last.summary);
            DeskError::wrong("NOT_POSSIBLE", message)
        })?;
        Ok((undone, wish))
    }

    /// Of a change that comes into force at once. Gates are asked only where modern would answer more.
    async fn preview(&self, group: &GroupName, seen: RolloutVersion, from: Policy, to: Policy) -> Preview {
        let gates = if preview::asks_gates(&from, &to) { self.gates(group).await } else { Vec::new() };
        let preview = Preview::of(group, seen, from, to, &gates);
        Preview { second_person: self.approvals.ask(&from, &to), ..preview }
    }

    /// Refuses an order that does not go past what stands against it.
    pub(super) async fn object(
        &self,
        group: &GroupName,
        from: &Policy,
        to: &Policy,
        seen: &Knowing,
    ) -> Result<(), DeskError> {
        // Nothing is asked whose answer changes nothing: judging the gates may take as long as a slow side.
        if seen.past == Past::Everything {
            return Ok(());
        }
        let gates = if preview::asks_gates(from, to) { self.gates(group).await } else { Vec::new() };
        let objections = preview::objections(from, to, &gates);
        let unheeded = preview::unheeded(&objections, &seen.past);
        if unheeded.is_empty() {
            return Ok(());
        }
        let why: Vec<_> = unheeded.iter().map(|one| format!("{}: {}", one.name, one.sentence)).collect();
        Err(DeskError::no(
            PAST_GATES,
            format!(
                "group `{group}` stays as it is: {}. {}. Whoever wants it all the same says --past-gates (pastGates in \
                 the admin API); --dry-run tells what it would do",
                preview::in_words(&unheeded),
                why.join("; ")
            ),
        ))
    }

    /// Refuses an order of somebody who has not seen the group's newest change.
    pub(super) async fn still_as_seen(
        &self,
        group: &GroupName,
        seen: &Knowing,
        now: RolloutVersion,
    ) -> Result<(), DeskError> {
        let Some(rollout) = seen.rollout else { return Ok(()) };
        if rollout > now {
            let message = format!("there is no rollout {rollout}: the newest is {now}. Look again");
            return Err(DeskError::no("OVERTAKEN", message));
        }
        let Some(by) = changed_since(self.control.as_ref(), group, rollout).await? else { return Ok(()) };
        let message = format!(
            "{} has changed group `{group}` since (rollout {}, {}): look at it and try again",
            by.author.who, by.rollout.version, by.summary
        );
        Err(DeskError::no("OVERTAKEN", message))
    }

    /// The policy after the end of dual write.
    fn after_dual_write(&self, from: &Policy, wish: &SetPolicy) -> Result<Policy, DeskError> {
        let reads = wish.reads.unwrap_or(model::Percentage::FULL);
        let shadow = wish.shadow.unwrap_or(model::Percentage::ZERO);
        let to = Policy::new(Stage::Modern, reads, shadow, from.epoch());
        to.map_err(|error| DeskError::wrong("NOT_POSSIBLE", error.to_string()))
    }
}

/// A change that is taken back.
struct Undone {
    who: String,
    rollout: RolloutVersion,
}

fn granted(from: &Policy, wish: &SetPolicy) -> Result<Policy, DeskError> {
    propose(from, wish).map_err(|refused: Refused| DeskError::wrong("NOT_POSSIBLE", refused.to_string()))
}

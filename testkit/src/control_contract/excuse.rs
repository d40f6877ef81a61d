//! Accepted excuses: appended, withdrawn, never edited.

use chrono::NaiveDate;
use model::Rule;
use model::control::{AcceptedExcuse, Author, ControlStore, ExcuseId, ExcuseScope, ExcuseState};
use model::evidence::Cause;
use uuid::Uuid;

fn author(who: &str, reason: &str) -> Author {
    Author { who: who.into(), origin: "desk".into(), reason: Some(reason.into()) }
}

fn excuse(field: Option<&str>, cause: Cause, rule: Option<Rule>) -> AcceptedExcuse {
    let day = |text: &str| text.parse::<NaiveDate>().unwrap();
    let scope = ExcuseScope { route: "Query.product".into(), field: field.map(Into::into), cause, rule };
    let author = author("ada", "the ERP rounds");
    AcceptedExcuse::new(ExcuseId(Uuid::new_v4()), scope, "pricing", day("2026-12-31"), author, day("2026-01-31"))
        .unwrap()
}

/// Promise.
pub async fn an_excuse_is_kept_whole_and_ends_without_being_lost(store: &dyn ControlStore) {
    assert!(store.excuses().await.unwrap().is_empty());
    let price = excuse(Some("unitPrice"), Cause::Rounding, Some(Rule::Scale(2)));
    let row = excuse(None, Cause::MissingRow, None);
    store.excuse(&price).await.unwrap();
    store.excuse(&row).await.unwrap();
    // Sent again, with other words: what was accepted first stands.
    store.excuse(&AcceptedExcuse { owner: "somebody else".into(), ..price.clone() }).await.unwrap();
    let kept = store.excuses().await.unwrap();
    assert_eq!(kept.iter().map(|record| &record.excuse).collect::<Vec<_>>(), [&price, &row]);
    assert!(kept.iter().all(|record| record.withdrawn.is_none()));
    let (bob, eve) = (author("bob", "mended"), author("eve", "too"));
    assert!(store.withdraw_excuse(price.id, &bob).await.unwrap());
    assert!(store.withdraw_excuse(price.id, &eve).await.unwrap());
    assert!(!store.withdraw_excuse(ExcuseId(Uuid::new_v4()), &bob).await.unwrap());
    let kept = store.excuses().await.unwrap();
    assert_eq!(kept[0].excuse, price);
    assert_eq!(kept[0].withdrawn.as_ref().map(|withdrawal| &withdrawal.author), Some(&bob));
    assert_eq!(kept[0].state(price.until), ExcuseState::Withdrawn);
    assert_eq!(kept[1].state(row.until), ExcuseState::InForce);
}

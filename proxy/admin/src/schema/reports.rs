//! Reports and stored differences, in each of their forms.

use async_graphql::{Context, Json, Object, Result};
use model::evidence::Sample;
use serde_json::Value;
use shadow_compare::Report;
use shadow_compare::report::SampleReport;

use super::{desk, shown};

/// Text that is JSON, as JSON.
pub(super) fn json(text: &str) -> Json<Value> {
    Json(serde_json::from_str(text).unwrap_or_default())
}

/// A report, in each of its forms.
pub(super) struct ReportShape(pub(super) Report);

#[Object(name = "Report")]
impl ReportShape {
    /// The whole report in a sentence or two.
    async fn answer(&self) -> &str {
        &self.0.answer
    }

    /// Everything, for a terminal.
    async fn text(&self) -> String {
        self.0.text()
    }

    /// Everything, for programs.
    async fn json(&self) -> Json<Value> {
        json(&self.0.json())
    }

    /// Everything, as one page that loads nothing.
    async fn html(&self) -> String {
        self.0.html()
    }

    /// One line per route, field and cause, for a terminal.
    async fn list_text(&self) -> String {
        self.0.list_text()
    }

    /// One line per route, field and cause, for programs.
    async fn list_json(&self) -> Json<Value> {
        json(&self.0.list_json())
    }
}

/// One stored difference.
pub(super) struct SampleShape(pub(super) Sample);

#[Object(name = "Sample")]
impl SampleShape {
    async fn id(&self) -> &str {
        &self.0.id
    }

    /// For a terminal: both sides, and their diff; with the key's history on both sides where that is wanted.
    async fn text(&self, context: &Context<'_>, #[graphql(default)] history: bool) -> Result<String> {
        Ok(self.told(context, history).await?.text())
    }

    /// For programs.
    async fn json(&self, context: &Context<'_>, #[graphql(default)] history: bool) -> Result<Json<Value>> {
        Ok(json(&self.told(context, history).await?.json()))
    }

    /// Both sides and their diff, to be part of a page.
    async fn html(&self) -> String {
        SampleReport::of(&self.0).html()
    }
}

impl SampleShape {
    async fn told(&self, context: &Context<'_>, history: bool) -> Result<SampleReport> {
        let mut report = SampleReport::of(&self.0);
        if history {
            report.history = Some(desk(context)?.key_history(&self.0).await.map_err(shown)?);
        }
        Ok(report)
    }
}

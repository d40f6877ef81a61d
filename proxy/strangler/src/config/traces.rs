//! Where traces go.

use axum::http::Uri;

use super::Origins;
use super::check::Checked;
use super::raw::RawTelemetry;
use net::outgoing::can_reach;
use telemetry::traces::Traces;

/// `None`: nowhere, and no span is made.
pub(super) fn traces(raw: RawTelemetry, origins: &Origins<'_>) -> Checked<Option<Traces>> {
    let key = "telemetry.sample_ratio";
    if !(0.0..=1.0).contains(&raw.sample_ratio) {
        return Err(origins.rule(key, "must be from 0 (what clients record) to 1 (every request)"));
    }
    if raw.service_name.trim().is_empty() {
        return Err(origins.rule("telemetry.service_name", "must not be empty: collectors sort by it"));
    }
    let Some(endpoint) = raw.otlp_endpoint else { return Ok(None) };
    let key = "telemetry.otlp_endpoint";
    let endpoint: Uri = endpoint.parse().map_err(|_| origins.rule(key, "is no address"))?;
    can_reach(&endpoint, "collector:4318").map_err(|rule| origins.rule(key, rule))?;
    Ok(Some(Traces { endpoint, service_name: raw.service_name, sample_ratio: raw.sample_ratio }))
}

//! Every metric's name, one constant each, with the question that it answers.
//!
//! Labels are closed sets; field values and keys never become labels.

/// HTTP requests answered. Answers: how much comes in and how much of it goes wrong?
/// Labels: `outcome` (`ok`, `partial`, `refused`, `failed`).
pub const HTTP_REQUESTS_TOTAL: &str = "strangler_http_requests_total";

/// Time from the last byte of a request to its answer. Answers: how long do clients wait?
/// Labels: `outcome` as for [`HTTP_REQUESTS_TOTAL`].
pub const HTTP_REQUEST_DURATION_SECONDS: &str = "strangler_http_request_duration_seconds";

/// Open client connections. Answers: is the connection limit near? Labels: none.
pub const HTTP_CONNECTIONS: &str = "strangler_http_connections";

/// Look-ups in the plan cache. Answers: do clients repeat their documents, or is each one parsed?
/// Labels: `outcome` (`hit`, `miss`).
pub const PLAN_CACHE_TOTAL: &str = "strangler_plan_cache_total";

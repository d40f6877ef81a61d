//! What a replica is made of, as its log lines and spans name it.

/// The crates of a replica, by the names that targets begin with.
pub const OURS: [&str; 12] = [
    "adapters",
    "admin",
    "contract",
    "control_plane",
    "data_plane",
    "gateway",
    "net",
    "request",
    "server",
    "shadow_compare",
    "strangler",
    "telemetry",
];

/// Whether `target`, such as `data_plane::read::serve`, is ours.
pub fn is_ours(target: &str) -> bool {
    OURS.contains(&target.split("::").next().unwrap_or(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_begins_alike_is_not_ours() {
        assert!(is_ours("data_plane::read::serve") && is_ours("gateway"));
        for other in ["hyper::proto", "network", "gateway_api::x", "admins", ""] {
            assert!(!is_ours(other), "{other}");
        }
    }
}

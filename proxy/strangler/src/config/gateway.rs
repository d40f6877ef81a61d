//! `[gateway]`: what clients may ask for, and what they may make us hold.

use std::num::{NonZeroU64, NonZeroUsize};

use axum::http::HeaderName;
use ipnet::IpNet;

use super::Origins;
use super::check::{Checked, count, millis};
use super::raw::{RawGateway, RawLimits};
use ::gateway::{GatewayConfig, Limits, SINGLE_CONNECTION};
use net::budget::Share;
use net::client::TrustedProxies;

pub(super) fn gateway(raw: RawGateway, origins: &Origins<'_>) -> Checked<GatewayConfig> {
    let stick_header = HeaderName::try_from(&raw.stick_header)
        .map_err(|_| origins.rule("gateway.stick_header", "must be the name of an HTTP header"))?;
    let address_share = Share::new(raw.address_share).ok_or_else(|| {
        origins.rule("gateway.address_share", "must be above 0 and at most 1 (no limit for one address)")
    })?;
    let body_bytes = count(raw.body_bytes, "gateway.body_bytes", origins)?.get();
    let body_budget = bytes(raw.body_budget_bytes, 2 * body_bytes as u64);
    let body_budget = body_budget
        .ok_or_else(|| origins.rule("gateway.body_budget_bytes", "must be at least twice gateway.body_bytes"))?;
    let connection_budget = bytes(raw.connection_budget_bytes, SINGLE_CONNECTION)
        .ok_or_else(|| origins.rule("gateway.connection_budget_bytes", "must be at least 327680"))?;
    let request_bytes = bytes(raw.request_bytes, 65_536)
        .ok_or_else(|| origins.rule("gateway.request_bytes", "must be at least 65536"))?
        .get();
    let memory_budget = bytes(raw.memory_budget_bytes, request_bytes)
        .ok_or_else(|| origins.rule("gateway.memory_budget_bytes", "must be at least gateway.request_bytes"))?;
    Ok(GatewayConfig {
        limits: limits(&raw.limits),
        introspection: raw.introspection,
        development: raw.development,
        deadline: millis(raw.deadline_ms, "gateway.deadline_ms", origins)?,
        body_bytes,
        body_timeout: millis(raw.body_timeout_ms, "gateway.body_timeout_ms", origins)?,
        header_timeout: millis(raw.header_timeout_ms, "gateway.header_timeout_ms", origins)?,
        drain: millis(raw.drain_ms, "gateway.drain_ms", origins)?,
        connections: count(raw.connections, "gateway.connections", origins)?,
        socket_operations: count(raw.socket_operations, "gateway.socket_operations", origins)?,
        stick_header,
        plan_cache: count(raw.plan_cache, "gateway.plan_cache", origins)?,
        plan_cache_bytes: at_least(raw.plan_cache_bytes, 65_536)
            .ok_or_else(|| origins.rule("gateway.plan_cache_bytes", "must be at least 65536"))?,
        body_budget,
        connection_budget,
        memory_budget,
        request_bytes,
        address_share,
        trusted_proxies: trusted_proxies(&raw.trusted_proxies, origins)?,
        fan_out: count(raw.fan_out, "gateway.fan_out", origins)?,
    })
}

fn limits(raw: &RawLimits) -> Limits {
    Limits {
        depth: raw.depth,
        complexity: raw.complexity,
        selections: raw.selections,
        assumed_list: raw.assumed_list,
        aliases: raw.aliases,
        root_fields: raw.root_fields,
        tokens: raw.tokens,
        recursion: raw.recursion,
        batch: raw.batch,
        list: raw.list,
        first: raw.first,
    }
}

fn bytes(number: u64, least: u64) -> Option<NonZeroU64> {
    NonZeroU64::new(number).filter(|_| number >= least)
}

fn at_least(number: usize, least: usize) -> Option<NonZeroUsize> {
    NonZeroUsize::new(number).filter(|_| number >= least)
}

fn trusted_proxies(given: &[String], origins: &Origins<'_>) -> Checked<TrustedProxies> {
    let network = |text: &String| {
        let single = || text.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address));
        text.parse()
            .ok()
            .or_else(single)
            .ok_or_else(|| origins.rule("gateway.trusted_proxies", "must be addresses or networks, such as 10.0.0.0/8"))
    };
    given.iter().map(network).collect::<Result<_, _>>().map(TrustedProxies::new)
}

//! Failed attempts: after a few, an address waits, twice as long each time; all addresses together have a budget.
//!
//! Pure: time comes in as an argument. Memory is bounded: the address that was quiet longest is forgotten first.
//! Whoever shows a token that is known to be good, or a session, is not asked here: nobody can lock them out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Failures that cost nothing: fingers slip.
const FREE: u32 = 5;
/// The first wait; it doubles with each further failure.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait. Not longer: many people may share one address.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// After so long without a failure, an address is like new.
const FORGIVEN_AFTER: Duration = Duration::from_secs(15 * 60);
/// Addresses that are remembered.
const MOST: usize = 4_096;
/// Failures of all addresses together that may come at once…
const BUDGET: f64 = 200.0;
/// … and how many of them come back each second.
const REGAINED: f64 = 2.0;

/// What is known of failures.
#[derive(Debug)]
pub(super) struct Attempts {
    sources: HashMap<IpAddr, Source>,
    budget: f64,
    regained: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    failures: u32,
    last: Instant,
    until: Instant,
    /// Somebody came from here with a good token: the common budget does not hold them up.
    proven: bool,
}

impl Attempts {
    pub(super) fn new(now: Instant) -> Self {
        Self { sources: HashMap::new(), budget: BUDGET, regained: now }
    }

    /// Whether `address` may try; else how long it has to wait.
    pub(super) fn check(&mut self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        self.regain(now);
        let source = self.sources.get(&network(address));
        if let Some(source) = source.filter(|source| source.until > now) {
            return Err(source.until - now);
        }
        let proven = source.is_some_and(|source| source.proven);
        if self.budget < 1.0 && !proven { Err(Duration::from_secs_f64(1.0 / REGAINED)) } else { Ok(()) }
    }

    /// Counts a failure of `address`; how long it has to wait now.
    pub(super) fn failed(&mut self, address: IpAddr, now: Instant) -> Duration {
        self.regain(now);
        self.budget = (self.budget - 1.0).max(0.0);
        let source = self.source(address, now);
        if now - source.last > FORGIVEN_AFTER {
            source.failures = 0;
        }
        source.failures = source.failures.saturating_add(1);
        source.last = now;
        let wait = match source.failures.checked_sub(FREE + 1) {
            None => Duration::ZERO,
            Some(further) => FIRST_WAIT.saturating_mul(1 << further.min(16)).min(LONGEST_WAIT),
        };
        source.until = now + wait;
        wait
    }

    /// `address` has shown a good token.
    pub(super) fn proved(&mut self, address: IpAddr, now: Instant) {
        let source = self.source(address, now);
        (source.failures, source.last, source.until, source.proven) = (0, now, now, true);
    }

    fn source(&mut self, address: IpAddr, now: Instant) -> &mut Source {
        let network = network(address);
        if self.sources.len() >= MOST && !self.sources.contains_key(&network) {
            // Proven ones last: a flood of addresses does not make us forget who is who.
            let quiet = self.sources.iter().min_by_key(|(_, source)| (source.proven, source.last));
            if let Some(quiet) = quiet.map(|(address, _)| *address) {
                self.sources.remove(&quiet);
            }
        }
        self.sources.entry(network).or_insert(Source { failures: 0, last: now, until: now, proven: false })
    }

    fn regain(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.regained).as_secs_f64();
        self.budget = (self.budget + passed * REGAINED).min(BUDGET);
        self.regained = now;
    }
}

/// Whoever has one address of IPv6 has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn fail(attempts: &mut Attempts, address: IpAddr, times: u32, now: Instant) -> Duration {
        (0..times).map(|_| attempts.failed(address, now)).last().unwrap()
    }

    #[test]
    fn after_a_few_failures_the_wait_doubles_and_ends() {
        let start = Instant::now();
        let mut attempts = Attempts::new(start);
        assert_eq!(fail(&mut attempts, ADDRESS, FREE, start), Duration::ZERO);
        assert_eq!(attempts.check(ADDRESS, start), Ok(()));
        let waits: Vec<_> = (0..8).map(|_| attempts.failed(ADDRESS, start).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(attempts.check(ADDRESS, start), Err(LONGEST_WAIT));
        assert_eq!(attempts.check(IpAddr::from([10, 0, 0, 2]), start), Ok(()), "others do not wait");
        assert_eq!(attempts.check(ADDRESS, start + LONGEST_WAIT), Ok(()));
        assert_eq!(attempts.failed(ADDRESS, start + LONGEST_WAIT), LONGEST_WAIT, "and is not forgiven by waiting");
        assert_eq!(attempts.failed(ADDRESS, start + LONGEST_WAIT * 2 + FORGIVEN_AFTER), Duration::ZERO);
    }

    #[test]
    fn a_good_token_makes_up_for_slips() {
        let start = Instant::now();
        let mut attempts = Attempts::new(start);
        fail(&mut attempts, ADDRESS, FREE, start);
        attempts.proved(ADDRESS, start);
        assert_eq!(fail(&mut attempts, ADDRESS, FREE, start), Duration::ZERO);
    }

    #[test]
    fn many_addresses_together_are_slowed_and_proven_ones_are_not() {
        let start = Instant::now();
        let mut attempts = Attempts::new(start);
        attempts.proved(ADDRESS, start);
        let others = (0..=255).map(|last| IpAddr::from([10, 0, 1, last]));
        for address in others {
            attempts.failed(address, start);
        }
        let fresh = IpAddr::from([10, 0, 2, 0]);
        assert!(attempts.check(fresh, start).is_err());
        assert_eq!(attempts.check(ADDRESS, start), Ok(()));
        assert_eq!(attempts.check(fresh, start + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_a_network_of_ipv6_is_one_source() {
        let start = Instant::now();
        let mut attempts = Attempts::new(start);
        attempts.proved(ADDRESS, start);
        for last in 0..6_000_u32 {
            attempts.failed(IpAddr::from(last.to_be_bytes()), start + Duration::from_millis(last.into()));
        }
        assert_eq!(attempts.sources.len(), MOST);
        assert!(attempts.sources[&ADDRESS].proven);
        let (one, other) = ("2001:db8::1".parse().unwrap(), "2001:db8::2:1".parse().unwrap());
        fail(&mut attempts, one, FREE + 1, start);
        assert!(attempts.check(other, start).is_err());
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), ADDRESS);
    }
}

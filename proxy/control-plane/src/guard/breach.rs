//! Why the guard acts, or why it cannot tell: each as one sentence with the figure and the limit.

use std::fmt;
use std::time::Duration;

use model::GroupName;

use super::statistics::Part;

/// What the guard measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Confirmed mismatches.
    Mismatches,
    /// Reads that modern did not answer.
    Errors,
    /// How long modern takes.
    Latency,
    /// How long modern lacks writes.
    UnsettledAge,
    /// How late changes arrive that bypass us.
    Lag,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 5] = [Self::Mismatches, Self::Errors, Self::Latency, Self::UnsettledAge, Self::Lag];

    /// The label `reason` of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mismatches => "mismatches",
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::UnsettledAge => "unsettled_age",
            Self::Lag => "lag",
        }
    }
}

/// What is counted as a share of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Records with a confirmed mismatch, of those compared.
    Mismatches,
    /// Errors of reads of modern.
    Errors,
    /// Reads put to both sides for which modern took longer than this.
    SlowReads(Duration),
}

impl Counted {
    fn measure(self) -> Measure {
        match self {
            Self::Mismatches => Measure::Mismatches,
            Self::Errors => Measure::Errors,
            Self::SlowReads(_) => Measure::Latency,
        }
    }
}

/// One thing that is too much.
#[derive(Debug, Clone, PartialEq)]
pub enum Breach {
    /// More than a fixed limit allows.
    TooMany {
        /// Of what.
        what: Counted,
        /// How many.
        part: Part,
        /// Within.
        span: Duration,
        /// The limit, as a share.
        limit: f64,
    },
    /// More wrong records than are allowed, whatever their share.
    Wrong {
        /// How many.
        records: u64,
        /// Within.
        span: Duration,
        /// The limit.
        limit: u64,
    },
    /// More than is usual for the group.
    Unusual {
        /// Of what.
        what: Counted,
        /// How many.
        part: Part,
        /// Within.
        span: Duration,
        /// What is usual, as a share.
        usual: f64,
        /// The most that chance explains, as a share.
        limit: f64,
    },
    /// Within one slot more than the limit allows, and more than there ever was in one.
    Burst {
        /// Of what.
        what: Counted,
        /// How many.
        part: Part,
        /// The limit, as a share.
        limit: f64,
        /// The worst slot of the baseline, as a share.
        worst: f64,
    },
    /// Modern is much slower than legacy.
    Slow {
        /// Modern's 95th percentile.
        modern: Duration,
        /// Legacy's.
        legacy: Duration,
        /// The most that is allowed.
        limit: Duration,
    },
    /// Modern is slower than is usual for it.
    UnusuallySlow {
        /// Its mean.
        mean: Duration,
        /// Its usual mean.
        usual: Duration,
        /// The most that chance explains.
        limit: Duration,
    },
    /// Modern lacks a write for too long.
    Unsettled {
        /// How old it is.
        age: Duration,
        /// How old it may be.
        limit: Duration,
    },
    /// A source of changes is too late.
    Late {
        /// Which.
        source: String,
        /// How late.
        lag: Duration,
        /// How late it may be.
        limit: Duration,
    },
}

impl Breach {
    /// What was measured.
    pub fn measure(&self) -> Measure {
        match self {
            Self::TooMany { what, .. } | Self::Unusual { what, .. } | Self::Burst { what, .. } => what.measure(),
            Self::Wrong { .. } => Measure::Mismatches,
            Self::Slow { .. } | Self::UnusuallySlow { .. } => Measure::Latency,
            Self::Unsettled { .. } => Measure::UnsettledAge,
            Self::Late { .. } => Measure::Lag,
        }
    }

    /// One sentence for people: `confirmed mismatches of inventory: 14 of 2 300 records in 30 s
    /// (0.61 %), limit 0.10 %`.
    pub fn sentence(&self, group: &GroupName) -> String {
        match self {
            Self::TooMany { what, part, span, limit } => {
                format!("{}, limit {}", counted(*what, group, *part, *span), Percent(*limit))
            }
            Self::Wrong { records, span, limit } => {
                let (records, span) = (Spaced(*records), Time(*span));
                format!(
                    "confirmed mismatches of {group}: {records} records in {span}, limit {limit} whatever the share"
                )
            }
            Self::Unusual { what, part, span, usual, limit } => {
                let (counted, usual) = (counted(*what, group, *part, *span), Percent(*usual));
                format!("{counted}, usual {usual}, chance explains up to {}", Percent(*limit))
            }
            Self::Burst { what, part, limit, worst } => {
                let counted = counted(*what, group, *part, model::control::figures::SLOT);
                format!("{counted}, limit {}, never more than {} before", Percent(*limit), Percent(*worst))
            }
            Self::Slow { modern, legacy, limit } => format!(
                "latency of modern for {group}: 95 of 100 reads within {}, legacy {}, limit {}",
                Time(*modern),
                Time(*legacy),
                Time(*limit)
            ),
            Self::UnusuallySlow { mean, usual, limit } => format!(
                "latency of modern for {group}: {} on average, usual {}, chance explains up to {}",
                Time(*mean),
                Time(*usual),
                Time(*limit)
            ),
            Self::Unsettled { age, limit } => {
                format!("unsettled writes of {group}: modern lacks one for {}, limit {}", Time(*age), Time(*limit))
            }
            Self::Late { source, lag, limit } => {
                format!("changes of {group} from {source}: {} late, limit {}", Time(*lag), Time(*limit))
            }
        }
    }
}

fn counted(what: Counted, group: &GroupName, part: Part, span: Duration) -> String {
    let (events, of, share) = (Spaced(part.events), Spaced(part.of), Percent(part.share()));
    let span = Time(span);
    match what {
        Counted::Mismatches => {
            format!("confirmed mismatches of {group}: {events} of {of} records in {span} ({share})")
        }
        Counted::Errors => format!("errors of modern for {group}: {events} of {of} reads in {span} ({share})"),
        Counted::SlowReads(bound) => {
            format!("slow reads of modern for {group}: {events} of {of} took over {} in {span} ({share})", Time(bound))
        }
    }
}

/// Why nothing can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thin {
    /// Too few records compared.
    Records {
        /// There are.
        have: u64,
        /// There must be.
        need: u64,
    },
    /// Too few reads of modern.
    Reads {
        /// There are.
        have: u64,
        /// There must be.
        need: u64,
    },
    /// Nobody has looked how much waits to be settled.
    Unsettled,
    /// Too few questions were put to both sides for their times.
    Pairs {
        /// There are.
        have: u64,
        /// There must be.
        need: u64,
    },
    /// Clients' reads of modern fail, and it answers the shadow reads: that is the clients' load or our queue, not modern.
    OnlyClients(Part),
}

impl Thin {
    /// One sentence for people.
    pub fn sentence(&self, group: &GroupName, span: Duration) -> String {
        let span = Time(span);
        match self {
            Self::Records { have, need } => {
                format!("too little is known: {have} records of {group} compared in {span}, {need} are needed")
            }
            Self::Reads { have, need } => {
                format!("too little is known: {have} reads of {group} asked of modern in {span}, {need} are needed")
            }
            Self::Unsettled => {
                format!("too little is known: nobody counted the unsettled writes of {group} in {span}")
            }
            Self::Pairs { have, need } => format!(
                "too little is known: {have} questions of {group} put to both sides for their times in {span}, {need} are needed"
            ),
            Self::OnlyClients(part) => format!(
                "too little is known: {} of {} reads of {group} failed on modern in {span}, and it answers shadow reads",
                Spaced(part.events),
                Spaced(part.of)
            ),
        }
    }
}

/// `2 300`.
struct Spaced(u64);

impl fmt::Display for Spaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                f.write_str(" ")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// `30 s`, `7.8 ms`.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let (number, unit) = if seconds < 1.0 { (seconds * 1_000.0, "ms") } else { (seconds, "s") };
        let number = format!("{number:.1}");
        write!(f, "{} {unit}", number.strip_suffix(".0").unwrap_or(&number))
    }
}

/// `0.61 %`.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} %", self.0 * 100.0)
    }
}

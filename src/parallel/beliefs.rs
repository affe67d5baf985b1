//! Which builders are worth building ahead, and how much of a chunk to keep for the others.
//!
//! Nothing here decides about bars; it decides about work.

use barflow_operators::convergence::estimate::expected_trades;
use barflow_operators::spec::BarSpec;

/// Chunks that a builder may fail to join before it is built sequentially.
const STRIKES: u32 = 2;

/// What is kept of a chunk, in multiples of the longest that joining has ever taken.
const KEPT_TIMES: u64 = 4;

/// The least that is kept: 2.7 MB.
const LEAST_KEPT: u64 = 1 << 16;

/// A chunk is at least this many times as long as joining is expected to take, or nothing is built
/// ahead in it: what is worked on twice stays about a tenth of the building.
const LEAST_TIMES: u64 = 8;

/// The same where the length can be chosen.
const CHUNK_TIMES: u64 = 20;

/// Trades of a chunk of row groups: short enough to spread well, long enough to be worth a hand-over.
const SHORTEST: u64 = 1 << 19;
const LONGEST: u64 = 1 << 23;

/// The same where nothing is built ahead: what waits stays small enough for the cache.
const UNBUILT: u64 = 1 << 17;

/// What is known of all builders of an instrument.
#[derive(Debug)]
pub struct Beliefs {
    specs: Vec<Belief>,
    /// The longest chunk that still gives every worker two.
    most: u64,
    read_again: u32,
}

#[derive(Debug)]
struct Belief {
    spec: BarSpec,
    expected_trades: Option<u64>,
    report: SpecReport,
    strikes: u32,
}

/// How one specification fared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecReport {
    /// Chunks that it was built ahead for.
    pub ahead: u64,
    /// Trades of each chunk that had joined, up to the joint.
    pub joined: Vec<u64>,
}

impl Beliefs {
    /// Before anything was seen: rules of thumb.
    pub fn new(specs: &[BarSpec], rows: u64, workers: usize) -> Self {
        let belief = |spec: &BarSpec| Belief {
            spec: spec.clone(),
            expected_trades: expected_trades(spec),
            report: SpecReport::default(),
            strikes: 0,
        };
        let most = (rows / (2 * workers.max(1) as u64)).max(UNBUILT);
        Self { specs: specs.iter().map(belief).collect(), most, read_again: 0 }
    }

    /// How long a chunk is to be, where the file leaves a choice.
    pub fn chunk_rows(&self) -> u64 {
        let worth = self.specs.iter().filter(|belief| belief.is_worth(self.most));
        match worth.filter_map(|belief| belief.expected()).max() {
            Some(longest) => (CHUNK_TIMES * longest).clamp(SHORTEST, LONGEST).min(self.most),
            None => UNBUILT,
        }
    }

    /// The specifications, and whether to build them ahead in a chunk of this many rows.
    pub fn wanted(&self, rows: u64) -> Vec<(BarSpec, bool)> {
        let wanted = |belief: &Belief| (belief.spec.clone(), belief.is_worth(rows));
        self.specs.iter().map(wanted).collect()
    }

    /// How many trades of a chunk to keep in which these are built ahead. Everything, unless all
    /// have joined before.
    pub fn keep(&self, wanted: &[(BarSpec, bool)]) -> usize {
        let mut longest = 0;
        for (belief, (_, ahead)) in self.specs.iter().zip(wanted) {
            match belief.report.joined.iter().max() {
                Some(joined) if *ahead => longest = longest.max(*joined),
                _ => return usize::MAX,
            }
        }
        let keep = (KEPT_TIMES * longest).max(LEAST_KEPT) << (2 * self.read_again.min(8));
        usize::try_from(keep).unwrap_or(usize::MAX)
    }

    /// A chunk of this many rows is done.
    pub fn learn(
        &mut self,
        wanted: &[(BarSpec, bool)],
        rows: u64,
        joined_after: impl Iterator<Item = Option<u64>>,
    ) {
        let all = self.specs.iter_mut().zip(wanted).zip(joined_after);
        for ((belief, (_, ahead)), joined) in all.filter(|((_, (_, ahead)), _)| *ahead) {
            belief.report.ahead += u64::from(*ahead);
            match joined {
                Some(trades) => belief.report.joined.push(trades),
                None if belief
                    .expected_trades
                    .is_some_and(|expected_trades| rows >= expected_trades) =>
                {
                    belief.strikes += 1;
                }
                None => {}
            }
        }
    }

    /// A chunk had to be read again.
    pub fn read_again(&mut self) {
        self.read_again += 1;
    }

    /// How each fared.
    pub fn reports(&self) -> Vec<(BarSpec, SpecReport)> {
        self.specs.iter().map(|belief| (belief.spec.clone(), belief.report.clone())).collect()
    }
}

impl Belief {
    /// Trades that joining is expected to take.
    fn expected(&self) -> Option<u64> {
        self.report.joined.iter().max().copied().or(self.expected_trades)
    }

    fn is_worth(&self, rows: u64) -> bool {
        let expected = self.expected();
        self.strikes < STRIKES
            && expected.is_some_and(|trades| trades.saturating_mul(LEAST_TIMES) <= rows)
    }
}

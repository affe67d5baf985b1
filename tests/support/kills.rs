//! Where or when processes are killed.

use std::fmt;
use std::time::Duration;

/// When a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// When it comes to a named place (src/fault_points.rs) for the so-many-th time.
    At(&'static str, u64),
    /// Wherever it is after this time.
    After(Duration),
}

impl Kill {
    /// The same half-way there.
    pub fn sooner(self) -> Self {
        match self {
            Self::At(place, nth) => Self::At(place, nth.div_ceil(2)),
            Self::After(time) => Self::After(time / 2),
        }
    }

    /// Where, for a table.
    pub fn place(&self) -> &'static str {
        match self {
            Self::At(place, _) => place,
            Self::After(_) => "at a random time",
        }
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(place, nth) => write!(f, "{place}:{nth}"),
            Self::After(time) => write!(f, "after {time:?}"),
        }
    }
}

/// How many kills to plan, of a share of all: `BARFLOW_CRASHES` says how many in total.
pub fn share(percent: usize, usual: usize) -> usize {
    let total = std::env::var("BARFLOW_CRASHES").ok().and_then(|n| n.parse::<usize>().ok());
    total.map_or(usual, |total| (total * percent).div_ceil(100))
}

/// So many kills: every place in turn, and a random time; the seed decides the rest.
pub fn plan(
    seed: u64,
    places: &[&'static str],
    count: usize,
    visits: u64,
    longest: Duration,
) -> Vec<Kill> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut kills: Vec<Kill> = (0..count)
        .map(|at| match places.get((at + seed as usize) % (places.len() + 1)) {
            Some(place) => Kill::At(place, rng.u64(1..=visits)),
            None => Kill::After(longest.mul_f64(rng.f64())),
        })
        .collect();
    rng.shuffle(&mut kills);
    kills
}

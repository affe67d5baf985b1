//! Time, tick, volume and dollar bars to compare a grid with: about as many bars of the same trades.
//!
//! How many bars a size makes cannot be calculated: the trade that fills a bar overfills it, and
//! intervals without trades have no bar. So a ladder of sizes is tried in one pass, then another one
//! between the two rungs around the wanted number.

use std::str::FromStr;

use barflow_operators::spec::BarSpec;

use super::summary::Figures;
use super::totals::Totals;
use crate::config::bars::{BarBook, cut};
use crate::config::problem::Problems;
use crate::config::sweep::Grid;

/// Sizes tried for one baseline in a pass.
const RUNGS: u32 = 8;

/// Passes over the trades at most.
pub const PASSES: usize = 3;

/// How far the number of bars may be from the wanted one before another pass looks for a closer one.
const NEAR: f64 = 0.01;

/// A plain kind of bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of equal intervals.
    Time,
    /// Of equally many trades.
    Tick,
    /// Of equal quantity.
    Volume,
    /// Of equal price times quantity.
    Dollar,
}

impl Kind {
    /// All, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Time, Self::Tick, Self::Volume, Self::Dollar];

    /// As in a specification.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Tick => "tick",
            Self::Volume => "volume",
            Self::Dollar => "dollar",
        }
    }

    /// What there is to share out among the bars: ms, trades, quantity, or price times quantity.
    fn total(self, totals: &Totals) -> f64 {
        match self {
            Self::Time => totals.duration() as f64 / 1e6,
            Self::Tick => totals.in_sample as f64,
            Self::Volume => totals.qty,
            Self::Dollar => totals.quote,
        }
    }

    /// The nearest size that is allowed and short to write.
    fn tidy(self, size: f64) -> f64 {
        match self {
            Self::Time | Self::Tick => size.round().max(1.0),
            Self::Volume | Self::Dollar => format!("{size:.5e}").parse().unwrap_or(size),
        }
    }

    fn definition(self, size: f64) -> String {
        match self {
            Self::Time => format!("time,every={size}ms"),
            Self::Tick | Self::Volume | Self::Dollar => format!("{},size={size}", self.as_str()),
        }
    }
}

/// One size, and what became of it.
#[derive(Clone, Debug)]
struct Rung {
    size: f64,
    figures: Figures,
}

/// Looks for the size of one baseline.
#[derive(Clone, Debug)]
pub struct Search {
    kind: Kind,
    /// Which configuration of the grid it is for, and how many bars that made in sample.
    of: usize,
    wanted: u64,
    /// Where the number would be right if bars were filled exactly.
    exact: f64,
    tried: Vec<Rung>,
}

/// A baseline that was found.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// Which kind.
    pub kind: Kind,
    /// Number of the configuration that it is to be compared with.
    pub of: usize,
    /// As `barflow replay --bar NAME=…` takes it.
    pub definition: String,
    /// What it made of the trades.
    pub figures: Figures,
}

impl Search {
    /// For a configuration that made so many bars of these trades in sample; none if there is nothing
    /// to share out.
    pub fn new(kind: Kind, of: usize, wanted: u64, totals: &Totals) -> Option<Self> {
        let exact = kind.total(totals) / wanted as f64;
        (exact.is_finite() && exact > 0.0).then(|| Self {
            kind,
            of,
            wanted,
            exact,
            tried: Vec::new(),
        })
    }

    /// The sizes to try in the next pass, increasing; none if the search is over.
    pub fn rungs(&self) -> Vec<f64> {
        let off = |rung: &Rung| self.distance(rung) as f64 / self.wanted as f64;
        if self.best().is_some_and(|best| off(best) <= NEAR) {
            return Vec::new();
        }
        // The greater the size, the fewer the bars: nearly always, which is enough for a ladder.
        let makes =
            |rung: &&Rung, fewer: bool| (rung.figures.in_sample.bars() < self.wanted) == fewer;
        let sizes =
            |fewer| self.tried.iter().filter(move |rung| makes(rung, fewer)).map(|r| r.size);
        let (low, high) = match self.tried.is_empty() {
            true => (self.exact / 6.0, self.exact * 1.25),
            false => {
                let low = sizes(false).fold(f64::NAN, f64::max);
                let high = sizes(true).fold(f64::NAN, f64::min);
                // Outside of what was tried, where all of it was on one side.
                let low = if low.is_nan() { high / 32.0 } else { low };
                (low, if high.is_nan() { low * 32.0 } else { high })
            }
        };
        let ratio = high / low;
        let mut rungs: Vec<f64> = (0..RUNGS)
            .map(|at| low * libm::pow(ratio, f64::from(at) / f64::from(RUNGS - 1)))
            .map(|size| self.kind.tidy(size))
            .filter(|size| self.tried.iter().all(|rung| rung.size != *size))
            .collect();
        rungs.sort_by(f64::total_cmp);
        rungs.dedup();
        rungs
    }

    /// What a size made.
    pub fn tried(&mut self, size: f64, figures: Figures) {
        self.tried.push(Rung { size, figures });
        self.tried.sort_by(|a, b| a.size.total_cmp(&b.size));
    }

    /// The specification of a size.
    ///
    /// # Errors
    /// When the size is not allowed.
    pub fn spec(&self, size: f64) -> Result<BarSpec, Problems> {
        let mut problems = Problems::default();
        let argument = format!("baseline={}", self.kind.definition(size));
        let section = cut(&argument, &mut problems);
        let book = BarBook::understand(section.into_iter().collect(), &mut problems);
        match book.orders().first() {
            Some(order) => problems.or(order.spec.clone()),
            None => Err(problems),
        }
    }

    /// What was found; none if no size made a bar.
    pub fn found(self) -> Option<Baseline> {
        let best = self.best().filter(|best| best.figures.in_sample.bars() > 0)?;
        Some(Baseline {
            kind: self.kind,
            of: self.of,
            definition: self.kind.definition(best.size),
            figures: best.figures.clone(),
        })
    }

    fn best(&self) -> Option<&Rung> {
        self.tried.iter().min_by_key(|rung| self.distance(rung))
    }

    fn distance(&self, rung: &Rung) -> u64 {
        rung.figures.in_sample.bars().abs_diff(self.wanted)
    }
}

/// The configurations that get baselines: the best of each family, a family being those that differ in
/// numbers only. `best` is the ranking; the first comes first.
pub fn compared(grid: &Grid, best: &[usize]) -> Vec<usize> {
    let is_number =
        |key: &usize| grid.points.iter().all(|point| f64::from_str(&point.values[*key]).is_ok());
    let words: Vec<usize> = (0..grid.keys.len()).filter(|key| !is_number(key)).collect();
    let family = |at: usize| -> Vec<&str> {
        words.iter().map(|key| grid.points[at].values[*key].as_str()).collect()
    };
    let mut seen: Vec<Vec<&str>> = Vec::new();
    let mut firsts = Vec::new();
    for at in best {
        let family = family(*at);
        if !seen.contains(&family) {
            seen.push(family);
            firsts.push(*at);
        }
    }
    firsts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use barflow_operators::batch::{Feed, IdKind, InputKind, TradeBatch};
    use barflow_operators::trade::{Aggressor, Trade};
    use proptest::prelude::*;

    use super::super::worker::Part;
    use super::*;
    use crate::config::file::ConfigFile;
    use crate::config::sweep::{SweepSettings, TypedSweep};

    /// Trades whose quantities and pauses are these.
    fn batch(rows: &[(u16, u16)]) -> TradeBatch {
        let feed = Feed {
            instrument: "a:b:C".parse().unwrap(),
            input: InputKind::Trades,
            ids: IdKind::Venue,
            has_aggressor: true,
        };
        let mut event_time = 0;
        let trades: Vec<Trade> = (1..)
            .zip(rows)
            .map(|(trade_id, (qty, pause))| {
                event_time += 1_000_000 * i64::from(*pause);
                let (qty, price) = (f64::from(*qty) + 1.0, 2.0);
                let aggressor = Aggressor::Buyer;
                Trade { trade_id, event_time, price, qty, quote: price * qty, aggressor, count: 1 }
            })
            .collect();
        TradeBatch::from_trades(Arc::new(feed), &trades)
    }

    fn search(kind: Kind, wanted: u64, batch: &TradeBatch) -> Option<Baseline> {
        let mut totals = Totals::default();
        totals.on_batch(batch, None);
        let mut search = Search::new(kind, 0, wanted, &totals)?;
        for _ in 0..PASSES {
            let rungs = search.rungs();
            let specs: Vec<BarSpec> =
                rungs.iter().map(|size| search.spec(*size).unwrap()).collect();
            let mut part = Part::new(&specs, None, None);
            part.on_batch(batch, &specs);
            rungs.into_iter().zip(part.into_figures()).for_each(|(s, f)| search.tried(s, f));
        }
        search.found()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn baselines_have_about_as_many_bars(
            rows in prop::collection::vec((0u16..1000, 1u16..1000), 2000..4000),
            wanted in 20u64..200,
        ) {
            let batch = batch(&rows);
            for kind in Kind::ALL {
                let found = search(kind, wanted, &batch).unwrap();
                let bars = found.figures.in_sample.bars();
                // Of tick bars there are only so many sizes: n trades each, or n + 1.
                let near = (wanted / 10).max(2);
                prop_assert!(bars.abs_diff(wanted) <= near, "{kind:?} {bars} for {wanted}");
            }
        }
    }

    #[test]
    fn a_few_large_trades_among_many_small_ones_do_not_mislead() {
        // One trade in a hundred is 900 times as large: a bar of the mean size is mostly overfilled.
        let rows: Vec<(u16, u16)> =
            (0..20_000).map(|at| if at % 100 == 0 { (900, 1) } else { (0, 40) }).collect();
        let batch = batch(&rows);
        for kind in Kind::ALL {
            let bars = search(kind, 150, &batch).unwrap().figures.in_sample.bars();
            assert!(bars.abs_diff(150) <= 5, "{kind:?} {bars}");
        }
    }

    #[test]
    fn nothing_to_share_out_is_no_baseline() {
        assert!(search(Kind::Time, 10, &batch(&[(1, 1)])).is_none());
        assert!(search(Kind::Volume, 10, &batch(&[])).is_none());
        assert!(search(Kind::Tick, 0, &batch(&[(1, 1)])).is_none());
    }

    #[test]
    fn the_best_of_each_family_is_compared() {
        let text =
            "[grid]\nkind = \"imbalance\"\nmeasure = [\"dollar\", \"tick\"]\nalpha = [0.1, 0.2]\n";
        let file = ConfigFile::parse("sweep.toml", text).unwrap();
        let grid = SweepSettings::understand(file, TypedSweep::default()).unwrap().grid;
        let measure = grid.keys.iter().position(|key| key == "measure").unwrap();
        let firsts = compared(&grid, &[3, 1, 0, 2]);
        let words: Vec<&str> =
            firsts.iter().map(|at| grid.points[*at].values[measure].as_str()).collect();
        assert_eq!(firsts.len(), 2);
        assert_eq!(firsts[0], 3);
        assert_ne!(words[0], words[1]);
    }
}

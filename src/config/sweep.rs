//! `[sweep]` and `[grid]`: many bar specifications at once.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use barflow_operators::spec::BarSpec;

use super::bars::BarBook;
use super::durations::duration;
use super::file::ConfigFile;
use super::problem::Problems;
use super::replay::{ReplaySettings, Typed};
use super::section::{Section, Value, over};

/// Configurations of one sweep at most.
pub const MOST: usize = 10_000;

/// Keys of a grid at most, those that flags replace included; no kind of bar has half as many.
const KEYS: usize = 100;

/// What bars are judged by; the word, and how to choose the best.
pub const CRITERIA: [(&str, Criterion); 8] = [
    ("jarque_bera", Criterion::JarqueBera),
    ("serial_correlation", Criterion::SerialCorrelation),
    ("variance_ratio", Criterion::VarianceRatio),
    ("jarque_bera_per_bar", Criterion::JarqueBeraPerBar),
    ("variance_ratio_z", Criterion::VarianceRatioZ),
    ("bars", Criterion::Bars),
    ("ticks_p50", Criterion::Ticks),
    ("sync_trades", Criterion::Sync),
];

/// What bars are judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Criterion {
    /// How far returns are from a normal distribution: the less the better.
    #[default]
    JarqueBera,
    /// Correlation of successive returns: the nearer to 0 the better.
    SerialCorrelation,
    /// Variance ratio: the nearer to 1 the better.
    VarianceRatio,
    /// As the first, for each return: the number of bars does not decide.
    JarqueBeraPerBar,
    /// How surely the variance ratio is not 1: the nearer to 0 the better.
    VarianceRatioZ,
    /// Number of bars: the more the better.
    Bars,
    /// Median ticks per bar against the target, if there is one: the nearer the better.
    Ticks,
    /// Trades until a builder that began later agrees: the fewer the better.
    Sync,
}

impl Criterion {
    /// What the score is, for a title; lower is better.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::JarqueBera => "Jarque–Bera",
            Self::SerialCorrelation => "|serial correlation|",
            Self::VarianceRatio => "|variance ratio − 1|",
            Self::JarqueBeraPerBar => "Jarque–Bera per bar",
            Self::VarianceRatioZ => "|z of the variance ratio|",
            Self::Bars => "number of bars",
            Self::Ticks => "|ln(median ticks / target)|",
            Self::Sync => "trades until convergence",
        }
    }
}

/// The share of a history's trades, its last, that is kept out of the choice: more than 0, less than 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Holdout(f64);

impl Holdout {
    /// The share.
    pub fn share(self) -> f64 {
        self.0
    }

    /// How many of so many trades come before the holdout; none if either part would be empty.
    pub fn border(self, trades: u64) -> Option<u64> {
        let kept_out = (self.0 * trades as f64).round() as u64;
        (1..trades).contains(&kept_out).then(|| trades - kept_out)
    }
}

impl FromStr for Holdout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(share) if share > 0.0 && share < 1.0 => Ok(Self(share)),
            _ => Err("must be a share of the trades between 0 and 1, such as 0.5".to_owned()),
        }
    }
}

/// One configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Values of the grid's keys, in their order.
    pub values: Vec<String>,
    /// What they make.
    pub spec: BarSpec,
}

/// All configurations.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// The keys.
    pub keys: Vec<String>,
    /// Every combination of their values; the last key varies fastest.
    pub points: Vec<Point>,
}

/// What was typed on the command line, as sections.
#[derive(Clone, Debug, Default)]
pub struct TypedSweep {
    /// Keys of `[replay]`.
    pub replay: Section,
    /// Keys of `[sweep]`.
    pub sweep: Section,
    /// Keys of `[grid]`.
    pub grid: Section,
}

/// A validated sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepSettings {
    /// How files are read.
    pub replay: ReplaySettings,
    /// The configurations.
    pub grid: Grid,
    /// Output folder.
    pub out: PathBuf,
    /// What the best are judged by.
    pub by: Criterion,
    /// How many of the best to print.
    pub top: usize,
    /// Threads that build bars; as many as cores by default.
    pub threads: usize,
    /// Trades before a second builder begins, for the time to synchronise.
    pub late: u64,
    /// Trades after which it is given up.
    pub late_most: u64,
    /// Keys along the axes of the heat map; the first two that vary by default.
    pub map: Option<(String, String)>,
    /// Between two times that the state is written down.
    pub write_every: Duration,
    /// Of how many of the best the bars themselves are written.
    pub bars: usize,
    /// The share of the trades that is kept out of the choice.
    pub holdout: Option<Holdout>,
    /// Whether time, tick, volume and dollar bars are made for comparison.
    pub baselines: bool,
}

impl SweepSettings {
    /// Understands a file and what was typed over it.
    ///
    /// # Errors
    /// Everything that is wrong with either.
    pub fn understand(mut file: ConfigFile, typed: TypedSweep) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut sweep = over(file.take("sweep"), typed.sweep);
        let grid = over(file.take("grid"), typed.grid);
        let whole = "a whole number";
        let p = &mut problems;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let out = sweep.text("out", p).map_or_else(|| "sweep".into(), |(path, _)| path.into());
        let by = sweep.choice("by", &CRITERIA, p).unwrap_or_default();
        let top = sweep.parse("top", whole, p).unwrap_or(10);
        let threads: usize = sweep.parse("threads", whole, p).unwrap_or(cores);
        let late = sweep.parse("late", whole, p).unwrap_or(10_000);
        let late_most = sweep.parse("late_most", whole, p).unwrap_or(1_000_000);
        let bars = sweep.parse("bars", whole, p).unwrap_or(0);
        let holdout = sweep.parse_with("holdout", Holdout::from_str, p);
        let baselines = sweep.parse("baselines", "true or false", p).unwrap_or(false);
        let every = Duration::from_secs(20);
        let write_every = duration(&mut sweep, "write_every", p, every).unwrap_or_default();
        let map = sweep.list("map").and_then(|(axes, at)| match <[String; 2]>::try_from(axes) {
            Ok([x, y]) => Some((x, y)),
            Err(_) => {
                p.add(at, "map must be two keys of the grid, such as [\"alpha\", \"target\"]");
                None
            }
        });
        sweep.finish(p);
        let grid = Grid::understand(grid, p);
        if let (Some(grid), Some((x, y))) = (&grid, &map) {
            for axis in [x, y].into_iter().filter(|axis| !grid.keys.contains(axis)) {
                p.add("[sweep]", format!("map: \"{axis}\" is not a key of the grid"));
            }
        }
        if !(1..=256).contains(&threads) {
            p.add("[sweep]", format!("threads = {threads}: 1 to 256"));
        }
        let typed = Typed { replay: typed.replay, ..Typed::default() };
        let mut replay = ReplaySettings::understand(file, typed)?;
        // Bars are the grid's; nothing is written but by the sweep itself.
        replay.bars = BarBook::default();
        replay.sink = super::sink_kind::SinkKind::None;
        replay.delivery = super::delivery::DeliveryOptions::none();
        // The sweep has threads of its own, which divide the grid and not the history.
        replay.parallel = 1;
        refuse(&replay, &mut problems);
        match grid {
            Some(grid) => problems.or(Self {
                replay,
                grid,
                out,
                by,
                top,
                threads,
                late,
                late_most,
                map,
                bars,
                holdout,
                baselines,
                write_every,
            }),
            None => Err(problems),
        }
    }
}

/// What a file may ask of a replay and a sweep cannot do.
fn refuse(replay: &ReplaySettings, problems: &mut Problems) {
    let corrects = "a sweep cannot apply corrections";
    let keeps = "not supported by a sweep: use replay";
    for (asked, key, why) in [
        (replay.corrections.is_some(), "corrections", corrects),
        (replay.revision_window.is_some(), "revision_window", corrects),
        (replay.trades.is_some(), "trades", keeps),
        (replay.daily.is_some(), "daily", keeps),
    ] {
        if asked {
            problems.add("[replay]", format!("{key}: {why}"));
        }
    }
}

impl Point {
    /// The keys and values as `barflow replay --bar NAME=…` takes them.
    pub fn definition(&self, keys: &[String]) -> String {
        let of = |wanted: bool| {
            let pairs =
                keys.iter().zip(&self.values).filter(move |(key, _)| (*key == "kind") == wanted);
            pairs.map(
                move |(key, value)| if wanted { value.clone() } else { format!("{key}={value}") },
            )
        };
        of(true).chain(of(false)).collect::<Vec<_>>().join(",")
    }
}

impl Grid {
    /// Which of the keys have more than one value.
    pub fn varying(&self) -> Vec<usize> {
        let varies = |at: &usize| {
            let first = &self.points[0].values[*at];
            self.points.iter().any(|point| point.values[*at] != *first)
        };
        (0..self.keys.len()).filter(varies).collect()
    }

    /// The values of a key, in the order of the grid.
    pub fn values(&self, key: usize) -> Vec<String> {
        let mut values: Vec<String> = Vec::new();
        for point in &self.points {
            if !values.contains(&point.values[key]) {
                values.push(point.values[key].clone());
            }
        }
        values
    }

    fn understand(mut section: Section, problems: &mut Problems) -> Option<Self> {
        let before = problems.0.len();
        let mut keys: Vec<(String, Vec<String>, String)> = Vec::new();
        let written = section.take_rest();
        if written.len() > KEYS {
            let message = format!("{} keys: a bar has at most {KEYS}", written.len());
            problems.add("[grid]", message);
            return None;
        }
        for (key, value, at) in written {
            let values = match &value {
                Value::List(list) if list.is_empty() => Err("an empty list".to_owned()),
                Value::List(list) => Ok(list.clone()),
                Value::Text(text) => range(text),
            };
            match values {
                Ok(values) => {
                    keys.retain(|(other, _, _)| *other != key);
                    keys.push((key, values, at));
                }
                Err(reason) => problems.add(at, format!("{key}: {reason}")),
            }
        }
        if problems.0.len() > before {
            return None;
        }
        // Whatever the order in which they were written, the same numbers mean the same points.
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        let count = keys.iter().try_fold(1usize, |n, (_, v, _)| n.checked_mul(v.len()));
        let count = count.filter(|_| !keys.is_empty()).unwrap_or(0);
        if count == 0 || count > MOST {
            let message = match keys.is_empty() {
                true => "the grid is empty: it needs at least a kind, such as kind = \"imbalance\""
                    .into(),
                false => format!("the grid has too many configurations: at most {MOST}"),
            };
            problems.add("[grid]", message);
            return None;
        }
        let mut points = Vec::with_capacity(count);
        for number in 0..count {
            let mut rest = number;
            let mut values: Vec<String> = Vec::with_capacity(keys.len());
            for (_, choices, _) in keys.iter().rev() {
                values.push(choices[rest % choices.len()].clone());
                rest /= choices.len();
            }
            values.reverse();
            let mut point = Section::new(format!("configuration {number} of the grid"), "[grid]");
            for ((key, _, at), value) in keys.iter().zip(&values) {
                point.put(key.clone(), Value::Text(value.clone()), at.clone());
            }
            let book = BarBook::understand(vec![(format!("c{number:05}"), point)], problems);
            // The first is enough: the others have the same mistake.
            let order = book.orders().first().filter(|_| problems.0.len() == before)?;
            points.push(Point { values, spec: order.spec.clone() });
        }
        Some(Self { keys: keys.into_iter().map(|(key, _, _)| key).collect(), points })
    }
}

/// `1e-4..1e-2 log 25` (as many, equal ratios), `200..2000 lin 10` (as many, equal steps),
/// `100..500 step 50`, or a single value.
fn range(text: &str) -> Result<Vec<String>, String> {
    let Some((low, rest)) = text.split_once("..") else { return Ok(vec![text.to_owned()]) };
    let wanted = || {
        format!(
            "\"{text}\" is not a range such as \"1e-4..1e-2 log 25\", \"200..2000 lin 10\" or \
             \"100..500 step 50\""
        )
    };
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [high, way, by] = words[..] else { return Err(wanted()) };
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wanted());
    let (low, high, by) = (number(low)?, number(high)?, number(by)?);
    if !(low.is_finite() && high.is_finite() && by.is_finite()) || high < low || by <= 0.0 {
        return Err(format!("{}; the range must increase", wanted()));
    }
    let points = match way {
        "step" => ((high - low) / by * (1.0 + 1e-12)).floor() + 1.0,
        "lin" | "log" if by.fract() == 0.0 => by,
        _ => return Err(wanted()),
    };
    if points > MOST as f64 {
        return Err(format!("\"{text}\" has more than {MOST} values"));
    }
    if way == "log" && low <= 0.0 {
        return Err(format!("\"{text}\": a log range must start above 0"));
    }
    let last = (points - 1.0).max(1.0);
    let value = |at: f64| match way {
        "step" => low + at * by,
        "lin" => low + (high - low) * (at / last),
        _ => low * libm::pow(high / low, at / last),
    };
    Ok((0..points as usize).map(|at| tidy(value(at as f64)).to_string()).collect())
}

/// A parameter to nine digits: the seventeenth digit of a range carries no meaning.
fn tidy(value: f64) -> f64 {
    format!("{value:.8e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understand(text: &str) -> Result<SweepSettings, String> {
        let file = ConfigFile::parse("sweep.toml", text).map_err(|p| p.to_string())?;
        SweepSettings::understand(file, TypedSweep::default()).map_err(|p| p.to_string())
    }

    #[test]
    fn a_grid_is_every_combination() {
        let text = "[grid]\nkind = \"imbalance\"\nmeasure = [\"dollar\", \"tick\"]\n\
                    alpha = \"1e-4..1e-2 log 3\"\ntarget = \"100..200 step 50\"\n";
        let grid = understand(text).unwrap().grid;
        assert_eq!(grid.keys, ["alpha", "kind", "measure", "target"]);
        assert_eq!(grid.points.len(), 18);
        assert_eq!(grid.points[0].values, ["0.0001", "imbalance", "dollar", "100"]);
        assert_eq!(grid.points[1].values[3], "150");
        assert_eq!(grid.points[17].values, ["0.01", "imbalance", "tick", "200"]);
    }

    #[test]
    fn a_grid_of_more_keys_than_any_bar_has_is_refused_before_they_are_compared() {
        let keys: String = (0..=100).map(|n| format!("k{n} = [1, 2]\n")).collect();
        let error = understand(&format!("[grid]\n{keys}")).unwrap_err();
        assert!(error.contains("[grid]: 101 keys: a bar has at most 100"), "{error}");
    }

    #[test]
    fn ranges_have_their_ends() {
        let numbers = |text: &str| range(text).unwrap().join(" ");
        assert_eq!(numbers("1..2 lin 3"), "1 1.5 2");
        assert_eq!(numbers("0.001..0.1 log 3"), "0.001 0.01 0.1");
        assert_eq!(numbers("0..1 step 0.1").split(' ').count(), 11);
        assert_eq!(numbers("5..5 lin 1"), "5");
        for wrong in ["2..1 lin 3", "0..1 log 3", "1..2 lin 2.5", "1..2", "1..2 by 1", "a..2 lin 3"]
        {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_holdout_is_the_last_share_of_the_trades() {
        let border = |text: &str, trades| text.parse::<Holdout>().unwrap().border(trades);
        assert_eq!(border("0.5", 10), Some(5));
        assert_eq!(border("0.3", 10), Some(7));
        assert_eq!(border("0.25", 300_001), Some(225_001));
        // Neither part may be empty.
        assert_eq!(border("0.01", 10), None);
        assert_eq!(border("0.99", 10), None);
        assert_eq!(border("0.5", 0), None);
        for wrong in ["0", "1", "-0.5", "50", "half", "NaN", "inf"] {
            let said = understand(&format!(
                "[sweep]\nholdout = \"{wrong}\"\n[grid]\nkind = \"tick\"\nsize = 5\n"
            ));
            let said = said.unwrap_err();
            assert!(said.contains("between 0 and 1"), "{said}");
        }
    }

    #[test]
    fn threads_of_a_replay_are_no_threads_of_a_sweep() {
        // In chunks the sweep would not receive trades.
        let text = "[replay]\nparallel = 2\n[grid]\nkind = \"tick\"\nsize = 5\n";
        assert_eq!(understand(text).unwrap().replay.parallel, 1);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, words) in [
            ("[grid]\n", "the grid is empty"),
            ("[grid]\nkind = \"imbalance\"\nalhpa = [1]\n", "unknown key \"alhpa\""),
            ("[grid]\nkind = \"tick\"\nsize = []\n", "size: an empty list"),
            ("[grid]\nkind = \"tick\"\nsize = \"1..20001 lin 20001\"\n", "more than 10000 values"),
            ("[grid]\nkind = \"imbalance\"\nalpha = [0.1, 2]\n", "alpha"),
            (
                "[sweep]\nmap = [\"alpha\", \"size\"]\n[grid]\nkind = \"imbalance\"\nalpha = 0.1\n",
                "\"size\" is not a key",
            ),
            (
                "[replay]\ncorrections = \"c.csv\"\n[grid]\nkind = \"tick\"\nsize = 5\n",
                "corrections: a sweep cannot apply corrections",
            ),
            (
                "[replay]\nrevision_window = \"1h\"\n[grid]\nkind = \"tick\"\nsize = 5\n",
                "revision_window: a sweep cannot apply corrections",
            ),
            (
                "[replay]\ntrades = \"kept\"\n[grid]\nkind = \"tick\"\nsize = 5\n",
                "trades: not supported by a sweep",
            ),
            ("[sweep]\nby = \"beauty\"\n[grid]\nkind = \"tick\"\nsize = 5\n", "beauty"),
        ] {
            let said = understand(text).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }
}

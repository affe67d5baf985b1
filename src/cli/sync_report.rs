//! `barflow sync-report`: how much history do these bars need before they are those of a longer one?

use std::path::PathBuf;

use barflow_operators::convergence::measure::Arrival;
use barflow_replay::progress::{Progress, StopFlag};
use clap::{ArgMatches, Args, ValueHint};
use serde_json::{Value, json};

use super::failure::{Failure, Outcome};
use super::notes;
use super::options::{self, BarArgs, ConfigArgs, FileArgs, HistoryArgs, ReadingArgs};
use super::progress::Shown;
use super::say::{say, table};
use super::stdout::print_json;
use super::sync_measure::{CONFIDENCE, COVERAGE, Measured, measure};
use super::sync_plot;
use crate::config::replay::ReplaySettings;
use crate::job::outputs::{Content, Inputs, Outputs};
use crate::sinks::atomic_file;
use crate::thousands::{counted, grouped};

const EXAMPLES: &str = "\
Examples:
  # how much history do live builders of these bars need?
  barflow sync-report 'data/BTCUSDT-trades-2024-03-*.zip' --bar 'dib=imbalance,target=1000'

  # two averaging weights compared, with a plot
  barflow sync-report data/ --plot memories.svg \\
    --bar 'quick=imbalance,alpha=0.003' --bar 'slow=imbalance,alpha=0.0003'

A builder that saw everything runs beside builders that began at many points of the same trades. A
builder has converged when both close a bar on the same trade in the same state: from there on all
their bars are equal. See docs/SYNCHRONISATION.md.";

/// `barflow sync-report`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SyncReportArgs {
    /// Which configuration file.
    #[command(flatten)]
    pub config: ConfigArgs,

    /// Points at which builders begin, at least (at most twice as many)
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub points: usize,

    /// One line of JSON per instrument and specification
    #[arg(long)]
    pub json: bool,

    /// Draw the shares of builders that have converged into this file (SVG)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub plot: Option<PathBuf>,

    /// Which trades.
    #[command(flatten)]
    pub files: FileArgs,

    /// Which trades, if they are in a store.
    #[command(flatten)]
    pub history: HistoryArgs,

    /// Which bars.
    #[command(flatten)]
    pub bars: BarArgs,

    /// How trades are put in order.
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// Runs the command.
///
/// # Errors
/// Wrong settings or files (2), outside world (3). With bad rows the outcome is 1.
pub fn run(args: &SyncReportArgs, matches: &ArgMatches) -> Result<Outcome, Failure> {
    let settings = ReplaySettings::understand(args.config.read()?, options::typed(matches))?;
    if settings.protocol.is_some() {
        let message = "sync-report reads files of trades, not recordings";
        return Err(Failure::usage(anyhow::anyhow!(message))
            .hint("keep the recordings' trades with `barflow replay --sink-trades FOLDER` first"));
    }
    if !(1..=10_000).contains(&args.points) {
        return Err(Failure::usage(anyhow::anyhow!("--points {}: 1 to 10000", args.points)));
    }
    let plan = settings.plan(&StopFlag::default())?;
    notes::print(&plan.notes);
    let mut inputs = Inputs::of_files(&settings.files, settings.store.as_deref());
    inputs.files = plan.paths().collect();
    let outputs = Outputs::default().replaces("--plot", args.plot.as_deref(), Content::Text("<"));
    outputs.check(&inputs).map_err(Failure::usage)?;
    let progress = Progress::default();
    let shown = Shown::start(progress.clone(), plan.bytes());
    let (mut measured, mut bad) = (Vec::new(), Vec::new());
    for instrument in plan.instruments {
        let name = instrument.feed.instrument.clone();
        let (found, rejected) = measure(instrument, &settings, args.points, &progress)?;
        measured.extend(found);
        bad.extend((rejected > 0).then_some((name, rejected)));
    }
    drop(shown);
    for measured in &measured {
        match args.json {
            true => print_json(&format!("{}\n", as_json(measured))),
            false => table(&as_text(measured)),
        }
    }
    if let Some(path) = &args.plot {
        let plot = sync_plot::svg(&measured).map_err(|error| {
            Failure::outside(anyhow::anyhow!("the plot could not be drawn: {error}"))
        })?;
        atomic_file::write(path, plot.as_bytes())?;
        say!("the plot is in {}", path.display());
    }
    for (instrument, rejected) in &bad {
        say!(
            "{instrument}: {} left out; `barflow replay --quarantine FILE` names them",
            counted(*rejected, "bad row")
        );
    }
    Ok(if bad.is_empty() { Outcome::Done } else { Outcome::WithRejects })
}

const SHARES: [(&str, f64); 5] =
    [("min", 0.0), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)];

fn as_text(measured: &Measured) -> String {
    let Measured { instrument, spec, trades, findings, .. } = measured;
    let points = measured.points();
    let mut text = format!(
        "{instrument} {spec}: {points} starting points in the first half of {} trades\n",
        grouped(*trades)
    );
    if points == 0 {
        return text + "  too few trades to measure anything\n";
    }
    if findings.arrivals.is_empty() {
        return text
            + &format!(
                "  no builder converged within the {} trades after its start: these bars depend \
                 on where they start;\n  only the same start gives the same bars\n",
                grouped(findings.followed)
            );
    }
    let shown = SHARES.map(|(name, share)| match measured.at(share) {
        Some(arrival) => format!("{name} {}", grouped(arrival.trades)),
        None => format!("{name} beyond"),
    });
    text += &format!("  converged after trades: {}\n", shown.join(", "));
    let mut bars: Vec<u64> = findings.arrivals.iter().map(|arrival| arrival.bars).collect();
    bars.sort_unstable();
    text += &format!(
        "  and bars: min {}, p50 {}, max {}\n",
        grouped(bars[0]),
        grouped(bars[bars.len() / 2]),
        grouped(bars[bars.len() - 1])
    );
    if findings.never > 0 {
        text += &format!(
            "  {} of them ({:.1} %) never, within the {} trades that followed each\n",
            findings.never,
            100.0 * findings.never as f64 / points as f64,
            grouped(findings.followed)
        );
    }
    text + &warm_up(measured)
}

fn warm_up(measured: &Measured) -> String {
    match measured.warm_up() {
        Some(warm_up) => format!(
            "  warm-up: {} trades, {} at the median rate: sufficient for 95 % of all starts with \
             95 % confidence\n           if starts are as independent of each other as these\n",
            grouped(warm_up),
            time(warm_up as f64 * measured.pace)
        ),
        None if measured.findings.never > 0 => {
            "  warm-up: none can be recommended; compare state_digest before relying on equality\n"
                .to_owned()
        }
        None => {
            "  warm-up: too few starting points; use more (--points) or more trades\n".to_owned()
        }
    }
}

fn as_json(measured: &Measured) -> Value {
    let Measured { instrument, spec, trades, findings, pace } = measured;
    let at = |of: &dyn Fn(&Arrival) -> Value| -> Value {
        let pairs = SHARES.map(|(name, share)| (name.to_owned(), measured.at(share).map(of)));
        pairs.into_iter().map(|(name, value)| (name, json!(value))).collect()
    };
    json!({
        "instrument": instrument.as_str(),
        "spec": spec,
        "trades": trades,
        "points": measured.points(),
        "never": findings.never,
        "followed_at_least": findings.followed,
        "identical_after_trades": at(&|arrival| json!(arrival.trades)),
        "bars_there": at(&|arrival| json!(arrival.bars)),
        "seconds_there": at(&|arrival| json!(arrival.nanoseconds as f64 / 1e9)),
        "warm_up_trades": measured.warm_up(),
        "warm_up_seconds": measured.warm_up().map(|trades| trades as f64 * pace / 1e9),
        "coverage": COVERAGE,
        "confidence": CONFIDENCE,
        "arrivals": findings.arrivals.iter().map(|a| json!([a.began, a.trades, a.bars]))
            .collect::<Vec<_>>(),
    })
}

fn time(nanoseconds: f64) -> String {
    let seconds = nanoseconds / 1e9;
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        120.0..7200.0 => format!("{:.0} min", seconds / 60.0),
        7200.0..172_800.0 => format!("{:.1} h", seconds / 3600.0),
        _ => format!("{:.1} days", seconds / 86_400.0),
    }
}

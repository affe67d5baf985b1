//! `barflow quality`: validates trades against an expectation suite.

use std::fs;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use barflow_operators::quality::day::MOST_EXAMPLES;
use barflow_operators::quality::suite::Suite;
use barflow_replay::named::{self, GivenInstrument};
use barflow_replay::plan::{Plan, PlanOptions};
use barflow_replay::progress::Progress;
use clap::{Args, ValueHint};

use super::failure::{Failure, Outcome};
use super::notes;
use super::options::{LayoutArgs, PartArgs, columns};
use super::progress::Shown;
use super::say::{self, say};
use super::signals::Signals;
use super::stdout::print_json;
use crate::config;
use crate::config::instant::instant_ns;
use crate::config::instruments;
use crate::config::problem::Problems;
use crate::job::outputs::{Content, Inputs, Outputs};
use crate::quality::inputs;
use crate::quality::manifest::Manifest;
use crate::quality::report::Report;
use crate::quality::run::{Settings, judge};
use crate::quality::{gx, html, json, table};
use crate::sinks::atomic_file::AtomicFile;
use crate::thousands::{counted, grouped};

const EXAMPLES: &str = "\
Examples:
  # can bars be made from this month?
  barflow quality 'data/BTCUSDT-trades-2024-03-*.zip'

  # a whole store with your own suite, and a report to share
  barflow quality --store store --suite configs/quality.toml --html quality.html --json quality.json

  # offenders of `quarantine` expectations, one JSON line each
  barflow quality data/ --suite my.toml --quarantine offenders.jsonl

  # the same expectations for Great Expectations
  barflow quality --suite configs/quality.toml --export-gx suite.json BTCUSDT-trades.parquet

Without --suite all built-in expectations are checked (configs/quality.toml lists them
with comments). docs/quality.md explains them and the score.

Exit codes: 0 passed, possibly with warnings; 1 an expectation of severity fail or
quarantine is violated, or a file is damaged; 2 wrong usage, suite or input files; 3 cannot be read;
130, 143 stopped by SIGINT or SIGTERM.";

/// `barflow quality`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct QualityArgs {
    /// Files, folders or quoted patterns, as for `barflow replay`
    #[arg(value_name = "FILES", value_hint = ValueHint::AnyPath, help_heading = "Input")]
    pub files: Vec<String>,

    /// A trade store (docs/history.md): its trades, archives and records
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "files")]
    #[arg(help_heading = "Input")]
    pub store: Option<PathBuf>,

    /// Expectation suite (TOML) [default: all expectations with default parameters]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub suite: Option<PathBuf>,

    /// Which part of them; days missing between --from and --to count as missing.
    #[command(flatten)]
    pub part: PartArgs,

    /// How their rows are read.
    #[command(flatten)]
    pub layout: LayoutArgs,

    /// Instruments checked in parallel [default: one per core]
    #[arg(long, value_name = "N", help_heading = "Threads and processes")]
    pub jobs: Option<NonZeroUsize>,

    /// Days to list, worst first
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = "Output")]
    pub days: usize,

    /// Write the full report to this file as JSON; - for standard output, without the table
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub json: Option<PathBuf>,

    /// Write a self-contained report with plots to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub html: Option<PathBuf>,

    /// Write rows that violate quarantine expectations to this file (JSON lines)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub quarantine: Option<PathBuf>,

    /// Export the suite for Great Expectations 1.x to this file, for the given Parquet file (or for
    /// any), without checking
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output",
          conflicts_with_all = ["store", "json", "html", "quarantine"])]
    pub export_gx: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Wrong usage, suite or files (2), outside world (3).
pub fn run(args: &QualityArgs) -> Result<Outcome, Failure> {
    let suite = match &args.suite {
        Some(path) => config::quality::read(path)?,
        None => Suite::usual(),
    };
    check_outputs(args, None)?;
    Signals::exit("reports may be missing; run the same command again")?;
    if let Some(path) = &args.export_gx {
        return export(path, &suite, &args.files);
    }
    let settings = settings(args, suite)?;
    let (instrument, renames) = named::parts(instrument(args)?.as_ref());
    let options = PlanOptions {
        instrument,
        renames,
        from: settings.from,
        to: settings.to,
        quote_from_source: true,
        contract_size: None,
        columns: columns(&args.layout)?,
        keep_suspicious: args.layout.keep_suspicious,
        ..PlanOptions::default()
    };
    let inputs = match &args.store {
        Some(store) => inputs::Inputs::of_store(store, &options),
        None => inputs::Inputs::of_files(&args.files, &options),
    };
    let inputs = inputs?;
    check_outputs(args, Some(&inputs.plan))?;
    notes::print(&inputs.plan.notes);
    let shown = Shown::start(settings.progress.clone(), inputs.plan.bytes());
    let report = judge(inputs, &settings)?;
    drop(shown);
    deliver(args, &report)?;
    let judged = report.instruments.iter().flat_map(|judged| &judged.days);
    let has_range = settings.from.is_some() || settings.to.is_some();
    if has_range && judged.map(|day| day.trades).sum::<u64>() == 0 {
        say!("note: no trade lies between --from and --to");
    }
    Ok(if report.passes() { Outcome::Done } else { Outcome::Differs })
}

/// Makes sure that no report destroys what is checked, the suite, or another report.
fn check_outputs(args: &QualityArgs, plan: Option<&Plan>) -> Result<(), Failure> {
    let mut inputs = Inputs::of_files(&args.files, args.store.as_deref());
    let files = plan.into_iter().flat_map(Plan::paths);
    inputs.files = files.chain(args.suite.clone()).collect();
    let outputs = Outputs::default()
        .replaces("--json", args.json.as_deref(), Content::Text("{"))
        .replaces("--html", args.html.as_deref(), Content::Text("<"))
        .replaces("--quarantine", args.quarantine.as_deref(), Content::Text("{"))
        .replaces("--export-gx", args.export_gx.as_deref(), Content::Text("{"));
    outputs.check(&inputs).map(drop).map_err(Failure::usage)
}

fn settings(args: &QualityArgs, suite: Suite) -> Result<Settings, Failure> {
    let mut problems = Problems::default();
    let mut instant = |flag: &str, text: &Option<String>| {
        let text = text.as_ref()?;
        instant_ns(text).map_err(|e| problems.add(flag, format!("\"{text}\": {e}"))).ok()
    };
    let (from, to) = (instant("--from", &args.part.from), instant("--to", &args.part.to));
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        problems.add("--from, --to", "--from must be before --to");
    }
    problems.or(())?;
    let manifest = match &args.store {
        Some(store) if !store.is_dir() => {
            let message = format!("there is no folder \"{}\"", store.display());
            return Err(Failure::usage(anyhow::anyhow!(message)));
        }
        Some(store) => Manifest::of_store(store)?,
        None => Manifest::default(),
    };
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Ok(Settings {
        suite,
        from,
        to,
        jobs: args.jobs.unwrap_or_else(cores),
        manifest,
        keep_all: args.quarantine.is_some(),
        progress: Progress::default(),
    })
}

fn instrument(args: &QualityArgs) -> Result<Option<GivenInstrument>, Failure> {
    let parsed = args.part.instrument.as_deref().map(instruments::of_files).transpose();
    parsed.map_err(|error| Failure::usage(anyhow::anyhow!("--instrument: {error}")))
}

/// Writes what was asked for: files first, so that the table is the last word.
fn deliver(args: &QualityArgs, report: &Report) -> Result<(), Failure> {
    let to_stdout = args.json.as_deref() == Some(Path::new("-"));
    if let Some(path) = args.json.as_deref().filter(|_| !to_stdout) {
        write(path, |file| writeln!(file, "{:#}", json::value(report)))?;
    }
    if let Some(path) = &args.html {
        let page =
            html::page(report, &origin(args)).map_err(|e| Failure::outside(anyhow::anyhow!(e)))?;
        write(path, |file| file.write_all(page.as_bytes()))?;
        say!("the report is in {}", path.display());
    }
    if let Some(path) = &args.quarantine {
        let (mut written, mut left_out) = (0, 0);
        write(path, |file| {
            (written, left_out) = json::quarantine(report, std::io::BufWriter::new(file))?;
            Ok(())
        })?;
        let more = match left_out {
            0 => String::new(),
            more => format!(
                "; {} more are only counted ({} a day and expectation are kept)",
                grouped(more),
                grouped(MOST_EXAMPLES as u64)
            ),
        };
        let rows = counted(written, "offending row");
        say!("{}: {rows}{more}", path.display());
    }
    match to_stdout {
        true => print_json(&format!("{:#}\n", json::value(report))),
        false => say::table(&table::text(report, args.days)),
    }
    for damaged in report.damaged() {
        say!("damaged: {}", damaged.error);
    }
    Ok(())
}

/// What a page says of itself.
fn origin(args: &QualityArgs) -> html::Origin {
    let suite = args.suite.as_ref().map(|path| path.display().to_string());
    let store = args.store.as_ref().map(|path| path.display().to_string());
    html::Origin {
        made: jiff::Timestamp::now().strftime("%F %R UTC").to_string(),
        suite: suite.unwrap_or_else(|| "all expectations with default parameters".to_owned()),
        inputs: store.map_or_else(|| args.files.clone(), |store| vec![store]),
    }
}

fn write(
    path: &Path,
    fill: impl FnOnce(&mut fs::File) -> std::io::Result<()>,
) -> Result<(), Failure> {
    let (unfinished, mut file) = AtomicFile::create(path)?;
    fill(&mut file).map_err(|error| {
        let what = format!("could not write \"{}\"", path.display());
        Failure::outside(anyhow::Error::new(error).context(what))
    })?;
    unfinished.commit(&file)?;
    Ok(())
}

fn export(path: &Path, suite: &Suite, files: &[String]) -> Result<Outcome, Failure> {
    let file = match files {
        [] => None,
        [file] => Some(PathBuf::from(file)),
        _ => {
            let message = "--export-gx takes at most one file";
            return Err(Failure::usage(anyhow::anyhow!(message)));
        }
    };
    let suite = gx::export(suite, file.as_deref())?;
    write(path, |file| writeln!(file, "{:#}", suite.value))?;
    for (check, why) in suite.left_out {
        say!("left out: {check}: {why}");
    }
    Ok(Outcome::Done)
}

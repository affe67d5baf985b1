//! `barflow verify`: are the bars of an output those that the trades make?

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use barflow_operators::instrument::InstrumentId;
use clap::{ArgMatches, Args, ValueHint};
use serde_json::json;

use super::failure::{Failure, Outcome};
use super::options::{
    self, BarArgs, ConfigArgs, CorrectionArgs, FileArgs, HistoryArgs, QuarantineArgs, ReadingArgs,
    RecordingArgs, RegistryArgs, ThreadArgs, TopicArgs,
};
use super::progress::Watcher;
use super::say::{say, show};
use super::signals::Signals;
use super::stdout::print_json;
use super::{summary, weak};
use crate::compare::audit::{Audit, Standing, judge, ranges};
use crate::compare::cell::Row;
use crate::compare::mark::Mark;
use crate::compare::source;
use crate::config::delivery::DeliveryOptions;
use crate::config::problem::Problems;
use crate::config::replay::ReplaySettings;
use crate::config::sink_kind::SinkKind;
use crate::graph::sink::{BarSink, Commit, SinkError, SinkReport};
use crate::job::ReplayJob;
use crate::sinks::record::BarRecord;
use crate::stop::Stop;
use crate::thousands::counted;

const EXAMPLES: &str = "\
Examples:
  # are all bars of these days in the topic, once and unchanged?
  barflow verify --brokers localhost:9092 --topic 'bars.{spec}' data/BTCUSDT-trades-2024-03-*.zip

  # the same for a folder of Parquet files
  barflow verify --against bars/ --bar 'dib=imbalance,target=1000' data/

Bars of the output outside the trades of the files are ignored. If there are earlier bars, comparison
starts at the first bar on which both agree. Bars of instruments and specifications that are not given
are counted in a note and do not change the exit code.

Exit codes: 0 all bars present, once, equal; 1 differences; 2 wrong usage; 3 cannot be read.";

/// `barflow verify`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// Which configuration file.
    #[command(flatten)]
    pub config: ConfigArgs,

    /// Print JSON, not a table
    #[arg(long)]
    pub json: bool,

    /// Compare with this file or folder of bars, not with Kafka topics
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath, help_heading = "Compared with")]
    pub against: Option<PathBuf>,

    /// Which trades.
    #[command(flatten)]
    pub files: FileArgs,

    /// Which trades, if they are in a store.
    #[command(flatten)]
    pub history: HistoryArgs,

    /// Which trades, if they were recorded.
    #[command(flatten)]
    pub recordings: RecordingArgs,

    /// Which bars.
    #[command(flatten)]
    pub bars: BarArgs,

    /// Where the bars are that are verified.
    #[command(flatten)]
    pub kafka: TopicArgs,

    /// Where the schema of its bars is.
    #[command(flatten)]
    pub registry: RegistryArgs,

    /// Where bad rows go.
    #[command(flatten)]
    pub quarantine: QuarantineArgs,

    /// What was wrong with the files.
    #[command(flatten)]
    pub corrections: CorrectionArgs,

    /// Who does the work.
    #[command(flatten)]
    pub threads: ThreadArgs,

    /// How trades are put in order.
    #[command(flatten)]
    pub reading: ReadingArgs,
}

type Series = BTreeMap<(String, String), Standing>;

/// Runs the command.
///
/// # Errors
/// As `replay`, and when the output cannot be read.
pub fn run(args: &VerifyArgs, matches: &ArgMatches) -> Result<Outcome, Failure> {
    let settings = settings(args, matches)?;
    let made = Arc::new(Mutex::new(Series::new()));
    let stop = Stop::new();
    let signals = Signals::raise(&stop)?;
    let job = ReplayJob::new(settings.clone()).into_sink(Box::new(Keeper(Arc::clone(&made))));
    let ran = job.run(&stop, &Watcher::with_summary(summary::print_replay));
    let report = ran.map_err(|error| Failure::of_run(error, &stop))?;
    if stop.is_raised() {
        say!("nothing was compared; run the same command again");
        return Ok(Outcome::stopped(&stop));
    }
    signals.exit_from_now_on("not all was compared; run the same command again");
    let expected = std::mem::take(&mut *made.lock().unwrap_or_else(PoisonError::into_inner));
    let found = match &args.against {
        Some(path) => {
            let mut found = Series::new();
            let path = path.display().to_string();
            let (kafka, flag) = (settings.kafka.settings(), stop.flag().into());
            let mut note = |row: Row| note(&mut found, &row);
            source::read_each(&path, &kafka, &flag, &mut note)?;
            found
        }
        None => topics(&settings, &expected)?,
    };
    let clean = compare(&expected, &found, args.json);
    Ok(if clean { Outcome::of_replay(&report) } else { Outcome::Differs })
}

/// What to replay: nothing is written but the bad rows, whatever the file says.
fn settings(args: &VerifyArgs, matches: &ArgMatches) -> Result<ReplaySettings, Problems> {
    let mut settings = ReplaySettings::understand(args.config.read()?, options::typed(matches))?;
    if args.against.is_none() {
        let mut problems = Problems::default();
        match settings.kafka.brokers {
            Some(_) => settings.kafka.check(&mut problems),
            None => problems.add(
                "barflow verify",
                "where are the bars? --against FILE (or a folder of Parquet files), or --brokers \
                 HOST:PORT with --topic",
            ),
        }
        problems.or(())?;
    }
    settings.sink = SinkKind::None;
    settings.delivery = DeliveryOptions::none();
    (settings.trades, settings.daily) = (None, None);
    Ok(settings)
}

/// Prints how every series compares; returns whether all bars are there, once and equal.
fn compare(expected: &Series, found: &Series, as_lines: bool) -> bool {
    let mut is_clean = true;
    for (series, bars) in expected {
        let audit = judge(bars.bars(), found.get(series).map_or(&[][..], Standing::bars));
        let (instrument, spec) = series;
        match as_lines {
            true => print_json(&format!("{}\n", as_json(instrument, spec, &audit))),
            false => show!("{instrument} {spec}: {}", as_text(&audit)),
        }
        is_clean &= audit.is_clean();
    }
    not_compared(expected, found, as_lines);
    if expected.is_empty() {
        say!("the trades make no bars; nothing was compared");
    }
    is_clean
}

/// Series that a note names.
const NAMED: usize = 20;

/// Names the series of the output that the trades and specifications given do not make: an output may
/// have others, and nothing is known of them.
fn not_compared(expected: &Series, found: &Series, as_lines: bool) {
    let others = || found.iter().filter(|(series, _)| !expected.contains_key(*series));
    let others = || others().filter(|(_, bars)| !bars.bars().is_empty());
    for ((instrument, spec), bars) in others().take(if as_lines { usize::MAX } else { NAMED }) {
        let count = bars.bars().len() as u64;
        match as_lines {
            true => {
                let line = json!({"instrument": instrument, "spec": spec, "not_compared": count});
                print_json(&format!("{line}\n"));
            }
            false => say!(
                "note: {instrument} {spec}: {} of the output not compared: these trades and \
                 specifications make none",
                counted(count, "bar")
            ),
        }
    }
    let more = others().count().saturating_sub(NAMED);
    if more > 0 && !as_lines {
        say!("note: and {more} more instruments and specifications");
    }
}

/// Reads every topic that a recomputed bar would go to.
fn topics(settings: &ReplaySettings, expected: &Series) -> Result<Series, Failure> {
    let kafka = settings.kafka.settings();
    weak::warn(&kafka);
    let mut topics: Vec<String> = Vec::new();
    for (instrument, spec) in expected.keys() {
        let instrument: InstrumentId = instrument
            .parse()
            .map_err(|error| Failure::usage(anyhow::anyhow!("{instrument}: {error}")))?;
        let topic = kafka.topic_of(spec, &instrument)?;
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    let mut found = Series::new();
    for topic in topics {
        source::kafka(&kafka, &topic, &mut |row| note(&mut found, &row))?;
    }
    Ok(found)
}

fn note(series: &mut Series, row: &Row) {
    let revision = u64::try_from(row.whole("revision")).unwrap_or_default();
    series.entry(row.key()).or_default().take(Mark::from(row), row.retracts(), revision);
}

fn as_text(audit: &Audit) -> String {
    if !audit.is_judged() {
        return format!(
            "none of {} bars agrees with the output: it has a different history or different \
             bars; give earlier files, or check the parameters",
            audit.expected
        );
    }
    let mut text = format!("{} of {} bars equal", audit.equal, audit.expected - audit.unjudged);
    if audit.unjudged > 0 {
        text += &format!(
            "; the first {} depend on trades before these files and are not judged",
            audit.unjudged
        );
    }
    if audit.outside > 0 {
        text += &format!("; {} bars of the output are outside these trades", audit.outside);
    }
    for (what, bars) in [
        ("missing", &audit.missing),
        ("repeated", &audit.repeated),
        ("not made by these trades", &audit.unexpected),
        ("out of order", &audit.disordered),
    ] {
        if !bars.is_empty() {
            text += &format!("\n  {} {what}: bars {}", bars.len(), ranges(bars));
        }
    }
    text
}

fn as_json(instrument: &str, spec: &str, audit: &Audit) -> serde_json::Value {
    let seqs = |bars: &[Mark]| bars.iter().map(|bar| bar.seq).collect::<Vec<_>>();
    json!({
        "instrument": instrument,
        "spec": spec,
        "expected": audit.expected,
        "found": audit.found,
        "equal": audit.equal,
        "unjudged": audit.unjudged,
        "outside": audit.outside,
        "missing": seqs(&audit.missing),
        "repeated": seqs(&audit.repeated),
        "unexpected": seqs(&audit.unexpected),
        "disordered": seqs(&audit.disordered),
    })
}

/// Keeps what is needed of each bar.
struct Keeper(Arc<Mutex<Series>>);

impl BarSink for Keeper {
    fn commit(&mut self, commit: &Commit) -> Result<(), SinkError> {
        let mut series = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (published, diff) in &commit.bars {
            let row = source::written(&BarRecord::of(published, *diff));
            let row = row.map_err(SinkError::Refused)?;
            note(&mut series, &row);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, SinkError> {
        Ok(SinkReport::default())
    }
}

//! `barflow verify`: are the bars of an output those that the trades make?

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use barflow_operators::instrument::InstrumentId;
use clap::{Args, ValueHint};
use serde_json::json;

use super::args::ReplayArgs;
use super::failure::{Failure, Outcome};
use super::replay::{Errand, replay_for};
use crate::compare::audit::{Audit, Mark, Standing, judge, ranges};
use crate::compare::cell::{Cell, Row};
use crate::compare::source::{self, SourceError};
use crate::config::file::ConfigFile;
use crate::config::problem::Problems;
use crate::config::replay::{ReplaySettings, SinkKind};
use crate::graph::sink::{BarSink, Commit, SinkError, SinkReport};
use crate::graph::stop::Stop;

const EXAMPLES: &str = "\
Examples:
  # were all bars of these days written, once, as they should be?
  barflow verify --brokers localhost:9092 --topic 'bars.{spec}' data/BTCUSDT-trades-2024-03-*.zip

  # the same of a folder of Parquet files
  barflow verify --against bars/ --bar 'dib=imbalance,target=1000' data/

Bars of the output before the first trade of the files and behind the last one are let be. If there
are earlier ones, bars are judged from the first on which both agree.

Exit codes: 0 all bars are there once and equal; 1 some are not; 2 wrong usage; 3 not readable.";

/// `barflow verify`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// Compare with this file or folder of bars instead of Kafka topics
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub against: Option<PathBuf>,

    /// JSON instead of a table
    #[arg(long)]
    pub json: bool,

    /// Which trades, and which bars of them; where bars would go is where they are looked for.
    #[command(flatten)]
    pub replay: ReplayArgs,
}

type Series = BTreeMap<(String, String), Standing>;

/// Runs the command.
///
/// # Errors
/// As `replay`, and when the output cannot be read.
pub fn run(args: VerifyArgs) -> Result<Outcome, Failure> {
    let file = match &args.replay.config {
        Some(path) => ConfigFile::read(path)?,
        None => ConfigFile::default(),
    };
    let mut settings = ReplaySettings::understand(file, args.replay.typed())?;
    if args.against.is_none() {
        let mut problems = Problems::default();
        settings.kafka.check(&mut problems);
        problems.or(())?;
    }
    // Nothing is written, whatever the file says.
    settings.sink = SinkKind::None;
    settings.delivery = crate::config::delivery::DeliveryOptions::none();
    let made = Arc::new(Mutex::new(Series::new()));
    let stop = Stop::new();
    let errand = Errand {
        sink: Some(Box::new(Keeper(Arc::clone(&made)))),
        progress: true,
        summary: true,
        stop: stop.clone(),
        ..Errand::default()
    };
    let outcome = replay_for(&settings, errand)?;
    if stop.is_raised() {
        eprintln!("stopped; nothing was compared");
        return Ok(Outcome::WithRejects);
    }
    let expected = std::mem::take(&mut *made.lock().unwrap_or_else(PoisonError::into_inner));
    let found = match &args.against {
        Some(path) => {
            let mut found = Series::new();
            let path = path.display().to_string();
            source::read_each(&path, &mut |row| note(&mut found, &row)).map_err(unreadable)?;
            found
        }
        None => topics(&settings, &expected)?,
    };
    let audits: Vec<_> = expected
        .iter()
        .map(|(series, bars)| {
            let found = found.get(series).map_or(&[][..], Standing::bars);
            (series, judge(bars.bars(), found))
        })
        .collect();
    for ((instrument, spec), audit) in &audits {
        match args.json {
            true => println!("{}", as_json(instrument, spec, audit)),
            false => println!("{instrument} {spec}: {}", as_text(audit)),
        }
    }
    if audits.is_empty() {
        eprintln!("the trades make no bars; nothing was compared");
    }
    let clean = audits.iter().all(|(_, audit)| audit.is_clean());
    Ok(if clean { outcome } else { Outcome::Differs })
}

/// Reads every topic that a recomputed bar would go to.
fn topics(settings: &ReplaySettings, expected: &Series) -> Result<Series, Failure> {
    let kafka = settings.kafka.settings();
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
        source::kafka(kafka.reader()?, &topic, &mut |row| note(&mut found, &row))
            .map_err(unreadable)?;
    }
    Ok(found)
}

fn unreadable(error: SourceError) -> Failure {
    match error {
        SourceError::NotABar { .. } => Failure::usage(error),
        _ => Failure::outside(error),
    }
}

fn note(series: &mut Series, row: &Row) {
    let whole = |name| u64::try_from(row.whole(name)).unwrap_or_default();
    let digest = match row.get("state_digest") {
        Cell::Text(text) => u64::from_str_radix(text, 16).unwrap_or_default(),
        _ => 0,
    };
    let trades = (whole("first_trade_id"), whole("last_trade_id"));
    let mark = Mark { seq: whole("seq"), trades, digest };
    series.entry(row.key()).or_default().take(mark, row.retracts(), whole("revision"));
}

fn as_text(audit: &Audit) -> String {
    if !audit.is_judged() {
        return format!(
            "none of {} bars agrees with the output, which has another past, or other bars; begin \
             with earlier files, or look at the parameters",
            audit.expected
        );
    }
    let mut text = format!("{} of {} bars equal", audit.equal, audit.expected - audit.unjudged);
    if audit.unjudged > 0 {
        text += &format!(
            "; the first {} have another past than the output's and cannot be judged",
            audit.unjudged
        );
    }
    if audit.outside > 0 {
        text += &format!("; {} bars of the output lie outside these trades", audit.outside);
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
            let key = (published.feed.instrument.to_string(), published.spec.to_string());
            let bar = &published.bar;
            let trades = (bar.first_trade_id, bar.last_trade_id);
            let mark = Mark { seq: bar.seq, trades, digest: bar.state_digest };
            series.entry(key).or_default().take(mark, *diff < 0, bar.revision.into());
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, SinkError> {
        Ok(SinkReport::default())
    }
}

//! `barflow check`: is a configuration valid, and how is a data file understood? Touches nothing.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::failure::{Failure, Outcome};
use super::options::LayoutArgs;
use super::say::{show, table};
use crate::config::bars::BarBook;
use crate::config::file::ConfigFile;
use crate::config::live::LiveSettings;
use crate::config::problem::Problems;
use crate::config::quality;
use crate::config::replay::{ReplaySettings, Typed};
use crate::config::sink_kind::SinkKind;
use crate::config::sweep::{SweepSettings, TypedSweep};
use crate::config::targets::doubts;
use crate::thousands::counted;

mod data;

/// `barflow check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Configurations (TOML), or files of trades: these are shown as they are understood
    #[arg(required = true, value_name = "FILES", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,

    /// Instrument of the files of trades [default: from the file names]
    #[arg(long, value_name = "ID", help_heading = "Input")]
    pub instrument: Option<String>,

    /// How the rows of files of trades are read.
    #[command(flatten)]
    pub layout: LayoutArgs,
}

/// Checks every file and says what each would do, or how it is understood.
///
/// # Errors
/// All problems of all configurations; the first file of trades that is not understood.
pub fn run(args: &CheckArgs) -> Result<Outcome, Failure> {
    let mut problems = Problems::default();
    for path in &args.files {
        if data::is_data(path) {
            table(&data::describe(path, args.instrument.as_deref(), &args.layout)?);
            continue;
        }
        let origin = path.display().to_string();
        match ConfigFile::read(path).and_then(|file| understand(file, &origin)) {
            Ok((what, warnings)) => {
                show!("{}: ok ({what})", path.display());
                for warning in warnings {
                    show!("{}: warning: {warning}", path.display());
                }
            }
            Err(found) => problems.0.extend(found.0),
        }
    }
    problems.or(Outcome::Done).map_err(Failure::usage)
}

/// What a file would do; a file with feeds is for live runs, any other for replays.
fn understand(file: ConfigFile, origin: &str) -> Result<(String, Vec<String>), Problems> {
    if !file.expect.is_empty() {
        let suite = quality::understand(file, origin)?;
        return Ok((counted(suite.expectations().len() as u64, "expectation"), Vec::new()));
    }
    if file.sections.contains_key("grid") || file.sections.contains_key("sweep") {
        let settings = SweepSettings::understand(file, TypedSweep::default())?;
        let points = counted(settings.grid.points.len() as u64, "configuration");
        return Ok((format!("a grid of {points}"), Vec::new()));
    }
    let is_live = !file.feeds.is_empty() || file.sections.contains_key("live");
    if !is_live {
        let settings = ReplaySettings::understand(file, Typed::default())?;
        let mut warnings = doubtful(&settings.bars);
        if settings.sink == SinkKind::Kafka {
            warnings.extend(settings.kafka.settings().weaknesses());
        }
        return Ok((bars(&settings.bars), warnings));
    }
    let settings = LiveSettings::understand(file, Typed::default())?;
    let feeds: Vec<String> = settings
        .feeds
        .iter()
        .map(|feed| {
            let instrument = format!("{} instrument", feed.venue.protocol());
            format!("{} with {}", feed.name, counted(feed.symbols.len() as u64, &instrument))
        })
        .collect();
    let count = counted(feeds.len() as u64, "feed");
    let what = format!("{count}: {}; {}", feeds.join(", "), bars(&settings.bars));
    let mut warnings = doubtful(&settings.bars);
    for feed in &settings.feeds {
        let weaknesses = feed.weaknesses().into_iter();
        warnings.extend(weaknesses.map(|weakness| format!("[feeds.{}] {weakness}", feed.name)));
    }
    if settings.sink == SinkKind::Kafka {
        warnings.extend(settings.kafka.settings().weaknesses());
    }
    Ok((what, warnings))
}

fn doubtful(book: &BarBook) -> Vec<String> {
    let doubts = book.specs().flat_map(|(spec, _)| doubts(spec));
    doubts.map(|doubt| doubt.to_string()).collect()
}

fn bars(book: &BarBook) -> String {
    let bars = book.orders();
    let names: Vec<&str> = bars.iter().map(|order| &**order.spec.name()).collect();
    format!("{}: {}", counted(bars.len() as u64, "bar"), names.join(", "))
}

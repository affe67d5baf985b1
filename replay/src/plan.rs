//! Which files make up each instrument's history, and in which order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barflow_operators::batch::{Feed, IdKind};
use barflow_operators::instrument::InstrumentId;

use crate::decode::Container;
use crate::error::ReplayError;
use crate::find::{Found, find};
use crate::naming::{self, Naming};
use crate::plan_note::PlanNote;
use crate::progress::StopFlag;
use crate::rows::careful::is_ordinal;
use crate::rows::{Exclude, Layout, Quote, RowFormat};
use crate::sniff::{self, Sniffed};
use crate::{binance, spool, trades_parquet};

/// What the user says about the files.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// The instrument of all files, whatever their names say.
    pub instrument: Option<InstrumentId>,
    /// First event time wanted, ns.
    pub from: Option<i64>,
    /// First event time no longer wanted, ns.
    pub to: Option<i64>,
    /// Take the quote column of files that have one.
    pub quote_from_source: bool,
    /// Quote value of one contract of inverse instruments; the venue's rule if not given.
    pub contract_size: Option<f64>,
    /// Ends a look at files that takes long.
    pub stop: StopFlag,
    /// Keep ticks that LEAN flags as suspicious.
    pub keep_suspicious: bool,
}

/// How a file's rows are read.
#[derive(Clone, Debug, PartialEq)]
pub enum FileKind {
    /// Lines of text.
    Rows(RowFormat),
    /// barflow's own trades.
    Parquet,
}

/// One file of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedFile {
    /// Where it is.
    pub path: PathBuf,
    /// How it is packed.
    pub container: Container,
    /// How its rows are read.
    pub kind: FileKind,
    /// Event time of its first row, ns.
    pub first_time: i64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// One instrument's history.
#[derive(Clone, Debug, PartialEq)]
pub struct InstrumentPlan {
    /// What its trades have in common.
    pub feed: Arc<Feed>,
    /// Its files, by the time of their first row.
    pub files: Vec<PlannedFile>,
}

/// All histories, by instrument.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// One per instrument.
    pub instruments: Vec<InstrumentPlan>,
    /// What is worth knowing about it.
    pub notes: Vec<PlanNote>,
}

/// What one file is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recognised {
    /// Its instrument and how it is read; none if nothing of it is wanted.
    pub trades: Option<(Feed, PlannedFile)>,
    /// What is worth knowing about it.
    pub notes: Vec<PlanNote>,
}

impl Plan {
    /// How many files there are.
    pub fn files(&self) -> usize {
        self.instruments.iter().map(|instrument| instrument.files.len()).sum()
    }

    /// Bytes of all files on disk.
    pub fn bytes(&self) -> u64 {
        self.instruments.iter().flat_map(|i| &i.files).map(|file| file.bytes).sum()
    }
}

/// Finds, recognises and orders files.
///
/// # Errors
/// The first input that is missing, empty, unreadable or unknown, and files that cannot be one
/// history.
pub fn plan(inputs: &[String], options: &PlanOptions) -> Result<Plan, ReplayError> {
    let mut histories: BTreeMap<InstrumentId, InstrumentPlan> = BTreeMap::new();
    let Found { paths, mut notes } = find(inputs, &options.stop)?;
    for path in paths {
        let recognised = recognise(&path, options)?;
        notes.extend(recognised.notes);
        let Some((feed, file)) = recognised.trades else { continue };
        let history = histories
            .entry(feed.instrument.clone())
            .or_insert_with(|| InstrumentPlan { feed: Arc::new(feed.clone()), files: Vec::new() });
        if *history.feed != feed {
            let other = history.files.first().map(|file| file.path.display().to_string());
            return Err(ReplayError::Mixed(format!(
                "{} contains {} and {} contains {} of {}: their bars differ; replay them \
                 separately",
                path.display(),
                describe(&feed),
                other.unwrap_or_default(),
                describe(&history.feed),
                feed.instrument
            )));
        }
        history.files.push(file);
    }
    if histories.is_empty() {
        let text = "no file contains trades in the requested time range".to_owned();
        return Err(ReplayError::NothingToRead(text));
    }
    let mut instruments: Vec<_> = histories.into_values().collect();
    for instrument in &mut instruments {
        instrument.files.sort_by(|a, b| (a.first_time, &a.path).cmp(&(b.first_time, &b.path)));
    }
    Ok(Plan { instruments, notes })
}

fn describe(feed: &Feed) -> String {
    let side = if feed.has_aggressor { "with" } else { "without" };
    format!("{} {side} aggressor side", feed.input.as_str())
}

/// What a file is; without trades if its name says that none of them are wanted.
///
/// # Errors
/// When it is empty, damaged or of an unknown layout.
pub fn recognise(path: &Path, options: &PlanOptions) -> Result<Recognised, ReplayError> {
    let naming = naming::read(path);
    if is_outside(&naming, options) {
        return Ok(Recognised::default());
    }
    let container = sniff::container(path)?;
    let bytes = spool::length(path).map_err(|e| ReplayError::io("open", path, e))?;
    if container == Container::Parquet {
        let head = trades_parquet::read::head(path)?;
        let instrument = options.instrument.clone().unwrap_or(head.feed.instrument);
        let feed = Feed { instrument, ..head.feed };
        let kind = FileKind::Parquet;
        let first_time = head.first_time;
        let path = path.to_owned();
        return Ok(trades_of(feed, PlannedFile { path, container, kind, first_time, bytes }));
    }
    let sniffed = sniff::rows(path, container, &naming)?;
    let instrument = match &options.instrument {
        Some(instrument) => instrument.clone(),
        None => name_instrument(path, &naming, &sniffed)?,
    };
    let ordinal = is_ordinal(sniffed.layout);
    let quote = if instrument.venue() == "binance" && instrument.market() == "cm" {
        let rule = || binance::contract_size(instrument.symbol());
        Quote::Inverse { contract: options.contract_size.unwrap_or_else(rule) }
    } else if options.quote_from_source && matches!(sniffed.layout, Layout::Trades { .. }) {
        Quote::Source
    } else {
        Quote::Product
    };
    let futures = instrument.venue() == "binance" && matches!(instrument.market(), "um" | "cm");
    let exclude = Exclude {
        zero_qty: futures || sniffed.layout.is_of_futures(),
        suspicious: !options.keep_suspicious,
    };
    let feed = Feed {
        instrument,
        input: sniffed.layout.input(),
        ids: if ordinal { IdKind::Ordinal } else { IdKind::Venue },
        has_aggressor: !ordinal,
    };
    let kind = FileKind::Rows(RowFormat {
        layout: sniffed.layout,
        unit: sniffed.unit,
        market: sniffed.market,
        quote,
        exclude,
        header: sniffed.header,
    });
    let (path, first_time) = (path.to_owned(), sniffed.first_time);
    Ok(trades_of(feed, PlannedFile { path, container, kind, first_time, bytes }))
}

fn trades_of(feed: Feed, file: PlannedFile) -> Recognised {
    Recognised { trades: Some((feed, file)), notes: Vec::new() }
}

fn name_instrument(
    path: &Path,
    naming: &Naming,
    sniffed: &Sniffed,
) -> Result<InstrumentId, ReplayError> {
    let layout = sniffed.layout;
    let stem = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = stem.split('.').next().unwrap_or_default();
    let symbol = naming.symbol.clone();
    let text = match layout {
        Layout::Tardis => return named_by_rows(path, sniffed.market.as_deref()),
        Layout::Kraken => Some(format!("kraken:spot:{stem}")),
        Layout::Lean { .. } => symbol.map(|symbol| format!("lean:equity:{symbol}")),
        Layout::Trades { .. } | Layout::AggTrades { .. } => symbol.map(|symbol| {
            let market = naming.market.unwrap_or(if naming::is_coin_margined(&symbol) {
                "cm"
            } else if layout.is_of_futures() {
                "um"
            } else {
                "spot"
            });
            format!("binance:{market}:{symbol}")
        }),
    };
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let reason = "its name does not contain the instrument (SYMBOL-trades-DATE…); give it \
                      with --instrument venue:market:SYMBOL";
        ReplayError::layout(path, reason)
    })
}

/// The instrument that Tardis means. Only exchanges whose markets are divided here as they are there
/// have a name; guessing one for the others would keep their bars apart from live ones.
fn named_by_rows(path: &Path, market: Option<&str>) -> Result<InstrumentId, ReplayError> {
    let market = market.unwrap_or_default();
    let text = match market.split_once(',') {
        Some(("binance", symbol)) => Some(format!("binance:spot:{symbol}")),
        Some(("binance-futures", symbol)) => Some(format!("binance:um:{symbol}")),
        Some(("binance-delivery", symbol)) => Some(format!("binance:cm:{symbol}")),
        _ => None,
    };
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let reason = format!(
            "its rows are of {market}, which is not known; give the instrument with --instrument \
             venue:market:SYMBOL"
        );
        ReplayError::layout(path, reason)
    })
}

/// Whether a file's name puts it wholly outside the wanted times. An hour's grace on both sides:
/// recorders cut days by their own clocks.
fn is_outside(naming: &Naming, options: &PlanOptions) -> bool {
    const GRACE_NS: i64 = 3_600_000_000_000;
    const DAY_NS: i64 = 24 * GRACE_NS;
    let Some((first, last)) = naming.days else { return false };
    // LEAN's days are New York's; a day of grace covers any zone.
    let start = |day: jiff::civil::Date| {
        let zoned = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        i64::try_from(zoned.timestamp().as_nanosecond()).ok()
    };
    let (Some(first), Some(last)) = (start(first), start(last)) else { return false };
    let before = options.from.is_some_and(|from| last.saturating_add(2 * DAY_NS + GRACE_NS) < from);
    let after = options.to.is_some_and(|to| first.saturating_sub(DAY_NS + GRACE_NS) >= to);
    before || after
}

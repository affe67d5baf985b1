//! Which files make up each instrument's history, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barflow_operators::batch::{Feed, IdKind, InputKind};
use barflow_operators::instrument::InstrumentId;

use crate::columns::choice::ColumnChoice;
use crate::decode::Container;
use crate::error::ReplayError;
use crate::file_part::FilePart;
use crate::find::{Found, find};
use crate::history;
use crate::members::{self, Members};
use crate::merge::Beginning;
use crate::named::{self, Renames};
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
    /// The instrument of all files; those that name another one are refused.
    pub instrument: Option<InstrumentId>,
    /// Which files may be of that instrument although they name another one.
    pub renames: Renames,
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
    /// Which column holds what; by their header if not given.
    pub columns: Option<ColumnChoice>,
    /// Keep ticks that LEAN flags as suspicious.
    pub keep_suspicious: bool,
}

/// How a file's rows are read.
#[derive(Clone, Debug, PartialEq)]
pub enum FileKind {
    /// Lines of text.
    Rows(RowFormat),
    /// Rows of a Parquet file of another writer.
    Table(RowFormat),
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
    /// Id of its first trade, where it has ids.
    pub first_id: Option<u64>,
    /// Which part of the file is read, and from which end.
    pub part: FilePart,
    /// Bytes on disk.
    pub bytes: u64,
}

impl PlannedFile {
    /// The file and how it is read, all of it.
    pub fn whole(
        path: &Path,
        container: Container,
        kind: FileKind,
        first_time: i64,
        bytes: u64,
    ) -> Self {
        let part = FilePart::default();
        Self { path: path.to_owned(), container, kind, first_time, first_id: None, part, bytes }
    }

    /// Where its ids and times begin.
    pub fn beginning(&self) -> Option<Beginning> {
        self.first_id.map(|id| Beginning { id, time: self.first_time })
    }

    /// The file, or `archive.zip/member.csv`.
    pub fn name(&self) -> String {
        self.part.start(&self.path).place().to_string()
    }
}

/// One instrument's history.
#[derive(Clone, Debug, PartialEq)]
pub struct InstrumentPlan {
    /// What its trades have in common.
    pub feed: Arc<Feed>,
    /// Its files, in the order in which they are read (see [`history::arrange`]).
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
    /// A file without trades: what they would have in common, as far as that can be told.
    pub empty: Option<Feed>,
    /// What is worth knowing about it.
    pub notes: Vec<PlanNote>,
}

impl Plan {
    /// All files.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let files = self.instruments.iter().flat_map(|instrument| &instrument.files);
        files.map(|file| file.path.clone())
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        let paths = |i: &InstrumentPlan| {
            i.files.iter().map(|file| file.path.as_path()).collect::<BTreeSet<_>>().len()
        };
        self.instruments.iter().map(paths).sum()
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
        for note in recognised.notes {
            // Many files of one instrument say the same.
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
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
        let is_empty = |note: &&PlanNote| matches!(note, PlanNote::NoTrades(_));
        if let Some(note) = notes.iter().find(is_empty) {
            return Err(ReplayError::NothingToRead(format!("no trades: {note}")));
        }
        let text = "no file contains trades in the requested time range".to_owned();
        return Err(ReplayError::NothingToRead(text));
    }
    let mut instruments: Vec<_> = histories.into_values().collect();
    for instrument in &mut instruments {
        notes.extend(history::arrange(instrument, &options.stop)?);
    }
    Ok(Plan { instruments, notes: gathered(notes) })
}

/// Notes of one kind about several files are one line.
pub fn gathered(notes: Vec<PlanNote>) -> Vec<PlanNote> {
    let mut empty = Vec::new();
    let mut gathered = Vec::new();
    for note in notes {
        match note {
            PlanNote::NoTrades(files) => empty.extend(files),
            note => gathered.push(note),
        }
    }
    if !empty.is_empty() {
        gathered.push(PlanNote::NoTrades(empty));
    }
    gathered
}

fn describe(feed: &Feed) -> String {
    let side = if feed.has_aggressor { "with" } else { "without" };
    format!("{} {side} aggressor side", feed.input.as_str())
}

/// What a file is; without trades if its name says that none of them are wanted, or if it has a header
/// and no rows.
///
/// # Errors
/// When it is empty, damaged or of an unknown layout.
pub fn recognise(path: &Path, options: &PlanOptions) -> Result<Recognised, ReplayError> {
    let mut naming = naming::read(path);
    if is_outside(&naming, options) {
        return Ok(Recognised::default());
    }
    let container = sniff::container(path)?;
    let bytes = spool::length(path).map_err(|e| ReplayError::io("open", path, e))?;
    if container == Container::Parquet && trades_parquet::read::is_own(path)? {
        let head = trades_parquet::read::head(path)?;
        let given = given(path, Some(head.feed.instrument.symbol()), options)?;
        let feed = Feed { instrument: given.unwrap_or(head.feed.instrument), ..head.feed };
        let Some(first_time) = head.first_time else { return Ok(empty(path, Some(feed))) };
        let kind = FileKind::Parquet;
        let file = PlannedFile::whole(path, container, kind, first_time, bytes);
        return Ok(trades_of(feed, file));
    }
    let mut members = Members::default();
    if container == Container::Zip {
        let file = spool::open(path).map_err(|e| ReplayError::io("open", path, e))?;
        members = members::open(path, file)?.1;
        naming = named::members_agree(path, naming, &members.read)?;
    }
    let named = naming.symbol.as_deref().filter(|_| !naming.symbol_of_folder);
    let given = given(path, named, options)?;
    let choice = options.columns.as_ref();
    let looked = match container {
        Container::Parquet => sniff::table(path, choice),
        _ => sniff::rows(path, container, &naming, choice, &options.stop),
    };
    let sniffed = match looked {
        Err(ReplayError::HeaderOnly { header, .. }) => {
            let feed = feed_of_header(path, &naming, &header, given);
            return Ok(empty(path, feed));
        }
        sniffed => sniffed?,
    };
    if is_of_kraken(&sniffed.layout) {
        named::one_pair(path, &members.read)?;
    }
    let instrument = match given {
        Some(instrument) => {
            if let Some((_, symbol)) = sniffed.market.as_deref().and_then(|of| of.split_once(',')) {
                named::agrees(path, symbol, &instrument, &options.renames)?;
            }
            instrument
        }
        None => name_instrument(path, &naming, &sniffed)?,
    };
    let first_time = sniffed.first_time;
    let (feed, format, note) = format_of(instrument, sniffed, options);
    let kind = match container {
        Container::Parquet => FileKind::Table(format),
        _ => FileKind::Rows(format),
    };
    let file = PlannedFile::whole(path, container, kind, first_time, bytes);
    let mut recognised = trades_of(feed, file);
    recognised.notes.extend(note);
    if !members.passed_over.is_empty() {
        let (archive, members) = (path.to_owned(), members.passed_over);
        recognised.notes.push(PlanNote::MembersPassedOver { archive, members });
    }
    Ok(recognised)
}

/// How the rows of an instrument's file are read.
fn format_of(
    instrument: InstrumentId,
    sniffed: Sniffed,
    options: &PlanOptions,
) -> (Feed, RowFormat, Option<PlanNote>) {
    let ordinal = is_ordinal(&sniffed.layout);
    let quote = if instrument.venue() == "binance" && instrument.market() == "cm" {
        let rule = || binance::contract_size(instrument.symbol());
        Quote::Inverse { contract: options.contract_size.unwrap_or_else(rule) }
    } else if options.quote_from_source && sniffed.layout.has_quote() {
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
        has_aggressor: sniffed.layout.has_aggressor(),
    };
    let note = |why| PlanNote::WithoutIds { instrument: feed.instrument.clone(), why };
    let note = sniffed.without_ids.map(note);
    let format = RowFormat {
        layout: sniffed.layout,
        unit: sniffed.unit,
        market: sniffed.market,
        quote,
        exclude,
        header: sniffed.header,
    };
    (feed, format, note)
}

/// Whether files of this layout are named for their pair alone.
fn is_of_kraken(layout: &Layout) -> bool {
    match layout {
        Layout::Kraken => true,
        Layout::Mapped(columns) => columns.is_bare(),
        _ => false,
    }
}

fn trades_of(feed: Feed, file: PlannedFile) -> Recognised {
    Recognised { trades: Some((feed, file)), ..Recognised::default() }
}

fn empty(path: &Path, feed: Option<Feed>) -> Recognised {
    let notes = vec![PlanNote::NoTrades(vec![path.to_owned()])];
    Recognised { empty: feed, notes, ..Recognised::default() }
}

/// The instrument that was given, if a file that says `symbol` can be of it.
fn given(
    path: &Path,
    symbol: Option<&str>,
    options: &PlanOptions,
) -> Result<Option<InstrumentId>, ReplayError> {
    if let Some((symbol, given)) = symbol.zip(options.instrument.as_ref()) {
        named::agrees(path, symbol, given, &options.renames)?;
    }
    Ok(options.instrument.clone())
}

/// What the trades would have in common that a file has none of.
fn feed_of_header(
    path: &Path,
    naming: &Naming,
    header: &str,
    given: Option<InstrumentId>,
) -> Option<Feed> {
    let columns = header.split(',').count();
    let layout = match naming.input? {
        InputKind::Trades => Layout::Trades { columns },
        InputKind::AggTrades => Layout::AggTrades { columns },
    };
    let input = layout.input();
    let (unit, first_time) = (1_000_000, 0);
    let (without_ids, market, header) = (None, None, None);
    let sniffed = Sniffed { layout, unit, without_ids, market, header, first_time };
    let instrument = given.or_else(|| name_instrument(path, naming, &sniffed).ok())?;
    Some(Feed { instrument, input, ids: IdKind::Venue, has_aggressor: true })
}

fn name_instrument(
    path: &Path,
    naming: &Naming,
    sniffed: &Sniffed,
) -> Result<InstrumentId, ReplayError> {
    let layout = &sniffed.layout;
    let stem = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = stem.split('.').next().unwrap_or_default();
    let symbol = naming.symbol.clone();
    let text = match layout {
        Layout::Mapped(columns) if columns.exchange.is_some() => {
            return named_by_rows(path, sniffed.market.as_deref());
        }
        Layout::Mapped(columns) if naming.input.is_none() => {
            columns.is_bare().then(|| format!("kraken:spot:{stem}"))
        }
        Layout::Kraken => Some(format!("kraken:spot:{stem}")),
        Layout::Lean { .. } => symbol.map(|symbol| format!("lean:equity:{symbol}")),
        Layout::Trades { .. } | Layout::AggTrades { .. } | Layout::Mapped(_) => {
            symbol.map(|symbol| {
                let market = naming.market.unwrap_or(if naming::is_coin_margined(&symbol) {
                    "cm"
                } else if layout.is_of_futures() {
                    "um"
                } else {
                    "spot"
                });
                format!("binance:{market}:{symbol}")
            })
        }
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

//! How a file of trades is understood: container, layout, columns, instrument, first rows.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use barflow_operators::batch::{Feed, IdKind};
use barflow_operators::input_batch::InputBatch;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::trade::{Aggressor, Trade};
use barflow_replay::decode::Container;
use barflow_replay::error::ReplayError;
use barflow_replay::plan::{FileKind, InstrumentPlan, PlanOptions, PlannedFile};
use barflow_replay::read_options::ReadOptions;
use barflow_replay::recognise::{Recognised, recognise};
use barflow_replay::rows::{Layout, RowFormat};
use barflow_replay::sniff;
use barflow_replay::stream::InstrumentStream;

use crate::cli::failure::Failure;
use crate::cli::options::{self, LayoutArgs};
use crate::printable::{excerpt, line};

/// Rows shown.
const SHOWN: usize = 3;

/// Bytes of a value that are shown.
const LONGEST: usize = 200;

/// Whether a file holds trades rather than a configuration.
pub(super) fn is_data(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    match ending.as_deref() {
        Some("toml") => false,
        Some("csv" | "tsv" | "txt" | "gz" | "zst" | "zip" | "parquet") => true,
        _ => sniff::container(path).is_ok_and(|container| container != Container::Plain),
    }
}

/// What was understood.
///
/// # Errors
/// What was not.
pub(super) fn describe(
    path: &Path,
    instrument: Option<&str>,
    layout: &LayoutArgs,
) -> Result<String, Failure> {
    let instrument = instrument.map(str::parse::<InstrumentId>).transpose();
    let options = PlanOptions {
        instrument: instrument.map_err(|e| Failure::usage(anyhow::anyhow!("--instrument: {e}")))?,
        columns: options::columns(layout)?,
        keep_suspicious: layout.keep_suspicious,
        ..PlanOptions::default()
    };
    let (recognised, named) = understood(path, options)?;
    let Recognised { trades, notes, .. } = recognised;
    let Some((feed, file)) = trades else {
        return Ok(format!("{}: no trades\n", line(&path.display().to_string())));
    };
    let mut text = format!(
        "{}: ok ({} of trades)\n",
        line(&path.display().to_string()),
        container(file.container)
    );
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  layout      {}", layout_name(&file.kind));
    if let Some(Layout::Mapped(columns)) = format_of(&file.kind).map(|format| &format.layout) {
        let _ = writeln!(text, "  columns     {}", line(&columns.describe()));
    }
    if let Some(unit) = unit(&file.kind) {
        let _ = writeln!(text, "  times       {unit}");
    }
    let side = if feed.has_aggressor { "yes" } else { "no (the tick rule is used)" };
    let _ = writeln!(text, "  ids         {}", ids(&feed));
    let _ = writeln!(text, "  sides       {side}");
    match named {
        Ok(()) => writeln!(text, "  instrument  {}", feed.instrument),
        Err(reason) => writeln!(text, "  instrument  not known: {}", line(&reason)),
    }
    .unwrap_or_default();
    for note in &notes {
        let _ = writeln!(text, "  note        {}", line(&note.to_string()));
    }
    text += &rows(feed, file)?;
    Ok(text)
}

/// What a file is, and whether its instrument is known: how it is read can be shown without.
fn understood(
    path: &Path,
    options: PlanOptions,
) -> Result<(Recognised, Result<(), String>), ReplayError> {
    match recognise(path, &options) {
        Ok(recognised) => Ok((recognised, Ok(()))),
        Err(error) if options.instrument.is_some() => Err(error),
        Err(error) => {
            let instrument = "own:data:UNKNOWN".parse().ok();
            match recognise(path, &PlanOptions { instrument, ..options }) {
                Ok(recognised) => Ok((recognised, Err(error.to_string()))),
                Err(_) => Err(error),
            }
        }
    }
}

fn container(container: Container) -> &'static str {
    match container {
        Container::Plain => "plain text",
        Container::Gzip => "gzip",
        Container::Zstd => "zstd",
        Container::Zip => "zip",
        Container::Parquet => "Parquet",
    }
}

fn format_of(kind: &FileKind) -> Option<&RowFormat> {
    match kind {
        FileKind::Rows(format) | FileKind::Table(format) => Some(format),
        FileKind::Parquet => None,
    }
}

fn layout_name(kind: &FileKind) -> String {
    match format_of(kind).map(|format| &format.layout) {
        None => "barflow's own trades".to_owned(),
        Some(Layout::Trades { columns }) => format!("Binance trades, {columns} columns"),
        Some(Layout::AggTrades { columns }) => format!("Binance aggTrades, {columns} columns"),
        Some(Layout::Kraken) => "time, price, quantity (Kraken time & sales)".to_owned(),
        Some(Layout::Lean { .. }) => "LEAN ticks".to_owned(),
        Some(Layout::Mapped(_)) => "columns by name".to_owned(),
    }
}

fn unit(kind: &FileKind) -> Option<Cow<'static, str>> {
    let format = format_of(kind)?;
    match (&format.layout, format.unit) {
        (Layout::Trades { .. } | Layout::AggTrades { .. }, unit) => {
            Some(Cow::Borrowed(match unit {
                1_000_000_000 => "s",
                1_000_000 => "ms",
                1_000 => "µs",
                _ => "ns",
            }))
        }
        (Layout::Kraken, _) => Some("s".into()),
        (Layout::Lean { terms, .. }, _) => {
            Some(format!("ms since midnight ({})", terms.zone).into())
        }
        (Layout::Mapped(_), _) => None,
    }
}

fn ids(feed: &Feed) -> &'static str {
    match feed.ids {
        IdKind::Venue | IdKind::Spans => "the venue's",
        IdKind::Ordinal => "none: rows are numbered as they are read",
    }
}

fn rows(feed: Feed, file: PlannedFile) -> Result<String, ReplayError> {
    let plan = InstrumentPlan { feed: Arc::new(feed), files: vec![file] };
    let options = ReadOptions { verify: false, ..ReadOptions::new(SHOWN) };
    let mut text = String::new();
    let Some(batch) = InstrumentStream::open(plan, options)?.next().transpose()? else {
        return Ok(text);
    };
    let InputBatch { trades, rejects, .. } = batch;
    // Writing to a String cannot fail.
    for (at, trade) in trades.iter().take(SHOWN).enumerate() {
        let head = if at == 0 { "first rows" } else { "" };
        let _ = writeln!(text, "  {head:<11} {}", row(&trade));
    }
    for bad in rejects.iter().take(SHOWN) {
        let (field, value, reason) = (&bad.field, excerpt(&bad.value, LONGEST), &bad.reason);
        let bad = format!("line {}: {field} = \"{value}\": {reason}", bad.line);
        let _ = writeln!(text, "  bad row     {}", line(&bad));
    }
    Ok(text)
}

fn row(trade: &Trade) -> String {
    let time = jiff::Timestamp::from_nanosecond(trade.event_time.into());
    let time = time.map_or_else(|_| trade.event_time.to_string(), |time| time.to_string());
    let side = match trade.aggressor {
        Aggressor::Buyer => "buy",
        Aggressor::Seller => "sell",
        Aggressor::Unknown => "unknown",
    };
    format!("{time}  price {}  qty {}  side {side}  id {}", trade.price, trade.qty, trade.trade_id)
}

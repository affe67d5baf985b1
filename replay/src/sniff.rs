//! Detects a file's type from its first bytes and rows rather than from its name alone.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use barflow_operators::batch::InputKind;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::binance::unit_ns;
use crate::columns::cell::Cell;
use crate::columns::choice::ColumnChoice;
use crate::columns::fields::{delimiter, split};
use crate::columns::market::Market;
use crate::columns::resolve::{Resolved, Seen, resolve};
use crate::columns::{TimeForm, WithoutIds};
use crate::decode::{Block, Buffers, Container, Decoding, MARGIN, decode};
use crate::error::ReplayError;
use crate::margin::{self, Margin};
use crate::naming::Naming;
use crate::progress::{Progress, StopFlag};
use crate::rows::Layout;
use crate::rows::header::{canonical, header_names, is_header};
use crate::{spool, table};

/// What a text file's beginning shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Sniffed {
    /// Which columns.
    pub layout: Layout,
    /// Ns per unit of time.
    pub unit: i64,
    /// Why ids that the rows have are not used.
    pub without_ids: Option<WithoutIds>,
    /// What rows say of their market.
    pub market: Option<Arc<Market>>,
    /// The header, if there is one.
    pub header: Option<Arc<str>>,
    /// What Binance's names or rows say of the contracts.
    pub margin: Option<Margin>,
    /// Event time of the first row, ns.
    pub first_time: i64,
}

/// Tells the container by its first bytes.
///
/// # Errors
/// When the file cannot be read, is empty, or is not what its name promises.
pub fn container(path: &Path) -> Result<Container, ReplayError> {
    let mut file = spool::open(path).map_err(|e| ReplayError::io("open", path, e))?;
    // Far enough for what tells a tar.
    let mut head = [0u8; 512];
    let mut filled = 0;
    while filled < head.len() {
        match file.read(&mut head[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) => return Err(ReplayError::io("read", path, error)),
        }
    }
    if filled == 0 {
        return Err(ReplayError::NothingToRead(format!("{} is empty", path.display())));
    }
    let told = match &head[..filled] {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Container::Zip,
        [0x1f, 0x8b, ..] => Container::Gzip,
        // A frame, or one to be skipped: pzstd and seekable zstd begin or end with such.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Container::Zstd,
        [b'P', b'A', b'R', b'1', ..] => Container::Parquet,
        _ => Container::Plain,
    };
    if told == Container::Plain
        && let Some(kind) = packed_otherwise(&head[..filled])
    {
        return Err(ReplayError::packing(path, None, kind));
    }
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase());
    let name = name.unwrap_or_default();
    let promised = match name.rsplit('.').next() {
        Some("zip") => Some((Container::Zip, "a zip archive (it starts with PK)")),
        Some("gz") => Some((Container::Gzip, "gzip data (it starts with 1f 8b)")),
        Some("zst") => Some((Container::Zstd, "zstd data (it starts with 28 b5 2f fd)")),
        Some("parquet") => Some((Container::Parquet, "a Parquet file (it starts with PAR1)")),
        _ => None,
    };
    match promised {
        Some((container, expected)) if container != told => {
            let found = format!("a file that starts with {}", hex::encode(&head[..filled.min(4)]));
            Err(ReplayError::corrupt(
                path,
                "the file type does not match its name",
                expected,
                found,
            ))
        }
        _ => Ok(told),
    }
}

/// What a file is packed as that is not read, by its first bytes.
fn packed_otherwise(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        head if is_tar(head) => "is a tar archive, which is not read",
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => "is compressed with bzip2, which is not read",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "is compressed with xz, which is not read",
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => "is a 7z archive, which is not read",
        [b'R', b'a', b'r', b'!', 0x1a, 7, ..] => "is a rar archive, which is not read",
        [0x04, 0x22, 0x4d, 0x18, ..] => "is compressed with lz4, which is not read",
        [0x1f, 0x9d, ..] => "is compressed with compress, which is not read",
        [0xff, 6, 0, 0, b's', b'N', b'a', b'P', ..] => {
            "is compressed with snappy, which is not read"
        }
        _ => return None,
    })
}

/// Text in UTF-16 begins with its mark, or has nothing but 0 in every other byte.
fn is_utf16(head: &[u8]) -> bool {
    let is_ascii = |pair: &[u8]| matches!(pair, [0, 1..=0x7f]);
    let is_mirrored = |pair: &[u8]| matches!(pair, [1..=0x7f, 0]);
    let mut pairs = head.chunks_exact(2).take(16);
    head.starts_with(&[0xff, 0xfe])
        || head.starts_with(&[0xfe, 0xff])
        || head.len() >= 32 && (pairs.clone().all(is_ascii) || pairs.all(is_mirrored))
}

/// A tar archive has `ustar` in the header of its first member.
fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// Rows that are looked at before a file is read.
const SAMPLE: usize = 1000;

/// The beginning of a text file.
#[derive(Default)]
struct Beginning {
    header: Option<String>,
    lines: Vec<String>,
}

impl Beginning {
    /// Whether the times of three columns are Kraken's: seconds, perhaps with a fraction.
    fn is_in_seconds(&self) -> bool {
        let times = || self.lines.iter().filter_map(|line| line.split(',').next());
        let unit = |time: &str| unit_ns(time.split('.').next()?.trim().parse().ok()?);
        let is_text = times().next().is_some_and(|time| time.contains(['-', ':']));
        !is_text && times().find_map(unit).is_none_or(|unit| unit == 1_000_000_000)
    }

    /// Whether three columns without names can be Kraken's: others have them in this order too.
    fn looks_like_kraken(&self) -> Result<(), String> {
        let third = |line: &String| Some(line.split(',').nth(2)?.trim().starts_with('-'));
        let what = if self.lines.iter().filter_map(third).any(|is_negative| is_negative) {
            "a negative quantity: they are not Kraken's time & sales; if its sign is the side, \
             --columns time=1,price=2,qty=3,side=3 reads them"
        } else if !self.is_in_seconds() {
            "times that are not in seconds: they are not Kraken's time & sales; name the columns with \
             --columns time=1,price=2,qty=3, and side=3 if the sign of the quantity is the side"
        } else {
            return Ok(());
        };
        Err(format!("its rows have three fields, no header, and {what}"))
    }

    /// Whether fields are in quotation marks, which the parsers of known layouts do not expect.
    fn is_quoted(&self) -> bool {
        self.lines.first().is_some_and(|line| line.contains('"'))
    }

    /// What names or rows of Binance's layout say of the contracts.
    fn margin(&self, layout: &Layout) -> Option<Margin> {
        let Layout::Trades { .. } = layout else { return None };
        let by_name =
            self.header.as_deref().and_then(|header| margin::of_header(&header_names(header)));
        by_name.or_else(|| margin::of_rows(self.lines.iter().map(String::as_str)))
    }

    /// Takes a line; false if enough was seen.
    fn take(&mut self, line: &str) -> bool {
        // Not more than that: a column without a name may be the first or the last.
        let line = line.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n', ' ']);
        if line.trim().is_empty() || self.header.as_deref() == Some(line) {
            return true;
        }
        if self.lines.is_empty() && self.header.is_none() && is_header(line) {
            self.header = Some(line.to_owned());
            return true;
        }
        self.lines.push(line.to_owned());
        self.lines.len() < SAMPLE
    }
}

/// Looks at the first rows of a text file in a container; `choice` is what the user says of its
/// columns.
///
/// # Errors
/// When it cannot be read, has no rows, or has an unknown layout.
pub fn rows(
    path: &Path,
    container: Container,
    naming: &Naming,
    choice: Option<&ColumnChoice>,
    stop: &StopFlag,
) -> Result<Sniffed, ReplayError> {
    let mut packed = None;
    let mut beginning = Beginning::default();
    let look = &mut |block: Block| {
        let lines = &block.bytes[MARGIN..block.end];
        if let Some(kind) = packed_otherwise(lines).filter(|_| block.first) {
            packed = Some(ReplayError::packing(path, block.member.as_deref(), kind));
            return false;
        }
        if block.first && is_utf16(lines) {
            let reason = "its text is in UTF-16; convert it to UTF-8: iconv -f UTF-16 -t UTF-8";
            packed = Some(ReplayError::layout(path, reason));
            return false;
        }
        let mut lines = lines.split(|byte| *byte == b'\n');
        lines.all(|line| beginning.take(&String::from_utf8_lossy(line)))
            && beginning.lines.is_empty()
    };
    let progress = &Progress::until(stop.clone());
    let buffers = &Buffers::default();
    decode(Decoding { path, container, from: None, progress, buffers }, look)?;
    if let Some(error) = packed {
        return Err(error);
    }
    let header = beginning.header.as_deref();
    let first = beginning.lines.first();
    if let (None, None, Some(first)) = (header, choice, first) {
        if beginning.is_quoted() {
            let reason = "its fields are in quotation marks, and it has no header that names them; name \
                          the columns with --columns time=1,price=2,qty=3 (positions where there is no \
                          header)";
            return Err(ReplayError::layout(path, reason));
        }
        let told = tell(path, first.trim(), naming)?;
        if told.layout == Layout::Kraken {
            beginning.looks_like_kraken().map_err(|reason| ReplayError::layout(path, reason))?;
        }
        return Ok(Sniffed { margin: beginning.margin(&told.layout), ..told });
    }
    let by_header = header.filter(|_| choice.is_none()).map(header_names);
    if let Some(layout) = by_header.and_then(|names| canonical(&names)).filter(|_| first.is_some())
        && (layout != Layout::Kraken || beginning.is_in_seconds())
        && !beginning.is_quoted()
    {
        let told = timed(layout, &beginning);
        return Ok(Sniffed { margin: beginning.margin(&told.layout), ..told });
    }
    let Some(names_in) = header.or(first.map(String::as_str)) else {
        return Err(ReplayError::NothingToRead(format!("{} has no trades", path.display())));
    };
    let delimiter = delimiter(names_in);
    let names = header.map(|header| {
        split(header, delimiter).into_iter().map(|name| name.trim().to_owned()).collect()
    });
    let cells = |line: &String| {
        let fields = split(line, delimiter).into_iter();
        fields.map(|field| Cell::Text(Cow::Owned(field.into_owned()))).collect()
    };
    let seen = Seen { names, delimiter, rows: beginning.lines.iter().map(cells).collect() };
    by_name(path, &seen, choice, header.map(Arc::from))
}

/// Looks at the first rows of a Parquet file of another writer.
///
/// # Errors
/// When it cannot be read, has no rows, or its columns are not understood.
pub fn table(path: &Path, choice: Option<&ColumnChoice>) -> Result<Sniffed, ReplayError> {
    by_name(path, &table::look(path, choice)?, choice, None)
}

fn by_name(
    path: &Path,
    seen: &Seen,
    choice: Option<&ColumnChoice>,
    header: Option<Arc<str>>,
) -> Result<Sniffed, ReplayError> {
    let resolved = resolve(seen, choice).map_err(|reason| ReplayError::layout(path, reason))?;
    if seen.rows.is_empty() {
        let names = || seen.names.clone().unwrap_or_default().join(",");
        let header = header.map_or_else(names, |header| header.to_string());
        return Err(ReplayError::HeaderOnly { path: path.to_owned(), header });
    }
    let Resolved { columns, without_ids, market, first_time } = resolved;
    // Whether times are written in whole units shows in Tardis's own export only.
    let is_named = columns.exchange.is_some() && columns.symbol.is_some() && choice.is_none();
    let unit = match columns.form {
        TimeForm::Number { unit } if is_named => unit,
        _ => 1,
    };
    let (layout, market) = (Layout::Mapped(Arc::new(columns)), market.map(Arc::new));
    let names = seen.names.as_deref().filter(|_| choice.is_none());
    let margin = names.and_then(margin::of_header);
    Ok(Sniffed { layout, unit, without_ids, market, header, margin, first_time })
}

/// A file with the header of a layout that has its own parser: unit and time of its first row that
/// has a time. One that has none is a bad row, not an unknown file.
fn timed(layout: Layout, beginning: &Beginning) -> Sniffed {
    let at = match &layout {
        Layout::AggTrades { .. } => 5,
        Layout::Trades { .. } => 4,
        _ => 0,
    };
    let text = |line: &String| Some(line.split(',').nth(at)?.trim().to_owned());
    let mut texts = beginning.lines.iter().filter_map(text);
    let (unit, first_time) = match layout {
        Layout::Kraken => (1, texts.find_map(|text| text.parse::<f64>().ok()).map_or(0, seconds)),
        _ => texts
            .find_map(|text| {
                let time = text.parse::<u64>().ok()?;
                let unit = unit_ns(time)?;
                Some((unit, i64::try_from(time).ok()?.checked_mul(unit)?))
            })
            .unwrap_or((1_000_000, 0)),
    };
    let header = beginning.header.as_deref().map(Arc::from);
    Sniffed { layout, unit, without_ids: None, market: None, header, margin: None, first_time }
}

fn seconds(seconds: f64) -> i64 {
    (seconds * 1e9) as i64
}

/// Tells a file without a header by its first row.
fn tell(path: &Path, line: &str, naming: &Naming) -> Result<Sniffed, ReplayError> {
    let fields: Vec<&str> = line.split(',').collect();
    let is_bool = |at: usize| {
        let text = fields.get(at).map(|text| text.trim().to_ascii_lowercase());
        text.is_some_and(|text| matches!(text.as_str(), "true" | "false" | "1" | "0"))
    };
    let time = |at: usize| fields.get(at).and_then(|text| text.trim().parse::<u64>().ok());
    let dated = |at: usize| time(at).and_then(unit_ns).is_some();
    if let Some(place) = naming.lean.as_ref().filter(|place| place.of_folder) {
        // Fewer fields than a tick has may be of anything; its folders say what of.
        let symbol = naming.symbol.as_deref().unwrap_or_default();
        place.terms(symbol).map_err(|reason| ReplayError::layout(path, reason))?;
    }
    let aggregated = naming.input == Some(InputKind::AggTrades);
    let (layout, time_at) = match fields.len() {
        3 => (Layout::Kraken, 0),
        6 if fields[3].trim().parse::<f64>().is_err() => (lean(path, naming)?, 0),
        6 => (Layout::Trades { columns: 6 }, 4),
        // Seven columns are spot trades or futures aggregates; the column of the time decides.
        7 if is_bool(5) && !aggregated => (Layout::Trades { columns: 7 }, 4),
        7 if is_bool(6) && dated(5) => (Layout::AggTrades { columns: 7 }, 5),
        7 if aggregated => (Layout::AggTrades { columns: 7 }, 5),
        7 => (Layout::Trades { columns: 7 }, 4),
        8 if matches!(fields[5].trim(), "buy" | "sell" | "unknown") => {
            let reason = "its rows look like Tardis trades, but it does not begin with their \
                          header (exchange,symbol,timestamp,…)";
            return Err(ReplayError::layout(path, reason));
        }
        8 => (Layout::AggTrades { columns: 8 }, 5),
        n => {
            let reason = format!(
                "its rows have {n} field{}, and no layout that is known does: Binance trades (6 or \
                 7), Binance aggTrades (7 or 8), Kraken time & sales (3), LEAN ticks (6); name the \
                 columns with --columns time=1,price=2,qty=3 (positions where there is no header)",
                if n == 1 { "" } else { "s" }
            );
            return Err(ReplayError::layout(path, reason));
        }
    };
    let text = fields[time_at].trim();
    let (unit, first_time) = match layout {
        Layout::Kraken => (1, text.parse::<f64>().map_or(0, seconds)),
        Layout::Lean { midnight, .. } => {
            (1_000_000, text.parse::<i64>().map_or(midnight, |ms| midnight + ms * 1_000_000))
        }
        _ => {
            // A first row whose time cannot be is a bad row, not an unknown file: ms it is, and
            // the row is refused when it is read.
            let unit = time(time_at).and_then(unit_ns).unwrap_or(1_000_000);
            let ns = time(time_at).and_then(|t| i64::try_from(t).ok()?.checked_mul(unit));
            (unit, ns.unwrap_or(0))
        }
    };
    let (without_ids, market, header, margin) = (None, None, None, None);
    Ok(Sniffed { layout, unit, without_ids, market, header, margin, first_time })
}

/// The layout of a LEAN file: its market says how prices are written and where days begin, its name which day.
fn lean(path: &Path, naming: &Naming) -> Result<Layout, ReplayError> {
    let refused = |reason: String| ReplayError::layout(path, reason);
    let symbol = naming.symbol.as_deref().unwrap_or_default();
    let Some(place) = &naming.lean else {
        return Err(refused(format!(
            "it looks like LEAN ticks, and neither its folders (equity/usa/tick/SYMBOL) nor its name say of \
             which market, which decides how prices and times are written; say it with --instrument \
             lean:equity:{}",
            if symbol.is_empty() { "SYMBOL" } else { symbol }
        )));
    };
    // Contracts follow the symbol.
    let terms = place.terms(symbol.split('_').next().unwrap_or_default()).map_err(refused)?;
    let day: Option<Date> = naming.days.map(|(first, _)| first);
    let zone = TimeZone::get(terms.zone).ok();
    let midnight = day.zip(zone).and_then(|(day, zone)| {
        let zoned = day.at(0, 0, 0, 0).to_zoned(zone).ok()?;
        i64::try_from(zoned.timestamp().as_nanosecond()).ok()
    });
    let midnight = midnight.ok_or_else(|| {
        refused(
            "it looks like LEAN ticks, whose times count from midnight, but its name does not begin with \
             the day (YYYYMMDD_trade.zip)"
                .to_owned(),
        )
    })?;
    Ok(Layout::Lean { midnight, terms })
}

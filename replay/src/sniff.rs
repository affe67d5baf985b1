//! Detects a file's type from its first bytes and rows rather than from its name alone.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use barflow_operators::batch::InputKind;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::binance::unit_ns;
use crate::decode::{Block, Buffers, Container, MARGIN, decode};
use crate::error::ReplayError;
use crate::naming::Naming;
use crate::progress::{Progress, StopFlag};
use crate::rows::Layout;
use crate::spool;

/// What a text file's beginning shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Sniffed {
    /// Which columns.
    pub layout: Layout,
    /// Ns per unit of time.
    pub unit: i64,
    /// Where rows name it: exchange and symbol, as `exchange,symbol`.
    pub market: Option<Arc<str>>,
    /// The header, if there is one.
    pub header: Option<Arc<str>>,
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

/// A tar archive has `ustar` in the header of its first member.
fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// Looks at the first rows of a text file in a container.
///
/// # Errors
/// When it cannot be read, has no rows, or has an unknown layout.
pub fn rows(
    path: &Path,
    container: Container,
    naming: &Naming,
    stop: &StopFlag,
) -> Result<Sniffed, ReplayError> {
    let mut first: Option<Result<Sniffed, ReplayError>> = None;
    let mut header = None;
    let look = &mut |block: Block| {
        let lines = &block.bytes[MARGIN..block.end];
        if let Some(kind) = packed_otherwise(lines).filter(|_| block.first) {
            first = Some(Err(ReplayError::packing(path, block.member.as_deref(), kind)));
            return false;
        }
        for line in lines.split(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
            let line = line.trim_start_matches('\u{feff}').trim();
            if line.is_empty() {
                continue;
            }
            if is_header(line) && header.is_none() {
                header = Some(line.to_owned());
                continue;
            }
            first = Some(tell(path, line, header.as_deref(), naming));
            return false;
        }
        true
    };
    let progress = Progress::until(stop.clone());
    decode(path, container, None, &progress, &Buffers::default(), look)?;
    match (first, header) {
        (Some(first), _) => first,
        (None, Some(header)) => Err(ReplayError::HeaderOnly { path: path.to_owned(), header }),
        (None, None) => {
            let text = format!("{} has no trades", path.display());
            Err(ReplayError::NothingToRead(text))
        }
    }
}

/// A header starts with a letter; a row starts with a number.
pub fn is_header(line: &str) -> bool {
    line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '"')
}

fn tell(
    path: &Path,
    line: &str,
    header: Option<&str>,
    naming: &Naming,
) -> Result<Sniffed, ReplayError> {
    let fields: Vec<&str> = line.split(',').collect();
    let is_bool = |at: usize| {
        let text = fields.get(at).map(|text| text.trim().to_ascii_lowercase());
        text.is_some_and(|text| matches!(text.as_str(), "true" | "false" | "1" | "0"))
    };
    let time = |at: usize| fields.get(at).and_then(|text| text.trim().parse::<u64>().ok());
    let dated = |at: usize| time(at).and_then(unit_ns).is_some();
    let aggregated = naming.input == Some(InputKind::AggTrades)
        || header
            .is_some_and(|header| header.contains("agg_trade") || header.contains("first_trade"));
    let (layout, time_at) = match fields.len() {
        3 => (Layout::Kraken, 0),
        6 if fields[3].trim().parse::<f64>().is_err() => {
            let midnight = midnight(path, naming)?;
            (Layout::Lean { midnight }, 0)
        }
        6 => (Layout::Trades { columns: 6 }, 4),
        // Seven columns are spot trades or futures aggregates; the column of the time decides.
        7 if is_bool(5) && !aggregated => (Layout::Trades { columns: 7 }, 4),
        7 if is_bool(6) && dated(5) => (Layout::AggTrades { columns: 7 }, 5),
        7 if aggregated => (Layout::AggTrades { columns: 7 }, 5),
        7 => (Layout::Trades { columns: 7 }, 4),
        8 if matches!(fields[5].trim(), "buy" | "sell" | "unknown") => {
            if !header.is_some_and(|header| header.starts_with("exchange,symbol,")) {
                // Its rows begin with a letter: the first of them would be taken for the header.
                let reason = "its rows look like Tardis trades, but it does not begin with their \
                              header (exchange,symbol,timestamp,…)";
                return Err(ReplayError::layout(path, reason));
            }
            (Layout::Tardis, 2)
        }
        8 => (Layout::AggTrades { columns: 8 }, 5),
        n => {
            let reason = format!(
                "its rows have {n} fields, and no layout that is known does: Binance trades (6 or \
                 7), Binance aggTrades (7 or 8), Kraken time & sales (3), LEAN ticks (6), Tardis trades (8)"
            );
            return Err(ReplayError::layout(path, reason));
        }
    };
    let text = fields[time_at].trim();
    let (unit, first_time) = match layout {
        Layout::Kraken => (1, text.parse::<f64>().map_or(0, |s| (s * 1e9) as i64)),
        Layout::Lean { midnight } => {
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
    let market = (layout == Layout::Tardis)
        .then(|| Arc::from(format!("{},{}", fields[0].trim(), fields[1].trim())));
    let header = header.map(Arc::from);
    Ok(Sniffed { layout, unit, market, header, first_time })
}

/// Midnight in New York on the day that a LEAN file is named for, in ns since the Unix epoch.
fn midnight(path: &Path, naming: &Naming) -> Result<i64, ReplayError> {
    let day: Option<Date> = naming.days.map(|(first, _)| first);
    let zone = TimeZone::get("America/New_York").ok();
    let midnight = day.zip(zone).and_then(|(day, zone)| {
        let zoned = day.at(0, 0, 0, 0).to_zoned(zone).ok()?;
        i64::try_from(zoned.timestamp().as_nanosecond()).ok()
    });
    midnight.ok_or_else(|| {
        let reason = "it looks like LEAN ticks, whose times count from midnight in New York, but \
                      its name does not begin with the day (YYYYMMDD_trade.zip)";
        ReplayError::layout(path, reason)
    })
}

//! Made-up day files that look like the real thing: for benchmarks, demonstrations, and machines
//! without data.
//!
//! Not a market model, but with the stylised facts that decide how bars behave: sides with a long
//! memory (orders of Pareto length are split into many trades), heavy-tailed sizes, bursts in
//! which many trades share an instant, prices that follow the flow. The same options make the
//! same bytes on every computer.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use barflow_operators::batch::InputKind;
use barflow_operators::instrument::InstrumentId;
use jiff::civil::Date;
use jiff::{Span, tz::TimeZone};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::atomic_file::{self, AtomicFile};
use crate::checksum::{checksum_file, sha256};
use crate::error::ReplayError;
use crate::files;
use crate::naming::is_coin_margined;
use crate::progress::Progress;

mod market;
mod rows;

use market::Market;
use rows::RowWriter;

/// Comment of the archives: what shows that they are made up.
const COMMENT: &str = "made up by barflow synth";

/// Ids that programs with signed integers can read.
const MAX_ID: u64 = i64::MAX as u64;

/// What to make.
#[derive(Clone, Debug, PartialEq)]
pub struct SynthOptions {
    /// Folder for the files.
    pub out: PathBuf,
    /// Instrument; its market decides the layout.
    pub instrument: InstrumentId,
    /// First day.
    pub date: Date,
    /// Days.
    pub days: u32,
    /// Trades (rows) per day.
    pub trades: u64,
    /// Decides everything random.
    pub seed: u64,
    /// Trades or aggregates.
    pub input: InputKind,
}

/// Writes the days, each as `SYMBOL-{trades|aggTrades}-DATE.zip` with its `.CHECKSUM`. Ids continue
/// from day to day, and from one run to the next with as many trades a day. Returns the archives.
///
/// # Errors
/// When a date does not exist, an archive of that name is there that is not made up, or the disk refuses.
pub fn write_days(options: &SynthOptions) -> Result<Vec<PathBuf>, ReplayError> {
    write_days_with(options, &Progress::default())
}

/// As [`write_days`]; rows are counted as they are made.
///
/// # Errors
/// As [`write_days`].
pub fn write_days_with(
    options: &SynthOptions,
    progress: &Progress,
) -> Result<Vec<PathBuf>, ReplayError> {
    let out = &options.out;
    fs::create_dir_all(out).map_err(|e| ReplayError::io("make the folder", out, e))?;
    let mut market = Market::new(options.seed, first_id(options)?);
    let mut paths = Vec::new();
    for day in 0..options.days {
        let date = options.date.checked_add(Span::new().days(i64::from(day)));
        let midnight = date.as_ref().ok().and_then(|date| midnight_us(*date));
        let (Ok(date), Some(midnight)) = (date, midnight) else {
            let text = format!("there is no day {day} days after {}", options.date);
            return Err(ReplayError::NothingToRead(text));
        };
        paths.push(write_day(options, date, midnight, &mut market, progress)?);
    }
    Ok(paths)
}

/// Ids are those of a market that has had as many trades every day since 1970: two runs with as many
/// trades a day continue where the other ended, or begin.
fn first_id(options: &SynthOptions) -> Result<u64, ReplayError> {
    let days = day_count(options.date);
    let before = days.and_then(|days| days.checked_mul(options.trades));
    let all = u64::from(options.days).checked_mul(options.trades);
    let first = before.zip(all).and_then(|(before, all)| {
        before.checked_add(all).filter(|last| *last <= MAX_ID).map(|_| before + 1)
    });
    first.ok_or_else(|| {
        let text = format!("{} has no room for {} trades a day", options.date, options.trades);
        ReplayError::NothingToRead(text)
    })
}

/// Days since 1970; none before.
fn day_count(date: Date) -> Option<u64> {
    u64::try_from(midnight_us(date)? / 86_400_000_000).ok()
}

fn midnight_us(date: Date) -> Option<i64> {
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

fn write_day(
    options: &SynthOptions,
    date: Date,
    midnight_us: i64,
    market: &mut Market,
    progress: &Progress,
) -> Result<PathBuf, ReplayError> {
    let kind = match options.input {
        InputKind::Trades => "trades",
        InputKind::AggTrades => "aggTrades",
    };
    let stem = format!("{}-{kind}-{date}", options.instrument.symbol());
    let path = options.out.join(format!("{stem}.zip"));
    if path.exists() && !is_made_up(&path) {
        let reason = "it is there already and was not made up; choose another folder";
        return Err(ReplayError::layout(&path, reason));
    }
    AtomicFile::create(&path)
        .and_then(|(atomic, file)| {
            let file = fill(file, &stem, options, date, midnight_us, market, progress)?;
            atomic.commit(&file)
        })
        .map_err(|e| ReplayError::io("write", &path, e))?;
    let sum = sha256(&path).map_err(|e| ReplayError::io("read", &path, e))?;
    let beside = checksum_file(&path);
    let line = format!("{sum}  {stem}.zip\n");
    atomic_file::write(&beside, line.as_bytes())
        .map_err(|e| ReplayError::io("write", &beside, e))?;
    Ok(path)
}

/// Whether a file was written here, and may be written again.
fn is_made_up(path: &Path) -> bool {
    let zip = files::open(path).ok().and_then(|file| ZipArchive::new(BufReader::new(file)).ok());
    zip.is_some_and(|zip| zip.comment() == COMMENT.as_bytes())
}

fn fill(
    file: File,
    stem: &str,
    options: &SynthOptions,
    date: Date,
    midnight_us: i64,
    market: &mut Market,
    progress: &Progress,
) -> io::Result<File> {
    let mut zip = ZipWriter::new(BufWriter::new(file));
    zip.set_comment(COMMENT)?;
    // A fixed time of writing: the bytes depend on the options alone.
    let entry = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .large_file(options.trades > 20_000_000);
    zip.start_file(format!("{stem}.csv"), entry)?;
    let spot = options.instrument.market() == "spot";
    let coin = options.instrument.market() == "cm" || is_coin_margined(options.instrument.symbol());
    // Binance's spot archives print microseconds from this day on.
    let micros = spot && date >= Date::constant(2025, 1, 1);
    let mut rows = RowWriter::new(options.input, spot, coin, micros);
    rows.header();
    market.begin_day(midnight_us, options.trades);
    for _ in 0..options.trades {
        rows.write(&market.trade());
        if rows.text().len() > 1 << 16 {
            zip.write_all(rows.text())?;
            progress.add_bytes(rows.text().len() as u64);
            rows.clear();
        }
        progress.add_rows(1);
    }
    zip.write_all(rows.text())?;
    zip.finish()?.into_inner().map_err(|error| error.into_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::PlanOptions;
    use crate::planner::plan;
    use crate::read_options::ReadOptions;
    use crate::stream::InstrumentStream;

    fn options(out: &Path, instrument: &str, input: InputKind) -> SynthOptions {
        SynthOptions {
            out: out.to_owned(),
            instrument: instrument.parse().unwrap(),
            date: Date::constant(2024, 12, 31),
            days: 2,
            trades: 5000,
            seed: 3,
            input,
        }
    }

    #[test]
    fn every_layout_is_read_back_whole_in_order_and_without_gaps() {
        for (instrument, input) in [
            ("binance:spot:BTCUSDT", InputKind::Trades),
            ("binance:spot:BTCUSDT", InputKind::AggTrades),
            ("binance:um:BTCUSDT", InputKind::Trades),
            ("binance:um:BTCUSDT", InputKind::AggTrades),
            ("binance:cm:BTCUSD_PERP", InputKind::Trades),
        ] {
            let folder = tempfile::tempdir().unwrap();
            write_days(&options(folder.path(), instrument, input)).unwrap();
            let inputs = [folder.path().display().to_string()];
            let plan = plan(&inputs, &PlanOptions::default()).unwrap();
            assert_eq!(plan.instruments.len(), 1, "{instrument}");
            let history = plan.instruments[0].clone();
            assert_eq!(history.feed.instrument.as_str(), instrument);
            assert_eq!(history.feed.input, input);
            // 20,088 days after 1970, and 5000 trades on each of them.
            let first = 20_088 * 5000 + 1;
            let mut expected = first;
            let mut last_time = 0;
            for input_batch in InstrumentStream::open(history, ReadOptions::new(1000)).unwrap() {
                let input_batch = input_batch.unwrap();
                assert_eq!(input_batch.rejects, []);
                for trade in input_batch.trades.iter() {
                    assert_eq!(trade.trade_id, expected);
                    assert!(trade.event_time >= last_time);
                    last_time = trade.event_time;
                    expected += 1;
                }
            }
            assert_eq!(expected, first + 10_000, "{instrument} {input:?}");
        }
    }

    #[test]
    fn the_seed_decides_every_byte() {
        let bytes = |seed| {
            let folder = tempfile::tempdir().unwrap();
            let options = SynthOptions {
                seed,
                ..options(folder.path(), "binance:spot:BTCUSDT", InputKind::Trades)
            };
            fs::read(&write_days(&options).unwrap()[1]).unwrap()
        };
        assert_eq!(bytes(3), bytes(3));
        assert_ne!(bytes(3), bytes(4));
    }

    #[test]
    fn two_runs_go_on_where_the_other_ends() {
        let folder = tempfile::tempdir().unwrap();
        let both = options(folder.path(), "binance:spot:BTCUSDT", InputKind::Trades);
        let second = SynthOptions { date: Date::constant(2025, 1, 2), days: 1, ..both.clone() };
        assert_eq!(first_id(&second).unwrap(), first_id(&both).unwrap() + 2 * 5000);
        for date in [Date::constant(1969, 12, 31), Date::constant(-1, 1, 1)] {
            assert!(first_id(&SynthOptions { date, ..both.clone() }).is_err());
        }
        assert!(first_id(&SynthOptions { trades: u64::MAX / 2, ..both }).is_err());
    }

    #[test]
    fn only_what_was_made_up_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let made = options(folder.path(), "binance:spot:BTCUSDT", InputKind::Trades);
        let path = write_days(&made).unwrap().remove(0);
        let before = fs::read(&path).unwrap();
        write_days(&SynthOptions { seed: 4, ..made.clone() }).unwrap();
        assert_ne!(fs::read(&path).unwrap(), before);
        fs::write(&path, b"of the venue").unwrap();
        let error = write_days(&made).unwrap_err();
        assert!(error.to_string().contains("another folder"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"of the venue");
    }
}

//! Files that are not what they should be: refused by name, before anything is made of them.

use std::fs;
use std::path::{Path, PathBuf};

use barflow_operators::batch::InputKind;
use barflow_operators::trade::Trade;
use barflow_replay::checksum::checksum_file;
use barflow_replay::error::ReplayError;
use barflow_replay::plan::PlanOptions;
use barflow_replay::planner::plan;
use barflow_replay::read_options::ReadOptions;
use barflow_replay::stream::InstrumentStream;
use barflow_replay::synth::{SynthOptions, write_days};
use barflow_replay::trades_parquet::write::{TradeWriter, WriteOptions};

fn day(folder: &Path) -> PathBuf {
    let options = SynthOptions {
        out: folder.to_owned(),
        instrument: "binance:spot:BTCUSDT".parse().unwrap(),
        date: jiff::civil::Date::constant(2024, 3, 1),
        days: 1,
        trades: 20_000,
        seed: 5,
        input: InputKind::Trades,
    };
    write_days(&options).unwrap().remove(0)
}

/// Rows that came out before the error, and the error.
fn read(path: &Path, verify: bool) -> (usize, Option<ReplayError>) {
    let inputs = [path.display().to_string()];
    let plan = match plan(&inputs, &PlanOptions::default()) {
        Ok(plan) => plan,
        Err(error) => return (0, Some(error)),
    };
    let options = ReadOptions { verify, ..ReadOptions::new(1000) };
    let mut rows = 0;
    for input_batch in InstrumentStream::open(plan.instruments[0].clone(), options).unwrap() {
        match input_batch {
            Ok(input_batch) => rows += input_batch.trades.len(),
            Err(error) => return (rows, Some(error)),
        }
    }
    (rows, None)
}

fn refused(path: &Path, wanted: &[&str]) {
    let (rows, error) = read(path, true);
    let error = error.expect("an error").to_string();
    assert_eq!(rows, 0, "nothing is made of it: {error}");
    for text in wanted {
        assert!(error.contains(text), "{text:?} in {error:?}");
    }
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(error.contains(name), "{error}");
}

#[test]
fn a_wrong_checksum_names_expected_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let zip = day(folder.path());
    let right = fs::read_to_string(checksum_file(&zip)).unwrap();
    let wrong = "0".repeat(64);
    fs::write(checksum_file(&zip), right.replace(&right[..64], &wrong)).unwrap();
    refused(&zip, &["SHA-256", &format!("expected {wrong}"), &format!("found {}", &right[..64])]);
    let (rows, error) = read(&zip, false);
    assert_eq!((rows, error.is_none()), (20_000, true));
}

#[test]
fn a_checksum_file_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let zip = day(folder.path());
    fs::write(checksum_file(&zip), "<html>404</html>").unwrap();
    refused(&zip, &["checksum file", "<html>404</html>"]);
}

#[test]
fn a_truncated_zip_is_refused_wherever_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let zip = day(folder.path());
    fs::remove_file(checksum_file(&zip)).unwrap();
    let whole = fs::read(&zip).unwrap();
    for length in [4, 30, 100, whole.len() / 2, whole.len() - 30, whole.len() - 1] {
        fs::write(&zip, &whole[..length]).unwrap();
        refused(&zip, &["zip", "expected", "found"]);
    }
}

#[test]
fn a_flipped_byte_is_found_by_the_crc_before_anything_is_made_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let zip = day(folder.path());
    fs::remove_file(checksum_file(&zip)).unwrap();
    let whole = fs::read(&zip).unwrap();
    for at in [whole.len() / 3, whole.len() / 2, whole.len() * 3 / 4] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&zip, &damaged).unwrap();
        refused(&zip, &["member \"BTCUSDT-trades-2024-03-01.csv\"", "CRC-32"]);
        let (_, error) = read(&zip, false);
        assert!(error.is_some(), "unverified, it is found when it is reached");
    }
}

#[test]
fn a_file_that_is_no_zip_is_told_by_its_first_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("A-trades-2024-01-01.zip");
    fs::write(&path, "<html>not found</html>").unwrap();
    refused(&path, &["zip archive (it starts with PK)", "3c68746d"]);
}

#[test]
fn nothing_to_read_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("A-trades-2024-01-01.csv");
    fs::write(&path, "").unwrap();
    refused(&path, &["is empty"]);
    fs::write(&path, "id,price,qty,quote_qty,time,is_buyer_maker\n").unwrap();
    refused(&path, &["a header and no trades"]);
    fs::write(&path, "\n\n").unwrap();
    refused(&path, &["no trades"]);
    fs::write(&path, "1,2\n").unwrap();
    refused(&path, &["2 fields"]);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    refused(&empty, &["without trade files"]);
    refused(&folder.path().join("nothing-*.zip"), &["no file matches"]);
    refused(&folder.path().join("absent.zip"), &["there is no file"]);
    let unnamed = folder.path().join("x.csv");
    fs::write(&unnamed, "1,10.5,1.0,10.5,1704067200000,true,true").unwrap();
    refused(&unnamed, &["--instrument"]);
}

#[test]
fn truncated_gzip_and_zstd_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (1..5000)
        .map(|id| format!("{id},10.5,1.0,10.5,{},true,true\n", 1_704_067_200_000u64 + id))
        .collect();
    let gz = folder.path().join("A-trades-2024-01-01.csv.gz");
    let mut out = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
    std::io::Write::write_all(&mut out, rows.as_bytes()).unwrap();
    let whole = out.finish().unwrap();
    fs::write(&gz, &whole[..whole.len() / 2]).unwrap();
    refused(&gz, &["gzip data"]);
    let zst = folder.path().join("A-trades-2024-01-02.csv.zst");
    let whole = zstd::encode_all(rows.as_bytes(), 3).unwrap();
    fs::write(&zst, &whole[..whole.len() / 2]).unwrap();
    refused(&zst, &["zstd data"]);
}

#[test]
fn a_damaged_second_file_stops_after_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let options = SynthOptions {
        out: folder.path().to_owned(),
        instrument: "binance:spot:BTCUSDT".parse().unwrap(),
        date: jiff::civil::Date::constant(2024, 3, 1),
        days: 2,
        trades: 5000,
        seed: 5,
        input: InputKind::Trades,
    };
    let days = write_days(&options).unwrap();
    fs::write(checksum_file(&days[1]), format!("{}  x\n", "0".repeat(64))).unwrap();
    let (rows, error) = read(folder.path(), true);
    assert_eq!(rows, 5000);
    assert!(error.unwrap().to_string().contains("2024-03-02.zip"));
}

#[test]
fn trades_and_aggregates_of_one_instrument_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("A-trades-2024-01-01.csv"),
        "7,4.5,1.2,5.4,1704067200000,true,true",
    )
    .unwrap();
    fs::write(
        folder.path().join("A-aggTrades-2024-01-01.csv"),
        "7,4.5,1.2,1,4,1704067200000,true,true",
    )
    .unwrap();
    let inputs = [folder.path().display().to_string()];
    let error = plan(&inputs, &PlanOptions::default()).unwrap_err();
    assert!(matches!(error, ReplayError::Mixed(_)), "{error}");
}

#[test]
fn a_parquet_file_that_is_not_ours_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    fs::write(&path, "PAR1 and then nothing").unwrap();
    refused(&path, &["Parquet"]);
}

#[test]
fn every_flipped_bit_of_own_parquet_is_an_error_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let zip = day(folder.path());
    let history = plan(&[zip.display().to_string()], &PlanOptions::default()).unwrap();
    let history = history.instruments[0].clone();
    let path = folder.path().join("BTCUSDT-trades-2024-03-01.parquet");
    let mut writer = TradeWriter::create(&path, &history.feed, WriteOptions::default()).unwrap();
    let mut wanted = Vec::new();
    for batch in InstrumentStream::open(history, ReadOptions::new(500)).unwrap().take(2) {
        let batch = batch.unwrap().trades;
        writer.write(&batch).unwrap();
        wanted.extend(batch.iter());
    }
    writer.finish().unwrap();
    let whole = fs::read(&path).unwrap();
    let trades = || -> Result<Vec<Trade>, ReplayError> {
        let plan = plan(&[path.display().to_string()], &PlanOptions::default())?;
        assert_eq!(plan.instruments[0].feed.instrument.as_str(), "binance:spot:BTCUSDT");
        let stream = InstrumentStream::open(plan.instruments[0].clone(), ReadOptions::new(500))?;
        let mut trades = Vec::new();
        for batch in stream {
            trades.extend(batch?.trades.iter());
        }
        Ok(trades)
    };
    assert!(trades().unwrap() == wanted);
    let footer = whole.len()
        - 8
        - u32::from_le_bytes(whole[whole.len() - 8..whole.len() - 4].try_into().unwrap()) as usize;
    let (mut refused, mut unchanged) = (0, 0);
    let mut random = 20_240_301u64;
    for at in 0..1_500 {
        // An own generator: the same flips everywhere. Half of them in the footer.
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let from = if at % 2 == 0 { footer } else { 0 };
        let place = from + (random >> 33) as usize % (whole.len() - from);
        let mut flipped = whole.clone();
        flipped[place] ^= 1 << (random >> 20 & 7);
        fs::write(&path, flipped).unwrap();
        match trades() {
            Err(_) => refused += 1,
            Ok(trades) => {
                assert!(trades == wanted, "a bit of byte {place} made other trades");
                unchanged += 1;
            }
        }
    }
    assert!(refused > 1_400, "{refused} refused, {unchanged} unchanged");
}

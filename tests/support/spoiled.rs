//! Made-up days with something wrong in them.

use super::days::{rows, synth};
use super::process::barflow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

/// A row of a day in Binance's spot layout: id, price, qty, quote, time, buyer is maker, best match.
pub type Row = Vec<String>;

/// Days of `BTCUSDT` from 2024-03-01 on, as rows.
pub fn days(days: usize, trades: usize) -> Vec<Vec<Row>> {
    let folder = tempfile::tempdir().unwrap();
    let row = |line: &String| line.split(',').map(str::to_owned).collect();
    let paths = synth(folder.path(), &format!("--days {days} --trades {trades}"));
    paths.iter().map(|path| rows(path).iter().map(row).collect()).collect()
}

/// Writes days as `BTCUSDT-trades-2024-03-0N.csv`; those without rows are left out.
pub fn write(folder: &Path, days: &[Vec<Row>]) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for (n, day) in days.iter().enumerate().filter(|(_, day)| !day.is_empty()) {
        let path = folder.join(format!("BTCUSDT-trades-2024-03-0{}.csv", n + 1));
        let lines: Vec<String> = day.iter().map(|row| row.join(",") + "\n").collect();
        fs::write(&path, lines.concat()).unwrap();
        paths.push(path);
    }
    paths
}

/// Keeps the trades of files as Parquet; returns the file.
pub fn as_parquet(files: &[PathBuf], folder: &Path) -> PathBuf {
    let kept = barflow()
        .args(["replay", "--sink", "none", "--sink-trades"])
        .arg(folder)
        .args(files)
        .output()
        .unwrap();
    assert!(kept.status.success(), "{}", String::from_utf8_lossy(&kept.stderr));
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

/// Writes a Parquet again, with its metadata, batch after batch changed.
pub fn rewrite(from: &Path, to: &Path, change: impl Fn(RecordBatch) -> RecordBatch) {
    write_anew(from, to, true, change);
}

/// Writes a Parquet of ours again, without its seal and with another value of one key of its metadata,
/// which is made of the one that is there.
pub fn rewrite_with_note(
    from: &Path,
    to: &Path,
    key: &str,
    value: &dyn Fn(Option<String>) -> String,
) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(from).unwrap()).unwrap();
    let mut pairs = builder.metadata().file_metadata().key_value_metadata().cloned().unwrap();
    pairs.retain(|pair| pair.key.starts_with("barflow.") && pair.key != "barflow.seal");
    let there = pairs.iter().position(|pair| pair.key == key).map(|at| pairs.swap_remove(at));
    pairs.push(KeyValue::new(key.to_owned(), value(there.and_then(|pair| pair.value))));
    write_with(builder, to, pairs, |batch| batch);
}

/// As another program would write it: nothing says of it that it is our own, which is sealed.
pub fn rewrite_as_another_program(
    from: &Path,
    to: &Path,
    change: impl Fn(RecordBatch) -> RecordBatch,
) {
    write_anew(from, to, false, change);
}

fn write_anew(from: &Path, to: &Path, own: bool, change: impl Fn(RecordBatch) -> RecordBatch) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(from).unwrap()).unwrap();
    let pairs = builder.metadata().file_metadata().key_value_metadata().cloned().unwrap();
    let pairs = pairs.into_iter().filter(|pair| own && pair.key.starts_with("barflow.")).collect();
    write_with(builder, to, pairs, change);
}

fn write_with(
    builder: ParquetRecordBatchReaderBuilder<fs::File>,
    to: &Path,
    pairs: Vec<KeyValue>,
    change: impl Fn(RecordBatch) -> RecordBatch,
) {
    let properties = WriterProperties::builder().set_key_value_metadata(Some(pairs)).build();
    let schema = Arc::clone(builder.schema());
    let file = fs::File::create(to).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).unwrap();
    for batch in builder.with_batch_size(1 << 20).build().unwrap() {
        writer.write(&change(batch.unwrap())).unwrap();
    }
    writer.close().unwrap();
}

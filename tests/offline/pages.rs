//! Pages of Parquet that unpack to far more than they have in the file, and columns that nobody needs.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::hostile::peak;
use crate::support::archives;
use crate::support::process::{Process, barflow};
use crate::support::spoiled;

/// Texts of 1 MiB that make one page, which zstd packs into some KB.
fn large_texts(rows: usize) -> ArrayRef {
    let large = "x".repeat(1 << 20);
    Arc::new(StringArray::from_iter_values((0..rows).map(|_| &*large)))
}

/// Writes one page of each column.
fn write(path: &Path, batch: &RecordBatch, says: Option<Vec<KeyValue>>) {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(1 << 30)
        .set_key_value_metadata(says)
        .build();
    let to = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(to, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    assert!(fs::metadata(path).unwrap().len() < 200_000);
}

/// What a replay of a file comes to: its exit code and its words.
fn replay(path: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = barflow();
    command.arg("replay").arg(path).args(["--bar", "t=tick,size=10", "--sink", "none"]).args(more);
    Process::start(command).finish()
}

#[test]
fn a_page_that_unpacks_to_far_more_than_its_file_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let rows = 300;
    let number = |of: fn(i64) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..rows as i64).map(of)))
    };
    let price: ArrayRef = Arc::new(Float64Array::from(vec![61000.5; rows]));
    let columns = [
        ("id", number(|row| row + 1)),
        ("price", Arc::clone(&price)),
        ("qty", price),
        ("time", number(|row| 1_709_251_200_000 + row)),
        ("side", large_texts(rows)),
    ];
    write(&path, &RecordBatch::try_from_iter(columns).unwrap(), None);
    let (code, said) = replay(&path, &["--instrument", "a:b:C"]);
    assert_eq!(code, Some(2), "{said}");
    for part in [
        "x.parquet: ",
        "a page of 301 MiB in column \"side\" in row group 1 of 1",
        "at most 256 MiB are unpacked at once: write the file again with smaller pages or row groups",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// A file of our own trades with another column, or with another one in the place of its own.
fn own(folder: &Path, column: &str) -> std::path::PathBuf {
    let archives = archives::days(folder, 1..=1, 150);
    let written = spoiled::as_parquet(&archives, &folder.join("trades"));
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(written).unwrap()).unwrap();
    let says = builder.metadata().file_metadata().key_value_metadata().cloned().unwrap();
    // As a file of an earlier build, which has no seal.
    let says = says.into_iter().filter(|pair| {
        pair.key.starts_with("barflow.")
            && pair.key != "barflow.seal"
            && pair.key != "barflow.digest"
    });
    let batch = builder.build().unwrap().next().unwrap().unwrap();
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let mut columns: Vec<(&str, ArrayRef)> = names.zip(batch.columns().iter().cloned()).collect();
    columns.retain(|(name, _)| *name != column);
    columns.push((column, large_texts(150)));
    let path = folder.join("own.parquet");
    write(&path, &RecordBatch::try_from_iter(columns).unwrap(), Some(says.collect()));
    path
}

#[test]
fn columns_of_our_own_files_that_are_not_of_a_trade_are_not_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let path = own(folder.path(), "note");
    for more in [&[][..], &["--parallel", "2"]] {
        let (code, said) = replay(&path, more);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("150 trades") && peak(&said) < 150, "{said}");
    }
}

#[test]
fn a_column_of_our_own_files_with_another_type_is_refused_before_it_is_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let path = own(folder.path(), "price");
    let (code, said) = replay(&path, &[]);
    assert_eq!(code, Some(2), "{said}");
    let expected = "column \"price\": expected the column types that barflow writes";
    assert!(said.contains("own.parquet") && said.contains(expected), "{said}");
    assert!(peak(&said) < 150, "{said}");
}

#[test]
fn gzip_is_read_as_other_codecs_are_and_brotli_is_refused_with_its_column() {
    let folder = tempfile::tempdir().unwrap();
    let rows = 40;
    let number = |of: fn(i64) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..rows).map(of)))
    };
    let price: ArrayRef = Arc::new(Float64Array::from(vec![61000.5; rows as usize]));
    let columns = [
        ("id", number(|row| row + 1)),
        ("price", Arc::clone(&price)),
        ("qty", price),
        ("time", number(|row| 1_709_251_200_000 + row)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let bars = |codec: Compression| {
        let path = folder.path().join("x.parquet");
        let properties = WriterProperties::builder().set_compression(codec).build();
        let to = File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(to, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let bars = folder.path().join("bars.jsonl");
        let mut command = barflow();
        command.arg("replay").arg(path).args(["--bar", "t=tick,size=10"]).arg("--out").arg(&bars);
        command.args(["--instrument", "a:b:C"]);
        let (code, said) = Process::start(command).finish();
        (code, fs::read_to_string(bars).unwrap_or_default(), said)
    };
    let (code, plain, _) = bars(Compression::UNCOMPRESSED);
    assert_eq!((code, plain.lines().count()), (Some(0), 4));
    let (code, gzip, said) = bars(Compression::GZIP(GzipLevel::default()));
    assert_eq!((code, gzip), (Some(0), plain), "{said}");
    let (code, _, said) = bars(Compression::BROTLI(BrotliLevel::default()));
    assert_eq!(code, Some(2), "{said}");
    let expected = "brotli in column \"id\" in row group 1 of 1, which is not read: write the file \
                    again with zstd, snappy, gzip or LZ4_RAW, or without compression";
    assert!(said.contains("x.parquet") && said.contains(expected), "{said}");
}

//! Files of bars as other programs read them.

use std::fs;
use std::path::{Path, PathBuf};

use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::statistics::Statistics;

use crate::support::process::output;

/// Trades of one instrument, ten minutes apart.
fn day(folder: &Path) -> PathBuf {
    let path = folder.join("BTCUSDT-trades-2024-03-01.csv");
    let row = |at: u64| {
        let (price, maker) = (100 + at % 7, if at.is_multiple_of(3) { "True" } else { "False" });
        format!("{},{price}.5,2.0,1.0,{},{maker},True\n", at + 1, 1_709_251_200_000 + at * 600_000)
    };
    fs::write(&path, (0..140).map(row).collect::<String>()).unwrap();
    path
}

fn replay(day: &Path, more: &[&str]) -> (Vec<u8>, String) {
    let day = day.to_str().unwrap();
    let mut arguments = vec!["replay", day, "--bar", "t=tick,size=10"];
    arguments.extend(["--instrument", "binance:spot:BTCUSDT"]);
    arguments.extend(more);
    let made = output(&arguments, None);
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success(), "{said}");
    (made.stdout, said)
}

#[test]
fn parquet_has_signed_numbers_digests_as_text_and_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let day = day(folder.path());
    let out = folder.path().join("bars");
    replay(&day, &["--sink", "parquet", "--out", out.to_str().unwrap()]);
    let file = out.join("binance-spot-BTCUSDT.t.parquet");
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&file).unwrap()).unwrap();
    let kinds: Vec<(String, DataType)> = reader
        .schema()
        .fields()
        .iter()
        .map(|field| (field.name().clone(), field.data_type().clone()))
        .collect();
    let unsigned = |kind: &DataType| kind.is_unsigned_integer();
    assert!(kinds.iter().all(|(_, kind)| !unsigned(kind)), "{kinds:?}");
    for name in ["seq", "first_trade_id", "ticks", "buy_ticks", "revision", "missing_ids"] {
        assert!(kinds.contains(&(name.to_owned(), DataType::Int64)), "{name}");
    }
    assert!(kinds.contains(&("state_digest".to_owned(), DataType::Utf8)));
    let says = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let of = |key: &str| {
        let found = says.iter().find(|pair| pair.key == key);
        found.and_then(|pair| pair.value.clone()).unwrap_or_default()
    };
    assert_eq!(of("barflow.spec"), "t");
    assert_eq!(of("barflow.instrument"), "binance:spot:BTCUSDT");
    assert_eq!(of("barflow.schema"), "4");
    let group = reader.metadata().row_group(0);
    for (name, first, last) in [
        ("instrument", "binance:spot:BTCUSDT", "binance:spot:BTCUSDT"),
        ("close_time", "1709256600000000000", "1709334600000000000"),
    ] {
        let column = group.columns().iter().find(|column| column.column_path().string() == name);
        let statistics = column.unwrap().statistics().unwrap().clone();
        let (least, most) = match statistics {
            Statistics::Int64(values) => {
                (values.min_opt().unwrap().to_string(), values.max_opt().unwrap().to_string())
            }
            other => {
                let text =
                    |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                (text(other.min_bytes_opt()), text(other.max_bytes_opt()))
            }
        };
        assert_eq!((least.as_str(), most.as_str()), (first, last), "{name}");
    }
    assert!(of("barflow.inputs").contains("BTCUSDT-trades-2024-03-01.csv"));
    assert!(of("barflow.specification").contains("\"size\":10.0"));
    assert!(!of("barflow.version").is_empty());

    let lines = folder.path().join("bars.jsonl");
    fs::write(&lines, replay(&day, &[]).0).unwrap();
    let same = output(&["diff", lines.to_str().unwrap(), file.to_str().unwrap()], None);
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
}

#[test]
fn csv_has_a_header_and_the_values_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let day = day(folder.path());
    let out = folder.path().join("bars.csv");
    replay(&day, &["--sink", "csv", "--out", out.to_str().unwrap()]);
    let written = fs::read_to_string(&out).unwrap();
    assert_eq!(
        written.as_bytes(),
        replay(&day, &["--sink", "csv"]).0,
        "the same on standard output"
    );
    let lines = String::from_utf8(replay(&day, &[]).0).unwrap();
    let mut rows = written.lines().map(|row| row.split(',').collect::<Vec<_>>());
    let names = rows.next().unwrap();
    let bars: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), bars.len());
    for (row, bar) in rows.iter().zip(&bars) {
        assert_eq!(row.len(), bar.as_object().unwrap().len());
        for (name, cell) in names.iter().zip(row) {
            let value = &bar[*name];
            let text = value.as_str().map(str::to_owned);
            let text = text
                .unwrap_or_else(|| if value.is_null() { String::new() } else { value.to_string() });
            assert_eq!(*cell, text, "{name}");
        }
    }
}

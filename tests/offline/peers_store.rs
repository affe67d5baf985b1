//! Do other programs read a trade store as it is?

use std::path::Path;
use std::process::Command;

use crate::support::archives::{self, DAY, MARCH};
use crate::support::peers::python;
use crate::support::process::barflow;

/// What everybody should find.
#[derive(Debug, PartialEq)]
struct Found {
    rows: u64,
    ids: (u64, u64),
    times: (u64, u64),
    signs: i64,
    volume: f64,
}

fn of_rows(rows: &[String]) -> Found {
    let fields: Vec<Vec<&str>> = rows.iter().map(|row| row.split(',').collect()).collect();
    let number = |row: usize, column: usize| fields[row][column].parse::<u64>().unwrap();
    let last = rows.len() - 1;
    let volume: f64 = fields.iter().map(|row| row[2].parse::<f64>().unwrap()).sum();
    Found {
        rows: rows.len() as u64,
        ids: (number(0, 0), number(last, 0)),
        times: (number(0, 4), number(last, 4)),
        signs: fields.iter().map(|row| if row[5] == "True" { -1 } else { 1 }).sum(),
        volume: (volume * 1e6).round() / 1e6,
    }
}

#[test]
fn duckdb_pyarrow_pandas_and_polars_read_what_was_in_the_archives() {
    let Some(python) = python("duckdb") else { return };
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    // A whole month, which is merged, and some days.
    let rows = archives::rows(5, 70_000, MARCH + 123_457, 33 * DAY / 70_000);
    let split = rows.iter().position(|row| time(row) >= MARCH + 31 * DAY).unwrap();
    let march = archives::write(folder.path(), "BTCUSDT-trades-2024-03", &rows[..split]);
    let ends = rows.iter().position(|row| time(row) >= MARCH + 32 * DAY).unwrap();
    let april = archives::write(folder.path(), "BTCUSDT-trades-2024-04-01", &rows[split..ends]);
    let done = |command: &mut Command| assert!(command.output().unwrap().status.success());
    done(barflow().arg("convert").arg("--store").arg(&store).args([march, april]));
    done(barflow().arg("compact").arg("--store").arg(&store));

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/peers/read_store.py");
    let read = Command::new(python).arg(script).arg(&store).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let text = String::from_utf8(read.stdout).unwrap();
    let expected = of_rows(&rows[..ends]);
    assert_eq!(text.lines().count(), 4);
    for line in text.lines() {
        let found: serde_json::Value = serde_json::from_str(line).unwrap();
        let number = |key: &str| found[key].as_u64().unwrap();
        let found = Found {
            rows: number("rows"),
            ids: (number("first_id"), number("last_id")),
            times: (number("first_us"), number("last_us")),
            signs: found["signs"].as_i64().unwrap(),
            volume: found["volume"].as_f64().unwrap(),
        };
        assert_eq!(found, expected, "{line}");
    }
}

fn time(row: &str) -> u64 {
    row.split(',').nth(4).unwrap().parse().unwrap()
}

//! Summaries as Parquet and as a table for a terminal.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::summary::Summary;
use crate::config::sweep::{Criterion, Grid};
use crate::graph::sink::SinkError;
use crate::sinks::atomic_file::AtomicFile;

/// The names of a configuration's numbers, as in the Parquet file.
const NUMBERS: [&str; 11] = [
    "ticks_p10",
    "ticks_p50",
    "ticks_p90",
    "ticks_p99",
    "seconds_per_bar",
    "variance_ratio",
    "jarque_bera",
    "serial_correlation",
    "jarque_bera_per_bar",
    "variance_ratio_z",
    "score",
];

/// How good a configuration is: the less the better; none if it cannot be said.
pub fn score(by: Criterion, grid: &Grid, point: usize, summary: &Summary) -> Option<f64> {
    match by {
        Criterion::JarqueBera => summary.returns.jarque_bera(),
        Criterion::SerialCorrelation => summary.returns.serial_correlation().map(f64::abs),
        Criterion::VarianceRatio => summary.returns.variance_ratio().map(|r| (r - 1.0).abs()),
        Criterion::JarqueBeraPerBar => summary.returns.jarque_bera_per_return(),
        Criterion::VarianceRatioZ => summary.returns.variance_ratio_z().map(f64::abs),
        Criterion::Bars => Some(-(summary.bars() as f64)),
        Criterion::Ticks => {
            let target = grid.keys.iter().position(|key| key == "target" || key == "size")?;
            let target: f64 = grid.points[point].values[target].parse().ok()?;
            summary.ticks_at(0.5).map(|median| (median as f64 / target).ln().abs())
        }
        Criterion::Sync => summary.sync.after.map(|(trades, _)| trades as f64),
    }
}

/// The configurations that can be judged, the best first.
pub fn ranking(by: Criterion, grid: &Grid, summaries: &[&Summary]) -> Vec<usize> {
    let scored = summaries.iter().enumerate();
    let mut scored: Vec<(f64, usize)> = scored
        .filter_map(|(at, summary)| Some((score(by, grid, at, summary)?, at)))
        .filter(|(score, _)| !score.is_nan())
        .collect();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    scored.into_iter().map(|(_, at)| at).collect()
}

fn numbers(summary: &Summary, score: Option<f64>) -> [Option<f64>; 11] {
    let ticks = |quantile| summary.ticks_at(quantile).map(|ticks| ticks as f64);
    let returns = &summary.returns;
    [
        ticks(0.1),
        ticks(0.5),
        ticks(0.9),
        ticks(0.99),
        summary.seconds(),
        returns.variance_ratio(),
        returns.jarque_bera(),
        returns.serial_correlation(),
        returns.jarque_bera_per_return(),
        returns.variance_ratio_z(),
        score,
    ]
}

/// Writes one row per configuration: its number and name, the grid's keys, and what it made.
///
/// # Errors
/// When the disk refuses.
pub fn parquet(
    path: &Path,
    by: Criterion,
    grid: &Grid,
    summaries: &[&Summary],
) -> Result<(), SinkError> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    let mut put = |name: &str, column: ArrayRef| {
        let kind = column.data_type().clone();
        fields.push(Field::new(name, kind, true));
        columns.push(column);
    };
    put("config", Arc::new(Int64Array::from_iter_values(0..summaries.len() as i64)));
    let names = grid.points.iter().map(|point| point.spec.name().to_string());
    put("spec", Arc::new(StringArray::from_iter_values(names)));
    for (at, key) in grid.keys.iter().enumerate() {
        let texts = || grid.points.iter().map(|point| point.values[at].as_str());
        let parsed: Option<Vec<f64>> = texts().map(|text| text.parse().ok()).collect();
        put(
            key,
            match parsed {
                Some(numbers) => Arc::new(Float64Array::from(numbers)),
                None => Arc::new(StringArray::from_iter_values(texts())),
            },
        );
    }
    // Signed, so that differences of two columns do not wrap in pandas and polars.
    let bars = summaries.iter().map(|summary| summary.bars() as i64);
    put("bars", Arc::new(Int64Array::from_iter_values(bars)));
    let rows: Vec<_> = summaries
        .iter()
        .enumerate()
        .map(|(at, summary)| numbers(summary, score(by, grid, at, summary)))
        .collect();
    for (at, name) in NUMBERS.iter().enumerate() {
        put(name, Arc::new(Float64Array::from_iter(rows.iter().map(|row| row[at]))));
    }
    let sync = |pick: fn((u64, u64)) -> u64| {
        let values = summaries.iter().map(|summary| summary.sync.after.map(pick));
        Arc::new(Int64Array::from_iter(values.map(|n| n.map(|n| n as i64))))
    };
    put("sync_trades", sync(|after| after.0));
    put("sync_bars", sync(|after| after.1));
    debug_assert_eq!(columns[0].data_type(), &DataType::Int64);

    let (atomic, file) = AtomicFile::create(path)?;
    let wrong = |e: &dyn std::fmt::Display| {
        SinkError::Refused(format!("could not write \"{}\": {e}", path.display()))
    };
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|e| wrong(&e))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(format!("barflow {}", env!("CARGO_PKG_VERSION")))
        .build();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).map_err(|e| wrong(&e))?;
    writer.write(&batch).map_err(|e| wrong(&e))?;
    let file = writer.into_inner().map_err(|e| wrong(&e))?;
    atomic.commit(&file).map(drop)
}

/// The best, as lines for a terminal.
pub fn table(grid: &Grid, summaries: &[&Summary], best: &[usize], top: usize) -> String {
    let varies = |at: &usize| {
        let first = &grid.points[0].values[*at];
        grid.points.iter().any(|point| point.values[*at] != *first)
    };
    let keys: Vec<usize> = (0..grid.keys.len()).filter(varies).collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut head = vec!["config".to_owned()];
    head.extend(keys.iter().map(|at| grid.keys[*at].clone()));
    let shown = [
        "bars",
        "ticks p50",
        "s/bar",
        "var. ratio",
        "its z",
        "Jarque-Bera",
        "per bar",
        "serial corr.",
        "sync",
    ];
    head.extend(shown.map(str::to_owned));
    rows.push(head);
    let text = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
    };
    for at in best.iter().take(top) {
        let (point, summary) = (&grid.points[*at], summaries[*at]);
        let mut row = vec![point.spec.name().to_string()];
        row.extend(keys.iter().map(|key| point.values[*key].clone()));
        row.push(summary.bars().to_string());
        row.push(text(summary.ticks_at(0.5).map(|ticks| ticks as f64), 0));
        row.push(text(summary.seconds(), 1));
        row.push(text(summary.returns.variance_ratio(), 3));
        row.push(text(summary.returns.variance_ratio_z(), 1));
        row.push(text(summary.returns.jarque_bera(), 1));
        row.push(text(summary.returns.jarque_bera_per_return(), 3));
        row.push(text(summary.returns.serial_correlation(), 3));
        row.push(text(summary.sync.after.map(|(trades, _)| trades as f64), 0));
        rows.push(row);
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in rows {
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(out, "{cell:>width$}  ");
        }
        let kept = out.trim_end().len();
        out.truncate(kept);
        out.push('\n');
    }
    out
}

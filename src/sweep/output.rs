//! The results of a sweep, their ranking, and the Parquet file of them.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::baselines::Baseline;
use super::summary::{Figures, Summary};
use super::totals::Totals;
use crate::config::sweep::{Criterion, Grid, Holdout};
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

/// What came of a sweep.
pub struct Results<'a> {
    /// The configurations.
    pub grid: &'a Grid,
    /// What ranks them.
    pub by: Criterion,
    /// Of each configuration.
    pub figures: Vec<Figures>,
    /// The plain bars beside them.
    pub baselines: Vec<Baseline>,
    /// The share that was kept out of the choice.
    pub holdout: Option<Holdout>,
    /// The trades.
    pub totals: Totals,
}

impl Results<'_> {
    /// The configurations that can be judged, the best first: by what they made before the holdout.
    pub fn ranking(&self) -> Vec<usize> {
        ranked((0..self.figures.len()).map(|at| self.score(at, &self.figures[at].in_sample)))
    }

    /// The same by what they made in the holdout.
    pub fn holdout_ranking(&self) -> Vec<usize> {
        let score = |at: usize| self.score(at, self.figures[at].holdout.as_ref()?);
        ranked((0..self.figures.len()).map(score))
    }

    /// How good a summary is by the targets of a configuration: the less the better; none if it cannot be
    /// said.
    pub fn score(&self, point: usize, summary: &Summary) -> Option<f64> {
        let score = match self.by {
            Criterion::JarqueBera => summary.returns.jarque_bera(),
            Criterion::SerialCorrelation => summary.returns.serial_correlation().map(f64::abs),
            Criterion::VarianceRatio => summary.returns.variance_ratio().map(|r| (r - 1.0).abs()),
            Criterion::JarqueBeraPerBar => summary.returns.jarque_bera_per_return(),
            Criterion::VarianceRatioZ => summary.returns.variance_ratio_z().map(f64::abs),
            Criterion::Bars => Some(-(summary.bars() as f64)),
            Criterion::Ticks => {
                let mut keys = self.grid.keys.iter();
                let target = keys.position(|key| key == "target" || key == "size")?;
                let target: f64 = self.grid.points[point].values[target].parse().ok()?;
                summary.ticks_at(0.5).map(|median| (median as f64 / target).ln().abs())
            }
            Criterion::Sync => summary.sync.after.map(|(trades, _)| trades as f64),
        };
        score.filter(|score| !score.is_nan())
    }

    /// Writes a row per configuration, then one per baseline: its number and name, the keys, and what it
    /// made, before the holdout and in it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn parquet(&self, path: &Path) -> Result<(), SinkError> {
        let wrong = |e: &dyn std::fmt::Display| {
            SinkError::Refused(format!("could not write \"{}\": {e}", path.display()))
        };
        let columns = self.columns();
        let fields = columns
            .iter()
            .map(|(name, column)| Field::new(name.as_str(), column.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let columns = columns.into_iter().map(|(_, column)| column).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|e| wrong(&e))?;
        let version = env!("CARGO_PKG_VERSION");
        let mut says = vec![("barflow.version", version.to_owned())];
        if let Some(holdout) = self.holdout {
            says.push(("barflow.holdout", holdout.share().to_string()));
            says.push(("barflow.in_sample_trades", self.totals.in_sample.to_string()));
            let from = self.totals.holdout_from.map(utc).unwrap_or_default();
            says.push(("barflow.holdout_from", from));
        }
        let says = says.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("barflow {version}"))
            .set_key_value_metadata(Some(says.collect()))
            .build();
        let (atomic, file) = AtomicFile::create(path)?;
        let mut writer =
            ArrowWriter::try_new(file, schema, Some(properties)).map_err(|e| wrong(&e))?;
        writer.write(&batch).map_err(|e| wrong(&e))?;
        let file = writer.into_inner().map_err(|e| wrong(&e))?;
        atomic.commit(&file).map(drop)
    }

    fn columns(&self) -> Vec<(String, ArrayRef)> {
        let (grid, of_grid) = (self.grid, self.grid.points.len());
        let mut columns: Vec<(String, ArrayRef)> = Vec::new();
        let mut put = |name: &str, column: ArrayRef| columns.push((name.to_owned(), column));
        let numbers = (0..of_grid as i64).map(Some).chain(self.baselines.iter().map(|_| None));
        put("config", Arc::new(Int64Array::from_iter(numbers)));
        let names = grid.points.iter().map(|point| point.spec.name().to_string());
        let kinds = self.baselines.iter().map(|baseline| baseline.kind.as_str().to_owned());
        put("spec", Arc::new(StringArray::from_iter_values(names.chain(kinds))));
        for (at, key) in grid.keys.iter().enumerate() {
            put(key, self.key(at));
        }
        if !self.baselines.is_empty() {
            let of = |at: usize| grid.points[at].spec.name().to_string();
            let of_grid = || grid.points.iter().map(|_| None);
            let texts = self.baselines.iter().map(|baseline| Some(baseline.definition.clone()));
            put("baseline", Arc::new(StringArray::from_iter(of_grid().chain(texts))));
            let texts = self.baselines.iter().map(|baseline| Some(of(baseline.of)));
            put("baseline_of", Arc::new(StringArray::from_iter(of_grid().chain(texts))));
        }
        for (name, column) in self.statistics(|figures| Some(&figures.in_sample)) {
            put(name, column);
        }
        let sync = |pick: fn((u64, u64)) -> u64| {
            let values = self.rows().map(|(_, figures)| figures.in_sample.sync.after.map(pick));
            Arc::new(Int64Array::from_iter(values.map(|n| n.map(|n| n as i64))))
        };
        put("sync_trades", sync(|after| after.0));
        put("sync_bars", sync(|after| after.1));
        if self.holdout.is_some() {
            for (name, column) in self.statistics(|figures| figures.holdout.as_ref()) {
                put(&format!("holdout_{name}"), column);
            }
        }
        columns
    }

    /// Every configuration, then every baseline: whose targets judge it, and what it made.
    fn rows(&self) -> impl Iterator<Item = (usize, &Figures)> {
        let baselines = self.baselines.iter().map(|baseline| (baseline.of, &baseline.figures));
        self.figures.iter().enumerate().chain(baselines)
    }

    /// A key of the grid; baselines have no value but their kind.
    fn key(&self, at: usize) -> ArrayRef {
        let texts = || self.grid.points.iter().map(|point| point.values[at].as_str());
        let parsed: Option<Vec<f64>> = texts().map(|text| text.parse().ok()).collect();
        let is_kind = self.grid.keys[at] == "kind";
        match parsed {
            Some(numbers) => {
                let of_baselines = self.baselines.iter().map(|_| None);
                Arc::new(Float64Array::from_iter(numbers.into_iter().map(Some).chain(of_baselines)))
            }
            None => {
                let of_baselines =
                    self.baselines.iter().map(|baseline| is_kind.then(|| baseline.kind.as_str()));
                Arc::new(StringArray::from_iter(texts().map(Some).chain(of_baselines)))
            }
        }
    }

    /// The number of bars and the statistics of one part of the history.
    fn statistics(&self, part: fn(&Figures) -> Option<&Summary>) -> Vec<(&'static str, ArrayRef)> {
        // Signed, so that differences of two columns do not wrap in pandas and polars.
        let bars = self.rows().map(|(_, figures)| part(figures).map(|s| s.bars() as i64));
        let mut columns: Vec<(&str, ArrayRef)> =
            vec![("bars", Arc::new(Int64Array::from_iter(bars)))];
        let rows: Vec<_> = (self.rows())
            .map(|(of, figures)| part(figures).map(|s| numbers(s, self.score(of, s))))
            .collect();
        for (at, name) in NUMBERS.iter().enumerate() {
            let column = rows.iter().map(|row| row.as_ref().and_then(|row| row[at]));
            columns.push((name, Arc::new(Float64Array::from_iter(column))));
        }
        columns
    }
}

/// Those with a score, the least first.
fn ranked(scores: impl Iterator<Item = Option<f64>>) -> Vec<usize> {
    let mut scored: Vec<(f64, usize)> =
        scores.enumerate().filter_map(|(at, score)| Some((score?, at))).collect();
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

/// A time for people and for programs.
pub fn utc(nanoseconds: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds));
    time.map(|time| time.to_string()).unwrap_or_default()
}

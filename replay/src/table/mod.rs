//! Trades in Parquet files of any writer: pandas, polars, DuckDB, Spark and others.
//!
//! Columns are taken by name, as in text files with a header, and their values by what they are:
//! whole numbers, floating-point numbers, decimals, text, truths and timestamps in any unit. A
//! timestamp without a zone is UTC. A 32-bit float is the shortest decimal that means it.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use barflow_operators::batch::Feed;
use barflow_operators::input_batch::{InputBatch, RowPlace};
use barflow_operators::position::{FilePosition, Position};

use self::batches::{Batches, Opened, ReadPlan};
use crate::columns::Columns;
use crate::columns::cell::Cell;
use crate::columns::choice::ColumnChoice;
use crate::columns::resolve::{Seen, needed};
use crate::error::ReplayError;
use crate::progress::Progress;
use crate::read_options::ReadOptions;
use crate::rows::edges::Edges;
use crate::rows::judge::settle;
use crate::rows::{Output, RowRules, mapped};
use crate::rows_of_file::turn;
use crate::spool;
use crate::wanted_end::WantedEnd;

mod batches;
mod cells;

/// Rows that are looked at before a file is read.
const SAMPLE: usize = 1000;

/// Looks at names, and at the first rows of the columns that matter; there are none in a file without rows.
///
/// # Errors
/// When it cannot be read.
pub fn look(path: &Path, choice: Option<&ColumnChoice>) -> Result<Seen, ReplayError> {
    let opened = Opened::open(path)?;
    let names = opened.names();
    // Names that are not understood are told of by their reader, who knows what was chosen.
    let needed = needed(&names, choice).unwrap_or_default();
    let (columns, mut rows) = (names.len(), Vec::new());
    let wanted = ReadPlan::of(path, &opened, &needed, SAMPLE)?;
    let mut batches = Batches::open(path, opened, wanted, 0, false)?;
    while rows.len() < SAMPLE
        && let Some(batch) = batches.next()?
    {
        for row in 0..batch.num_rows().min(SAMPLE - rows.len()) {
            let mut cells = vec![Cell::Null; columns];
            for (at, array) in needed.iter().zip(batch.columns()) {
                cells[*at] = owned(cells::cell(array, row));
            }
            rows.push(cells);
        }
    }
    Ok(Seen { names: Some(names), delimiter: b',', rows })
}

fn owned(cell: Cell<'_>) -> Cell<'static> {
    match cell {
        Cell::Null => Cell::Null,
        Cell::Int(value) => Cell::Int(value),
        Cell::Float(value) => Cell::Float(value),
        Cell::Single(value) => Cell::Single(value),
        Cell::Bool(value) => Cell::Bool(value),
        Cell::Instant(ns) => Cell::Instant(ns),
        Cell::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
    }
}

/// Trades of one file.
pub struct TableTrades {
    batches: Batches,
    /// Rows of the file.
    rows: u64,
    /// The newest trade stands first: rows are read from the last to the first.
    backwards: bool,
    rules: RowRules,
    columns: Arc<Columns>,
    /// The place of each of the file's columns among those that are read.
    places: Vec<Option<usize>>,
    /// What stands outside the wanted times.
    edges: Edges,
    wanted_end: WantedEnd,
    at: FilePosition,
    bytes_per_row: u64,
    progress: Progress,
}

impl TableTrades {
    /// Starts to read at the row of a position; rows count from the end where it is read from there.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(
        path: &Path,
        rules: RowRules,
        columns: Arc<Columns>,
        at: FilePosition,
        backwards: bool,
        options: &ReadOptions,
    ) -> Result<Self, ReplayError> {
        let opened = Opened::open(path)?;
        let rows = opened.rows();
        let needed = columns.needed();
        let mut places = vec![None; columns.names.len()];
        for (place, column) in needed.iter().enumerate() {
            places[*column] = Some(place);
        }
        let wanted = ReadPlan::of(path, &opened, &needed, options.batch_rows.max(1))?;
        let skip = at.byte.min(rows) as usize;
        let batches = Batches::open(path, opened, wanted, skip, backwards)?;
        let bytes = spool::length(path).map_err(|e| ReplayError::io("open", path, e))?;
        let (bytes_per_row, progress) = (bytes / rows.max(1), options.progress.clone());
        let edges = Edges::default();
        Ok(Self {
            batches,
            rows,
            backwards,
            rules,
            columns,
            places,
            edges,
            wanted_end: WantedEnd::default(),
            at,
            bytes_per_row,
            progress,
        })
    }

    /// The next input batch; none at the file's end.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn next_batch(
        &mut self,
        feed: &Arc<Feed>,
        options: &ReadOptions,
        ordinal: &mut u64,
    ) -> Result<Option<InputBatch>, ReplayError> {
        let Some(batch) = self.batches.next()? else { return Ok(None) };
        let start = Position::File(self.at.clone());
        let mut trades = options.pool.take(feed);
        let (mut rejects, mut left_out) = (Vec::new(), Vec::new());
        let mut edges = std::mem::take(&mut self.edges);
        let mut out = Output {
            batch: &mut trades,
            rejects: &mut rejects,
            left_out: &mut left_out,
            source: &self.at.source,
            line: self.at.line,
            ordinal,
            rows: usize::MAX,
            edges: &mut edges,
            behind: None,
            other_header: false,
        };
        let last = batch.num_rows().saturating_sub(1);
        for row in 0..batch.num_rows() {
            let row = if self.backwards { last - row } else { row };
            let cell = |column: usize| self.cell(&batch, column, row);
            let read = mapped::cells(&self.rules, &self.columns, cell);
            let raw = || mapped::raw(self.columns.names.len(), cell);
            settle(&self.rules, read, raw, &mut out);
            out.line += 1;
        }
        let behind = out.behind;
        rejects.extend(edges.ids.end_batch(&trades));
        rejects.sort_by_key(|reject| reject.row);
        self.edges = edges;
        if options.to_may_move {
            self.wanted_end.check(Path::new(&*self.at.source), trades.len(), behind)?;
        }
        let rows = batch.num_rows() as u64;
        self.progress.add_bytes(rows * self.bytes_per_row);
        self.at.byte += rows;
        self.at.line += rows;
        if let Some(last) = trades.trade_id.last() {
            self.at.trade_id = Some(*last);
        }
        let end = Position::File(self.at.clone());
        let falls = self.backwards.then(|| {
            turn(self.rows, &mut rejects, &mut left_out);
            let line = (self.rows + 1).saturating_sub(start.line());
            RowPlace { row: 0, source: start.place(), line, falls: true }
        });
        let mut read = InputBatch::new(trades, rejects, start, end);
        read.left_out = left_out;
        read.places.extend(falls);
        Ok(Some(read))
    }

    fn cell<'a>(&self, batch: &'a RecordBatch, column: usize, row: usize) -> Cell<'a> {
        let place = self.places.get(column).copied().flatten();
        let array = place.and_then(|place| batch.columns().get(place));
        // Columns that nobody needs are not read.
        array.map_or(Cell::Text(Cow::Borrowed("")), |array| cells::cell(array, row))
    }
}

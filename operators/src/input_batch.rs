//! What an input gives to the graph: parsed trades, and rows that could not be parsed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bar::Bar;
use crate::batch::TradeBatch;
use crate::end::Unfinished;
use crate::instrument::InstrumentId;
use crate::position::Position;
use crate::progress::Progress;
use crate::revision::Correction;
use crate::sequence::{FeedOrder, Findings, Lines, Standing};
use crate::spec::BarSpec;

pub use crate::left_out::LeftOut;

/// A row (or message) that is not a valid trade, with everything needed to find it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reject {
    /// How many trades of the same batch preceded it.
    pub row: u32,
    /// File, `archive.zip/member.csv`, or feed.
    pub source: Arc<str>,
    /// Line, from 1.
    pub line: u64,
    /// Which field is wrong.
    pub field: String,
    /// Its text.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
    /// The whole row as it was read, without its line end.
    pub raw: String,
}

/// From which line on a stretch of a batch's trades comes, where files are merged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowPlace {
    /// The first trade of the stretch, counted from 0 within the batch.
    pub row: u32,
    /// File, or `archive.zip/member.csv`.
    pub source: Arc<str>,
    /// Its line, from 1; each further trade stands one line on.
    pub line: u64,
    /// Whether each further trade stands one line before instead: the file is read from its end.
    pub falls: bool,
}

/// One piece of one instrument's ordered input.
///
/// # Contract
/// Pieces of an instrument come from one source, one after the other; every valid row of the
/// input is in `trades` or `left_out`, every other one in `rejects`, in the order of the input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputBatch {
    /// Rows that are valid trades one by one.
    pub trades: TradeBatch,
    /// Rows that are not.
    pub rejects: Vec<Reject>,
    /// Valid rows that are not trades, by rule.
    pub left_out: Vec<LeftOut>,
    /// Where the first row of this piece starts.
    pub start: Position,
    /// Where the row after the last one starts.
    pub end: Position,
    /// Where the trades come from, if not all from one line after the other from `start` on; see
    /// [`place_of`](Self::place_of).
    pub places: Vec<RowPlace>,
    /// What a feed knows of the trades, which it has put in order; none for files, whose trades are
    /// still to be put in order.
    pub order: Option<FeedOrder>,
    /// The bars of this instrument from this piece on; none: as before.
    pub specs: Option<Arc<[BarSpec]>>,
    /// What is wrong with trades handed in before, or will be with later ones.
    pub corrections: Vec<Correction>,
    /// Other instruments of the same source of which nothing comes any more.
    pub ended: Vec<InstrumentId>,
    /// The bars, where they were built beforehand. Then `trades` is empty, `rejects` are those that
    /// the order of trades has set aside as well, and `end` is how far the input is applied. Stays
    /// within the process.
    #[serde(skip)]
    pub made: Option<Box<Made>>,
}

/// What was made of a piece of a history before it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Made {
    /// Bars with the names of their specifications, in order.
    pub bars: Vec<(Arc<str>, Bar)>,
    /// What was noticed about the sequence.
    pub findings: Findings,
    /// What is left of the builders, if this is the end of the input.
    pub left: Vec<Unfinished>,
    /// How far the bars are complete, if this is the end of the input.
    pub progress: Vec<Progress>,
}

impl InputBatch {
    /// A piece of a file.
    pub fn new(trades: TradeBatch, rejects: Vec<Reject>, start: Position, end: Position) -> Self {
        let (left_out, places, corrections) = (Vec::new(), Vec::new(), Vec::new());
        let (order, specs, made, ended) = (None, None, None, Vec::new());
        Self {
            trades,
            rejects,
            left_out,
            start,
            end,
            places,
            order,
            specs,
            corrections,
            ended,
            made,
        }
    }

    /// The file and line of a trade, as a person looks for it.
    pub fn place_of(&self, row: usize) -> (Arc<str>, u64) {
        place_of(&self.places, &self.start, row)
    }

    /// Whether the trades around this one stand in falling lines.
    pub fn place_falls(&self, row: usize) -> bool {
        let after = self.places.partition_point(|place| place.row as usize <= row);
        after.checked_sub(1).and_then(|at| self.places.get(at)).is_some_and(|place| place.falls)
    }

    /// Trades that it covers.
    pub fn rows(&self) -> usize {
        let made = self.made.as_ref().map_or(0, |made| made.findings.released);
        self.trades.len() + usize::try_from(made).unwrap_or(usize::MAX)
    }
}

/// The lines of the trades of a batch that begins at `start`.
pub fn lines(
    start: &Position,
    rejects: &[Reject],
    left_out: &[LeftOut],
    places: &[RowPlace],
) -> Lines {
    let begin = Standing { source: start.place(), line: start.line() };
    let rejects = rejects.iter().map(|reject| (reject.row, reject.line));
    let others = left_out.iter().map(|other| (other.row, other.line));
    let mut between: Vec<(u32, u64)> = rejects.chain(others).collect();
    between.sort_unstable();
    let standing =
        |place: &RowPlace| Standing { source: Arc::clone(&place.source), line: place.line };
    let places = places.iter().map(|place| (place.row, standing(place))).collect();
    Lines::new(begin, between, places)
}

/// The file and line of a trade of a batch that begins at `start`.
pub fn place_of(places: &[RowPlace], start: &Position, row: usize) -> (Arc<str>, u64) {
    let after = places.partition_point(|place| place.row as usize <= row);
    match after.checked_sub(1).and_then(|at| places.get(at)) {
        Some(place) => {
            let rows = (row - place.row as usize) as u64;
            let line = match place.falls {
                true => place.line.saturating_sub(rows),
                false => place.line + rows,
            };
            (Arc::clone(&place.source), line)
        }
        None => (start.place(), start.line() + row as u64),
    }
}

//! One job over several lives of the graph: each is cut off somewhere, the next resumes from the
//! records that were kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use barflow::graph::checkpoints::Checkpoints;
use barflow::graph::options::GraphOptions;
use barflow::graph::sink::Commit;
use barflow_operators::bar::Bar;
use barflow_operators::batch::{Feed, IdKind, TradeBatch};
use barflow_operators::checkpoint::envelope::open;
use barflow_operators::checkpoint::instrument_state::InstrumentState;
use barflow_operators::checkpoint::record::Record;
use barflow_operators::gap::Gap;
use barflow_operators::input_batch::{InputBatch, Reject};
use barflow_operators::instrument::InstrumentId;
use barflow_operators::position::{FeedPosition, FilePosition, Position};
use barflow_operators::sequence::FeedOrder;
use barflow_operators::trade::Trade;

use super::graph_runs::{Kept, Run, Setup, options, run_with};

/// Bars by instrument and specification.
pub type Bars = BTreeMap<(InstrumentId, String), Vec<Bar>>;

/// What a source says in one row.
#[derive(Clone, Copy, Debug)]
pub enum Row {
    Trade(Trade),
    /// An id that stands for no trade; only feeds say so.
    Void(u64),
}

impl Row {
    fn id(&self) -> u64 {
        match self {
            Self::Trade(trade) => trade.trade_id,
            Self::Void(id) => *id,
        }
    }
}

/// Everything an instrument's source has to say.
#[derive(Clone, Debug)]
pub struct Tape {
    pub feed: Arc<Feed>,
    pub rows: Vec<Row>,
    /// Whether it is a feed, which has put its trades in order and says which ids are no trades.
    pub live: bool,
    /// A row that cannot be read.
    pub bad: Option<usize>,
}

impl Tape {
    /// Pieces of so many rows, from a position on.
    fn input_batches(&self, from: Option<&Position>, piece: usize) -> Vec<InputBatch> {
        let begin = match from {
            None => 0,
            // A feed is asked for what comes after an id, a file is read from a place.
            Some(position) if self.live => {
                self.rows.iter().filter(|row| Some(row.id()) <= position.trade_id()).count()
            }
            Some(position) => position.file().unwrap().byte as usize,
        };
        let rows = self.rows.iter().enumerate().skip(begin).collect::<Vec<_>>();
        rows.chunks(piece).map(|rows| self.input_batch(rows)).collect()
    }

    fn input_batch(&self, rows: &[(usize, &Row)]) -> InputBatch {
        let (mut trades, mut rejects) = (Vec::new(), Vec::new());
        for (at, row) in rows {
            match row {
                _ if self.bad == Some(*at) => rejects.push(reject(trades.len() as u32)),
                Row::Trade(trade) => trades.push(*trade),
                Row::Void(_) => {}
            }
        }
        let trades = TradeBatch::from_trades(Arc::clone(&self.feed), &trades);
        let (first, last) = (rows[0].0, rows[rows.len() - 1].0);
        let mut input_batch =
            InputBatch::new(trades, rejects, self.position(first), self.position(last + 1));
        input_batch.order = self.live.then(|| self.feed_order(first, last));
        input_batch
    }

    /// What a feed knows of these rows: between those beside each other, ids are missing for good.
    fn feed_order(&self, first: usize, last: usize) -> FeedOrder {
        let rows = &self.rows[first.saturating_sub(1)..=last];
        let gaps = rows.windows(2).filter_map(|pair| {
            let (first_missing, last_missing) = (pair[0].id() + 1, pair[1].id() - 1);
            (first_missing <= last_missing).then_some(Gap { first_missing, last_missing })
        });
        let through = Some(self.rows[last].id());
        FeedOrder { received: Some(1), through, gaps: gaps.collect(), ..FeedOrder::default() }
    }

    fn position(&self, row: usize) -> Position {
        let source = self.feed.instrument.as_str().into();
        let trade_id = row.checked_sub(1).map(|last| match self.feed.ids {
            // A reader of rows without ids numbers them by their position.
            IdKind::Ordinal => row as u64,
            _ => self.rows[last].id(),
        });
        if self.live {
            let frames = row as u64;
            return FeedPosition { source, frames, trade_id, latest: None }.into();
        }
        FilePosition { byte: row as u64, trade_id, ..FilePosition::start(source) }.into()
    }
}

fn reject(row: u32) -> Reject {
    Reject {
        row,
        source: "file".into(),
        line: 1,
        field: "price".into(),
        value: "x".into(),
        reason: "not a number".into(),
        raw: "x".into(),
    }
}

/// How one life goes.
#[derive(Clone, Debug)]
pub struct Life {
    pub workers: usize,
    /// Rows per piece of input.
    pub piece: usize,
    /// Bars per cut; 0 for a cut whenever there is anything.
    pub bars_per_cut: u64,
    /// How much of each worker's cuts is kept, 0 to 1.
    pub kept: Vec<f64>,
}

/// What is there of a job, as in a topic or a journal.
#[derive(Default)]
pub struct Job {
    pub bars: Bars,
    records: BTreeMap<String, Vec<u8>>,
}

impl Job {
    fn instruments(&self) -> BTreeMap<InstrumentId, InstrumentState> {
        let mut records: BTreeMap<InstrumentId, Vec<Record>> = BTreeMap::new();
        for bytes in self.records.values() {
            let record: Record = open(bytes).unwrap();
            records.entry(record.feed.instrument.clone()).or_default().push(record);
        }
        let restored =
            records.into_iter().map(|(i, r)| (i, InstrumentState::restore(r).unwrap().unwrap()));
        restored.collect()
    }

    /// Resumes the job; of what comes, only what `life` keeps has ever happened.
    pub fn live(&mut self, tapes: &[Tape], setup: Setup, life: &Life) -> Run {
        let instruments = self.instruments();
        let inputs = tapes.iter().map(|tape| {
            let state = instruments.get(&tape.feed.instrument);
            tape.input_batches(state.and_then(InstrumentState::position), life.piece)
        });
        let inputs = inputs.collect();
        let mut options: GraphOptions = options(&setup);
        let orders = instruments.iter().map(|(i, state)| (i.clone(), state.resume()));
        options.validate.resume = orders.collect();
        let often = life.bars_per_cut == 0;
        options.checkpoints = Some(Checkpoints {
            restored: Arc::new(Mutex::new(instruments)),
            interval: if often { Duration::ZERO } else { Duration::from_secs(3600) },
            bars: life.bars_per_cut.max(1),
        });
        let run = run_with(life.workers, options, inputs, Kept::default());
        for shard in 0..life.workers {
            let commits: Vec<&Commit> =
                run.commits.iter().filter(|commit| commit.shard == shard).collect();
            self.keep(&commits, life.kept[shard % life.kept.len()]);
        }
        run
    }

    /// Takes in what a shard committed until it was cut off.
    fn keep(&mut self, commits: &[&Commit], kept: f64) {
        let cuts = commits.iter().filter(|commit| commit.cut.is_some()).count();
        let mut left = (cuts as f64 * kept).round() as usize;
        let mut open = Vec::new();
        for commit in commits {
            open.extend(commit.bars.iter().map(|(bar, _)| bar.clone()));
            let Some(records) = commit.cut.as_ref().filter(|_| left > 0) else { continue };
            left -= 1;
            for bar in open.drain(..) {
                let key = (bar.feed.instrument.clone(), bar.spec.to_string());
                self.bars.entry(key).or_default().push(bar.bar);
            }
            self.records.extend(records.iter().map(|r| (r.key.clone(), r.bytes.clone())));
            if left == 0 {
                return;
            }
        }
    }
}

//! One instrument's builders with the book that is kept about them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::envelope::seal;
use super::record::{Body, Record, Step, Whole};
use crate::bar::Bar;
use crate::batch::{Feed, IdKind, TradeBatch};
use crate::dataflow::validate::Sequenced;
use crate::desk::{Desk, Joined};
use crate::position::Position;
use crate::sequence::{GAPS_REMEMBERED, Gap, Resume};
use crate::spec::BarSpec;

/// Records that lead on from a whole state before there is another: a restart applies at most so
/// many, and they are never larger together than the state itself.
const STEPS: u32 = 64;

/// About what a trade takes in a record, in bytes.
const TRADE_BYTES: usize = 40;

/// About what a piece of input takes beside its trades.
const STEP_BYTES: usize = 24;

/// A [`Desk`] whose state can be written down at any time.
#[derive(Clone, Debug)]
pub struct Account {
    feed: Arc<Feed>,
    desk: Desk,
    position: Option<Position>,
    last_id: Option<u64>,
    last_time: i64,
    gaps: VecDeque<Gap>,
    voids: Vec<Gap>,
    generation: u64,
    step: u32,
    /// Bytes of the last whole state; 0 before the first.
    whole_bytes: usize,
    /// Bytes of the steps since then, those in `log` included.
    log_bytes: usize,
    /// What was applied since the last record; none when only a whole state will do.
    log: Option<Vec<Step>>,
    dirty: bool,
}

/// Records that do not make an account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// There is no whole state among them.
    #[error("no whole state of {0} is there")]
    NoState(String),
    /// A record between others is not there.
    #[error("record {step} of {instrument} is missing; {last} was found")]
    Missing {
        /// Whose.
        instrument: String,
        /// Which is missing.
        step: u32,
        /// The last that is there.
        last: u32,
    },
}

impl Account {
    /// Builders that have seen nothing.
    pub fn new(feed: Arc<Feed>, specs: &[BarSpec]) -> Self {
        Self {
            feed,
            desk: Desk::new(specs),
            position: None,
            last_id: None,
            last_time: 0,
            gaps: VecDeque::new(),
            voids: Vec::new(),
            generation: 0,
            step: 0,
            whole_bytes: 0,
            log_bytes: 0,
            log: None,
            dirty: false,
        }
    }

    /// The builders as they were when the last of these records was written. Records of older
    /// generations are passed over.
    ///
    /// # Errors
    /// When a record is missing.
    pub fn restore(mut records: Vec<Record>) -> Result<Option<Self>, Broken> {
        let Some(any) = records.first() else { return Ok(None) };
        let instrument = any.feed.instrument.to_string();
        let newest = records.iter().filter(|record| record.step == 0).map(|r| r.generation).max();
        let Some(generation) = newest else { return Err(Broken::NoState(instrument)) };
        records.retain(|record| record.generation == generation);
        records.sort_by_key(|record| record.step);
        let last = records.last().map_or(0, |record| record.step);
        let mut account: Option<Self> = None;
        for (step, record) in (0..).zip(records) {
            if record.step != step {
                return Err(Broken::Missing { instrument, step, last });
            }
            let Record { feed, position, last_id, last_time, voids, body, .. } = record;
            match (&mut account, body) {
                (None, Body::Whole(whole)) => {
                    let Whole { desk, gaps } = *whole;
                    account = Some(Self {
                        feed: Arc::new(feed),
                        desk,
                        position: Some(position),
                        last_id,
                        last_time,
                        gaps,
                        voids,
                        generation,
                        step,
                        // As large as need be: the next record is a whole state.
                        whole_bytes: 0,
                        log_bytes: 0,
                        log: None,
                        dirty: false,
                    });
                }
                (Some(account), Body::Steps(steps)) => {
                    for done in steps {
                        account.repeat(done);
                    }
                    account.position = Some(position);
                    (account.last_id, account.last_time) = (last_id, last_time);
                    account.voids = voids;
                    account.step = step;
                }
                _ => return Err(Broken::NoState(instrument)),
            }
        }
        Ok(account)
    }

    /// Applies again what was applied before; its bars have left long ago.
    fn repeat(&mut self, step: Step) {
        if let Some(specs) = &step.specs {
            self.desk.seat(specs);
        }
        self.remember(&step.gaps);
        let trades = TradeBatch::from_trades(Arc::clone(&self.feed), &step.trades);
        self.desk.on_batch(&trades, &step.gaps, step.live, |_, _| ());
    }

    /// Takes a piece of input; hands bars out as they close. With `keeps_book` false nothing is
    /// noted for a later record, at no cost.
    pub fn on_sequenced(
        &mut self,
        piece: &Sequenced,
        keeps_book: bool,
        emit: impl FnMut(&Arc<str>, Bar),
    ) -> Vec<Joined> {
        let live = piece.received != 0;
        if let Some(specs) = &piece.specs {
            self.desk.seat(specs);
        }
        if keeps_book {
            self.note(piece, live);
        }
        self.desk.on_batch(&piece.trades, &piece.gaps, live, emit)
    }

    fn note(&mut self, piece: &Sequenced, live: bool) {
        self.dirty = true;
        self.position = Some(piece.position.clone());
        if let (Some(id), Some(time)) =
            (piece.trades.trade_id.last(), piece.trades.event_time.last())
        {
            (self.last_id, self.last_time) = (Some(*id), *time);
        }
        let numbered = piece.trades.feed.ids != IdKind::Ordinal;
        // Ids behind the last trade may be settled as well: known to stand for no trade.
        if let Some(last) = self.last_id.as_mut().filter(|_| numbered) {
            *last = piece.position.trade_id.max(*last);
        }
        self.voids.clone_from(&piece.voids);
        self.remember(&piece.gaps);
        let Some(log) = &mut self.log else { return };
        self.log_bytes += STEP_BYTES + TRADE_BYTES * piece.trades.len();
        if self.log_bytes > self.whole_bytes {
            // A whole state is shorter by now.
            self.log = None;
            return;
        }
        if !piece.trades.is_empty() || !piece.gaps.is_empty() || piece.specs.is_some() {
            log.push(Step {
                trades: piece.trades.iter().collect(),
                gaps: piece.gaps.clone(),
                live,
                specs: piece.specs.clone(),
            });
        }
    }

    fn remember(&mut self, gaps: &[Gap]) {
        self.gaps.extend(gaps);
        let old = self.gaps.len().saturating_sub(GAPS_REMEMBERED);
        self.gaps.drain(..old);
    }

    /// Whether anything was applied since the last record.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// The next record, sealed; none if nothing was applied since the last.
    pub fn cut(&mut self) -> Option<Sealed> {
        let position = self.position.clone().filter(|_| self.dirty)?;
        let steps = self.log.take().filter(|_| self.step + 1 < STEPS);
        let whole = steps.is_none();
        let body = match steps {
            Some(steps) => {
                self.step += 1;
                Body::Steps(steps)
            }
            None => {
                self.generation += 1;
                self.step = 0;
                Body::Whole(Box::new(Whole { desk: self.desk.clone(), gaps: self.gaps.clone() }))
            }
        };
        let record = Record {
            feed: Feed::clone(&self.feed),
            generation: self.generation,
            step: self.step,
            position,
            last_id: self.last_id,
            last_time: self.last_time,
            voids: self.voids.clone(),
            body,
        };
        let bytes = seal(&record);
        if whole {
            self.whole_bytes = bytes.len();
            self.log_bytes = 0;
        }
        self.log = Some(Vec::new());
        self.dirty = false;
        let feed = Arc::clone(&self.feed);
        Some(Sealed { key: record.key(), feed, position: record.position, bytes })
    }

    /// The feed.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Where its input is to go on; none before the first piece.
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// Event time of the last trade applied, ns; 0 if there was none.
    pub fn last_time(&self) -> i64 {
        self.last_time
    }

    /// What the order of its trades has to know.
    pub fn resume(&self) -> Resume {
        Resume {
            last_id: self.last_id,
            last_time: self.last_time,
            gaps: self.gaps.clone(),
            voids: self.voids.clone(),
        }
    }

    /// The specifications of its bars.
    pub fn specs(&self) -> impl Iterator<Item = &BarSpec> {
        self.desk.specs()
    }

    /// Bars made so far, by specification.
    pub fn bars(&self) -> impl Iterator<Item = (&BarSpec, u64)> {
        self.desk.bars()
    }

    /// Orders other bars from the next trade on.
    pub fn seat(&mut self, specs: &[BarSpec]) {
        self.desk.seat(specs);
        self.log = None;
    }
}

/// A record ready to be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    /// Instrument and step: what is kept under the same key before is replaced.
    pub key: String,
    /// Whose.
    pub feed: Arc<Feed>,
    /// Where that instrument stands.
    pub position: Position,
    /// The record in its envelope.
    pub bytes: Vec<u8>,
}

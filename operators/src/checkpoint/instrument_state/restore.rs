//! From records to the state that they were written of.

use std::sync::Arc;

use super::InstrumentState;
use crate::bar::Bar;
use crate::batch::TradeBatch;
use crate::checkpoint::record::{Body, Broken, Record, Step, WaitingBar, Whole};

impl InstrumentState {
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
        let mut state: Option<Self> = None;
        for (step, record) in (0..).zip(records) {
            if record.step != step {
                return Err(Broken::Missing { instrument, step, last });
            }
            let Record { feed, position, last_id, last_time, waits, body, .. } = record;
            match (&mut state, body) {
                (None, Body::Whole(whole)) => {
                    let Whole {
                        builder_set,
                        settled,
                        first_time,
                        behind,
                        revisions,
                        clock,
                        waiting,
                    } = *whole;
                    // Nothing is logged, so that the next record is a whole state.
                    state = Some(Self {
                        builder_set,
                        position: Some(position),
                        last_id,
                        last_time,
                        first_time,
                        clock,
                        waiting,
                        waits,
                        settled,
                        behind,
                        revisions,
                        generation,
                        step,
                        ..Self::new(Arc::new(feed), &[])
                    });
                }
                (Some(state), Body::Steps(steps)) => {
                    for done in steps {
                        state.repeat(done);
                    }
                    state.position = Some(position);
                    (state.last_id, state.last_time) = (last_id, last_time);
                    (state.step, state.waits) = (step, waits);
                }
                _ => return Err(Broken::NoState(instrument)),
            }
        }
        if let Some(state) = &mut state {
            state.keep_waiting();
        }
        Ok(state)
    }

    /// Forgets the bars that had left: in order, all but the last ones.
    fn keep_waiting(&mut self) {
        WaitingBar::sort(&mut self.waiting);
        let waits = usize::try_from(self.waits).unwrap_or(usize::MAX);
        let left = self.waiting.len().saturating_sub(waits);
        self.waiting.drain(..left);
    }

    /// Applies again what was applied before; most of its bars have left long ago.
    fn repeat(&mut self, step: Step) {
        if let Some(specs) = &step.specs {
            self.builder_set.set_specs(specs);
        }
        self.remember(&step.gaps);
        self.begin(step.trades.first());
        let trades = TradeBatch::from_trades(Arc::clone(&self.feed), &step.trades);
        let (closes, waiting) = (self.clock.over(&trades), &mut self.waiting);
        let each = |_, spec: &Arc<str>, bar: Bar, synchronised| {
            let time = closes.at(bar.last_trade_id, bar.known_time);
            let spec = Arc::clone(spec);
            waiting.push(WaitingBar { time, spec, bar, diff: 1, synchronised });
        };
        self.builder_set.on_batch_by_slot(&trades, &step.gaps, step.live, each);
        self.clock.advance(&trades);
    }
}

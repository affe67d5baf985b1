//! The last moment of what was applied before a feed began, where trades have no ids: which prints of it
//! were applied shows in their content alone.

use barflow_operators::order::recent::is_same;
use barflow_operators::trade::Trade;

use super::print::{Print, Standing};

/// How finely venues without ids tell the time, ns; an archive may be finer.
const MOMENT: i64 = 1_000_000;

/// When the moment of this event time began, ns.
pub(crate) fn moment_of(event_time: i64) -> i64 {
    event_time - event_time.rem_euclid(MOMENT)
}

/// The moment, and its trades.
#[derive(Debug)]
pub(super) struct LastMoment {
    began: i64,
    /// Its trades that no print has been found to be yet; none where they are unknown.
    applied: Option<Vec<Trade>>,
    /// Whether a print of it was dropped though nothing says that it was applied.
    doubtful: Option<Doubt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    New,
    Told,
}

impl LastMoment {
    /// The moment of an event time; `applied` are all its trades, or nothing where they are unknown.
    pub(super) fn new(event_time: i64, applied: &[Trade]) -> Self {
        let applied = (!applied.is_empty()).then(|| applied.to_vec());
        Self { began: moment_of(event_time), applied, doubtful: None }
    }

    /// When it began, ns.
    pub(super) fn began(&self) -> i64 {
        self.began
    }

    fn has(&self, print: &Print) -> bool {
        moment_of(print.trade.event_time) == self.began
    }

    /// Whether a print is dropped because nothing distinguishes it from what was applied.
    pub(super) fn hides(&self, print: &Print) -> bool {
        self.applied.is_none() && self.has(print)
    }

    /// Notes a print that is hidden.
    pub(super) fn note_hidden(&mut self, print: &Print) {
        if self.hides(print) && print.standing == Standing::Trade {
            self.doubtful.get_or_insert(Doubt::New);
        }
    }

    /// The trade that a print is, each once.
    pub(super) fn find(&mut self, print: &Print) -> Option<Trade> {
        if !self.has(print) || print.standing != Standing::Trade {
            return None;
        }
        let applied = self.applied.as_mut()?;
        let place = applied.iter().position(|trade| is_same(trade, &print.trade))?;
        Some(applied.remove(place))
    }

    /// Whether prints were hidden, said once.
    pub(super) fn take_doubt(&mut self) -> bool {
        let is_new = self.doubtful == Some(Doubt::New);
        if is_new {
            self.doubtful = Some(Doubt::Told);
        }
        is_new
    }
}

//! Prints whose ids or names came before: repeats, contradictions, ids of another sequence.

use barflow_operators::order::recent::{difference, is_same};
use barflow_operators::trade::Trade;

use super::{Disposition, ReorderBuffer};
use crate::feeds::print::{BadRow, Ids, Print, Standing};

/// By how much the time of a venue may run backwards between trades, ns, where their ids are no further
/// apart than this.
const CLOCK_STEP: i64 = 100_000_000;
const NEIGHBOURS: u64 = 64;

impl ReorderBuffer {
    /// The trade that came under the id or name of a print, if it is remembered.
    fn earlier(&self, print: &Print) -> Option<&Trade> {
        let number = match self.ids {
            Ids::Names => self.names.number_of(print.key)?,
            Ids::Consecutive | Ids::Spans => print.trade.trade_id,
        };
        self.recent.find(number)
    }

    /// A print whose id or name came before.
    pub(super) fn repeated(&self, print: &Print) -> Disposition {
        self.earlier(print).map_or(Disposition::Presumed, |earlier| self.compare(earlier, print))
    }

    /// What is wrong with a row of a list of recent prints whose name came before; none if nothing is.
    pub fn contradiction_in_list(&self, print: &Print) -> Option<BadRow> {
        match self.repeated(print) {
            taken @ Disposition::Conflict => self.contradiction(print, taken),
            _ => None,
        }
    }

    /// A print that repeats the id of a trade.
    pub(super) fn compare(&self, earlier: &Trade, print: &Print) -> Disposition {
        // A stream's aggregates and REST's single trades share ids.
        let other_kind = self.ids == Ids::Spans && earlier.count != print.trade.count;
        let same = other_kind || is_same(earlier, &print.trade);
        match print.standing == Standing::Trade && !same {
            true => Disposition::Conflict,
            false => Disposition::Repeated,
        }
    }

    /// Whether a print of a settled id has a later time than any trade that settled one.
    pub(super) fn is_too_late(&self, print: &Print) -> bool {
        let (id, time) = (print.trade.trade_id, print.trade.event_time);
        let near = self.order.last().is_some_and(|last| last.saturating_sub(id) < NEIGHBOURS);
        let step = if near { CLOCK_STEP } else { 0 };
        self.last_time.is_some_and(|last| time > last.saturating_add(step))
    }

    /// What is wrong with a print of such a disposition; none if nothing is.
    pub fn contradiction(&self, print: &Print, taken: Disposition) -> Option<BadRow> {
        let trade = &print.trade;
        let reason = match (taken, self.order.last().zip(self.last_time)) {
            (Disposition::Conflict, _) => {
                let earlier = self.earlier(print);
                let earlier =
                    earlier.or(self.order.waiting_at(trade.trade_id).map(|p| &p.trade))?;
                let difference = difference(earlier, trade);
                format!("came before with other content ({difference}); the first one counts")
            }
            (Disposition::Unlisted, _) => {
                "comes after REST had listed its neighbours and not it: its id was left out, and the trade \
                 comes too late to count"
                    .to_owned()
            }
            (Disposition::BelowStray, Some((last, _))) => format!(
                "is below {last}, with which this run began, as are all trades since: that was not an id of \
                 this sequence, or the sequence was reset; the trade is not used"
            ),
            (Disposition::BegunAnew, Some((last, last_time))) => format!(
                "is not above {last}, the last one, yet its time {} is later than {last_time}: the id \
                 sequence was reset, and the trade is not used",
                trade.event_time
            ),
            _ => return None,
        };
        let (id, value) = match self.ids {
            // The row itself says it in the venue's own letters.
            Ids::Names => (None, format!("hash {:016x}", print.key)),
            Ids::Consecutive | Ids::Spans => (Some(trade.trade_id), trade.trade_id.to_string()),
        };
        Some(BadRow { slot: Some(print.slot), id, field: "id", value, reason })
    }

    /// What is wrong with a trade that a source has after a later one with which it began.
    pub fn before_the_first(&self, print: &Print) -> BadRow {
        let id = print.trade.trade_id;
        let reason =
            "is below the first id that was read: the recordings are not in the order in which \
                      their trades happened, and the trade does not count"
                .to_owned();
        BadRow { slot: Some(print.slot), id: Some(id), field: "id", value: id.to_string(), reason }
    }

    /// Drops the prints that wait, because the sequence continues below them; returns what is wrong with them.
    pub fn drop_strays(&mut self) -> Vec<BadRow> {
        let last = self.order.last().unwrap_or_default();
        let bad = |print: Print| {
            let id = print.trade.trade_id;
            let reason = format!(
                "is far above {last}, the last one, and the venue continued there: it is not an id of this \
                 sequence, and the trade does not count"
            );
            BadRow { slot: None, id: Some(id), field: "id", value: id.to_string(), reason }
        };
        self.order.drop_waiting().into_iter().map(bad).collect()
    }
}

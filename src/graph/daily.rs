//! The current days of a run: keeps the results of the differential view of the days.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use barflow_operators::dataflow::daily::{Span, SumUpdate, Sums};
use serde_json::json;

/// Shared by all workers of a process.
#[derive(Clone, Debug, Default)]
pub struct Daily(Arc<Mutex<BTreeMap<Span, Sums>>>);

impl Daily {
    /// Takes updates: +1 makes a sum current, −1 takes it back.
    pub fn update(&self, updates: &[SumUpdate]) {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Withdrawals first: an update of a sum is a withdrawal and an assertion in any order.
        for ((span, sum), _, _) in updates.iter().filter(|(_, _, diff)| *diff < 0) {
            if sums.get(span) == Some(sum) {
                sums.remove(span);
            }
        }
        let mut asserted: Vec<_> = updates.iter().filter(|(_, _, diff)| *diff > 0).collect();
        asserted.sort_by_key(|(_, epoch, _)| *epoch);
        for ((span, sum), _, _) in asserted {
            sums.insert(span.clone(), *sum);
        }
    }

    /// Writes a line of JSON per instrument, specification and day with bars, in this order: the day's
    /// sums, and those of the seven days that end with it.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn write(&self, to: &mut dyn Write) -> std::io::Result<()> {
        let sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (span, (bars, ticks, buys, trades)) in sums.iter().filter(|(span, _)| span.days == 1) {
            let week = Span { days: barflow_operators::dataflow::daily::WEEK, ..span.clone() };
            let (week_bars, week_ticks, ..) = sums.get(&week).copied().unwrap_or_default();
            let day = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(span.day);
            let line = json!({
                "instrument": span.instrument.as_str(),
                "spec": &*span.spec,
                "day": day.to_string(),
                "bars": bars,
                "ticks": ticks,
                "buy_ticks": buys,
                "trades": trades,
                "week_bars": week_bars,
                "week_ticks_per_bar": week_ticks as f64 / week_bars.max(1) as f64,
            });
            writeln!(to, "{line}")?;
        }
        Ok(())
    }
}

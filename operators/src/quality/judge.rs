//! Holds one instrument's input against a suite, day by day.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::calendar::{DAY_NS, HOUR_NS, day_of, length, start_of, utc};
use super::columns::{Places, Rows};
use super::day::{Count, Counts, DayReport, Example, MOST_EXAMPLES, Place};
use super::ids::Ids;
use super::prices::{Prices, Rule};
use super::suite::{Check, Kind, Severity, Suite};
use crate::batch::{IdKind, TradeBatch};
use crate::input_batch::{LeftOut, Reject};
use crate::position::Position;
use crate::trade::{Aggressor, Trade};

/// What is known of an input beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The input begins here (ns), rather than with its first trade.
    pub from: Option<i64>,
    /// The input ends before here (ns), rather than with its last trade.
    pub to: Option<i64>,
    /// Quote values are a column of the source's own.
    pub own_quotes: bool,
}

/// Judges one instrument.
///
/// A UTC day is cut by event time: it ends when two rows in a row are of later days (or the input
/// ends). A single row of a later day is a stray, judged as one of the day around it; so is every
/// row of a day that has ended. Both offend against `time_inside_day`.
///
/// # Contract
/// * Rows of one instrument, in the order of the input; not sequenced.
/// * How they are cut into batches changes no report. State is `serde`; resuming from what was
///   saved equals never having stopped.
/// * Allocates for offenders only. No clock, no hash order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    suite: Suite,
    known: Known,
    today: Option<Today>,
    /// The day before today, if there was one.
    before: Option<i32>,
    ids: Ids,
    prices: Prices,
    /// Latest event time of all rows that were inside their day, ns.
    latest: Option<(i64, u64)>,
    /// Trades per hour of the last days.
    profile: VecDeque<[u64; 24]>,
    /// A row of a later day, until the next one says whether that day has begun.
    stray: Option<Stray>,
    /// Rows after it that are not trades by rule: their ids come after its own.
    after_stray: Vec<LeftOut>,
    /// What was rejected before the first day.
    early: Counts,
    /// Whether all offenders of quarantine expectations are kept, rather than the first few.
    keeps_all: bool,
}

/// The day that is being read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Today {
    report: DayReport,
    hours: [u64; 24],
    buyers: u64,
    sellers: u64,
    /// Whether the source has sides, and how ids are made.
    sides: bool,
    id_kind: IdKind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Stray {
    trade: Trade,
    place: Place,
}

impl Judge {
    /// A judge who has seen nothing.
    pub fn new(suite: Suite, known: Known) -> Self {
        let window = match suite.get(Check::PriceNearMedian).map(|e| e.kind) {
            Some(Kind::PriceNearMedian { window, .. }) => window,
            _ => 1,
        };
        Self {
            suite,
            known,
            today: None,
            before: None,
            ids: Ids::default(),
            prices: Prices::new(window),
            latest: None,
            profile: VecDeque::new(),
            stray: None,
            after_stray: Vec::new(),
            early: Counts::default(),
            keeps_all: false,
        }
    }

    /// Keeps all offenders of quarantine expectations as examples: memory grows with the offenders
    /// of a day.
    pub fn keeping_all(mut self) -> Self {
        self.keeps_all = true;
        self.early = self.no_counts();
        self
    }

    fn no_counts(&self) -> Counts {
        let mut counts = Counts::default();
        let all = self.suite.expectations().iter();
        for expectation in all.filter(|e| self.keeps_all && e.severity == Severity::Quarantine) {
            counts.of(expectation.kind.check()).limit = MOST_EXAMPLES;
        }
        counts
    }

    /// The suite.
    pub fn suite(&self) -> &Suite {
        &self.suite
    }

    /// The day that is being read, as far as it is read.
    pub fn today(&self) -> Option<&DayReport> {
        self.today.as_ref().map(|today| &today.report)
    }

    /// Takes the next rows; days that end by them go to `out`. `start` is where the first one
    /// stands, `rejects` and `left_out` lie between the trades.
    pub fn on_batch(
        &mut self,
        batch: &TradeBatch,
        rejects: &[Reject],
        left_out: &[LeftOut],
        start: &Position,
        out: &mut Vec<DayReport>,
    ) {
        let source = start.place();
        let places = Places { source: &source, line: Some(start.line()), rejects, left_out };
        let rows = Rows::of_batch(batch, places);
        let feed = (batch.feed.has_aggressor, batch.feed.ids);
        let mut rejects = rejects.iter().peekable();
        let mut left_out = left_out.iter().peekable();
        let mut at = 0;
        while at < rows.len() {
            // Rejects before this row belong to the day that is read so far.
            while let Some(reject) = rejects.next_if(|reject| reject.row as usize <= at) {
                self.reject(reject);
            }
            while let Some(row) = left_out.next_if(|row| row.row as usize <= at) {
                self.leave_out(row, &source);
            }
            if let Some(stray) = self.stray.take() {
                self.settle(&stray, Some(rows.times[at]), feed, out);
            }
            let today = self.today.as_ref().map(|today| today.report.day);
            let Some(today) = today.filter(|today| day_of(rows.times[at]) <= *today) else {
                let (trade, place) = (batch.trade(at), rows.place(at));
                self.stray = Some(Stray { trade, place });
                at += 1;
                continue;
            };
            let span = start_of(today)..start_of(today).saturating_add(DAY_NS);
            let end =
                rejects.peek().map_or(rows.len(), |reject| rows.len().min(reject.row as usize));
            let end = left_out.peek().map_or(end, |row| end.min(row.row as usize));
            let inside = rows.times[at..end].iter().take_while(|time| span.contains(time)).count();
            let end = at + inside.max(1);
            self.judge(&rows.slice(at, end), inside > 0);
            at = end;
        }
        rejects.for_each(|reject| self.reject(reject));
        left_out.for_each(|row| self.leave_out(row, &source));
    }

    /// The input has ended: the last day goes to `out`, and the missing days after it.
    pub fn finish(&mut self, out: &mut Vec<DayReport>) {
        if let Some(stray) = self.stray.take() {
            let feed =
                self.today.as_ref().map_or((false, IdKind::Ordinal), |t| (t.sides, t.id_kind));
            self.settle(&stray, None, feed, out);
        }
        if self.today.is_none() && self.early.get(Check::RowsValid).rows > 0 {
            // Nothing but rejects: their day is not known.
            self.begin(self.known.from.map_or(0, day_of), (false, IdKind::Ordinal));
        }
        self.end(self.known.to, out);
        if let (Some(last), Some(to)) = (self.before, self.known.to) {
            self.miss(last.saturating_add(1), day_of(to.saturating_sub(1)) + 1, out);
        }
    }

    /// Decides what a row of a later day was, by the time of the row after it.
    fn settle(
        &mut self,
        stray: &Stray,
        next: Option<i64>,
        feed: (bool, IdKind),
        out: &mut Vec<DayReport>,
    ) {
        let Stray { trade, place } = stray;
        let (rejects, left_out) = (&[], &[]);
        let places = Places { source: &place.source, line: place.line, rejects, left_out };
        let mut today = self.today.as_ref().map_or(i32::MIN, |today| today.report.day);
        // Where the next row lies between both days, this one strayed beyond it.
        let begins = next.map_or(trade.event_time, |next| next.min(trade.event_time));
        if day_of(begins) > today {
            self.end(Some(begins), out);
            today = day_of(begins);
            self.begin(today, feed);
        }
        let inside = day_of(trade.event_time) == today;
        self.judge(&Rows::of_trade(trade, places), inside);
        for row in std::mem::take(&mut self.after_stray) {
            self.leave_out(&row, &place.source);
        }
    }

    /// A row that is not a trade by rule: only its id counts.
    fn leave_out(&mut self, row: &LeftOut, source: &Arc<str>) {
        let Some(id) = row.id else { return };
        if self.stray.is_some() {
            self.after_stray.push(row.clone());
            return;
        }
        let (day, counts) = match &mut self.today {
            Some(today) => (today.report.day, &mut today.report.counts),
            None => (0, &mut self.early),
        };
        let place = || Place { source: Arc::clone(source), line: Some(row.line) };
        self.ids.leave_out(id, day, counts, place);
    }

    fn begin(&mut self, day: i32, (sides, id_kind): (bool, IdKind)) {
        let mut report = DayReport::new(day);
        let none = self.no_counts();
        report.counts = std::mem::replace(&mut self.early, none);
        let hours = [0; 24];
        self.today = Some(Today { report, hours, buyers: 0, sellers: 0, sides, id_kind });
        // The silence before the first trade of a day counts to the day in which it began; before
        // the first of all there is one only if the input is known to begin earlier.
        self.latest = match self.before {
            None => self.known.from.map(|from| (from, 0)),
            Some(_) => None,
        };
    }

    /// Ends the day; `next` is when the input continues, or is known to end.
    fn end(&mut self, next: Option<i64>, out: &mut Vec<DayReport>) {
        let Some(mut today) = self.today.take() else { return };
        let day = today.report.day;
        let first = match (self.before, self.known.from) {
            (Some(before), _) => before.saturating_add(1),
            (None, Some(from)) => day_of(from).min(day),
            (None, None) => day,
        };
        self.miss(first, day, out);
        let counts = &mut today.report.counts;
        self.ids.add_examples(day, counts.of(Check::NoIdGaps));
        for expectation in self.suite.expectations() {
            match expectation.kind {
                Kind::Plain(Check::NoMissingDays) => counts.of(Check::NoMissingDays).rows = 1,
                Kind::AggressorShare { min, max, trades } if today.sides => {
                    let all = today.buyers + today.sellers;
                    if all >= trades.max(1) {
                        let share = today.buyers as f64 / all as f64;
                        let count = counts.of(Check::AggressorShare);
                        count.rows = 1;
                        if !(min..=max).contains(&share) {
                            count.offend(|| whole_day(format!("buyers' share is {share:.4}")));
                        }
                    }
                }
                Kind::TradesPerHour { min, max, days, least_days, trades } => {
                    let until = next.or(self.latest.map(|(time, _)| time)).unwrap_or(i64::MAX);
                    let bounds = (min, max, trades as f64);
                    if self.profile.len() >= least_days.max(1) {
                        let count = counts.of(Check::TradesPerHour);
                        hours(day, &today.hours, &self.profile, until, bounds, count);
                    }
                    while self.profile.len() >= days.max(1) {
                        self.profile.pop_front();
                    }
                    self.profile.push_back(today.hours);
                }
                Kind::NoSilence { longer_than } => {
                    let count = counts.of(Check::NoSilence);
                    count.rows = 1;
                    if let (Some((latest, id)), Some(next)) = (self.latest, next)
                        && next.saturating_sub(latest) > longer_than
                    {
                        let value = silence(next.saturating_sub(latest), "after it");
                        count.offend(|| Example::of_trade(id, value));
                    }
                }
                _ => {}
            }
        }
        self.before = Some(day);
        out.push(today.report);
    }

    /// Days without trades.
    fn miss(&self, from: i32, to: i32, out: &mut Vec<DayReport>) {
        if self.suite.get(Check::NoMissingDays).is_none() {
            return;
        }
        for day in from..to {
            let mut report = DayReport::new(day);
            let count = report.counts.of(Check::NoMissingDays);
            count.rows = 1;
            count.offend(|| whole_day("no trade on this day".to_owned()));
            out.push(report);
        }
    }

    /// A row that is not a trade.
    fn reject(&mut self, reject: &Reject) {
        let counts = match &mut self.today {
            Some(today) => &mut today.report.counts,
            None => &mut self.early,
        };
        let Reject { field, reason, value, .. } = reject;
        let mut offend = |check: Check| {
            let count = counts.of(check);
            count.rows += 1;
            let place = || Place { source: reject.source.clone(), line: Some(reject.line) };
            let said = || format!("{field} = \"{value}\": {reason}");
            count.offend(|| Example::of_no_trade(Some(place()), said()));
        };
        offend(Check::RowsValid);
        // A field that is not a number at all says nothing about its bounds.
        let number = value.trim().parse::<f64>();
        match (field.as_str(), number, self.suite.get(Check::QtyWithin).map(|e| e.kind)) {
            ("price", Ok(_), _) => offend(Check::PricePositive),
            ("qty", Ok(qty), Some(Kind::QtyWithin { min, max })) if !(min..=max).contains(&qty) => {
                offend(Check::QtyWithin);
            }
            ("time", Ok(_), _) => offend(Check::TimeInsideDay),
            _ => {}
        }
    }

    /// Judges rows of today: all of them inside the day, or one that is not.
    fn judge(&mut self, rows: &Rows<'_>, inside: bool) {
        let Some(today) = &mut self.today else { return };
        let n = rows.len() as u64;
        let day = today.report.day;
        today.report.trades += n;
        let counts = &mut today.report.counts;
        for check in [Check::RowsValid, Check::TimeInsideDay] {
            counts.of(check).rows += n;
        }
        if inside {
            let limit = match self.suite.get(Check::NoSilence).map(|e| e.kind) {
                Some(Kind::NoSilence { longer_than }) => longer_than,
                _ => i64::MAX,
            };
            today.note_times(rows, limit, &mut self.latest);
        } else {
            today.note_stray(rows);
        }
        let counts = &mut today.report.counts;
        let tells_conflicts = self.suite.get(Check::NoConflictingIds).is_some();
        self.ids.judge(rows, (today.id_kind, tells_conflicts), day, inside, counts);
        for expectation in self.suite.expectations() {
            let check = expectation.kind.check();
            match expectation.kind {
                Kind::Plain(Check::PricePositive) => {
                    let prices = rows.prices;
                    let valid = |row: usize| prices[row] > 0.0 && prices[row] < f64::INFINITY;
                    rows.check(counts.of(check), valid, |row| format!("price {}", prices[row]));
                }
                Kind::PriceNearMedian { k, window, floor } => {
                    let count = counts.of(check);
                    let rule = Rule { k, window: window.max(1), floor };
                    count.rows += self.prices.judge(rows.prices, &rule, |row, median| {
                        let value = format!("price {}, median {median}", rows.prices[row]);
                        count.offend(|| rows.example(row, value));
                    });
                }
                Kind::QtyWithin { min, max } => {
                    let qtys = rows.qtys;
                    let valid = |row: usize| (qtys[row] >= min) & (qtys[row] <= max);
                    rows.check(counts.of(check), valid, |row| format!("qty {}", qtys[row]));
                }
                Kind::QuoteIsProduct { relative, rounding } if self.known.own_quotes => {
                    let (prices, qtys, quotes) = (rows.prices, rows.qtys, rows.quotes);
                    let valid = |row: usize| {
                        let product = prices[row] * qtys[row];
                        (quotes[row] - product).abs()
                            <= relative * product + rounding * (1.0 + prices[row])
                    };
                    rows.check(counts.of(check), valid, |row| {
                        format!("quote {}, price·qty {}", quotes[row], prices[row] * qtys[row])
                    });
                }
                Kind::AggressorShare { .. } if today.sides => {
                    for side in rows.sides {
                        today.buyers += u64::from(*side == Aggressor::Buyer);
                        today.sellers += u64::from(*side == Aggressor::Seller);
                    }
                }
                _ => {}
            }
        }
    }
}

impl Today {
    /// Counts rows by their hours, and looks for silence of more than `limit` ns between them and
    /// after the `latest` row before.
    fn note_times(&mut self, rows: &Rows<'_>, limit: i64, latest: &mut Option<(i64, u64)>) {
        let start = start_of(self.report.day);
        let (mut time_before, mut id) = latest.unwrap_or((rows.times[0], rows.ids[0]));
        for (row, time) in rows.times.iter().enumerate() {
            self.hours[(time.saturating_sub(start) / HOUR_NS) as usize % 24] += 1;
            if *time > time_before {
                let quiet = time.saturating_sub(time_before);
                if quiet > limit {
                    let value = silence(quiet, "before it");
                    let count = self.report.counts.of(Check::NoSilence);
                    count.offend(|| rows.example(row, value));
                }
                (time_before, id) = (*time, rows.ids[row]);
            }
        }
        *latest = Some((time_before, id));
    }

    /// Notes a row that is of another day than those around it.
    fn note_stray(&mut self, row: &Rows<'_>) {
        let day = self.report.day;
        self.report.counts.of(Check::TimeInsideDay).offend(|| {
            let of = i64::from(day_of(row.times[0])) - i64::from(day);
            let days = if of.abs() == 1 { "day" } else { "days" };
            let when = if of > 0 { "later" } else { "earlier" };
            row.example(0, format!("{}: {} {days} {when}", utc(row.times[0]), of.abs()))
        });
    }
}

/// Holds the hours of a day up to `until` against the median of the same hours before.
fn hours(
    day: i32,
    hours: &[u64; 24],
    profile: &VecDeque<[u64; 24]>,
    until: i64,
    (min, max, least): (f64, f64, f64),
    count: &mut Count,
) {
    let start = start_of(day);
    for (hour, now) in hours.iter().enumerate() {
        if start.saturating_add((hour as i64 + 1) * HOUR_NS) > until {
            break;
        }
        let mut before: Vec<u64> = profile.iter().map(|hours| hours[hour]).collect();
        before.sort_unstable();
        let middle = before.len() / 2;
        let usual = match before.len() % 2 {
            1 => before[middle] as f64,
            _ => (before[middle - 1] + before[middle]) as f64 / 2.0,
        };
        if usual < least.max(1.0) {
            continue;
        }
        count.rows += 1;
        if !(min..=max).contains(&(*now as f64 / usual)) {
            count
                .offend(|| whole_day(format!("{now} trades from {hour:02}:00 on, usual: {usual}")));
        }
    }
}

fn whole_day(value: String) -> Example {
    Example::of_no_trade(None, value)
}

fn silence(ns: i64, where_it_was: &str) -> String {
    format!("{} without a trade {where_it_was}", length(ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_day_is_after_the_last() {
        let mut judge = Judge::new(Suite::usual(), Known { to: Some(0), ..Known::default() });
        judge.before = Some(i32::MAX);
        judge.finish(&mut Vec::new());
        judge.begin(0, (false, IdKind::Ordinal));
        judge.finish(&mut Vec::new());
    }
}

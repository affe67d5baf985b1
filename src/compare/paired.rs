//! Two outputs whose bars come in the order of their numbers, compared while they are read.
//!
//! A bar is kept until that of the other output comes, so what is in memory is how far one of them is ahead
//! of the other in a series. What was corrected, or comes in another order, needs all bars at once
//! ([`compare`](super::difference::compare)).

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use barflow_replay::progress::StopFlag;

use super::cell::Row;
use super::difference::{Rules, Verdict, bar, longer, none, older};
use super::source::{SourceError, read_each};
use crate::sinks::kafka::KafkaSettings;

/// Rows of an output that are read ahead.
const AHEAD: usize = 256;

/// Compares two files or folders; none if that takes all bars at once.
///
/// # Errors
/// When one cannot be read, or holds something that is not a bar.
pub fn compare(a: &str, b: &str, settings: &KafkaSettings) -> Result<Option<Verdict>, SourceError> {
    thread::scope(|scope| {
        let read = |source: &'_ str| {
            let (send, rows) = sync_channel(AHEAD);
            let source = source.to_owned();
            let read = scope.spawn(move || {
                // Nobody listens any more once all bars are needed at once.
                let mut each = |row| drop(send.send(row));
                read_each(&source, settings, &StopFlag::default(), &mut each)
            });
            (read, rows)
        };
        let [(read_a, a), (read_b, b)] = [read(a), read(b)];
        let pairs = pair([a, b]);
        for read in [read_a, read_b] {
            read.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(pairs.map(Pairs::finish))
    })
}

/// Takes rows of both in turn; none if they do not come in order.
fn pair(rows: [Receiver<Row>; 2]) -> Option<Pairs> {
    let mut pairs = Pairs::default();
    while pairs.ended != [true, true] {
        for (side, rows) in rows.iter().enumerate() {
            match rows.recv() {
                Ok(row) => pairs.take(side, row)?,
                Err(_) => pairs.ended[side] = true,
            }
        }
    }
    Some(pairs)
}

/// What is known of two outputs; A is 0, and B is 1.
#[derive(Default)]
struct Pairs {
    series: BTreeMap<(String, String), Series>,
    first: [Option<Row>; 2],
    ended: [bool; 2],
}

#[derive(Default)]
struct Series {
    /// Bars of one of the two that the other has not had yet.
    ahead: VecDeque<Row>,
    /// Which one it is.
    whose: usize,
    bars: [usize; 2],
    /// Number and last trade of its latest bar.
    latest: [Option<(i128, i128)>; 2],
    equal: u64,
    difference: Option<String>,
}

impl Pairs {
    /// Takes the next row of one of the two; none if it is not the next bar of its series.
    fn take(&mut self, side: usize, row: Row) -> Option<()> {
        let place = (row.whole("seq"), row.whole("last_trade_id"));
        let series = self.series.entry(row.key()).or_default();
        let is_next = series.latest[side].is_none_or(|latest| latest <= place);
        if row.retracts() || row.whole("revision") != 0 || !is_next {
            return None;
        }
        series.latest[side] = Some(place);
        series.bars[side] += 1;
        self.first[side].get_or_insert_with(|| row.clone());
        if series.difference.is_some() {
            return Some(());
        }
        if series.whose != side
            && let Some(other) = series.ahead.pop_front()
        {
            let (a, b) = if side == 0 { (row, other) } else { (other, row) };
            series.difference = bar(&a, &b, Rules::default());
            match series.difference {
                Some(_) => series.ahead = VecDeque::new(),
                None => series.equal += 1,
            }
            return Some(());
        }
        series.whose = side;
        // Of what the other does not have, the first is named.
        if series.ahead.is_empty() || !self.ended[1 - side] {
            series.ahead.push_back(row);
        }
        Some(())
    }

    fn finish(self) -> Verdict {
        let [a, b] = &self.first;
        let mut verdict = Verdict { remarks: older(a.as_ref(), b.as_ref()), ..Verdict::default() };
        for ((instrument, spec), series) in self.series {
            let name = format!("{instrument} {spec}");
            verdict.equal += series.equal;
            let difference = match (series.bars, series.difference) {
                ([_, 0] | [0, _], _) => Some(none(&name, series.bars)),
                (_, Some(difference)) => Some(format!("{name}: {difference}")),
                (bars, None) => series.ahead.front().map(|row| longer(&name, bars, row)),
            };
            verdict.differences.extend(difference);
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cell::Cell;
    use super::super::difference;
    use super::*;

    fn row((spec, seq, close): (usize, i128, i128)) -> Row {
        let fields = [
            ("instrument", Cell::Text("a:b:C".into())),
            ("spec", Cell::Text(["dib", "vib"][spec].into())),
            ("seq", Cell::Whole(seq)),
            ("first_trade_id", Cell::Whole(seq * 10)),
            ("last_trade_id", Cell::Whole(seq * 10 + 9)),
            ("state_digest", Cell::Text("aa".into())),
            ("close", Cell::Whole(close)),
        ];
        Row(fields.map(|(name, cell)| (name.to_owned(), cell)).to_vec())
    }

    fn sent(rows: &[Row]) -> Receiver<Row> {
        let (send, receive) = sync_channel(rows.len());
        rows.iter().for_each(|row| send.send(row.clone()).unwrap());
        receive
    }

    #[test]
    fn bars_in_order_wait_only_for_the_other_output() {
        let rows: Vec<Row> = (0..100).flat_map(|n| [row((0, n, 1)), row((1, n, 1))]).collect();
        let mut pairs = Pairs::default();
        for each in &rows {
            for side in [0, 1] {
                pairs.take(side, each.clone()).unwrap();
                let waiting: usize = pairs.series.values().map(|series| series.ahead.len()).sum();
                assert_eq!(waiting, 1 - side);
            }
        }
        assert_eq!(pairs.finish(), Verdict { equal: 200, ..Verdict::default() });
        // Where one has ended, the first of what follows is enough.
        let pairs = pair([sent(&rows), sent(&rows[..10])]).unwrap();
        assert!(pairs.series.values().all(|series| series.ahead.len() < 10));
    }

    #[test]
    fn what_is_corrected_or_out_of_order_takes_all_bars() {
        let mut revised = row((0, 1, 1));
        revised.0.push(("revision".to_owned(), Cell::Whole(1)));
        let [a, b] = [row((0, 0, 1)), row((0, 1, 1))];
        assert!(pair([sent(&[a.clone(), b.clone()]), sent(&[a.clone(), b.clone()])]).is_some());
        assert!(pair([sent(&[a.clone(), revised]), sent(&[a.clone(), b.clone()])]).is_none());
        assert!(pair([sent(&[a.clone(), b.clone()]), sent(&[b, a])]).is_none());
    }

    proptest! {
        #[test]
        fn the_verdict_is_that_of_all_bars_at_once(
            a in prop::collection::vec((0usize..2, 0i128..6, 0i128..2), 0..12),
            b in prop::collection::vec((0usize..2, 0i128..6, 0i128..2), 0..12),
            same in any::<bool>(),
        ) {
            let rows = |mut bars: Vec<(usize, i128, i128)>| {
                bars.sort_by_key(|bar| bar.1);
                bars.into_iter().map(row).collect::<Vec<_>>()
            };
            let b = if same { a.clone() } else { b };
            let (a, b) = (rows(a), rows(b));
            let paired = pair([sent(&a), sent(&b)]).unwrap().finish();
            prop_assert_eq!(paired, difference::compare(a, b, Rules::default()));
        }
    }
}

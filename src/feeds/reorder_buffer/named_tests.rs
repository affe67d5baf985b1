//! The order of prints that have names instead of ids.

use proptest::prelude::*;

use super::tests::{print, released};
use super::*;

/// A print without an id; its price is its place in the truth, and three of them share a ms.
fn named(key: u64) -> Print {
    let mut print = print(key);
    print.trade.trade_id = 0;
    print.trade.event_time = (key / 3 + 1) as i64 * 1_000_000;
    print
}

fn list(keys: impl IntoIterator<Item = u64>) -> Vec<Print> {
    keys.into_iter().map(named).collect()
}

/// A reorder buffer that has seen 10, 11 and 12, was cut off, and hears these since.
fn cut_off(heard: impl IntoIterator<Item = u64>) -> (ReorderBuffer, Released) {
    let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Names, 100), released());
    for key in [10, 11, 12, 12] {
        buffer.take(&named(key), &mut out);
    }
    buffer.suspect();
    for key in heard {
        assert_eq!(buffer.take(&named(key), &mut out), Disposition::Waits);
    }
    (buffer, out)
}

fn keys(out: &Released) -> Vec<u64> {
    out.trades.price.iter().map(|price| *price as u64).collect()
}

#[test]
fn a_list_that_has_what_is_held_settles_the_suspicion_and_all_are_numbered() {
    let (mut buffer, mut out) = cut_off([15, 16]);
    assert!(buffer.missing().is_some());
    assert_eq!(buffer.reconcile(&list(11..=15), true, &mut out), (3, None));
    assert_eq!(buffer.missing(), None);
    assert_eq!(buffer.take(&named(17), &mut out), Disposition::Released);
    assert_eq!(keys(&out), [10, 11, 12, 13, 14, 15, 16, 17]);
    assert_eq!(out.trades.trade_id, [1, 2, 3, 4, 5, 6, 7, 8]);
    buffer.suspect();
    // What lies between may be under way: only when nothing has come for long it is a gap.
    assert_eq!(buffer.reconcile(&list([30]), true, &mut out), (0, None));
    let gap = buffer.give_up(&mut out).unwrap();
    assert_eq!((gap.gap, gap.after, gap.before), (None, Some(6_000_000), 11_000_000));
    assert_eq!(keys(&out).last(), Some(&30));
}

#[test]
fn of_a_list_that_begins_behind_what_is_held_nothing_goes_before_it() {
    let (mut buffer, mut out) = cut_off([20, 21, 22]);
    let (missed, gap) = buffer.reconcile(&list(24..=30), true, &mut out);
    assert_eq!((missed, gap.unwrap().before), (0, 7_000_000));
    for key in 23..=31 {
        assert_eq!(buffer.take(&named(key), &mut out), Disposition::Released);
    }
    assert_eq!(keys(&out), [10, 11, 12, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31]);
}

#[test]
fn a_gap_reaches_to_the_first_print_since_the_latest_loss_however_many_came_before() {
    let lose_again = |losses: u64| {
        let (mut buffer, mut out) = cut_off([20, 21]);
        for loss in 1..losses {
            buffer.suspect();
            for key in [0, 1] {
                buffer.take(&named(20 + 10 * loss + key), &mut out);
            }
        }
        (buffer, out, named(10 + 10 * losses).trade.event_time)
    };
    for losses in 1..5 {
        // A list that reaches back to none of them.
        let (mut buffer, mut out, ends) = lose_again(losses);
        let (missed, gap) = buffer.reconcile(&list(70..=80), true, &mut out);
        let window = gap.map(|gap| (gap.after, gap.before));
        assert_eq!((missed, window), (0, Some((Some(5_000_000), ends))), "{losses}");
        assert_eq!(out.trades.len() as u64, 3 + 2 * losses);
        // No list at all.
        let (mut buffer, mut out, ends) = lose_again(losses);
        let gap = buffer.give_up(&mut out).unwrap();
        assert_eq!((gap.after, gap.before), (Some(5_000_000), ends), "{losses}");
        assert_eq!(out.trades.len() as u64, 3 + 2 * losses);
    }
}

#[test]
fn while_nothing_shows_where_a_loss_ends_it_is_not_given_up() {
    let (mut buffer, mut out) = cut_off([20, 21]);
    buffer.suspect();
    assert!(!buffer.is_bounded());
    assert_eq!(buffer.give_up(&mut out), None);
    // A list from before the latest loss says nothing of what was lost after it.
    let (mut quiet, mut nothing) = cut_off([]);
    quiet.reconcile(&list(50..=60), false, &mut nothing);
    assert_eq!(quiet.give_up(&mut nothing), None);
    buffer.take(&named(31), &mut out);
    assert_eq!(buffer.give_up(&mut out).unwrap().before, named(31).trade.event_time);
    assert_eq!(keys(&out), [10, 11, 12, 20, 21, 31]);
}

#[test]
fn a_list_that_lags_behind_the_websocket_does_not_end_the_suspicion() {
    let (mut buffer, mut out) = cut_off([17, 18]);
    assert_eq!(buffer.reconcile(&list(10..=14), true, &mut out), (2, None));
    assert_eq!(buffer.reconcile(&list(10..=14), true, &mut out), (0, None));
    assert!(buffer.missing().is_some());
    assert_eq!(buffer.reconcile(&list(12..=17), true, &mut out), (3, None));
    assert_eq!(buffer.missing(), None);
    assert_eq!(keys(&out), (10..=18).collect::<Vec<_>>());
    // Should it lag for too long, what is held passes over a gap.
    let (mut buffer, mut out) = cut_off([17]);
    buffer.reconcile(&list(10..=14), true, &mut out);
    assert_eq!(buffer.give_up(&mut out).unwrap().before, 6_000_000);
    assert_eq!(keys(&out), [10, 11, 12, 13, 14, 17]);
}

#[test]
fn what_was_given_up_is_not_put_behind_by_a_list_that_lags() {
    let (mut buffer, mut out) = cut_off([20, 21, 22]);
    assert!(buffer.give_up(&mut out).is_some());
    buffer.suspect();
    buffer.take(&named(26), &mut out);
    // Before 22, which was seen last: 13 to 17 are in the gap.
    assert_eq!(buffer.reconcile(&list(8..=17), true, &mut out), (0, None));
    assert!(buffer.missing().is_some());
    assert_eq!(buffer.reconcile(&list(21..=26), true, &mut out), (4, None));
    assert_eq!(keys(&out), [10, 11, 12, 20, 21, 22, 23, 24, 25, 26]);
}

#[test]
fn what_happened_before_we_began_is_not_put_behind() {
    let (mut buffer, mut out) = cut_off([15]);
    assert_eq!(buffer.reconcile(&list(1..=15), true, &mut out), (3, None));
    assert_eq!(keys(&out), (10..=15).collect::<Vec<_>>());
}

#[test]
fn a_list_that_ends_before_what_was_seen_says_nothing() {
    for held in [&[][..], &[15]] {
        let (mut buffer, mut out) = cut_off(held.iter().copied());
        assert_eq!(buffer.reconcile(&list(1..=8), true, &mut out), (0, None));
        assert!(buffer.missing().is_some());
    }
}

/// A reorder buffer that continues after a history, which ends with these in the ms of 9, 10 and 11.
fn continued(moment: &[u64]) -> (ReorderBuffer, Released) {
    let (mut buffer, out) = (ReorderBuffer::new(Ids::Names, 100), released());
    // An archive tells times more finely.
    let applied = |key: &u64| {
        let trade = named(*key).trade;
        Trade { trade_id: *key, event_time: trade.event_time + 70_000, ..trade }
    };
    let moment: Vec<Trade> = moment.iter().map(applied).collect();
    let (time, recent) = (Some(named(9).trade.event_time + 70_000), moment.clone());
    buffer.resume_after(&LastTrade { id: 9, time, moment, recent, ..LastTrade::default() });
    buffer.suspect();
    (buffer, out)
}

#[test]
fn of_the_moment_in_which_a_history_ends_each_print_counts_once() {
    for heard in [&[][..], &[10, 11, 12], &[9, 10, 11, 12], &[11, 12]] {
        let (mut buffer, mut out) = continued(&[9]);
        for key in heard {
            assert_eq!(buffer.take(&named(*key), &mut out), Disposition::Waits);
        }
        assert_eq!(buffer.reconcile(&list(7..=12), true, &mut out), (3, None), "{heard:?}");
        assert_eq!((keys(&out), buffer.missing()), (vec![10, 11, 12], None), "{heard:?}");
        assert_eq!(out.trades.trade_id, [10, 11, 12]);
        assert_eq!(buffer.take(&named(9), &mut out), Disposition::Repeated);
        assert_eq!(buffer.take_doubt(), None);
        // A later run knows the history's own by name.
        let (mut again, mut out) = (ReorderBuffer::new(Ids::Names, 100), released());
        let (mut part, mut nothing) = continued(&[9]);
        part.reconcile(&list(7..=10), true, &mut nothing);
        let LatestNames { event_time, names } = part.latest().unwrap();
        let last = LastTrade { id: 10, time: Some(event_time), names, ..LastTrade::default() };
        again.resume_after(&last);
        again.suspect();
        again.reconcile(&list(7..=12), true, &mut out);
        assert_eq!(keys(&out), [11, 12]);
    }
}

#[test]
fn of_equal_prints_of_that_moment_as_many_count_as_were_not_applied() {
    let (mut buffer, mut out) = continued(&[9]);
    let equal = |key| Print { key, ..named(9) };
    assert_eq!(buffer.take(&equal(11), &mut out), Disposition::Waits);
    let listed = [named(8), equal(9), equal(10), equal(11), named(12)];
    assert_eq!(buffer.reconcile(&listed, true, &mut out), (3, None));
    assert_eq!(keys(&out), [9, 9, 12]);
}

#[test]
fn where_the_trades_of_that_moment_are_unknown_what_is_dropped_is_said_once() {
    let (mut buffer, mut out) = continued(&[]);
    assert_eq!(buffer.take(&named(8), &mut out), Disposition::Presumed);
    assert_eq!(buffer.take_doubt(), None);
    assert_eq!(buffer.take(&named(10), &mut out), Disposition::Presumed);
    let time = named(10).trade.event_time;
    let doubt = GivenUp { gap: None, after: Some(time), before: time };
    assert_eq!((buffer.take_doubt(), buffer.take_doubt()), (Some(doubt), None));
    let (mut buffer, mut out) = continued(&[]);
    assert_eq!(buffer.reconcile(&list(7..=12), true, &mut out), (1, None));
    assert_eq!((keys(&out), buffer.take_doubt()), (vec![12], Some(doubt)));
}

#[test]
fn an_empty_list_is_no_gap_at_the_start_and_no_answer_later() {
    let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Names, 100), released());
    buffer.resume_after(&LastTrade { id: 7, time: Some(1_000_000), ..LastTrade::default() });
    buffer.suspect();
    assert_eq!(buffer.take(&named(9), &mut out), Disposition::Waits);
    assert_eq!(buffer.reconcile(&[], true, &mut out), (0, None));
    assert_eq!((buffer.missing(), keys(&out)), (None, vec![9]));
    let (mut buffer, mut out) = cut_off([]);
    assert_eq!(buffer.reconcile(&[], true, &mut out), (0, None));
    assert!(buffer.missing().is_some());
}

#[test]
fn what_was_held_before_a_second_loss_goes_before_a_list_that_begins_behind_it() {
    let (mut buffer, mut out) = cut_off([15, 16]);
    let asked = buffer.missing().unwrap().trades;
    buffer.suspect();
    assert_ne!(buffer.missing().unwrap().trades, asked, "a list of the first suspicion is too old");
    assert_eq!(buffer.reconcile(&list(12..=16), false, &mut out), (4, None));
    assert!(buffer.missing().is_some());
    for key in [22, 23] {
        buffer.take(&named(key), &mut out);
    }
    // It has what came before the second loss only: the suspicion remains.
    assert_eq!(buffer.reconcile(&list(12..=18), true, &mut out), (2, None));
    assert!(buffer.missing().is_some());
    let (missed, gap) = buffer.reconcile(&list(18..=22), true, &mut out);
    assert_eq!((missed, gap), (4, None));
    assert_eq!(keys(&out), (10..=23).collect::<Vec<_>>());

    // It touches what is held, not what was seen: a gap is between those.
    let (mut buffer, mut out) = cut_off([15, 16]);
    buffer.suspect();
    let (missed, gap) = buffer.reconcile(&list(16..=20), true, &mut out);
    assert_eq!((missed, gap.unwrap().after, buffer.missing()), (5, Some(5_000_000), None));
    assert_eq!(keys(&out), [10, 11, 12, 15, 16, 17, 18, 19, 20]);

    let (mut buffer, mut out) = cut_off([15, 16]);
    buffer.suspect();
    buffer.take(&named(22), &mut out);
    assert!(buffer.reconcile(&list(19..=22), true, &mut out).1.is_some());
    assert_eq!(keys(&out), [10, 11, 12, 15, 16, 19, 20, 21, 22]);
}

#[test]
fn what_found_no_room_while_suspect_is_a_suspicion_anew() {
    let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Names, 2), released());
    buffer.take(&named(1), &mut out);
    buffer.suspect();
    let taken = [3, 4, 5].map(|key| buffer.take(&named(key), &mut out));
    assert_eq!(taken, [Disposition::Waits, Disposition::Waits, Disposition::NoRoom]);
    assert_eq!(buffer.reconcile(&list(1..=3), true, &mut out), (2, None));
    assert_eq!(buffer.take(&named(6), &mut out), Disposition::Waits);
    assert_eq!(buffer.reconcile(&list(4..=6), true, &mut out), (2, None));
    assert_eq!(keys(&out), [1, 2, 3, 4, 5, 6]);
}

/// A step of a venue, a connection to it, and somebody who asks its REST.
#[derive(Clone, Debug)]
enum Step {
    /// So many trades happen.
    Trades(u64),
    /// So many of those that the connection has are read.
    Read(usize),
    Lose,
    Connect,
    Ask,
    /// REST makes its list, without this many of the latest trades.
    List(u64),
    /// The list arrives.
    Answer,
    /// Nobody asks REST any more.
    GiveUp,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u64..8).prop_map(Step::Trades),
        6 => (1usize..8).prop_map(Step::Read),
        1 => Just(Step::Lose),
        2 => Just(Step::Connect),
        2 => Just(Step::Ask),
        2 => (0u64..6).prop_map(Step::List),
        2 => Just(Step::Answer),
        1 => Just(Step::GiveUp),
    ]
}

/// What the steps work on.
struct World {
    buffer: ReorderBuffer,
    out: Released,
    happened: u64,
    /// What is on its way over the connection, if there is one.
    unread: Option<Vec<u64>>,
    /// Whether any print was read since the latest suspicion.
    heard: bool,
    asked: Option<MissingTrades>,
    list: Option<Vec<u64>>,
    gaps: Vec<GivenUp>,
}

impl World {
    fn new() -> Self {
        let (mut buffer, mut out) = (ReorderBuffer::new(Ids::Names, 1_000), released());
        // We begin amid the market.
        buffer.take(&named(20), &mut out);
        let (unread, asked, list) = (Some(Vec::new()), None, None);
        Self { buffer, out, happened: 20, unread, heard: false, asked, list, gaps: Vec::new() }
    }

    fn step(&mut self, step: &Step, window: u64) {
        match *step {
            Step::Trades(count) => {
                let trades = self.happened + 1..=self.happened + count;
                self.unread.iter_mut().for_each(|unread| unread.extend(trades.clone()));
                self.happened += count;
            }
            Step::Read(count) => {
                let Some(unread) = &mut self.unread else { return };
                for key in unread.drain(..count.min(unread.len())) {
                    self.buffer.take(&named(key), &mut self.out);
                    self.heard = true;
                }
            }
            Step::Lose if self.unread.take().is_some() => {
                self.buffer.suspect();
                self.heard = false;
            }
            Step::Connect if self.unread.is_none() => {
                self.unread = Some(Vec::new());
                self.buffer.suspect();
            }
            Step::Ask if self.unread.is_some() && self.asked.is_none() => {
                self.asked = self.buffer.missing().map(|missing| missing.trades);
            }
            Step::List(lag) if self.asked.is_some() && self.list.is_none() => {
                // While nothing is held nobody can tell that a list lags.
                let newest =
                    self.happened - if self.heard { lag.min(self.happened - 1) } else { 0 };
                self.list = Some((newest.saturating_sub(window).max(1)..=newest).collect());
            }
            Step::Answer => {
                let Some(keys) = self.list.take() else { return };
                let asked = self.asked.take();
                let fresh = self.buffer.missing().map(|missing| missing.trades) == asked;
                let (_, gap) = self.buffer.reconcile(&list(keys), fresh, &mut self.out);
                self.gaps.extend(gap);
            }
            Step::GiveUp if self.unread.is_some() => {
                // What is under way arrives sooner.
                self.step(&Step::Read(usize::MAX), window);
                self.gaps.extend(self.buffer.give_up(&mut self.out));
                // An answer to what was given up is of no use.
                (self.asked, self.list) = (None, None);
            }
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_lost_and_asked_the_order_is_the_venues_and_a_hole_is_a_gap(
        steps in proptest::collection::vec(step(), 0..200),
        window in 8u64..40,
    ) {
        let mut world = World::new();
        for step in &steps {
            world.step(step, window);
        }
        // An old question and its answer may be under way still.
        let end = [
            Step::Connect, Step::Trades(1), Step::Read(10_000), Step::Ask, Step::List(0), Step::Answer,
        ];
        for step in end.iter().chain(&end).chain(&end) {
            world.step(step, window);
        }
        prop_assert_eq!(world.buffer.missing(), None);
        let ids = keys(&world.out);
        prop_assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        let whole: Vec<u64> = (20..=world.happened).collect();
        for key in whole.iter().filter(|key| !ids.contains(key)) {
            let time = named(*key).trade.event_time;
            let told = |gap: &GivenUp| gap.after.is_none_or(|after| after <= time) && time <= gap.before;
            prop_assert!(world.gaps.iter().any(told), "{key} is lost in silence: {ids:?}");
        }
    }
}

//! For every schedule: trades without numbers come out in order, and a hole among them is reported.

use proptest::collection::vec;
use proptest::prelude::*;

use super::properties::{Body, body};
use super::tests::{POLICY, ROOM, print, released, request};
use super::*;

/// A step where trades have no numbers.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// So many trades happen.
    Trades(u64),
    /// So many of those that the connection has are read.
    Read(usize),
    Lose,
    Connect,
    Tick(u64),
    /// REST makes its list, without this many of the latest trades.
    List(u64),
    /// The list arrives, or a failure or an empty one in its place.
    Answer(Body),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        4 => (1u64..8).prop_map(Turn::Trades),
        6 => (1usize..8).prop_map(Turn::Read),
        1 => Just(Turn::Lose),
        2 => Just(Turn::Connect),
        4 => prop_oneof![Just(20u64), 100u64..500].prop_map(Turn::Tick),
        2 => (0u64..6).prop_map(Turn::List),
        3 => body().prop_map(Turn::Answer),
    ]
}

/// A venue whose trades have no numbers, and a tracker.
struct World {
    tracker: GapTracker,
    out: Released,
    now: Instant,
    happened: u64,
    /// What is on its way over the connection, if there is one.
    unread: Option<Vec<u64>>,
    /// Whether any trade was read since the latest suspicion.
    heard: bool,
    asked: Option<Question>,
    list: Option<Vec<u64>>,
    opened: u64,
    ended: u64,
    gaps: u64,
    /// Between which times trades may be missing.
    windows: Vec<(i64, i64)>,
}

/// A trade without a number; its price tells which one it is, and three of them share a millisecond.
fn named(key: u64) -> Print {
    let mut print = print(key);
    print.trade.trade_id = 0;
    print.trade.event_time = (key / 3 + 1) as i64 * 1_000_000;
    print
}

impl World {
    fn new() -> Self {
        let mut tracker = GapTracker::new(Ids::Names, ROOM, POLICY, None);
        let mut out = released();
        // We begin amid the market.
        tracker.on_subscribed();
        tracker.on_trade(&named(20), &mut out);
        Self {
            tracker,
            out,
            now: Instant::now(),
            happened: 20,
            unread: Some(Vec::new()),
            heard: false,
            asked: None,
            list: None,
            opened: 0,
            ended: 0,
            gaps: 0,
            windows: Vec::new(),
        }
    }

    fn step(&mut self, turn: Turn, window: u64) {
        match turn {
            Turn::Trades(count) => {
                let trades = self.happened + 1..=self.happened + count;
                self.unread.iter_mut().for_each(|unread| unread.extend(trades.clone()));
                self.happened += count;
            }
            Turn::Read(count) => {
                let Some(unread) = &mut self.unread else { return };
                for key in unread.drain(..count.min(unread.len())) {
                    self.tracker.on_trade(&named(key), &mut self.out);
                    self.heard = true;
                }
            }
            Turn::Lose if self.unread.take().is_some() => {
                self.tracker.on_disconnect();
                self.heard = false;
            }
            Turn::Connect if self.unread.is_none() => {
                self.unread = Some(Vec::new());
                self.tracker.on_disconnect();
                self.tracker.on_subscribed();
                self.tracker.on_reconnect(self.now);
            }
            Turn::Tick(ms) => {
                // What is under way arrives sooner than the order stops waiting for it.
                self.step(Turn::Read(usize::MAX), window);
                self.now += Duration::from_millis(ms);
                let effects = self.tracker.on_tick(self.now, &request, &mut self.out);
                for ask in &effects.asks {
                    assert!(self.unread.is_some(), "asked while nothing is heard");
                    assert_eq!(self.asked.replace(ask.question), None, "asked twice at once");
                }
                self.take(&effects);
            }
            Turn::List(lag) if self.asked.is_some() && self.list.is_none() => {
                // While nothing is held nobody can tell that a list lags.
                let newest =
                    self.happened - if self.heard { lag.min(self.happened - 1) } else { 0 };
                self.list = Some((newest.saturating_sub(window).max(1)..=newest).collect());
            }
            Turn::Answer(body) => {
                let Some(keys) = self.list.take() else { return };
                let question = self.asked.take().unwrap();
                let rows: Result<Vec<Print>, Unanswered> = match body {
                    Body::Failed => Err(Unanswered::Failed),
                    Body::Refused => Err(Unanswered::Refused),
                    Body::Empty => Ok(Vec::new()),
                    _ => Ok(keys.into_iter().map(named).collect()),
                };
                let rows = rows.as_deref().map_err(|unanswered| *unanswered);
                let reply = Reply { rows, took: Duration::ZERO };
                let effects = self.tracker.on_answer(question, reply, self.now, &mut self.out);
                self.take(&effects);
            }
            _ => {}
        }
    }

    fn take(&mut self, effects: &Effects) {
        self.opened += effects.opened;
        self.ended += effects.healed.len() as u64;
        self.gaps += effects.gaps.len() as u64;
        self.windows
            .extend(effects.gaps.iter().map(|gap| (gap.gap.after.unwrap_or(0), gap.gap.before)));
    }
}

proptest! {
    #[test]
    fn unnumbered_trades_come_out_in_order_and_a_hole_is_reported(
        turns in vec(turn(), 0..200),
        window in 8u64..40,
    ) {
        let mut world = World::new();
        turns.iter().for_each(|turn| world.step(*turn, window));
        for turn in [Turn::Connect, Turn::Trades(1), Turn::Read(10_000)] {
            world.step(turn, window);
        }
        for _ in 0..20 {
            for turn in [Turn::Tick(500), Turn::List(0), Turn::Answer(Body::Complete)] {
                world.step(turn, window);
            }
        }
        prop_assert_eq!(world.tracker.order.missing(), None);
        prop_assert_eq!(world.asked, None);
        let keys: Vec<u64> = world.out.trades.price.iter().map(|price| *price as u64).collect();
        prop_assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
        let whole: Vec<u64> = (20..=world.happened).collect();
        prop_assert!(world.gaps > 0 || keys == whole, "{keys:?}");
        for key in whole.iter().filter(|key| !keys.contains(key)) {
            let time = named(*key).trade.event_time;
            let told = |(after, before): &(i64, i64)| *after <= time && time <= *before;
            prop_assert!(world.windows.iter().any(told), "{key} is lost in silence: {keys:?}");
        }
        prop_assert!(world.opened <= world.ended + world.gaps);
    }
}

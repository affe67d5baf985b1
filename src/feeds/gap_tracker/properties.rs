//! For every schedule of trades, losses, answers and ticks: a missing id is filled or reported, once.

use std::collections::BTreeMap;
use std::mem::discriminant;
use std::ops::RangeInclusive;

use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::{POLICY, ROOM, print, released, request};
use super::*;

/// Rows of a page of the venue's REST.
const PAGE: usize = 8;

/// What the venue's REST answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// All that it has, up to a page.
    Complete,
    /// So many rows of that.
    Partial(usize),
    /// Nothing at all.
    Empty,
    /// All that it had so many trades ago, up to a page.
    Lagging(u64),
    /// The request failed.
    Failed,
    /// The venue refused it: a rate limit, a ban, a server error.
    Refused,
    /// A complete one that is delivered twice.
    Repeated,
}

pub(super) fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        3 => Just(Body::Complete),
        2 => (1..PAGE).prop_map(Body::Partial),
        2 => Just(Body::Empty),
        2 => (1u64..20).prop_map(Body::Lagging),
        2 => Just(Body::Failed),
        2 => Just(Body::Refused),
        1 => Just(Body::Repeated),
    ]
}

/// A step of a venue, of a connection to it, of its REST, or of time.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// So many trades happen and arrive.
    Trades(u64),
    /// So many happen and do not arrive.
    Lost(u64),
    /// The trade so far back arrives late, or again.
    Late(u64),
    Reconnect,
    /// So many milliseconds pass.
    Tick(u64),
    /// One of the requests under way is answered.
    Answer(usize, Body),
}

fn schedule() -> impl Strategy<Value = Vec<Move>> {
    let step = prop_oneof![
        4 => (1u64..5).prop_map(Move::Trades),
        3 => (1u64..12).prop_map(Move::Lost),
        2 => (0u64..20).prop_map(Move::Late),
        1 => Just(Move::Reconnect),
        6 => prop_oneof![Just(20u64), 1u64..3_000, 20_000u64..70_000].prop_map(Move::Tick),
        4 => (0usize..4, body()).prop_map(|(which, body)| Move::Answer(which, body)),
    ];
    vec(step, 0..120)
}

/// What became of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Filled,
    Reported,
    /// Reported, and then it came after all.
    Late,
}

/// A venue that numbers its trades, and a tracker.
struct Numbers {
    tracker: GapTracker,
    out: Released,
    now: Instant,
    defers: bool,
    /// Ids that happened so far, from 1 on.
    happened: u64,
    /// Whether REST lacks an id, over and over.
    lacks: Vec<bool>,
    under_way: Vec<(Question, RangeInclusive<u64>)>,
    fates: BTreeMap<u64, Fate>,
    /// Trades of `out` that were looked at.
    seen: usize,
    latest: u64,
    opened: u64,
    filled: u64,
    gaps: u64,
    healing: Vec<Duration>,
    /// How long requests are out.
    took: Duration,
    /// Everything that came out, with its time.
    log: Vec<String>,
}

impl Numbers {
    fn new(defers: bool, lacks: Vec<bool>) -> Self {
        let policy = GapPolicy { defers, ..POLICY };
        Self {
            tracker: GapTracker::new(Ids::Consecutive, ROOM, policy, None),
            out: released(),
            now: Instant::now(),
            defers,
            happened: 0,
            lacks,
            under_way: Vec::new(),
            fates: BTreeMap::new(),
            seen: 0,
            latest: 0,
            opened: 0,
            filled: 0,
            gaps: 0,
            healing: Vec::new(),
            took: Duration::ZERO,
            log: Vec::new(),
        }
    }

    fn run(defers: bool, lacks: &[bool], schedule: &[Move]) -> Self {
        let mut world = Self::new(defers, lacks.to_vec());
        let begun = world.now;
        world.step(Move::Trades(1));
        schedule.iter().for_each(|step| world.step(*step));
        // The last trade shows every gap; then REST answers as well as it can.
        world.step(Move::Trades(1));
        while (world.fates.len() as u64) < world.happened {
            world.settle();
            assert!(world.now < begun + Duration::from_secs(20_000), "never settled");
        }
        // A question about the latest trades, and the last gap's end.
        (0..20).for_each(|_| world.settle());
        world
    }

    /// Time passes, and everything under way is answered.
    fn settle(&mut self) {
        self.step(Move::Tick(1_000));
        while !self.under_way.is_empty() {
            self.step(Move::Answer(0, Body::Complete));
        }
    }

    fn step(&mut self, step: Move) {
        match step {
            Move::Trades(count) => (0..count).for_each(|_| {
                self.happened += 1;
                self.arrive(self.happened);
            }),
            Move::Lost(count) => self.happened += count,
            Move::Late(back) => self.arrive(self.happened.saturating_sub(back).max(1)),
            Move::Reconnect => {
                self.tracker.on_disconnect();
                self.tracker.on_subscribed();
                self.tracker.on_reconnect(self.now);
            }
            Move::Tick(ms) => {
                self.now += Duration::from_millis(ms);
                let effects = self.tracker.on_tick(self.now, &request, &mut self.out);
                self.take(effects);
            }
            Move::Answer(which, body) if !self.under_way.is_empty() => {
                let (question, ids) = self.under_way.remove(which % self.under_way.len());
                let rows = self.rows(*ids.start(), body);
                for _ in 0..if matches!(body, Body::Repeated) { 2 } else { 1 } {
                    let rows = rows.as_deref().map_err(|unanswered| *unanswered);
                    let reply = Reply { rows, took: self.took };
                    let effects = self.tracker.on_answer(question, reply, self.now, &mut self.out);
                    self.take(effects);
                }
            }
            Move::Answer(..) => {}
        }
    }

    fn arrive(&mut self, id: u64) {
        self.tracker.on_trade(&print(id), &mut self.out).unwrap();
        self.look_at_released();
    }

    fn rows(&self, first: u64, body: Body) -> Result<Vec<Print>, Unanswered> {
        let (most, lag) = match body {
            Body::Complete | Body::Repeated => (PAGE, 0),
            Body::Lagging(lag) => (PAGE, lag),
            Body::Partial(rows) => (rows, 0),
            Body::Empty => (0, 0),
            Body::Failed => return Err(Unanswered::Failed),
            Body::Refused => return Err(Unanswered::Refused),
        };
        let has = |id: &u64| !self.lacks[*id as usize % self.lacks.len()];
        let newest = self.happened.saturating_sub(lag);
        Ok((first..=newest).filter(has).take(most).map(print).collect())
    }

    fn take(&mut self, effects: Effects) {
        for ask in &effects.asks {
            let ids: Vec<u64> = ask.request.path.split(' ').map(|id| id.parse().unwrap()).collect();
            let ids = ids[0]..=ids[1];
            for (question, other) in &self.under_way {
                let same = discriminant(question) == discriminant(&ask.question);
                let apart = ids.end() < other.start() || other.end() < ids.start();
                assert!(!same || apart, "{ids:?} are asked for twice at once");
            }
            let reported = |(_, fate): (&u64, &Fate)| *fate != Fate::Filled;
            assert!(
                !self.fates.range(ids.clone()).any(reported),
                "{ids:?} are asked for after they were given up"
            );
            self.log.push(format!("{:?} {ids:?}", ask.question));
            self.under_way.push((ask.question, ids));
        }
        // What a step releases before it gives up is filled.
        self.look_at_released();
        for ReportedGap { gap, reason } in effects.gaps {
            let ids = gap.gap.unwrap();
            for id in ids.first_missing..=ids.last_missing {
                let before = self.fates.insert(id, Fate::Reported);
                assert_eq!(before, None, "{id} is reported");
            }
            self.gaps += 1;
            self.log.push(format!("{ids:?} {reason}"));
        }
        self.opened += effects.opened;
        let came = effects.pursued.iter().filter_map(|gap| gap.came);
        let healed: Vec<Duration> = effects.healed.iter().copied().chain(came).collect();
        self.filled += healed.len() as u64;
        self.healing.extend(healed);
    }

    fn look_at_released(&mut self) {
        for id in &self.out.trades.trade_id[self.seen..] {
            let fate = self.fates.entry(*id);
            let fate = fate.and_modify(|fate| {
                assert_eq!(*fate, Fate::Reported, "{id} is released twice");
                *fate = Fate::Late;
            });
            let fate = *fate.or_insert(Fate::Filled);
            let late = fate == Fate::Late || self.defers;
            assert!(late || *id > self.latest, "{id} is out of order");
            self.latest = self.latest.max(*id);
            self.log.push(format!("{id}"));
        }
        self.seen = self.out.trades.len();
    }
}

proptest! {
    #[test]
    fn every_missing_id_is_filled_or_reported(
        schedule in schedule(),
        defers: bool,
        lacks in vec(proptest::bool::weighted(0.2), 37),
    ) {
        let mut world = Numbers::run(defers, &lacks, &schedule);
        let ids: Vec<u64> = world.fates.keys().copied().collect();
        prop_assert_eq!(ids, (1..=world.happened).collect::<Vec<_>>());
        let given_up = world.fates.values().any(|fate| *fate != Fate::Filled);
        prop_assert!(given_up || world.gaps == 0);
        // What is counted agrees. A deferred gap may be reported in parts.
        match defers {
            true => prop_assert!(world.opened <= world.filled + world.gaps),
            false => prop_assert_eq!(world.opened, world.filled + world.gaps),
        }
        let end = world.log.len();
        (0..100).for_each(|_| world.settle());
        prop_assert_eq!(&world.log[end..], &[] as &[String]);
        prop_assert_eq!(world.tracker.end(0), vec![]);
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(
        schedule in schedule(),
        defers: bool,
        lacks in vec(proptest::bool::weighted(0.2), 37),
    ) {
        let [one, other] = [(), ()].map(|()| Numbers::run(defers, &lacks, &schedule));
        prop_assert_eq!(one.log, other.log);
    }

    /// However often it lags, fails or refuses, if each time only for a while.
    #[test]
    fn what_rest_has_is_not_given_up_before_the_budget_ends(
        schedule in schedule(),
        defers: bool,
    ) {
        let good = |(at, step): (usize, &Move)| match *step {
            // A partial answer proves that what it passes over is not there.
            Move::Answer(which, Body::Partial(_)) => Move::Answer(which, Body::Complete),
            // At most 6 in a row without news: 150 ms doubled up to 5 s, far from a minute.
            Move::Answer(which, _) if at % 7 == 0 => Move::Answer(which, Body::Complete),
            Move::Late(_) => Move::Reconnect,
            step => step,
        };
        let schedule: Vec<Move> = schedule.iter().enumerate().map(good).collect();
        let answers = schedule.iter().filter(|step| matches!(step, Move::Answer(..))).count();
        let world = Numbers::run(defers, &[false], &schedule);
        // Every answer in vain costs 5 s at most.
        prop_assert!(world.gaps == 0 || answers > 12, "{} of {answers}", world.gaps);
        prop_assert_eq!(world.healing.len() as u64, world.filled);
    }

    #[test]
    fn refusals_and_the_queue_never_make_a_gap(
        refused in vec((0u64..100_000, 1usize..6), 1..20),
        defers: bool,
    ) {
        let mut world = Numbers::new(defers, vec![false]);
        for step in [Move::Trades(1), Move::Lost(5), Move::Trades(1), Move::Tick(0)] {
            world.step(step);
        }
        let mut left = 3_000_000;
        for (queue, times) in refused {
            for _ in 0..times {
                while world.under_way.is_empty() {
                    world.step(Move::Tick(1_000));
                }
                left -= (queue as i64).min(left);
                world.now += Duration::from_millis(if left > 0 { queue } else { 0 });
                world.step(Move::Answer(0, Body::Refused));
            }
        }
        (0..20).for_each(|_| world.settle());
        prop_assert_eq!((world.gaps, world.filled), (0, 1));
    }

    #[test]
    fn a_deferred_gap_holds_up_nothing_longer_than_the_wait(schedule in schedule()) {
        let mut world = Numbers::new(true, vec![true]);
        schedule.iter().for_each(|step| world.step(*step));
        world.step(Move::Trades(1));
        // Every gap takes a tick to be seen and one to be deferred.
        for _ in 0..=2 * world.happened {
            world.step(Move::Tick(100));
        }
        prop_assert_eq!(world.latest, world.happened);
    }

    /// The rules of pauses, budget and answers without news, written a second time.
    #[test]
    fn pauses_and_budget_are_kept(
        defers: bool,
        answers in vec((prop_oneof![0u64..500, 10_000u64..40_000], 0u64..8_000, body()), 1..40),
    ) {
        let ms = Duration::from_millis;
        let mut world = Numbers::new(defers, vec![false]);
        for step in [Move::Trades(1), Move::Lost(40), Move::Trades(1), Move::Tick(0)] {
            world.step(step);
        }
        let (mut spent, mut fruitless, mut refused, mut pause) = (0, 0, 0, 100);
        for (queue, took, body) in answers {
            // One moment too soon, and then in time.
            if pause > 0 {
                world.step(Move::Tick(pause - 1));
                prop_assert!(world.under_way.is_empty(), "too soon");
            }
            world.step(Move::Tick(u64::from(pause > 0)));
            if world.fates.len() as u64 == world.happened && world.gaps == 0 {
                prop_assert!(world.under_way.is_empty(), "nothing is missing");
                return Ok(());
            }
            if spent >= 60_000 {
                prop_assert!(world.gaps > 0);
                let exhausted = |line: &String| line.contains("budget is exhausted");
                prop_assert!(world.log.iter().any(exhausted));
                (0..100).for_each(|_| world.step(Move::Tick(1_000)));
                prop_assert!(world.under_way.is_empty(), "asked after the end");
                return Ok(());
            }
            prop_assert_eq!(world.under_way.len(), 1, "not asked in time");
            world.now += ms(queue + took);
            world.took = ms(took);
            let before = world.fates.len();
            world.step(Move::Answer(0, body));
            let doubled = |first: u64, n: u32| (first << (n - 1).min(16)).min(5_000);
            match body {
                _ if world.fates.len() > before => (spent, fruitless, refused, pause) = (0, 0, 0, 0),
                Body::Refused => {
                    refused += 1;
                    pause = doubled(50, refused);
                }
                _ => {
                    (fruitless, refused) = (fruitless + 1, 0);
                    pause = doubled(150, fruitless);
                    spent += took + pause;
                }
            }
        }
    }
}

#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::*;
use crate::feeds::hub::tests::{hub, plan};
use crate::feeds::session::pacer::Pacer;
use crate::feeds::venue::MissingFrom::Id;
use crate::graph::flow::Intakes;

/// A session without connections, whose questions are answered by hand.
struct Asked {
    session: Session,
    backfill: Backfill,
    questions: Receiver<Question>,
    begun: Instant,
    _intakes: Intakes,
}

impl Asked {
    fn new(protocol: &str) -> Self {
        let plan = plan(protocol, &["A"]);
        let (hub, _intakes) = hub(plan.clone());
        let session = Session {
            hub: RefCell::new(hub),
            connects: RefCell::new(Pacer::new(plan.venue.limits().connects)),
            requests: RefCell::new(1),
            up: RefCell::new(vec![1]),
            ending: tokio::sync::watch::Sender::new(false),
            fault: RefCell::new(None),
            recorder: None,
            numbered: RefCell::new(0),
            plan: Arc::new(plan),
        };
        let (backfill, questions) = Backfill::unanswered();
        Self { session, backfill, questions, begun: Instant::now(), _intakes }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.begun + Duration::from_secs_f64(seconds)
    }

    fn bring(&self, ids: &[u64]) {
        for id in ids {
            self.session.hub.borrow_mut().bring(0, *id);
        }
    }

    /// Looks at the gaps; where the question begins that is asked then, if one is.
    fn look(&self, seconds: f64) -> Option<MissingFrom> {
        look(&self.session, &self.backfill, self.at(seconds));
        self.questions.try_iter().last().map(|question| question.first)
    }

    fn answer(&self, first: MissingFrom, body: Result<&str, &str>, seconds: f64) {
        let body = body.map(|body| body.as_bytes().to_vec()).map_err(str::to_owned);
        let answer = Answer { slot: 0, about: About::Gap, first, body };
        super::answer(&self.session, answer, self.at(seconds));
    }

    fn open(&self) -> Option<OpenGap> {
        *self.session.hub.borrow_mut().gap_mut(0)
    }

    fn given_up(&self) -> u64 {
        self.session.hub.borrow().counters.gaps_given_up
    }
}

#[test]
fn time_in_the_line_of_questions_is_not_the_venues() {
    let asked = Asked::new("binance-spot");
    asked.bring(&[1, 5]);
    assert_eq!(asked.look(0.0), None);
    assert_eq!(asked.look(0.2), Some(Id(2)));
    // Far more than the budget of a minute, and the first answer of all.
    asked.answer(Id(2), Err("no"), 100.0);
    assert_eq!(asked.look(101.0), Some(Id(2)));
    asked.answer(Id(2), Err("no"), 161.0);
    assert_eq!((asked.look(162.0), asked.given_up()), (None, 1));
}

#[test]
fn an_answer_about_one_gap_says_nothing_about_the_next() {
    let asked = Asked::new("binance-spot");
    asked.bring(&[1, 3]);
    asked.look(0.0);
    assert_eq!(asked.look(0.2), Some(Id(2)));
    asked.bring(&[2, 5]);
    asked.look(0.3);
    assert_eq!(asked.look(0.6), Some(Id(4)));
    asked.answer(Id(2), Ok("[]"), 0.7);
    let open = asked.open().unwrap();
    assert_eq!((open.asked, open.fruitless), (Some(Id(4)), 0));
    asked.answer(Id(4), Ok("[]"), 0.8);
    let open = asked.open().unwrap();
    assert_eq!((open.asked, open.fruitless), (None, 1));
}

#[test]
fn what_a_pause_hid_is_asked_about_only_if_no_trade_tells_it() {
    for told in [false, true] {
        let asked = Asked::new("binance-spot");
        asked.bring(&[1]);
        asked.session.hub.borrow_mut().doubt(&[0], asked.at(0.0));
        assert_eq!(asked.look(1.0), None);
        if told {
            *asked.session.hub.borrow_mut().tail_mut(0) = None;
        }
        assert_eq!(asked.look(3.0), (!told).then_some(Id(2)));
    }
}

#[test]
fn a_list_that_was_asked_for_before_a_second_loss_does_not_end_the_doubt() {
    let asked = Asked::new("bybit-linear");
    let list = |keys: &[u64]| {
        let row = |key: &u64| {
            format!(
                r#"{{"execId":"{key}","price":"1","size":"1","side":"Buy","time":"170000000000{key}","isBlockTrade":false}}"#
            )
        };
        let rows: Vec<String> = keys.iter().rev().map(row).collect();
        format!(r#"{{"retCode":0,"result":{{"list":[{}]}}}}"#, rows.join(","))
    };
    asked.bring(&[1]);
    let lose = || {
        let mut hub = asked.session.hub.borrow_mut();
        hub.deaf(&[0]);
        hub.listened(&[0], asked.at(0.0));
    };
    lose();
    asked.look(0.0);
    let first = asked.look(0.2).unwrap();
    lose();
    asked.answer(first, Ok(&list(&[1, 2, 3])), 0.3);
    let second = asked.look(0.4).unwrap();
    assert_ne!(first, second);
    asked.answer(second, Ok(&list(&[1, 2, 3, 4])), 0.5);
    assert_eq!(asked.look(0.6), None);
    let hub = asked.session.hub.borrow();
    assert_eq!((hub.counters.backfilled, hub.counters.gaps_given_up), (3, 0));
    assert_eq!(hub.counters.gaps_opened, 1);
}

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::feeds::print::Contract;

fn listings(count: usize) -> Arc<[Listing]> {
    let symbol = |n| format!("S{n}-USD");
    (0..count).map(|n| Listing { symbol: symbol(n), contract: Contract::Base }).collect()
}

/// How a venue says that it refuses.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    /// A field names the symbol.
    Field,
    /// The text does.
    Text,
    /// The text names everything that was asked for.
    All,
    /// Only the request's number.
    Number,
    /// Nothing.
    Nothing,
}

/// A venue that takes some symbols and refuses others.
struct Venue {
    bad: BTreeSet<u32>,
    by: RefusedBy,
    says: Says,
    subscribed: BTreeSet<u32>,
    answers: VecDeque<Result<Acknowledged, Refusal>>,
}

impl Venue {
    fn refuse(&mut self, place: u32, asked: &[u32], request: u64) {
        let name = format!("S{place}-USD");
        let all: Vec<String> = asked.iter().map(|place| format!("S{place}-USD")).collect();
        let said = match self.says {
            Says::Text => format!("topic:publicTrade.{name} doesn't exist"),
            Says::All => format!("failed to subscribe: {}", all.join(", ")),
            _ => "Invalid request".to_owned(),
        };
        let symbol = (self.says == Says::Field).then_some(name);
        let request = (self.says == Says::Number).then_some(request);
        self.answers.push_back(Err(Refusal { said, symbol, request }));
    }

    fn hear(&mut self, places: &[u32], requests: &Range<u64>, listings: &[Listing]) {
        for request in requests.clone() {
            match self.by {
                RefusedBy::Symbol => {
                    for place in places {
                        if self.bad.contains(place) {
                            self.refuse(*place, places, request);
                        } else if request == requests.start {
                            let name = listings[*place as usize].symbol.clone();
                            self.answers.push_back(Ok(Acknowledged::Symbol(name)));
                        }
                    }
                }
                RefusedBy::Message => match places.iter().find(|place| self.bad.contains(place)) {
                    Some(bad) => self.refuse(*bad, places, request),
                    None => {
                        self.subscribed.extend(places);
                        let name = |place: &u32| listings[*place as usize].symbol.clone();
                        let all = self.subscribed.iter().map(name).collect();
                        let by_number = self.says == Says::Number;
                        self.answers.push_back(Ok(match by_number {
                            true => Acknowledged::Request(Some(request)),
                            false => Acknowledged::All(all),
                        }));
                    }
                },
            }
        }
    }
}

/// Asks until everything is settled; which symbols are confirmed and which refused.
fn settle(
    subscriptions: &mut Subscriptions,
    venue: &mut Venue,
    requests_each: u64,
    mut ahead: impl FnMut() -> bool,
) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let (now, listings) = (Instant::now(), Arc::clone(&subscriptions.listings));
    let (mut confirmed, mut refused, mut request) = (BTreeSet::new(), BTreeSet::new(), 1);
    for _ in 0..10_000 {
        if subscriptions.is_settled() {
            break;
        }
        let sends = subscriptions.has_next() && (venue.answers.is_empty() || ahead());
        if sends && let Some(places) = subscriptions.next() {
            let requests = request..request + requests_each;
            request = requests.end;
            venue.hear(&places, &requests, &listings);
            subscriptions.sent(places, requests, true, now);
        } else {
            match venue.answers.pop_front() {
                Some(Ok(acknowledged)) => subscriptions.on_acknowledged(&acknowledged, now),
                Some(Err(refusal)) => {
                    let _ = subscriptions.on_refused(&refusal);
                }
                // Nothing is under way: what is left will not be answered.
                None => subscriptions.give_up_overdue(now + ANSWERING),
            }
        }
    }
    assert!(subscriptions.is_settled());
    for outcome in subscriptions.take_outcomes() {
        match outcome {
            Outcome::Confirmed(place) => {
                refused.remove(&place);
                confirmed.insert(place);
            }
            Outcome::Refused(place, _) => {
                confirmed.remove(&place);
                refused.insert(place);
            }
        }
    }
    (confirmed, refused)
}

proptest! {
    #[test]
    fn the_refused_symbols_are_found_and_all_others_subscribed(
        count in 1usize..40,
        chunk in 1usize..12,
        bad in proptest::collection::btree_set(0u32..40, 0..6),
        by_message: bool,
        says in 0usize..5,
        requests_each in 1u64..3,
        turns in proptest::collection::vec(any::<bool>(), 0..400),
    ) {
        let by = if by_message { RefusedBy::Message } else { RefusedBy::Symbol };
        let ways = [Says::Field, Says::Text, Says::All, Says::Number, Says::Nothing];
        // Who answers for each symbol names it, or there is no telling; and it needs one request.
        let says = ways[if by_message { says } else { says % 2 }];
        // Two requests for one message, refused without a name or a number, one after the other.
        let requests_each = if says == Says::Nothing || !by_message { 1 } else { requests_each };
        let bad: BTreeSet<u32> = bad.into_iter().filter(|b| (*b as usize) < count).collect();
        let mut subscriptions = Subscriptions::new(listings(count), by);
        let all: Vec<u32> = (0..count as u32).collect();
        all.chunks(chunk).for_each(|places| subscriptions.ask(places.to_vec()));
        let mut venue = Venue {
            bad: bad.clone(), by, says, subscribed: BTreeSet::new(), answers: VecDeque::new(),
        };
        let mut turns = turns.into_iter();
        let (confirmed, refused) =
            settle(&mut subscriptions, &mut venue, requests_each, || turns.next().unwrap_or(false));
        let good: BTreeSet<u32> = all.iter().copied().filter(|n| !bad.contains(n)).collect();
        prop_assert_eq!(&confirmed, &good);
        prop_assert_eq!(&refused, &bad);
        // A venue that lists one of them after all confirms it when it is asked for by itself.
        if let Some(listed) = bad.first() {
            venue.bad.remove(listed);
            subscriptions.ask(vec![*listed]);
            let (confirmed, refused) = settle(&mut subscriptions, &mut venue, requests_each, || false);
            prop_assert!(confirmed.contains(listed) && refused.is_empty());
        }
    }
}

#[test]
fn a_refusal_of_nothing_we_asked_is_not_ours_and_a_withdrawal_is() {
    let mut subscriptions = Subscriptions::new(listings(2), RefusedBy::Symbol);
    subscriptions.ask(vec![0, 1]);
    let places = subscriptions.next().unwrap();
    subscriptions.sent(places, 1..2, true, Instant::now());
    for name in ["S0-USD", "S1-USD"] {
        subscriptions.on_acknowledged(&Acknowledged::Symbol(name.to_owned()), Instant::now());
    }
    assert!(subscriptions.is_settled() && subscriptions.take_outcomes().len() == 2);
    let refusal = |said: &str| Refusal { said: said.to_owned(), symbol: None, request: None };
    assert_eq!(subscriptions.on_refused(&refusal("unknown op")), Concerns::Nothing);
    assert_eq!(subscriptions.on_refused(&refusal("S1-USD was delisted")), Concerns::Us);
    let outcomes = subscriptions.take_outcomes();
    assert_eq!(outcomes, [Outcome::Refused(1, "S1-USD was delisted".to_owned())]);
}

#[test]
fn what_is_already_subscribed_is_confirmed_and_what_is_not_answered_refused() {
    let mut subscriptions = Subscriptions::new(listings(3), RefusedBy::Message);
    let now = Instant::now();
    subscriptions.ask(vec![0, 1, 2]);
    let places = subscriptions.next().unwrap();
    subscriptions.sent(places, 1..2, true, now);
    let said = "error:already subscribed,topic:publicTrade.S1-USD".to_owned();
    let _ = subscriptions.on_refused(&Refusal { said, symbol: None, request: Some(1) });
    assert_eq!(subscriptions.take_outcomes(), [Outcome::Confirmed(1)]);
    let rest = subscriptions.next().unwrap();
    assert_eq!(rest, [0, 2]);
    subscriptions.sent(rest, 2..3, true, now);
    assert!(!subscriptions.is_overdue(now) && subscriptions.is_overdue(now + ANSWERING));
    subscriptions.give_up_overdue(now + ANSWERING);
    assert!(subscriptions.is_settled());
    assert_eq!((subscriptions.take_outcomes().len(), subscriptions.confirmed()), (2, 1));
}

#[test]
fn a_symbol_is_a_word_of_its_own() {
    for (text, symbol, found) in [
        ("instId:BTC-USDT doesn't exist.", "BTC-USDT", true),
        ("instId:BTC-USDT-SWAP doesn't exist.", "BTC-USDT", false),
        ("error:handler not found,topic:publicTrade.ETHUSDT", "ETHUSDT", true),
        ("publicTrade.1000ETHUSDT", "ETHUSDT", false),
        ("\"Currency pair not supported ETH/USD\"", "ETH/USD", true),
        ("ETH/USDT", "ETH/USD", false),
        ("", "ETH/USD", false),
    ] {
        assert_eq!(mentions(text, symbol), found, "{text} {symbol}");
    }
}

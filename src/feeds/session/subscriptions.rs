//! Which symbols of a connection are subscribed, which are refused, and what to ask next.
//!
//! ```text
//!            ask              confirmed
//! waiting ───────► asked ─────────────────► confirmed
//!    ▲               │ refused by name, or alone in its message
//!    │ its message   ├─────────────────────► refused ──► asked again later, by itself
//!    └── was refused ┘
//! ```
//!
//! A venue that refuses one symbol may refuse the message that names it, and may not say which symbol it
//! means. Then the message is halved, one at a time, until the refused symbols are alone.
//!
//! **Invariants:** every symbol ends confirmed or refused once the venue has answered; a symbol that the
//! venue takes by itself is never refused. No clock and no socket: answers and times come in.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::feeds::print::{Acknowledged, Listing, Refusal};
use crate::feeds::venue::RefusedBy;

/// How long the venue may take to answer a message.
pub(super) const ANSWERING: Duration = Duration::from_secs(15);

/// How a symbol stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Waiting,
    Asked,
    Confirmed,
    Refused,
}

/// A message that is not fully answered.
#[derive(Debug)]
struct Open {
    places: Vec<u32>,
    requests: Range<u64>,
    /// Requests that were answered as a whole.
    answered: u64,
    since: Instant,
}

/// What has become of a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Confirmed(u32),
    Refused(u32, String),
}

/// What an answer was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Concerns {
    /// A subscription of ours.
    Us,
    /// Nothing that we have asked.
    Nothing,
}

/// The subscriptions of one connection; symbols by their place in its listings.
pub(super) struct Subscriptions {
    listings: Arc<[Listing]>,
    refused_by: RefusedBy,
    standing: Vec<Standing>,
    waiting: VecDeque<Vec<u32>>,
    open: Vec<Open>,
    /// One message at a time: an answer without a name is about the last one.
    careful: bool,
    /// Requests of refused messages that are still to be answered, most likely by the same words.
    echoes: u64,
    echo: String,
    outcomes: Vec<Outcome>,
}

impl Subscriptions {
    /// Nothing is asked for yet.
    pub(super) fn new(listings: Arc<[Listing]>, refused_by: RefusedBy) -> Self {
        Self {
            standing: vec![Standing::Refused; listings.len()],
            listings,
            refused_by,
            waiting: VecDeque::new(),
            open: Vec::new(),
            careful: false,
            echoes: 0,
            echo: String::new(),
            outcomes: Vec::new(),
        }
    }

    /// Asks for these symbols in one message, when it is its turn.
    pub(super) fn ask(&mut self, places: Vec<u32>) {
        for place in &places {
            self.standing[*place as usize] = Standing::Waiting;
        }
        self.waiting.push_back(places);
    }

    /// The symbols of the next message, if one may be sent now.
    pub(super) fn next(&mut self) -> Option<Vec<u32>> {
        if self.careful && !self.open.is_empty() {
            return None;
        }
        self.waiting.pop_front()
    }

    /// Whether a message waits to be sent.
    pub(super) fn has_next(&self) -> bool {
        !self.waiting.is_empty() && (!self.careful || self.open.is_empty())
    }

    /// These symbols were asked for by the requests of these numbers; where the venue does not answer, or
    /// there was nothing to send, they count as confirmed.
    pub(super) fn sent(
        &mut self,
        places: Vec<u32>,
        requests: Range<u64>,
        answers: bool,
        now: Instant,
    ) {
        for place in &places {
            self.standing[*place as usize] = Standing::Asked;
        }
        if answers && !requests.is_empty() {
            self.open.push(Open { places, requests, answered: 0, since: now });
        } else {
            places.into_iter().for_each(|place| self.confirm(place));
        }
    }

    /// Takes a confirmation.
    pub(super) fn on_acknowledged(&mut self, acknowledged: &Acknowledged, now: Instant) {
        match acknowledged {
            Acknowledged::Symbol(name) => match self.place(name) {
                Some(place) => self.confirm(place),
                None => tracing::debug!(name, "a symbol that was not asked for was confirmed"),
            },
            Acknowledged::All(names) => {
                let places: Vec<u32> = names.iter().filter_map(|name| self.place(name)).collect();
                places.into_iter().for_each(|place| self.confirm(place));
                self.echoes = self.echoes.saturating_sub(1);
            }
            Acknowledged::Request(number) => self.confirm_request(*number),
        }
        for open in &mut self.open {
            open.since = now;
        }
        self.close_answered();
    }

    /// Takes a refusal.
    pub(super) fn on_refused(&mut self, refusal: &Refusal) -> Concerns {
        if self.echoes > 0 && self.echo == refusal.said && self.open_of(refusal.request).is_none() {
            self.echoes -= 1;
            return Concerns::Us;
        }
        let named = self.named(refusal);
        if refusal.said.to_ascii_lowercase().contains("already subscribed") {
            return self.on_already(&named, refusal);
        }
        let concerns = if named.is_empty() {
            self.on_unnamed(refusal)
        } else {
            self.on_named(named, refusal);
            Concerns::Us
        };
        self.close_answered();
        concerns
    }

    /// The venue has not answered a message in time.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
    }

    /// When that will be.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.iter().map(|open| open.since + ANSWERING).min()
    }

    /// What the venue has not answered in time counts as refused.
    pub(super) fn give_up_overdue(&mut self, now: Instant) {
        let (late, open) = std::mem::take(&mut self.open)
            .into_iter()
            .partition::<Vec<_>, _>(|open| now >= open.since + ANSWERING);
        self.open = open;
        for place in late.into_iter().flat_map(|open| open.places) {
            if self.standing[place as usize] == Standing::Asked {
                self.refuse(place, format!("no answer to the subscription within {ANSWERING:?}"));
            }
        }
    }

    /// Whether every symbol is confirmed or refused.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.open.is_empty()
    }

    /// How many symbols are confirmed.
    pub(super) fn confirmed(&self) -> usize {
        self.standing.iter().filter(|standing| **standing == Standing::Confirmed).count()
    }

    /// How many symbols are asked for or confirmed.
    pub(super) fn wanted(&self) -> usize {
        self.standing.iter().filter(|standing| **standing != Standing::Refused).count()
    }

    /// Symbols that are refused, or were not asked for.
    pub(super) fn refused(&self) -> impl Iterator<Item = u32> {
        let places = self.standing.iter().zip(0..);
        places.filter(|(standing, _)| **standing == Standing::Refused).map(|(_, place)| place)
    }

    /// What has become of symbols since this was last asked.
    pub(super) fn take_outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    fn place(&self, name: &str) -> Option<u32> {
        let place = self.listings.iter().position(|listing| listing.symbol == name)?;
        Some(place as u32)
    }

    fn confirm(&mut self, place: u32) {
        let standing = &mut self.standing[place as usize];
        if *standing != Standing::Confirmed {
            *standing = Standing::Confirmed;
            self.outcomes.push(Outcome::Confirmed(place));
        }
    }

    fn refuse(&mut self, place: u32, said: String) {
        let standing = &mut self.standing[place as usize];
        if *standing != Standing::Refused {
            *standing = Standing::Refused;
            self.outcomes.push(Outcome::Refused(place, said));
        }
    }

    fn confirm_request(&mut self, number: Option<u64>) {
        let Some(at) = self.open_of(number).or((!self.open.is_empty()).then_some(0)) else {
            return;
        };
        let open = &mut self.open[at];
        open.answered += 1;
        if open.answered >= open.requests.end - open.requests.start {
            let open = self.open.remove(at);
            open.places.into_iter().for_each(|place| {
                if self.standing[place as usize] == Standing::Asked {
                    self.confirm(place);
                }
            });
        }
    }

    /// The message of that request.
    fn open_of(&self, number: Option<u64>) -> Option<usize> {
        let number = number?;
        self.open.iter().position(|open| open.requests.contains(&number))
    }

    /// Symbols that a refusal names: in a field of its own, or in its text.
    fn named(&self, refusal: &Refusal) -> Vec<u32> {
        if let Some(place) = refusal.symbol.as_deref().and_then(|name| self.place(name)) {
            return vec![place];
        }
        let said = refusal.said.replace("\\/", "/");
        let names = self.listings.iter().zip(0..);
        names.filter(|(l, _)| mentions(&said, &l.symbol)).map(|(_, place)| place).collect()
    }

    fn on_named(&mut self, named: Vec<u32>, refusal: &Refusal) {
        let asked = |place: &u32| self.standing[*place as usize] == Standing::Asked;
        let pending: Vec<u32> = named.iter().copied().filter(asked).collect();
        if pending.is_empty() {
            // The venue withdraws what it had confirmed, or says again what is known.
            let confirmed = |place: &u32| self.standing[*place as usize] == Standing::Confirmed;
            let withdrawn: Vec<u32> = named.into_iter().filter(confirmed).collect();
            withdrawn.into_iter().for_each(|place| self.refuse(place, refusal.said.clone()));
            return;
        }
        let at = self.open.iter().position(|open| open.places.contains(&pending[0]));
        let Some(at) = at.filter(|_| self.refused_by == RefusedBy::Message) else {
            pending.into_iter().for_each(|place| self.refuse(place, refusal.said.clone()));
            return;
        };
        // A refusal that names everything that was asked for says nothing about which one is meant.
        let rest = self.still_asked(&self.open[at].places);
        if pending.len() > 1 && rest.iter().all(|place| pending.contains(place)) {
            return self.halve(at, refusal);
        }
        self.close_refused(at, refusal);
        let rest: Vec<u32> = rest.into_iter().filter(|place| !pending.contains(place)).collect();
        pending.into_iter().for_each(|place| self.refuse(place, refusal.said.clone()));
        self.ask_first(rest);
    }

    fn on_unnamed(&mut self, refusal: &Refusal) -> Concerns {
        match self.open_of(refusal.request).or(self.only_open(refusal)) {
            Some(at) => {
                let asked = self.still_asked(&self.open[at].places);
                if let [place] = asked[..] {
                    self.close_refused(at, refusal);
                    self.refuse(place, refusal.said.clone());
                } else {
                    self.halve(at, refusal);
                }
            }
            None if self.open.is_empty() => return Concerns::Nothing,
            // Of a message that is over.
            None if refusal.request.is_some() => {}
            // It may be about any of them; the others' answers are still to come.
            None => {
                self.echoes += self.open.len() as u64 - 1;
                (0..self.open.len()).rev().for_each(|at| self.halve(at, refusal));
            }
        }
        Concerns::Us
    }

    fn on_already(&mut self, named: &[u32], refusal: &Refusal) -> Concerns {
        named.iter().for_each(|place| self.confirm(*place));
        if let Some(at) = self.open_of(refusal.request).or(self.only_open(refusal)) {
            match (named.is_empty(), self.refused_by) {
                (true, _) => self.confirm_request(refusal.request),
                // The others of the message were not looked at.
                (false, RefusedBy::Message) => {
                    let rest = self.still_asked(&self.open[at].places);
                    self.close_refused(at, refusal);
                    self.ask_first(rest);
                }
                (false, RefusedBy::Symbol) => {}
            }
        }
        self.close_answered();
        Concerns::Us
    }

    /// The only message that is not answered, for an answer without a number.
    fn only_open(&self, refusal: &Refusal) -> Option<usize> {
        (self.open.len() == 1 && refusal.request.is_none()).then_some(0)
    }

    fn still_asked(&self, places: &[u32]) -> Vec<u32> {
        let asked = |place: &u32| self.standing[*place as usize] == Standing::Asked;
        places.iter().copied().filter(asked).collect()
    }

    /// A message is over; its other requests will be refused too.
    fn close_refused(&mut self, at: usize, refusal: &Refusal) {
        let open = self.open.remove(at);
        self.echoes += (open.requests.end - open.requests.start).saturating_sub(open.answered + 1);
        self.echo.clone_from(&refusal.said);
    }

    /// Asks for the symbols of a refused message in two, one after the other.
    fn halve(&mut self, at: usize, refusal: &Refusal) {
        self.careful = true;
        let places = self.still_asked(&self.open[at].places);
        self.close_refused(at, refusal);
        let (first, second) = places.split_at(places.len() / 2);
        self.ask_first(second.to_vec());
        self.ask_first(first.to_vec());
    }

    fn ask_first(&mut self, places: Vec<u32>) {
        for place in &places {
            self.standing[*place as usize] = Standing::Waiting;
        }
        if !places.is_empty() {
            self.waiting.push_front(places);
        }
    }

    fn close_answered(&mut self) {
        let standing = &self.standing;
        let is = |place: &u32, wanted| standing[*place as usize] == wanted;
        self.open.retain(|open| open.places.iter().any(|place| is(place, Standing::Asked)));
        // A late answer to an earlier message may have come for what waits to be asked again.
        for places in &mut self.waiting {
            places.retain(|place| is(place, Standing::Waiting));
        }
        self.waiting.retain(|places| !places.is_empty());
    }
}

/// Whether a text has a symbol as a word of its own.
fn mentions(text: &str, symbol: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '/');
    text.match_indices(symbol).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + symbol.len()..].chars().next();
        !symbol.is_empty() && !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
#[path = "subscriptions_tests.rs"]
mod tests;

//! Carries out the subscriptions of one connection: what to send, what came of it, what to ask again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Session;
use super::end::End;
use super::subscriptions::{Concerns, Outcome, Subscriptions};
use crate::feeds::print::{FrameKind, Ids, Listing};

/// How long confirmed symbols wait for the answers about the others before the connection counts as up.
const UP_ANYWAY: Duration = Duration::from_secs(2);

/// The slots that a connection carries, seen by its supervisor as well.
#[derive(Debug, Default)]
pub(super) struct Carried {
    slots: RefCell<Vec<u32>>,
    /// Another connection has taken over: what this one still hears is a bonus.
    over: Cell<bool>,
}

impl Carried {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.borrow().len()
    }

    /// The end: those that it carried.
    pub(super) fn end(&self) -> Vec<u32> {
        self.over.set(true);
        self.slots.take()
    }
}

/// The subscriptions of one connection.
pub(super) struct Subscriber<'a> {
    session: &'a Session,
    slots: &'a [u32],
    listings: Arc<[Listing]>,
    subscriptions: Subscriptions,
    carried: Rc<Carried>,
    /// Told when the connection is up.
    up: Option<oneshot::Sender<()>>,
    /// Confirmed while it is not.
    fresh: Vec<u32>,
    began: Instant,
    /// The venue's words about the first symbol that it refused.
    refusal: Option<String>,
}

impl<'a> Subscriber<'a> {
    pub(super) fn new(
        session: &'a Session,
        slots: &'a [u32],
        listings: Arc<[Listing]>,
        carried: Rc<Carried>,
        up: Option<oneshot::Sender<()>>,
    ) -> Self {
        let venue = &session.plan.venue;
        let mut subscriptions = Subscriptions::new(Arc::clone(&listings), venue.refused_by());
        let wanted = session.roster.borrow().to_ask(slots);
        let places = slots.iter().zip(0..).filter(|(slot, _)| wanted.contains(slot));
        let places: Vec<u32> = places.map(|(_, place)| place).collect();
        let together = match venue.acknowledges() {
            true => venue.limits().symbols_per_message.max(1),
            // The path subscribes them all.
            false => places.len().max(1),
        };
        places.chunks(together).for_each(|places| subscriptions.ask(places.to_vec()));
        let (fresh, began, refusal) = (Vec::new(), Instant::now(), None);
        Self { session, slots, listings, subscriptions, carried, up, fresh, began, refusal }
    }

    /// The messages to send next, if there are any.
    pub(super) fn messages(&mut self, now: Instant) -> Vec<String> {
        let Some(places) = self.subscriptions.next() else { return Vec::new() };
        let plan = &self.session.plan;
        let listing = |place: &u32| self.listings[*place as usize].clone();
        let listings: Vec<Listing> = places.iter().map(listing).collect();
        let mut requests = self.session.requests.borrow_mut();
        let first = *requests;
        let messages = plan.venue.subscribe(plan.channel, &listings, first);
        *requests += messages.len() as u64;
        self.subscriptions.sent(places, first..*requests, plan.venue.acknowledges(), now);
        messages
    }

    /// Takes what a frame says about subscriptions.
    pub(super) fn take(&mut self, heard: &FrameKind, now: Instant) {
        match heard {
            FrameKind::Acknowledged(acknowledged) => {
                self.subscriptions.on_acknowledged(acknowledged, now);
            }
            FrameKind::Refused(refusal)
                if self.subscriptions.on_refused(refusal) == Concerns::Nothing =>
            {
                let (feed, said) = (&self.session.plan.name, &refusal.said);
                tracing::warn!(%feed, said, "the venue reports an error; the connection is kept");
            }
            _ => {}
        }
    }

    /// Acts on what has become of the symbols.
    ///
    /// # Errors
    /// When the venue refuses all of them.
    pub(super) fn settle(&mut self, now: Instant) -> Result<(), End> {
        for outcome in self.subscriptions.take_outcomes() {
            match outcome {
                Outcome::Confirmed(place) => {
                    let slot = self.slots[place as usize];
                    // Where subscriptions are not answered, only a trade shows that the venue has it.
                    if self.session.plan.venue.acknowledges() {
                        self.session.accept(slot);
                    }
                    match self.up {
                        Some(_) => self.fresh.push(slot),
                        None => self.carry(&[slot]),
                    }
                }
                Outcome::Refused(place, said) => self.refuse(self.slots[place as usize], said),
            }
        }
        if self.up.is_none() {
            return Ok(());
        }
        let settled = self.subscriptions.is_settled();
        if !self.fresh.is_empty() && (settled || now >= self.began + UP_ANYWAY) {
            let fresh = std::mem::take(&mut self.fresh);
            self.carry(&fresh);
            if let Some(up) = self.up.take() {
                let _ = up.send(());
            }
        } else if settled && self.fresh.is_empty() {
            return Err(End::Refused(self.refusal.take().unwrap_or_default()));
        }
        Ok(())
    }

    /// Looks after what is not answered, and asks again for what was refused.
    ///
    /// # Errors
    /// When the venue has answered nothing at all.
    pub(super) fn on_time(&mut self, now: Instant) -> Result<(), End> {
        if self.subscriptions.is_overdue(now) {
            if self.subscriptions.confirmed() == 0 {
                return Err(End::Unconfirmed { wanted: self.subscriptions.wanted() });
            }
            self.subscriptions.give_up_overdue(now);
        }
        if self.up.is_none() {
            for (place, again) in self.to_ask_again() {
                if again.is_none_or(|again| now >= again) {
                    self.session.begins(&[self.slots[place as usize]]);
                    self.subscriptions.ask(vec![place]);
                }
            }
        }
        Ok(())
    }

    /// When the next of these is due; none if nothing is to be done without an answer.
    pub(super) fn wake(&self) -> Option<Instant> {
        let retries = self.to_ask_again().into_iter().map(|(_, again)| again.unwrap_or(self.began));
        let up = (self.up.is_some() && !self.fresh.is_empty()).then_some(self.began + UP_ANYWAY);
        retries.chain(self.subscriptions.deadline()).chain(up).min()
    }

    /// Whether a message waits to be sent.
    pub(super) fn has_next(&self) -> bool {
        self.subscriptions.has_next()
    }

    /// Refused symbols that are still wanted, and when to ask for them; none: at once.
    fn to_ask_again(&self) -> Vec<(u32, Option<Instant>)> {
        if self.up.is_some() || !self.session.plan.venue.acknowledges() {
            return Vec::new();
        }
        let refused = self.subscriptions.refused();
        let mut places = refused.map(|place| (place, self.slots[place as usize])).peekable();
        if places.peek().is_none() {
            return Vec::new();
        }
        let (state, roster) = (self.session.state.borrow(), self.session.roster.borrow());
        let wanted = places.filter(|(_, slot)| state.is_active(*slot));
        wanted.map(|(place, slot)| (place, roster.again(slot))).collect()
    }

    fn carry(&self, slots: &[u32]) {
        if self.carried.over.get() {
            return;
        }
        self.carried.slots.borrow_mut().extend(slots);
        self.session.carry(slots);
    }

    fn refuse(&mut self, slot: u32, said: String) {
        self.fresh.retain(|fresh| *fresh != slot);
        let mut carried = self.carried.slots.borrow_mut();
        if let Some(at) = carried.iter().position(|carried| *carried == slot) {
            carried.swap_remove(at);
            self.session.drop_carried(&[slot]);
        }
        self.session.refuse(slot, &said);
        self.refusal.get_or_insert(said);
    }
}

impl Session {
    /// A connection begins to listen to these: what it brings may be ahead of what another one still
    /// has to deliver, where nothing numbers the trades.
    pub(super) fn begins(&self, slots: &[u32]) {
        if self.plan.venue.ids(self.plan.channel) == Ids::Names {
            self.state.borrow_mut().on_disconnect(slots);
        }
    }

    /// A connection carries these from now on.
    fn carry(&self, slots: &[u32]) {
        let fresh = self.roster.borrow_mut().carry(slots);
        let (mut state, now) = (self.state.borrow_mut(), Instant::now());
        state.on_subscribed(slots, now);
        // No connection carried them until now: trades may have been missed.
        state.on_reconnect(&fresh, now);
    }

    /// A connection carries these no longer.
    pub(super) fn drop_carried(&self, slots: &[u32]) {
        let lost = self.roster.borrow_mut().drop(slots);
        self.state.borrow_mut().on_disconnect(&lost);
    }

    /// A connection that did not come up made prints without numbers wait: another one may be there to
    /// end that.
    pub(super) fn listened(&self, slots: &[u32]) {
        let roster = self.roster.borrow();
        let carried: Vec<u32> = slots.iter().copied().filter(|s| roster.is_carried(*s)).collect();
        self.state.borrow_mut().on_subscribed(&carried, Instant::now());
    }

    /// The venue refuses an instrument: it is set aside, the others are heard.
    fn refuse(&self, slot: u32, said: &str) {
        let before = self.roster.borrow().again(slot).is_some();
        let wait = self.roster.borrow_mut().refuse(slot, said, Instant::now());
        self.listened(&[slot]);
        let Some(wait) = wait else { return };
        let mut state = self.state.borrow_mut();
        state.counters.refusals += 1;
        let (feed, instrument) = (&self.plan.name, state.symbol(slot).instrument.clone());
        self.show_refused(&instrument, true);
        match before {
            false => tracing::error!(
                %feed, %instrument, said, again_in = ?wait,
                "the venue refuses this instrument; the others continue"
            ),
            true => tracing::warn!(
                %feed, %instrument, said, again_in = ?wait, "the venue still refuses this instrument"
            ),
        }
    }

    /// The venue takes an instrument.
    pub(super) fn accept(&self, slot: u32) {
        if self.roster.borrow_mut().accept(slot) {
            let instrument = self.state.borrow().symbol(slot).instrument.clone();
            self.show_refused(&instrument, false);
            let feed = &self.plan.name;
            tracing::info!(%feed, %instrument, "the venue takes an instrument that it had refused");
        }
    }
}

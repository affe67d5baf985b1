//! Whether the venue has the instruments at all, where it takes subscriptions to anything: its REST is asked
//! once for all symbols that there are.
//!
//! What REST does not list is set aside like a refused instrument; a trade of it puts it back. A list
//! that cannot be had, or read, says nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tokio::sync::mpsc;

use super::Session;
use super::backfill::{Fetched, TIMEOUT, fetch};
use super::supervisor::Fault;

/// What the venue lists, or why that is not known.
pub(super) type Listed = Result<BTreeSet<String>, String>;

impl Session {
    /// Requests the list, unless the venue answers subscriptions; it comes out of the other end of `to`.
    pub(super) fn request_list(&self, to: &mpsc::UnboundedSender<Listed>) {
        let plan = &self.plan;
        // Where only one of the addresses is the user's, REST may be another exchange's.
        let is_of_one_venue = plan.websocket.is_some() == plan.rest.is_some();
        let Some(request) = plan.venue.symbols_request().filter(|_| is_of_one_venue) else {
            return;
        };
        let (plan, access, to) = (Arc::clone(plan), self.access.clone(), to.clone());
        let asking = thread::Builder::new().name(format!("list {}", plan.name)).spawn(move || {
            let url = access.rest().below(&request.path);
            let agent = access.agent(TIMEOUT);
            let listed = match fetch(&agent, &plan, access.api_key(), &url) {
                Fetched::Body(body) => {
                    plan.venue.read_symbols(&body).map_err(|bad| bad.to_string())
                }
                Fetched::Refused(why, _) | Fetched::Failed(why) | Fetched::Unreachable(why) => {
                    Err(why)
                }
            };
            // The feed may have ended.
            let _ = to.send(listed);
        });
        if asking.is_ok() {
            self.lists_awaited.set(self.lists_awaited.get() + 1);
        }
    }

    /// Takes a list: what is not in it, and has brought nothing, is set aside.
    pub(super) fn on_list(&self, listed: Listed) {
        self.lists_awaited.set(self.lists_awaited.get().saturating_sub(1));
        let feed = &self.plan.name;
        let symbols = match listed {
            Ok(symbols) => symbols,
            Err(why) => {
                tracing::debug!(%feed, why, "the venue's list of symbols is not known");
                return;
            }
        };
        let state = self.state.borrow();
        let mut unlisted = state.active();
        unlisted.retain(|(slot, _)| {
            !symbols.contains(&state.symbol(*slot).listing.symbol) && !state.has_been_heard(*slot)
        });
        drop(state);
        for (slot, instrument) in unlisted {
            const SAID: &str = "not among the symbols that its REST lists";
            self.roster.borrow_mut().refuse(slot, SAID, Instant::now());
            self.state.borrow_mut().counters.refusals += 1;
            self.show_refused(&instrument, true);
            tracing::error!(
                %feed, %instrument,
                "the venue does not list this instrument; the others continue, and a trade of it would count"
            );
        }
    }

    /// Instruments that were not listed and bring trades after all are taken.
    pub(super) fn take_heard(&self) {
        if self.plan.venue.acknowledges() {
            return;
        }
        let roster = self.roster.borrow();
        let refused = roster.refused().map(|(slot, _)| slot);
        let heard: Vec<u32> =
            refused.filter(|slot| self.state.borrow().has_been_heard(*slot)).collect();
        drop(roster);
        heard.into_iter().for_each(|slot| self.accept(slot));
    }

    /// Why the feed is of no use, if the venue lists none of its instruments.
    pub(super) fn nothing_listed(&self) -> Option<Fault> {
        if self.plan.venue.acknowledges() {
            return None;
        }
        let (roster, state) = (self.roster.borrow(), self.state.borrow());
        let refused = roster.refused().count();
        (refused > 0 && refused >= state.wanted()).then(|| {
            let names: Vec<String> = roster
                .refused()
                .take(5)
                .map(|(slot, _)| state.symbol(slot).listing.symbol.clone())
                .collect();
            let more = if refused > names.len() { ", …" } else { "" };
            Fault {
                feed: self.plan.name.clone(),
                what: format!("the venue lists none of its symbols: {}{more}", names.join(", ")),
                hint: "check the instruments of this feed",
                configured: true,
            }
        })
    }
}

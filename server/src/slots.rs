//! Which connection gives way to which: a limited number of slots, without sockets and without a clock.

use std::collections::BTreeMap;

/// A connection, for as long as it has its slot.
pub(crate) type Id = u64;

/// What a connection does with its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// It waits for a request; the number says since when.
    Waits(u64),
    /// It answers one.
    Answers,
    /// It was told to give way.
    Closes,
}

/// What a new connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotDecision {
    /// This slot is its own.
    Take(Id),
    /// All slots are taken: this one, the one that has waited longest, is to be told to give way.
    Evict(Id),
    /// All slots are taken by connections that answer or close: wait until one is free.
    Wait,
}

/// The slots.
#[derive(Debug)]
pub(crate) struct Slots {
    most: usize,
    /// Counts everything that happens.
    ticks: u64,
    taken: BTreeMap<Id, Use>,
}

impl Slots {
    /// This many, at least one.
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), ticks: 0, taken: BTreeMap::new() }
    }

    /// A new connection asks for a slot.
    pub(crate) fn ask(&mut self) -> SlotDecision {
        self.ticks += 1;
        if self.taken.len() < self.most {
            self.taken.insert(self.ticks, Use::Waits(self.ticks));
            return SlotDecision::Take(self.ticks);
        }
        if self.taken.values().any(|usage| *usage == Use::Closes) {
            return SlotDecision::Wait;
        }
        let waiting = self.taken.iter_mut().filter_map(|(id, usage)| match usage {
            Use::Waits(since) => Some((*since, *id, usage)),
            Use::Answers | Use::Closes => None,
        });
        match waiting.min_by_key(|(since, ..)| *since) {
            Some((_, id, usage)) => {
                *usage = Use::Closes;
                SlotDecision::Evict(id)
            }
            None => SlotDecision::Wait,
        }
    }

    /// A request has come.
    pub(crate) fn begin(&mut self, id: Id) {
        if let Some(usage @ Use::Waits(_)) = self.taken.get_mut(&id) {
            *usage = Use::Answers;
        }
    }

    /// It is answered.
    pub(crate) fn end(&mut self, id: Id) {
        self.ticks += 1;
        if let Some(usage @ Use::Answers) = self.taken.get_mut(&id) {
            *usage = Use::Waits(self.ticks);
        }
    }

    /// The connection is gone.
    pub(crate) fn free(&mut self, id: Id) {
        self.taken.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_one_that_waits_longest_gives_way_and_those_that_answer_stay() {
        let mut slots = Slots::new(3);
        assert_eq!([slots.ask(), slots.ask(), slots.ask()], [1, 2, 3].map(SlotDecision::Take));
        slots.begin(1);
        assert_eq!(slots.ask(), SlotDecision::Evict(2));
        // Nobody else is sent away for the same newcomer.
        assert_eq!(slots.ask(), SlotDecision::Wait);
        slots.free(2);
        assert_eq!(slots.ask(), SlotDecision::Take(6));
        slots.end(1);
        // One that was answered lately has not waited long.
        assert_eq!(slots.ask(), SlotDecision::Evict(3));
        slots.free(3);
        let SlotDecision::Take(last) = slots.ask() else { panic!("one was free") };
        for id in [1, 6, last] {
            slots.begin(id);
        }
        assert_eq!(slots.ask(), SlotDecision::Wait);
    }

    proptest! {
        /// Never more than the limit; only connections that wait are sent away, one at a time; when all have gone,
        /// all slots are free.
        #[test]
        fn no_order_of_events_takes_more_than_the_limit(
            most in 1_usize..5,
            events in prop::collection::vec((0_u8..4, 0_usize..8), 0..200),
        ) {
            let mut slots = Slots::new(most);
            let mut open: Vec<(Id, bool, bool)> = Vec::new();
            for (event, which) in events {
                let at = (!open.is_empty()).then(|| which % open.len().max(1));
                match (event, at) {
                    (0, _) => match slots.ask() {
                        SlotDecision::Take(id) => open.push((id, false, false)),
                        SlotDecision::Evict(id) => {
                            prop_assert_eq!(open.len(), most);
                            prop_assert!(open.iter().all(|(_, _, closes)| !closes));
                            let found = open.iter_mut().find(|(open, ..)| *open == id).unwrap();
                            prop_assert!(!found.1);
                            found.2 = true;
                        }
                        SlotDecision::Wait => {
                            prop_assert_eq!(open.len(), most);
                            let closes = open.iter().any(|(_, _, closes)| *closes);
                            prop_assert!(closes || open.iter().all(|(_, answers, _)| *answers));
                        }
                    },
                    (1, Some(at)) => {
                        slots.begin(open[at].0);
                        open[at].1 = true;
                    }
                    (2, Some(at)) => {
                        slots.end(open[at].0);
                        open[at].1 = false;
                    }
                    (3, Some(at)) => slots.free(open.remove(at).0),
                    _ => {}
                }
                prop_assert!(open.len() <= most);
            }
            for (id, ..) in open {
                slots.free(id);
            }
            for _ in 0..most {
                prop_assert!(matches!(slots.ask(), SlotDecision::Take(_)));
            }
        }
    }
}

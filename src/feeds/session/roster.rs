//! Which instruments of a feed are carried by a connection, and which the venue refuses.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Between a refusal and the next attempt: the first, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// An instrument that the venue refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The venue's words.
    pub(super) said: String,
    failures: u32,
    again: Instant,
}

/// All instruments of a feed, by slot. No clock: times come in.
#[derive(Debug, Default)]
pub(super) struct Roster {
    carriers: BTreeMap<u32, u32>,
    refused: BTreeMap<u32, Refused>,
}

impl Roster {
    /// One more connection carries these; returns those that none carried before.
    pub(super) fn carry(&mut self, slots: &[u32]) -> Vec<u32> {
        let mut fresh = Vec::new();
        for slot in slots {
            let carriers = self.carriers.entry(*slot).or_insert(0);
            *carriers += 1;
            if *carriers == 1 {
                fresh.push(*slot);
            }
        }
        fresh
    }

    /// One connection fewer carries these; returns those that none carries any more.
    pub(super) fn drop(&mut self, slots: &[u32]) -> Vec<u32> {
        let mut lost = Vec::new();
        for slot in slots {
            if let Some(carriers) = self.carriers.get_mut(slot) {
                *carriers = carriers.saturating_sub(1);
                if *carriers == 0 {
                    self.carriers.remove(slot);
                    lost.push(*slot);
                }
            }
        }
        lost
    }

    /// Whether any connection carries it.
    pub(super) fn is_carried(&self, slot: u32) -> bool {
        self.carriers.contains_key(&slot)
    }

    /// The venue refuses an instrument. Returns how long to wait before the next attempt; none if that
    /// was settled before, by another connection.
    pub(super) fn refuse(&mut self, slot: u32, said: &str, now: Instant) -> Option<Duration> {
        let before = self.refused.get(&slot);
        if before.is_some_and(|before| now < before.again) {
            return None;
        }
        let failures = before.map_or(0, |before| before.failures);
        let wait = WAITS.0.saturating_mul(1 << failures.min(16)).min(WAITS.1);
        let refused = Refused { said: said.to_owned(), failures: failures + 1, again: now + wait };
        self.refused.insert(slot, refused);
        Some(wait)
    }

    /// The venue takes an instrument, or nobody wants it any more; whether it was refused before.
    pub(super) fn accept(&mut self, slot: u32) -> bool {
        self.refused.remove(&slot).is_some()
    }

    /// The instruments that are refused.
    pub(super) fn refused(&self) -> impl Iterator<Item = (u32, &Refused)> {
        self.refused.iter().map(|(slot, refused)| (*slot, refused))
    }

    /// When to ask for an instrument again; none if it is not refused.
    pub(super) fn again(&self, slot: u32) -> Option<Instant> {
        self.refused.get(&slot).map(|refused| refused.again)
    }

    /// Which of these to ask for now: all but those that are refused, or all if there are no others.
    pub(super) fn to_ask(&self, slots: &[u32]) -> Vec<u32> {
        let taken = |slot: &u32| !self.refused.contains_key(slot);
        let some: Vec<u32> = slots.iter().copied().filter(taken).collect();
        if some.is_empty() { slots.to_vec() } else { some }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_instrument_is_asked_for_less_and_less_often_until_it_is_taken() {
        let (mut roster, mut now) = (Roster::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..8 {
            let wait = roster.refuse(3, "no", now).unwrap_or_default();
            // Another connection is told the same.
            assert_eq!(roster.refuse(3, "no", now), None);
            assert_eq!(roster.again(3), Some(now + wait));
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!((roster.to_ask(&[1, 3]), roster.to_ask(&[3])), (vec![1], vec![3]));
        assert!(roster.accept(3) && !roster.accept(3));
        assert_eq!(roster.refuse(3, "no", now), Some(WAITS.0));
    }

    #[test]
    fn an_instrument_is_lost_with_its_last_connection() {
        let mut roster = Roster::default();
        assert_eq!(roster.carry(&[1, 2]), [1, 2]);
        assert_eq!(roster.carry(&[2, 3]), [3]);
        assert_eq!(roster.drop(&[1, 2]), [1]);
        assert!(roster.is_carried(2) && !roster.is_carried(1));
        assert_eq!(roster.drop(&[2, 3]), [2, 3]);
        assert!(roster.drop(&[2]).is_empty());
    }
}

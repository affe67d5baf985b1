//! How much may wait between two threads, where the number of items says little about their size.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What waits, and the most that may; one item may exceed it alone. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    shared: Arc<(Mutex<Waiting>, Condvar)>,
    most: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    size: usize,
    /// Nothing is taken any more.
    closed: bool,
}

impl Waiting {
    fn has_room(&self, size: usize, most: usize) -> bool {
        self.closed || self.size == 0 || self.size.saturating_add(size) <= most
    }
}

impl Budget {
    /// For items that together may be so large.
    pub fn new(most: usize) -> Self {
        Self { shared: Arc::default(), most }
    }

    /// Adds an item, waiting while too much is there.
    pub fn enter(&self, size: usize) {
        let (waiting, freed) = &*self.shared;
        // Counters only: they are as they should be whatever panicked.
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let free = freed.wait_while(waiting, |waiting| !waiting.has_room(size, self.most));
        free.unwrap_or_else(PoisonError::into_inner).size += size;
    }

    /// As [`enter`](Self::enter), but gives up after `timeout`: false.
    pub fn enter_within(&self, size: usize, timeout: Duration) -> bool {
        let (waiting, freed) = &*self.shared;
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |waiting: &mut Waiting| !waiting.has_room(size, self.most);
        let free = freed.wait_timeout_while(waiting, timeout, is_full);
        let (mut waiting, result) = free.unwrap_or_else(PoisonError::into_inner);
        if !result.timed_out() {
            waiting.size += size;
        }
        !result.timed_out()
    }

    /// An item was taken.
    pub fn leave(&self, size: usize) {
        self.change(|waiting| waiting.size = waiting.size.saturating_sub(size));
    }

    /// Nobody has to wait any more once this is dropped, however the thread ends that takes items.
    pub fn until_dropped(&self) -> Closing {
        Closing(self.clone())
    }

    fn change(&self, how: impl FnOnce(&mut Waiting)) {
        let (waiting, freed) = &*self.shared;
        how(&mut waiting.lock().unwrap_or_else(PoisonError::into_inner));
        freed.notify_all();
    }
}

/// Ends all waiting when it is dropped.
#[derive(Debug)]
pub struct Closing(Budget);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.change(|waiting| waiting.closed = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 100;

    #[test]
    fn an_item_waits_for_those_before_it_unless_it_is_alone() {
        let waiting = |size, closed| Waiting { size, closed };
        assert!(waiting(0, false).has_room(10 * MOST, MOST));
        assert!(waiting(95, false).has_room(5, MOST));
        assert!(!waiting(95, false).has_room(6, MOST));
        assert!(!waiting(95, false).has_room(usize::MAX, MOST));
        assert!(waiting(MOST, true).has_room(6, MOST), "nobody waits for what takes nothing");
    }

    #[test]
    fn an_item_that_waits_is_let_in_when_another_leaves_or_nothing_is_taken_any_more() {
        let leave: fn(&Budget) = |budget| budget.leave(MOST);
        let close: fn(&Budget) = |budget| drop(budget.until_dropped());
        for release in [leave, close] {
            let budget = Budget::new(MOST);
            budget.enter(MOST);
            assert!(!budget.enter_within(1, Duration::ZERO));
            std::thread::scope(|threads| {
                let waiting = threads.spawn(|| budget.enter(1));
                release(&budget);
                waiting.join().unwrap();
            });
        }
    }
}

//! How far a topic is read: to where it ended when reading began. Others may write to it faster than an
//! end comes in sight.

use std::collections::BTreeMap;

/// Partitions that are still read, and where each ended.
#[derive(Debug, Default)]
pub(crate) struct Ends(BTreeMap<i32, i64>);

impl Ends {
    /// Reads a partition whose records are `low..end`; false if there is nothing to read.
    pub(crate) fn add(&mut self, partition: i32, low: i64, end: i64) -> bool {
        low < end && self.0.insert(partition, end).is_none()
    }

    /// Whether everything is read.
    pub(crate) fn are_reached(&self) -> bool {
        self.0.is_empty()
    }

    /// A record came; whether it was there when reading began.
    pub(crate) fn take(&mut self, partition: i32, offset: i64) -> bool {
        let Some(end) = self.0.get(&partition).copied() else { return false };
        // The last records may be marks of transactions, which nobody is shown.
        if offset + 1 >= end {
            self.0.remove(&partition);
        }
        offset < end
    }

    /// The partition has nothing more for now.
    pub(crate) fn reach(&mut self, partition: i32) {
        self.0.remove(&partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_grows_is_read_to_where_it_ended() {
        let mut ends = Ends::default();
        assert!(ends.add(0, 3, 10) && ends.add(1, 0, 5) && !ends.add(2, 7, 7));
        assert!(ends.take(0, 8) && ends.take(0, 9), "its last record");
        assert!(!ends.take(0, 10) && !ends.are_reached());
        // The last one before its end was a mark.
        assert!(ends.take(1, 3) && !ends.take(1, 5));
        assert!(ends.are_reached());
        assert!(ends.add(3, 0, 2));
        ends.reach(3);
        assert!(ends.are_reached() && !ends.take(3, 1));
    }
}

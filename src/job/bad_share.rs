//! An input most of whose rows are bad is not the input that somebody meant: a run that has set most
//! of it aside stops and says so, instead of reading it to its end.

use std::sync::atomic::{AtomicU64, Ordering};

use barflow_replay::progress::Progress;

use crate::config::max_bad::MaxBad;
use crate::thousands::grouped;

/// Counts the bad rows of a run beside those that were read.
#[derive(Debug)]
pub(super) struct BadShare {
    most: MaxBad,
    bad: AtomicU64,
    /// Counts the other rows. Readers are ahead, so that it is too high by some batches, never too low.
    read: Progress,
}

impl BadShare {
    pub(super) fn new(most: MaxBad, read: Progress) -> Self {
        Self { most, bad: AtomicU64::new(0), read }
    }

    /// Counts a bad row: an error if there are too many now.
    pub(super) fn add(&self) -> Result<(), MostlyBad> {
        let bad = self.bad.fetch_add(1, Ordering::Relaxed) + 1;
        let others = self.read.rows();
        match self.most.is_exceeded(bad, others) {
            true => Err(MostlyBad { bad, rows: bad + others, most: self.most }),
            false => Ok(()),
        }
    }
}

/// More rows are bad than the run accepts.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "{} of the {} rows read so far are bad, which is more than {most}", grouped(*bad), grouped(*rows)
)]
pub struct MostlyBad {
    /// Bad rows.
    pub bad: u64,
    /// All rows.
    pub rows: u64,
    /// The largest share accepted.
    pub most: MaxBad,
}

#[cfg(test)]
mod tests {
    use crate::config::max_bad::FEWEST;

    use super::*;

    #[test]
    fn the_row_that_is_one_too_many_is_the_error() {
        let read = Progress::default();
        read.add_rows(FEWEST);
        let share = BadShare::new(MaxBad::default(), read);
        let failed = (1..=FEWEST + 1).position(|_| share.add().is_err());
        assert_eq!(failed, Some(FEWEST as usize));
    }
}

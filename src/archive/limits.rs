//! How much a server may send, how slowly, and how often it is asked for one file. Pure: no clock, no
//! network.

use std::fmt;
use std::time::Duration;

/// Bytes a second below which a transfer counts as standing still.
pub const FLOOR: u64 = 100;

/// How much of a file has to come for one more attempt.
const GROWTH: u64 = 1 << 20;

/// The largest size that a file may have, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeLimit {
    /// The archive lists so many bytes.
    Listed(u64),
    /// It lists none, or more than anybody wants.
    Ceiling(u64),
}

impl SizeLimit {
    /// Of a file that is listed so, under a ceiling for all.
    pub fn of(listed: Option<u64>, ceiling: u64) -> Self {
        match listed {
            Some(bytes) if bytes <= ceiling => Self::Listed(bytes),
            _ => Self::Ceiling(ceiling),
        }
    }

    /// The largest size.
    pub fn bytes(self) -> u64 {
        let (Self::Listed(bytes) | Self::Ceiling(bytes)) = self;
        bytes
    }
}

/// `the 48692 bytes that the archive lists`.
impl fmt::Display for SizeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(bytes) => write!(f, "the {bytes} bytes that the archive lists"),
            Self::Ceiling(bytes) => write!(f, "the {bytes} bytes that --max-file allows"),
        }
    }
}

/// Less than [`FLOOR`] came for a whole window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSlow {
    /// So many bytes,
    bytes: u64,
    /// in this time.
    within: Duration,
}

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, within } = self;
        write!(f, "too slow: {bytes} bytes within {within:.0?}, less than {FLOOR} bytes a second")
    }
}

/// Watches that a body does not stand still.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    window: Duration,
    begun: Duration,
    bytes: u64,
}

impl Pace {
    /// In every stretch of this length the floor has to be kept.
    pub fn over(window: Duration) -> Self {
        Self { window, begun: Duration::ZERO, bytes: 0 }
    }

    /// So many bytes came; `now` counts from the beginning of the body.
    ///
    /// # Errors
    /// When a window is over and too little came in it.
    pub fn came(&mut self, bytes: u64, now: Duration) -> Result<(), TooSlow> {
        self.bytes += bytes;
        let within = now.saturating_sub(self.begun);
        if within < self.window {
            return Ok(());
        }
        let wanted = u128::from(FLOOR) * within.as_millis() / 1000;
        if u128::from(self.bytes) < wanted {
            return Err(TooSlow { bytes: self.bytes, within });
        }
        (self.begun, self.bytes) = (now, 0);
        Ok(())
    }
}

/// Attempts for one file, however many requests they are: a failed one costs one, and only growth earns
/// others.
#[derive(Clone, Copy, Debug)]
pub struct Tries {
    most: u32,
    left: u32,
    failed: u32,
    reached: u64,
    earning: u64,
}

impl Tries {
    /// So many failed attempts.
    pub fn new(most: u32) -> Self {
        Self { most, left: most, failed: 0, reached: 0, earning: 0 }
    }

    /// The file has come to this size; whether it never was as long.
    pub fn reached(&mut self, bytes: u64) -> bool {
        let grown = bytes.saturating_sub(self.reached);
        self.reached += grown;
        self.earning += grown;
        let earned = u32::try_from(self.earning / GROWTH).unwrap_or(u32::MAX);
        self.earning %= GROWTH;
        self.left = self.left.saturating_add(earned).min(self.most);
        grown > 0
    }

    /// An attempt failed; whether another one is left.
    pub fn failed(&mut self) -> bool {
        self.failed += 1;
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }

    /// How many failed.
    pub fn failures(&self) -> u32 {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_limit_is_what_is_listed_up_to_the_ceiling() {
        assert_eq!(SizeLimit::of(Some(5), 10), SizeLimit::Listed(5));
        assert_eq!(SizeLimit::of(Some(11), 10), SizeLimit::Ceiling(10));
        assert_eq!(SizeLimit::of(None, 10).bytes(), 10);
    }

    #[test]
    fn a_body_that_comes_byte_by_byte_is_too_slow_and_one_that_keeps_the_floor_is_not() {
        let mut drip = Pace::over(SECOND * 60);
        let slow = (1..).find_map(|second| drip.came(2, SECOND * second).err());
        assert_eq!(slow, Some(TooSlow { bytes: 120, within: SECOND * 60 }));
        let mut steady = Pace::over(SECOND * 60);
        assert!((1..10_000).all(|second| steady.came(FLOOR, SECOND * second).is_ok()));
        // What came early does not excuse a window without anything.
        let mut stalls = Pace::over(SECOND * 60);
        assert!(stalls.came(1 << 30, SECOND * 60).is_ok());
        assert!(stalls.came(1, SECOND * 120).is_err());
    }

    #[test]
    fn a_range_that_begins_again_costs_tries_and_earns_none() {
        let mut tries = Tries::new(3);
        assert!(tries.reached(5 << 20));
        for left in [true, true, false] {
            assert!(!tries.reached(100) && !tries.reached(5 << 20));
            assert_eq!(tries.failed(), left);
        }
        let mut tries = Tries::new(3);
        assert!((1..100).all(|part| tries.reached(part << 20) && tries.failed()), "{tries:?}");
    }

    proptest! {
        #[test]
        fn a_file_of_a_size_ends_after_a_number_of_failures(
            most in 1u32..20,
            size in 0u64..64 << 20,
            parts in prop::collection::vec(0u64..64 << 20, 1..400),
        ) {
            let mut tries = Tries::new(most);
            for part in parts.iter().cycle().take(2_000) {
                tries.reached((*part).min(size));
                if !tries.failed() {
                    break;
                }
            }
            prop_assert!(u64::from(tries.failures()) <= u64::from(most) + size / GROWTH);
        }
    }
}

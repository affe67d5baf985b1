//! How long to wait before the next attempt.

use std::time::Duration;

/// Exponential backoff with full jitter: a wait drawn evenly from nothing to a bound that doubles
/// with each failure, so that many clients that lost a venue together do not come back together
/// (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits of at most `first` after one failure, doubling up to `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, failures: 0 }
    }

    /// Notes a failure and says how long to wait; `random` is drawn from \[0, 1).
    pub fn after_failure(&mut self, random: f64) -> Duration {
        let doubled =
            self.first.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.most).mul_f64(random.clamp(0.0, 1.0))
    }

    /// Notes a success: the next failure starts over.
    pub fn success(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_the_most_and_start_over_after_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<u128> = (0..6).map(|_| backoff.after_failure(1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        backoff.success();
        assert_eq!(backoff.after_failure(0.5).as_millis(), 50);
        let mut long = Backoff::new(Duration::from_millis(100), Duration::from_secs(60));
        assert!((0..100).all(|_| long.after_failure(0.999) <= Duration::from_secs(60)));
    }
}

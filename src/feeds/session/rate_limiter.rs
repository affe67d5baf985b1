//! Documented limits, kept: so many in so much time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Allows at most `count` units in any stretch of `per`.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    count: u32,
    per: Duration,
    spent: VecDeque<(Instant, u32)>,
}

impl RateLimiter {
    /// At most `count` (at least 1) in any stretch of `per`.
    pub fn new((count, per): (u32, Duration)) -> Self {
        Self { count: count.max(1), per, spent: VecDeque::new() }
    }

    /// Spends `weight` units and returns how long to wait before acting on it.
    pub fn spend(&mut self, weight: u32, now: Instant) -> Duration {
        while self.spent.front().is_some_and(|(at, _)| now >= *at + self.per) {
            self.spent.pop_front();
        }
        let wait = self.wait(weight, now);
        self.spent.push_back((now + wait, weight.clamp(1, self.count)));
        wait
    }

    /// How long to wait before `weight` units can be spent at once.
    pub fn wait(&self, weight: u32, now: Instant) -> Duration {
        let weight = weight.clamp(1, self.count);
        // Units are counted from when they are used, which may lie ahead.
        let mut at = self.spent.back().map_or(now, |(last, _)| now.max(*last));
        loop {
            let window = self.spent.iter().filter(|(used, _)| *used + self.per > at);
            let used: u32 = window.clone().map(|(_, weight)| weight).sum();
            if used + weight <= self.count {
                break;
            }
            match window.map(|(used, _)| *used + self.per).min() {
                Some(free) => at = free,
                None => break,
            }
        }
        at.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_stretch_of_time_sees_more_than_is_allowed(
            count in 1u32..8,
            steps in proptest::collection::vec((0u64..300, 1u32..4), 1..60),
        ) {
            let per = Duration::from_millis(1000);
            let mut rate_limiter = RateLimiter::new((count, per));
            let start = Instant::now();
            let mut now = start;
            let mut used: Vec<(Instant, u32)> = Vec::new();
            for (pause, weight) in steps {
                now += Duration::from_millis(pause);
                used.push((now + rate_limiter.spend(weight, now), weight.min(count)));
            }
            for (at, _) in &used {
                let inside = used.iter().filter(|(t, _)| *t <= *at && *t + per > *at);
                prop_assert!(inside.map(|(_, weight)| weight).sum::<u32>() <= count);
            }
        }
    }
}

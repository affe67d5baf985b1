//! How long to wait before the next attempt.

use std::time::{Duration, SystemTime};

use ureq::http::HeaderMap;
use ureq::http::header::RETRY_AFTER;

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

/// How long a server asks to wait, by its `Retry-After`: seconds, or a date (RFC 9110 §10.2.3). A
/// date that has passed asks for no wait.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            Some(date.duration_since(now).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_ask_for_a_wait_in_seconds_or_with_a_date_of_any_form() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_700);
        let asked = |text: &str| {
            let value = text.parse().unwrap();
            retry_after(&[(RETRY_AFTER, value)].into_iter().collect(), now)
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(asked("120"), seconds(120));
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(asked(date), seconds(77), "{date}");
        }
        assert_eq!(asked("Fri, 31 Dec 1993 23:59:59 GMT"), seconds(0));
        for text in ["", "soon", "-5", "1.5", "Sun, 06 Nov 1994"] {
            assert_eq!(asked(text), None, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

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

//! How far trades are behind the clock when they come: receive time less trade time.

use std::time::Duration;

/// The lag of a feed is that of the freshest trade in this time: a list of older ones, such as comes
/// after a subscription, says nothing.
const WINDOW: i64 = 10_000_000_000;

/// Windows in a row before a large lag is news: a quiet instrument may begin with old trades.
const WINDOWS: u32 = 2;

/// What is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LagNews {
    /// Trades come late.
    Large(Duration),
    /// They did, and no longer do.
    Normal(Duration),
}

/// Watches the lag of one feed. Pure: times come in, in ns since the Unix epoch.
#[derive(Debug)]
pub struct LagWatch {
    /// What is large; none: nothing.
    large: Option<Duration>,
    began: Option<i64>,
    /// The least lag in this window, and in the one before.
    least: Option<i64>,
    before: Option<i64>,
    in_a_row: u32,
    is_large: bool,
}

impl LagWatch {
    /// A lag beyond this is large.
    pub fn new(large: Option<Duration>) -> Self {
        Self { large, began: None, least: None, before: None, in_a_row: 0, is_large: false }
    }

    /// A trade of this time came at this time. Returns its lag; clocks may differ, so that it came before
    /// it happened.
    #[inline]
    pub fn note(&mut self, event_time: i64, received: i64) -> i64 {
        let lag = received.saturating_sub(event_time).max(0);
        self.least = Some(self.least.map_or(lag, |least| least.min(lag)));
        lag
    }

    /// The lag as it is: of this window, or of the one before; none without trades in either.
    pub fn current(&self) -> Option<Duration> {
        let least = self.least.or(self.before)?;
        Some(Duration::from_nanos(least.unsigned_abs()))
    }

    /// At the end of a window: the lag, and whether it is news.
    pub fn on_tick(&mut self, now: i64) -> Option<(Duration, Option<LagNews>)> {
        let began = *self.began.get_or_insert(now);
        if now.saturating_sub(began) < WINDOW {
            return None;
        }
        self.began = Some(now);
        self.before = self.least.take();
        // A window without trades says nothing.
        let lag = Duration::from_nanos(self.before?.unsigned_abs());
        let is_large = self.large.is_some_and(|large| lag > large);
        self.in_a_row = if is_large { self.in_a_row + 1 } else { 0 };
        let news = match (is_large, self.is_large) {
            (true, false) if self.in_a_row >= WINDOWS => Some(LagNews::Large(lag)),
            (false, true) => Some(LagNews::Normal(lag)),
            _ => None,
        };
        self.is_large = (self.is_large || news.is_some()) && is_large;
        Some((lag, news))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// What each window of 10 s is news of, by the lags of its trades in seconds.
    fn news(windows: &[&[i64]]) -> Vec<Option<LagNews>> {
        let mut watch = LagWatch::new(Some(Duration::from_secs(5)));
        watch.on_tick(0);
        assert_eq!(watch.current(), None);
        let mut now = 0;
        let window = |lags: &&[i64]| {
            lags.iter().for_each(|lag| {
                watch.note(now - lag * SECOND, now);
            });
            now += 10 * SECOND;
            let lag = watch.on_tick(now);
            assert_eq!(watch.current(), lag.map(|(lag, _)| lag));
            lag.and_then(|(_, news)| news)
        };
        windows.iter().map(window).collect()
    }

    #[test]
    fn a_lag_is_news_when_it_lasts_and_when_it_ends() {
        let large = Some(LagNews::Large(Duration::from_secs(7)));
        let normal = Some(LagNews::Normal(Duration::from_secs(1)));
        assert_eq!(
            news(&[&[9, 7], &[8, 7], &[9], &[], &[1, 90], &[2]]),
            [None, large, None, None, normal, None]
        );
        // Old trades after a subscription, and a clock that differs.
        assert_eq!(news(&[&[3600], &[0], &[3600], &[], &[-2]]), [None; 5]);
    }
}

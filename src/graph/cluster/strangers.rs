//! Connections that are not those of a process: counted, and reported now and then.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Between two lines of log.
const LINE: Duration = Duration::from_secs(5);

/// Connections that were sent away.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    count: u64,
    unsaid: u64,
    said: Option<Instant>,
    last: Option<String>,
}

impl Strangers {
    /// One more, and why; what to log, if it is time for a line.
    pub(super) fn count(
        &mut self,
        who: impl Display,
        why: impl ToString,
        now: Instant,
    ) -> Option<String> {
        let why = why.to_string();
        self.count += 1;
        self.unsaid += 1;
        let due = self.said.is_none_or(|said| now.saturating_duration_since(said) >= LINE);
        let line = due.then(|| {
            let more = match self.unsaid {
                1 => String::new(),
                unsaid => format!(" ({unsaid} since the last line of this kind)"),
            };
            format!("closed {who}: {why}{more}")
        });
        self.last = Some(format!("{who}: {why}"));
        if due {
            (self.unsaid, self.said) = (0, Some(now));
        }
        line
    }

    /// All of them, for those who look for a process that did not come.
    pub(super) fn summary(&self) -> Option<String> {
        let last = self.last.as_ref()?;
        Some(format!("closed connections: {}, the last: {last}", self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_strangers_make_few_lines() {
        let (mut strangers, began) = (Strangers::default(), Instant::now());
        let from = "a connection from 10.0.0.9:999";
        assert_eq!(strangers.summary(), None);
        let first = strangers.count(from, "it is late", began).unwrap();
        assert_eq!(first, "closed a connection from 10.0.0.9:999: it is late");
        for _ in 0..500 {
            assert_eq!(strangers.count(from, "it is late", began), None);
        }
        let line = strangers.count(from, "it is early", began + LINE).unwrap();
        assert!(line.ends_with("it is early (501 since the last line of this kind)"), "{line}");
        let summary = strangers.summary().unwrap();
        assert_eq!(
            summary,
            "closed connections: 502, the last: a connection from 10.0.0.9:999: it is early"
        );
    }
}

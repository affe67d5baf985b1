//! A protocol as the venue speaks it.

use std::fmt::Write;
use std::time::Duration;

use barflow_operators::trade::{Aggressor, Trade};

use super::tape::{Series, Tape};

/// What a client has subscribed to, and the counters of its connection.
#[derive(Debug, Default)]
pub struct Client {
    /// Number of the connection.
    pub number: u64,
    /// By series: whether its single trades are wanted.
    pub trades: Vec<bool>,
    /// By series: whether its aggregates are wanted.
    pub aggregates: Vec<bool>,
    /// Whether the venue's heartbeats are wanted.
    pub heartbeats: bool,
    /// Whether times are wanted in µs, where the venue lets clients choose.
    pub micros: bool,
    /// Messages numbered so far, where the venue numbers them.
    pub sequence: u64,
    /// Heartbeats counted so far, where the venue counts them.
    pub beats: u64,
}

impl Client {
    /// A client who wants nothing yet.
    pub fn new(number: u64, series: usize) -> Self {
        let nothing = vec![false; series];
        Self { number, trades: nothing.clone(), aggregates: nothing, ..Self::default() }
    }

    /// Whether trades of a series are wanted, in whichever form.
    pub fn wants(&self, series: u32) -> bool {
        self.trades[series as usize] || self.aggregates[series as usize]
    }

    /// Whether any are.
    pub fn is_subscribed(&self) -> bool {
        self.trades.iter().chain(&self.aggregates).any(|wanted| *wanted)
    }
}

/// An answer of REST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
}

impl Answer {
    /// 200 with this.
    pub fn ok(body: String) -> Self {
        Self { status: 200, body }
    }

    /// A refusal.
    pub fn refused(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into() }
    }
}

/// The query of a request.
pub struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// Of this text, without the question mark.
    pub fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// A raw value; the values here have no characters that would be escaped.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0
            .split('&')
            .filter_map(|part| part.split_once('='))
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value)
    }

    /// A whole number, if there is one.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}

/// A request over REST.
pub struct Request<'a> {
    /// Path, from the slash.
    pub path: &'a str,
    /// Query.
    pub query: Query<'a>,
    /// Whether times are wanted in µs, where the venue lets clients choose.
    pub micros: bool,
    /// Now, ns.
    pub now: i64,
}

/// A venue's side of its protocol: pure functions from what a client sends, and from the trades that
/// happen, to messages.
pub trait Exchange: Send + Sync {
    /// Name of the protocol in configuration.
    fn protocol(&self) -> &'static str;

    /// Finest time that messages can say, ns.
    fn time_unit(&self) -> i64;

    /// How many trades of one instrument and time a message may carry.
    fn trades_per_message(&self) -> usize {
        1
    }

    /// Most trades that may pass without a client, when the tape goes as fast as clients read:
    /// what REST lists must still reach back so far.
    fn outage_most(&self) -> u64 {
        400
    }

    /// Whether REST lists the newest trades only, so that what was missed must be asked for soon.
    fn lists_recent_only(&self) -> bool {
        false
    }

    /// A websocket is opened at a path; false if there is none. Streams named by the path are
    /// subscribed.
    fn open(&self, path: &str, query: &Query<'_>, tape: &Tape, client: &mut Client) -> bool;

    /// What is said first.
    fn greeting(&self, _client: &mut Client) -> Vec<String> {
        Vec::new()
    }

    /// A client says something; what it is answered.
    fn hear(&self, text: &str, tape: &Tape, client: &mut Client, now: i64) -> Vec<String>;

    /// What a heartbeat is; nothing where the venue has none.
    fn heartbeat(&self, _tape: &Tape, _client: &mut Client, _now: i64) -> Vec<String> {
        Vec::new()
    }

    /// Time between heartbeats.
    fn heartbeat_every(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Messages that tell a client of the trades at these places of a series that it wants.
    fn push(&self, series: &Series, at: u32, places: &[u32], client: &mut Client) -> Vec<String>;

    /// REST: what has happened.
    fn rest(&self, request: &Request<'_>, tape: &Tape) -> Answer;
}

/// `buy` or `sell` of the taker, or of the maker where `maker`.
pub(super) fn side(trade: &Trade, maker: bool) -> bool {
    // A tape without sides says buy: the protocols have no word for not knowing.
    (trade.aggressor != Aggressor::Seller) != maker
}

/// ns as `2026-08-09T21:05:42.514318Z`, µs.
pub(super) fn rfc3339_micros(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns))
        .map(|time| format!("{time:.6}"))
        .unwrap_or_default()
}

/// ns as `2026-08-09T21:05:42.5Z`: as many decimals as there are.
pub(super) fn rfc3339_shortest(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns))
        .map(|time| time.to_string())
        .unwrap_or_default()
}

/// ns as seconds with as many decimals as there are.
pub(super) fn decimal_seconds(ns: i64) -> String {
    let (whole, fraction) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    let mut text = String::new();
    // Writing into a text cannot fail.
    let _ = write!(text, "{whole}.{fraction:09}");
    let shortest = text.trim_end_matches('0').len();
    text.truncate(shortest.max(text.find('.').map_or(0, |dot| dot + 2)));
    text
}

/// Places of the newest trades that have happened before id `before`, at most `limit`.
pub(super) fn page(
    happened: &[Trade],
    before: Option<u64>,
    limit: usize,
) -> std::ops::Range<usize> {
    let end = match before {
        Some(before) => happened.partition_point(|trade| trade.trade_id < before),
        None => happened.len(),
    };
    end.saturating_sub(limit)..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_venues_write_them() {
        assert_eq!(rfc3339_micros(1_786_309_542_514_318_000), "2026-08-09T21:05:42.514318Z");
        assert_eq!(rfc3339_shortest(1_786_309_542_514_000_001), "2026-08-09T21:05:42.514000001Z");
        assert_eq!(rfc3339_shortest(1_786_309_542_500_000_000), "2026-08-09T21:05:42.5Z");
        assert_eq!(rfc3339_shortest(1_786_309_542_000_000_000), "2026-08-09T21:05:42Z");
        assert_eq!(decimal_seconds(1_762_795_433_971_744_500), "1762795433.9717445");
        assert_eq!(decimal_seconds(1_762_795_433_000_000_000), "1762795433.0");
    }

    #[test]
    fn queries_are_read_by_name() {
        let query = Query::new("symbol=BTCUSDT&fromId=12&limit=x");
        assert_eq!((query.get("symbol"), query.number("fromId")), (Some("BTCUSDT"), Some(12)));
        assert_eq!((query.number("limit"), query.get("none")), (None, None));
    }
}

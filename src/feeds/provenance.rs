//! Where a recording comes from: what it says itself, held against the protocol that it is read by.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use barflow_replay::plan_note::PlanNote;
use memchr::memmem;
use ureq::http::Uri;

use super::venue::Venue;
use super::venues;
use crate::net::url::is_loopback;
use crate::recording::{Direction, reader};
use crate::thousands::counted;

/// Frames in which a protocol is looked for.
const LOOKED_AT: usize = 2_000;

/// Lines that are read for it.
const LINES_LOOKED_AT: u64 = 10_000;

/// Names listed one by one.
const LISTED: usize = 3;

/// What a connection's host says of its venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The venue itself, or nobody in particular: an address, this machine.
    Fits,
    /// Another venue or market.
    Differs {
        /// The host.
        host: String,
        /// Protocols that are spoken there; none that is known.
        protocols: Vec<&'static str>,
    },
}

/// The host of a websocket; none where it says nothing about a venue.
pub fn host(url: &str) -> Option<String> {
    let url = url.split_whitespace().next().unwrap_or_default();
    let uri: Uri = url.parse().ok()?;
    let host = uri.host()?.trim_end_matches('.').to_ascii_lowercase();
    let unnamed = is_loopback(&host) || host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    (!unnamed && host.contains('.')).then_some(host)
}

/// What the host of a websocket says about who spoke.
pub fn origin(url: &str, venue: &dyn Venue) -> Origin {
    let Some(host) = host(url) else { return Origin::Fits };
    if venue.hosts().contains(&host.as_str()) {
        return Origin::Fits;
    }
    let there = |other: &dyn Venue| other.hosts().contains(&host.as_str());
    let protocols = venues().iter().filter(|v| there(v.as_ref())).map(|v| v.protocol()).collect();
    Origin::Differs { host, protocols }
}

/// Something worth knowing about recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordingNote {
    /// What was passed over while they were looked for.
    Search(PlanNote),
    /// A file brought no trade.
    NoTrades {
        /// Which one.
        path: PathBuf,
        /// Hosts that it was recorded from, as far as it says.
        hosts: Vec<String>,
        /// The protocol that it was read by.
        protocol: &'static str,
    },
    /// Connections to another venue were not read.
    PassedOver {
        /// In which file.
        path: PathBuf,
        /// Their hosts.
        hosts: Vec<String>,
    },
    /// Connections followed each other, and prints have no ids that show what was missed between.
    Interrupted {
        /// How many there are after the first.
        reconnects: u64,
        /// The protocol.
        protocol: &'static str,
    },
    /// Rows of symbols that make no bars.
    LeftOut {
        /// How many rows of other symbols there were.
        rows: u64,
        /// The symbols.
        symbols: Vec<String>,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for RecordingNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Search(note) => write!(f, "{note}"),
            Self::Interrupted { reconnects, protocol } => write!(
                f,
                "{} in the recordings: {protocol} does not number trades, so that nothing shows whether \
                 some are missing there",
                counted(*reconnects, "reconnect")
            ),
            Self::NoTrades { path, hosts, protocol } => {
                write!(f, "{}: no trades of {protocol}", path.display())?;
                match hosts.is_empty() {
                    true => Ok(()),
                    false => write!(f, "; recorded from {}", hosts.join(", ")),
                }
            }
            Self::PassedOver { path, hosts } => {
                write!(f, "{}: connections to {} were not read", path.display(), hosts.join(", "))
            }
            Self::LeftOut { rows, symbols, reason } => {
                let listed = symbols.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
                let more = if symbols.len() > LISTED { ", …" } else { "" };
                let s = if symbols.len() == 1 { "" } else { "s" };
                let count = symbols.len();
                write!(f, "left out {count} symbol{s} ({listed}{more}): {reason}")?;
                match rows {
                    0 => Ok(()),
                    rows => write!(f, "; {rows} rows of symbols without bars in all"),
                }
            }
        }
    }
}

/// Symbols that a venue cannot read, by reason.
pub fn left_out(symbols: BTreeMap<String, Vec<String>>, rows: u64) -> Vec<RecordingNote> {
    let note = |(reason, symbols)| RecordingNote::LeftOut { rows, symbols, reason };
    symbols.into_iter().map(note).collect()
}

/// The protocol of a file that is a recording, as far as its first frames tell; none for other files.
pub fn recognised(path: &Path) -> Option<Option<&'static str>> {
    let mut any = false;
    for frame in reader::open(path).ok()?.until_line(LINES_LOOKED_AT).take(LOOKED_AT) {
        let frame = frame.ok()?;
        match frame.direction {
            Direction::Connect => {
                any = true;
                let url = String::from_utf8_lossy(&frame.frame).into_owned();
                let host = host(&url).unwrap_or_default();
                let there = |venue: &&dyn Venue| venue.hosts().contains(&host.as_str());
                let all = venues();
                let mut found = all.iter().map(AsRef::as_ref).filter(there);
                if let (Some(venue), None) = (found.next(), found.next()) {
                    return Some(Some(venue.protocol()));
                }
            }
            Direction::Received => {
                // A line of numbers is no message.
                if !matches!(frame.frame.first(), Some(b'{' | b'[')) {
                    return any.then_some(None);
                }
                any = true;
                if let Some(protocol) = spoken(&frame.frame) {
                    return Some(Some(protocol));
                }
            }
            Direction::Sent | Direction::Answer => {}
        }
    }
    any.then_some(None)
}

/// The protocol of a frame of trades.
fn spoken(frame: &[u8]) -> Option<&'static str> {
    let has = |text: &str| memmem::find(frame, text.as_bytes()).is_some();
    if has("\"e\":\"trade\"") || has("\"e\":\"aggTrade\"") {
        return Some(match (has("\"M\":"), has("USD_")) {
            (true, _) => "binance-spot",
            (false, true) => "binance-cm",
            (false, false) => "binance-um",
        });
    }
    let marks = [
        ("\"channel\":\"market_trades\"", "coinbase"),
        ("\"type\":\"match\"", "coinbase-exchange"),
        ("\"channel\":\"trades\",\"instId\"", "okx"),
        ("\"channel\":\"trades-all\",\"instId\"", "okx"),
    ];
    let found = marks.iter().find(|(mark, _)| has(mark)).map(|(_, protocol)| *protocol);
    let kraken = has("\"channel\":\"trade\"") && has("\"ord_type\"");
    found.or(kraken.then_some("kraken"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::venue;

    #[test]
    fn a_host_is_the_venues_own_another_ones_or_a_strangers() {
        let spot = venue("binance-spot").unwrap();
        for url in [
            "wss://stream.binance.com:9443/stream?streams=x <-> 1633998274.5",
            "wss://data-stream.binance.vision",
            "ws://127.0.0.1:9000/stream",
            "ws://10.1.2.3:9000/stream",
            "ws://relay:9000/stream",
            "no url",
        ] {
            assert_eq!(origin(url, spot.as_ref()), Origin::Fits, "{url}");
        }
        for (url, host, protocols) in [
            ("wss://fstream.binance.com/stream", "fstream.binance.com", &["binance-um"][..]),
            ("wss://dstream.binance.com/stream", "dstream.binance.com", &["binance-cm"]),
            ("wss://stream.binance.us:9443/stream", "stream.binance.us", &[]),
            ("wss://www.bitmex.com/realtime <-> 1626993367.3", "www.bitmex.com", &[]),
            (
                "wss://stream.bybit.com/v5/public/linear",
                "stream.bybit.com",
                &["bybit-spot", "bybit-linear", "bybit-inverse"],
            ),
        ] {
            let differs = Origin::Differs { host: host.to_owned(), protocols: protocols.to_vec() };
            assert_eq!(origin(url, spot.as_ref()), differs, "{url}");
        }
    }

    #[test]
    fn every_venue_is_reached_at_a_host_of_its_own() {
        for venue in venues() {
            assert_eq!(origin(venue.websocket_base(), venue.as_ref()), Origin::Fits);
        }
    }
}

//! One feed as it was asked for, validated.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use barflow_operators::batch::{Feed, IdKind};
use barflow_operators::gap::Gap;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::trade::Trade;

use super::print::{Ids, Listing};
use super::venue::{Channel, Venue};
use crate::net::address::{Address, weakness};
use crate::net::url::Url;

/// Frames beyond this are cut off with their connection: far above anything a trade stream sends.
const FRAME_BYTES_MAX: usize = 4 << 20;

/// What a user may make of it: a recording has a frame on one line, of at most twice as many bytes.
pub const FRAME_BYTES: RangeInclusive<usize> = 1024..=16 << 20;

/// Prints per instrument that wait for a missing one: an hour of a busy market, 80 MB.
const WAITING_ROOM: usize = 1 << 20;

/// How far a trade's time may lie after its receive time: clocks differ by less, and Kafka's brokers take
/// no more unless told to.
pub const AHEAD_MAX: Duration = Duration::from_secs(600);

/// How long before the venue's own cut a connection is replaced.
const BEFORE_THE_CUT: Duration = Duration::from_secs(3600);

/// Age at which connections are replaced where the venue does not cut them.
const ROTATE_ANYWAY: Duration = Duration::from_secs(7 * 24 * 3600);

/// One instrument of a feed.
#[derive(Clone, Debug)]
pub struct Symbol {
    /// The instrument.
    pub instrument: InstrumentId,
    /// How the venue writes it.
    pub listing: Listing,
    /// What was applied before the feed begins.
    pub resume_after: Option<LastTrade>,
}

impl Symbol {
    /// An instrument as a venue and the user write it; `size` is what a contract is worth, where the
    /// venue does not say.
    ///
    /// # Errors
    /// What a symbol of that venue looks like, or which setting is missing.
    pub fn read(venue: &dyn Venue, text: &str, size: Option<f64>) -> Result<Self, String> {
        let instrument = venue.instrument(text)?;
        let contract = venue.contract(text, size)?;
        let listing = Listing { symbol: venue.wire_symbol(text), contract };
        Ok(Self { instrument, listing, resume_after: None })
    }

    /// Its trades in a channel of a venue.
    pub fn feed(&self, venue: &dyn Venue, channel: Channel) -> Arc<Feed> {
        Arc::new(Feed {
            instrument: self.instrument.clone(),
            input: venue.input(channel),
            ids: match venue.ids(channel) {
                Ids::Consecutive => IdKind::Venue,
                Ids::Spans => IdKind::Spans,
                Ids::Names => IdKind::Ordinal,
            },
            has_aggressor: true,
        })
    }
}

/// The last trade that was applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LastTrade {
    /// Its id, or its number where the venue has none.
    pub id: u64,
    /// Its event time, ns; none if it is not known.
    pub time: Option<i64>,
    /// Names of all prints of that time that were applied, where prints have names instead of ids;
    /// none if they are unknown.
    pub names: Vec<u64>,
    /// The latest trades that were applied, as far as they are known, to compare with those that repeat
    /// their ids.
    pub recent: Vec<Trade>,
    /// All trades that were applied of the moment of that time, to tell others of
    /// it from them where prints have names; none if they are unknown.
    pub moment: Vec<Trade>,
    /// Ids up to the last one that are missing, as far as they are known.
    pub gaps: Vec<Gap>,
    /// From the first to the last id of older gaps, of which it is not known which ids are missing.
    pub forgotten: Option<Gap>,
}

impl PartialEq for Symbol {
    /// Where to resume is not part of an instrument's identity.
    fn eq(&self, other: &Self) -> bool {
        self.instrument == other.instrument && self.listing == other.listing
    }
}

/// Everything that a feed's session needs to know.
#[derive(Clone)]
pub struct FeedPlan {
    /// The user's name for it, `[feeds.NAME]`.
    pub name: String,
    /// The protocol.
    pub venue: Arc<dyn Venue>,
    /// Which stream.
    pub channel: Channel,
    /// Which instruments, in order.
    pub symbols: Vec<Symbol>,
    /// Websocket base instead of the venue's, such as `ws://127.0.0.1:9000`.
    pub websocket: Option<Address>,
    /// REST base instead of the venue's.
    pub rest: Option<Address>,
    /// Certificates that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether proxies of the environment are ignored.
    pub direct: bool,
    /// Reference to the key of REST requests, such as `${NAME}`, where the venue wants one.
    pub api_key: Option<String>,
    /// Connections per shard; each trade is taken from whichever brings it first.
    pub connections: usize,
    /// Silence after which a connection is given up.
    pub stale_after: Duration,
    /// Age at which a connection is replaced.
    pub rotate_after: Duration,
    /// How long a missing id may come by itself before REST is asked.
    pub reorder_wait: Duration,
    /// How long an instrument may wait for what is missing before it becomes a gap.
    pub backfill_budget: Duration,
    /// How far a trade's time may lie after its receive time; none: any time is believed.
    pub ahead_max: Option<Duration>,
    /// How far trades may be behind their receive time before the log says so; none: it never does.
    pub lag_warning: Option<Duration>,
    /// Whether bars continue over a gap at once, to be corrected when REST has what is missing;
    /// only for venues that number their trades.
    pub revises: bool,
    /// How long the first connection may take before the feed is called unreachable.
    pub connect_timeout: Duration,
    /// Largest frame taken, bytes.
    pub frame_bytes_max: usize,
    /// Prints of an instrument that may wait for a missing one.
    pub waiting_room: usize,
}

impl FeedPlan {
    /// A feed of which nothing is said but what it brings.
    pub fn new(
        name: String,
        venue: Arc<dyn Venue>,
        channel: Channel,
        symbols: Vec<Symbol>,
    ) -> Self {
        let lifetime = venue.limits().lifetime;
        Self {
            name,
            channel,
            symbols,
            websocket: None,
            rest: None,
            ca_file: None,
            direct: false,
            api_key: None,
            connections: 1,
            stale_after: venue.silence(),
            rotate_after: lifetime.map_or(ROTATE_ANYWAY, |cut| cut.saturating_sub(BEFORE_THE_CUT)),
            reorder_wait: Duration::from_millis(100),
            backfill_budget: Duration::from_secs(60),
            ahead_max: Some(AHEAD_MAX),
            lag_warning: Some(Duration::from_secs(10)),
            revises: false,
            connect_timeout: Duration::from_secs(60),
            frame_bytes_max: FRAME_BYTES_MAX,
            waiting_room: WAITING_ROOM,
            venue,
        }
    }

    /// The latest time, ns, that a trade received at this one may have.
    pub fn latest_time(&self, received: i64) -> Option<i64> {
        let ahead = i64::try_from(self.ahead_max?.as_nanos()).unwrap_or(i64::MAX);
        Some(received.saturating_add(ahead))
    }

    /// Bases without their secrets, with the settings that they come from, as far as they are known.
    pub fn known_bases(&self) -> Vec<(&'static str, Url)> {
        let bases = [
            ("websocket", &self.websocket, self.venue.websocket_base()),
            ("rest", &self.rest, self.venue.rest_base()),
        ];
        let known = bases.into_iter().filter_map(|(setting, chosen, usual)| match chosen {
            Some(address) => address.plain().map(|url| (setting, url.clone())),
            None => Url::parse(usual).ok().map(|url| (setting, url)),
        });
        known.collect()
    }

    /// What is weak about the way to the venue, and what to do about it, as far as it is known.
    pub fn weaknesses(&self) -> Vec<String> {
        let bases = self.known_bases().into_iter();
        bases.filter_map(|(setting, url)| weakness(setting, &url)).collect()
    }
}

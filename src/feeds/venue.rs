//! What the session engine needs to know of a protocol.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use barflow_operators::batch::InputKind;
use barflow_operators::instrument::InstrumentId;

use super::print::{BadFrame, Contract, FrameKind, Ids, Listing, Prints};

/// Which stream of trades a feed asks for. Not every venue has every one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// One message row per trade (Binance `trade`, OKX `trades-all`, every other venue).
    Trades,
    /// One row per aggregate (Binance `aggTrade`, OKX `trades`).
    Aggregates,
}

impl Channel {
    /// Its name in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trades => "trades",
            Self::Aggregates => "aggregates",
        }
    }
}

/// What a venue allows. Documented limits, each with its source in the venue's folder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Symbols that one connection may carry.
    pub symbols_per_connection: usize,
    /// Symbols that one subscribe message may carry.
    pub symbols_per_message: usize,
    /// Messages a client may send in a second, ours and pings together.
    pub messages_per_second: u32,
    /// Connection attempts allowed, in which time.
    pub connects: (u32, Duration),
    /// After which time the venue cuts every connection, if it does.
    pub lifetime: Option<Duration>,
    /// REST requests allowed, in which time (of the cheapest weight that backfill needs).
    pub requests: (u32, Duration),
}

/// What a venue refuses because of one symbol that it does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedBy {
    /// That symbol: every symbol of a message is answered by itself.
    Symbol,
    /// The message that names it, with the other symbols in it.
    Message,
}

/// What a client has to say to stay connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// How often.
    pub every: Duration,
    /// The message; a websocket ping if there is none.
    pub text: Option<&'static str>,
}

/// A REST request: always GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Path and query below the REST base URL, beginning with `/`.
    pub path: String,
    /// What it weighs in units of [`Limits::requests`].
    pub weight: u32,
}

/// What is missing of one instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which trades.
    pub trades: MissingTrades,
    /// Event time of the last print before, ns, where there was one.
    pub after: Option<i64>,
}

/// Which trades are missing. It also distinguishes a request from a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingTrades {
    /// Those with ids from the first to the last.
    Ids {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// Whatever there is up to now, from this id on.
    Since(u64),
    /// What an interruption of the feed has lost, where trades have no ids to be missed by: the n-th one.
    Interruption(u64),
}

impl MissingTrades {
    /// The first id that is missing, where trades have ids.
    pub fn first_id(self) -> Option<u64> {
        match self {
            Self::Ids { first, .. } | Self::Since(first) => Some(first),
            Self::Interruption(_) => None,
        }
    }

    /// The last one, where it is known.
    pub fn last_id(self) -> Option<u64> {
        match self {
            Self::Ids { last, .. } => Some(last),
            Self::Since(_) | Self::Interruption(_) => None,
        }
    }
}

/// Reads the frames of one connection.
pub trait Decode: Send {
    /// Reads one frame; rows go to `prints`, which the caller has cleared.
    ///
    /// # Errors
    /// When the frame is not what the venue documents. Rows read before the fault are kept.
    fn decode(&mut self, frame: &[u8], prints: &mut Prints) -> Result<FrameKind, BadFrame>;
}

/// One venue's protocol: pure functions from what is wanted to what is sent, and from what is
/// received to prints. No clock, no sockets.
pub trait Venue: Send + Sync {
    /// Name of the protocol in configuration, such as `binance-spot`.
    fn protocol(&self) -> &'static str;

    /// Channels that the venue has, the default first: single trades, unless it has others.
    fn channels(&self) -> &'static [Channel] {
        &[Channel::Trades]
    }

    /// The instrument that is meant by a symbol as the user writes it (the venue's own, case
    /// sensitive).
    ///
    /// # Errors
    /// Says what a symbol of this venue looks like.
    fn instrument(&self, symbol: &str) -> Result<InstrumentId, String>;

    /// The symbol as messages carry it (upper case for Binance; `BTC/USD` for `BTC-USD` of Kraken).
    fn wire_symbol(&self, symbol: &str) -> String {
        symbol.to_owned()
    }

    /// What a printed quantity means; `size` is what the user says about it.
    ///
    /// # Errors
    /// When the venue does not tell and neither did the user, naming the setting `contract_size`.
    fn contract(&self, symbol: &str, size: Option<f64>) -> Result<Contract, String>;

    /// What a row of a channel is.
    fn input(&self, _channel: Channel) -> InputKind {
        InputKind::Trades
    }

    /// How prints of a channel are identified.
    fn ids(&self, channel: Channel) -> Ids;

    /// Documented limits.
    fn limits(&self) -> Limits;

    /// Where the venue's websocket is: scheme, host, port and no path, such as
    /// `wss://stream.binance.com:9443`.
    fn websocket_base(&self) -> &'static str;

    /// All hosts of the venue's public websockets, old ones included: a recording from elsewhere is of
    /// another exchange.
    fn hosts(&self) -> &'static [&'static str];

    /// Whether a frame shows that another market speaks: what shows it, and that market's protocol.
    fn contradicts(&self, _frame: &[u8]) -> Option<(&'static str, &'static str)> {
        None
    }

    /// Whether a frame is a trade as this market, and no other that could be meant, writes it.
    fn confirms(&self, _frame: &[u8]) -> bool {
        false
    }

    /// Path and query of the websocket for these symbols, beginning with `/`.
    fn websocket_path(&self, channel: Channel, listings: &[Listing]) -> String;

    /// Messages that subscribe, to be sent after connecting; none where the path does it. `request`
    /// numbers the first of them, the next ones count on.
    fn subscribe(&self, channel: Channel, listings: &[Listing], request: u64) -> Vec<String>;

    /// Whether the venue answers subscriptions.
    fn acknowledges(&self) -> bool {
        true
    }

    /// The request for a list of all symbols that there are, where the venue does not answer subscriptions.
    fn symbols_request(&self) -> Option<Request> {
        None
    }

    /// Reads the answer to [`symbols_request`](Self::symbols_request).
    ///
    /// # Errors
    /// When it is not such a list.
    fn read_symbols(&self, _body: &[u8]) -> Result<BTreeSet<String>, BadFrame> {
        Ok(BTreeSet::new())
    }

    /// What a refusal costs.
    fn refused_by(&self) -> RefusedBy;

    /// What keeps a connection up; none where answering websocket pings is enough.
    fn keepalive(&self) -> Option<Keepalive>;

    /// How long a healthy connection can be silent. A venue without heartbeats of its own answers
    /// our websocket pings, which the session sends at half this time.
    fn silence(&self) -> Duration;

    /// A decoder for a connection that carries these listings; slots are places in this list.
    fn decoder(&self, channel: Channel, listings: Arc<[Listing]>) -> Box<dyn Decode>;

    /// Where the venue's REST is, such as `https://api.binance.com`.
    fn rest_base(&self) -> &'static str;

    /// Header for the API key, if backfill needs one.
    fn api_key_header(&self) -> Option<&'static str> {
        None
    }

    /// A header that every REST request carries: name and value.
    fn rest_header(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    /// HTTP statuses, besides 418, 429 and 5xx, by which REST refuses to answer for now.
    fn refusals(&self) -> &'static [u16] {
        &[]
    }

    /// The next request on the way to fill a gap, or none if REST cannot supply it (too old, or
    /// no such endpoint). Asked again with what is still missing after every answer.
    fn backfill(&self, channel: Channel, listing: &Listing, missing: &Missing) -> Option<Request>;

    /// Reads a REST answer of [`backfill`](Self::backfill). Rows in the order of their ids; rows
    /// outside what is missing are welcome (they prove where a gap ends).
    ///
    /// # Errors
    /// When the answer is not what the venue documents, or an error in its own words.
    fn read_backfill(
        &self,
        channel: Channel,
        slot: u32,
        listing: &Listing,
        body: &[u8],
        prints: &mut Prints,
    ) -> Result<(), BadFrame>;
}

//! What a frame says: trades, in the graph's own terms, and everything else by kind.

use barflow_operators::trade::{Aggressor, Trade};
use barflow_operators::validation;

/// How many contracts, coins and quote currency belong together (docs/adr/0001).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Contract {
    /// The printed quantity is in base currency; quote = price × quantity.
    #[default]
    Base,
    /// The printed quantity counts contracts of this much base currency (OKX linear swaps);
    /// quantity = contracts × size, quote = price × quantity.
    Linear {
        /// Base currency per contract.
        size: f64,
    },
    /// The printed quantity counts contracts of this much quote currency (Binance COIN-M, Bybit
    /// inverse with size 1); quote = contracts × size, quantity = quote ÷ price.
    Inverse {
        /// Quote currency per contract.
        size: f64,
    },
}

impl Contract {
    /// On a spot market, where quantities are in base currency.
    ///
    /// # Errors
    /// When the user says how much a contract is worth.
    pub fn of_spot(size: Option<f64>) -> Result<Self, String> {
        match size {
            None => Ok(Self::Base),
            Some(_) => Err("contract_size means nothing on a spot market".to_owned()),
        }
    }

    /// Quantity in base and value in quote currency of a print. The operations and their order are
    /// those of replay, so that the bits agree.
    #[inline]
    pub fn amounts(self, price: f64, printed: f64) -> (f64, f64) {
        match self {
            Self::Base => (printed, price * printed),
            Self::Linear { size } => {
                let qty = printed * size;
                (qty, price * qty)
            }
            Self::Inverse { size } => {
                let quote = printed * size;
                (quote / price, quote)
            }
        }
    }
}

/// One instrument of a feed, as the venue's decoder needs to know it. Its place in the feed's list
/// is its *slot*.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// As the venue writes it in messages, such as `BTCUSDT`, `BTC-USD`, `BTC/USD`.
    pub symbol: String,
    /// What a printed quantity means.
    pub contract: Contract,
}

/// How prints of an instrument are identified and ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// Each print has the id after the one before it: every gap and duplicate is detected.
    Consecutive,
    /// A print is named by the last of `count` consecutive ids that it covers.
    Spans,
    /// Prints have unique names and no order: duplicates are detected within a window, gaps only
    /// where a connection broke.
    Names,
}

/// What a print is to the order of its instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A trade.
    Trade,
    /// An id of the sequence that is not a trade between market participants (insurance fund, ADL,
    /// quantity 0): makes no bar, leaves no gap. The reason is one of a few constants.
    Excluded(&'static str),
}

/// Why an id is not a trade that REST passes over. Only a supposition: the trade may still come.
pub const UNLISTED: &str = "not listed by REST";

/// Why the id of a trade whose time lies far after its receive time is not a trade.
pub const FUTURE: &str = "time in the future";

/// The same for a person.
const FUTURE_REASON: &str = "lies more than ahead_max after the receive time (check the clock of this \
    machine as well)";

/// One row of a frame (or of a REST answer).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Print {
    /// Which of the feed's instruments.
    pub slot: u32,
    /// Trade or not.
    pub standing: Standing,
    /// What identifies it among all prints of the instrument: the trade id where the venue
    /// numbers trades, otherwise a 64-bit xxh3 hash of the venue's own unique id.
    pub key: u64,
    /// The trade. Where prints have names, the reorder buffer gives it its `trade_id`; nothing reads that
    /// of the print.
    pub trade: Trade,
}

/// What a venue calls a print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrintId {
    /// By a number that orders it among the prints of its instrument.
    Number(u64),
    /// By a name; this is its 64-bit xxh3 hash.
    Name(u64),
}

/// A row that cannot be a trade, with everything a person needs to see why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field \"{field}\" {reason}: \"{value}\"")]
pub struct BadRow {
    /// Which instrument, if the row got that far.
    pub slot: Option<u32>,
    /// Which id, if the row got that far: it leaves a gap that REST may fill.
    pub id: Option<u64>,
    /// The venue's name of the field.
    pub field: &'static str,
    /// Its text.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What one frame came to. Reused from frame to frame, so that decoding allocates nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prints {
    /// Rows in the order of their ids, oldest first, whatever order the venue lists them in.
    pub rows: Vec<Print>,
    /// Rows that should have been trades and are not. The other rows of the frame still count.
    pub bad: Vec<BadRow>,
    /// Rows for symbols that this connection did not ask for.
    pub foreign: u32,
}

impl Prints {
    /// Forgets everything, keeps the room.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.bad.clear();
        self.foreign = 0;
    }

    /// Makes bad rows of trades whose time lies after `latest`, ns. Where prints have `ids`, theirs are not
    /// trades and leave no gap; else they are as if they had not come, and their number is returned.
    #[inline]
    pub fn set_future_aside(&mut self, latest: i64, ids: Ids) -> u64 {
        match self.rows.iter().any(|print| print.trade.event_time > latest) {
            true => self.set_aside_after(latest, ids),
            false => 0,
        }
    }

    #[cold]
    fn set_aside_after(&mut self, latest: i64, ids: Ids) -> u64 {
        let before = self.rows.len();
        let bad = &mut self.bad;
        self.rows.retain_mut(|print| {
            let trade = &mut print.trade;
            if trade.event_time <= latest {
                return true;
            }
            if print.standing == Standing::Trade {
                bad.push(BadRow {
                    slot: Some(print.slot),
                    id: (ids != Ids::Names).then_some(trade.trade_id),
                    field: "time",
                    value: trade.event_time.to_string(),
                    reason: FUTURE_REASON.to_owned(),
                });
                print.standing = Standing::Excluded(FUTURE);
                (trade.price, trade.qty, trade.quote) = (0.0, 0.0, 0.0);
            }
            // Unknown: the row's id is what counts.
            trade.event_time = 0;
            ids != Ids::Names
        });
        (before - self.rows.len()) as u64
    }

    /// Adds a row as the venue printed it, after judging its values.
    #[allow(clippy::too_many_arguments)] // The columns of a print; a struct would only rename it.
    #[inline]
    pub fn push(
        &mut self,
        slot: u32,
        contract: Contract,
        id: PrintId,
        count: u32,
        event_time: i64,
        price: f64,
        printed_qty: f64,
        aggressor: Aggressor,
    ) {
        let (key, number) = match id {
            PrintId::Number(number) => (number, Some(number)),
            PrintId::Name(hash) => (hash, None),
        };
        let (qty, quote) = contract.amounts(price, printed_qty);
        let valid = validation::check(price, qty, quote, event_time);
        if let Err(defect) = valid.and_then(|()| number.map_or(Ok(()), validation::check_id)) {
            let value = match defect.field {
                "trade_id" => number.map_or_else(String::new, |id| id.to_string()),
                "price" => price.to_string(),
                "qty" => printed_qty.to_string(),
                "quote" => quote.to_string(),
                _ => event_time.to_string(),
            };
            self.bad.push(BadRow {
                slot: Some(slot),
                // One that cannot be belongs to no sequence.
                id: number.filter(|id| validation::check_id(*id).is_ok()),
                field: defect.field,
                value,
                reason: defect.reason.to_owned(),
            });
            return;
        }
        // That of a name is not read.
        let trade_id = number.unwrap_or_default();
        let trade = Trade { trade_id, event_time, price, qty, quote, aggressor, count };
        self.rows.push(Print { slot, standing: Standing::Trade, key, trade });
    }

    /// Adds an id that is not a trade between market participants.
    /// A time that cannot be is taken for unknown (0): the row's id is what counts.
    pub fn exclude(&mut self, slot: u32, id: u64, event_time: i64, why: &'static str) {
        let believable = validation::EARLIEST_NS..validation::LATEST_NS;
        let event_time = if believable.contains(&event_time) { event_time } else { 0 };
        let trade = Trade {
            trade_id: id,
            event_time,
            price: 0.0,
            qty: 0.0,
            quote: 0.0,
            aggressor: Aggressor::Unknown,
            count: 1,
        };
        self.rows.push(Print { slot, standing: Standing::Excluded(why), key: id, trade });
    }
}

/// What kind of message a frame was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Trades (perhaps none): they are in the [`Prints`].
    Trades,
    /// The venue confirmed subscriptions.
    Acknowledged(Acknowledged),
    /// The venue refused a subscription, or another request of ours.
    Refused(Refusal),
    /// A heartbeat or pong: the connection is alive.
    Alive,
    /// A known message of another kind, by kind: counted, otherwise ignored.
    Other(&'static str),
    /// Nothing we know: reported once per shape, counted.
    Unknown,
}

/// What a confirmation covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// One symbol, as the venue writes it.
    Symbol(String),
    /// All symbols that are subscribed by now.
    All(Vec<String>),
    /// One request, all of it; by its number, if the venue repeats that.
    Request(Option<u64>),
}

/// What a venue says that it refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// In its own words.
    pub said: String,
    /// The symbol, where a field of its own names it.
    pub symbol: Option<String>,
    /// The number of the request, where the venue repeats it.
    pub request: Option<u64>,
}

impl Refusal {
    /// These words, about whatever they name.
    pub fn new(said: impl Into<String>) -> Self {
        Self { said: said.into(), symbol: None, request: None }
    }
}

/// A frame that is not what the venue documents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct BadFrame {
    /// What is wrong, naming the field where there is one.
    pub what: String,
    /// Whether the venue only refuses to answer for now: a rate limit, maintenance.
    pub refusal: bool,
}

impl BadFrame {
    /// A frame with this wrong.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), refusal: false }
    }

    /// An answer by which the venue refuses to answer for now.
    pub fn refusal(what: impl Into<String>) -> Self {
        Self { what: what.into(), refusal: true }
    }
}

//! A bar as written to every output: flat, snake_case, units in the schema's docs.

use barflow_operators::published::PublishedBar;
use serde::ser::Error;
use serde::{Serialize, Serializer};

/// Version of the record's fields. From 4 on fields are only ever added, with a default
/// (docs/adr/0015-contract-of-a-bar.md).
pub const SCHEMA_VERSION: u32 = 4;

/// Fields that are 64-bit integers.
pub const INT64: [&str; 12] = [
    "seq",
    "open_time",
    "close_time",
    "first_trade_id",
    "last_trade_id",
    "ticks",
    "buy_ticks",
    "trade_count",
    "missing_ids",
    "known_time",
    "high_time",
    "low_time",
];

/// Fields that the first version did not have, by the version that brought them.
pub const ADDED: [&[&str]; 3] = [
    &["missing_ids"],
    &["retracts"],
    &["bar_id", "known_time", "high_time", "low_time", "quadratic_variation"],
];

/// All of [`ADDED`], in order.
pub fn added() -> impl Iterator<Item = &'static str> {
    ADDED.into_iter().flatten().copied()
}

/// The fields of docs/FIELDS.md, in the order in which all encodings list them.
///
/// Times are ns since the Unix epoch, prices in quote currency, `volume` in base and
/// `quote_volume` in quote currency, θ and thresholds in the bar's measure. `state_digest` is 16
/// hexadecimal digits, because JSON readers lose integers beyond 2^53.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)] // docs/FIELDS.md says what each is.
pub struct BarRecord<'a> {
    pub spec: &'a str,
    pub instrument: &'a str,
    pub venue: &'a str,
    pub market: &'a str,
    pub symbol: &'a str,
    pub input: &'a str,
    #[serde(serialize_with = "count")]
    pub seq: u64,
    pub open_time: i64,
    pub close_time: i64,
    #[serde(serialize_with = "count")]
    pub first_trade_id: u64,
    #[serde(serialize_with = "count")]
    pub last_trade_id: u64,
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
    pub vwap: f64,
    pub volume: f64,
    pub quote_volume: f64,
    pub buy_volume: f64,
    pub buy_quote_volume: f64,
    #[serde(serialize_with = "count")]
    pub ticks: u64,
    #[serde(serialize_with = "count")]
    pub buy_ticks: u64,
    #[serde(serialize_with = "count")]
    pub trade_count: u64,
    pub theta: f64,
    pub theta_buy: Option<f64>,
    pub theta_sell: Option<f64>,
    pub theta_min: f64,
    pub theta_max: f64,
    pub threshold: Option<f64>,
    pub expected_ticks: Option<f64>,
    pub expected_imbalance: Option<f64>,
    pub sigma: Option<f64>,
    pub close_reason: &'a str,
    #[serde(serialize_with = "hex")]
    pub state_digest: u64,
    pub revision: u32,
    #[serde(serialize_with = "count")]
    pub missing_ids: u64,
    /// The bar with these fields is withdrawn; `known_time` is then that of its withdrawal.
    pub retracts: bool,
    /// What identifies the bar: `instrument/spec/last_trade_id`.
    pub bar_id: String,
    pub known_time: i64,
    pub high_time: i64,
    pub low_time: i64,
    pub quadratic_variation: f64,
}

/// A number that is too large for a signed 64-bit number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "field \"{field}\" is {value}, above the largest signed 64-bit integer, 9223372036854775807"
)]
pub struct BeyondLong {
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub value: u64,
}

impl<'a> BarRecord<'a> {
    /// A published bar (+1) or a retraction (−1).
    pub fn of(bar: &'a PublishedBar, diff: isize) -> Self {
        Self { retracts: diff < 0, ..Self::from(bar) }
    }

    /// Checks that ids and counts fit a signed 64-bit number, for encodings that know no other.
    ///
    /// # Errors
    /// The first that does not.
    pub fn fits_long(&self) -> Result<(), BeyondLong> {
        let fields = [
            ("seq", self.seq),
            ("first_trade_id", self.first_trade_id),
            ("last_trade_id", self.last_trade_id),
            ("ticks", self.ticks),
            ("buy_ticks", self.buy_ticks),
            ("trade_count", self.trade_count),
            ("missing_ids", self.missing_ids),
        ];
        match fields.into_iter().find(|(_, value)| i64::try_from(*value).is_err()) {
            Some((field, value)) => Err(BeyondLong { field, value }),
            None => Ok(()),
        }
    }
}

impl<'a> From<&'a PublishedBar> for BarRecord<'a> {
    fn from(published: &'a PublishedBar) -> Self {
        let PublishedBar { spec, feed, bar, received: _, synchronised: _ } = published;
        Self {
            spec,
            instrument: feed.instrument.as_str(),
            venue: feed.instrument.venue(),
            market: feed.instrument.market(),
            symbol: feed.instrument.symbol(),
            input: feed.input.as_str(),
            seq: bar.seq,
            open_time: bar.open_time,
            close_time: bar.close_time,
            first_trade_id: bar.first_trade_id,
            last_trade_id: bar.last_trade_id,
            open: bar.open,
            high: bar.high,
            low: bar.low,
            close: bar.close,
            vwap: bar.vwap,
            volume: bar.volume,
            quote_volume: bar.quote_volume,
            buy_volume: bar.buy_volume,
            buy_quote_volume: bar.buy_quote_volume,
            ticks: bar.ticks,
            buy_ticks: bar.buy_ticks,
            trade_count: bar.trade_count,
            theta: bar.theta,
            theta_buy: bar.theta_buy,
            theta_sell: bar.theta_sell,
            theta_min: bar.theta_min,
            theta_max: bar.theta_max,
            threshold: bar.threshold,
            expected_ticks: bar.expected_ticks,
            expected_imbalance: bar.expected_imbalance,
            sigma: bar.sigma,
            close_reason: bar.close_reason.as_str(),
            state_digest: bar.state_digest,
            revision: bar.revision,
            missing_ids: bar.missing_ids,
            retracts: false,
            bar_id: format!("{}/{spec}/{}", feed.instrument, bar.last_trade_id),
            known_time: bar.known_time,
            high_time: bar.high_time,
            low_time: bar.low_time,
            quadratic_variation: bar.quadratic_variation,
        }
    }
}

/// A digest as 16 hexadecimal digits.
pub fn hex_digest(digest: u64) -> String {
    format!("{digest:016x}")
}

fn hex<S: Serializer>(digest: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    let mut digits = [0; 16];
    hex::encode_to_slice(digest.to_be_bytes(), &mut digits).map_err(Error::custom)?;
    serializer.serialize_str(std::str::from_utf8(&digits).map_err(Error::custom)?)
}

/// A number without a sign, as a long in binary encodings: Avro has no other.
fn count<S: Serializer>(count: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        return serializer.serialize_u64(*count);
    }
    serializer.serialize_i64(i64::try_from(*count).map_err(Error::custom)?)
}

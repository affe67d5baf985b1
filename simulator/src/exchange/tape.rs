//! What is played: trades of some instruments in the order of their times.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use barflow_operators::trade::Trade;

/// What a printed quantity means (docs/adr/0001).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Contract {
    /// Base currency.
    #[default]
    Base,
    /// Contracts of so much base currency.
    Linear {
        /// Base currency per contract.
        size: f64,
    },
    /// Contracts of so much quote currency.
    Inverse {
        /// Quote currency per contract.
        size: f64,
    },
}

impl Contract {
    /// Quantity in base currency and value in quote currency, by the operations and in the order in
    /// which a client computes them from a message.
    pub fn amounts(self, price: f64, printed: f64) -> (f64, f64) {
        match self {
            Self::Base => (printed, price * printed),
            Self::Linear { size } => (printed * size, price * (printed * size)),
            Self::Inverse { size } => (printed * size / price, printed * size),
        }
    }
}

/// One instrument's trades.
#[derive(Debug)]
pub struct Series {
    /// As messages write it.
    pub symbol: String,
    /// What a printed quantity means.
    pub contract: Contract,
    trades: Vec<Trade>,
    /// By place: how many single trades have happened with it; empty where rows are single trades.
    ends: Vec<u64>,
    played: AtomicUsize,
}

/// Why a file cannot be played through a protocol.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TapeError {
    /// The protocol has no digits for it.
    #[error(
        "trade {trade_id} of {symbol} has the time {event_time} ns, which is finer than the \
         protocol's unit ({unit} ns)"
    )]
    TooFine {
        /// Which trade.
        trade_id: u64,
        /// Of which instrument.
        symbol: String,
        /// Its time, ns.
        event_time: i64,
        /// The protocol's unit of time, ns.
        unit: i64,
    },
    /// No number of contracts comes to this value.
    #[error(
        "trade {trade_id} of {symbol} is not worth a number of contracts of {size}: its quantities are in base currency"
    )]
    NoContracts {
        /// Which trade.
        trade_id: u64,
        /// Of which instrument.
        symbol: String,
        /// Value of a contract.
        size: f64,
    },
}

impl Series {
    /// A series to be played through a protocol whose times count `unit` ns.
    ///
    /// # Errors
    /// When the protocol cannot say some trade exactly: bars would not be those of the file.
    pub fn new(
        symbol: String,
        contract: Contract,
        trades: Vec<Trade>,
        unit: i64,
    ) -> Result<Self, TapeError> {
        for trade in &trades {
            if trade.event_time % unit != 0 {
                let (trade_id, event_time) = (trade.trade_id, trade.event_time);
                return Err(TapeError::TooFine { trade_id, symbol, event_time, unit });
            }
            if printed(contract, trade).is_none() {
                let size = match contract {
                    Contract::Linear { size } | Contract::Inverse { size } => size,
                    Contract::Base => 1.0,
                };
                return Err(TapeError::NoContracts { trade_id: trade.trade_id, symbol, size });
            }
        }
        let mut ends = Vec::new();
        if trades.iter().any(|trade| trade.count > 1) {
            ends.extend(trades.iter().scan(0, |end, trade| {
                *end += u64::from(trade.count);
                Some(*end)
            }));
        }
        Ok(Self { symbol, contract, trades, ends, played: AtomicUsize::new(0) })
    }

    /// All trades, whether they have happened or not.
    pub fn trades(&self) -> &[Trade] {
        &self.trades
    }

    /// The trades that have happened.
    pub fn happened(&self) -> &[Trade] {
        &self.trades[..self.played.load(Ordering::Acquire)]
    }

    /// One trade has happened.
    pub(super) fn play(&self) {
        self.played.fetch_add(1, Ordering::Release);
    }

    /// First and last id of the single trades that a row covers.
    pub fn span(&self, place: usize) -> (u64, u64) {
        let trade = &self.trades[place];
        match self.ends.get(place) {
            Some(end) => (end + 1 - u64::from(trade.count), *end),
            None => (trade.trade_id, trade.trade_id),
        }
    }

    /// The quantity as the venue prints it.
    pub fn printed_qty(&self, trade: &Trade) -> f64 {
        // `new` let no trade in that has none.
        printed(self.contract, trade).unwrap_or(trade.qty)
    }
}

/// The quantity that a decoder reads back as this trade, bit by bit.
fn printed(contract: Contract, trade: &Trade) -> Option<f64> {
    let guess = match contract {
        Contract::Base => return Some(trade.qty),
        Contract::Linear { size } => trade.qty / size,
        Contract::Inverse { size } => trade.quote / size,
    };
    // A quotient may be off by a rounding.
    [guess, guess.next_up(), guess.next_down()].into_iter().find(|printed| {
        let (qty, quote) = contract.amounts(trade.price, *printed);
        (qty.to_bits(), quote.to_bits()) == (trade.qty.to_bits(), trade.quote.to_bits())
    })
}

/// All series and the order in which their trades happen.
#[derive(Debug)]
pub struct Tape {
    /// Instruments.
    pub series: Vec<Series>,
    /// Series and place, by time.
    pub order: Vec<(u32, u32)>,
    /// Whether the last instrument is not listed for the time being.
    delisted: AtomicBool,
}

impl Tape {
    /// A tape of these; trades of the same time happen in the order of the series.
    pub fn new(series: Vec<Series>) -> Self {
        let mut order: Vec<(i64, u32, u32)> = Vec::new();
        for (at, one) in series.iter().enumerate() {
            // Files order trades by id; a time that goes back does not change their order.
            let mut latest = i64::MIN;
            order.extend(one.trades.iter().enumerate().map(|(place, trade)| {
                latest = latest.max(trade.event_time);
                (latest, at as u32, place as u32)
            }));
        }
        order.sort_unstable();
        let order = order.into_iter().map(|(_, at, place)| (at, place)).collect();
        Self { series, order, delisted: AtomicBool::new(false) }
    }

    /// Removes trades that happen without a client; returns how many.
    pub fn lose(series: &mut Vec<Trade>, chance: f64, length: u32, seed: u64) -> u64 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let before = series.len();
        let (mut losing, mut at) = (0, 0);
        series.retain(|_| {
            at += 1;
            // The first and the last stay: they show that something is missing between.
            if at > 1 && at < before && losing == 0 && rng.f64() < chance {
                losing = length;
            }
            let lost = losing > 0 && at < before;
            losing = losing.saturating_sub(1);
            !lost
        });
        (before - series.len()) as u64
    }

    /// The instrument of that symbol, if it is listed.
    pub fn find(&self, symbol: &str) -> Option<(u32, &Series)> {
        let at = self.series.iter().position(|series| series.symbol == symbol)?;
        (!self.is_delisted(at as u32)).then(|| (at as u32, &self.series[at]))
    }

    /// The symbols of all instruments that are listed.
    pub fn listed(&self) -> impl Iterator<Item = &str> {
        let all = self.series.iter().zip(0..);
        all.filter(|(_, at)| !self.is_delisted(*at)).map(|(series, _)| series.symbol.as_str())
    }

    /// Whether an instrument is not listed for the time being.
    pub fn is_delisted(&self, series: u32) -> bool {
        series as usize + 1 == self.series.len() && self.delisted.load(Ordering::Acquire)
    }

    /// Takes the last instrument off the list, or puts it back; whether that changes anything.
    pub(super) fn delist(&self, delisted: bool) -> bool {
        self.delisted.swap(delisted, Ordering::AcqRel) != delisted
    }
}

#[cfg(test)]
mod tests {
    use barflow_operators::trade::Aggressor;
    use proptest::prelude::*;

    use super::*;

    fn trade(id: u64, event_time: i64) -> Trade {
        let (price, aggressor) = (1.0, Aggressor::Buyer);
        Trade { trade_id: id, event_time, price, qty: 1.0, quote: 1.0, aggressor, count: 1 }
    }

    #[test]
    fn trades_of_all_series_happen_by_time_and_each_in_its_own_order() {
        let series = |symbol: &str, times: &[i64]| {
            let trades = times.iter().enumerate().map(|(id, time)| trade(id as u64, *time));
            Series::new(symbol.to_owned(), Contract::Base, trades.collect(), 1).unwrap()
        };
        let tape = Tape::new(vec![series("A", &[1, 5, 4, 6]), series("B", &[2, 5])]);
        assert_eq!(tape.order, [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1), (0, 3)]);
        assert_eq!(tape.find("B").unwrap().0, 1);
        assert!(tape.series[0].happened().is_empty());
        tape.series[0].play();
        assert_eq!(tape.series[0].happened().len(), 1);
    }

    #[test]
    fn a_time_that_the_protocol_cannot_say_is_refused() {
        let fine = vec![trade(7, 1_000_001)];
        let error = Series::new("A".to_owned(), Contract::Base, fine, 1_000_000).unwrap_err();
        assert!(error.to_string().contains("trade 7 of A"));
    }

    proptest! {
        #[test]
        fn contracts_are_printed_as_they_were_read(price in 0.0001f64..1e6, contracts in 0.001f64..1e6, size in prop_oneof![Just(100.0), Just(10.0), Just(0.01), Just(1.0)]) {
            for contract in [Contract::Base, Contract::Linear { size }, Contract::Inverse { size }] {
                let (qty, quote) = contract.amounts(price, contracts);
                let trade = Trade { price, qty, quote, ..trade(1, 0) };
                let printed = printed(contract, &trade).unwrap();
                prop_assert_eq!(contract.amounts(price, printed), (qty, quote));
            }
        }
    }
}

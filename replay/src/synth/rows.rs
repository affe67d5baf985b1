//! Made-up trades in exactly the columns of Binance's archives.

use std::io::Write;

use barflow_operators::batch::InputKind;

use super::market::MadeTrade;

/// Formats rows into a buffer.
pub struct RowWriter {
    input: InputKind,
    spot: bool,
    coin: bool,
    micros: bool,
    text: Vec<u8>,
    next_underlying: u64,
}

impl RowWriter {
    /// `spot` has one column more and no header; `coin` counts contracts of 100 USD; `micros`
    /// prints microseconds instead of milliseconds.
    pub fn new(input: InputKind, spot: bool, coin: bool, micros: bool) -> Self {
        Self { input, spot, coin, micros, text: Vec::with_capacity(1 << 17), next_underlying: 1 }
    }

    /// Formatted rows.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.text.clear();
    }

    /// The header that newer futures archives begin with.
    pub fn header(&mut self) {
        let header: &[u8] = match (self.spot, self.input, self.coin) {
            (true, _, _) => b"",
            (false, InputKind::Trades, false) => b"id,price,qty,quote_qty,time,is_buyer_maker\n",
            (false, InputKind::Trades, true) => b"id,price,qty,base_qty,time,is_buyer_maker\n",
            (false, InputKind::AggTrades, _) => {
                b"agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
            }
        };
        self.text.extend_from_slice(header);
    }

    /// Appends a row.
    pub fn write(&mut self, trade: &MadeTrade) {
        let time = if self.micros { trade.time_us } else { trade.time_us / 1000 };
        let maker = !trade.bought;
        self.whole(trade.id);
        // Spot archives pad to eight decimals, futures archives do not.
        let (price_places, qty_places) = if self.spot { (8, 8) } else { (2, 5) };
        self.decimal(u128::from(trade.price), 2, price_places);
        if self.coin {
            let contracts = 1 + trade.qty / 1000;
            self.whole(contracts);
            if self.input == InputKind::Trades {
                // 100 USD a contract: base = 100 · contracts / price, to eight decimals.
                let base = u128::from(contracts) * 10_000 * 100_000_000 / u128::from(trade.price);
                self.decimal(base, 8, 8);
            }
        } else {
            self.decimal(u128::from(trade.qty), 5, qty_places);
            if self.input == InputKind::Trades {
                let quote = u128::from(trade.price) * u128::from(trade.qty);
                self.decimal(quote, 7, 8);
            }
        }
        if self.input == InputKind::AggTrades {
            let last = self.next_underlying + u64::from(trade.count) - 1;
            self.whole(self.next_underlying);
            self.whole(last);
            self.next_underlying = last + 1;
        }
        self.whole(time.unsigned_abs());
        let word: &[u8] = match (self.spot, maker) {
            (true, true) => b"True,True",
            (true, false) => b"False,True",
            (false, true) => b"true",
            (false, false) => b"false",
        };
        self.text.extend_from_slice(word);
        self.text.push(b'\n');
    }

    fn whole(&mut self, number: u64) {
        // Writing to a Vec cannot fail.
        let _ = write!(self.text, "{number},");
    }

    /// `value` in units of 10^−`scale`, printed with `places` ≥ `scale` decimals.
    fn decimal(&mut self, value: u128, scale: u32, places: u32) {
        let unit = 10u128.pow(scale);
        let fraction = value % unit * 10u128.pow(places - scale);
        let _ = write!(self.text, "{}.{fraction:0width$},", value / unit, width = places as usize);
    }
}

//! What a client of each protocol has to know: where to connect, what to say, where values are.

use barflow_operators::trade::{Aggressor, Trade};
use barflow_simulator::exchange::tape::Contract;

/// 2026-08-09T21:05:42.514Z.
pub const BEGIN: i64 = 1_786_309_542_514_000_000;

pub const FIRST_ID: u64 = 68_572_001;

/// How a protocol writes a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clock {
    Ms,
    MsText,
    /// RFC 3339 with six decimals.
    Micros,
    /// RFC 3339 with as many decimals as there are.
    Shortest,
    /// Seconds with decimals.
    Seconds,
}

/// Where a row's values are: keys, or places where the row is a list.
#[derive(Clone, Copy, Debug)]
pub struct Fields {
    /// Where rows are in a message: a list, or a row itself.
    pub rows: &'static str,
    pub id: &'static str,
    pub price: &'static str,
    pub qty: &'static str,
    pub time: &'static str,
    pub clock: Clock,
    pub side: &'static str,
    /// What stands there when the buyer crossed the spread, and when the seller did.
    pub sides: [&'static str; 2],
}

/// What a client of a protocol has to know.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    pub name: &'static str,
    pub symbol: &'static str,
    pub contract: Contract,
    /// Finest time of messages, ns.
    pub unit: i64,
    pub path: &'static str,
    pub subscribe: &'static str,
    pub push: Fields,
    /// REST of the newest trades, or of the oldest.
    pub rest: &'static str,
    pub listed: Fields,
    /// Whether REST lists the newest first.
    pub newest_first: bool,
}

const BINANCE: Fields = Fields {
    rows: "/data",
    id: "t",
    price: "p",
    qty: "q",
    time: "T",
    clock: Clock::Ms,
    side: "m",
    sides: ["false", "true"],
};

const BINANCE_REST: Fields = Fields {
    rows: "",
    id: "id",
    price: "price",
    qty: "qty",
    time: "time",
    side: "isBuyerMaker",
    ..BINANCE
};

const COINBASE: Fields = Fields {
    rows: "/events/0/trades",
    id: "trade_id",
    price: "price",
    qty: "size",
    time: "time",
    clock: Clock::Shortest,
    side: "side",
    // The maker's.
    sides: ["SELL", "BUY"],
};

const MATCHES: Fields =
    Fields { rows: "", clock: Clock::Micros, sides: ["sell", "buy"], ..COINBASE };

const BYBIT: Fields = Fields { id: "i", qty: "v", side: "S", sides: ["Buy", "Sell"], ..BINANCE };

const BYBIT_REST: Fields = Fields {
    rows: "/result/list",
    id: "execId",
    price: "price",
    qty: "size",
    time: "time",
    clock: Clock::MsText,
    side: "side",
    ..BYBIT
};

const OKX: Fields = Fields {
    rows: "/data",
    id: "tradeId",
    price: "px",
    qty: "sz",
    time: "ts",
    clock: Clock::MsText,
    side: "side",
    sides: ["buy", "sell"],
};

const KRAKEN: Fields = Fields {
    id: "trade_id",
    price: "price",
    qty: "qty",
    time: "timestamp",
    clock: Clock::Micros,
    ..OKX
};

const KRAKEN_REST: Fields = Fields {
    rows: "/result/XBTCUSD",
    id: "6",
    price: "0",
    qty: "1",
    time: "2",
    clock: Clock::Seconds,
    side: "3",
    sides: ["b", "s"],
};

pub const MS: i64 = 1_000_000;
const MICRO: i64 = 1_000;

const SPOT: Protocol = Protocol {
    name: "binance-spot",
    symbol: "BTCUSDT",
    contract: Contract::Base,
    unit: MS,
    path: "/stream",
    subscribe: r#"{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}"#,
    push: BINANCE,
    rest: "/api/v3/historicalTrades?symbol=BTCUSDT",
    listed: BINANCE_REST,
    newest_first: false,
};

const ADVANCED: Protocol = Protocol {
    name: "coinbase",
    symbol: "BTC-USD",
    unit: MICRO,
    path: "/",
    subscribe: r#"{"type":"subscribe","product_ids":["BTC-USD"],"channel":"market_trades"}"#,
    push: COINBASE,
    rest: "/products/BTC-USD/trades?limit=1000",
    listed: MATCHES,
    newest_first: true,
    ..SPOT
};

const BYBIT_SPOT: Protocol = Protocol {
    name: "bybit-spot",
    path: "/v5/public/spot",
    subscribe: r#"{"op":"subscribe","args":["publicTrade.BTCUSDT"]}"#,
    push: BYBIT,
    rest: "/v5/market/recent-trade?category=spot&symbol=BTCUSDT",
    listed: BYBIT_REST,
    newest_first: true,
    ..SPOT
};

/// Every protocol, each with single trades.
pub const PROTOCOLS: [Protocol; 10] = [
    SPOT,
    Protocol {
        name: "binance-um",
        path: "/public/stream",
        rest: "/fapi/v1/historicalTrades?symbol=BTCUSDT",
        ..SPOT
    },
    Protocol {
        name: "binance-cm",
        symbol: "BTCUSD_PERP",
        contract: Contract::Inverse { size: 100.0 },
        subscribe: r#"{"method":"SUBSCRIBE","params":["btcusd_perp@trade"],"id":1}"#,
        rest: "/dapi/v1/historicalTrades?symbol=BTCUSD_PERP",
        ..SPOT
    },
    ADVANCED,
    Protocol {
        name: "coinbase-exchange",
        subscribe: r#"{"type":"subscribe","product_ids":["BTC-USD"],"channels":["matches"]}"#,
        push: MATCHES,
        ..ADVANCED
    },
    Protocol {
        name: "kraken",
        symbol: "BTC/USD",
        unit: MICRO,
        path: "/v2",
        subscribe: r#"{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"]},"req_id":7}"#,
        push: KRAKEN,
        rest: "/0/public/Trades?pair=BTCUSD",
        listed: KRAKEN_REST,
        ..SPOT
    },
    BYBIT_SPOT,
    Protocol {
        name: "bybit-linear",
        path: "/v5/public/linear",
        rest: "/v5/market/recent-trade?category=linear&symbol=BTCUSDT",
        ..BYBIT_SPOT
    },
    Protocol {
        name: "bybit-inverse",
        symbol: "BTCUSD",
        contract: Contract::Inverse { size: 1.0 },
        path: "/v5/public/inverse",
        subscribe: r#"{"op":"subscribe","args":["publicTrade.BTCUSD"]}"#,
        rest: "/v5/market/recent-trade?category=inverse&symbol=BTCUSD",
        ..BYBIT_SPOT
    },
    Protocol {
        name: "okx",
        symbol: "BTC-USDT",
        path: "/ws/v5/business",
        subscribe: r#"{"op":"subscribe","args":[{"channel":"trades-all","instId":"BTC-USDT"}]}"#,
        push: OKX,
        rest: "/api/v5/market/history-trades?type=1&instId=BTC-USDT",
        listed: OKX,
        newest_first: true,
        ..SPOT
    },
];

/// The protocol of that name.
pub fn protocol(name: &str) -> Protocol {
    *PROTOCOLS.iter().find(|protocol| protocol.name == name).unwrap()
}

/// Trades of a protocol's grain: both sides, several at a time, times with and without zeros at
/// their end. `printed` is what a message has to say of the quantity.
pub fn trades(protocol: Protocol, many: usize) -> Vec<Trade> {
    let mut time = BEGIN;
    let trade = |at: usize| {
        let step = [0, 1_500, 7, 0, 500_000, 86_001][at % 6] * 1_000_000;
        time += step;
        let micros = if protocol.unit < MS { [0, 318, 20, 500, 1, 0][at % 6] * 1_000 } else { 0 };
        let price = 65_083.67 + ((at * 37) % 101) as f64 / 8.0;
        let printed = match protocol.contract {
            Contract::Base => (1 + (at * 7919) % 1_000) as f64 / 1e5,
            _ => (1 + at % 58) as f64,
        };
        let (qty, quote) = protocol.contract.amounts(price, printed);
        let aggressor = if at % 3 == 1 { Aggressor::Seller } else { Aggressor::Buyer };
        let (trade_id, event_time) = (FIRST_ID + at as u64, time + micros);
        Trade { trade_id, event_time, price, qty, quote, aggressor, count: 1 }
    };
    (0..many).map(trade).collect()
}

/// What messages have to say of the quantity of the trade at this place of [`trades`].
pub fn printed(protocol: Protocol, trade: &Trade) -> f64 {
    match protocol.contract {
        Contract::Base => trade.qty,
        Contract::Linear { size } => (trade.qty / size).round(),
        Contract::Inverse { size } => (trade.quote / size).round(),
    }
}

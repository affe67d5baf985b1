//! Binance's frames are read by a fast path where their keys stand in the order that the venue
//! sends, and by a careful one otherwise. The same fields in two orders must come out alike.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use barflow_fuzz::{listings, message};
use libfuzzer_sys::fuzz_target;

/// A number as its text.
#[derive(Arbitrary, Debug)]
enum Number {
    /// What venues send.
    Decimal { whole: u32, fraction: u32, zeros: u8 },
    /// Ids and times.
    Whole(u64),
    /// Now, give or take: other times are refused before much else is seen of them.
    Time(u32),
    /// Digits, signs, points and exponents in any order.
    Digits(Vec<u8>),
    /// Anything else that a value may hold.
    Text(String),
}

impl Number {
    fn text(&self) -> String {
        match self {
            Self::Decimal { whole, fraction, zeros } => {
                format!("{whole}.{}{fraction}", "0".repeat(usize::from(zeros % 24)))
            }
            Self::Whole(number) => number.to_string(),
            Self::Time(ms) => format!("17{ms:011}"),
            Self::Digits(codes) => {
                let alphabet = b"0123456789.-+eE00";
                codes.iter().map(|code| char::from(alphabet[usize::from(*code) % 17])).collect()
            }
            Self::Text(text) => text.clone(),
        }
    }

    /// As a text of JSON. A quote, or a backslash before the closing one, would end the value
    /// elsewhere: then the two frames would not hold the same fields.
    fn quoted(&self) -> String {
        quoted(&self.text())
    }

    /// As a bare value; what has a meaning between values is left out for the same reason.
    fn bare(&self) -> String {
        self.text().replace(['"', '\\', ',', ':', '{', '}', '[', ']'], "")
    }
}

fn quoted(text: &str) -> String {
    let text = text.replace('"', "");
    let slashes = text.len() - text.trim_end_matches('\\').len();
    let even = if slashes % 2 == 1 { "\\" } else { "" };
    format!("\"{text}{even}\"")
}

#[derive(Arbitrary, Debug)]
enum Word {
    First,
    Second,
    Lower,
    Escaped,
    Other(String),
}

#[derive(Arbitrary, Debug)]
enum Flag {
    True,
    False,
    Other(Number),
}

impl Flag {
    fn text(&self) -> String {
        match self {
            Self::True => "true".to_owned(),
            Self::False => "false".to_owned(),
            Self::Other(other) => other.bare(),
        }
    }
}

/// The shapes that the fast path knows.
#[derive(Arbitrary, Debug)]
enum Shape {
    SpotTrade { flag: Flag },
    SpotTradeWithOrders { buyer: Number, seller: Number, flag: Flag },
    FuturesTrade { kind: Option<String>, status: Option<Number> },
    SpotAggregate { flag: Flag, last: Number },
    FuturesAggregate { last: Number, normal: Option<Number>, status: Option<Number> },
}

#[derive(Arbitrary, Debug)]
struct Fields {
    shape: Shape,
    stream: String,
    symbol: Word,
    sent: Number,
    id: Number,
    price: Number,
    qty: Number,
    first: Number,
    time: Number,
    maker: Flag,
    /// Which other order of the keys to compare with.
    order: u64,
}

impl Fields {
    /// Keys and values in the order that the venue sends them.
    fn in_order(&self, symbols: [&str; 2]) -> Vec<(&'static str, String)> {
        let symbol = match &self.symbol {
            Word::First => quoted(symbols[0]),
            Word::Second => quoted(symbols[1]),
            Word::Lower => quoted(&symbols[0].to_lowercase()),
            Word::Escaped => format!("\"\\u{:04x}{}\"", symbols[1].as_bytes()[0], &symbols[1][1..]),
            Word::Other(other) => quoted(other),
        };
        let symbol = ("s", symbol);
        let sent = ("E", self.sent.bare());
        let time = ("T", self.time.bare());
        let (price, qty) = (("p", self.price.quoted()), ("q", self.qty.quoted()));
        let maker = ("m", self.maker.text());
        let trade = ("e", quoted("trade"));
        let aggregate = ("e", quoted("aggTrade"));
        let status = |status: &Option<Number>| status.as_ref().map(|status| ("st", status.bare()));
        match &self.shape {
            Shape::SpotTrade { flag } => {
                let best = ("M", flag.text());
                vec![trade, sent, symbol, ("t", self.id.bare()), price, qty, time, maker, best]
            }
            Shape::SpotTradeWithOrders { buyer, seller, flag } => {
                let (buyer, seller) = (("b", buyer.bare()), ("a", seller.bare()));
                let (id, best) = (("t", self.id.bare()), ("M", flag.text()));
                vec![trade, sent, symbol, id, price, qty, buyer, seller, time, maker, best]
            }
            Shape::FuturesTrade { kind, status: st } => {
                let kind = ("X", quoted(kind.as_deref().unwrap_or("MARKET")));
                let id = ("t", self.id.bare());
                let mut all = vec![trade, sent, time, symbol, id, price, qty, kind, maker];
                all.extend(status(st));
                all
            }
            Shape::SpotAggregate { flag, last } => {
                let (first, last) = (("f", self.first.bare()), ("l", last.bare()));
                let (id, best) = (("a", self.id.bare()), ("M", flag.text()));
                vec![aggregate, sent, symbol, id, price, qty, first, last, time, maker, best]
            }
            Shape::FuturesAggregate { last, normal, status: st } => {
                let mut all = vec![aggregate, sent, ("a", self.id.bare()), symbol, price, qty];
                all.extend(normal.as_ref().map(|normal| ("nq", normal.quoted())));
                all.extend([("f", self.first.bare()), ("l", last.bare()), time, maker]);
                all.extend(status(st));
                all
            }
        }
    }
}

fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> =
        fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(fields) = Fields::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    let stream = quoted(&fields.stream);
    for venue in barflow::feeds::venues() {
        if !venue.protocol().starts_with("binance") {
            continue;
        }
        let listings = listings(&*venue);
        let mut inner = fields.in_order([&listings[0].symbol, &listings[1].symbol]);
        let sent = format!("{{\"stream\":{stream},\"data\":{}}}", object(&inner));
        // Fisher and Yates, so that every order can be reached.
        let mut order = fields.order;
        for place in (1..inner.len()).rev() {
            inner.swap(place, (order % (place as u64 + 1)) as usize);
            order /= place as u64 + 1;
        }
        // The fast path wants the stream first: this is for the careful one, always.
        let shuffled = format!("{{\"data\":{},\"stream\":{stream}}}", object(&inner));
        for channel in venue.channels() {
            let (heard, prints) = message(&*venue, *channel, &listings, sent.as_bytes());
            let (other, others) = message(&*venue, *channel, &listings, shuffled.as_bytes());
            // Malformed frames name a column, which differs.
            assert_eq!(heard.ok(), other.ok(), "{sent}\n{shuffled}");
            assert_eq!(prints, others, "{sent}\n{shuffled}");
        }
    }
});

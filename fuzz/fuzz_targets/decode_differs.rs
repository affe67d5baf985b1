//! Binance's frames are read by a fast path where their keys stand in the order that the venue
//! sends, and by a careful one otherwise. The same fields in two orders must come out alike.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use barflow_fuzz::{listings, message};
use libfuzzer_sys::fuzz_target;

/// A price or quantity: the leading bits of these digits (so that short numbers are as likely as
/// long ones), with the point before the last so many of them.
#[derive(Arbitrary, Debug)]
struct Decimal {
    digits: u64,
    cut: u8,
    decimals: u8,
}

impl Decimal {
    fn quoted(&self) -> String {
        let decimals = usize::from(self.decimals % 24);
        let digits = self.digits >> (self.cut % 64);
        let digits = format!("{digits:0width$}", width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let point = if fraction.is_empty() { "" } else { "." };
        format!("\"{whole}{point}{fraction}\"")
    }
}

/// What stands where a valid value should.
#[derive(Arbitrary, Debug)]
enum Odd {
    /// Digits, signs, points and exponents in any order.
    Digits(Vec<u8>),
    /// A whole number, such as one that is too large.
    Whole(u128),
    /// Anything else that a value may hold.
    Text(String),
}

impl Odd {
    /// As a text of JSON, or bare.
    fn value(&self, in_quotes: bool) -> String {
        let text = match self {
            Self::Digits(codes) => {
                let alphabet = b"0123456789.-+eE00";
                codes.iter().map(|code| char::from(alphabet[usize::from(*code) % 17])).collect()
            }
            Self::Whole(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        };
        if in_quotes {
            return quoted(&text);
        }
        // What has a meaning between values would make other fields of the same characters.
        text.replace(['"', '\\', ',', ':', '{', '}', '[', ']'], "")
    }
}

/// A text of JSON. A quote, or a backslash before the closing one, would end it elsewhere: then the
/// two frames would not hold the same fields.
fn quoted(text: &str) -> String {
    let text = text.replace('"', "");
    let slashes = text.len() - text.trim_end_matches('\\').len();
    let even = if slashes % 2 == 1 { "\\" } else { "" };
    format!("\"{text}{even}\"")
}

/// The shapes that the fast path knows.
#[derive(Arbitrary, Debug)]
enum Shape {
    SpotTrade,
    SpotTradeWithOrders,
    FuturesTrade { status: Option<u8> },
    SpotAggregate,
    FuturesAggregate { normal: Option<Decimal>, status: Option<u8> },
}

/// Lawful but for the odd values: were every one of them arbitrary, hardly a frame would be read
/// to its end.
#[derive(Arbitrary, Debug)]
struct Fields {
    shape: Shape,
    second: bool,
    id: u64,
    price: Decimal,
    qty: Decimal,
    first: u64,
    more: u32,
    /// ms after the beginning of 2020, or µs.
    time: u32,
    micro: bool,
    maker: bool,
    /// Which other order of the keys to compare with.
    order: u64,
    /// Places of odd values and whether they are texts.
    odd: Vec<(u8, bool, Odd)>,
}

impl Fields {
    /// Keys and values in the order that the venue sends them.
    fn in_order(&self, symbols: [&str; 2]) -> Vec<(&'static str, String)> {
        let time = 1_577_836_800_000 + u64::from(self.time);
        let time = if self.micro { time * 1_000 + 7 } else { time }.to_string();
        let last = ("l", self.first.wrapping_add(self.more.into()).to_string());
        let first = ("f", self.first.to_string());
        let id = self.id.to_string();
        let symbol = ("s", quoted(symbols[usize::from(self.second)]));
        let (sent, time) = (("E", time.clone()), ("T", time));
        let (price, qty) = (("p", self.price.quoted()), ("q", self.qty.quoted()));
        let (maker, best) = (("m", self.maker.to_string()), ("M", "true".to_owned()));
        let trade = ("e", quoted("trade"));
        let aggregate = ("e", quoted("aggTrade"));
        let status = |status: &Option<u8>| status.map(|status| ("st", status.to_string()));
        match &self.shape {
            Shape::SpotTrade => {
                vec![trade, sent, symbol, ("t", id), price, qty, time, maker, best]
            }
            Shape::SpotTradeWithOrders => {
                let (buyer, seller) = (("b", "88".to_owned()), ("a", "50".to_owned()));
                vec![trade, sent, symbol, ("t", id), price, qty, buyer, seller, time, maker, best]
            }
            Shape::FuturesTrade { status: st } => {
                let kind = ("X", quoted("MARKET"));
                let mut all = vec![trade, sent, time, symbol, ("t", id), price, qty, kind, maker];
                all.extend(status(st));
                all
            }
            Shape::SpotAggregate => {
                vec![aggregate, sent, symbol, ("a", id), price, qty, first, last, time, maker, best]
            }
            Shape::FuturesAggregate { normal, status: st } => {
                let mut all = vec![aggregate, sent, ("a", id), symbol, price, qty];
                all.extend(normal.as_ref().map(|normal| ("nq", normal.quoted())));
                all.extend([first, last, time, maker]);
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
    for venue in barflow::feeds::venues() {
        if !venue.protocol().starts_with("binance") {
            continue;
        }
        let listings = listings(&*venue);
        let mut inner = fields.in_order([&listings[0].symbol, &listings[1].symbol]);
        let mut stream = quoted("x@y");
        // The place behind the fields is that of the stream's name.
        let places = inner.len() + 1;
        for (place, in_quotes, odd) in &fields.odd {
            match inner.get_mut(usize::from(*place) % places) {
                Some((_, value)) => *value = odd.value(*in_quotes),
                None => stream = odd.value(true),
            }
        }
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

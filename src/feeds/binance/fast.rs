//! The frames that Binance sends today, read in one pass in their fixed order of keys.
//!
//! Whatever is not exactly of a known shape is left to [`careful`](super::careful), which must come
//! to the same result on all that this takes.

use barflow_operators::trade::Aggressor;
use barflow_replay::binance::is_not_a_trade;

use super::{ZERO, event_time, span};
use crate::feeds::field;
use crate::feeds::print::{PrintId, Prints};
use crate::feeds::symbol_table::SymbolTable;
use crate::feeds::venue::Channel;

/// Reads a frame of a known shape; none where it is another, and then nothing was pushed.
#[inline]
pub(super) fn read(
    frame: &[u8],
    channel: Channel,
    symbol_table: &SymbolTable,
    prints: &mut Prints,
) -> Option<()> {
    let mut scan = Scan { bytes: frame, at: 0 };
    scan.literal(b"{\"stream\":\"")?;
    scan.text()?;
    scan.literal(b",\"data\":{\"e\":\"")?;
    match channel {
        Channel::Trades => trade(&mut scan, symbol_table, prints),
        Channel::Aggregates => aggregate(&mut scan, symbol_table, prints),
    }
}

/// ```json
/// {"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63","q":"0.02","T":1723161255342,"m":true,"M":true}
/// {"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":false}
/// ```
#[inline]
fn trade(scan: &mut Scan<'_>, symbol_table: &SymbolTable, prints: &mut Prints) -> Option<()> {
    scan.literal(b"trade\",\"E\":")?;
    scan.integer()?;
    let futures = scan.literal(b",\"T\":").is_some();
    let mut time = if futures { scan.integer()? } else { 0 };
    scan.literal(b",\"s\":\"")?;
    let symbol = scan.text()?;
    scan.literal(b",\"t\":")?;
    let id = scan.integer()?;
    scan.literal(b",\"p\":\"")?;
    let price = scan.decimal()?;
    scan.literal(b",\"q\":\"")?;
    let qty = scan.decimal()?;
    if futures {
        scan.literal(b",\"X\":\"MARKET\"")?;
    } else {
        // Until 2024 spot named the two orders.
        if scan.literal(b",\"b\":").is_some() {
            scan.integer()?;
            scan.literal(b",\"a\":")?;
            scan.integer()?;
        }
        scan.literal(b",\"T\":")?;
        time = scan.integer()?;
    }
    let aggressor = scan.end(futures)?;
    let Some((slot, listing)) = symbol_table.find(symbol) else {
        prints.foreign += 1;
        return Some(());
    };
    let time = event_time(time);
    if futures && is_not_a_trade(qty) {
        prints.exclude(slot, id, time, ZERO);
    } else {
        prints.push(slot, listing.contract, PrintId::Number(id), 1, time, price, qty, aggressor);
    }
    Some(())
}

/// ```json
/// {"e":"aggTrade","E":1616176861895,"s":"BTCUSDT","a":640283266,"p":"58942.01","q":"0.0003","f":716849523,"l":716849523,"T":1616176861893,"m":false,"M":true}
/// {"e":"aggTrade","E":1616202009196,"a":389551486,"s":"BTCUSDT","p":"58665.00","q":"0.043","f":621622993,"l":621622993,"T":1616202009188,"m":false}
/// ```
#[inline]
fn aggregate(scan: &mut Scan<'_>, symbol_table: &SymbolTable, prints: &mut Prints) -> Option<()> {
    scan.literal(b"aggTrade\",\"E\":")?;
    scan.integer()?;
    let futures = scan.literal(b",\"a\":").is_some();
    let mut id = if futures { scan.integer()? } else { 0 };
    scan.literal(b",\"s\":\"")?;
    let symbol = scan.text()?;
    if !futures {
        scan.literal(b",\"a\":")?;
        id = scan.integer()?;
    }
    scan.literal(b",\"p\":\"")?;
    let price = scan.decimal()?;
    scan.literal(b",\"q\":\"")?;
    let qty = scan.decimal()?;
    // Since 2025-12-31 USD-M also says how much of it was no retail price improvement.
    if scan.literal(b",\"nq\":\"").is_some() {
        scan.decimal()?;
    }
    scan.literal(b",\"f\":")?;
    let first = scan.integer()?;
    scan.literal(b",\"l\":")?;
    let count = span(first, scan.integer()?)?;
    scan.literal(b",\"T\":")?;
    let time = event_time(scan.integer()?);
    let aggressor = scan.end(futures)?;
    let Some((slot, listing)) = symbol_table.find(symbol) else {
        prints.foreign += 1;
        return Some(());
    };
    if futures && is_not_a_trade(qty) {
        prints.exclude(slot, id, time, ZERO);
    } else {
        prints.push(
            slot,
            listing.contract,
            PrintId::Number(id),
            count,
            time,
            price,
            qty,
            aggressor,
        );
    }
    Some(())
}

/// Largest whole number up to which every one is an `f64`.
const EXACT: u64 = 1 << 53;

/// Powers of ten that are exact as `f64`.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    #[inline(always)]
    fn literal(&mut self, expected: &[u8]) -> Option<()> {
        let found = self.bytes.get(self.at..self.at + expected.len())?;
        if found != expected {
            return None;
        }
        self.at += expected.len();
        Some(())
    }

    /// A whole number without sign, as JSON writes it.
    #[inline(always)]
    fn integer(&mut self) -> Option<u64> {
        let start = self.at;
        let mut value: u64 = 0;
        while let Some(digit) = self.bytes.get(self.at).map(|byte| byte.wrapping_sub(b'0'))
            && digit <= 9
        {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.at += 1;
        }
        let digits = self.at - start;
        // 19 digits always fit; a leading 0 is not JSON.
        let valid = (1..=19).contains(&digits) && (digits == 1 || self.bytes[start] != b'0');
        valid.then_some(value)
    }

    /// A decimal number up to its closing quote, correctly rounded.
    #[inline(always)]
    fn decimal(&mut self) -> Option<f64> {
        let start = self.at;
        let mut mantissa: u64 = 0;
        let mut dot = None;
        loop {
            let byte = *self.bytes.get(self.at)?;
            let digit = byte.wrapping_sub(b'0');
            if digit <= 9 {
                mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            } else if byte == b'.' && dot.is_none() {
                dot = Some(self.at);
            } else if byte == b'"' {
                break;
            } else {
                return None;
            }
            self.at += 1;
        }
        let text = &self.bytes[start..self.at];
        self.at += 1;
        let decimals = dot.map_or(0, |dot| self.at - 2 - dot);
        let digits = text.len() - usize::from(dot.is_some());
        // One division of two exact numbers rounds once (Clinger 1990); the rest is left to the
        // general parser.
        if (1..=19).contains(&digits)
            && mantissa <= EXACT
            && text[0] != b'.'
            && text[text.len() - 1] != b'.'
        {
            return Some(mantissa as f64 / TENS[decimals]);
        }
        field::decimal(text)
    }

    /// A text up to its closing quote; none if it has an escape.
    #[inline(always)]
    fn text(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        loop {
            match *self.bytes.get(self.at)? {
                b'"' => break,
                b'\\' | 0..=31 | 128.. => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(&self.bytes[start..self.at - 1])
    }

    /// The aggressor, and nothing after it.
    #[inline(always)]
    fn end(&mut self, futures: bool) -> Option<Aggressor> {
        self.literal(b",\"m\":")?;
        let seller = self.literal(b"true").is_some();
        if !seller {
            self.literal(b"false")?;
        }
        if !futures && self.literal(b",\"M\":true").is_none() {
            self.literal(b",\"M\":false")?;
        }
        if futures && self.literal(b",\"st\":").is_some() {
            self.integer()?;
        }
        self.literal(b"}}")?;
        (self.at == self.bytes.len()).then_some(if seller {
            Aggressor::Seller
        } else {
            Aggressor::Buyer
        })
    }
}

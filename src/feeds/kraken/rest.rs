//! Missing trades from REST: oldest first from a time on.
//!
//! ```json
//! {"error":[],"result":{"XXBTZUSD":[["105433.6","0.00027625",1762795433.9717445,"b","l","",10218208]],"last":"1762795433971744500"}}
//! ```

use std::collections::BTreeMap;

use barflow_operators::trade::Aggressor;
use serde_json::value::RawValue;

use super::to_microseconds;
use crate::feeds::field::{self, object};
use crate::feeds::print::{BadFrame, BadRow, Listing, PrintId, Prints};
use crate::feeds::venue::{Missing, Request};
use crate::printable::said;

/// `since` is a time in ns, exclusive. One ms earlier than the last trade before what is missing:
/// several trades share a time, and rows that came already are welcome.
pub(super) fn request(pair: &str, missing: &Missing) -> Request {
    let since = missing.after.unwrap_or(0).saturating_sub(1_000_000).max(0);
    let pair = pair.replace('/', "");
    Request { path: format!("/0/public/Trades?pair={pair}&since={since}&count=1000"), weight: 1 }
}

/// Parts of errors about limits and busy servers, which come with HTTP 200
/// ([list](https://docs.kraken.com/api/docs/guides/spot-errors)).
const NOT_NOW: [&str; 4] = ["Rate limit", "Too many requests", "Temporary lockout", "EService:"];

object! {
    struct Answer { error: "error", result: "result" }
}

pub(super) fn read(
    slot: u32,
    listing: &Listing,
    body: &[u8],
    prints: &mut Prints,
) -> Result<(), BadFrame> {
    let answer: Answer<'_> =
        serde_json::from_slice(body).map_err(|error| field::malformed(&error))?;
    let errors: Vec<&str> = field::list("error", answer.error)?;
    let (true, Some(result)) = (errors.is_empty(), answer.result) else {
        let refusal = errors.iter().any(|error| NOT_NOW.iter().any(|part| error.contains(part)));
        return Err(BadFrame {
            what: format!("Kraken responded: {}", said(errors.join(", ").as_bytes())),
            refusal,
        });
    };
    // The pair is called by Kraken's own name for it, whatever it was asked by.
    let result: BTreeMap<&str, &RawValue> =
        serde_json::from_str(result.get()).map_err(|error| field::malformed(&error))?;
    let pairs = || result.iter().filter(|(name, _)| **name != "last");
    if pairs().count() > 1 {
        let names: Vec<&str> = pairs().map(|(name, _)| *name).collect();
        let what =
            format!("Kraken listed trades of {}, and one pair was asked for", names.join(", "));
        return Err(BadFrame::new(what));
    }
    for (_, rows) in pairs() {
        for row in field::list::<Vec<&RawValue>>("result", Some(rows))? {
            if let Err(bad) = read_row(slot, listing, &row, prints) {
                prints.bad.push(BadRow { slot: Some(slot), ..bad });
            }
        }
    }
    prints.rows.sort_by_key(|print| print.trade.trade_id);
    Ok(())
}

fn read_row(
    slot: u32,
    listing: &Listing,
    row: &[&RawValue],
    prints: &mut Prints,
) -> Result<(), BadRow> {
    let column = |place: usize| row.get(place).copied();
    let id = field::bare_integer("trade_id", column(6))?;
    let known = |bad: BadRow| BadRow { id: Some(id), ..bad };
    let price = field::quoted_decimal("price", column(0)).map_err(known)?;
    let qty = field::quoted_decimal("volume", column(1)).map_err(known)?;
    let time = to_microseconds(field::seconds("time", column(2)).map_err(known)?);
    let side: Aggressor = field::taker("side", column(3), "b", "s").map_err(known)?;
    prints.push(slot, listing.contract, PrintId::Number(id), 1, time, price, qty, side);
    Ok(())
}

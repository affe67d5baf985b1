//! Missing trades from Exchange's REST, newest first, paged by id.
//!
//! Source: [product trades](https://docs.cdp.coinbase.com/api-reference/exchange-api/rest-api/products/get-product-trades),
//! [pagination](https://docs.cdp.coinbase.com/exchange/rest-api/pagination).

use super::aggressor;
use crate::feeds::field::{self, object};
use crate::feeds::print::{BadFrame, BadRow, Listing, PrintId, Prints};
use crate::feeds::venue::Request;
use crate::printable::said;

/// Rows of a page, the most there are.
const PAGE: u64 = 1000;

/// The page that begins with the first missing id: `after` means older than, so it names the id
/// after the page. What is missing further on may be on it as well.
pub(super) fn request(product: &str, first: u64) -> Request {
    let after = first.saturating_add(PAGE);
    Request { path: format!("/products/{product}/trades?limit={PAGE}&after={after}"), weight: 1 }
}

object! {
    struct Row {
        product: "product_id", id: "trade_id", price: "price", size: "size", time: "time", side: "side",
    }
}

pub(super) fn read(
    slot: u32,
    listing: &Listing,
    body: &[u8],
    prints: &mut Prints,
) -> Result<(), BadFrame> {
    if body.trim_ascii_start().first() != Some(&b'[') {
        let said = said(body);
        return Err(BadFrame::new(format!("Coinbase responded: {said}")));
    }
    let rows: Vec<Row<'_>> =
        serde_json::from_slice(body).map_err(|error| field::malformed(&error))?;
    for row in rows.iter().rev() {
        if let Err(bad) = read_row(slot, listing, row, prints) {
            prints.bad.push(BadRow { slot: Some(slot), ..bad });
        }
    }
    prints.rows.sort_by_key(|print| print.trade.trade_id);
    Ok(())
}

fn read_row(
    slot: u32,
    listing: &Listing,
    row: &Row<'_>,
    prints: &mut Prints,
) -> Result<(), BadRow> {
    field::of_symbol("product_id", row.product, &listing.symbol)?;
    let id = field::bare_integer("trade_id", row.id)?;
    let known = |bad: BadRow| BadRow { id: Some(id), ..bad };
    let price = field::quoted_decimal("price", row.price).map_err(known)?;
    let size = field::quoted_decimal("size", row.size).map_err(known)?;
    let time = field::rfc3339("time", row.time).map_err(known)?;
    let side = aggressor("side", row.side, "buy", "sell").map_err(known)?;
    prints.push(slot, listing.contract, PrintId::Number(id), 1, time, price, size, side);
    Ok(())
}

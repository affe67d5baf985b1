//! What the targets share: which instruments are listed, and what must hold of everything that a
//! venue's frames are read into.

use std::sync::Arc;

use barflow::feeds::print::{BadFrame, FrameKind, Listing, Prints, Standing, Ids};
use barflow::feeds::venue::{Channel, Venue};
use barflow_operators::validation;

/// Two instruments of a venue. Where contracts differ both kinds are listed: what a quantity means
/// is part of what can go wrong.
pub fn listings(venue: &dyn Venue) -> Arc<[Listing]> {
    let symbols = match venue.protocol() {
        "binance-spot" | "binance-um" | "bybit-spot" | "bybit-linear" => {
            [("BTCUSDT", None), ("ETHUSDT", None)]
        }
        "binance-cm" => [("BTCUSD_PERP", None), ("ETHUSD_PERP", None)],
        "bybit-inverse" => [("BTCUSD", None), ("ETHUSD", None)],
        "coinbase" | "coinbase-exchange" | "kraken" => [("BTC-USD", None), ("ETH-USD", None)],
        "okx" => [("BTC-USDT-SWAP", Some(0.01)), ("BTC-USD-SWAP", None)],
        other => panic!("\"{other}\" is new: say here which instruments it lists"),
    };
    let list = |(symbol, size)| Listing {
        symbol: venue.wire_symbol(symbol),
        contract: venue.contract(symbol, size).expect("the symbols above are the venue's"),
    };
    symbols.map(list).into()
}

/// Reads `frame` by everything of the venue whose protocols begin with `name`: as a message of each
/// channel and as a REST answer.
pub fn read_as(name: &str, frame: &[u8]) {
    let venues = barflow::feeds::venues();
    for venue in venues.iter().filter(|venue| venue.protocol().starts_with(name)) {
        let listings = listings(&**venue);
        for channel in venue.channels() {
            let _ = message(&**venue, *channel, &listings, frame);
            answer(&**venue, *channel, &listings, frame);
        }
    }
}

/// Reads a frame as a message and judges what comes of it.
pub fn message(
    venue: &dyn Venue,
    channel: Channel,
    listings: &Arc<[Listing]>,
    frame: &[u8],
) -> (Result<FrameKind, BadFrame>, Prints) {
    let mut decoder = venue.decoder(channel, listings.clone());
    let mut prints = Prints::default();
    let heard = decoder.decode(frame, &mut prints);
    judge(venue, channel, listings, &prints);
    let nothing = prints.rows.is_empty() && prints.bad.is_empty() && prints.foreign == 0;
    assert!(nothing || heard.is_err() || heard == Ok(FrameKind::Trades), "{heard:?} with {prints:?}");

    // A frame means the same whatever came before it, be it itself.
    let first = prints.clone();
    prints.clear();
    let again = decoder.decode(frame, &mut prints);
    assert_eq!((&heard, &first), (&again, &prints), "read twice");
    (heard, prints)
}

/// Reads a body as a REST answer and judges what comes of it.
pub fn answer(venue: &dyn Venue, channel: Channel, listings: &[Listing], body: &[u8]) {
    // The last one, so that a slot that is made up rather than passed on is noticed.
    let slot = listings.len() - 1;
    let mut prints = Prints::default();
    let read = |prints: &mut Prints| {
        venue.read_backfill(channel, slot as u32, &listings[slot], body, prints)
    };
    let result = read(&mut prints);
    judge(venue, channel, listings, &prints);
    assert_eq!(prints.foreign, 0, "REST is asked for one instrument");
    let slots = prints.rows.iter().map(|row| Some(row.slot));
    let mut slots = slots.chain(prints.bad.iter().map(|bad| bad.slot));
    assert!(slots.all(|of| of == Some(slot as u32)), "rows of another instrument: {prints:?}");
    // Of an answer that was refused nothing is taken, so its rows may stand as they came.
    if result.is_ok() && venue.ids(channel) != Ids::Names {
        assert!(prints.rows.is_sorted_by_key(|row| row.trade.trade_id), "out of order: {prints:?}");
    }

    let first = prints.clone();
    prints.clear();
    assert_eq!((&result, &first), (&read(&mut prints), &prints), "read twice");
}

/// What the graph relies on.
fn judge(venue: &dyn Venue, channel: Channel, listings: &[Listing], prints: &Prints) {
    for row in &prints.rows {
        assert!((row.slot as usize) < listings.len(), "{row:?} is of no instrument");
        let trade = &row.trade;
        if row.standing != Standing::Trade {
            continue;
        }
        let valid = validation::check(trade.price, trade.qty, trade.quote, trade.event_time);
        assert_eq!(valid, Ok(()), "{row:?}");
        assert!(trade.count > 0, "{row:?} stands for no trade");
        match venue.ids(channel) {
            // The reorder buffer numbers.
            Ids::Names => {}
            Ids::Consecutive | Ids::Spans => assert_eq!(row.key, trade.trade_id, "{row:?}"),
        }
    }
    for bad in &prints.bad {
        let known = bad.slot.is_none_or(|slot| (slot as usize) < listings.len());
        assert!(known, "{bad:?} is of no instrument");
        assert!(
            !bad.field.is_empty() && !bad.reason.is_empty(),
            "{bad:?} does not say what is wrong"
        );
    }
}

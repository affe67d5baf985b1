//! Instruments as they are typed: a venue that barflow knows has markets that it knows.

use barflow_operators::instrument::InstrumentId;
use barflow_replay::named::GivenInstrument;

use super::problem::suggestion;

/// Venues and the markets by which they divide their instruments.
const MARKETS: [(&str, &[&str]); 5] = [
    ("binance", &["spot", "um", "cm", "option"]),
    ("bybit", &["spot", "linear", "inverse", "option"]),
    ("coinbase", &["spot", "futures"]),
    ("kraken", &["spot", "futures"]),
    ("okx", &["spot", "swap", "futures", "option"]),
];

/// Reads an instrument.
///
/// # Errors
/// When it is not of the form venue:market:SYMBOL, or the venue has no such market. Other venues and
/// their markets are free, unless one is nearly spelt like a venue that is known.
pub fn instrument(text: &str) -> Result<InstrumentId, String> {
    let instrument: InstrumentId = text.parse().map_err(|error| format!("{error}"))?;
    let (venue, market) = (instrument.venue(), instrument.market());
    match MARKETS.iter().find(|(known, _)| *known == venue) {
        Some((_, markets)) if markets.contains(&market) => Ok(instrument),
        Some((_, markets)) => {
            let hint = suggestion(market, markets.iter().copied());
            let markets = markets.join(", ");
            Err(format!("{venue} has no market \"{market}\"; it has {markets}{hint}"))
        }
        None => match near(venue) {
            Some(known) => Err(format!("venue \"{venue}\": did you mean \"{known}\"?")),
            None => Ok(instrument),
        },
    }
}

/// Reads the instrument of files: with `NAME=` before it, files that are named for NAME are taken as
/// that instrument.
///
/// # Errors
/// As [`instrument`].
pub fn of_files(text: &str) -> Result<GivenInstrument, String> {
    GivenInstrument::parse(text, instrument)
}

/// A venue whose name differs by one slip; short names are too close to each other to tell.
fn near(venue: &str) -> Option<&'static str> {
    let slips = |known: &str| strsim::damerau_levenshtein(&venue.to_lowercase(), known);
    MARKETS.iter().map(|(known, _)| *known).find(|known| known.len() > 3 && slips(known) <= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_markets_of_known_venues_are_refused() {
        for good in
            ["binance:spot:BTCUSDT", "okx:swap:BTC-USDT-SWAP", "bitmex:perp:XBTUSD", "x:y:Z"]
        {
            assert!(instrument(good).is_ok(), "{good}");
        }
        for (wrong, said) in [
            (
                "binance:sopt:BTCUSDT",
                "binance has no market \"sopt\"; it has spot, um, cm, option (did you mean \"spot\"?)",
            ),
            ("binance:SPOT:BTCUSDT", "binance has no market \"SPOT\""),
            ("kraken:cm:BTC-USD", "it has spot, futures"),
            ("binnance:spot:BTCUSDT", "did you mean \"binance\"?"),
            ("Kraken:spot:BTC-USD", "did you mean \"kraken\"?"),
            ("BTCUSDT", "venue:market:SYMBOL"),
        ] {
            let found = instrument(wrong);
            assert!(found.as_ref().is_err_and(|error| error.contains(said)), "{wrong}: {found:?}");
        }
    }
}

//! From the symbol in a frame to its place in the connection's list.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::print::Listing;

/// The instruments of one connection, found by their symbols.
///
/// A table of open addresses: a frame costs one hash of a few bytes and, nearly always, one
/// comparison, however many instruments a connection carries.
#[derive(Debug)]
pub struct SymbolTable {
    listings: Arc<[Listing]>,
    /// Places. A power of two long, at most half full.
    table: Vec<Option<u32>>,
}

impl SymbolTable {
    /// A table of these; places count from 0.
    pub fn new(listings: Arc<[Listing]>) -> Self {
        let mut table = vec![None; (listings.len() * 2).next_power_of_two().max(2)];
        let mask = table.len() - 1;
        for (place, listing) in listings.iter().enumerate() {
            let mut at = xxh3_64(listing.symbol.as_bytes()) as usize & mask;
            while table[at].is_some() {
                at = (at + 1) & mask;
            }
            table[at] = Some(place as u32);
        }
        Self { listings, table }
    }

    /// The place of a symbol and what it lists, if it was asked for.
    #[inline]
    pub fn find(&self, symbol: &[u8]) -> Option<(u32, &Listing)> {
        let mask = self.table.len() - 1;
        let mut at = xxh3_64(symbol) as usize & mask;
        // Ends: the table has empty places.
        while let Some(place) = self.table[at] {
            let listing = &self.listings[place as usize];
            if listing.symbol.as_bytes() == symbol {
                return Some((place, listing));
            }
            at = (at + 1) & mask;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::print::Contract;

    #[test]
    fn every_symbol_is_found_at_its_place_and_no_other() {
        for many in [0, 1, 2, 20, 1024] {
            let listings: Vec<Listing> = (0..many)
                .map(|n| Listing { symbol: format!("S{n}USDT"), contract: Contract::Base })
                .collect();
            let symbol_table = SymbolTable::new(listings.into());
            for n in 0..many {
                assert_eq!(symbol_table.find(format!("S{n}USDT").as_bytes()).unwrap().0, n);
            }
            assert!(symbol_table.find(b"OTHER").is_none());
            assert!(symbol_table.find(b"").is_none());
        }
    }
}

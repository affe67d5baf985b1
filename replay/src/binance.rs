//! What Binance's public documents fix and files do not say.

/// Quote value of one COIN-M contract in USD: 100 for BTC, 10 for everything else.
///
/// Source: Binance Futures, "COIN-Margined contract specifications" (contract multiplier).
pub fn contract_size(symbol: &str) -> f64 {
    if symbol.starts_with("BTCUSD") { 100.0 } else { 10.0 }
}

/// Why rows of quantity 0 are left out.
pub const QTY_ZERO: &str = "quantity 0";

/// Whether a print of Binance's futures is not a trade: the venue numbers entries of quantity 0 (and
/// mostly of price 0) among its trades, in streams, answers and archives alike. They make no bar, and
/// their ids leave no gap. A price of 0 with a quantity is a bad row, as is a quantity of 0 on spot.
pub fn is_not_a_trade(qty: f64) -> bool {
    qty == 0.0
}

/// Ns per unit for a time of this magnitude: archives print ms, spot from 2025-01-01 on µs
/// (binance/binance-public-data README). None if it is not a time between 2009 and 2100 in any
/// unit.
pub fn unit_ns(time: u64) -> Option<i64> {
    [1_000_000_000i64, 1_000_000, 1_000, 1].into_iter().find(|unit| {
        let ns = i128::from(time) * i128::from(*unit);
        let range = i128::from(barflow_operators::validation::EARLIEST_NS)
            ..i128::from(barflow_operators::validation::LATEST_NS);
        range.contains(&ns)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_by_magnitude() {
        assert_eq!(unit_ns(1_514_764_802), Some(1_000_000_000));
        assert_eq!(unit_ns(1_514_764_802_610), Some(1_000_000));
        assert_eq!(unit_ns(1_735_689_600_000_000), Some(1_000));
        assert_eq!(unit_ns(1_735_689_600_000_000_000), Some(1));
        assert_eq!(unit_ns(14_400_795), None);
        assert_eq!(unit_ns(u64::MAX), None);
    }

    #[test]
    fn only_bitcoin_contracts_are_worth_100_dollars() {
        assert_eq!(contract_size("BTCUSD_PERP"), 100.0);
        assert_eq!(contract_size("ETHUSD_240329"), 10.0);
    }
}

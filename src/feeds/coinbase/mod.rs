//! Coinbase: Advanced Trade `market_trades` and Exchange `matches`.

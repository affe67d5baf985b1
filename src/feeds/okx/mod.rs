//! OKX v5: `trades` and `trades-all`.

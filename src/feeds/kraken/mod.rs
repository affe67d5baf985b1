//! Kraken: websocket v2 `trade`.

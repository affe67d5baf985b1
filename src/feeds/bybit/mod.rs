//! Bybit v5: `publicTrade`, spot, linear and inverse.

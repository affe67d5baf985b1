//! What a client may take.

use std::time::Duration;

/// What a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are open at the same time, those of all clients together.
    pub connections: usize,
    /// How long the head of a request may take, from the moment the connection is free for it: so this is also how
    /// long a connection may be idle.
    pub head: Duration,
    /// Bytes of a head.
    pub head_bytes: usize,
    /// How long a client may take nothing of what is sent to it.
    pub stall: Duration,
}

impl Limits {
    /// The smallest buffer that hyper takes.
    pub(crate) const LEAST_BUFFER: usize = 8192;
}

impl Default for Limits {
    /// 64 connections, heads of 16 KiB within 10 s, and clients that take something at least every 30 s.
    fn default() -> Self {
        Self {
            connections: 64,
            head: Duration::from_secs(10),
            head_bytes: 16 << 10,
            stall: Duration::from_secs(30),
        }
    }
}

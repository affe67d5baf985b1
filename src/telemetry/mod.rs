//! Latencies, metrics and logs.
//!
//! **Invariant:** read-only; nothing here influences a bar.

use std::net::SocketAddr;

pub mod clock;
pub mod latency;
pub mod names;
mod port;

/// Starts logging to standard error, and serving metrics if an address is given.
///
/// # Errors
/// When the address cannot be listened at.
pub fn start(level: tracing::Level, metrics: Option<SocketAddr>) -> Result<(), String> {
    use std::io::IsTerminal;
    // Fails only when somebody has started logging before, who then has it their way.
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_max_level(level)
        .with_target(false)
        .try_init();
    // One provider of cryptography for all connections; a second choice changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(address) = metrics {
        port::start(address)
            .map_err(|error| format!("metrics cannot be served at {address}: {error}"))?;
    }
    Ok(())
}

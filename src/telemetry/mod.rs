//! Latencies, metrics and logs, and the terminal that logs share with a line that redraws itself.
//!
//! **Invariant:** read-only; nothing here influences a bar.

use std::fmt;
use std::net::SocketAddr;

use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::printable::line;

pub mod clock;
pub mod histogram;
pub mod latency;
pub mod names;
mod port;
pub mod terminal;

/// Starts logging to standard error, and serving metrics if an address is given.
///
/// # Errors
/// When the address cannot be listened at.
pub fn start(level: tracing::Level, metrics: Option<SocketAddr>) -> Result<(), String> {
    // Fails only when somebody has started logging before, who then has it their way.
    let _ = tracing_subscriber::fmt()
        .fmt_fields(debug_fn(write_field).delimited(" "))
        .with_writer(terminal::Log::default)
        .with_ansi(terminal::has_colour())
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

/// Writes a field of an event. Names, symbols and words of servers come here: whatever they hold, an
/// event stays one line.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let text = match field.name() {
        "message" => format!("{value:?}"),
        name => format!("{name}={value:?}"),
    };
    // Lines of our own messages: hints, and lists of problems.
    let text = text.replace("\nhint: ", "; hint: ").replace("\n  ", " ");
    writer.write_str(&line(&text))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let feed = "a\n2026-01-01T00:00:00Z  INFO all is well";
            tracing::warn!(%feed, said = "\u{1b}[2J", n = 7, "x\u{9b}31m\r\n{}", "y\nhint: wait");
        });
        let text = String::from_utf8_lossy(&log.0.lock().unwrap_or_else(PoisonError::into_inner))
            .into_owned();
        assert_eq!(
            text,
            " WARN barflow::telemetry::tests: x\\u{9b}31m\\r\\ny; hint: wait \
             feed=a\\n2026-01-01T00:00:00Z  INFO all is well said=\"\\u{1b}[2J\" n=7\n"
        );
    }
}

//! Why connections end.

use std::time::{Duration, SystemTime};

use tokio_tungstenite::tungstenite::error::Error as WsError;

use super::backfill::LOCATION;
use super::subscriptions::ANSWERING;
use crate::backoff::retry_after;
use crate::net::url::{Url, redacted};
use crate::printable::{excerpt, said};

/// Why a connection ended, or did not come about.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// The name does not resolve, the connection is refused, or the network is down.
    #[error("could not connect to \"{url}\": {reason}")]
    Unreachable { url: String, reason: String },
    /// The certificate or the handshake is not right.
    #[error("TLS with \"{url}\" failed: {reason}")]
    Tls { url: String, reason: String },
    /// The venue answered the handshake with something else than a websocket.
    #[error("\"{url}\" responded with HTTP {status}: {body}")]
    Http { url: String, status: u16, body: String, retry_after: Option<Duration> },
    /// The venue refused every subscription of the connection; the first refusal.
    #[error("the venue refused a subscription: {0}")]
    Refused(String),
    /// Nothing was answered in time.
    #[error("none of {wanted} subscriptions was answered within {ANSWERING:?}")]
    Unconfirmed { wanted: usize },
    /// Nothing came for too long.
    #[error("no message for {0:?}")]
    Silent(Duration),
    /// The connection broke, or the venue closed it.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// We wanted it to end.
    #[error("closed")]
    Closed,
}

/// Why a websocket did not come about.
pub(super) fn not_connected(base: &Url, error: WsError) -> End {
    let url = base.to_string();
    match error {
        WsError::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            let body = match response.headers().get("location") {
                Some(to) => {
                    let to = String::from_utf8_lossy(to.as_bytes());
                    format!("redirects are not followed (to {})", excerpt(&redacted(&to), LOCATION))
                }
                None => said(body),
            };
            let retry_after = retry_after(response.headers(), SystemTime::now());
            End::Http { url, status: response.status().as_u16(), body, retry_after }
        }
        WsError::Tls(error) => End::Tls { url, reason: error.to_string() },
        // A failed TLS handshake comes as an I/O error around rustls's own.
        WsError::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            End::Tls { url, reason: error.to_string() }
        }
        other => End::Unreachable { url, reason: redacted(&other.to_string()).into_owned() },
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn addresses_in_what_is_said_show_no_secrets() {
        let base = Url::parse("wss://venue.example").unwrap();
        let error = io::Error::other("no way through http://me:pa55@proxy:8080/?api_key=k3y");
        let said = not_connected(&base, WsError::Io(error)).to_string();
        assert!(said.contains("wss://venue.example") && said.contains("proxy:8080"), "{said}");
        assert!(!said.contains("pa55") && !said.contains("k3y"), "{said}");
    }
}

//! What the processes of a job know and strangers do not.

use std::fmt;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

/// Fewest bytes of a secret. A recorded greeting lets others try secrets without asking anybody: one that a
/// person would choose does not withstand that.
const SHORTEST: usize = 32;

/// What a secret is hashed with, so that its use elsewhere gives nothing away here.
const DOMAIN: &[u8] = b"barflow cluster secret 1\0";

/// A secret that all processes of a job share.
#[derive(Clone)]
pub struct ClusterSecret {
    key: [u8; 32],
    this_computer_only: bool,
}

/// A secret that is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the secret has {length} bytes, at least {SHORTEST} are needed; `openssl rand -hex 32` makes one"
)]
pub struct ShortSecret {
    length: usize,
}

impl ClusterSecret {
    /// This text.
    ///
    /// # Errors
    /// When it is too short.
    pub fn new(text: &str) -> Result<Self, ShortSecret> {
        match text.len() {
            length if length < SHORTEST => Err(ShortSecret { length }),
            _ => Ok(Self { key: hash(text.as_bytes()), this_computer_only: false }),
        }
    }

    /// No secret: every process on this computer may take part, and none on another one.
    pub fn of_this_computer() -> Self {
        Self { key: hash(b""), this_computer_only: true }
    }

    /// The key that proves it.
    pub(super) fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Whether connections from or to this address are possible.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        !self.this_computer_only || address.to_canonical().is_loopback()
    }
}

fn hash(text: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(DOMAIN).chain_update(text).finalize().into()
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.this_computer_only { "none" } else { "***" };
        write!(f, "ClusterSecret({text})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_secrets_are_refused_and_none_is_printed() {
        let text = "0123456789abcdef0123456789abcdef";
        let secret = ClusterSecret::new(text).unwrap();
        assert_eq!(format!("{secret:?}"), "ClusterSecret(***)");
        assert_eq!(ClusterSecret::new(&text[1..]).unwrap_err(), ShortSecret { length: 31 });
        assert_ne!(secret.key(), ClusterSecret::of_this_computer().key());
    }

    #[test]
    fn without_a_secret_only_this_computer_is_admitted() {
        let none = ClusterSecret::of_this_computer();
        for (address, admitted) in [
            ("127.0.0.1", true),
            ("127.8.8.8", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("0.0.0.0", false),
            ("::", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(none.admits(address.parse().unwrap()), admitted, "{address}");
            let secret = ClusterSecret::new(&"x".repeat(32)).unwrap();
            assert!(secret.admits(address.parse().unwrap()));
        }
    }
}

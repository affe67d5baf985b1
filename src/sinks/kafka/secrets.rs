//! Which properties are secret, and texts from which secrets are removed.
//!
//! **Invariant:** no text that leaves the Kafka sink contains a value that came by reference.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub(crate) use crate::secrets::Value;

/// Whether a librdkafka property by its name holds a secret rather than a place or a kind.
pub(super) fn is_secret(property: &str) -> bool {
    let name = property.to_ascii_lowercase();
    let names_a_place = [".location", ".url", ".keytab", ".file", ".cmd"];
    if names_a_place.iter().any(|ending| name.ends_with(ending)) {
        return false;
    }
    name == "sasl.oauthbearer.config"
        || ["pass", "secret", "token", "key"].iter().any(|word| name.contains(word))
}

/// The values that must not be printed.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Adds a value.
    pub(super) fn add(&mut self, value: &str) {
        self.0.push(value.to_owned());
        self.0.extend(in_base64(value));
        // Longest first: a secret may contain another one.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// The text without them.
    pub(super) fn remove_from(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

/// What a text that contains the value has in Base64, wherever in it the value begins: a broker may repeat a login
/// so. Characters that also depend on what is beside the value are not among them.
fn in_base64(value: &str) -> impl Iterator<Item = String> {
    // Shorter ones are in many texts.
    const SHORTEST: usize = 6;
    let shifted = |shift: usize| {
        let bytes = [&[0; 3][..shift], value.as_bytes()].concat();
        let whole = bytes.len() * 8 / 6;
        let text = STANDARD.encode(bytes);
        text.get((shift * 8).div_ceil(6)..whole).map(str::to_owned)
    };
    (0..3).filter_map(shifted).filter(|text| text.len() >= SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name_and_paths_to_them_are_not_secret() {
        for secret in [
            "sasl.password",
            "ssl.key.password",
            "ssl.key.pem",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.config",
            "ssl.keystore.password",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for open in [
            "sasl.username",
            "ssl.key.location",
            "ssl.ca.location",
            "sasl.kerberos.keytab",
            "sasl.oauthbearer.token.endpoint.url",
            "compression.type",
        ] {
            assert!(!is_secret(open), "{open}");
        }
    }

    #[test]
    fn a_secret_inside_a_longer_secret_leaves_no_rest() {
        let mut secrets = Secrets::default();
        secrets.add("tiger");
        secrets.add("tiger-lily");
        assert_eq!(secrets.remove_from("login tiger-lily, tiger"), "login ***, ***");
        assert_eq!(format!("{secrets:?}"), "Secrets");
    }

    #[test]
    fn a_secret_in_base64_is_removed_wherever_it_begins() {
        let mut secrets = Secrets::default();
        secrets.add("correct-horse");
        for user in ["", "a", "ab", "abc"] {
            for after in ["", "x", "yz"] {
                let token = STANDARD.encode(format!("\0{user}\0correct-horse{after}"));
                let shown = secrets.remove_from(&format!("refused {token}"));
                let left = shown.strip_prefix("refused ").unwrap();
                assert!(left.contains("***"), "{user} {after}: {left}");
                let around = left.replace("***", "").len();
                let all = STANDARD.encode(format!("\0{user}\0{after}")).len() + 8;
                assert!(around <= all, "{left}");
                assert!(!left.contains(&STANDARD.encode("correct-horse")[..8]));
            }
        }
        let mut short = Secrets::default();
        short.add("ab");
        assert_eq!(short.remove_from("YWI= of others"), "YWI= of others");
    }
}

//! Which properties are secret, and texts from which secrets are removed.
//!
//! **Invariant:** no text that leaves the Kafka sink contains a value that came by reference.

use std::fmt;

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
        write!(f, "Secrets({})", self.0.len())
    }
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
        assert_eq!(format!("{secrets:?}"), "Secrets(2)");
    }
}

//! Values by reference, and texts from which secrets are removed.
//!
//! **Invariant:** no text that leaves the Kafka sink contains a value that came by reference.

use std::fmt;

/// A value of a property: given as it is, or where to find it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// The value itself.
    Literal(&'a str),
    /// `${NAME}`: in this environment variable.
    Environment(&'a str),
    /// `${file:/path}`: in this file, without the line end.
    File(&'a str),
}

impl<'a> Value<'a> {
    /// Tells references from literals.
    ///
    /// # Errors
    /// When the text has a `${` that is not a reference as a whole: such a text would reach
    /// Kafka unexpanded.
    pub(crate) fn parse(text: &'a str) -> Result<Self, &'static str> {
        let Some(inside) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
            return if text.contains("${") {
                Err("a reference ${NAME} or ${file:/path} must be the whole value")
            } else {
                Ok(Self::Literal(text))
            };
        };
        let named = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        match inside.strip_prefix("file:") {
            Some(path) if !path.is_empty() => Ok(Self::File(path)),
            None if named(inside) => Ok(Self::Environment(inside)),
            _ => Err("a reference is ${NAME}, naming an environment variable, or ${file:/path}"),
        }
    }

    /// The value itself.
    ///
    /// # Errors
    /// When the variable or the file is missing, unreadable or empty.
    pub(crate) fn resolve(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<String, String> {
        let found = match self {
            Self::Literal(text) => return Ok((*text).to_owned()),
            Self::Environment(name) => environment(name)
                .ok_or_else(|| format!("environment variable \"{name}\" is not set"))?,
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("file \"{path}\" could not be read: {error}"))?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
        };
        if found.is_empty() {
            let (Self::Environment(place) | Self::File(place) | Self::Literal(place)) = self;
            return Err(format!("\"{place}\" is empty"));
        }
        Ok(found)
    }
}

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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_from_literals_and_halves_are_refused() {
        assert_eq!(Value::parse("zstd"), Ok(Value::Literal("zstd")));
        assert_eq!(Value::parse("${KAFKA_PASSWORD}"), Ok(Value::Environment("KAFKA_PASSWORD")));
        assert_eq!(Value::parse("${file:/run/secrets/k}"), Ok(Value::File("/run/secrets/k")));
        for wrong in ["a${B}", "${B}c", "${}", "${file:}", "${A-B}", "${"] {
            assert!(Value::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_missing_or_empty_reference_names_the_place_and_not_the_value() {
        let none = |_: &str| None;
        let empty = |_: &str| Some(String::new());
        let value = Value::parse("${KAFKA_PASSWORD}").unwrap();
        let message = value.resolve(&none).unwrap_err();
        assert_eq!(message, "environment variable \"KAFKA_PASSWORD\" is not set");
        assert_eq!(value.resolve(&empty).unwrap_err(), "\"KAFKA_PASSWORD\" is empty");
        let file = Value::parse("${file:/does/not/exist}").unwrap();
        assert!(file.resolve(&none).unwrap_err().contains("/does/not/exist"));
    }

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

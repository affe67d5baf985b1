//! Secrets by reference: a setting names the environment variable or the file that holds its value.
//!
//! **Invariant:** a secret that this process was told of ([`keep`]) is not in what it prints or logs, even when
//! a server repeats it: [`printable`](crate::printable) takes it out of all such texts.

use std::borrow::Cow;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use barflow_replay::files;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Bytes of a file of a secret that are read.
const LONGEST: u64 = 1 << 20;

/// What stands for a secret.
pub const HIDDEN: &str = "***";

/// Bytes of the shortest text that is hidden wherever it occurs: a shorter one is in half of all words.
const SHORTEST: usize = 4;

/// What this process keeps to itself, in lower case, the longest first: a secret may contain another one.
static KEPT: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// From now on this text is hidden, as it is and as others would quote it.
pub fn keep(secret: &str) {
    if secret.len() < SHORTEST {
        return;
    }
    let mut kept = KEPT.write().unwrap_or_else(PoisonError::into_inner);
    let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    for spelling in [secret.to_owned(), secret.escape_debug().to_string(), encoded] {
        let spelling = spelling.to_ascii_lowercase();
        if !kept.contains(&spelling) {
            kept.push(spelling);
        }
    }
    kept.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
}

/// The text without what is kept; letters are compared without their case.
pub fn without(text: &str) -> Cow<'_, str> {
    let kept = KEPT.read().unwrap_or_else(PoisonError::into_inner);
    let mut shown = Cow::Borrowed(text);
    for secret in kept.iter() {
        let lower = shown.to_ascii_lowercase();
        let mut safe = String::new();
        let mut from = 0;
        for (at, _) in lower.match_indices(secret.as_str()) {
            safe.extend([&shown[from..at], HIDDEN]);
            from = at + secret.len();
        }
        if from > 0 {
            safe.push_str(&shown[from..]);
            shown = Cow::Owned(safe);
        }
    }
    shown
}

/// A value of a setting: given as it is, or where to find it.
#[derive(Debug, PartialEq, Eq)]
pub enum Value<'a> {
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
    /// When the text has a `${` that is not a reference as a whole: such a text would be
    /// used unexpanded.
    pub fn parse(text: &'a str) -> Result<Self, &'static str> {
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
    pub fn resolve(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
        let found = match self {
            Self::Literal(text) => return Ok((*text).to_owned()),
            Self::Environment(name) => environment(name)
                .ok_or_else(|| format!("environment variable \"{name}\" is not set"))?,
            Self::File(path) => {
                let text = files::read_text(Path::new(path), LONGEST)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_hidden_however_it_is_quoted() {
        keep("v3ry/\"s3cret\"");
        keep("v3ry/\"s3cret\"-too");
        keep("abc");
        for (text, shown) in [
            ("key v3ry/\"s3cret\", v3ry/\"s3cret\"-too.", "key ***, ***."),
            (r#"{"key": "v3ry/\"s3cret\""}"#, r#"{"key": "***"}"#),
            ("?key=v3ry%2F%22s3cret%22&a", "?key=***&a"),
            ("V3RY/\"S3CRET\" ünd v3ry/\"s3cret\"ü", "*** ünd ***ü"),
            ("an abc", "an abc"),
        ] {
            assert_eq!(without(text), shown);
        }
    }

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
}

//! What is wrong with a configuration, all of it at once.

use std::fmt;

use barflow_operators::excerpt::excerpt as short;

use crate::net::url::redacted;
use crate::printable::excerpt;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `configs/replay.toml:12`, `--bar dib`, `BARFLOW_TOPIC`.
    pub origin: String,
    /// Key, value and rule.
    pub message: String,
}

/// Problems that are printed; who mends these learns of the others.
const SHOWN: usize = 20;

/// Bytes of a problem that are printed: a name in a configuration may have millions.
const LONGEST: usize = 4096;

/// Bytes of the longest word that may be a known one with a mistake.
const MISTYPED: usize = 100;

/// Everything that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Notes one, without the logins of URLs.
    pub fn add(&mut self, origin: impl Into<String>, message: impl Into<String>) {
        let message = redacted(&message.into()).into_owned();
        self.0.push(Problem { origin: origin.into(), message });
    }

    /// `value` if nothing is wrong.
    ///
    /// # Errors
    /// Everything noted so far.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.0.len() == 1 { "" } else { "s" };
        write!(f, "the configuration has {} problem{s}:", self.0.len())?;
        for Problem { origin, message } in self.0.iter().take(SHOWN) {
            let (origin, message) = (excerpt(origin, LONGEST), excerpt(message, LONGEST));
            write!(f, "\n  {origin}: {message}")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// A value as a message shows it. The secrets of a URL are taken out before it is cut: half of one may look
/// like something else.
pub(super) fn shown(value: &str) -> String {
    short(&redacted(value)).into_owned()
}

/// " (did you mean "x"?)" when one of the known words is close.
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    // A longer word is none that was mistyped, and takes long to compare.
    let known = known.into_iter().filter(|_| word.len() <= MISTYPED);
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| format!(" (did you mean \"{candidate}\"?)"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_shortened_and_not_compared() {
        let long = "a".repeat(3_000_000);
        let mut problems = Problems::default();
        problems.add("x.toml:1", format!("[bars.{long}]: nothing"));
        problems.add(format!("--bar {long}"), "nothing");
        let said = problems.to_string();
        assert!(said.len() < 10_000 && said.contains("aaa… (3000"), "{} bytes", said.len());
        assert_eq!(suggestion(&long, ["aaa"]), "");
        assert_eq!(suggestion("tik", ["tick"]), " (did you mean \"tick\"?)");
    }
}

//! A group of keys with their values as text and the places they came from.
//!
//! Files, environment and flags all become sections, so that every key is understood by one piece
//! of code wherever it was written.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::str::FromStr;

use super::problem::{Problems, shown, suggestion};
use crate::net::url::redacted_address;

/// A value as it was written.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// A number, a boolean or a text.
    Text(String),
    /// A list of them.
    List(Vec<String>),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was written may be a secret that is still to be refused.
        match self {
            Self::Text(text) => write!(f, "Text({:?})", redacted_address(text)),
            Self::List(list) => write!(f, "List of {}", list.len()),
        }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    value: Value,
    origin: String,
}

/// Keys and values that belong together, such as `[bars.dib]` or `--bar 'dib=…'`.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// How the section is called in messages.
    pub name: String,
    /// Where it starts.
    pub origin: String,
    entries: Vec<Entry>,
    asked: BTreeSet<&'static str>,
}

impl Section {
    /// An empty section.
    pub fn new(name: impl Into<String>, origin: impl Into<String>) -> Self {
        let (name, origin) = (name.into(), origin.into());
        Self { name, origin, ..Self::default() }
    }

    /// Adds a key.
    pub fn put(&mut self, key: impl Into<String>, value: Value, origin: impl Into<String>) {
        self.entries.push(Entry { key: key.into(), value, origin: origin.into() });
    }

    /// Takes a list; a single text is a list of one.
    pub fn list(&mut self, key: &'static str) -> Option<(Vec<String>, String)> {
        let entry = self.take(key)?;
        let list = match entry.value {
            Value::Text(text) => vec![text],
            Value::List(list) => list,
        };
        Some((list, entry.origin))
    }

    /// Takes a text.
    pub fn text(&mut self, key: &'static str, problems: &mut Problems) -> Option<(String, String)> {
        let Entry { value, origin, .. } = self.take(key)?;
        match value {
            Value::Text(text) => Some((text, origin)),
            Value::List(_) => {
                problems.add(origin, format!("{key} must be a single value, not a list"));
                None
            }
        }
    }

    /// Takes a value that is parsed from text, such as a number; `what` names it in messages.
    pub fn parse<T: FromStr>(
        &mut self,
        key: &'static str,
        what: &str,
        problems: &mut Problems,
    ) -> Option<T> {
        let (text, origin) = self.text(key, problems)?;
        match text.trim().replace('_', "").parse() {
            Ok(value) => Some(value),
            Err(_) => {
                problems.add(origin, format!("{key} = \"{}\" is not {what}", shown(&text)));
                None
            }
        }
    }

    /// Takes something with a parser of its own.
    pub fn parse_with<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
        problems: &mut Problems,
    ) -> Option<T> {
        let (text, origin) = self.text(key, problems)?;
        match parse(text.trim()) {
            Ok(value) => Some(value),
            Err(error) => {
                problems.add(origin, format!("{key} = \"{}\": {error}", shown(&text)));
                None
            }
        }
    }

    /// Takes one of a few words.
    pub fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        problems: &mut Problems,
    ) -> Option<T> {
        let (text, origin) = self.text(key, problems)?;
        let found = choices.iter().find(|(word, _)| *word == text.trim());
        if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let hint = suggestion(&text, words.iter().copied());
            let words = words.join(", ");
            let text = shown(&text);
            problems.add(origin, format!("{key} = \"{text}\" is not one of {words}{hint}"));
        }
        found.map(|(_, value)| *value)
    }

    /// Where a key was given, if it still waits to be taken.
    pub fn origin_of(&self, key: &str) -> String {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        entry.map_or_else(|| self.origin.clone(), |entry| entry.origin.clone())
    }

    /// A text that waits to be taken.
    pub fn peek(&self, key: &str) -> Option<&str> {
        let entry = self.entries.iter().rev().find(|entry| entry.key == key)?;
        match &entry.value {
            Value::Text(text) => Some(text.trim()),
            Value::List(_) => None,
        }
    }

    /// All keys and texts that are left, for free-form sections.
    pub fn take_rest(&mut self) -> Vec<(String, Value, String)> {
        std::mem::take(&mut self.entries).into_iter().map(|e| (e.key, e.value, e.origin)).collect()
    }

    /// Keys that were not read are mistakes.
    pub fn finish(self, problems: &mut Problems) {
        for entry in self.entries {
            let hint = suggestion(&entry.key, self.asked.iter().copied());
            let known: Vec<&str> = self.asked.iter().copied().collect();
            let message = format!(
                "unknown key \"{}\" in {}{hint}; it takes {}",
                entry.key,
                self.name,
                known.join(", ")
            );
            problems.add(entry.origin, message);
        }
    }

    /// The last entry of that key: a later one replaces an earlier one.
    fn take(&mut self, key: &'static str) -> Option<Entry> {
        self.asked.insert(key);
        let mut found = None;
        while let Some(place) = self.entries.iter().position(|entry| entry.key == key) {
            found = Some(self.entries.remove(place));
        }
        found
    }
}

/// The keys of `over` replace those of `under`.
pub(crate) fn over(mut under: Section, mut over: Section) -> Section {
    for (key, value, origin) in over.take_rest() {
        under.put(key, value, origin);
    }
    under
}

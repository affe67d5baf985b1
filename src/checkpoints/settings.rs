//! What decides which bars come out, key by key, so that a change can be named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::bars::BarBook;

/// Keys and values as text. Equal maps make equal bars of equal trades.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSettings(BTreeMap<String, String>);

/// Settings that have changed while the run goes on; written down with the next cut.
#[derive(Clone, Debug, Default)]
pub struct SettingsChanges(Arc<Mutex<Option<JobSettings>>>);

impl SettingsChanges {
    /// The settings are these from now on.
    pub fn put(&self, settings: JobSettings) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings);
    }

    /// What has not been written down.
    pub fn take(&self) -> Option<JobSettings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A key that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Which.
    pub key: String,
    /// As it was; none if it was not there.
    pub was: Option<String>,
    /// As it is now; none if it is gone.
    pub is: Option<String>,
}

impl std::fmt::Display for Changed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.was, &self.is) {
            (Some(was), Some(is)) => write!(f, "{} was {was} and is {is}", self.key),
            (Some(was), None) => write!(f, "{} was {was} and is gone", self.key),
            (None, is) => write!(f, "{} is new: {}", self.key, is.as_deref().unwrap_or_default()),
        }
    }
}

impl JobSettings {
    /// The settings of these bars; more can be [`put`](Self::put).
    pub fn of(bars: &BarBook) -> Self {
        let mut settings = Self::default();
        for order in bars.orders() {
            let key = format!("bars.{}", order.spec.name());
            // What a specification holds are numbers and names, which JSON can write.
            let value = serde_json::to_value(&order.spec).unwrap_or(Value::Null);
            settings.flatten(&key, &value);
            if !order.instruments.is_empty() {
                let ids: Vec<&str> = order.instruments.iter().map(|id| id.as_str()).collect();
                settings.put(&format!("{key}.instruments"), ids.join(","));
            }
        }
        settings
    }

    /// The same with other bars.
    pub fn with_bars(&self, bars: &BarBook) -> Self {
        let others = self.0.iter().filter(|(key, _)| bar_name(key).is_none());
        let mut settings = Self::of(bars);
        settings.0.extend(others.map(|(key, value)| (key.clone(), value.clone())));
        settings
    }

    /// Adds a key.
    pub fn put(&mut self, key: &str, value: impl ToString) {
        self.0.insert(key.to_owned(), value.to_string());
    }

    fn flatten(&mut self, key: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.flatten(&format!("{key}.{}", name.to_lowercase()), value);
                }
            }
            Value::String(text) => self.put(key, text),
            other => self.put(key, other),
        }
    }

    /// A fingerprint, for people and logs.
    pub fn hash(&self) -> u64 {
        let mut text = String::new();
        for (key, value) in &self.0 {
            text.extend([key, "=", value, "\n"]);
        }
        xxh3_64(text.as_bytes())
    }

    /// What is not as it was in `before`.
    pub fn changes(&self, before: &Self) -> Vec<Changed> {
        let keys: BTreeSet<&String> = self.0.keys().chain(before.0.keys()).collect();
        keys.into_iter()
            .filter_map(|key| {
                let (was, is) = (before.0.get(key).cloned(), self.0.get(key).cloned());
                (was != is).then(|| Changed { key: key.clone(), was, is })
            })
            .collect()
    }

    /// As [`changes`](Self::changes), without bars that are new or gone as a whole: a run that takes
    /// such changes while it runs takes them between two runs as well.
    pub fn changes_of_the_same_bars(&self, before: &Self) -> Vec<Changed> {
        let (now, then) = (self.bars(), before.bars());
        let changes = self.changes(before).into_iter();
        changes
            .filter(|change| match bar_name(&change.key) {
                Some(bar) => now.contains(bar) && then.contains(bar),
                None => true,
            })
            .collect()
    }

    fn bars(&self) -> BTreeSet<&str> {
        self.0.keys().filter_map(|key| bar_name(key)).collect()
    }

    /// All keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// `dib` of `bars.dib.rule…`; names may have dots, so the fields of a specification end it.
fn bar_name(key: &str) -> Option<&str> {
    let rest = key.strip_prefix("bars.")?;
    let ends = [".limits", ".name", ".rule", ".sign", ".instruments"];
    ends.iter().filter_map(|end| rest.find(end)).min().map(|end| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(bars: &[&str]) -> JobSettings {
        let mut problems = Default::default();
        let sections =
            bars.iter().filter_map(|bar| crate::config::bars::cut(bar, &mut problems)).collect();
        JobSettings::of(&BarBook::understand(sections, &mut problems))
    }

    #[test]
    fn a_changed_parameter_is_named() {
        let before = settings(&["dib=imbalance,alpha=0.001", "tick=tick,size=100"]);
        let now = settings(&["dib=imbalance,alpha=0.002", "tick=tick,size=100"]);
        let changes = now.changes(&before);
        assert_eq!(changes.len(), 1, "{changes:?}");
        let text = changes[0].to_string();
        assert!(
            text.starts_with("bars.dib.") && text.contains("alpha was 0.001 and is 0.002"),
            "{text}"
        );
        assert_ne!(now.hash(), before.hash());
        assert_eq!(before.changes(&before), []);
    }

    #[test]
    fn bars_may_come_and_go_where_that_is_asked() {
        let before = settings(&["dib=imbalance", "a.b=tick,size=100"]);
        let now = settings(&["dib=imbalance", "c=tick,size=7"]);
        assert!(!now.changes(&before).is_empty());
        assert_eq!(now.changes_of_the_same_bars(&before), []);
        let other = settings(&["dib=imbalance,alpha=0.5"]);
        assert_eq!(other.changes_of_the_same_bars(&before).len(), 1);
    }
}

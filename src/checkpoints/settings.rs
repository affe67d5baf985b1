//! What decides which bars come out, key by key, so that a change can be named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use barflow_operators::instrument::InstrumentId;
use barflow_operators::spec::BarSpec;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

/// Keys and values as text: of each bar, and of everything else. Equal settings make equal bars of
/// equal trades.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSettings {
    bars: BTreeMap<String, BTreeMap<String, String>>,
    others: BTreeMap<String, String>,
}

/// What is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingKey<'a> {
    /// A parameter of a bar.
    OfBar {
        /// Its name.
        bar: &'a str,
        /// Which parameter.
        key: &'a str,
    },
    /// Anything else.
    Other(&'a str),
}

impl std::fmt::Display for SettingKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OfBar { bar, key } => write!(f, "bars.{bar}.{key}"),
            Self::Other(key) => f.write_str(key),
        }
    }
}

/// Settings that have changed during the run; saved with the next cut.
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
            (Some(was), Some(is)) => write!(f, "{} changed from {was} to {is}", self.key),
            (Some(was), None) => write!(f, "{} was {was} and has been removed", self.key),
            (None, is) => {
                write!(f, "{} was added: {}", self.key, is.as_deref().unwrap_or_default())
            }
        }
    }
}

impl JobSettings {
    /// The settings of these bars, each with the only instruments that it is made for (none: all);
    /// more can be [`put`](Self::put).
    pub fn of<'a>(bars: impl Iterator<Item = (&'a BarSpec, &'a [InstrumentId])>) -> Self {
        let mut settings = Self::default();
        for (spec, instruments) in bars {
            let mut keys = BTreeMap::new();
            // What a specification holds are numbers and names, which JSON can write.
            flatten("", &serde_json::to_value(spec).unwrap_or(Value::Null), &mut keys);
            if !instruments.is_empty() {
                let ids: Vec<&str> = instruments.iter().map(InstrumentId::as_str).collect();
                keys.insert("instruments".to_owned(), ids.join(","));
            }
            settings.bars.insert(spec.name().to_string(), keys);
        }
        settings
    }

    /// The same with the bars of `other`.
    pub fn with_bars_of(&self, other: Self) -> Self {
        Self { bars: other.bars, others: self.others.clone() }
    }

    /// Adds a key that is not about a bar.
    pub fn put(&mut self, key: &str, value: impl ToString) {
        self.others.insert(key.to_owned(), value.to_string());
    }

    /// A line of text for each key.
    pub fn text(&self) -> String {
        self.all().into_iter().map(|(key, value)| format!("{key}={value}\n")).collect()
    }

    /// A fingerprint, for people and logs.
    pub fn hash(&self) -> u64 {
        xxh3_64(self.text().as_bytes())
    }

    /// What is not as it was in `before`.
    pub fn changes(&self, before: &Self) -> Vec<Changed> {
        let (now, then) = (self.all(), before.all());
        let keys: BTreeSet<SettingKey<'_>> = now.keys().chain(then.keys()).copied().collect();
        keys.into_iter()
            .filter_map(|key| {
                let (was, is) = (then.get(&key), now.get(&key));
                let owned = |value: Option<&&str>| value.map(|value| (*value).to_owned());
                let changed = || Changed { key: key.to_string(), was: owned(was), is: owned(is) };
                (was != is).then(changed)
            })
            .collect()
    }

    /// As [`changes`](Self::changes), without bars that are new or gone as a whole: a run that takes
    /// such changes while it runs takes them between two runs as well.
    pub fn changes_of_the_same_bars(&self, before: &Self) -> Vec<Changed> {
        let shared = |one: &Self, other: &Self| {
            let mut one = one.clone();
            one.bars.retain(|name, _| other.bars.contains_key(name));
            one
        };
        shared(self, before).changes(&shared(before, self))
    }

    /// All keys and values.
    pub fn all(&self) -> BTreeMap<SettingKey<'_>, &str> {
        let of_bars = self.bars.iter().flat_map(|(bar, keys)| {
            keys.iter().map(move |(key, value)| (SettingKey::OfBar { bar, key }, value.as_str()))
        });
        let others = self.others.iter();
        let others = others.map(|(key, value)| (SettingKey::Other(key), value.as_str()));
        of_bars.chain(others).collect()
    }
}

/// Fields of fields get keys of their own: `rule.size.measure`.
fn flatten(key: &str, value: &Value, keys: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if key.is_empty() { "" } else { "." };
                flatten(&format!("{key}{dot}{}", name.to_lowercase()), value, keys);
            }
        }
        Value::String(text) => {
            keys.insert(key.to_owned(), text.clone());
        }
        other => {
            keys.insert(key.to_owned(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use barflow_operators::measure::Measure;
    use barflow_operators::sign::SignRule;
    use barflow_operators::spec::{LimitSpec, RuleSpec};

    use super::*;

    fn settings(bars: &[(&str, f64)]) -> JobSettings {
        let specs: Vec<BarSpec> = bars
            .iter()
            .map(|(name, size)| {
                let rule = RuleSpec::Size { measure: Measure::Tick, size: *size };
                BarSpec::new(name, SignRule::Aggressor, LimitSpec::default(), rule).unwrap()
            })
            .collect();
        let all: &[InstrumentId] = &[];
        JobSettings::of(specs.iter().map(|spec| (spec, all)))
    }

    #[test]
    fn a_changed_parameter_is_named() {
        let before = settings(&[("large", 500.0), ("small", 7.0)]);
        let now = settings(&[("large", 1000.0), ("small", 7.0)]);
        let changes = now.changes(&before);
        assert_eq!(changes.len(), 1, "{changes:?}");
        let text = changes[0].to_string();
        assert_eq!(text, "bars.large.rule.size.size changed from 500.0 to 1000.0");
        assert_ne!(now.hash(), before.hash());
        assert_eq!(before.changes(&before), []);
    }

    #[test]
    fn bars_may_come_and_go_where_that_is_asked() {
        let before = settings(&[("stays", 5.0), ("a.b", 100.0)]);
        let now = settings(&[("stays", 5.0), ("c", 7.0)]);
        assert!(!now.changes(&before).is_empty());
        assert_eq!(now.changes_of_the_same_bars(&before), []);
        let other = settings(&[("stays", 6.0)]);
        assert_eq!(other.changes_of_the_same_bars(&before).len(), 1);
        // Whatever a name looks like.
        let before = settings(&[("a.rule", 100.0), ("a", 100.0)]);
        let now = settings(&[("a.rule", 200.0)]);
        let changes = now.changes_of_the_same_bars(&before);
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert!(changes[0].key.starts_with("bars.a.rule."), "{changes:?}");
    }
}

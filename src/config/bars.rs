//! Bar specifications as users write them: `--bar 'NAME=kind,key=value,…'` or `[bars.NAME]`.

use std::collections::BTreeSet;

use barflow_operators::batch::Feed;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::spec::{BarSpec, RuleSpec};

use super::bar_kinds;
use super::instruments::instrument;
use super::problem::Problems;
use super::section::{Section, Value};

/// A specification, and which instruments it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct BarOrder {
    /// The specification.
    pub spec: BarSpec,
    /// Only for these; empty for all.
    pub instruments: Vec<InstrumentId>,
}

/// All bars of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BarBook(Vec<BarOrder>);

impl BarBook {
    /// The specifications for a feed, in the order in which they were given.
    pub fn for_feed(&self, feed: &Feed) -> Vec<BarSpec> {
        let wanted = |order: &&BarOrder| {
            order.instruments.is_empty() || order.instruments.contains(&feed.instrument)
        };
        self.0.iter().filter(wanted).map(|order| order.spec.clone()).collect()
    }

    /// Whether intervals without trades have bars.
    pub fn has_empty_bars(&self) -> bool {
        self.0.iter().any(|order| matches!(order.spec.rule(), RuleSpec::FilledTime { .. }))
    }

    /// All specifications.
    pub fn orders(&self) -> &[BarOrder] {
        &self.0
    }

    /// All specifications, each with the only instruments that it is for.
    pub fn specs(&self) -> impl Iterator<Item = (&BarSpec, &[InstrumentId])> {
        self.0.iter().map(|order| (&order.spec, &order.instruments[..]))
    }

    /// These specifications.
    pub fn of(orders: Vec<BarOrder>) -> Self {
        Self(orders)
    }

    /// Understands all sections; names must differ.
    pub fn understand(sections: Vec<(String, Section)>, problems: &mut Problems) -> Self {
        let mut names = BTreeSet::new();
        let mut book = Self::default();
        for (name, section) in sections {
            if !names.insert(name.clone()) {
                problems.add(&section.origin, format!("the bar name \"{name}\" is already in use"));
            }
            book.0.extend(understand(&name, section, problems));
        }
        book
    }
}

/// Makes all time bars have empty ones; whether there are any.
pub fn fill_time_bars(sections: &mut [(String, Section)]) -> bool {
    let mut found = false;
    for (_, section) in sections {
        if section.peek("kind") == Some("time") {
            found = true;
            section.put("empty_bars", Value::Text("true".to_owned()), "--empty-bars");
        }
    }
    found
}

/// Cuts `NAME=kind,key=value,…` into a section.
pub fn cut(argument: &str, problems: &mut Problems) -> Option<(String, Section)> {
    let origin = format!("--bar {argument:?}");
    let Some((name, rest)) = argument.split_once('=') else {
        let hint = "must be NAME=kind,key=value,…, such as \
                    dib=imbalance,measure=dollar,threshold=wald,target=1000";
        problems.add(origin, hint);
        return None;
    };
    let name = name.trim();
    if let Some(kind) = bar_kinds::names().find(|kind| name.split(',').next() == Some(kind))
        && name.contains(',')
    {
        let name = kind.split('-').next().unwrap_or(kind);
        problems.add(origin, format!("NAME= is missing before the kind: write {name}={argument}"));
        return None;
    }
    let mut section = Section::new(format!("bar \"{name}\""), &origin);
    for (place, part) in rest.split(',').map(str::trim).filter(|part| !part.is_empty()).enumerate()
    {
        match part.split_once('=') {
            Some((key, value)) => {
                section.put(key.trim(), Value::Text(value.trim().into()), &origin)
            }
            None if place == 0 => section.put("kind", Value::Text(part.into()), &origin),
            None => problems.add(&origin, format!("\"{part}\" is not of the form key=value")),
        }
    }
    Some((name.to_owned(), section))
}

fn understand(name: &str, mut section: Section, problems: &mut Problems) -> Option<BarOrder> {
    let before = problems.0.len();
    let origin = section.origin.clone();
    let instruments = section.list("instruments").map_or_else(Vec::new, |(texts, at)| {
        let mut ids = Vec::new();
        for text in texts {
            match instrument(&text) {
                Ok(id) => ids.push(id),
                Err(error) => problems.add(&at, error),
            }
        }
        ids
    });
    let parts = bar_kinds::understand(&mut section, problems);
    let title = section.name.clone();
    let origins = section.clone();
    section.finish(problems);
    let (sign, limits, rule) = parts?;
    match BarSpec::new(name, sign, limits, rule) {
        Ok(spec) if problems.0.len() == before => Some(BarOrder { spec, instruments }),
        Ok(_) => None,
        Err(wrong) => {
            for invalid in wrong {
                let at = origins.origin_of(&invalid.key);
                let at = if at.is_empty() { origin.clone() } else { at };
                problems.add(at, format!("{title}: {invalid}"));
            }
            None
        }
    }
}

//! The processes of a job: which workers they have, and what they must agree on.

use super::error::JobError;
use crate::checkpoints::settings::JobSettings;
use crate::config::bars::BarBook;
use crate::config::cluster::ClusterSettings;
use crate::config::live::LiveSettings;
use crate::config::replay::ReplaySettings;
use crate::feeds::plan::FeedPlan;
use crate::graph::cluster::{ClusterJob, ClusterSecret};
use crate::graph::workers::{Share, Workers};
use crate::secrets::{self, Value};

/// The workers of all processes, if each has this many.
pub(super) fn workers(settings: &ClusterSettings, threads: usize) -> Workers {
    let (process, hosts) = (settings.process, settings.hosts.clone());
    match hosts.is_empty() {
        true => Workers::Threads(threads),
        false => Workers::Cluster { threads, process, hosts },
    }
}

/// The secret that all processes share.
pub(super) fn secret(settings: &ClusterSettings) -> Result<ClusterSecret, JobError> {
    let reference = match &settings.secret {
        Some(reference) if settings.hosts.len() > 1 => reference,
        _ => return Ok(ClusterSecret::of_this_computer()),
    };
    let found = Value::parse(reference)
        .map_err(str::to_owned)
        .and_then(|value| value.resolve(&|name| std::env::var(name).ok()))
        .inspect(|text| secrets::keep(text))
        .and_then(|text| ClusterSecret::new(&text).map_err(|error| error.to_string()));
    found.map_err(|what| JobError::ClusterSecret { reference: reference.clone(), what })
}

/// What all processes of a replay must agree on, besides what they read.
pub(super) fn of_replay(settings: &ReplaySettings) -> ClusterJob {
    let ReplaySettings { protocol, channel, from, to, .. } = settings;
    let text = lines([
        ("protocol", protocol.clone()),
        ("channel", channel.map(|channel| channel.as_str().to_owned())),
        ("from", from.map(|time| time.to_string())),
        ("to", to.map(|time| time.to_string())),
        ("quote", Some(settings.quote.as_str().to_owned())),
        ("contract_size", settings.contract_size.map(|size| size.to_string())),
        ("reorder_window", Some(settings.reorder_window.to_string())),
        ("quarantine", Some(settings.quarantine.is_some().to_string())),
    ]);
    ClusterJob::new("replay").with("bars", bars(&settings.bars)).with("settings", text)
}

/// What all processes of a live job must agree on. Sinks and paths may differ.
pub(super) fn of_live(settings: &LiveSettings) -> ClusterJob {
    let feed = |feed: &FeedPlan| {
        let symbols: Vec<&str> = feed.symbols.iter().map(|s| s.instrument.as_str()).collect();
        let (protocol, channel) = (feed.venue.protocol(), feed.channel.as_str());
        format!("{}: {protocol} {channel} {}\n", feed.name, symbols.join(","))
    };
    let start = lines([
        ("start", Some(settings.start.as_str().to_owned())),
        ("history_instrument", settings.history_instrument.as_ref().map(ToString::to_string)),
    ]);
    ClusterJob::new("live")
        .with("feeds", settings.feeds.iter().map(feed).collect::<String>())
        .with("bars", bars(&settings.bars))
        .with("start", start)
}

/// A line for each setting that has a value.
fn lines<const N: usize>(settings: [(&str, Option<String>); N]) -> String {
    let given = settings.into_iter().filter_map(|(key, value)| Some((key, value?)));
    given.map(|(key, value)| format!("{key}={value}\n")).collect()
}

/// All bars as text, in their order.
fn bars(book: &BarBook) -> String {
    book.specs().map(|bar| JobSettings::of(std::iter::once(bar)).text()).collect()
}

/// Leaves instruments to the processes that they belong to, and feeds without instruments out.
pub(super) fn keep(settings: &mut LiveSettings, share: Share) {
    for feed in &mut settings.feeds {
        feed.symbols.retain(|symbol| share.holds(&symbol.instrument));
    }
    if share.is_part() {
        settings.feeds.retain(|feed| !feed.symbols.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use barflow_operators::measure::Measure;
    use barflow_operators::sign::SignRule;
    use barflow_operators::spec::{BarSpec, LimitSpec, RuleSpec};

    use super::*;
    use crate::config::bars::BarOrder;

    /// Processes of two builds of one version compare it.
    #[test]
    fn what_processes_compare_is_text_of_its_own() {
        let rule = RuleSpec::Size { measure: Measure::Tick, size: 5.0 };
        let spec = BarSpec::new("t", SignRule::Aggressor, LimitSpec::default(), rule).unwrap();
        let instruments = vec!["okx:spot:A-B".parse().unwrap()];
        let text = bars(&BarBook::of(vec![BarOrder { spec, instruments }]));
        assert!(text.contains("bars.t.instruments=okx:spot:A-B\n"), "{text}");
        assert!(text.lines().all(|line| line.starts_with("bars.t.")), "{text}");
        let given = lines([("from", None), ("to", Some("7".to_owned()))]);
        assert_eq!(given, "to=7\n");
    }
}

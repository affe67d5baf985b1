//! The processes of a job: which workers they have, and what they must agree on.

use super::error::JobError;
use crate::config::cluster::ClusterSettings;
use crate::config::live::LiveSettings;
use crate::config::replay::ReplaySettings;
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
    let ReplaySettings { protocol, channel, from, to, quote, .. } = settings;
    let reading = (protocol, *channel, *from, *to, *quote);
    let sets_aside = settings.quarantine.is_some();
    let judging = (settings.contract_size, settings.reorder_window, sets_aside);
    ClusterJob::new("replay")
        .with("bars", format!("{:?}", settings.bars))
        .with("settings", format!("{reading:?} {judging:?}"))
}

/// What all processes of a live job must agree on. Sinks and paths may differ.
pub(super) fn of_live(settings: &LiveSettings) -> ClusterJob {
    let feeds: Vec<_> = settings
        .feeds
        .iter()
        .map(|feed| {
            let symbols = feed.symbols.iter().map(|s| s.instrument.as_str());
            (&feed.name, feed.venue.protocol(), feed.channel, symbols.collect::<Vec<_>>())
        })
        .collect();
    ClusterJob::new("live")
        .with("feeds", format!("{feeds:?}"))
        .with("bars", format!("{:?}", settings.bars))
        .with("start", format!("{:?} {:?}", settings.start, settings.history_instrument))
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

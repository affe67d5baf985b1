//! `[feeds.NAME]`: which venue, which instruments, and how hard to try.

use std::borrow::Cow;
use std::time::Duration;

use super::durations::duration;
use super::problem::{Problems, suggestion};
use super::section::Section;
use crate::feeds::plan::{FRAME_BYTES, FeedPlan, Symbol};
use crate::feeds::venue::{Channel, Venue};
use crate::feeds::{venue, venues};
use crate::net::address::{Address, Speaks};
use crate::net::url::Url;
use crate::printable::line;
use crate::secrets;

/// Understands all feeds.
pub fn understand(sections: Vec<(String, Section)>, problems: &mut Problems) -> Vec<FeedPlan> {
    let feeds = sections.into_iter();
    feeds.filter_map(|(name, section)| feed(name, section, problems)).collect()
}

fn feed(name: String, mut section: Section, problems: &mut Problems) -> Option<FeedPlan> {
    let before = problems.0.len();
    let origin = section.origin.clone();
    let title = section.name.clone();
    check_name(&name, &origin, problems);
    let venue = protocol(&mut section, problems);
    let channel = channel(&mut section, venue.as_deref(), problems);
    let contract_size: Option<f64> = section.parse("contract_size", "a number", problems);
    let symbols = symbols(&mut section, venue.as_deref(), contract_size, problems);
    let api_key = api_key(&mut section, problems);
    let direct = section.choice("proxy", &PROXIES, problems).unwrap_or(false);
    let whole = "a whole number";
    let websocket = address(&mut section, "websocket", Speaks::Websocket, problems);
    let rest = address(&mut section, "rest", Speaks::Http, problems);
    let ca_file = section.text("ca_file", problems).map(|(path, _)| path.into());
    let connections = section.parse("connections", whole, problems).unwrap_or(1usize);
    if !(1..=8).contains(&connections) {
        problems.add(&origin, format!("{title}: connections = {connections}: 1 to 8"));
    }
    let usual =
        venue.zip(channel).map(|(venue, channel)| FeedPlan::new(name, venue, channel, symbols));
    let mut time = |key, usual_time: fn(&FeedPlan) -> Duration| {
        let default = usual.as_ref().map(usual_time).unwrap_or_default();
        duration(&mut section, key, problems, default)
    };
    let stale_after = time("stale_after", |usual| usual.stale_after);
    let rotate_after = time("rotate_after", |usual| usual.rotate_after);
    let reorder_wait = time("reorder_wait", |usual| usual.reorder_wait);
    let backfill_budget = time("backfill_budget", |usual| usual.backfill_budget);
    let ahead_max = time("ahead_max", |usual| usual.ahead_max.unwrap_or_default());
    let lag_warning = time("lag_warning", |usual| usual.lag_warning.unwrap_or_default());
    let connect_timeout = time("connect_timeout", |usual| usual.connect_timeout);
    let frame_bytes_max = frame_bytes_max(&mut section, problems);
    let waiting_room = section.parse("waiting_room", whole, problems);
    section.finish(problems);
    if problems.0.len() > before {
        return None;
    }
    let usual = usual?;
    let plan = FeedPlan {
        websocket,
        rest,
        ca_file,
        api_key,
        direct,
        connections,
        stale_after: stale_after?,
        rotate_after: rotate_after?,
        reorder_wait: reorder_wait?,
        backfill_budget: backfill_budget?,
        ahead_max,
        lag_warning,
        connect_timeout: connect_timeout?,
        frame_bytes_max: frame_bytes_max.unwrap_or(usual.frame_bytes_max),
        waiting_room: waiting_room.unwrap_or(usual.waiting_room),
        ..usual
    };
    match key_in_the_clear(&plan) {
        Some(base) => {
            let message = format!(
                "{title}: api_key would be sent unencrypted to {base}: use https://, or omit api_key"
            );
            problems.add(&origin, message);
            None
        }
        None => Some(plan),
    }
}

fn frame_bytes_max(section: &mut Section, problems: &mut Problems) -> Option<usize> {
    let bytes = section.parse("frame_bytes_max", "a whole number", problems)?;
    if FRAME_BYTES.contains(&bytes) {
        return Some(bytes);
    }
    let (title, least, most) = (&section.name, FRAME_BYTES.start(), FRAME_BYTES.end());
    let what = format!("{title}: frame_bytes_max = {bytes}: {least} to {most} bytes");
    problems.add(&section.origin, what);
    None
}

/// A name is a label of metrics, which monitoring shows as it is.
fn check_name(name: &str, origin: &str, problems: &mut Problems) {
    if let Cow::Owned(shown) = line(name) {
        let what = format!("[feeds.\"{shown}\"]: the name has characters that do not show");
        problems.add(origin, what);
    }
}

/// Where the key would be sent unencrypted.
fn key_in_the_clear(plan: &FeedPlan) -> Option<Url> {
    plan.api_key.as_ref()?;
    let bases = plan.known_bases().into_iter();
    bases
        .filter(|(setting, url)| *setting == "rest" && url.is_exposed_on_the_way())
        .map(|(_, url)| url)
        .next()
}

fn address(
    section: &mut Section,
    key: &'static str,
    speaks: Speaks,
    problems: &mut Problems,
) -> Option<Address> {
    let (text, at) = section.text(key, problems)?;
    Address::read(key, &text, speaks).map_err(|what| problems.add(at, what)).ok()
}

fn protocol(section: &mut Section, problems: &mut Problems) -> Option<std::sync::Arc<dyn Venue>> {
    let origin = section.origin.clone();
    let Some((text, at)) = section.text("venue", problems) else {
        let message = format!("{}: venue is missing; one of {}", section.name, known());
        problems.add(origin, message);
        return None;
    };
    let found = venue(&text);
    if found.is_none() {
        let all = venues();
        let family = format!("{}-", text.to_lowercase());
        let markets: Vec<&str> = all.iter().map(|venue| venue.protocol()).collect();
        let markets: Vec<&str> =
            markets.into_iter().filter(|protocol| protocol.starts_with(&family)).collect();
        let message = match markets.is_empty() {
            true => {
                let hint = suggestion(&text, all.iter().map(|venue| venue.protocol()));
                format!("venue = \"{text}\" is not one of {}{hint}", known())
            }
            // One of them by chance would be another market.
            false => format!("venue = \"{text}\" has several markets: {}", markets.join(", ")),
        };
        problems.add(at, message);
    }
    found
}

fn known() -> String {
    venues().iter().map(|venue| venue.protocol()).collect::<Vec<_>>().join(", ")
}

/// Whether a feed ignores the proxies of the environment.
const PROXIES: [(&str, bool); 2] = [("environment", false), ("none", true)];

/// The words for channels; both the venue's own and ours.
pub const CHANNELS: [(&str, Channel); 5] = [
    ("trades", Channel::Trades),
    ("trade", Channel::Trades),
    ("aggregates", Channel::Aggregates),
    ("aggTrades", Channel::Aggregates),
    ("aggTrade", Channel::Aggregates),
];

fn channel(
    section: &mut Section,
    venue: Option<&dyn Venue>,
    problems: &mut Problems,
) -> Option<Channel> {
    let origin = section.origin.clone();
    let wanted = section.choice("channel", &CHANNELS, problems);
    let venue = venue?;
    let channel = wanted.or(venue.channels().first().copied())?;
    if !venue.channels().contains(&channel) {
        let message = format!("{}: {} has no such channel", section.name, venue.protocol());
        problems.add(origin, message);
    }
    Some(channel)
}

fn symbols(
    section: &mut Section,
    venue: Option<&dyn Venue>,
    contract_size: Option<f64>,
    problems: &mut Problems,
) -> Vec<Symbol> {
    let origin = section.origin.clone();
    let (texts, at) = section.list("instruments").unwrap_or_default();
    if texts.is_empty() {
        problems.add(origin, format!("{}: instruments are missing", section.name));
    }
    let Some(venue) = venue else { return Vec::new() };
    let mut symbols: Vec<Symbol> = Vec::new();
    for text in texts {
        match Symbol::read(venue, &text, contract_size) {
            Ok(symbol) if symbols.contains(&symbol) => {
                problems.add(&at, format!("instruments: \"{text}\" is listed twice"));
            }
            Ok(symbol) => symbols.push(symbol),
            Err(reason) => problems.add(&at, format!("instruments: \"{text}\": {reason}")),
        }
    }
    symbols
}

/// Files contain keys as references only.
fn api_key(section: &mut Section, problems: &mut Problems) -> Option<String> {
    let (text, at) = section.text("api_key", problems)?;
    match secrets::Value::parse(&text) {
        Ok(secrets::Value::Environment(_) | secrets::Value::File(_)) => Some(text),
        _ => {
            problems.add(at, "api_key must be a reference ${NAME} or ${file:/path}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::file::ConfigFile;
    use crate::config::live::LiveSettings;
    use crate::config::replay::Typed;

    /// What is wrong with a feed that has this setting.
    fn said(setting: &str) -> String {
        let feed = "[feeds.spot]\nvenue = \"binance-spot\"\ninstruments = [\"BTCUSDT\"]\n";
        let file = ConfigFile::parse("live.toml", &format!("{feed}{setting}\n")).unwrap();
        let understood = LiveSettings::understand(file, Typed::default());
        understood.err().map(|problems| problems.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_frame_has_at_most_16_mib() {
        for bytes in ["1024", "4194304", "16777216"] {
            let said = said(&format!("frame_bytes_max = {bytes}"));
            assert!(!said.contains("frame_bytes_max"), "{said}");
        }
        for bytes in ["0", "1023", "16777217", "18446744073709551615"] {
            let said = said(&format!("frame_bytes_max = {bytes}"));
            assert!(said.contains("frame_bytes_max"), "{bytes}: {said}");
        }
        let said = said("frame_bytes_max = 16777217");
        assert!(
            said.contains("[feeds.spot]: frame_bytes_max = 16777217: 1024 to 16777216"),
            "{said}"
        );
    }
}

//! `[feeds.NAME]`: which venue, which instruments, and how hard to try.

use std::time::Duration;

use super::live::duration;
use super::problem::{Problems, suggestion};
use super::section::Section;
use crate::feeds::plan::{FeedPlan, Symbol};
use crate::feeds::print::Listing;
use crate::feeds::venue::{Channel, Venue};
use crate::feeds::{venue, venues};
use crate::sinks::kafka::secrets;

/// Frames beyond this are cut off with their connection: far above anything a trade stream sends.
const FRAME_BYTES_MAX: usize = 4 << 20;

/// Prints per instrument that wait for a missing one: an hour of a busy market, 80 MB.
const WAITING_ROOM: usize = 1 << 20;

/// How long before the venue's own cut a connection is replaced.
const BEFORE_THE_CUT: Duration = Duration::from_secs(3600);

/// Age at which connections are replaced where the venue does not cut them.
const ROTATE_ANYWAY: Duration = Duration::from_secs(7 * 24 * 3600);

/// Understands all feeds.
pub fn understand(sections: Vec<(String, Section)>, problems: &mut Problems) -> Vec<FeedPlan> {
    let feeds = sections.into_iter();
    feeds.filter_map(|(name, section)| feed(name, section, problems)).collect()
}

fn feed(name: String, mut section: Section, problems: &mut Problems) -> Option<FeedPlan> {
    let before = problems.0.len();
    let origin = section.origin.clone();
    let title = section.name.clone();
    let venue = protocol(&mut section, problems);
    let channel = channel(&mut section, venue.as_deref(), problems);
    let contract_size: Option<f64> = section.parse("contract_size", "a number", problems);
    let symbols = symbols(&mut section, venue.as_deref(), contract_size, problems);
    let api_key = api_key(&mut section, problems);
    let whole = "a whole number";
    let base = |section: &mut Section, key, schemes: [&str; 2], problems: &mut Problems| {
        let (text, at) = section.text(key, problems)?;
        if !schemes.iter().any(|scheme| text.starts_with(scheme)) {
            let schemes = schemes.join(" or ");
            problems.add(at, format!("{key} = \"{text}\": a URL with {schemes} is wanted"));
        }
        Some(text)
    };
    let websocket = base(&mut section, "websocket", ["ws://", "wss://"], problems);
    let rest = base(&mut section, "rest", ["http://", "https://"], problems);
    let connections = section.parse("connections", whole, problems).unwrap_or(1usize);
    if !(1..=8).contains(&connections) {
        problems.add(&origin, format!("{title}: connections = {connections}: 1 to 8"));
    }
    let silence = venue.as_deref().map_or(Duration::from_secs(30), Venue::silence);
    let lifetime = venue.as_deref().and_then(|venue| venue.limits().lifetime);
    let rotate = lifetime.map_or(ROTATE_ANYWAY, |cut| cut.saturating_sub(BEFORE_THE_CUT));
    let mut time = |key, default| duration(&mut section, key, problems, default);
    let (stale_after, rotate_after) = (time("stale_after", silence), time("rotate_after", rotate));
    let reorder_wait = time("reorder_wait", Duration::from_millis(100));
    let backfill_budget = time("backfill_budget", Duration::from_secs(60));
    let connect_patience = time("connect_patience", Duration::from_secs(60));
    let frame_bytes_max = section.parse("frame_bytes_max", whole, problems);
    let waiting_room = section.parse("waiting_room", whole, problems);
    section.finish(problems);
    if problems.0.len() > before {
        return None;
    }
    Some(FeedPlan {
        name,
        venue: venue?,
        channel: channel?,
        symbols,
        websocket,
        rest,
        api_key,
        connections,
        stale_after: stale_after.unwrap_or(silence),
        rotate_after: rotate_after.unwrap_or(rotate),
        reorder_wait: reorder_wait.unwrap_or_default(),
        backfill_budget: backfill_budget.unwrap_or_default(),
        connect_patience: connect_patience.unwrap_or_default(),
        frame_bytes_max: frame_bytes_max.unwrap_or(FRAME_BYTES_MAX),
        waiting_room: waiting_room.unwrap_or(WAITING_ROOM),
        revises: false,
    })
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
        let hint = suggestion(&text, all.iter().map(|venue| venue.protocol()));
        problems.add(at, format!("venue = \"{text}\" is not one of {}{hint}", known()));
    }
    found
}

fn known() -> String {
    venues().iter().map(|venue| venue.protocol()).collect::<Vec<_>>().join(", ")
}

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
        match symbol(venue, &text, contract_size) {
            Ok(symbol) if symbols.contains(&symbol) => {
                problems.add(&at, format!("instruments: \"{text}\" is named twice"));
            }
            Ok(symbol) => symbols.push(symbol),
            Err(reason) => problems.add(&at, format!("instruments: \"{text}\": {reason}")),
        }
    }
    symbols
}

/// One instrument as a venue and the user write it.
///
/// # Errors
/// What a symbol of that venue looks like, or which setting is missing.
pub fn symbol(venue: &dyn Venue, text: &str, size: Option<f64>) -> Result<Symbol, String> {
    let instrument = venue.instrument(text)?;
    let contract = venue.contract(text, size)?;
    let listing = Listing { symbol: venue.wire_symbol(text), contract };
    Ok(Symbol { instrument, listing, resume_after: None })
}

/// Keys stand in files as references only.
fn api_key(section: &mut Section, problems: &mut Problems) -> Option<String> {
    let (text, at) = section.text("api_key", problems)?;
    match secrets::Value::parse(&text) {
        Ok(secrets::Value::Environment(_) | secrets::Value::File(_)) => Some(text),
        _ => {
            problems.add(at, "api_key: a reference ${NAME} or ${file:/path} is wanted");
            None
        }
    }
}

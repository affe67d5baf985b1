//! Where live bars begin: after history from files, or where a checkpoint is.

use std::collections::BTreeMap;
use std::sync::Arc;

use barflow_operators::batch::{Feed, IdKind, TradeBatch};
use barflow_operators::input_batch::InputBatch;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::order::ids::Settled;
use barflow_operators::position::Position;
use barflow_operators::sequence::FeedOrder;
use barflow_replay::error::ReplayError;
use barflow_replay::named;
use barflow_replay::plan::{InstrumentPlan, PlanOptions, PlannedFile};
use barflow_replay::planner::plan;
use barflow_replay::progress::Progress;
use barflow_replay::read_options::ReadOptions;
use barflow_replay::stream::InstrumentStream;

use super::replayed::{Hole, Replayed};
use crate::config::live::LiveSettings;
use crate::config::targets;
use crate::feeds::gap_tracker::ReportedGap;
use crate::feeds::plan::{FeedPlan, LastTrade, Symbol};
use crate::feeds::reorder_buffer::GivenUp;
use crate::feeds::state::FeedOutputs;
use crate::graph::flow::Inlet;
use crate::job::error::HistoryError;
use crate::job::source::files::{go_on, name_files_read};
use crate::job::start::Resumption;
use crate::stop::Cause;

/// Why ids of a history are missing.
const HOLE: &str = "the history does not have them";

/// Replays the files into the graph, and has the feeds continue after their last trades.
///
/// # Errors
/// When the files cannot be read, or are not of the feeds' instruments and kind.
pub fn from_history(
    settings: &mut LiveSettings,
    resumption: &Resumption,
    outlets: &FeedOutputs,
) -> Result<(), Cause> {
    let (instrument, renames) = named::parts(settings.history_instrument.as_ref());
    let options = PlanOptions {
        instrument,
        renames,
        stop: outlets.stop.flag().into(),
        ..PlanOptions::default()
    };
    let histories = match plan(&settings.history, &options) {
        Err(ReplayError::Stopped) => return Ok(()),
        planned => planned?,
    };
    for note in &histories.notes {
        tracing::warn!("history: {note}");
    }
    let share = outlets.share;
    let mine = |history: &InstrumentPlan| share.holds(&history.feed.instrument);
    histories.instruments.iter().filter(|h| mine(h)).try_for_each(|h| fits(h, settings))?;
    let mut applied = BTreeMap::new();
    for mut history in histories.instruments {
        let instrument = history.feed.instrument.clone();
        // The history of another process's instrument is read there.
        let Some(worker) = share.worker(&instrument) else { continue };
        let inlet = &outlets.inlets[worker];
        // A job that stopped within its history resumes there; one that stopped later, after it.
        let is_new = !resumption.positions.contains_key(&instrument);
        let progress = Progress::until(outlets.stop.flag().into());
        let read = ReadOptions { progress, ..ReadOptions::new(8192) };
        let Some(read) = resume(&mut history, resumption, read)? else {
            tracing::info!(%instrument, "history skipped: the job's position is after it");
            continue;
        };
        let feed = Arc::clone(&history.feed);
        let settled = read.settled.clone();
        let replayed = Replayed::after(settled.as_deref());
        let mut holes = HoleReport::of(settings, &feed, outlets);
        let (replayed, is_whole) = replay(history, read, replayed, &mut holes, outlets, inlet)?;
        // Also those of a history that is interrupted: the next run takes them for known.
        replayed.holes().for_each(|hole| holes.note(hole));
        holes.tell();
        if !is_whole {
            return Ok(());
        }
        warn_of_warm_ups(settings, &feed, is_new.then_some(replayed.rows));
        if let Some(last) = replayed.last() {
            tracing::info!(%instrument, last_trade_id = last.id, "history applied");
            applied.insert(instrument, last);
        }
    }
    continue_after(settings, applied);
    Ok(())
}

/// How a history is read: from its beginning, or where a job stopped within it; none if the job's
/// position is not in it.
///
/// # Errors
/// When the files there are not those that the job read.
fn resume(
    history: &mut InstrumentPlan,
    resumption: &Resumption,
    read: ReadOptions,
) -> Result<Option<ReadOptions>, ReplayError> {
    let instrument = &history.feed.instrument.clone();
    let order = resumption.orders.get(instrument);
    let Some((position, order)) = resumption.positions.get(instrument).zip(order) else {
        name_files_read(history, &[], 0);
        return Ok(Some(read));
    };
    if position.file().is_none() {
        return Ok(None);
    }
    let resume = go_on(history, position, &order.settled, &read)?;
    let settled = Some(Arc::new(order.settled.clone()));
    let resume_time = resumption.last_times.get(instrument).copied();
    let is_within = resume.is_some();
    Ok(is_within.then_some(ReadOptions { resume, resume_time, settled, ..read }))
}

/// Replays a history into the graph; false if the job ends meanwhile.
fn replay(
    history: InstrumentPlan,
    options: ReadOptions,
    mut replayed: Replayed,
    holes: &mut HoleReport<'_>,
    outlets: &FeedOutputs,
    inlet: &Inlet,
) -> Result<(Replayed, bool), ReplayError> {
    let mut end = None;
    for input_batch in InstrumentStream::open(history, options)? {
        let input_batch = match input_batch {
            Err(ReplayError::Stopped) => return Ok((replayed, false)),
            input_batch => input_batch?,
        };
        replayed.note(&input_batch, &mut |hole| holes.note(&hole));
        end = Some((Arc::clone(&input_batch.trades.feed), input_batch.end.clone()));
        if outlets.stop.is_raised() || inlet.send(input_batch).is_err() {
            return Ok((replayed, false));
        }
    }
    if let Some((feed, end)) = end
        && inlet.send(no_more(outlets.pool.take(&feed), end)).is_err()
    {
        return Ok((replayed, false));
    }
    Ok((replayed, true))
}

/// Has feeds continue after these trades.
fn continue_after(settings: &mut LiveSettings, mut applied: BTreeMap<InstrumentId, LastTrade>) {
    for symbol in settings.feeds.iter_mut().flat_map(|feed| &mut feed.symbols) {
        if let Some(last) = applied.remove(&symbol.instrument) {
            symbol.resume_after = Some(last);
        }
    }
}

/// Writes down which ids a history lacks, where its feed has ids too: trades of theirs come too late.
struct HoleReport<'a> {
    feed: Option<&'a FeedPlan>,
    instrument: &'a InstrumentId,
    outlets: &'a FeedOutputs,
    gaps: u64,
    ids: u64,
    /// The first id that is missing.
    first: Option<u64>,
}

impl<'a> HoleReport<'a> {
    fn of(settings: &'a LiveSettings, feed: &'a Feed, outlets: &'a FeedOutputs) -> Self {
        let continued = feed_of(settings, &feed.instrument);
        let has_ids = |(plan, symbol): &(&FeedPlan, &Symbol)| {
            symbol.feed(plan.venue.as_ref(), plan.channel).ids != IdKind::Ordinal
        };
        let feed_plan = continued.filter(has_ids).map(|(plan, _)| plan);
        let instrument = &feed.instrument;
        Self { feed: feed_plan, instrument, outlets, gaps: 0, ids: 0, first: None }
    }

    /// A hole that will not be filled.
    fn note(&mut self, hole: &Hole) {
        let Some(plan) = self.feed else { return };
        self.gaps += 1;
        self.ids = self.ids.saturating_add(hole.ids.len());
        self.first.get_or_insert(hole.ids.first_missing);
        let gap = GivenUp { gap: Some(hole.ids), after: hole.after, before: hole.before };
        let reported = ReportedGap { gap, reason: HOLE };
        (self.outlets.on_gap)(&plan.name, self.instrument, &reported);
    }

    /// Says how many there were.
    fn tell(&self) {
        let (Some(plan), Some(first_missing)) = (self.feed, self.first) else { return };
        tracing::error!(
            feed = %plan.name,
            instrument = %self.instrument,
            gaps = self.gaps,
            ids = self.ids,
            first_missing,
            "trades are missing from the history: bars span the gaps, and a trade of theirs comes too late"
        );
    }
}

/// The feed that continues an instrument.
fn feed_of<'a>(
    settings: &'a LiveSettings,
    instrument: &InstrumentId,
) -> Option<(&'a FeedPlan, &'a Symbol)> {
    settings.feeds.iter().find_map(|feed| {
        let symbol = feed.symbols.iter().find(|symbol| symbol.instrument == *instrument)?;
        Some((feed, symbol))
    })
}

/// Says which bars need more history than so many trades, where builders began with them.
fn warn_of_warm_ups(settings: &LiveSettings, feed: &Feed, rows: Option<u64>) {
    let Some(rows) = rows else { return };
    for spec in settings.bars.for_feed(feed) {
        let left = targets::warmup(&spec).saturating_sub(rows);
        if let Some(doubt) = targets::too_short(&spec, &feed.instrument, left) {
            tracing::warn!("{doubt}");
        }
    }
}

/// Marks the end of the files, so that no worker waits for more of them: live continues after the
/// last of them, and their bars need not wait for its first trade.
fn no_more(nothing: TradeBatch, end: Position) -> InputBatch {
    let mut input_batch = InputBatch::new(nothing, Vec::new(), end.clone(), end);
    input_batch.order = Some(FeedOrder::default());
    input_batch
}

/// Tells the feeds which trades a checkpoint holds.
///
/// # Errors
/// When an instrument's feed brings another kind of trades than before.
pub fn from_checkpoint(
    settings: &mut LiveSettings,
    resume: &Resumption,
) -> Result<(), HistoryError> {
    for feed in &mut settings.feeds {
        let brings = feed.venue.input(feed.channel);
        for symbol in &mut feed.symbols {
            if !resume.positions.contains_key(&symbol.instrument) {
                continue;
            }
            let before = resume.feeds.get(&symbol.instrument).map_or(brings, |feed| feed.input);
            if before != brings {
                return Err(HistoryError::OtherInput {
                    instrument: symbol.instrument.to_string(),
                    history: before.as_str(),
                    feed: brings.as_str(),
                });
            }
            if let Some(last) = last_trade(resume, &symbol.instrument) {
                symbol.resume_after = Some(last);
            }
        }
    }
    Ok(())
}

/// Where the checkpoint is, by instrument.
pub fn last_trades(resume: &Resumption) -> BTreeMap<InstrumentId, LastTrade> {
    let instruments = resume.positions.keys();
    instruments.filter_map(|id| Some((id.clone(), last_trade(resume, id)?))).collect()
}

/// The last trade that a checkpoint holds; none before the first.
fn last_trade(resume: &Resumption, instrument: &InstrumentId) -> Option<LastTrade> {
    let position = resume.positions.get(instrument)?;
    let id = position.trade_id()?;
    let latest = match position {
        Position::Feed(at) => at.latest.as_deref().filter(|latest| !latest.names.is_empty()),
        Position::File(_) => None,
    };
    let (time, names) = match latest {
        Some(latest) => (Some(latest.event_time), latest.names.clone()),
        None => (resume.last_times.get(instrument).copied(), Vec::new()),
    };
    let settled = resume.orders.get(instrument).map(|order| &order.settled);
    let gaps = settled.map(|settled| settled.gaps().collect()).unwrap_or_default();
    let forgotten = settled.and_then(Settled::forgotten);
    Some(LastTrade { id, time, names, gaps, forgotten, ..LastTrade::default() })
}

fn fits(history: &InstrumentPlan, settings: &LiveSettings) -> Result<(), HistoryError> {
    let instrument = &history.feed.instrument;
    let Some((feed, symbol)) = feed_of(settings, instrument) else {
        return Err(HistoryError::NoFeed { instrument: instrument.to_string() });
    };
    let brings = feed.venue.input(feed.channel);
    if brings != history.feed.input {
        return Err(HistoryError::OtherInput {
            instrument: instrument.to_string(),
            history: history.feed.input.as_str(),
            feed: brings.as_str(),
        });
    }
    match differs(&history.feed, &symbol.feed(feed.venue.as_ref(), feed.channel)) {
        None => Ok(()),
        Some((had, has)) => Err(HistoryError::OtherRows {
            file: history.files.first().map_or_else(String::new, PlannedFile::name),
            instrument: instrument.to_string(),
            history: had,
            feed: has,
        }),
    }
}

/// What the rows of a history lack that its feed has, as where a replay of both would be refused. A feed
/// without ids continues any history: it goes by times and content, and numbers its trades from there.
fn differs(history: &Feed, live: &Feed) -> Option<(&'static str, &'static str)> {
    let has_ids = |feed: &Feed| feed.ids != IdKind::Ordinal;
    if has_ids(live) && !has_ids(history) {
        return Some(("without ids", "with ids"));
    }
    let lacks_side = live.has_aggressor && !history.has_aggressor;
    lacks_side.then_some(("without aggressor side", "with aggressor side"))
}

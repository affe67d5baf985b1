//! Where live bars begin: after history from files, or where a checkpoint is.

use std::collections::BTreeMap;
use std::sync::Arc;

use barflow_operators::batch::TradeBatch;
use barflow_operators::input_batch::InputBatch;
use barflow_operators::instrument::InstrumentId;
use barflow_operators::position::Position;
use barflow_operators::sequence::FeedOrder;
use barflow_replay::error::ReplayError;
use barflow_replay::named;
use barflow_replay::plan::{InstrumentPlan, PlanOptions, plan};
use barflow_replay::progress::Progress;
use barflow_replay::stream::{InstrumentStream, ReadOptions};

use crate::config::live::LiveSettings;
use crate::feeds::plan::LastTrade;
use crate::feeds::state::Outlets;
use crate::job::error::HistoryError;
use crate::job::source::files::place;
use crate::job::start::Resumption;
use crate::stop::Cause;

/// Replays the files into the graph, and has the feeds continue after their last trades.
///
/// # Errors
/// When the files cannot be read, or are not of the feeds' instruments and kind.
pub fn from_history(
    settings: &mut LiveSettings,
    positions: &BTreeMap<InstrumentId, Position>,
    outlets: &Outlets,
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
    for history in histories.instruments.iter().filter(|history| mine(history)) {
        fits(history, settings)?;
    }
    let mut applied = BTreeMap::new();
    for history in histories.instruments {
        let instrument = history.feed.instrument.clone();
        // The history of another process's instrument is read there.
        let Some(worker) = share.worker(&instrument) else { continue };
        let inlet = &outlets.inlets[worker];
        // A job that stopped within its history resumes there; one that stopped later, after it.
        let resume = positions.get(&instrument).map(|position| place(&history, position));
        if resume == Some(None) {
            tracing::info!(%instrument, "history skipped: the job's position is after it");
            continue;
        }
        let options = ReadOptions {
            resume: resume.flatten(),
            progress: Progress::until(outlets.stop.flag().into()),
            ..ReadOptions::new(8192)
        };
        let (mut last, mut end) = (None, None);
        for input_batch in InstrumentStream::open(history, options)? {
            let input_batch = match input_batch {
                Err(ReplayError::Stopped) => return Ok(()),
                input_batch => input_batch?,
            };
            end = Some((Arc::clone(&input_batch.trades.feed), input_batch.end.clone()));
            for (id, time) in input_batch.trades.trade_id.iter().zip(&input_batch.trades.event_time)
            {
                // Files may be out of order by a little; live continues after the newest id.
                last = last.max(Some((*id, *time)));
            }
            if outlets.stop.is_raised() || inlet.send(input_batch).is_err() {
                return Ok(());
            }
        }
        if let Some((feed, end)) = end
            && inlet.send(no_more(outlets.pool.take(&feed), end)).is_err()
        {
            return Ok(());
        }
        if let Some((id, time)) = last {
            tracing::info!(%instrument, last_trade_id = id, "history applied");
            applied.insert(instrument, LastTrade { id, time, names: Vec::new() });
        }
    }
    for symbol in settings.feeds.iter_mut().flat_map(|feed| &mut feed.symbols) {
        if let Some(last) = applied.remove(&symbol.instrument) {
            symbol.resume_after = Some(last);
        }
    }
    Ok(())
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
            let Some(position) = resume.positions.get(&symbol.instrument) else { continue };
            let before = resume.feeds.get(&symbol.instrument).map_or(brings, |feed| feed.input);
            if before != brings {
                return Err(HistoryError::OtherInput {
                    instrument: symbol.instrument.to_string(),
                    history: before.as_str(),
                    feed: brings.as_str(),
                });
            }
            // Before its first trade there is none to resume after.
            let Some(id) = position.trade_id() else { continue };
            let latest = match position {
                Position::Feed(at) => at.latest.as_deref(),
                Position::File(_) => None,
            };
            symbol.resume_after = Some(match latest {
                Some(latest) => {
                    LastTrade { id, time: latest.event_time, names: latest.names.clone() }
                }
                None => LastTrade {
                    id,
                    time: resume.last_times.get(&symbol.instrument).copied().unwrap_or_default(),
                    names: Vec::new(),
                },
            });
        }
    }
    Ok(())
}

fn fits(history: &InstrumentPlan, settings: &LiveSettings) -> Result<(), HistoryError> {
    let instrument = &history.feed.instrument;
    let mut feeds = settings.feeds.iter();
    let feed = feeds.find(|feed| feed.symbols.iter().any(|s| s.instrument == *instrument));
    let Some(feed) = feed else {
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
    Ok(())
}

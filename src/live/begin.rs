//! Days from files first, so that live bars go on from them.

use barflow_replay::plan::{InstrumentPlan, PlanOptions, plan};
use barflow_replay::stream::{InstrumentStream, ReadOptions};

use super::Applied;
use crate::config::live::LiveSettings;
use crate::feeds::hub::Outlets;
use crate::graph::stop::Cause;

/// History that does not fit the feeds.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// No feed goes on from it.
    #[error("history holds {instrument}, which no feed listens to")]
    NoFeed {
        /// What the files hold.
        instrument: String,
    },
    /// Raw trades and aggregates make different bars.
    #[error("history of {instrument} holds {history}, its feed brings {feed}: bars would differ")]
    OtherInput {
        /// Which instrument.
        instrument: String,
        /// What the files hold.
        history: &'static str,
        /// What the feed brings.
        feed: &'static str,
    },
}

/// Replays the files into the graph and tells the feeds where to go on.
///
/// # Errors
/// When the files cannot be read, or are not of the feeds' instruments and kind.
pub fn from_history(settings: &mut LiveSettings, outlets: &Outlets) -> Result<(), Cause> {
    let options =
        PlanOptions { instrument: settings.history_instrument.clone(), ..PlanOptions::default() };
    let histories = plan(&settings.history, &options)?;
    let share = outlets.share;
    let mine = |history: &InstrumentPlan| share.holds(&history.feed.instrument);
    for history in histories.instruments.iter().filter(|history| mine(history)) {
        fits(history, settings)?;
    }
    let mut applied = Applied::new();
    for history in histories.instruments {
        let instrument = history.feed.instrument.clone();
        // The history of another process's instrument is read there.
        let Some(worker) = share.worker(&instrument) else { continue };
        let inlet = &outlets.inlets[worker];
        let mut last = None;
        for intake in InstrumentStream::open(history, ReadOptions::new(8192))? {
            let intake = intake?;
            for (id, time) in intake.trades.trade_id.iter().zip(&intake.trades.event_time) {
                // Files may be out of order by a little; the newest id is where live goes on.
                last = last.max(Some((*id, *time)));
            }
            if outlets.stop.is_raised() || inlet.send(intake).is_err() {
                return Ok(());
            }
        }
        if let Some((id, time)) = last {
            tracing::info!(%instrument, last_trade_id = id, "history applied");
            applied.insert(instrument, (id, time));
        }
    }
    for symbol in settings.feeds.iter_mut().flat_map(|feed| &mut feed.symbols) {
        symbol.resume_after = applied.get(&symbol.instrument).copied();
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

//! Histories of several instruments, read in turns so that they stay close to each other in event time.

use std::collections::BTreeMap;

use barflow_operators::batch::TradeBatch;
use barflow_operators::event_time::turns::{Outcome, Turns};
use barflow_operators::instrument::InstrumentId;
use barflow_operators::revision::Correction;
use barflow_replay::error::ReplayError;
use barflow_replay::read_options::ReadOptions;
use barflow_replay::stream::{InstrumentStream, ReadOn};

use super::sending::Sending;
use crate::parallel::History;

/// Instruments within a file at a time. Each has a thread that decodes and a few MiB. Of more instruments
/// than that, up to a file each is read ahead, and its bars wait.
pub const MOST_OPEN: usize = 64;

/// How long before its first trade an instrument is expected, ns: a day, because files that begin with
/// their newest trade, or with one out of order, begin earlier than their first row says.
const EARLY: i64 = 86_400_000_000_000;

/// One instrument in its turns.
struct Reader {
    instrument: InstrumentId,
    stream: InstrumentStream,
    corrections: Vec<Correction>,
}

/// When an instrument's trades begin, ns: none of those that are left are earlier.
pub fn begin(history: &History) -> i64 {
    let first = history.plan.files.iter().map(|file| file.first_time).min().unwrap_or(i64::MIN);
    history.resume_time.unwrap_or_else(|| first.saturating_sub(EARLY))
}

/// When each instrument begins, ns, of all workers.
pub fn expected(histories: &[Vec<History>]) -> BTreeMap<InstrumentId, i64> {
    let all = histories.iter().flatten();
    all.map(|history| (history.plan.feed.instrument.clone(), begin(history))).collect()
}

/// Feeds a worker with its histories in turns.
///
/// # Errors
/// The first error of any of them.
pub(super) fn feed(
    mine: Vec<History>,
    options: &ReadOptions,
    sending: &Sending<'_>,
) -> Result<(), ReplayError> {
    let mut turns = Turns::new(mine.iter().map(begin), MOST_OPEN);
    let mut readers = Vec::with_capacity(mine.len());
    for History { plan, resume, resume_time, settled, corrections } in mine {
        let options = ReadOptions { resume, resume_time, settled, ..options.clone() };
        let instrument = plan.feed.instrument.clone();
        let stream = InstrumentStream::open(plan, options)?;
        readers.push(Some(Reader { instrument, stream, corrections }));
    }
    let mut ended = Vec::new();
    while let Some(place) = turns.next().and_then(|who| readers.get_mut(who)) {
        let Some(reader) = place else { return Ok(()) };
        let outcome = match reader.stream.read_on() {
            None => {
                ended.extend(place.take().map(|reader| reader.instrument));
                Outcome::End
            }
            Some(Err(ReplayError::Stopped)) => return Ok(()),
            Some(Err(error)) => return Err(error),
            Some(Ok(ReadOn::BetweenFiles)) => Outcome::BetweenFiles,
            Some(Ok(ReadOn::Batch(mut batch))) => {
                let latest = latest(&batch.trades);
                // All at the beginning: they wait until their place has passed.
                batch.corrections = std::mem::take(&mut reader.corrections);
                batch.ended = std::mem::take(&mut ended);
                if !sending.send(batch) {
                    return Ok(());
                }
                Outcome::Batch(latest)
            }
        };
        turns.read(outcome);
    }
    Ok(())
}

fn latest(trades: &TradeBatch) -> Option<i64> {
    trades.event_time.iter().copied().max()
}

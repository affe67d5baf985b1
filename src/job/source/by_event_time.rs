//! Histories of several instruments, read in turns so that they stay close to each other in event time.

use std::collections::BTreeMap;

use barflow_operators::batch::TradeBatch;
use barflow_operators::event_time::expected::Expected;
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

/// The instruments of all workers, and when each begins.
pub fn expected(histories: &[Vec<History>]) -> Expected {
    let all = histories.iter().flatten();
    Expected::new(
        all.map(|history| (history.plan.feed.instrument.clone(), begin(history))).collect(),
    )
}

/// Feeds a worker with its histories in turns.
///
/// # Errors
/// The first error of any of them.
pub(super) fn feed(
    mine: Vec<History>,
    options: &ReadOptions,
    sending: &Sending<'_>,
    expected: &Expected,
) -> Result<(), ReplayError> {
    let places = mine.iter().enumerate();
    let places: BTreeMap<InstrumentId, usize> =
        places.map(|(who, history)| (history.plan.feed.instrument.clone(), who)).collect();
    let mut turns = Turns::new(mine.iter().map(begin), MOST_OPEN);
    let mut readers = Vec::with_capacity(mine.len());
    for History { plan, resume, resume_time, settled, corrections } in mine {
        let options = ReadOptions { resume, resume_time, settled, ..options.clone() };
        let instrument = plan.feed.instrument.clone();
        let stream = InstrumentStream::open(plan, options)?;
        readers.push(Some(Reader { instrument, stream, corrections }));
    }
    let mut ended = Vec::new();
    while let Some(next) = turns.next() {
        // First the instrument for which too many bars wait, unless it has just ended.
        let slowest = expected.slowest(|instrument| places.contains_key(instrument));
        let slowest = slowest.and_then(|instrument| places.get(&instrument).copied());
        let slowest = slowest.filter(|who| readers.get(*who).is_some_and(Option::is_some));
        let who = slowest.unwrap_or(next);
        let Some(place) = readers.get_mut(who) else { return Ok(()) };
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
                let about = about(&batch.trades);
                // All at the beginning: they wait until their place has passed.
                batch.corrections = std::mem::take(&mut reader.corrections);
                batch.ended = std::mem::take(&mut ended);
                if !sending.send(batch) {
                    return Ok(());
                }
                Outcome::Batch(about)
            }
        };
        turns.read(who, outcome);
    }
    Ok(())
}

/// Where a batch is in event time, ns: the middle one of three times, of which one may be wrong.
fn about(trades: &TradeBatch) -> Option<i64> {
    let times = &trades.event_time;
    let (first, last) = (*times.first()?, *times.last()?);
    let mut three = [first, *times.get(times.len() / 2)?, last];
    three.sort_unstable();
    Some(three[1])
}

//! The threads that read histories, one per worker.

use barflow_operators::event_time::expected::Expected;
use barflow_replay::error::ReplayError;
use barflow_replay::read_options::ReadOptions;
use barflow_replay::stream::InstrumentStream;

use super::by_event_time;
use super::sending::Sending;
use crate::graph::run::Feeder;
use crate::parallel::History;

/// One feeder per worker, which reads the worker's histories in turns if they are expected so, else one after
/// the other.
pub fn feeders(
    histories: Vec<Vec<History>>,
    options: &ReadOptions,
    expected: Option<&Expected>,
) -> Vec<Feeder> {
    histories
        .into_iter()
        .enumerate()
        .map(|(worker, mine)| -> Feeder {
            let (options, expected) = (options.clone(), expected.cloned());
            Box::new(move |mut inlets, stop| {
                // Only its own: the others' sources end when their readers do.
                let inlet = inlets.swap_remove(worker);
                drop(inlets);
                let sending = Sending { inlet: &inlet, stop };
                let fed = match &expected {
                    Some(expected) => by_event_time::feed(mine, &options, &sending, expected),
                    None => one_by_one(mine, &options, &sending),
                };
                // Told before the inlet goes: an input that fails has not come to its end.
                if let Err(error) = fed {
                    stop.fail_input(error);
                }
                Ok(())
            })
        })
        .collect()
}

/// Feeds a worker with its histories, one after the other.
fn one_by_one(
    mine: Vec<History>,
    options: &ReadOptions,
    sending: &Sending<'_>,
) -> Result<(), ReplayError> {
    for History { plan, resume, resume_time, settled, mut corrections } in mine {
        let options = ReadOptions { resume, resume_time, settled, ..options.clone() };
        for input_batch in InstrumentStream::open(plan, options)? {
            let mut input_batch = match input_batch {
                Err(ReplayError::Stopped) => return Ok(()),
                input_batch => input_batch?,
            };
            // All at the beginning: they wait until their place has passed.
            input_batch.corrections = std::mem::take(&mut corrections);
            if !sending.send(input_batch) {
                return Ok(());
            }
        }
    }
    Ok(())
}

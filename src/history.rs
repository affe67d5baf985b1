//! Replay files as a source of the graph: who reads which instrument, and what the plan is worth
//! remarking on.

use std::sync::Arc;

use barflow_operators::sign::SignRule;
use barflow_replay::plan::Plan;
use barflow_replay::stream::{InstrumentStream, ReadOptions};

use crate::config::bars::BarBook;
use crate::graph::run::{Feeder, Workers};

/// One feeder per worker of this process. An instrument is read by the worker that its trades
/// would be sent to anyway, so nothing crosses between workers; histories of one worker are read
/// one after the other.
pub fn feeders(plan: Plan, workers: &Workers, options: &ReadOptions) -> Vec<Feeder> {
    let share = workers.share();
    let mut histories: Vec<Vec<_>> = (0..workers.here()).map(|_| Vec::new()).collect();
    for instrument in plan.instruments {
        if let Some(worker) = share.worker(&instrument.feed.instrument) {
            histories[worker].push(instrument);
        }
    }
    histories
        .into_iter()
        .enumerate()
        .map(|(worker, mine)| -> Feeder {
            let options = options.clone();
            Box::new(move |mut inlets, stop| {
                // Only its own: the others' sources end when their readers do.
                let inlet = inlets.swap_remove(worker);
                drop(inlets);
                for history in mine {
                    for intake in InstrumentStream::open(history, options.clone())? {
                        if stop.is_raised() || inlet.send(intake?).is_err() {
                            return Ok(());
                        }
                    }
                }
                Ok(())
            })
        })
        .collect()
}

/// What the user should know about how these bars come out of these files.
pub fn remarks(plan: &Plan, bars: &BarBook) -> Vec<String> {
    let mut remarks = Vec::new();
    for instrument in &plan.instruments {
        let feed = &instrument.feed;
        let specs = bars.for_feed(feed);
        let fallen: Vec<Arc<str>> = specs
            .iter()
            .filter(|spec| spec.sign() == SignRule::Aggressor && !feed.has_aggressor)
            .map(|spec| Arc::clone(spec.name()))
            .collect();
        if !fallen.is_empty() {
            remarks.push(format!(
                "{}: the source does not tell the aggressor; sign = aggressor falls back to the \
                 tick rule for {}",
                feed.instrument,
                fallen.join(", ")
            ));
        }
        if specs.is_empty() {
            remarks.push(format!("{}: no bars are ordered for it", feed.instrument));
        }
    }
    remarks
}

//! What the processes of a job tell each other while they run, besides timely's own progress.
//!
//! *How far the clock is.* An epoch is complete when no source can use it any more. A process with
//! little to do uses few epochs; unless it hears how far the others are and moves on, they wait for
//! it.
//!
//! *That the end was asked for.* A job ends as a whole: a process alone could neither be replaced
//! nor leave the others a complete dataflow.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use barflow_operators::dataflow::Epoch;
use barflow_operators::dataflow::ledger::FactUpdate;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{Operator, OutputBuilder};

use super::cluster::ClusterError;
use super::flow::EpochClock;
use super::options::GraphOptions;
use super::workers::Workers;
use crate::stop::{Asker, Stop};

/// Between two looks at whether the end was asked for.
const LOOK: Duration = Duration::from_millis(50);

/// How long an end may take before it is said what is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a process fares, each worse than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum ProcessState {
    Runs,
    Stops,
    Failed,
}

impl ProcessState {
    fn of(stop: &Stop) -> Self {
        match (stop.has_failed(), stop.is_raised()) {
            (true, _) => Self::Failed,
            (false, true) => Self::Stops,
            (false, false) => Self::Runs,
        }
    }
}

/// A message of one process to another, addressed to its first worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ControlMessage {
    to: u64,
    from: usize,
    clock: Epoch,
    state: ProcessState,
}

/// Tells and hears until everything is handed over everywhere, which is when `handed_over` ends.
/// Does nothing in a process that is alone.
pub(super) fn exchange(
    handed_over: StreamVec<'_, Epoch, FactUpdate>,
    options: &GraphOptions,
    workers: &Workers,
) {
    if workers.processes() == 1 {
        return;
    }
    let known = Rc::new(Cell::new(ProcessState::Runs));
    let messages = tell(handed_over, options.clock.clone(), options.stop.clone(), workers, &known);
    hear(messages, options.clock.clone(), options.stop.clone(), workers, known);
}

/// The first worker of each process speaks for it.
fn tell<'scope>(
    handed_over: StreamVec<'scope, Epoch, FactUpdate>,
    clock: EpochClock,
    stop: Stop,
    workers: &Workers,
    known: &Rc<Cell<ProcessState>>,
) -> StreamVec<'scope, Epoch, ControlMessage> {
    let scope = handed_over.scope();
    let mut builder = OperatorBuilder::new("TellNews".to_owned(), scope);
    let info = builder.operator_info();
    // Its frontier says when all is done; what is told belongs to no epoch.
    let mut input = builder.new_input_connection(handed_over, Pipeline, []);
    let (output, stream) = builder.new_output();
    let mut output =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<ControlMessage>>>::from(output);
    let activator = scope.activator_for(Rc::clone(&info.address));
    let speaks = scope.index() == workers.first();
    if speaks {
        clock.told_by(scope.worker().sync_activator_for(info.address.to_vec()));
    }
    let (from, here) = (workers.process(), workers.here());
    let others: Vec<u64> =
        (0..workers.processes()).filter(|p| *p != from).map(|p| (p * here) as u64).collect();
    let known = Rc::clone(known);

    builder.build(move |mut capabilities| {
        let mut capability = capabilities.pop().filter(|_| speaks);
        let mut told = 0;
        let mut next_look = Instant::now();
        let mut next_line = None;
        move |frontiers| {
            input.for_each(|_, _| {});
            if frontiers[0].is_empty() {
                capability = None;
            }
            let Some(held) = &capability else { return };
            let (now, state) = (clock.now(), ProcessState::of(&stop));
            // What was heard from a process the others have heard from it as well.
            let own = if state > known.get() { state } else { ProcessState::Runs };
            if now > told || own > ProcessState::Runs {
                told = now;
                known.set(known.get().max(own));
                let mut output = output.activate();
                let mut session = output.session(held);
                for to in &others {
                    session.give(ControlMessage { to: *to, from, clock: now, state: own });
                }
            }
            if Instant::now() >= next_look {
                next_look = Instant::now() + LOOK;
                activator.activate_after(LOOK);
            }
            if state > ProcessState::Runs {
                let line = next_line.get_or_insert_with(|| Instant::now() + PATIENCE);
                if Instant::now() >= *line {
                    *line = Instant::now() + PATIENCE;
                    tracing::info!(
                        "waiting for the other processes to finish; a second signal ends this one \
                         at once"
                    );
                }
            }
        }
    });
    stream
}

fn hear(
    messages: StreamVec<'_, Epoch, ControlMessage>,
    clock: EpochClock,
    stop: Stop,
    workers: &Workers,
    known: Rc<Cell<ProcessState>>,
) {
    let hosts = workers.hosts().to_vec();
    let to_whom = Exchange::new(|messages: &ControlMessage| messages.to);
    messages.sink(to_whom, "HearNews", move |(input, _frontier)| {
        input.for_each(|_, messages| {
            for ControlMessage { from, clock: theirs, state, .. } in messages.drain(..) {
                clock.keep_up(theirs);
                if state <= known.get() {
                    continue;
                }
                known.set(state);
                let address = hosts.get(from).cloned().unwrap_or_default();
                match state {
                    ProcessState::Runs => {}
                    ProcessState::Stops => {
                        tracing::info!(process = from, address, "stopped by another process");
                        stop.raise_for(Asker::Process(from));
                    }
                    ProcessState::Failed => {
                        stop.fail(ClusterError::Failed { process: from, address })
                    }
                }
            }
        });
    });
}

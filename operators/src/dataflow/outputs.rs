//! Outputs of an operator, and the rights to send to them.

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, InputCapability};

use super::Epoch;

/// An output of single items.
pub(super) type Output<D> = OutputBuilder<Epoch, CapacityContainerBuilder<Vec<D>>>;

/// Adds an output to an operator.
pub(super) fn output<'scope, D: 'static>(
    builder: &mut OperatorBuilder<'scope, Epoch>,
) -> (Output<D>, StreamVec<'scope, Epoch, D>) {
    let (output, stream) = builder.new_output();
    (Output::from(output), stream)
}

/// The rights to send to the three outputs of an operator.
pub(super) type Rights = (Capability<Epoch>, Capability<Epoch>, Capability<Epoch>);

/// Those at the time of a message. Only a message without any time has none; our sources send none such.
pub(super) fn rights(cap: &InputCapability<Epoch>) -> Option<Rights> {
    Some((cap.retain_least(0)?, cap.retain_least(1)?, cap.retain_least(2)?))
}

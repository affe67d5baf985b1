//! In which order the instruments of a replay are read, and their bars leave.

/// The order of instruments among each other; within an instrument it is always that of its trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOrder {
    /// In turns, close to each other in event time; bars leave in the order of their `known_time`.
    EventTime,
    /// One after the other.
    Instrument,
}

/// The words for orders.
pub(super) const ORDERS: [(&str, ReadOrder); 2] =
    [("event-time", ReadOrder::EventTime), ("instrument", ReadOrder::Instrument)];

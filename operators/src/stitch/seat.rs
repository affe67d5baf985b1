//! One builder and what is known of its open bar that the builder need not know: a desk's, of which
//! only bars are wanted.

pub(super) use crate::desk::SeatState as Seat;

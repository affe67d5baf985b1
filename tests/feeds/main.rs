//! Feeds over real sockets, against exchanges and archives on this machine, and recordings of them.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod allocations;
mod capture;
mod fetch;
mod live;
mod live_restart;
mod recordings;
mod session;
mod soak;
mod venue;
mod venue_faults;
mod venue_shapes;

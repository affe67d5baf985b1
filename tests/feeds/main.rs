//! Feeds over real sockets, against exchanges and archives on this machine, and recordings of them.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod allocations;
mod capture;
mod fetch;
mod fetch_hostile;
mod history_joins;
mod live;
mod live_files;
mod live_restart;
mod losses;
mod ports;
mod provenance;
mod proxies;
mod recorded_files;
mod recordings;
mod refusals;
mod session;
mod simulator;
mod simulator_faults;
mod simulator_shapes;
mod soak;
mod status_line;
mod url_secrets;
mod venue_hostile;
mod weak_transport;

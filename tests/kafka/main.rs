//! Against a real Kafka.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod faults_broker;
mod faults_checkpoints;
mod faults_commit;
mod faults_copies;
mod faults_hanging;
mod faults_live;
mod faults_rights;
mod live;
mod progress;
mod python_readers;
mod readme;
mod registry;
mod replay;
mod revisions;
mod sink;
mod strangers;
mod topics;
mod verify;

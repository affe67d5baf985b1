//! Says what is weak about the way to brokers, for commands without a log.

use super::say::say;
use crate::sinks::kafka::KafkaSettings;

/// Says it, a line each.
pub(super) fn warn(settings: &KafkaSettings) {
    for weakness in settings.resolved_weaknesses() {
        say!("warning: {weakness}");
    }
}

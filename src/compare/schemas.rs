//! Reads records in Confluent's wire format: with the registry's word for which version of the schema an id is, or
//! without, by their length.

use std::time::Duration;

use serde_json::Value;

use crate::registry::{Patience, Registry, RegistryError, SchemaId};
use crate::sinks::encode::avro::Version;
use crate::sinks::kafka::KafkaSettings;
use crate::stop::Stop;

/// How long a registry may take for one schema.
const PATIENCE: Duration = Duration::from_secs(10);

/// What ids stand for.
pub(super) struct Schemas {
    registry: Option<Registry>,
    stop: Stop,
}

impl Schemas {
    /// Those of the registry of these settings, if they name one.
    pub(super) fn of(settings: &KafkaSettings) -> Self {
        let (registry, stop) = (settings.registry.clone(), settings.stop.clone());
        Self { registry, stop }
    }

    /// A record's fields, or what is wrong with it.
    ///
    /// # Errors
    /// When the registry does not say what the id stands for.
    pub(super) fn read(
        &self,
        id: SchemaId,
        record: &[u8],
    ) -> Result<Result<Value, String>, RegistryError> {
        let Some(registry) = &self.registry else {
            // Nobody else's records are of that length by chance and have the fields of a bar.
            return Ok(Version::read_any(record)
                .map_err(|error| format!("schema {id} is not one of barflow's: {error}")));
        };
        let patience = Patience { time: PATIENCE, until: None, stop: &self.stop };
        let which = registry.which(id, Version::position, patience)?;
        Ok(match which.and_then(Version::at) {
            Some(version) => version.read_datum(record),
            None => Err(format!("schema {id} is not one of barflow's")),
        })
    }
}

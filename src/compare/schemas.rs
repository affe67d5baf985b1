//! Reads records in Confluent's wire format: with the registry's word for which version of the schema an id is, or
//! without, by their length.

use std::collections::BTreeMap;
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
    known: BTreeMap<SchemaId, Option<&'static Version>>,
}

impl Schemas {
    /// Those of the registry of these settings, if they name one.
    pub(super) fn of(settings: &KafkaSettings) -> Self {
        let (registry, stop) = (settings.registry.clone(), settings.stop.clone());
        Self { registry, stop, known: BTreeMap::new() }
    }

    /// A record's fields, or what is wrong with it.
    ///
    /// # Errors
    /// When the registry does not say what the id stands for.
    pub(super) fn read(
        &mut self,
        id: SchemaId,
        record: &[u8],
    ) -> Result<Result<Value, String>, RegistryError> {
        let Some(registry) = &self.registry else {
            // Nobody else's records are of that length by chance and have the fields of a bar.
            return Ok(Version::read_any(record)
                .map_err(|error| format!("schema {id} is not one of barflow's: {error}")));
        };
        let version = match self.known.get(&id) {
            Some(version) => *version,
            None => {
                let patience = Patience { time: PATIENCE, stop: &self.stop };
                let version = Version::of(&registry.schema(id, patience)?);
                self.known.insert(id, version);
                version
            }
        };
        Ok(match version {
            Some(version) => version.read_datum(record),
            None => Err(format!("schema {id} is not one of barflow's")),
        })
    }
}

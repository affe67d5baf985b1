//! Confluent's wire format: `00`, the id of the schema (4 bytes, big-endian), then the record in plain Avro.
//!
//! Source: Confluent documentation, "Formats, serializers, and deserializers", section "Wire format".

use std::fmt;

use serde::{Deserialize, Deserializer};

/// What every such record begins with.
const MAGIC: u8 = 0;

/// Bytes before the record itself.
const PREFIX: usize = 5;

/// Id of a schema in a registry. Readers in Java take it for an `int`, so it is at most 2^31 − 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(u32);

/// Why bytes in this format cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// They end too early.
    #[error("{0} bytes are too few for the id of a schema")]
    Short(usize),
    /// No registry gives such an id.
    #[error("{0} is not the id of a schema")]
    Id(u64),
}

impl SchemaId {
    /// The bytes before a record of this schema.
    pub fn prefix(self) -> [u8; PREFIX] {
        let [a, b, c, d] = self.0.to_be_bytes();
        [MAGIC, a, b, c, d]
    }
}

impl TryFrom<u64> for SchemaId {
    type Error = WireError;

    fn try_from(id: u64) -> Result<Self, WireError> {
        match u32::try_from(id) {
            Ok(small) if i32::try_from(small).is_ok() => Ok(Self(small)),
            _ => Err(WireError::Id(id)),
        }
    }
}

impl<'de> Deserialize<'de> for SchemaId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::try_from(u64::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id and the record of bytes in this format; none if they are in another one.
///
/// # Errors
/// When they end before the record, or the id is impossible.
pub fn split(bytes: &[u8]) -> Option<Result<(SchemaId, &[u8]), WireError>> {
    let (first, rest) = bytes.split_first()?;
    (*first == MAGIC).then(|| {
        let (id, record) = rest.split_first_chunk().ok_or(WireError::Short(bytes.len()))?;
        Ok((SchemaId::try_from(u64::from(u32::from_be_bytes(*id)))?, record))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_format_is_a_zero_and_four_bytes_of_the_id() {
        let id = SchemaId::try_from(258).unwrap();
        assert_eq!(id.prefix(), [0, 0, 0, 1, 2]);
        assert_eq!(split(&[0, 0, 0, 1, 2, 7, 8]), Some(Ok((id, &[7, 8][..]))));
        assert_eq!(split(b""), None, "a tombstone");
        assert_eq!(split(b"{}"), None);
        assert_eq!(split(&[0xC3, 0x01, 0, 0, 0, 0]), None);
        assert_eq!(split(&[0, 0, 0, 1]), Some(Err(WireError::Short(4))));
        assert_eq!(split(&[0, 0x80, 0, 0, 0]), Some(Err(WireError::Id(1 << 31))));
        assert!(SchemaId::try_from(u64::MAX).is_err());
    }

    proptest! {
        #[test]
        fn what_is_framed_is_split_again(id in 0..=i32::MAX as u64, record: Vec<u8>) {
            let id = SchemaId::try_from(id).unwrap();
            let bytes = [&id.prefix()[..], &record].concat();
            prop_assert_eq!(split(&bytes), Some(Ok((id, &record[..]))));
        }

        #[test]
        fn any_bytes_are_split_or_refused(bytes: Vec<u8>) {
            match split(&bytes) {
                Some(Ok((id, record))) => {
                    prop_assert_eq!([&id.prefix()[..], record].concat(), bytes);
                }
                Some(Err(_)) => prop_assert_eq!(bytes[0], 0),
                None => prop_assert!(bytes.first() != Some(&0)),
            }
        }
    }
}

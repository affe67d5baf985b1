//! Keys of bars, and the partition that a bar belongs to.
//!
//! **Invariant:** all bars of an instrument are in one partition of a bar topic, whatever their keys are. The bytes
//! of keys never change.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Part;
use crate::sinks::record::BarRecord;

/// How keys are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyFormat {
    /// The instrument; for current bars the bar's identity, `instrument/spec/last_trade_id`.
    #[default]
    Text,
    /// The bar's identity as a JSON object, for engines that need key columns.
    Json,
}

/// A bar's identity.
#[derive(Serialize)]
struct JsonKey<'a> {
    instrument: &'a str,
    spec: &'a str,
    last_trade_id: u64,
}

impl KeyFormat {
    /// `text` or `json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    /// The key of a bar.
    pub(super) fn key<'a>(self, record: &'a BarRecord<'_>, part: Part) -> Cow<'a, str> {
        match (self, part) {
            (Self::Text, Part::Series) => Cow::Borrowed(record.instrument),
            // Whatever the bars around it become: numbers shift when a correction makes one bar more, but
            // no two current bars of a series end with the same trade (docs/adr/0007-revisions.md).
            (Self::Text, Part::Current) => Cow::Borrowed(&record.bar_id),
            (Self::Json, _) => {
                let BarRecord { instrument, spec, last_trade_id, .. } = *record;
                let key = JsonKey { instrument, spec, last_trade_id };
                // Texts and a number, which JSON can always write.
                Cow::Owned(serde_json::to_string(&key).unwrap_or_default())
            }
        }
    }
}

/// The instrument that a key of a bar topic names, in either format.
pub(super) fn instrument_of(key: &str) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct Named {
        instrument: String,
    }
    match serde_json::from_str::<Named>(key) {
        Ok(Named { instrument }) => Cow::Owned(instrument),
        Err(_) => Cow::Borrowed(key),
    }
}

/// The partition of an instrument's bars among so many: that of the instrument as a text key.
pub(super) fn partition_of(instrument: &str, partitions: i32) -> Option<i32> {
    let positive = murmur2(instrument.as_bytes()) & 0x7fff_ffff;
    // Below 2^31.
    i32::try_from(positive).ok()?.checked_rem(partitions)
}

/// The hash of keys that Kafka's Java clients use, as librdkafka's partitioner `murmur2` does: 32-bit MurmurHash2
/// (A. Appleby, public domain) with Kafka's seed.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    const SEED: u32 = 0x9747_b28c;
    // Names of instruments are short.
    let mut hash = SEED ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let word = word.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        let mut k = word.wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use barflow_operators::bar::{CloseReason, Levels, OpenBar};
    use barflow_operators::batch::Feed;
    use barflow_operators::published::PublishedBar;
    use proptest::prelude::*;

    use super::*;

    fn keys(spec: &str, last_trade_id: u64) -> Vec<(String, KeyFormat, Part)> {
        let feed = Arc::new(Feed::numbered("a:b:C".parse().unwrap()));
        let open = OpenBar { last_trade_id, ..OpenBar::default() };
        let bar = open.finish(0, &Levels::default(), CloseReason::Threshold, 0);
        let (spec, received) = (spec.into(), None);
        let synchronised = Default::default();
        let bar = PublishedBar { spec, feed, bar, received, synchronised };
        let record = BarRecord::of(&bar, 1);
        let all = [KeyFormat::Text, KeyFormat::Json].into_iter();
        all.flat_map(|format| [(format, Part::Series), (format, Part::Current)])
            .map(|(format, part)| (format.key(&record, part).into_owned(), format, part))
            .collect()
    }

    #[test]
    fn keys_have_the_bytes_of_the_contract() {
        let texts: Vec<String> = keys("d\"i", u64::MAX).into_iter().map(|(key, ..)| key).collect();
        let json = r#"{"instrument":"a:b:C","spec":"d\"i","last_trade_id":18446744073709551615}"#;
        assert_eq!(texts, ["a:b:C", "a:b:C/d\"i/18446744073709551615", json, json]);
    }

    #[test]
    fn the_hash_is_that_of_the_java_clients() {
        // Apache Kafka, UtilsTest.testMurmur2.
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
        assert_eq!(partition_of("abc", 0), None);
        assert_eq!(partition_of("abc", 10), Some(7));
    }

    proptest! {
        #[test]
        fn the_instrument_is_found_in_keys_of_both_formats(spec in "\\PC*", id: u64) {
            for (key, _, part) in keys(&spec, id) {
                if part == Part::Series {
                    prop_assert_eq!(instrument_of(&key), "a:b:C");
                }
            }
        }

        #[test]
        fn every_partition_is_one_that_there_is(text: String, partitions in 1i32..) {
            prop_assert!((0..partitions).contains(&partition_of(&text, partitions).unwrap()));
        }
    }
}

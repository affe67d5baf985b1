//! How a number that may be absent is saved: as one that it never is, so that saved states keep their bytes.

macro_rules! absent_as {
    ($($module:ident: $number:ty = $absent:expr;)*) => {$(
        pub(crate) mod $module {
            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            pub(crate) fn serialize<S: Serializer>(
                number: &Option<$number>,
                to: S,
            ) -> Result<S::Ok, S::Error> {
                number.unwrap_or($absent).serialize(to)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                from: D,
            ) -> Result<Option<$number>, D::Error> {
                Ok(Some(<$number>::deserialize(from)?).filter(|number| *number != $absent))
            }
        }
    )*};
}

absent_as! {
    line: u64 = 0;
    period: i64 = 0;
    max_ticks: u64 = u64::MAX;
    max_duration: i64 = i64::MAX;
}

//! One value of a column.

use std::borrow::Cow;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};

use crate::columns::cell::Cell;

/// Bytes of the longest text that is taken for a price, a side, an id or a symbol.
const LONGEST: usize = 4096;

/// Characters that are shown of a longer one.
const SHOWN: usize = 40;

/// The value in a row of a column.
pub(super) fn cell(array: &ArrayRef, row: usize) -> Cell<'_> {
    if array.is_null(row) {
        return Cell::Null;
    }
    match array.data_type() {
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Int8 => Cell::Int(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => Cell::Int(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Cell::Int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Int(array.as_primitive::<Int64Type>().value(row).into()),
        DataType::UInt8 => Cell::Int(array.as_primitive::<UInt8Type>().value(row).into()),
        DataType::UInt16 => Cell::Int(array.as_primitive::<UInt16Type>().value(row).into()),
        DataType::UInt32 => Cell::Int(array.as_primitive::<UInt32Type>().value(row).into()),
        DataType::UInt64 => Cell::Int(array.as_primitive::<UInt64Type>().value(row).into()),
        DataType::Float32 => Cell::Single(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => Cell::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal32(..) => text(array.as_primitive::<Decimal32Type>().value_as_string(row)),
        DataType::Decimal64(..) => text(array.as_primitive::<Decimal64Type>().value_as_string(row)),
        DataType::Decimal128(..) => {
            text(array.as_primitive::<Decimal128Type>().value_as_string(row))
        }
        DataType::Decimal256(..) => {
            text(array.as_primitive::<Decimal256Type>().value_as_string(row))
        }
        // All texts are views of where they were decoded: see `Opened`.
        DataType::Utf8View => short(array.as_string_view().value(row)),
        DataType::BinaryView => {
            let bytes = array.as_binary_view().value(row);
            match bytes.len() <= LONGEST {
                true => Cell::Text(String::from_utf8_lossy(bytes)),
                false => text(format!("({} bytes)", bytes.len())),
            }
        }
        DataType::FixedSizeBinary(_) => fixed(array.as_fixed_size_binary().value(row)),
        DataType::Timestamp(unit, _) => timestamp(array, row, *unit),
        other => text(format!("({other})")),
    }
}

/// Text of a fixed length, which writers fill up with zeros; of anything else (a UUID), what no number is like.
fn fixed(bytes: &[u8]) -> Cell<'_> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    match std::str::from_utf8(&bytes[..end]) {
        Ok(written) => short(written),
        Err(_) => text(format!("0x{}", hex::encode(bytes))),
    }
}

fn timestamp(array: &ArrayRef, row: usize, unit: TimeUnit) -> Cell<'static> {
    match unit {
        TimeUnit::Second => {
            instant(array.as_primitive::<TimestampSecondType>().value(row), 1_000_000_000)
        }
        TimeUnit::Millisecond => {
            instant(array.as_primitive::<TimestampMillisecondType>().value(row), 1_000_000)
        }
        TimeUnit::Microsecond => {
            instant(array.as_primitive::<TimestampMicrosecondType>().value(row), 1_000)
        }
        TimeUnit::Nanosecond => {
            instant(array.as_primitive::<TimestampNanosecondType>().value(row), 1)
        }
    }
}

/// A text that is not too long to be a field of a trade; of another one, enough to see what it is.
fn short(whole: &str) -> Cell<'_> {
    if whole.len() <= LONGEST {
        return Cell::Text(Cow::Borrowed(whole));
    }
    let beginning: String = whole.chars().take(SHOWN).collect();
    text(format!("{beginning}… ({} bytes)", whole.len()))
}

fn text(text: String) -> Cell<'static> {
    Cell::Text(Cow::Owned(text))
}

/// A time that no ns can count is none that is believed either.
fn instant(value: i64, unit: i64) -> Cell<'static> {
    Cell::Instant(value.saturating_mul(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_fixed_length_is_text_and_its_bytes_are_never_a_number() {
        for (bytes, number) in [
            (&b"0618"[..], Some(618.0)),
            (b"6.5\0\0", Some(6.5)),
            (b"\0\0\0\0", None),
            (b"\x06\x18\x06\x18", None),
            (b"\x30\xff\x31\x32", None),
        ] {
            assert_eq!(
                (fixed(bytes).number(), fixed(bytes).id().is_some()),
                match number {
                    Some(number) => (Some(number), number == 618.0),
                    None => (None, false),
                }
            );
        }
        assert!(fixed(b"\0\0").is_empty());
        assert_eq!(fixed(b"BTC-USD\0").text(), "BTC-USD");
        assert_eq!(fixed(b"\x30\xff").text(), "0x30ff");
    }
}

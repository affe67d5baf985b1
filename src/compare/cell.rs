//! One field of a bar, the same from JSON, Avro and Parquet.

use std::fmt;

use serde_json::Value;

/// A value.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Not there.
    Null,
    /// Counts, ids, times.
    Whole(i128),
    /// Everything measured.
    Number(f64),
    /// Names, and digests as 16 hexadecimal digits.
    Text(String),
}

impl PartialEq for Cell {
    /// Bit for bit; a whole number equals a number of that value, because JSON writes some so.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Whole(a), Self::Whole(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a.to_bits() == b.to_bits(),
            (Self::Whole(a), Self::Number(b)) | (Self::Number(b), Self::Whole(a)) => {
                *a as f64 == *b
            }
            (Self::Text(a), Self::Text(b)) => a == b,
            // JSON has no infinities: sinks write them as null.
            (Self::Null, Self::Number(x)) | (Self::Number(x), Self::Null) => !x.is_finite(),
            _ => false,
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("nothing"),
            Self::Whole(whole) => whole.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write!(f, "\"{text}\""),
        }
    }
}

impl From<&Value> for Cell {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Text(flag.to_string()),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(whole), _, _) => Self::Whole(whole.into()),
                (_, Some(whole), _) => Self::Whole(whole.into()),
                (_, _, Some(number)) => Self::Number(number),
                _ => Self::Null,
            },
            Value::String(text) => Self::Text(text.clone()),
            other => Self::Text(other.to_string()),
        }
    }
}

/// Fields without which nothing is a bar.
pub(super) const NEEDED: [&str; 4] = ["instrument", "spec", "seq", "state_digest"];

/// A bar: its fields by name, in the order in which its output lists them.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(pub Vec<(String, Cell)>);

impl Row {
    /// A field.
    pub fn get(&self, name: &str) -> &Cell {
        self.0.iter().find(|(field, _)| field == name).map_or(&Cell::Null, |(_, cell)| cell)
    }

    /// Whether it has a field of that name.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(field, _)| field == name)
    }

    /// Which sequence of bars it belongs to: instrument, specification.
    pub fn key(&self) -> (String, String) {
        let text = |name| match self.get(name) {
            Cell::Text(text) => text.clone(),
            other => other.to_string(),
        };
        (text("instrument"), text("spec"))
    }

    /// Whether it retracts an earlier row with the same fields.
    pub fn retracts(&self) -> bool {
        *self.get("retracts") == Cell::Text("true".to_owned())
    }

    /// A field that counts; 0 if it is not there.
    pub fn whole(&self, name: &str) -> i128 {
        match self.get(name) {
            Cell::Whole(whole) => *whole,
            _ => 0,
        }
    }
}

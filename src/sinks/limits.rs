//! How much of bad input is written down: what somebody else sends must not fill our disk.

use std::sync::{Mutex, PoisonError};

/// The most that one run writes to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Lines.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: 100_000, bytes: 100 << 20 }
    }
}

/// What has been written, and what not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    rows: u64,
    bytes: u64,
    left_out: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// There is room for it.
    Written,
    /// There is none, for the first time.
    Full,
    /// It is only counted.
    Counted,
}

/// Keeps a file below its limits.
#[derive(Debug)]
pub struct Meter {
    limits: Limits,
    used: Mutex<Used>,
}

impl Meter {
    /// Nothing is written yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, used: Mutex::default() }
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Lines that were only counted.
    pub fn left_out(&self) -> u64 {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).left_out
    }

    /// Asks for room for a line, which is made only if there may be some. Once a line did not fit,
    /// no later one is written: what is in the file is the beginning, without holes.
    pub fn admit<E>(
        &self,
        line: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<(Admission, Vec<u8>), E> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.left_out > 0 {
            used.left_out += 1;
            return Ok((Admission::Counted, Vec::new()));
        }
        if used.rows < self.limits.rows {
            let line = line()?;
            if used.bytes + line.len() as u64 <= self.limits.bytes {
                used.rows += 1;
                used.bytes += line.len() as u64;
                return Ok((Admission::Written, line));
            }
        }
        used.left_out = 1;
        Ok((Admission::Full, Vec::new()))
    }
}

/// A size: `500`, `64KB`, `100 MB`, `1GiB`; none if it is not one.
pub fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "KB" | "KIB" | "K" => 1 << 10,
        "MB" | "MIB" | "M" => 1 << 20,
        "GB" | "GIB" | "G" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn admitted(meter: &Meter, length: usize) -> Admission {
        meter.admit(|| Ok::<_, Infallible>(vec![b'x'; length])).unwrap().0
    }

    #[test]
    fn after_the_first_line_without_room_lines_are_counted() {
        use Admission::{Counted, Full, Written};
        let rows = Meter::new(Limits { rows: 2, bytes: 1000 });
        let found: Vec<Admission> = (0..4).map(|_| admitted(&rows, 10)).collect();
        assert_eq!((found, rows.left_out()), (vec![Written, Written, Full, Counted], 2));
        let bytes = Meter::new(Limits { rows: 9, bytes: 25 });
        let found: Vec<Admission> = [10, 16, 1].map(|length| admitted(&bytes, length)).into();
        assert_eq!((found, bytes.left_out()), (vec![Written, Full, Counted], 2));
        let none = Meter::new(Limits { rows: 0, bytes: 25 });
        assert_eq!((admitted(&none, 1), none.left_out()), (Full, 1));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("64MB"), Some(64 << 20));
        assert_eq!((bytes("1 k"), bytes("700"), bytes("0")), (Some(1 << 10), Some(700), Some(0)));
        for wrong in ["", "MB", "week", "-1", "1.5MB", "99999999999999999999GB", "5 parsec"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}

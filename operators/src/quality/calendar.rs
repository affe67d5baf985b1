//! UTC days as numbers.

/// Ns of a day.
pub const DAY_NS: i64 = 86_400_000_000_000;

/// Ns of an hour.
pub(super) const HOUR_NS: i64 = DAY_NS / 24;

/// The UTC day of an event time, in days since 1970-01-01.
pub fn day_of(time: i64) -> i32 {
    // Any i64 of ns is within ±106,752 days.
    time.div_euclid(DAY_NS) as i32
}

/// First ns of a day.
pub(super) fn start_of(day: i32) -> i64 {
    i64::from(day) * DAY_NS
}

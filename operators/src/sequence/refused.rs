//! Trades that cannot be put into the order, and why.

use std::fmt;

use super::memory::{GOES_ON, Standing};
use super::votes::FAR_APART;
use crate::order::recent::difference;
use crate::trade::Trade;

/// A trade that cannot be put into the order.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The trade.
    pub trade: Trade,
    /// Which row of the input it is, from 0.
    pub row: u64,
    /// Where it stands; none if that is forgotten.
    pub place: Option<Standing>,
    /// Why.
    pub why: Objection,
}

/// Why a trade cannot be put into the order.
#[derive(Clone, Debug, PartialEq)]
pub enum Objection {
    /// Its id came with other content.
    OtherContent {
        /// The other one.
        other: Box<Trade>,
        /// Where it stands; none if that is forgotten.
        at: Option<Standing>,
        /// Whether neither of them is used.
        both: bool,
        /// Whether its time is after that of all trades so far.
        is_later: bool,
    },
    /// Its id came, or is below the first one, but its time is after that of all trades so far: ids
    /// have begun again.
    IdsBeginAgain {
        /// The last id before.
        last: u64,
    },
    /// Its id is below the first one, and never came.
    Backwards {
        /// The first id.
        first: u64,
    },
    /// Its id lies among gaps so old that they are forgotten.
    Forgotten,
    /// It stands for several ids, some of which came with other rows.
    Overlaps,
    /// Its time is this much later than that of the trades behind it, ns.
    FarAhead(i64),
    /// Its time is this much earlier than that of the trade before it, ns.
    FarBehind(i64),
}

impl Objection {
    /// Why trades cannot follow others, by the id and the event time (ns) of the last of those and of
    /// their first: ids begin again. None where they follow, or may repeat what came.
    pub fn to_following(last: (u64, i64), first: (u64, i64)) -> Option<Self> {
        let begins_again = first.0 <= last.0 && first.1.saturating_sub(last.1) > GOES_ON;
        begins_again.then_some(Self::IdsBeginAgain { last: last.0 })
    }

    /// The field that is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            Self::FarAhead(_) | Self::FarBehind(_) => "time",
            _ => "trade_id",
        }
    }

    /// The value of that field.
    pub fn value(&self, trade: &Trade) -> String {
        match self {
            Self::FarAhead(_) | Self::FarBehind(_) => trade.event_time.to_string(),
            _ => trade.trade_id.to_string(),
        }
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherContent { at, both, is_later, .. } => {
                match at {
                    Some(Standing { source, line }) => write!(f, "{source}:{line} has")?,
                    None => f.write_str("an earlier row has")?,
                }
                f.write_str(" the same id and other content; ")?;
                f.write_str(if *both { "neither is used" } else { "this one is not used" })?;
                match is_later {
                    true => f.write_str(
                        " (its time is later than all before: a reset of the id sequence?)",
                    ),
                    false => Ok(()),
                }
            }
            Self::IdsBeginAgain { last } => write!(
                f,
                "the id sequence was reset: it comes after trade {last}, at a later time; replay \
                 what begins here as a history of its own"
            ),
            Self::Backwards { first } => write!(
                f,
                "rows run backwards by id: the history began at trade {first}; sort them by id"
            ),
            Self::Forgotten => f.write_str(
                "arrives too late to tell whether its id was read before; sort the rows by id",
            ),
            Self::Overlaps => f.write_str(
                "stands for several ids, some of which came with other rows: it would count those twice",
            ),
            Self::FarAhead(by) | Self::FarBehind(by) => {
                let side = if matches!(self, Self::FarAhead(_)) { "after" } else { "before" };
                write!(f, "{} {side} its neighbours", Span(*by))?;
                write!(f, " (more than {} is not believed)", Span(FAR_APART))
            }
        }
    }
}

/// A span of time for a message: its two largest units are enough.
struct Span(i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(i64, &str); 4] =
            [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
        let seconds = self.0 / 1_000_000_000;
        // Two days less a few seconds are two days.
        let seconds = seconds + (seconds / 100).min(600);
        let found = UNITS.iter().find(|(length, _)| seconds >= *length);
        let (length, unit) = found.copied().unwrap_or((1, "second"));
        let n = seconds / length;
        write!(f, "{n} {unit}{}", if n == 1 { "" } else { "s" })
    }
}

impl Refused {
    /// The reason, with what distinguishes both rows where there are two.
    pub fn reason(&self) -> String {
        match &self.why {
            Objection::OtherContent { other, .. } => {
                format!("{}: {}", self.why, difference(other, &self.trade))
            }
            why => why.to_string(),
        }
    }
}

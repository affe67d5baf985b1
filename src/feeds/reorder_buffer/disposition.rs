//! What becomes of a print.

/// What became of a print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It went on, perhaps with others that had waited for it.
    Released,
    /// It was seen before, with the same content.
    Repeated,
    /// Its id is settled, and nothing speaks against its being a repeat; but what came under that id is
    /// not remembered: it came before the start, or long ago.
    Presumed,
    /// Its id is below the first one that came: it is not a repeat, and comes too late to count.
    BeforeFirst,
    /// The same, but ids and time continue below the first one, and nothing comes above it.
    BelowStray,
    /// It waits for what is missing before it.
    Waits,
    /// Its id had been given up as missing. It passes out of order, for the graph to reject.
    Late,
    /// It stands for several ids of which some came, or wait, otherwise. It cannot be divided, so it does not
    /// count, and those of its ids that have not come are missing.
    Overlaps,
    /// So many wait already that it was dropped: it will be missed, and asked for, in its turn.
    NoRoom,
    /// REST had passed over its id, which was left out for that: it comes too late to count.
    Unlisted,
    /// A trade of its id came before with other content, and that one counts.
    Conflict,
    /// Its id is settled, yet its time is later than that of the last settled trade: it is not the trade
    /// that had this id. Ids begin anew, and it does not count.
    BegunAnew,
}

impl Disposition {
    /// Whether a trade was left out because it contradicts what came or was supposed before.
    pub fn is_contradiction(self) -> bool {
        matches!(self, Self::Conflict | Self::BegunAnew | Self::BelowStray | Self::Unlisted)
    }
}

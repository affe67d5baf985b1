//! What the trades behind a time say of it.

/// Times of neighbours in the order that are this far apart, in ns, are not believed without a look at
/// the trades behind them: ten minutes.
pub const FAR_APART: i64 = 600_000_000_000;

/// Trades that are ahead side by side are recognised as wrong up to so many.
pub(super) const LONGEST_RUN: usize = 256;

/// At least so many trades decide that one is wrong before all that may follow are there.
pub(super) const VOTES: usize = 3;

/// What is known of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Ahead,
    /// By this much, ns.
    Behind(i64),
}

/// Trades for and against a time that is in doubt, of those behind it.
#[derive(Debug)]
pub(super) struct Votes {
    /// The time in doubt, ns.
    doubted: i64,
    /// Of the last trade that passed, ns; none before the first.
    last: Option<i64>,
    /// Trades that stand together with it ahead of others.
    ahead: usize,
    /// Trades that lie before it.
    before: usize,
    /// Trades since the latest of those.
    since: usize,
    /// How many of them continue from `ahead_at` alone.
    continuing: usize,
    /// The latest time with it, and of those before it, ns.
    ahead_at: i64,
    before_at: Option<i64>,
    /// Before the first trade: those before it were once as many as those with it.
    outvoted: bool,
}

impl Votes {
    pub(super) fn new(doubted: i64, last: Option<i64>) -> Self {
        Self {
            doubted,
            last,
            ahead: 1,
            before: 0,
            since: 0,
            continuing: 0,
            ahead_at: doubted,
            before_at: None,
            outvoted: false,
        }
    }

    /// Counts the next trade; returns what is then certain.
    pub(super) fn count(&mut self, time: i64) -> Option<Verdict> {
        if !lies_before(time, self.doubted) {
            return self.count_later(time);
        }
        if self.last.is_some_and(|last| lies_before(time, last)) {
            // Wrong whatever becomes of the other.
            return None;
        }
        self.ahead += std::mem::take(&mut self.since);
        self.continuing = 0;
        self.before += 1;
        self.before_at = Some(time);
        let is_outvoted = self.before >= self.ahead;
        match self.last {
            Some(_) => (is_outvoted && self.before >= VOTES).then_some(Verdict::Ahead),
            // Nothing says where time was: only many are believed, and only until more contradict.
            None => {
                self.outvoted |= is_outvoted && self.ahead + self.before > LONGEST_RUN;
                None
            }
        }
    }

    /// A trade that does not lie before it. Where time has reached it by then, or jumps over it, that
    /// says nothing.
    fn count_later(&mut self, time: i64) -> Option<Verdict> {
        self.since += 1;
        let follows_ahead = is_near(self.ahead_at, time);
        let follows_before = self.before_at.is_some_and(|before| is_near(before, time));
        self.continuing += usize::from(follows_ahead && !follows_before);
        if follows_ahead {
            self.ahead_at = time;
        }
        if follows_before {
            self.before_at = Some(time);
        }
        let uncontested = self.before == 0 && self.since >= LONGEST_RUN;
        (uncontested || self.continuing > LONGEST_RUN).then_some(Verdict::Right)
    }

    /// What the trades say that are there: all up to the end of the input, or as many as may wait. The
    /// last of these may belong to a run that is cut.
    pub(super) fn result(&self, ended: bool) -> Verdict {
        let is_ahead = (self.outvoted && !ended) || self.before >= self.ahead + self.continuing;
        if self.before > 0 && is_ahead { Verdict::Ahead } else { Verdict::Right }
    }
}

/// Whether a time lies so far before another that both cannot be right in this order.
pub(super) fn lies_before(time: i64, other: i64) -> bool {
    other.saturating_sub(time) > FAR_APART
}

/// Whether two neighbours lie close enough together that nothing has to be asked. Without branches.
#[inline]
pub(super) fn is_near(before: i64, after: i64) -> bool {
    after.wrapping_sub(before).wrapping_add(FAR_APART) as u64 <= 2 * FAR_APART as u64
}

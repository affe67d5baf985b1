//! How far a source may be ahead of its sink.
//!
//! An epoch of some thousand trades usually closes a few bars, but with many specifications that close one at every
//! trade it makes hundreds of thousands: a bound in epochs or commits alone would be no bound of memory.

/// Bars that may be under way in one place, of 300 bytes each; one epoch or commit may exceed it alone.
pub const MOST_BARS: usize = 65_536;

/// Trades that may wait before a worker; one input batch may exceed it alone.
pub const MOST_ROWS: usize = 65_536;

/// Epochs a source may be ahead of the exit: enough to keep every stage busy; at 8 k trades of 49 bytes an epoch this
/// is 13 MB.
pub const MOST_EPOCHS: usize = 32;

/// How many epochs a source may be ahead, by the bars that the last ones made. Begins with one.
#[derive(Debug)]
pub struct Window {
    epochs: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { epochs: 1 }
    }
}

impl Window {
    /// Epochs that may be under way.
    pub fn epochs(&self) -> usize {
        self.epochs
    }

    /// So many epochs have passed the exit since the last look, with so many bars.
    pub fn note(&mut self, epochs: usize, bars: usize) {
        if epochs > 0 {
            let each = bars.div_ceil(epochs).max(1);
            self.epochs = (MOST_BARS / each).clamp(1, MOST_EPOCHS);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_bars_leave_all_epochs_and_many_leave_one() {
        let mut window = Window::default();
        assert_eq!(window.epochs(), 1, "nothing is known yet");
        for (epochs, bars, expected) in
            [(1, 0, 32), (4, 9, 32), (1, 20 * 8192, 1), (0, 0, 1), (2, 2 * 8192, 8), (3, 1, 32)]
        {
            window.note(epochs, bars);
            assert_eq!(window.epochs(), expected, "{bars} bars of {epochs} epochs");
        }
    }

    proptest! {
        #[test]
        fn what_is_under_way_is_bounded(epochs in 1usize..100, bars in 0usize..10_000_000) {
            let mut window = Window::default();
            window.note(epochs, bars);
            prop_assert!(window.epochs() == 1 || window.epochs() * bars / epochs <= MOST_BARS);
        }
    }
}

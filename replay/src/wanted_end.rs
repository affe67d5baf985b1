//! The end of the wanted times (`--to`), where a later run may want more.

use std::path::Path;

use crate::error::ReplayError;

/// Sees to it that a file is left at one place: that a later run, whose wanted times end later, has to
/// read what lies behind that place and nothing before it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WantedEnd {
    /// Whether a row behind the wanted times has come.
    is_behind: bool,
}

impl WantedEnd {
    /// Takes the next rows: `taken` are wanted, of which `before` came before the first that lies behind
    /// the wanted times, if there is one.
    ///
    /// # Errors
    /// When a wanted row comes after one behind the wanted times.
    pub(crate) fn check(
        &mut self,
        path: &Path,
        taken: usize,
        before: Option<usize>,
    ) -> Result<(), ReplayError> {
        let behind = if self.is_behind { taken } else { before.map_or(0, |before| taken - before) };
        self.is_behind |= before.is_some();
        if behind == 0 {
            return Ok(());
        }
        let reason = "rows from before --to follow rows from after it, so that a job that is to continue \
                      with a later --to would have no place to continue from; give a --to at which times \
                      do not run backwards, or none";
        Err(ReplayError::layout(path, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_rows_may_not_follow_others() {
        let path = Path::new("x.csv");
        let mut end = WantedEnd::default();
        for (taken, before) in [(5, None), (0, None), (5, Some(5)), (0, Some(0)), (0, None)] {
            end.check(path, taken, before).unwrap();
        }
        end.check(path, 1, None).unwrap_err();
        WantedEnd::default().check(path, 5, Some(4)).unwrap_err();
    }
}

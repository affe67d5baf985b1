//! The text of `--faults`: `name=value` or `name=value:more`, with commas between.

use std::time::Duration;

/// Why a text describes no faults.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fault \"{part}\" {reason}")]
pub struct FaultsError {
    part: String,
    reason: String,
}

/// One fault of the text.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    text: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The text after the name.
    pub value: &'a str,
    /// The text after a colon.
    pub more: Option<&'a str>,
}

/// The faults of a text.
pub fn parts(text: &str) -> impl Iterator<Item = Result<Part<'_>, FaultsError>> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|text| {
        let Some((name, value)) = text.split_once('=') else {
            let part = Part { text, name: text, value: "", more: None };
            return Err(part.wrong("is not of the form name=value"));
        };
        let (value, more) = match value.split_once(':') {
            Some((value, more)) => (value, Some(more)),
            None => (value, None),
        };
        Ok(Part { text, name, value, more })
    })
}

impl Part<'_> {
    /// Says what is wrong with it.
    pub fn wrong(&self, reason: &str) -> FaultsError {
        FaultsError { part: self.text.to_owned(), reason: reason.to_owned() }
    }

    /// Its value as a probability.
    ///
    /// # Errors
    /// When it is none.
    pub fn chance(&self) -> Result<f64, FaultsError> {
        let chance = self.value.parse().ok().filter(|chance| (0.0..=1.0).contains(chance));
        chance.ok_or_else(|| self.wrong("must be a probability between 0 and 1"))
    }

    /// A probability, and how long to wait; `unsaid` if nothing says so.
    ///
    /// # Errors
    /// When it is none.
    pub fn chance_of_pause(
        &self,
        unsaid: Option<Duration>,
    ) -> Result<(f64, Duration), FaultsError> {
        let pause = self.more.map_or(unsaid, duration);
        let pause = pause.ok_or_else(|| self.wrong("must be probability:pause, such as 0.1:2s"))?;
        Ok((self.chance()?, pause))
    }
}

/// `250ms`, `30s`, `5m`.
pub fn duration(text: &str) -> Option<Duration> {
    let span: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(span).ok().filter(|duration| !duration.is_zero())
}

//! What is published of a series: from the archive's listing, or by asking for each file.

use std::collections::BTreeSet;

use jiff::ToSpan;

use super::client::{Client, Presence};
use super::error::FetchError;
use super::listing::{Page, url};
use super::place::{Period, Series};
use super::plan::{FetchRange, Granularity, Listed, Published};

/// How it is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The archive lists its keys.
    Listing,
    /// It does not: each file of the range is asked for.
    Files,
}

/// Whether the archive lists its keys.
///
/// # Errors
/// When there is no response.
pub fn source(client: &Client, series: &Series) -> Result<Source, FetchError> {
    let address = url(client.listing(), &series.folder(false), None);
    match client.text(&address).map(|text| Page::read(&text)) {
        Ok(Ok(_)) => Ok(Source::Listing),
        Ok(Err(what)) => {
            tracing::debug!(%address, what, "no listing");
            Ok(Source::Files)
        }
        // Web servers without listings say one of these.
        Err(FetchError::NotFound { .. } | FetchError::Refused { status: 400..=405, .. }) => {
            Ok(Source::Files)
        }
        Err(error) => Err(error),
    }
}

/// What is published of a series, as far as `wanted` needs to know.
///
/// # Errors
/// When the archive does not answer.
pub fn published(
    client: &Client,
    series: &Series,
    wanted: FetchRange,
    source: Source,
) -> Result<Published, FetchError> {
    match source {
        Source::Listing => listed(client, series),
        Source::Files => asked(client, series, wanted),
    }
}

/// Pages of one folder: a series has a few; a thousand full ones are a million keys.
const PAGES: usize = 1000;

/// Both folders whole: the first and last day tell why others are not there.
fn listed(client: &Client, series: &Series) -> Result<Published, FetchError> {
    let mut published = Published::new();
    for monthly in [false, true] {
        list_folder(client, series, &series.folder(monthly), &mut published)?;
    }
    Ok(published)
}

/// Adds what one folder holds of a series.
fn list_folder(
    client: &Client,
    series: &Series,
    prefix: &str,
    published: &mut Published,
) -> Result<(), FetchError> {
    let mut marker: Option<String> = None;
    for _ in 0..PAGES {
        let address = url(client.listing(), prefix, marker.as_deref());
        let text = client.text(&address)?;
        let meaningless = |what: String| FetchError::Meaningless { url: address.to_string(), what };
        let page = Page::read(&text).map_err(meaningless)?;
        let next = page.next(marker.as_deref()).map_err(|what| meaningless(what.to_owned()))?;
        marker = next.map(str::to_owned);
        for content in page.contents {
            if let Some(period) = series.period(&content.key) {
                published.insert(period, Listed { bytes: Some(content.size), etag: content.etag });
            }
        }
        if marker.is_none() {
            return Ok(());
        }
    }
    let url = url(client.listing(), prefix, None).to_string();
    Err(FetchError::Meaningless { url, what: format!("the listing has more than {PAGES} pages") })
}

fn asked(client: &Client, series: &Series, wanted: FetchRange) -> Result<Published, FetchError> {
    let mut published = Published::new();
    let mut ask = |period| -> Result<bool, FetchError> {
        match client.presence(&client.url(&series.key(period)))? {
            Presence::Absent => Ok(false),
            Presence::Present { bytes } => {
                published.insert(period, Listed { bytes, etag: None });
                Ok(true)
            }
        }
    };
    let days: Vec<_> = wanted.from.series(1.day()).take_while(|day| *day <= wanted.to).collect();
    let months: BTreeSet<Period> = days.iter().map(|day| Period::month_of(*day)).collect();
    let mut whole = BTreeSet::new();
    for month in months {
        let (first, last) = month.days();
        let is_inside = wanted.from <= first && last <= wanted.to;
        let wants = match wanted.granularity {
            Granularity::Daily => false,
            Granularity::Monthly => true,
            Granularity::Auto => is_inside,
        };
        if wants && ask(month)? {
            whole.insert(month);
        }
    }
    if wanted.granularity != Granularity::Monthly {
        // Also days of months that came whole: the store may have begun them in days.
        for day in days {
            ask(Period::Day(day))?;
        }
    }
    Ok(published)
}

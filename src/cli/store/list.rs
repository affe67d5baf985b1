//! `barflow store ls` and `info`.

use barflow_replay::store::layout;
use barflow_replay::store::series::{Series, range};
use clap::Args;
use serde_json::json;

use super::super::failure::{Failure, Outcome};
use super::super::say::show;
use super::super::stdout::print_json;
use super::selection::{Place, bytes};
use crate::thousands::grouped;

/// `barflow store ls`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    place: Place,

    /// Print a line of JSON per instrument and kind
    #[arg(long)]
    json: bool,
}

/// `barflow store info`: a line of JSON per file.
#[derive(Debug, Args)]
pub struct InfoArgs {
    #[command(flatten)]
    place: Place,
}

/// Lists series.
///
/// # Errors
/// No store, or damage (2).
pub fn ls(args: &ListArgs) -> Result<Outcome, Failure> {
    let all = args.place.series()?;
    if !args.json {
        show!(
            "{:32} {:9} {:10} {:10} {:>5} {:>7} {:>5} {:>15} {:>11}",
            "instrument",
            "kind",
            "first",
            "last",
            "days",
            "missing",
            "files",
            "trades",
            "size"
        );
    }
    for series in &all {
        let Some((first, last)) = series.span() else { continue };
        let missing = series.missing();
        let trades: u64 = series.files.iter().map(|file| file.rows).sum();
        let size: u64 = series.files.iter().map(|file| file.bytes).sum();
        if args.json {
            print_json(&format!("{}\n", as_json(series, (first, last), trades, size)));
            continue;
        }
        show!(
            "{:32} {:9} {first} {last} {:>5} {:>7} {:>5} {:>15} {:>11}",
            series.feed.instrument.as_str(),
            layout::kind(series.feed.input),
            series.day_count(),
            missing.len(),
            series.files.len(),
            grouped(trades),
            bytes(size)
        );
        for days in missing {
            show!("  missing {}", range(&days));
        }
    }
    Ok(Outcome::Done)
}

fn as_json(
    series: &Series,
    (first, last): (jiff::civil::Date, jiff::civil::Date),
    trades: u64,
    size: u64,
) -> serde_json::Value {
    let missing = series.missing();
    let missing: Vec<_> =
        missing.iter().map(|(a, b)| json!([a.to_string(), b.to_string()])).collect();
    json!({
        "instrument": series.feed.instrument.as_str(),
        "kind": layout::kind(series.feed.input),
        "first_day": first.to_string(),
        "last_day": last.to_string(),
        "days": series.day_count(),
        "missing": missing,
        "files": series.files.len(),
        "trades": trades,
        "bytes": size,
    })
}

/// Lists files with their metadata.
///
/// # Errors
/// No store, or damage (2).
pub fn info(args: &InfoArgs) -> Result<Outcome, Failure> {
    for series in args.place.series()? {
        for file in series.files.iter().chain(&series.covered) {
            let text =
                serde_json::to_string(file).map_err(|e| Failure::outside(anyhow::anyhow!(e)))?;
            print_json(&format!("{text}\n"));
        }
    }
    Ok(Outcome::Done)
}

//! What a sweep writes and prints.

use super::super::failure::Failure;
use super::super::say::{self, say};
use crate::config::sweep::SweepSettings;
use crate::plot::axis::short;
use crate::sinks::atomic_file;
use crate::sweep::heat_map::{Caption, HeatMap};
use crate::sweep::output::{Results, utc};
use crate::sweep::table::table;
use crate::thousands::counted;

/// Writes the summary and the heat map, and prints the best.
///
/// # Errors
/// When the disk refuses, or the map cannot be drawn.
pub fn write(settings: &SweepSettings, results: &Results<'_>) -> Result<(), Failure> {
    let path = settings.out.join("summary.parquet");
    results.parquet(&path)?;
    map(settings, results)?;
    if let (Some(_), Some(from)) = (settings.holdout, results.totals.holdout_from) {
        let totals = &results.totals;
        say!(
            "ranked by {}; the holdout, {}, begins at {}",
            counted(totals.in_sample, "trade"),
            counted(totals.trades - totals.in_sample, "trade"),
            utc(from)
        );
    }
    say::table(&table(results, &results.ranking(), settings.top));
    say!("all configurations are in {}", path.display());
    Ok(())
}

fn map(settings: &SweepSettings, results: &Results<'_>) -> Result<(), Failure> {
    let grid = &settings.grid;
    let axes = settings.map.clone().or_else(|| {
        let mut keys = grid.varying();
        // Those with the most values, in the order of the grid where they have equally many.
        keys.sort_by_cached_key(|at| std::cmp::Reverse(grid.values(*at).len()));
        let mut keys = keys.into_iter().map(|at| grid.keys[at].clone());
        Some((keys.next()?, keys.next()?))
    });
    let Some((x, y)) = axes else { return Ok(()) };
    let scores: Vec<Option<f64>> = (results.figures.iter().enumerate())
        .map(|(at, figures)| results.score(at, &figures.in_sample))
        .collect();
    let title = format!("{} over {x} and {y}", settings.by.meaning());
    let undrawn = |e| Failure::outside(anyhow::anyhow!("the heat map could not be drawn: {e}"));
    let caption = Caption { title, note: note(settings, results) };
    let map = HeatMap::new(grid, &scores, (&x, &y), caption).map_err(undrawn)?;
    let (svg, png) = (settings.out.join("map.svg"), settings.out.join("map.png"));
    atomic_file::write(&svg, map.svg().map_err(undrawn)?.as_bytes())?;
    atomic_file::write(&png, &map.png().map_err(undrawn)?)?;
    say!("a map over {x} and {y} is in {} and {}", svg.display(), png.display());
    Ok(())
}

/// Below the map: the scores of the baselines that are compared with the best, and of which trades.
fn note(settings: &SweepSettings, results: &Results<'_>) -> String {
    let best = results.ranking().first().copied();
    let of_best = results.baselines.iter().filter(|baseline| Some(baseline.of) == best);
    let scores: Vec<String> = of_best
        .filter_map(|baseline| {
            let score = results.score(baseline.of, &baseline.figures.in_sample)?;
            Some(format!("{} {}", baseline.kind.as_str(), short(score.abs())))
        })
        .collect();
    let mut note = Vec::new();
    if !scores.is_empty() {
        note.push(format!("baselines with as many bars as the best: {}", scores.join(", ")));
    }
    if settings.holdout.is_some() {
        note.push(format!("of the first {}", counted(results.totals.in_sample, "trade")));
    }
    note.join("; ")
}

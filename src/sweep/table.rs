//! The best of a sweep as lines for a terminal.

use std::fmt::Write as _;

use super::output::Results;
use super::summary::{Figures, Summary};

/// The statistics of a line.
const SHOWN: [&str; 9] = [
    "bars",
    "ticks p50",
    "s/bar",
    "var. ratio",
    "its z",
    "Jarque-Bera",
    "per bar",
    "serial corr.",
    "sync",
];

/// A line of the table.
enum Line {
    Cells(Vec<String>),
    /// Over the whole width.
    Text(String),
}

/// The best, and the baselines of each family. With a holdout every configuration has two lines: what
/// ranked it, and what it made of the rest.
pub fn table(results: &Results<'_>, best: &[usize], top: usize) -> String {
    let grid = results.grid;
    let keys = grid.varying();
    let places = results.holdout.map(|_| results.holdout_ranking());
    let mut head = vec!["config".to_owned()];
    head.extend(keys.iter().map(|at| grid.keys[*at].clone()));
    if places.is_some() {
        head.extend(["sample", "rank"].map(str::to_owned));
    }
    head.extend(SHOWN.map(str::to_owned));
    let mut lines = vec![Line::Cells(head)];
    for (rank, at) in best.iter().take(top).enumerate() {
        let mut names = vec![grid.points[*at].spec.name().to_string()];
        names.extend(keys.iter().map(|key| grid.points[*at].values[*key].clone()));
        let ranks = places.as_ref().map(|places| {
            let in_holdout = places.iter().position(|other| other == at);
            [Some(rank), in_holdout]
                .map(|rank| rank.map_or_else(none, |rank| (rank + 1).to_string()))
        });
        lines.extend(of_figures(names, ranks, &results.figures[*at]));
    }
    let mut of = None;
    for baseline in &results.baselines {
        if of != Some(baseline.of) {
            of = Some(baseline.of);
            let name = grid.points[baseline.of].spec.name();
            let bars = results.figures[baseline.of].in_sample.bars();
            lines.push(Line::Text(format!("baselines: about as many bars as {name} ({bars})")));
        }
        let mut names = vec![baseline.definition.clone()];
        names.extend(keys.iter().map(|_| String::new()));
        let ranks = places.as_ref().map(|_| [String::new(), String::new()]);
        lines.extend(of_figures(names, ranks, &baseline.figures));
    }
    laid_out(&lines)
}

/// A line, or two with a holdout: then `ranks` are those in both parts.
fn of_figures(names: Vec<String>, ranks: Option<[String; 2]>, figures: &Figures) -> Vec<Line> {
    let blank = names.iter().map(|_| String::new()).collect();
    match (ranks, &figures.holdout) {
        (Some([rank, place]), Some(holdout)) => {
            let line = |names: Vec<String>, sample: &str, rank: String, summary: &Summary| {
                let mut cells = names;
                cells.extend([sample.to_owned(), rank]);
                cells.extend(statistics(summary));
                Line::Cells(cells)
            };
            vec![
                line(names, "in", rank, &figures.in_sample),
                line(blank, "holdout", place, holdout),
            ]
        }
        _ => {
            let mut cells = names;
            cells.extend(statistics(&figures.in_sample));
            vec![Line::Cells(cells)]
        }
    }
}

fn none() -> String {
    "–".to_owned()
}

fn statistics(summary: &Summary) -> [String; 9] {
    let text = |value: Option<f64>, digits: usize| {
        value.map_or_else(none, |value| format!("{value:.digits$}"))
    };
    [
        summary.bars().to_string(),
        text(summary.ticks_at(0.5).map(|ticks| ticks as f64), 0),
        text(summary.seconds(), 1),
        text(summary.returns.variance_ratio(), 3),
        text(summary.returns.variance_ratio_z(), 1),
        text(summary.returns.jarque_bera(), 1),
        text(summary.returns.jarque_bera_per_return(), 3),
        text(summary.returns.serial_correlation(), 3),
        text(summary.sync.after.map(|(trades, _)| trades as f64), 0),
    ]
}

fn laid_out(lines: &[Line]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for line in lines {
        let Line::Cells(cells) = line else { continue };
        widths.resize(widths.len().max(cells.len()), 0);
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for line in lines {
        match line {
            Line::Text(text) => out.push_str(text),
            Line::Cells(cells) => {
                for (at, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                    // Names begin alike; numbers end alike. Writing to a String cannot fail.
                    let _ = match at {
                        0 => write!(out, "{cell:<width$}  "),
                        _ => write!(out, "{cell:>width$}  "),
                    };
                }
                out.truncate(out.trim_end().len());
            }
        }
        out.push('\n');
    }
    out
}

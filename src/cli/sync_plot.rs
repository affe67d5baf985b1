//! The plot of `barflow sync-report`: which share of builders has converged after how many trades.

use std::collections::BTreeSet;

use plotters::prelude::*;

use super::sync_measure::Measured;
use crate::plot::{COLOURS, GRID, INK, axis, font, legend};
use crate::thousands::grouped;

const SIZE: (u32, u32) = (820, 520);

/// One stair per instrument and specification, as SVG.
///
/// # Errors
/// What the drawing library says.
pub fn svg(all: &[Measured]) -> Result<String, Box<dyn std::error::Error>> {
    let mut svg = String::new();
    draw(&mut svg, all)?;
    Ok(svg)
}

fn draw(svg: &mut String, all: &[Measured]) -> Result<(), Box<dyn std::error::Error>> {
    let arrivals = || all.iter().flat_map(|measured| &measured.findings.arrivals);
    let least = arrivals().map(|arrival| arrival.trades).min().unwrap_or(1).max(1) as f64;
    let most = all.iter().map(|measured| measured.findings.followed).max().unwrap_or(1);
    let most = arrivals().map(|arrival| arrival.trades).max().unwrap_or(most).max(2) as f64;
    let (least, most) = (least / 1.5, most * 1.5);
    font::register();
    let names = names(all);
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let below = legend::height(&names, SIZE.0);
    let (area, strip) = root.split_vertically(SIZE.1 - below);
    let ticks = axis::logarithmic(least, most);
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .margin_right(36)
        .caption("Share of builders that have converged", ("sans-serif", 22))
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d((least..most).log_scale().with_key_points(ticks), 0f64..1.02f64)?;
    chart
        .configure_mesh()
        .label_style(("sans-serif", 16).into_font().color(&INK))
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .y_labels(6)
        .x_label_formatter(&|trades| grouped(trades.round().max(0.0) as u64))
        .y_label_formatter(&|share| format!("{:.0} %", 100.0 * share))
        .x_desc("trades since the builder started")
        .y_desc("share of starting points")
        .draw()?;
    for (measured, colour) in all.iter().zip(COLOURS.iter().cycle()) {
        let points = measured.points().max(1) as f64;
        let mut stair = vec![(least, 0.0)];
        for (arrived, arrival) in measured.findings.arrivals.iter().enumerate() {
            let trades = arrival.trades as f64;
            stair.push((trades, arrived as f64 / points));
            stair.push((trades, (arrived + 1) as f64 / points));
        }
        stair.push((most, stair.last().map_or(0.0, |last| last.1)));
        chart.draw_series(LineSeries::new(stair, colour.stroke_width(2)))?;
    }
    legend::draw(&strip, &names, |at| COLOURS[at % COLOURS.len()])?;
    root.present()?;
    Ok(())
}

/// The specifications, with their instruments where there are several.
fn names(all: &[Measured]) -> Vec<String> {
    let instruments: BTreeSet<_> = all.iter().map(|m| m.instrument.as_str()).collect();
    let name = |measured: &Measured| match instruments.len() {
        1 => measured.spec.to_string(),
        _ => format!("{} {}", measured.instrument.symbol(), measured.spec),
    };
    all.iter().map(name).collect()
}

//! The plot of `barflow sync-report`: which share of builders has arrived after how many trades.

use std::path::Path;

use plotters::prelude::*;

use super::sync_measure::Measured;
use crate::thousands::grouped;

const COLOURS: [RGBColor; 8] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(214, 39, 40),
    RGBColor(140, 86, 75),
    RGBColor(127, 127, 127),
    RGBColor(188, 189, 34),
];

/// Draws one stair per instrument and specification.
///
/// # Errors
/// When the file cannot be written.
pub fn draw(path: &Path, all: &[Measured]) -> Result<(), Box<dyn std::error::Error>> {
    let arrivals = || all.iter().flat_map(|measured| &measured.findings.arrivals);
    let least = arrivals().map(|arrival| arrival.trades).min().unwrap_or(1).max(1) as f64;
    let most = all.iter().map(|measured| measured.findings.followed).max().unwrap_or(1);
    let most = arrivals().map(|arrival| arrival.trades).max().unwrap_or(most).max(2) as f64;
    let (least, most) = (least / 1.5, most * 1.5);
    crate::plot_font::register();
    let root = SVGBackend::new(path, (820, 520)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .margin_right(28)
        .caption("Share of builders that have converged", ("sans-serif", 22))
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d((least..most).log_scale(), 0f64..1.02f64)?;
    chart
        .configure_mesh()
        .label_style(("sans-serif", 16))
        .light_line_style(TRANSPARENT)
        .x_labels(8)
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
        let symbol = measured.instrument.symbol();
        chart
            .draw_series(LineSeries::new(stair, colour.stroke_width(2)))?
            .label(format!("{symbol} {}", measured.spec))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], *colour));
    }
    chart
        .configure_series_labels()
        .label_font(("sans-serif", 15))
        // Stairs rise from the lower left to the upper right: the lower right is free.
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    root.present()?;
    Ok(())
}

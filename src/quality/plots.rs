//! The plots of the report, as SVG.

use barflow_operators::quality::suite::Suite;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::judged::Judged;
use super::report::{date, lines};
use crate::plot::{GRID, INK, axis, font};
use crate::thousands::grouped;

const BLUE: RGBColor = RGBColor(0, 114, 178);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const RED: RGBColor = RGBColor(179, 38, 30);
/// No wider, so that letters are still readable where the page is narrow.
const SIZE: (u32, u32) = (560, 220);
/// Letters of labels.
const LETTERS: u32 = 13;

/// What the drawing library says is wrong.
pub type PlotError = Box<dyn std::error::Error>;

/// Scores of all days.
///
/// # Errors
/// When it cannot be drawn.
pub fn scores(judged: &Judged, suite: &Suite) -> Result<String, PlotError> {
    let points: Vec<(f64, f64)> = (judged.days.iter())
        .filter_map(|day| Some((f64::from(day.day), day.score(suite)?)))
        .collect();
    let least = points.iter().map(|point| point.1).fold(1.0, f64::min);
    // A day or two below 1 by a millionth are to be seen as well.
    let low = (least - 0.1 * (1.0 - least) - 1e-6).max(0.0);
    draw("data quality score per day", judged, low..1.0 + (1.0 - low) * 0.05, |chart| {
        chart.draw_series(LineSeries::new(points.iter().copied(), BLUE.stroke_width(2)))?;
        let dots = points.iter().map(|point| {
            let colour = if point.1 < 1.0 { RED } else { BLUE };
            Circle::new(*point, 3, colour.filled())
        });
        chart.draw_series(dots)?;
        Ok(())
    })
}

/// Trades of all days.
///
/// # Errors
/// As [`scores`].
pub fn trades(judged: &Judged) -> Result<String, PlotError> {
    let most = judged.days.iter().map(|day| day.trades).max().unwrap_or(0).max(1) as f64;
    draw("trades per day", judged, 0.0..most * 1.05, |chart| {
        chart.draw_series(judged.days.iter().map(|day| {
            let at = f64::from(day.day);
            Rectangle::new([(at - 0.4, 0.0), (at + 0.4, day.trades as f64)], GREEN.filled())
        }))?;
        Ok(())
    })
}

/// Offenders of all expectations that have any.
///
/// # Errors
/// As [`scores`].
pub fn offenders(judged: &Judged, suite: &Suite) -> Result<Option<String>, PlotError> {
    let found: Vec<(&str, f64)> = lines(judged, suite)
        .iter()
        .filter(|line| line.offenders > 0)
        .map(|line| (line.check.as_str(), line.offenders as f64))
        .collect();
    if found.is_empty() {
        return Ok(None);
    }
    let most = found.iter().map(|(_, n)| *n).fold(1.0, f64::max);
    let height = 90 + 34 * found.len() as u32;
    // Of a few offenders there is no half.
    let ticks = axis::logarithmic(1.0, most * 1.2).into_iter().filter(|tick| tick.fract() == 0.0);
    let ticks: Vec<f64> = ticks.collect();
    svg((SIZE.0, height), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .caption("offenders by expectation", ("sans-serif", 18))
            .margin_right(60)
            .x_label_area_size(30)
            .y_label_area_size(140)
            // From one half on, so that a single offender is to be seen on a logarithmic scale.
            .build_cartesian_2d(
                (0.5..most * 1.2).log_scale().with_key_points(ticks),
                -0.5..found.len() as f64 - 0.5,
            )?;
        let name = |at: &f64| match found.get(at.round().max(0.0) as usize) {
            Some((name, _)) if (at - at.round()).abs() < 0.01 => (*name).to_owned(),
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(found.len() * 2)
            .y_label_formatter(&name)
            .label_style(("sans-serif", LETTERS).into_font().color(&INK))
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .x_label_formatter(&|n| axis::short(*n))
            .draw()?;
        chart.draw_series(found.iter().enumerate().map(|(place, (_, n))| {
            let at = place as f64;
            Rectangle::new([(0.5, at - 0.35), (*n, at + 0.35)], RED.mix(0.8).filled())
        }))?;
        chart.draw_series(found.iter().enumerate().map(|(place, (_, n))| {
            let style = ("sans-serif", LETTERS).into_font().color(&INK);
            let style = style.pos(Pos::new(HPos::Left, VPos::Center));
            let number = Text::new(grouped(*n as u64), (6, 0), style);
            EmptyElement::at((*n, place as f64)) + number
        }))?;
        Ok(())
    })
    .map(Some)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

/// A chart over the days of an instrument.
fn draw(
    caption: &str,
    judged: &Judged,
    y: std::ops::Range<f64>,
    fill: impl Fn(&mut Chart<'_, '_>) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    let first = judged.days.first().map_or(0, |day| day.day);
    let last = judged.days.last().map_or(first, |day| day.day);
    svg(SIZE, |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .margin_right(40)
            .caption(caption, ("sans-serif", 18))
            .x_label_area_size(30)
            .y_label_area_size(76)
            .build_cartesian_2d(f64::from(first) - 0.6..f64::from(last) + 0.6, y.clone())?;
        let day = |at: &f64| match (at - at.round()).abs() < 1e-6 {
            true => date(at.round() as i32).to_string(),
            false => String::new(),
        };
        let labels = (last - first + 1).clamp(1, 5) as usize;
        let number = |at: &f64| label(*at, y.end - y.start);
        chart
            .configure_mesh()
            .label_style(("sans-serif", LETTERS).into_font().color(&INK))
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .x_labels(labels)
            .y_labels(6)
            .x_label_formatter(&day)
            .y_label_formatter(&number)
            .draw()?;
        fill(&mut chart)
    })
}

/// A number on an axis of this length: whole numbers in groups, others with as many digits as tell
/// neighbours apart.
fn label(at: f64, length: f64) -> String {
    if length >= 6.0 {
        return grouped(at.max(0.0).round() as u64);
    }
    let digits = (1.0 - length.log10()).ceil().clamp(1.0, 9.0) as usize;
    format!("{at:.digits$}")
}

fn svg(
    size: (u32, u32),
    fill: impl FnOnce(&Area<'_>) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    let mut text = String::new();
    {
        font::register();
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE)?;
        fill(&root)?;
        root.present()?;
    }
    // Within a page a drawing needs no namespace, and the page refers to nothing.
    Ok(text.replace(" xmlns=\"http://www.w3.org/2000/svg\"", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_an_axis_differ_from_each_other() {
        assert_eq!(label(300_000.0, 400_000.0), "300,000");
        assert_eq!(label(0.75, 1.0), "0.8");
        assert_eq!(label(0.999_998, 1e-6), "0.9999980");
    }
}

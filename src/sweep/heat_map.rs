//! A grid as a picture: two keys along the axes, the score as colour.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::config::sweep::Grid;

/// Width and height, in pixels.
const SIZE: (u32, u32) = (900, 640);

/// The most columns and rows of a map whose cells have room for their scores.
const WRITTEN: (usize, usize) = (14, 24);

/// The best score of every pair of values of two keys. Dark is good; white says that nothing could
/// be judged there.
#[derive(Clone, Debug)]
pub struct HeatMap {
    title: String,
    axes: (String, String),
    columns: Vec<String>,
    rows: Vec<String>,
    cells: Vec<Vec<Option<f64>>>,
}

impl HeatMap {
    /// Of these scores, one per point of the grid.
    ///
    /// # Errors
    /// When an axis is not a key of the grid.
    pub fn new(
        grid: &Grid,
        scores: &[Option<f64>],
        (x, y): (&str, &str),
        title: &str,
    ) -> Result<Self, String> {
        let place = |name: &str| grid.keys.iter().position(|key| key == name);
        let (Some(x_at), Some(y_at)) = (place(x), place(y)) else {
            return Err(format!("\"{x}\" or \"{y}\" is not a key of the grid"));
        };
        let (columns, rows) = (values(grid, x_at), values(grid, y_at));
        let mut cells = vec![vec![None; columns.len()]; rows.len()];
        for (point, score) in grid.points.iter().zip(scores) {
            let column = columns.iter().position(|value| *value == point.values[x_at]);
            let row = rows.iter().position(|value| *value == point.values[y_at]);
            if let (Some(column), Some(row), Some(score)) = (column, row, score) {
                let cell: &mut Option<f64> = &mut cells[row][column];
                *cell = Some(cell.map_or(*score, |best| best.min(*score)));
            }
        }
        let axes = (x.to_owned(), y.to_owned());
        Ok(Self { title: title.to_owned(), axes, columns, rows, cells })
    }

    /// As SVG.
    ///
    /// # Errors
    /// What the drawing library says.
    pub fn svg(&self) -> Result<String, String> {
        let mut out = String::new();
        self.draw(&SVGBackend::with_string(&mut out, SIZE).into_drawing_area())?;
        Ok(out)
    }

    /// As PNG.
    ///
    /// # Errors
    /// What the drawing library says.
    pub fn png(&self) -> Result<Vec<u8>, String> {
        let mut pixels = vec![0; 3 * SIZE.0 as usize * SIZE.1 as usize];
        self.draw(&BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area())?;
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, SIZE.0, SIZE.1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().and_then(|mut png| png.write_image_data(&pixels)).map_err(text)?;
        Ok(file)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String> {
        crate::plot_font::register();
        // By rank: one wild value would leave all others one colour.
        let mut known: Vec<f64> = self.cells.iter().flatten().flatten().copied().collect();
        known.sort_by(f64::total_cmp);
        let share = |score: f64| {
            known.partition_point(|other| *other < score) as f64 / (known.len().max(2) - 1) as f64
        };
        // The last segment; the library cannot draw a single one, so there are two at least.
        let last = |values: &[String]| (values.len().max(2) - 1) as i32;
        let (right, top) = (last(&self.columns), last(&self.rows));
        area.fill(&WHITE).map_err(text)?;
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(48)
            .y_label_area_size(40 + 8 * widest(&self.rows))
            .build_cartesian_2d((0..right).into_segmented(), (0..top).into_segmented())
            .map_err(text)?;
        let label = |values: &[String], at: &SegmentValue<i32>| match at {
            SegmentValue::CenterOf(at) | SegmentValue::Exact(at) => {
                values.get(*at as usize).cloned().unwrap_or_default()
            }
            SegmentValue::Last => String::new(),
        };
        chart
            .configure_mesh()
            .disable_mesh()
            .x_desc(&self.axes.0)
            .y_desc(&self.axes.1)
            .x_labels(self.columns.len().min(12))
            .y_labels(self.rows.len().min(20))
            .x_label_formatter(&|at| label(&self.columns, at))
            .y_label_formatter(&|at| label(&self.rows, at))
            .draw()
            .map_err(text)?;
        let squares = self.cells.iter().enumerate().flat_map(|(row, cells)| {
            let known = cells.iter().enumerate().filter_map(|(at, cell)| Some((at, (*cell)?)));
            known.map(move |(column, score)| (column as i32, row as i32, score))
        });
        let squares = squares.map(|(column, row, score)| {
            let exact = SegmentValue::Exact;
            let behind = |at, last| if at < last { exact(at + 1) } else { SegmentValue::Last };
            let corners = [(exact(column), exact(row)), (behind(column, right), behind(row, top))];
            let light = (235.0 * share(score).min(1.0)) as u8;
            Rectangle::new(corners, RGBColor(light, light, 200 + light / 5).filled())
        });
        chart.draw_series(squares).map_err(text)?;
        if self.columns.len() <= WRITTEN.0 && self.rows.len() <= WRITTEN.1 {
            let cells = self.cells.iter().enumerate().flat_map(|(row, cells)| {
                let known = cells.iter().enumerate().filter_map(|(at, cell)| Some((at, (*cell)?)));
                known.map(move |(column, score)| (column as i32, row as i32, score))
            });
            let cells = cells.map(|(column, row, score)| {
                // Light on dark, dark on light.
                let colour = if share(score) < 0.6 { WHITE } else { BLACK };
                let style = ("sans-serif", 13).into_font().color(&colour);
                let centred = style.pos(Pos::new(HPos::Center, VPos::Center));
                let at = (SegmentValue::CenterOf(column), SegmentValue::CenterOf(row));
                Text::new(short(score), at, centred)
            });
            chart.draw_series(cells).map_err(text)?;
        }
        area.present().map_err(text)
    }
}

/// A score with three significant digits.
fn short(score: f64) -> String {
    let digits = match score.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{score:.digits$}")
}

/// Characters of the longest label.
fn widest(labels: &[String]) -> u32 {
    labels.iter().map(|label| label.chars().count()).max().unwrap_or(0) as u32
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The values of a key, in the order of the grid.
fn values(grid: &Grid, key: usize) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for point in &grid.points {
        if !values.contains(&point.values[key]) {
            values.push(point.values[key].clone());
        }
    }
    values
}

//! A grid as a picture: two keys along the axes, the score as colour.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::config::sweep::Grid;
use crate::plot::{INK, axis, font};

/// Width and height, in pixels.
const SIZE: (u32, u32) = (900, 640);

/// The map: its upper, right and lower edge.
const TOP: i32 = 86;
const RIGHT: i32 = 770;
const BOTTOM: i32 = 548;

/// The colour scale.
const SCALE: (i32, i32) = (800, 822);

/// Cells smaller than this have no room for their scores.
const ROOM: (i32, i32) = (46, 18);

/// Letters of labels.
const LETTERS: i32 = 14;

/// From the best to the worst: C. Brewer's *Blues*, dark to light.
const COLOURS: [RGBColor; 7] = [
    RGBColor(8, 48, 107),
    RGBColor(8, 81, 156),
    RGBColor(33, 113, 181),
    RGBColor(107, 174, 214),
    RGBColor(158, 202, 225),
    RGBColor(198, 219, 239),
    RGBColor(239, 245, 252),
];

/// What the map says beside its cells.
#[derive(Clone, Debug, Default)]
pub struct Caption {
    /// What the score is.
    pub title: String,
    /// A line below the map; may be empty.
    pub note: String,
}

/// The best score of every pair of values of two keys. Dark is good; white says that nothing could
/// be judged there.
#[derive(Clone, Debug)]
pub struct HeatMap {
    caption: Caption,
    axes: (String, String),
    columns: Vec<String>,
    rows: Vec<String>,
    cells: Vec<Vec<Option<f64>>>,
    /// All scores of cells, the best first.
    known: Vec<f64>,
    /// Where the cells begin: behind the labels of the rows.
    left: i32,
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
        caption: Caption,
    ) -> Result<Self, String> {
        let place = |name: &str| grid.keys.iter().position(|key| key == name);
        let (Some(x_at), Some(y_at)) = (place(x), place(y)) else {
            return Err(format!("\"{x}\" or \"{y}\" is not a key of the grid"));
        };
        let (columns, rows) = (grid.values(x_at), grid.values(y_at));
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
        // By rank: one wild value would leave all others one colour.
        let mut known: Vec<f64> = cells.iter().flatten().flatten().copied().collect();
        known.sort_by(f64::total_cmp);
        let labels: Vec<String> = rows.iter().map(|value| label(value)).collect();
        let left = 40 + widest(&labels) as i32 * LETTERS * 6 / 10;
        Ok(Self { caption, axes, columns, rows, cells, known, left })
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
        font::register();
        area.fill(&WHITE).map_err(text)?;
        let title = ("sans-serif", 20).into_font().color(&BLACK);
        area.draw(&Text::new(self.caption.title.clone(), (24, 18), title)).map_err(text)?;
        let best = match self.known.first() {
            Some(best) => format!("best: {}", said(*best)),
            None => "nothing could be judged".to_owned(),
        };
        let best = format!("{best}; dark is good, by rank; white: no score");
        write(area, best, (24, 52), (HPos::Left, VPos::Center), &INK)?;
        self.draw_cells(area)?;
        self.draw_labels(area)?;
        self.draw_scale(area)?;
        let note = self.caption.note.clone();
        write(area, note, (24, SIZE.1 as i32 - 16), (HPos::Left, VPos::Center), &INK)?;
        area.present().map_err(text)
    }

    fn draw_cells<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String> {
        let is_written = (self.size().0 >= ROOM.0) && (self.size().1 >= ROOM.1);
        let best = self.known.first();
        let mut best_corners = None;
        for (row, cells) in self.cells.iter().enumerate() {
            for (column, cell) in cells.iter().enumerate() {
                let Some(score) = *cell else { continue };
                let corners @ [(left, top), (right, bottom)] = self.corners(column, row);
                let colour = shade(self.rank(score));
                area.draw(&Rectangle::new(corners, colour.filled())).map_err(text)?;
                if best == Some(&score) {
                    best_corners.get_or_insert(corners);
                }
                if is_written {
                    let at = (i32::midpoint(left, right), i32::midpoint(top, bottom));
                    let letters = if is_dark(colour) { &WHITE } else { &BLACK };
                    let centred = (HPos::Center, VPos::Center);
                    write(area, said(score), at, centred, letters)?;
                }
            }
        }
        if let Some([(left, top), (right, bottom)]) = best_corners {
            let frame = [(left + 1, top + 1), (right - 2, bottom - 2)];
            let orange = RGBColor(230, 120, 0).stroke_width(2);
            area.draw(&Rectangle::new(frame, orange)).map_err(text)?;
        }
        let frame = [(self.left, TOP), (RIGHT, BOTTOM)];
        area.draw(&Rectangle::new(frame, INK.stroke_width(1))).map_err(text)
    }

    /// Values along both edges: all of them, or as many as have room.
    fn draw_labels<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String> {
        let columns: Vec<String> = self.columns.iter().map(|value| label(value)).collect();
        let needs = (widest(&columns) as i32 + 1) * LETTERS * 55 / 100;
        let step = (needs as usize).div_ceil(self.size().0.max(1) as usize).max(1);
        for (column, value) in columns.into_iter().enumerate().step_by(step) {
            let [(left, _), (right, _)] = self.corners(column, 0);
            let x = i32::midpoint(left, right);
            area.draw(&PathElement::new([(x, BOTTOM), (x, BOTTOM + 5)], INK)).map_err(text)?;
            write(area, value, (x, BOTTOM + 9), (HPos::Center, VPos::Top), &INK)?;
        }
        let step = ((LETTERS + 4) as usize).div_ceil(self.size().1.max(1) as usize).max(1);
        for (row, value) in self.rows.iter().enumerate().step_by(step) {
            let [(left, top), (_, bottom)] = self.corners(0, row);
            let y = i32::midpoint(top, bottom);
            area.draw(&PathElement::new([(left - 5, y), (left, y)], INK)).map_err(text)?;
            write(area, label(value), (left - 9, y), (HPos::Right, VPos::Center), &INK)?;
        }
        let (x, y) = self.axes.clone();
        let middle = (i32::midpoint(self.left, RIGHT), BOTTOM + 34);
        write(area, x, middle, (HPos::Center, VPos::Top), &BLACK)?;
        write(area, y, (24, TOP - 6), (HPos::Left, VPos::Bottom), &BLACK)
    }

    /// What the colours stand for: the scores at equal steps of rank.
    fn draw_scale<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String> {
        let (Some(best), Some(worst)) = (self.known.first(), self.known.last()) else {
            return Ok(());
        };
        let height = BOTTOM - TOP;
        for y in 0..height {
            let colour = shade(f64::from(y) / f64::from(height - 1));
            let line = [(SCALE.0, TOP + y), (SCALE.1, TOP + y + 1)];
            area.draw(&Rectangle::new(line, colour.filled())).map_err(text)?;
        }
        let steps = if best == worst { 0 } else { 6 };
        for step in 0..=steps {
            let share = f64::from(step) / f64::from(steps.max(1));
            let place = share * (self.known.len() - 1) as f64;
            let score = self.known[place.round() as usize];
            let y = TOP + (share * f64::from(height - 1)) as i32;
            area.draw(&PathElement::new([(SCALE.1, y), (SCALE.1 + 4, y)], INK)).map_err(text)?;
            let at = (SCALE.1 + 8, y);
            write(area, said(score), at, (HPos::Left, VPos::Center), &INK)?;
        }
        Ok(())
    }

    /// Width and height of a cell.
    fn size(&self) -> (i32, i32) {
        let columns = (RIGHT - self.left) / self.columns.len().max(1) as i32;
        (columns, (BOTTOM - TOP) / self.rows.len().max(1) as i32)
    }

    /// A cell's upper left and lower right corner; the first row is the lowest.
    fn corners(&self, column: usize, row: usize) -> [(i32, i32); 2] {
        let (left, columns, rows) = (self.left, self.columns.len(), self.rows.len());
        let x = |at: usize| left + (RIGHT - left) * at as i32 / columns as i32;
        let y = |at: usize| BOTTOM - (BOTTOM - TOP) * at as i32 / rows as i32;
        [(x(column), y(row + 1)), (x(column + 1), y(row))]
    }

    /// 0 for the best score, 1 for the worst.
    fn rank(&self, score: f64) -> f64 {
        let better = self.known.partition_point(|other| *other < score) as f64;
        (better / (self.known.len().max(2) - 1) as f64).min(1.0)
    }
}

fn write<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    words: String,
    at: (i32, i32),
    (x, y): (HPos, VPos),
    colour: &RGBColor,
) -> Result<(), String> {
    let style = ("sans-serif", LETTERS).into_font().color(colour).pos(Pos::new(x, y));
    area.draw(&Text::new(words, at, style)).map_err(text)
}

/// The colour at a share of the way from the best to the worst.
fn shade(share: f64) -> RGBColor {
    let place = share.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f64;
    let at = (place as usize).min(COLOURS.len() - 2);
    let (from, to, part) = (COLOURS[at], COLOURS[at + 1], place - at as f64);
    let mix = |from: u8, to: u8| (f64::from(from) + part * (f64::from(to) - f64::from(from))) as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// Whether white letters are easier to read on it than black ones.
fn is_dark(colour: RGBColor) -> bool {
    let RGBColor(red, green, blue) = colour;
    0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue) < 135.0
}

/// A score for people: of those that count what is good, the number counted.
fn said(score: f64) -> String {
    axis::significant(score.abs())
}

/// A value of a key, numbers with three digits.
fn label(value: &str) -> String {
    value.parse().map_or_else(|_| value.to_owned(), axis::short)
}

/// Characters of the longest label.
fn widest(labels: &[String]) -> u32 {
    labels.iter().map(|label| label.chars().count()).max().unwrap_or(0) as u32
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::ConfigFile;
    use crate::config::sweep::{SweepSettings, TypedSweep};

    fn map(scores: impl Fn(usize) -> Option<f64>) -> HeatMap {
        let text = "[grid]\nkind = \"imbalance\"\nalpha = \"1e-3..1e-2 log 5\"\n\
                    target = \"200..1000 step 100\"\n";
        let file = ConfigFile::parse("sweep.toml", text).unwrap();
        let grid = SweepSettings::understand(file, TypedSweep::default()).unwrap().grid;
        let scores: Vec<Option<f64>> = (0..grid.points.len()).map(scores).collect();
        let caption = Caption { title: "a title".to_owned(), note: "a note".to_owned() };
        HeatMap::new(&grid, &scores, ("alpha", "target"), caption).unwrap()
    }

    #[test]
    fn a_map_says_its_values_its_scale_and_its_best() {
        let svg = map(|at| Some(3_781.0 + at as f64)).svg().unwrap();
        for words in ["a title", "a note", "best: 3,781", "0.00178", "1,000", "3,825", "alpha"] {
            assert!(svg.contains(words), "{words}");
        }
        // Labels are whole: none begins left of the picture.
        assert!(!svg.contains("x=\"-"), "{svg}");
    }

    #[test]
    fn a_map_without_scores_is_drawn_as_well() {
        assert!(map(|_| None).svg().unwrap().contains("nothing could be judged"));
        assert!(map(|at| (at == 7).then_some(0.0)).png().unwrap().starts_with(b"\x89PNG"));
    }

    #[test]
    fn the_best_is_darkest_and_letters_differ_from_what_is_below_them() {
        assert!(is_dark(shade(0.0)) && !is_dark(shade(1.0)));
        let map = map(|at| Some(at as f64));
        assert_eq!((map.rank(0.0), map.rank(44.0)), (0.0, 1.0));
    }
}

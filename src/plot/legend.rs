//! A legend in a strip of its own: it covers no curve, however many there are.

use plotters::coord::Shift;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::INK;

/// Size of the letters, and what an entry needs beside them.
const LETTERS: i32 = 15;
const LINE: i32 = 26;
const ROW: i32 = 24;
const GAP: i32 = 26;

/// How high a legend of these names is in a picture of this width.
pub fn height(names: &[String], width: u32) -> u32 {
    (rows(names, width as i32).len() as i32 * ROW) as u32 + 8
}

/// Draws the names, each beside a piece of its line.
///
/// # Errors
/// What the drawing library says.
pub fn draw<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    names: &[String],
    colour: impl Fn(usize) -> RGBColor,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let (width, _) = area.dim_in_pixel();
    let style = ("sans-serif", LETTERS).into_font().color(&INK);
    let style = style.pos(Pos::new(HPos::Left, VPos::Center));
    for (row, entries) in rows(names, width as i32).into_iter().enumerate() {
        let y = row as i32 * ROW + ROW / 2;
        for (at, x) in entries {
            let line = vec![(x, y), (x + LINE - 6, y)];
            area.draw(&PathElement::new(line, colour(at).stroke_width(3)))?;
            area.draw(&Text::new(names[at].clone(), (x + LINE, y), style.clone()))?;
        }
    }
    Ok(())
}

/// Which names stand in which row, and where.
fn rows(names: &[String], width: i32) -> Vec<Vec<(usize, i32)>> {
    let left = 20;
    let mut rows: Vec<Vec<(usize, i32)>> = vec![Vec::new()];
    let mut x = left;
    for (at, name) in names.iter().enumerate() {
        // Fonts differ from viewer to viewer: a letter is at most as wide as this, nearly always.
        let needs = LINE + name.chars().count() as i32 * LETTERS * 6 / 10 + GAP;
        if x > left && x + needs > width {
            rows.push(Vec::new());
            x = left;
        }
        if let Some(row) = rows.last_mut() {
            row.push((at, x));
        }
        x += needs;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_legends_take_several_rows() {
        let names: Vec<String> = (0..8).map(|n| format!("a rather long name {n}")).collect();
        assert_eq!(rows(&names[..1], 800).len(), 1);
        let rows = rows(&names, 800);
        assert!(rows.len() > 2);
        assert_eq!(rows.iter().flatten().count(), 8);
        assert!(height(&names, 800) > height(&names[..2], 800));
    }
}

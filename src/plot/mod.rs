//! What all pictures share: the font, ticks of logarithmic axes, legends beside the curves.

pub mod axis;
pub mod font;
pub mod legend;

use plotters::style::RGBColor;

/// Colours of series, told apart by people with any common kind of colour vision: M. Okabe, K. Ito,
/// *Color universal design* (2008), without the yellow, which is too faint on white.
pub const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(40, 40, 40),
];

/// Lines of the grid.
pub const GRID: RGBColor = RGBColor(225, 228, 232);

/// Letters that are not the title.
pub const INK: RGBColor = RGBColor(60, 66, 73);

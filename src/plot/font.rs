//! The font of all plots: the drawing library measures text with it, and draws pixels with it.

use epaint_default_fonts::UBUNTU_LIGHT;
use plotters::style::{FontStyle, register_font};

/// Makes the font known to the drawing library. Before each plot; again changes nothing.
pub fn register() {
    // Fails only for bytes that are not a font, and then the plot itself reports the missing font.
    let _ = register_font("sans-serif", FontStyle::Normal, UBUNTU_LIGHT);
}

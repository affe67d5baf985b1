//! Pixels to draw on, and their PNG: the library's own bitmaps want fonts of the system and a crate
//! for every image format there is.

use std::convert::Infallible;
use std::io::{self, Write as _};

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use font8x8::legacy::BASIC_LEGACY;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendTextStyle, DrawingBackend, DrawingErrorKind,
};

/// Width and height of a letter.
const LETTER: i32 = 8;

/// A picture, RGB.
#[derive(Clone, Debug)]
pub struct Canvas {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Canvas {
    /// A black one.
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height, rgb: vec![0; (width * height * 3) as usize] }
    }

    /// The picture as a PNG file (ISO/IEC 15948): 8 bits a colour, rows unfiltered.
    pub fn png(&self) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        head.extend(self.width.to_be_bytes());
        head.extend(self.height.to_be_bytes());
        // Depth, colour (RGB), compression, filter, no interlacing.
        head.extend([8, 2, 0, 0, 0]);
        let mut rows = ZlibEncoder::new(Vec::new(), Compression::default());
        for row in self.rgb.chunks_exact(3 * self.width as usize) {
            rows.write_all(&[0])?;
            rows.write_all(row)?;
        }
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, data) in [(b"IHDR", &head[..]), (b"IDAT", &rows.finish()?), (b"IEND", &[])] {
            let mut checksum = Crc::new();
            checksum.update(kind);
            checksum.update(data);
            png.extend((data.len() as u32).to_be_bytes());
            png.extend(kind);
            png.extend(data);
            png.extend(checksum.sum().to_be_bytes());
        }
        Ok(png)
    }

    fn put(&mut self, (x, y): BackendCoord, color: BackendColor) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        if x >= self.width || y >= self.height {
            return;
        }
        let at = 3 * (y * self.width + x) as usize;
        let (r, g, b) = color.rgb;
        for (below, above) in self.rgb[at..at + 3].iter_mut().zip([r, g, b]) {
            let mixed = f64::from(*below) * (1.0 - color.alpha) + f64::from(above) * color.alpha;
            *below = mixed.round() as u8;
        }
    }
}

/// Letters of 8 by 8 pixels, twice as large from 16 on.
fn scale(size: f64) -> i32 {
    if size >= 16.0 { 2 } else { 1 }
}

impl DrawingBackend for &mut Canvas {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    fn ensure_prepared(&mut self) -> Result<(), DrawingErrorKind<Infallible>> {
        Ok(())
    }

    fn present(&mut self) -> Result<(), DrawingErrorKind<Infallible>> {
        Ok(())
    }

    fn draw_pixel(
        &mut self,
        point: BackendCoord,
        color: BackendColor,
    ) -> Result<(), DrawingErrorKind<Infallible>> {
        self.put(point, color);
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let letter = (LETTER * scale(style.size())).unsigned_abs();
        Ok((letter * text.chars().count() as u32, letter))
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        at: BackendCoord,
    ) -> Result<(), DrawingErrorKind<Infallible>> {
        let scale = scale(style.size());
        let (width, height) = (LETTER * scale * text.chars().count() as i32, LETTER * scale);
        let left = match style.anchor().h_pos {
            HPos::Left => 0,
            HPos::Center => -width / 2,
            HPos::Right => -width,
        };
        let top = match style.anchor().v_pos {
            VPos::Top => 0,
            VPos::Center => -height / 2,
            VPos::Bottom => -height,
        };
        for (letter, place) in text.chars().zip(0..) {
            // What is not ASCII is left blank.
            let rows = BASIC_LEGACY.get(letter as usize).copied().unwrap_or_default();
            for y in 0..height {
                for x in 0..LETTER * scale {
                    if rows[(y / scale) as usize] >> (x / scale) & 1 == 1 {
                        let x = left + place * LETTER * scale + x;
                        let (x, y) = style.transform().transform(x, top + y);
                        self.put((at.0 + x, at.1 + y), style.color());
                    }
                }
            }
        }
        Ok(())
    }
}

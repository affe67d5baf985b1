//! Finding and reading fields eight bytes at a time.
//!
//! Bytes are classified with integer arithmetic on whole words (no branches per byte), and digits
//! are combined pairwise: 8 digits cost three multiplications. Portable: no intrinsics.

/// One in every byte.
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

#[inline(always)]
fn load(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// A bit for each of the 64 bytes from `at` on that ends a run of digits and letters: everything
/// below '/' (comma, dot, line ends, signs, blanks, quotes).
#[inline(always)]
fn marks(bytes: &[u8], at: usize) -> u64 {
    let mut mask = 0;
    let window = &bytes[at..at + 64];
    for word in 0..8 {
        let w = load(window, word * 8);
        // With the high bit set, subtracting '/' clears it exactly where the byte is smaller.
        let below = !((w | HIGH).wrapping_sub(ONES * 0x2f)) & !w & HIGH;
        // Gathers the eight high bits into one byte.
        let bits = (below >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask |= bits << (word * 8);
    }
    mask
}

/// Walks over the marks of a block, one after the other.
pub struct Marks<'a> {
    bytes: &'a [u8],
    window: usize,
    mask: u64,
}

impl<'a> Marks<'a> {
    /// Starts at `at`; `bytes` must reach 64 bytes beyond the last line.
    #[inline(always)]
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, window: at, mask: marks(bytes, at) }
    }

    /// The next mark's place. The caller stops at the line's end: beyond the last line the bytes
    /// are anything, and this may not be asked there.
    #[inline(always)]
    pub fn advance(&mut self) -> Option<usize> {
        while self.mask == 0 {
            self.window += 64;
            if self.window + 64 > self.bytes.len() {
                return None;
            }
            self.mask = marks(self.bytes, self.window);
        }
        let place = self.window + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        Some(place)
    }
}

/// The value of at most 8 digits ending before `end`; None if any is no digit or there is none.
/// Needs eight readable bytes before `end`.
#[inline(always)]
fn upto8(bytes: &[u8], end: usize, digits: usize) -> Option<u64> {
    if digits == 0 || digits > 8 {
        return None;
    }
    // The last digit lands in the highest byte; everything before the first one is shifted out.
    let w = (load(bytes, end - 8) ^ (ONES * 0x30)) & (u64::MAX << (64 - 8 * digits));
    if (w.wrapping_add(ONES * 0x76) | w) & HIGH != 0 {
        return None;
    }
    let w = (w.wrapping_mul(10)).wrapping_add(w >> 8) & 0x00ff_00ff_00ff_00ff;
    let w = (w.wrapping_mul(100)).wrapping_add(w >> 16) & 0x0000_ffff_0000_ffff;
    Some((w.wrapping_mul(10_000)).wrapping_add(w >> 32) & 0xffff_ffff)
}

/// The value of 1 to 16 digits between `start` and `end`.
#[inline(always)]
pub fn integer(bytes: &[u8], start: usize, end: usize) -> Option<u64> {
    let digits = end - start;
    if digits <= 8 {
        return upto8(bytes, end, digits);
    }
    let low = upto8(bytes, end, 8)?;
    let high = upto8(bytes, end - 8, digits - 8)?;
    Some(high * 100_000_000 + low)
}

/// The truth of `True`, `true`, `TRUE`, `1` and their opposites; None for anything else. Without
/// branches: sides are as good as random, and a wrong guess costs more than all comparisons.
#[inline(always)]
pub fn boolean(bytes: &[u8], start: usize, end: usize) -> Option<bool> {
    let length = end - start;
    if length == 0 || length > 5 {
        return None;
    }
    let w = load(bytes, start) & (u64::MAX >> (64 - 8 * length));
    let is = |text: &[u8; 8]| w == u64::from_le_bytes(*text);
    let yes =
        is(b"True\0\0\0\0") | is(b"true\0\0\0\0") | is(b"TRUE\0\0\0\0") | is(b"1\0\0\0\0\0\0\0");
    let no = is(b"False\0\0\0") | is(b"false\0\0\0") | is(b"FALSE\0\0\0") | is(b"0\0\0\0\0\0\0\0");
    if yes | no { Some(yes) } else { None }
}

/// Powers of ten that are exact in f64 and that a fast decimal can need.
const POWERS: [f64; 17] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16];

/// The nearest f64 to `whole.fraction`, where both are runs of digits and together are at most
/// 15 of them: mantissa and power are then exact, so one division rounds correctly (Clinger).
#[inline(always)]
pub fn decimal(bytes: &[u8], start: usize, dot: usize, end: usize) -> Option<f64> {
    let whole = upto8(bytes, dot, dot - start)?;
    let places = end - dot - 1;
    let fraction = upto8(bytes, end, places)?;
    if end - start > 16 {
        return None;
    }
    let mantissa = whole * POWERS_U64[places] + fraction;
    Some(mantissa as f64 / POWERS[places])
}

const POWERS_U64: [u64; 9] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn padded(text: &str) -> (Vec<u8>, usize, usize) {
        let mut bytes = vec![b'9'; 64];
        bytes.extend_from_slice(text.as_bytes());
        bytes.extend_from_slice(&[b'9'; 128]);
        (bytes, 64, 64 + text.len())
    }

    #[test]
    fn marks_are_found_wherever_they_stand() {
        let text = "12,3.4\r\n".to_owned() + &"x".repeat(150) + ",7\n";
        let (bytes, start, _) = padded(&text);
        let mut marks = Marks::new(&bytes, start);
        let places: Vec<usize> =
            (0..6).filter_map(|_| marks.advance()).map(|p| p - start).collect();
        assert_eq!(places, [2, 4, 6, 7, 158, 160]);
    }

    #[test]
    fn bytes_above_ascii_are_no_marks() {
        let (bytes, start, _) = padded("\u{e9}\u{20ac},");
        assert_eq!(Marks::new(&bytes, start).advance(), Some(start + 5));
    }

    proptest! {
        #[test]
        fn integers_are_read_as_the_library_reads_them(text in "[0-9]{1,16}") {
            let (bytes, start, end) = padded(&text);
            prop_assert_eq!(integer(&bytes, start, end), Some(text.parse().unwrap()));
        }

        #[test]
        fn decimals_are_rounded_as_the_library_rounds_them(text in "[0-9]{1,7}\\.[0-9]{1,8}") {
            let (bytes, start, end) = padded(&text);
            let dot = start + text.find('.').unwrap();
            let read = decimal(&bytes, start, dot, end);
            if text.len() <= 16 {
                prop_assert_eq!(read.map(f64::to_bits), Some(text.parse::<f64>().unwrap().to_bits()));
            } else {
                prop_assert_eq!(read, None);
            }
        }

        #[test]
        fn whatever_is_no_number_is_refused(text in "[0-9]{0,5}[^0-9][0-9]{0,5}") {
            let (bytes, start, end) = padded(&text);
            prop_assert_eq!(integer(&bytes, start, end), None);
        }
    }
}

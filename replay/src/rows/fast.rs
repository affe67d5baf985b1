//! The fast path: rows exactly as Binance's archives write them.

use barflow_operators::trade::Aggressor;

use super::scan::{Marks, boolean, decimal, integer};
use super::{Output, RawRow, RowRules, careful};

/// The order of fields after id, price and quantity.
pub trait Fields {
    /// Reads what follows the quantity up to the line's end; returns time, side, count.
    fn rest(cursor: &mut Cursor<'_>) -> Option<(u64, Aggressor, u32)>;
}

/// `trades`.
pub struct Trades;

/// `aggTrades`.
pub struct AggTrades;

impl Fields for Trades {
    #[inline(always)]
    fn rest(cursor: &mut Cursor<'_>) -> Option<(u64, Aggressor, u32)> {
        cursor.skip_number()?;
        let time = cursor.integer()?;
        Some((time, cursor.side()?, 1))
    }
}

impl Fields for AggTrades {
    #[inline(always)]
    fn rest(cursor: &mut Cursor<'_>) -> Option<(u64, Aggressor, u32)> {
        let first = cursor.integer()?;
        let last = cursor.integer()?;
        let time = cursor.integer()?;
        let count = last.checked_sub(first)?.checked_add(1)?;
        Some((time, cursor.side()?, u32::try_from(count).ok()?))
    }
}

/// Reads rows until the output is full or the lines end; what is not exactly as expected goes the
/// careful way. Returns where to continue.
pub fn read<F: Fields>(
    rules: &RowRules,
    bytes: &[u8],
    at: usize,
    end: usize,
    out: &mut Output<'_>,
) -> usize {
    let columns = rules.format.layout.columns();
    let mut at = at;
    while at < end && !out.is_full() {
        let mut cursor = Cursor { bytes, marks: Marks::new(bytes, at), at, fields: 0 };
        // The inner loop keeps the cursor's window across rows; a careful row starts it anew.
        loop {
            let start = cursor.at;
            let row = cursor.row::<F>(columns);
            if let Some(trade) = row.and_then(|row| rules.judge(&row).ok()) {
                out.take(rules, &trade);
                out.line += 1;
                at = cursor.at;
                if at >= end || out.is_full() {
                    return at;
                }
            } else {
                at = careful::read_line(rules, bytes, start, end, out);
                break;
            }
        }
    }
    at
}

/// A place in the lines, and the marks ahead of it.
pub struct Cursor<'a> {
    bytes: &'a [u8],
    marks: Marks<'a>,
    /// Where the next field starts.
    at: usize,
    fields: usize,
}

impl Cursor<'_> {
    #[inline(always)]
    fn row<F: Fields>(&mut self, columns: usize) -> Option<RawRow> {
        self.fields = 0;
        let id = self.integer()?;
        let price = self.number()?;
        let qty = self.number()?;
        let (time, aggressor, count) = F::rest(self)?;
        if self.fields < columns {
            self.best_match()?;
        }
        (self.fields == columns && self.bytes[self.at - 1] == b'\n').then_some(RawRow {
            id,
            price,
            qty,
            quote: 0.0,
            time,
            aggressor,
            count,
        })
    }

    /// Ends the field at `mark`, which must be a comma.
    #[inline(always)]
    fn comma(&mut self, mark: usize) -> Option<()> {
        self.at = mark + 1;
        self.fields += 1;
        (self.bytes[mark] == b',').then_some(())
    }

    #[inline(always)]
    fn integer(&mut self) -> Option<u64> {
        let start = self.at;
        let mark = self.marks.advance()?;
        if mark - start > 16 {
            return None;
        }
        let value = integer(self.bytes, start, mark)?;
        self.comma(mark)?;
        Some(value)
    }

    #[inline(always)]
    fn number(&mut self) -> Option<f64> {
        let start = self.at;
        let mark = self.marks.advance()?;
        if self.bytes[mark] == b'.' {
            let end = self.marks.advance()?;
            let value = decimal(self.bytes, start, mark, end)?;
            self.comma(end)?;
            return Some(value);
        }
        if mark - start > 15 {
            return None;
        }
        let value = integer(self.bytes, start, mark)?;
        self.comma(mark)?;
        Some(value as f64)
    }

    /// Passes over a number that is not used; digits and one dot, any length.
    #[inline(always)]
    fn skip_number(&mut self) -> Option<()> {
        let start = self.at;
        let mut mark = self.marks.advance()?;
        if mark - start > 16 {
            return None;
        }
        integer(self.bytes, start, mark)?;
        if self.bytes[mark] == b'.' {
            let dot = mark;
            mark = self.marks.advance()?;
            if mark - dot > 17 {
                return None;
            }
            integer(self.bytes, dot + 1, mark)?;
        }
        self.comma(mark)
    }

    /// isBuyerMaker, followed by a comma or the line's end.
    #[inline(always)]
    fn side(&mut self) -> Option<Aggressor> {
        let start = self.at;
        let mark = self.marks.advance()?;
        let maker = boolean(self.bytes, start, mark)?;
        self.end_field(mark)?;
        Some(if maker { Aggressor::Seller } else { Aggressor::Buyer })
    }

    #[inline(always)]
    fn best_match(&mut self) -> Option<()> {
        let start = self.at;
        let mark = self.marks.advance()?;
        boolean(self.bytes, start, mark)?;
        self.end_field(mark)
    }

    /// Ends a field at a comma, a newline, or CR LF.
    #[inline(always)]
    fn end_field(&mut self, mark: usize) -> Option<()> {
        self.fields += 1;
        let mut mark = mark;
        if self.bytes[mark] == b'\r' {
            mark = self.marks.advance()?;
            if self.bytes[mark] != b'\n' {
                return None;
            }
        }
        self.at = mark + 1;
        matches!(self.bytes[mark], b',' | b'\n').then_some(())
    }
}

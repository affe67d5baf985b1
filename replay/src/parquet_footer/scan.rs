//! The sizes of a footer, found without taking memory for its parts.

use std::io;

use crate::parquet_thrift::shapes::FOOTER;
use crate::parquet_thrift::{self, Visit};

/// Columns, and groups of columns.
const COLUMNS: u64 = 10_000;

/// Columns within others.
const DEEPEST: usize = 32;

/// Columns times row groups.
const CHUNKS: u64 = 250_000;

/// Notes of the writer.
const NOTES: u64 = 10_000;

/// Parts of all lists.
const PARTS: u64 = 4_000_000;

/// Holds a footer against the limits.
///
/// # Errors
/// The first that is passed, or that it is none, in words that follow "found".
pub(super) fn check(mut footer: &[u8]) -> Result<(), String> {
    let mut sizes = Sizes::default();
    let read = parquet_thrift::read(&mut footer, FOOTER, &mut sizes);
    read.map_err(|error| format!("a footer with {error}"))
}

/// What was found so far.
#[derive(Default)]
struct Sizes {
    parts: u64,
    chunks: u64,
    /// Of each group that is not complete, how many columns follow.
    open: Vec<u64>,
    /// Columns in the schema, and how many of them were found.
    columns: u64,
    found: u64,
    /// Columns in the one that is being read.
    children: u64,
}

/// Up to `most`, or why not.
fn within(count: u64, most: u64, what: &str, instead: &str) -> io::Result<()> {
    if count <= most {
        return Ok(());
    }
    Err(io::Error::other(format!("more than {most} {what}: write the file again with {instead}")))
}

impl Visit for Sizes {
    fn number(&mut self, place: &[i16], value: i64) -> io::Result<()> {
        if let [2, 5] = place {
            // A negative number is none that the format knows.
            self.children = u64::try_from(value).map_err(|_| no_tree())?;
        }
        Ok(())
    }

    fn list(&mut self, place: &[i16], length: u64) -> io::Result<()> {
        match place {
            [2] => {
                within(length, COLUMNS, "columns", "those of trades alone")?;
                self.columns = length;
            }
            [4, 1] => {
                self.chunks = self.chunks.saturating_add(length);
                within(self.chunks, CHUNKS, "columns in all row groups", "larger row groups")?;
            }
            [5] => within(length, NOTES, "notes of its writer", "fewer of them")?,
            _ => {}
        }
        self.parts = self.parts.saturating_add(length);
        within(self.parts, PARTS, "parts", "larger row groups")
    }

    fn end(&mut self, place: &[i16]) -> io::Result<()> {
        match place {
            [2] => self.column(),
            [] if self.found < self.columns => Err(no_tree()),
            _ => Ok(()),
        }
    }
}

impl Sizes {
    /// A column ends, or the beginning of a group of them.
    fn column(&mut self) -> io::Result<()> {
        match self.open.last_mut() {
            // Complete groups are not kept.
            Some(left) => *left -= 1,
            None if self.found == 0 => {}
            None => return Err(no_tree()),
        }
        self.found += 1;
        let children = std::mem::take(&mut self.children);
        if children > 0 {
            if self.open.len() == DEEPEST {
                let text = format!(
                    "columns more than {DEEPEST} deep within others: write the file again with those of \
                     trades alone"
                );
                return Err(io::Error::other(text));
            }
            self.open.push(children);
        }
        while self.open.last() == Some(&0) {
            self.open.pop();
        }
        if self.found == self.columns && !self.open.is_empty() {
            return Err(no_tree());
        }
        Ok(())
    }
}

fn no_tree() -> io::Error {
    io::Error::other("groups that do not have the columns that they say")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsigned(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    /// A list of structs.
    fn structs(all: &[Vec<u8>]) -> Vec<u8> {
        [vec![0xfc], unsigned(all.len() as u64), all.concat()].concat()
    }

    /// A column, or a group of so many.
    fn column(children: Option<u64>) -> Vec<u8> {
        let name = [0x48, 1, b'x'].to_vec();
        let children = children.map(|children| [vec![0x15], unsigned(2 * children)].concat());
        [name, children.unwrap_or_default(), vec![0]].concat()
    }

    /// A footer of these columns, with row groups of so many columns, and so many notes.
    fn footer(columns: &[Vec<u8>], groups: &[u64], notes: usize) -> Vec<u8> {
        let group = |columns: &u64| {
            let chunks = vec![vec![0]; *columns as usize];
            [vec![0x19], structs(&chunks), vec![0]].concat()
        };
        let groups: Vec<Vec<u8>> = groups.iter().map(group).collect();
        let parts = [
            vec![0x15, 2, 0x19],
            structs(columns),
            vec![0x16, 0, 0x19],
            structs(&groups),
            vec![0x19],
            structs(&vec![vec![0]; notes]),
            vec![0],
        ];
        parts.concat()
    }

    /// A root with so many columns.
    fn flat(columns: u64) -> Vec<Vec<u8>> {
        let root = std::iter::once(column(Some(columns)));
        root.chain((0..columns).map(|_| column(None))).collect()
    }

    /// So many groups within each other.
    fn deep(groups: usize) -> Vec<Vec<u8>> {
        let groups = std::iter::repeat_n(column(Some(1)), groups);
        groups.chain([column(None)]).collect()
    }

    #[test]
    fn footers_within_the_limits_pass() {
        for (columns, groups, notes) in [
            (flat(3), vec![3, 3], 2),
            (flat(0), vec![], 0),
            (flat(COLUMNS - 1), vec![9_999; 25], NOTES as usize),
            (deep(DEEPEST), vec![1], 0),
            // A group behind a complete one.
            ([column(Some(2)), column(Some(1)), column(None), column(None)].to_vec(), vec![], 0),
        ] {
            assert_eq!(check(&footer(&columns, &groups, notes)), Ok(()));
        }
    }

    #[test]
    fn what_is_above_a_limit_is_refused_with_the_limit() {
        for (columns, groups, notes, expected) in [
            (flat(COLUMNS), vec![], 0, "more than 10000 columns: write the file again"),
            (deep(DEEPEST + 1), vec![], 0, "columns more than 32 deep within others"),
            (flat(3), vec![100_000; 3], 0, "more than 250000 columns in all row groups"),
            (flat(3), vec![], NOTES as usize + 1, "more than 10000 notes"),
            (flat(3), vec![0; PARTS as usize], 0, "more than 4000000 parts"),
        ] {
            let error = check(&footer(&columns, &groups, notes)).unwrap_err();
            assert!(error.starts_with(&format!("a footer with {expected}")), "{error}");
        }
    }

    #[test]
    fn groups_have_the_columns_that_they_say() {
        for columns in [
            [column(Some(2)), column(None)].to_vec(),
            [column(Some(1)), column(None), column(None)].to_vec(),
            [column(Some(1 << 30)), column(None)].to_vec(),
            [column(None), column(None)].to_vec(),
        ] {
            let error = check(&footer(&columns, &[], 0)).unwrap_err();
            assert!(error.contains("groups that do not have the columns"), "{error}");
        }
        // Below zero.
        let negative = [0x48, 1, b'x', 0x15, 1, 0].to_vec();
        assert!(check(&footer(&[negative], &[], 0)).is_err());
    }

    #[test]
    fn what_the_library_would_read_in_another_way_is_refused() {
        let columns = structs(&flat(1));
        for begin in [
            // The version as a text, in which the library would find other fields.
            [vec![0x18, 3, 0x19, 0x1c, 0, 0x19], columns.clone()].concat(),
            // The schema as another list, or twice.
            [vec![0x15, 2, 0x19, 0x15, 2], columns.clone()].concat(),
            [vec![0x15, 2, 0x19], columns.clone(), vec![0x09, 4], columns.clone()].concat(),
            // The number of columns as a text; a list of all that is left.
            vec![0x15, 2, 0x19, 0x1c, 0x58, 1, 9, 0],
            vec![0x29, 0xfc, 0xff, 0xff, 0x03],
            vec![0x29, 0xfc, 0x08],
        ] {
            let footer = [begin, vec![0x16, 0, 0]].concat();
            assert!(check(&footer).is_err(), "{footer:x?}");
        }
    }
}

//! What Parquet says of its data: Thrift structs in the compact protocol, read without taking memory.
//!
//! The library reads a field as what its number stands for, whatever type it says it has. Here a type that
//! is not the number's own, a field that comes twice and one out of order are refused: what could be
//! read in two ways is not read, so that the library finds what was found here.

pub(crate) mod shapes;

use std::io;

/// Structs and lists within others.
const DEEPEST: usize = 16;

/// Fields of a struct by number; others are passed over.
pub(crate) type Shape = &'static [(i16, Kind)];

/// What a field is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Truth,
    Byte,
    Number,
    Double,
    Bytes,
    Struct(Shape),
    List(&'static Kind),
}

impl Kind {
    /// Whether a field of this kind says that it is of this type.
    fn is(self, wire: u8) -> bool {
        match self {
            Self::Truth => matches!(wire, 1 | 2),
            Self::Byte => wire == 3,
            Self::Number => matches!(wire, 4..=6),
            Self::Double => wire == 7,
            Self::Bytes => wire == 8,
            Self::List(_) => wire == 9,
            Self::Struct(_) => wire == 12,
        }
    }
}

/// Where bytes come from.
pub(crate) trait Source {
    /// The next one.
    fn byte(&mut self) -> io::Result<u8>;
    /// Passes over so many.
    fn skip(&mut self, length: u64) -> io::Result<()>;
}

impl Source for &[u8] {
    fn byte(&mut self) -> io::Result<u8> {
        let (byte, rest) = self.split_first().ok_or_else(malformed)?;
        *self = rest;
        Ok(*byte)
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(|_| malformed())?;
        *self = self.get(length..).ok_or_else(malformed)?;
        Ok(())
    }
}

/// Takes what is found. Places are the numbers of the fields that lead there; parts of a list have its
/// place.
pub(crate) trait Visit {
    /// A number.
    fn number(&mut self, place: &[i16], value: i64) -> io::Result<()>;

    /// A list of so many parts, which follow.
    fn list(&mut self, _place: &[i16], _length: u64) -> io::Result<()> {
        Ok(())
    }

    /// The end of a struct.
    fn end(&mut self, _place: &[i16]) -> io::Result<()> {
        Ok(())
    }
}

/// What is not Thrift of this kind.
pub(crate) fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what could be read in two ways, or not at all")
}

/// Reads a struct to its end.
///
/// # Errors
/// When it is none, or has more than one meaning; what the visitor says.
pub(crate) fn read(from: &mut impl Source, shape: Shape, to: &mut impl Visit) -> io::Result<()> {
    Walk { from, to, place: Vec::new(), depth: 0 }.fields(shape)
}

struct Walk<'a, S, V> {
    from: &'a mut S,
    to: &'a mut V,
    place: Vec<i16>,
    depth: usize,
}

impl<S: Source, V: Visit> Walk<'_, S, V> {
    fn fields(&mut self, shape: Shape) -> io::Result<()> {
        let mut last = 0i16;
        loop {
            let byte = self.from.byte()?;
            if byte == 0 {
                return self.to.end(&self.place);
            }
            let (step, wire) = (i16::from(byte >> 4), byte & 0x0f);
            let id = match step {
                0 => {
                    i16::try_from(self.number()?).ok().filter(|id| id.checked_sub(last) > Some(15))
                }
                step => last.checked_add(step),
            };
            last = id.ok_or_else(malformed)?;
            self.place.push(last);
            match shape.iter().find(|(id, _)| *id == last) {
                Some((_, kind)) if kind.is(wire) => self.value(*kind)?,
                Some(_) => return Err(malformed()),
                None => self.unknown(wire)?,
            }
            self.place.pop();
        }
    }

    fn value(&mut self, kind: Kind) -> io::Result<()> {
        match kind {
            // A truth is its type.
            Kind::Truth => Ok(()),
            Kind::Byte => self.from.skip(1),
            Kind::Number => {
                let number = self.number()?;
                self.to.number(&self.place, number)
            }
            Kind::Double => self.from.skip(8),
            Kind::Bytes => {
                let length = self.unsigned()?;
                self.from.skip(length)
            }
            Kind::Struct(shape) => self.within(|walk| walk.fields(shape)),
            Kind::List(kind) => self.list(|wire| kind.is(wire).then_some(*kind)),
        }
    }

    /// A field of another version of the format.
    fn unknown(&mut self, wire: u8) -> io::Result<()> {
        match wire {
            9 => self.list(of_type),
            wire => self.value(of_type(wire).ok_or_else(malformed)?),
        }
    }

    fn list(&mut self, kind: impl Fn(u8) -> Option<Kind>) -> io::Result<()> {
        let byte = self.from.byte()?;
        let length = match byte >> 4 {
            15 => self.unsigned()?,
            length => length.into(),
        };
        self.to.list(&self.place, length)?;
        if length == 0 {
            return Ok(());
        }
        let kind = kind(byte & 0x0f).ok_or_else(malformed)?;
        self.within(|walk| {
            (0..length).try_for_each(|_| match kind {
                Kind::Truth => walk.from.skip(1),
                kind => walk.value(kind),
            })
        })
    }

    fn within(&mut self, read: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(malformed());
        }
        read(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn unsigned(&mut self) -> io::Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.from.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(malformed())
    }

    fn number(&mut self) -> io::Result<i64> {
        let zigzag = self.unsigned()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }
}

/// What a type is where no number says it: a list in a list is in no version of the format.
fn of_type(wire: u8) -> Option<Kind> {
    match wire {
        1 | 2 => Some(Kind::Truth),
        3 => Some(Kind::Byte),
        4..=6 => Some(Kind::Number),
        7 => Some(Kind::Double),
        8 => Some(Kind::Bytes),
        12 => Some(Kind::Struct(&[])),
        _ => None,
    }
}

//! The beginning of a value from outside, for a message.

use std::borrow::Cow;

/// Bytes of a value that a message shows.
const SHOWN: usize = 500;

/// A value that fits into a message; of one that was cut, the length is said.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN {
        return Cow::Borrowed(text);
    }
    let end = (0..=SHOWN).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    Cow::Owned(format!("{}… ({} bytes)", &text[..end], text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_cut_between_two_characters() {
        let fits = "x".repeat(SHOWN);
        assert_eq!(excerpt(&fits), fits);
        let long = "x".to_owned() + &"ü".repeat(SHOWN);
        assert_eq!(excerpt(&long), format!("x{}… (1001 bytes)", "ü".repeat(249)));
    }
}

//! From a line to its fields.

use std::borrow::Cow;

/// The fields of a line. A field in quotation marks may contain the delimiter; two marks are one.
pub fn split(line: &str, delimiter: u8) -> Vec<Cow<'_, str>> {
    let delimiter = char::from(delimiter);
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match in_quotes(rest.trim_start_matches(' '), delimiter) {
            Some(quoted) => quoted,
            None => match rest.split_once(delimiter) {
                Some((field, after)) => (Cow::Borrowed(field), Some(after)),
                None => (Cow::Borrowed(rest), None),
            },
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return fields,
        }
    }
}

/// A field in quotation marks, and what follows its delimiter; none if it is not in marks, or not
/// all of it: then the marks are a part of it, which no number and no time has.
fn in_quotes(text: &str, delimiter: char) -> Option<(Cow<'_, str>, Option<&str>)> {
    let text = text.strip_prefix('"')?;
    let mut from = 0;
    while let Some(mark) = text[from..].find('"').map(|at| from + at) {
        let after = &text[mark + 1..];
        if after.starts_with('"') {
            from = mark + 2;
            continue;
        }
        let field = Cow::Owned(text[..mark].replace("\"\"", "\""));
        let (beyond, rest) = match after.split_once(delimiter) {
            Some((beyond, rest)) => (beyond, Some(rest)),
            None => (after, None),
        };
        return beyond.trim().is_empty().then_some((field, rest));
    }
    // The mark is never closed: the rest is the field.
    Some((Cow::Owned(text.to_owned()), None))
}

/// What separates the fields of a line: of those that are in use, the most frequent.
pub fn delimiter(line: &str) -> u8 {
    let count = |delimiter: &u8| line.bytes().filter(|byte| byte == delimiter).count();
    // Of equals the last is taken: the comma.
    b"|\t;,".iter().copied().max_by_key(count).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_at_delimiters_outside_of_quotation_marks() {
        assert_eq!(split("a,b,,c", b','), ["a", "b", "", "c"]);
        assert_eq!(split("a;b,c;", b';'), ["a", "b,c", ""]);
        assert_eq!(split("\"a,b\",\"c \"\"d\"\"\", \"e\"", b','), ["a,b", "c \"d\"", "e"]);
        assert_eq!(split("\"a,b", b','), ["a,b"]);
        assert_eq!(split("\"6\"0000,b", b','), ["\"6\"0000", "b"]);
        assert_eq!(split("\"6\" ,b", b','), ["6", "b"]);
        assert_eq!(split("\"a\",\"b\"x", b','), ["a", "\"b\"x"]);
        assert_eq!(split("", b','), [""]);
    }
}

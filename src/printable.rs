//! Text from outside, as it is shown on terminals, in logs and in errors.
//!
//! Names in files and archives, symbols, and what servers say may hold characters that move the cursor,
//! begin a line, or turn the order of letters around: a reader would see something that nobody
//! wrote. They are shown as escapes (`\u{1b}`, `\n`). A text without them stays as it is, and so does one
//! that is escaped already. Secrets of this process are not shown, even when a server repeats them.

use std::borrow::Cow;

use crate::secrets;

/// Whether a character shows as what it is.
fn is_plain(c: char) -> bool {
    let is_hidden = matches!(c,
        // Soft hyphen, letter mark, fillers, separators of Mongolian.
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{ffa0}'
        // Without width, direction of writing, ends of lines and paragraphs, invisible signs.
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        // Invisible letters for machines.
        | '\u{e0000}'..='\u{e0fff}');
    // C0, DEL and C1 are the control characters.
    !c.is_control() && !is_hidden
}

/// A text without any character that does not show: one line, whatever is in it.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// As [`line()`], but line ends before two spaces stay: those of our own lists. Whatever is in the text,
/// no line after the first can pass for one that begins something.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |rest| rest.starts_with("\n  "))
}

/// As [`line()`], but all line ends stay: for texts whose lines are ours.
pub fn page(text: &str) -> Cow<'_, str> {
    escaped(text, |rest| rest.starts_with('\n'))
}

/// A JSON text as it means the same and shows as what it is: what does not show can only be in its strings,
/// where it is an escape.
pub fn json(text: &str) -> Cow<'_, str> {
    let text = secrets::without(text);
    let stays = |c| is_plain(c) || c == '\n';
    if text.chars().all(stays) {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if stays(c) {
            safe.push(c);
            continue;
        }
        // Above 16 bits there are two.
        for unit in c.encode_utf16(&mut [0; 2]) {
            safe.push_str(&format!("\\u{unit:04x}"));
        }
    }
    Cow::Owned(safe)
}

/// Escapes what does not show, unless `stays` says of what begins with it that it may stay.
fn escaped(text: &str, stays: impl Fn(&str) -> bool) -> Cow<'_, str> {
    let text = secrets::without(text);
    if text.chars().all(is_plain) {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        match c {
            c if is_plain(c) => safe.push(c),
            _ if stays(&text[at..]) => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c => safe.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(safe)
}

/// The beginning of a text: at most so many bytes, and no half character.
fn beginning(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A text of which the end is left out where it is too long for a message; then its length is said.
pub fn excerpt(text: &str, most: usize) -> Cow<'_, str> {
    // Secrets are looked for in all of it: `***` is shorter than what it stands for, so that half a
    // secret behind any cut made before could move to where it is shown.
    let shown = secrets::without(text);
    if text.len() <= most {
        return shown;
    }
    Cow::Owned(format!("{}… ({} bytes)", beginning(&shown, most), text.len()))
}

/// As [`excerpt`], of bytes that may not be a text.
pub fn excerpt_of_bytes(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = secrets::without(&text);
    if bytes.len() <= most {
        return shown.into_owned();
    }
    format!("{}… ({} bytes)", beginning(&shown, most), bytes.len())
}

/// Bytes of a response that an error quotes.
const SAID: usize = 300;

/// What a server said instead of what it was asked for.
pub fn said(body: &[u8]) -> String {
    excerpt_of_bytes(body.trim_ascii(), SAID)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_moves_hides_or_turns_is_shown_as_an_escape() {
        for (text, shown) in [
            ("BTCUSDT – größer ✓ 日本", "BTCUSDT – größer ✓ 日本"),
            ("\u{1b}]0;X\u{7}", "\\u{1b}]0;X\\u{7}"),
            ("a\nb\r\nc\td", "a\\nb\\r\\nc\\td"),
            ("\u{9b}31m\u{7f}\0", "\\u{9b}31m\\u{7f}\\u{0}"),
            (
                "\u{202e}gpj.exe\u{2066}\u{200b}\u{feff}",
                "\\u{202e}gpj.exe\\u{2066}\\u{200b}\\u{feff}",
            ),
            ("\u{2028}\u{85}\u{e0041}", "\\u{2028}\\u{85}\\u{e0041}"),
        ] {
            assert_eq!(line(text), shown);
        }
    }

    #[test]
    fn json_means_the_same_and_shows_as_what_it_is() {
        let text = "{\"a\": \"\u{9b}31m\u{202e}\u{7f}\u{e0041}größer\"}\n";
        let shown = json(text);
        assert_eq!(shown, "{\"a\": \"\\u009b31m\\u202e\\u007f\\udb40\\udc41größer\"}\n");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&shown), value(text));
        assert!(matches!(json("{\n  \"ä\": 1\n}"), Cow::Borrowed(_)));
    }

    #[test]
    fn only_lines_of_ours_stay_lines() {
        assert_eq!(lines("two problems:\n  one\n  two"), "two problems:\n  one\n  two");
        assert_eq!(
            lines("x\nerror: all is well\n\thint: y"),
            "x\\nerror: all is well\\n\\thint: y"
        );
        assert_eq!(page("a\tb\nc\rd\n"), "a\\tb\nc\\rd\n");
    }

    #[test]
    fn long_texts_end_at_a_character() {
        assert_eq!(excerpt("short", 5), "short");
        assert_eq!(excerpt("ünf", 1), "… (4 bytes)");
        assert_eq!(excerpt("ünf", 3), "ün… (4 bytes)");
        assert_eq!(excerpt_of_bytes(b"ab\xff", 2), "ab… (3 bytes)");
        assert_eq!(excerpt_of_bytes(b"ab\xff", 3), "ab\u{fffd}");
    }

    #[test]
    fn secrets_are_hidden_before_a_text_is_cut() {
        secrets::keep("sw0rdfish");
        assert_eq!(line("key=sw0rdfish\t."), "key=***\\t.");
        for most in 0..13 {
            let cut =
                [excerpt("key=sw0rdfish.", most), excerpt_of_bytes(b"key=sw0rdfish.", most).into()];
            assert!(!cut.iter().any(|text| text.contains("sw")), "{cut:?}");
        }
        assert_eq!(said(b" no sw0rdfish\n"), "no ***");
    }

    proptest! {
        /// Whatever stands before, between and after: no part of a secret is shown.
        #[test]
        fn no_excerpt_has_a_part_of_a_secret(
            before in "[ .-]{0,80}",
            between in "[ .-]{0,3}",
            times in 0usize..12,
            most in 0usize..700,
        ) {
            let letter = |n: u16| char::from(b'A' + u8::try_from(n * n / 3 % 26).unwrap_or_default());
            let secret: String = (0..64).map(letter).collect();
            secrets::keep(&secret);
            let text = before + &format!("{secret}{between}").repeat(times);
            for shown in [excerpt(&text, most).into_owned(), excerpt_of_bytes(text.as_bytes(), most)] {
                // After the dots the length is told.
                let quoted = shown.split('…').next().unwrap_or_default();
                prop_assert!(!quoted.contains(char::is_alphabetic), "{shown}");
            }
        }

        #[test]
        fn nothing_shown_moves_the_cursor(text in "\\PC*|[\\x00-\\u{a0}\u{200b}-\u{206f}a-c]*") {
            let shown = line(&text);
            prop_assert!(shown.chars().all(is_plain));
            prop_assert_eq!(line(&shown), shown.as_ref());
            let shown = lines(&text);
            prop_assert!(shown.split('\n').skip(1).all(|line| line.starts_with("  ")));
            prop_assert_eq!(page(&text).matches('\n').count(), text.matches('\n').count());
        }
    }
}

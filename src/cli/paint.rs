//! Colours of messages on standard error. They are left out if it is not a terminal or the user does not
//! want them (NO_COLOR, `--color never`).

use std::ffi::OsString;
use std::io::Write;

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;

/// Words that begin a line, and how they look.
const MARKS: [(&str, Style); 6] = [
    ("error", AnsiColor::Red.on_default().bold()),
    ("refused", AnsiColor::Red.on_default()),
    ("damaged", AnsiColor::Red.on_default()),
    ("warning", AnsiColor::Yellow.on_default().bold()),
    ("note", AnsiColor::Cyan.on_default()),
    ("hint", AnsiColor::Green.on_default()),
];

/// The heading of a line of a summary.
const HEADING: Style = Style::new().bold();

/// What was typed about colours, whether the rest of it can be understood or not.
pub(super) fn typed(arguments: &[OsString]) -> ColorChoice {
    let mut typed = ColorChoice::Auto;
    let mut arguments = arguments.iter().map(|argument| argument.to_str().unwrap_or_default());
    while let Some(argument) = arguments.next() {
        let value = match argument.strip_prefix("--color") {
            Some("") => arguments.next(),
            Some(joined) => joined.strip_prefix('='),
            None => None,
        };
        typed = match value {
            Some("always") => ColorChoice::Always,
            Some("never") => ColorChoice::Never,
            Some(_) => ColorChoice::Auto,
            None => typed,
        };
    }
    typed
}

/// Colours from here on.
pub(super) fn choose(choice: ColorChoice) {
    let choice = match choice {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// Says lines on standard error; words such as `error:` at their beginning are coloured.
pub(super) fn say(text: &str) {
    write(text, mark);
}

/// Says the lines of a summary; what they are about is set off as well.
pub(super) fn summarise(text: &str) {
    write(text, |line| mark(line).or_else(|| heading(line)));
}

fn write(text: &str, style: impl Fn(&str) -> Option<(usize, Style)>) {
    let mut painted = String::with_capacity(text.len() + 64);
    for line in text.lines() {
        let (end, style) = style(line).unwrap_or_default();
        let (word, rest) = line.split_at(end);
        painted.extend([
            &style.render().to_string(),
            word,
            &style.render_reset().to_string(),
            rest,
            "\n",
        ]);
    }
    // Nobody is left to be told.
    let _ = anstream::stderr().lock().write_all(painted.as_bytes());
}

/// The word that begins a line with its colon, as a length, and how it looks.
fn mark(line: &str) -> Option<(usize, Style)> {
    let known = |(word, _): &&(&str, Style)| {
        line.strip_prefix(word).is_some_and(|rest| rest.starts_with(": "))
    };
    MARKS.iter().find(known).map(|(word, style)| (word.len() + 1, *style))
}

/// What a line of a summary is about: everything up to the first colon that a space follows.
fn heading(line: &str) -> Option<(usize, Style)> {
    let is_item = line.starts_with(' ');
    line.find(": ").filter(|_| !is_item).map(|end| (end + 1, HEADING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_about_colours_is_found_in_a_command_that_is_wrong() {
        let typed = |text: &str| typed(&text.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(typed("barflow live"), ColorChoice::Auto);
        assert_eq!(typed("barflow --color never live --wrong"), ColorChoice::Never);
        assert_eq!(typed("barflow live --color=always --color never"), ColorChoice::Never);
        assert_eq!(typed("barflow live --color"), ColorChoice::Auto);
    }

    #[test]
    fn the_beginnings_of_lines_are_set_off() {
        let end = |found: Option<(usize, Style)>| found.map(|(end, _)| end);
        assert_eq!(end(mark("note: x: y")), Some(5));
        assert_eq!(end(mark("notes: x")), None);
        assert_eq!(end(heading("binance:spot:BTCUSDT t: 3 bars: x")), Some(23));
        assert_eq!(end(heading("  gaps: 3")), None);
        assert_eq!(end(heading("bars are in x")), None);
    }
}

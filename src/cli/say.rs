//! The only ways in which commands print: nothing from outside reaches a terminal as it is
//! ([`printable`](crate::printable)).

use std::fmt;

use super::paint;
use super::stdout::print;
use crate::printable::{lines, page};

/// Prints a message on standard error, as `eprintln!` does. Lines that begin with two spaces belong to
/// the message before them.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::say::message(format_args!($($text)*)) };
}

/// Prints a line for a person on standard output, as `println!` does.
macro_rules! show {
    ($($text:tt)*) => { $crate::cli::say::result(format_args!($($text)*)) };
}

pub(super) use {say, show};

/// A message on standard error.
pub(super) fn message(text: fmt::Arguments<'_>) {
    paint::say(&lines(&text.to_string()));
}

/// A text of several lines, which are all ours, on standard error.
pub(super) fn report(text: &str) {
    paint::summarise(&page(text));
}

/// A line on standard output. A reader that has closed the pipe has seen enough.
pub(super) fn result(text: fmt::Arguments<'_>) {
    print(&format!("{}\n", lines(&text.to_string())));
}

/// A table or a list on standard output, whose lines are ours.
pub(super) fn table(text: &str) {
    print(&page(text));
}

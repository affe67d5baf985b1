//! The command line: arguments, signals, progress, summaries and exit codes.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done; 1 done but
//! with rows set aside or stopped by bad data; 2 wrong usage, configuration or input files;
//! 3 outside world unavailable; 4 another copy of the job has taken over; 130, 141 and 143 ended by SIGINT, a closed
//! pipe or SIGTERM before all was done.

use std::borrow::Cow;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches};

pub mod archive_server;
pub mod check;
pub mod checkpoints;
pub mod command;
pub mod demo;
mod demo_table;
pub mod diff;
pub mod failure;
pub mod fetch;
pub mod fetch_progress;
pub mod help;
pub mod live;
mod notes;
pub mod options;
mod paint;
pub mod parallel;
pub mod progress;
pub mod quality;
pub mod record;
pub mod replay;
mod say;
mod schema;
pub mod shown;
pub mod signals;
pub mod simulator;
mod status_line;
mod stdout;
pub mod store;
pub mod summary;
pub mod sweep;
pub mod sync_measure;
pub mod sync_plot;
pub mod sync_report;
pub mod synth;
mod taken;
pub mod verify;
mod weak;

use self::command::{Cli, Command};
use self::failure::{Failure, Outcome};
use self::say::say;
use crate::net::url::redacted;
use crate::printable::line;

/// Parses, runs, prints the chain of errors once, and maps the result to an exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let colour = paint::typed(&arguments);
    paint::choose(colour);
    let command = || Cli::command().color(colour);
    let parse = |arguments: &[OsString]| {
        command().try_get_matches_from(arguments).and_then(|matches| {
            let cli = Cli::from_arg_matches(&matches);
            cli.map(|cli| (cli, matches)).map_err(|usage| usage.format(&mut command()))
        })
    };
    let parsed = parse(&arguments).map_err(|usage| {
        // clap quotes what was typed as it is: what does not show is to be escaped before that.
        let shown = |text: &OsString| line(&text.to_string_lossy()).into_owned().into();
        let shown: Vec<OsString> = arguments.iter().map(shown).collect();
        parse(&shown).err().filter(|again| again.kind() == usage.kind()).unwrap_or(usage)
    });
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(usage) => {
            // Help and version are answers on standard output, mistakes go to standard error;
            // clap knows which, and a closed pipe is not an error.
            match redacted(&usage.to_string()) {
                Cow::Owned(shown) => say::report(&shown),
                Cow::Borrowed(_) => drop(usage.print()),
            }
            return ExitCode::from(if usage.use_stderr() { 2 } else { 0 });
        }
    };
    let ended = run(&cli, matches.subcommand().map_or(&matches, |(_, matches)| matches));
    match ended.and_then(all_printed) {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(failure) => {
            say!("error: {}", redacted(&in_words(&failure.error)));
            if let Some(hint) = &failure.hint {
                say!("hint: {hint}");
            }
            ExitCode::from(failure.code)
        }
    }
}

/// A result that did not arrive is none.
fn all_printed(outcome: Outcome) -> Result<Outcome, Failure> {
    match stdout::lost() {
        None => Ok(outcome),
        Some(why) => Err(Failure::outside(anyhow::anyhow!(
            "not everything could be written to standard output: {why}"
        ))),
    }
}

/// An error and its causes, but for those whose words it repeats.
fn in_words(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Runs a command; `matches` are its own options, with where they come from.
fn run(cli: &Cli, matches: &ArgMatches) -> Result<Outcome, Failure> {
    match &cli.command {
        Command::Replay(args) => replay::run(args, matches),
        Command::Diff(args) => diff::run(args, matches),
        Command::Verify(args) => verify::run(args, matches),
        Command::Checkpoints(args) => checkpoints::run(args, matches),
        Command::Sweep(args) => sweep::run(args, matches),
        Command::Quality(args) => quality::run(args),
        Command::SyncReport(args) => sync_report::run(args, matches),
        Command::Live(args) => live::run(args, matches),
        Command::Record(args) => record::run(args),
        Command::Simulator(args) => simulator::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::ArchiveServer(args) => archive_server::run(args),
        Command::Convert(args) => store::convert::run(args),
        Command::Compact(args) => store::compact::run(args),
        Command::Store(args) => store::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Synth(args) => synth::run(args),
        Command::Check(args) => check::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Help(args) => help::run(args, &mut Cli::command()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "barflow", &mut script);
            stdout::print(&String::from_utf8_lossy(&script));
            Ok(Outcome::Done)
        }
    }
}

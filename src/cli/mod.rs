//! The command line: what was typed, what is meant, what came of it.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done; 1 done but
//! with rows set aside or stopped by bad data; 2 wrong usage, configuration or input files;
//! 3 outside world unavailable; 4 another copy of the job has taken over.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

pub mod archive_server;
pub mod args;
pub mod check;
pub mod checkpoints;
pub mod delivery;
pub mod demo;
pub mod diff;
pub mod failure;
pub mod fetch;
pub mod fetch_progress;
pub mod live;
mod live_end;
pub mod mesh;
pub mod parallel;
pub mod progress;
pub mod quality;
pub mod record;
pub mod replay;
pub mod revisions;
pub mod signals;
pub mod simulator;
pub mod sink;
mod source;
pub mod store;
pub mod summary;
pub mod sweep;
pub mod sync_plot;
pub mod sync_report;
pub mod synth;
pub mod verify;

use self::args::{Cli, Command};
use self::failure::{Failure, Outcome};

/// Parses, runs, prints the chain of errors once, and maps the result to an exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(usage) => {
            // Help and version are answers on standard output, mistakes go to standard error;
            // clap knows which, and a closed pipe is no reason to complain.
            let _ = usage.print();
            return ExitCode::from(if usage.use_stderr() { 2 } else { 0 });
        }
    };
    match run(cli) {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(failure) => {
            eprintln!("error: {:#}", failure.error);
            if let Some(hint) = &failure.hint {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(failure.code)
        }
    }
}

fn run(cli: Cli) -> Result<Outcome, Failure> {
    match cli.command {
        Command::Replay(args) => replay::run(*args),
        Command::Diff(args) => diff::run(&args),
        Command::Verify(args) => verify::run(*args),
        Command::Checkpoints(args) => checkpoints::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Quality(args) => quality::run(&args),
        Command::SyncReport(args) => sync_report::run(*args),
        Command::Live(args) => live::run(*args),
        Command::Record(args) => record::run(*args),
        Command::Simulator(args) => simulator::run(&args),
        Command::Fetch(args) => fetch::run(&args),
        Command::ArchiveServer(args) => archive_server::run(&args),
        Command::Convert(args) => store::convert::run(&args),
        Command::Compact(args) => store::compact::run(&args),
        Command::Store(args) => store::run(&args),
        Command::Synth(args) => synth::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Completions { shell } => {
            let mut command = <Cli as clap::CommandFactory>::command();
            clap_complete::generate(shell, &mut command, "barflow", &mut std::io::stdout());
            Ok(Outcome::Done)
        }
    }
}

/// Writes data to standard output; whoever reads it may have had enough.
fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

//! The `barflow` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    barflow::cli::main(std::env::args_os())
}

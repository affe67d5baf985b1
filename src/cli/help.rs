//! `barflow help`: commands, and topics that belong to no command alone.

use std::fmt::Write as _;

use clap::{Args, Command};

use super::failure::{Failure, Outcome};
use super::stdout::print;
use crate::config::bar_help::{KINDS, KindHelp};

/// `barflow help`.
#[derive(Debug, Args)]
#[command(after_help = "Topics: bars (kinds of bars, their keys and defaults)")]
pub struct HelpArgs {
    /// A command, such as replay or store ls, or a topic: bars
    #[arg(value_name = "COMMAND|TOPIC")]
    pub about: Vec<String>,
}

/// Prints the help of a command of `cli`, or of a topic.
///
/// # Errors
/// Neither a command nor a topic (2).
pub fn run(args: &HelpArgs, cli: &mut Command) -> Result<Outcome, Failure> {
    if args.about == ["bars"] {
        print(&bars());
        return Ok(Outcome::Done);
    }
    cli.build();
    let mut command = cli;
    for name in &args.about {
        command = command.find_subcommand_mut(name).ok_or_else(|| {
            let message = format!("\"{name}\" is not a command or topic");
            Failure::usage(anyhow::anyhow!(message)).hint("`barflow --help` lists the commands")
        })?;
    }
    print(&command.render_long_help().to_string());
    Ok(Outcome::Done)
}

/// A command's examples, followed by the kinds of bars and their keys.
pub fn with_bars(examples: &str) -> String {
    let mut text = format!("{examples}\n\nKinds of bars (--bar NAME=KIND,KEY=VALUE,…) and keys:\n");
    for kind in KINDS {
        let keys: Vec<&str> = kind.keys.iter().map(|key| key.name).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}: {}", kind.names.join(", "), keys.join(", "));
    }
    text + "`barflow help bars` explains the keys, with defaults and examples."
}

/// The topic on bars.
fn bars() -> String {
    let mut text = "\
Bars are described as --bar 'NAME=KIND,KEY=VALUE,…', or in a configuration file:

  [bars.NAME]
  kind = \"KIND\"
  KEY = VALUE

NAME is what topics, files and reports call them. Every kind also takes instruments: the bars are
made for these alone (in a file, a list of several).
"
    .to_owned();
    KINDS.iter().for_each(|kind| describe(&mut text, kind));
    text + "\ndocs/BARS.md defines the kinds and shows how they behave.\n"
}

fn describe(text: &mut String, kind: &KindHelp) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\n{}\n  {}", kind.names.join(", "), kind.closes);
    for key in kind.keys {
        let _ = writeln!(text, "    {:16} {} [{}]", key.name, key.what, key.default);
    }
    for example in kind.examples {
        let _ = writeln!(text, "  --bar '{example}'");
    }
}

//! `barflow diff`: are two outputs the same bars?

use clap::{ArgMatches, Args};

use super::failure::{Failure, Outcome};
use super::options::{self, ConfigArgs, RegistryArgs};
use super::say::{say, show};
use super::weak;
use crate::compare::difference::{Rules, compare};
use crate::compare::paired;
use crate::compare::source::read;
use crate::config::kafka::KafkaOptions;
use crate::config::problem::Problems;
use crate::thousands::counted;

const EXAMPLES: &str = "\
Examples:
  barflow diff live.jsonl replay.jsonl
  barflow diff bars/ kafka://localhost:9092/bars.dib
  # a broker that wants TLS or a password, reached as the sink reaches it
  barflow diff --config barflow.toml bars/ kafka://broker:9093/bars.dib
  # bars in avro-confluent: their schema is looked up by its id
  barflow diff --schema-registry http://localhost:8081 bars/ kafka://localhost:9092/bars.dib
  # a live run that started in the middle against the whole history
  barflow diff --synchronise live.jsonl replay.jsonl

Bars with corrections are compared as they are after the last one, without seq, revision and known_time,
which say how an output came about.

Exit codes: 0 equal, 1 different, 2 not bars, 3 cannot be read.";

/// `barflow diff`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DiffArgs {
    /// FILE.jsonl, FILE.parquet, a folder of them, or kafka://HOST:PORT/TOPIC
    #[arg(value_name = "A")]
    pub a: String,

    /// The other one
    #[arg(value_name = "B")]
    pub b: String,

    /// Which configuration file; only its section about Kafka is read.
    #[command(flatten)]
    pub config: ConfigArgs,

    /// Where the schema of bars in Kafka is.
    #[command(flatten)]
    pub registry: RegistryArgs,

    /// Compare from the first bar on that closes on the same trade in the same state
    #[arg(long)]
    pub synchronise: bool,
}

/// Runs the command.
///
/// # Errors
/// When an output cannot be read (3) or is not bars (2).
pub fn run(args: &DiffArgs, matches: &ArgMatches) -> Result<Outcome, Failure> {
    let mut problems = Problems::default();
    let kafka =
        KafkaOptions::of_file(args.config.read()?, options::typed(matches).kafka, &mut problems);
    let kafka = problems.or(kafka)?.settings();
    let is_of_kafka = [&args.a, &args.b].iter().any(|source| source.starts_with("kafka://"));
    if is_of_kafka {
        weak::warn(&kafka);
    }
    // Partitions of a topic come in any order.
    let paired = match args.synchronise || is_of_kafka {
        true => None,
        false => paired::compare(&args.a, &args.b, &kafka)?,
    };
    let rules = Rules { synchronise: args.synchronise, revised: false };
    let verdict = match paired {
        Some(verdict) => verdict,
        None => compare(read(&args.a, &kafka)?, read(&args.b, &kafka)?, rules),
    };
    for remark in &verdict.remarks {
        say!("{remark}");
    }
    for difference in &verdict.differences {
        show!("{difference}");
    }
    if verdict.differences.is_empty() {
        say!("the same: {}", counted(verdict.equal, "bar"));
        Ok(Outcome::Done)
    } else {
        Ok(Outcome::Differs)
    }
}

//! `barflow checkpoints`: shows or deletes the checkpoints of jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use barflow_operators::position::Position;
use barflow_replay::files;
use clap::{ArgMatches, Args, Subcommand, ValueHint};
use serde_json::json;

use super::failure::{Failure, Outcome};
use super::options::{self, BrokerArgs, ConfigArgs};
use super::say::{say, table};
use super::stdout::print_json;
use super::weak;
use crate::checkpoints::job::JobName;
use crate::checkpoints::saved::{Entries, Overview, Saved};
use crate::config::kafka::KafkaOptions;
use crate::config::problem::Problems;
use crate::graph::sink::SinkError;
use crate::job::JobError;
use crate::sinks::journal::checkpoint_beside;
use crate::sinks::kafka::{CheckpointTopic, KafkaSettings, ShardSinks};
use crate::sinks::local_checkpoint::LocalCheckpoint;
use crate::thousands::counted;

const EXAMPLES: &str = "\
Examples:
  # the jobs that have checkpoints in Kafka
  barflow checkpoints list --brokers localhost:9092

  # the position of each instrument of one job
  barflow checkpoints show live --brokers localhost:9092

  # the same for a job that writes a file
  barflow checkpoints show --at bars.jsonl

  # delete a job's checkpoint; a running copy of it is stopped
  barflow checkpoints delete live --brokers localhost:9092";

/// `barflow checkpoints`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckpointsArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do with checkpoints.
#[derive(Debug, Subcommand)]
pub enum What {
    /// List the jobs
    List {
        /// Where.
        #[command(flatten)]
        place: Place,
    },
    /// Show a job's position per instrument and its settings
    Show {
        /// Job name [default: the only job, if there is one]
        job: Option<JobName>,
        /// Where.
        #[command(flatten)]
        place: Place,
    },
    /// Delete a job's checkpoint: it starts from the beginning. Published bars stay
    Delete {
        /// Job
        job: JobName,
        /// Where.
        #[command(flatten)]
        place: Place,
    },
}

/// Where checkpoints are.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// Which configuration file; only its section about Kafka is read.
    #[command(flatten)]
    pub config: ConfigArgs,

    /// Which Kafka cluster.
    #[command(flatten)]
    pub brokers: BrokerArgs,

    /// For a job that writes files: its output file or folder, or the checkpoint beside it
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath, conflicts_with = "brokers")]
    #[arg(help_heading = "Files")]
    pub at: Option<PathBuf>,

    /// Print JSON, not a table
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// When there is no such job (2), or Kafka or the file cannot be read (3).
pub fn run(args: &CheckpointsArgs, matches: &ArgMatches) -> Result<Outcome, Failure> {
    // Options are those of the command's own command.
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    match &args.what {
        What::List { place } => {
            let entries = place.read(matches)?;
            match place.json {
                true => print_json(&list_json(&entries)),
                false => table(&list(&entries)),
            }
        }
        What::Show { job, place } => {
            let entries = place.read(matches)?;
            let jobs = jobs(&entries);
            let mut known = jobs.iter();
            let job = match (job, known.next(), known.next()) {
                (Some(job), ..) if jobs.contains(job) => job.clone(),
                (None, Some(only), None) => only.clone(),
                _ => return Err(no_such_job(job.as_ref(), &jobs)),
            };
            let saved = Saved::understand(&job, &entries).map_err(JobError::from)?;
            match place.json {
                true => print_json(&show_json(&job, &saved)),
                false => table(&show(&job, &saved)),
            }
        }
        What::Delete { job, place } => delete(job, place, matches)?,
    }
    Ok(Outcome::Done)
}

impl Place {
    fn read(&self, matches: &ArgMatches) -> Result<Entries, Failure> {
        if let Some(path) = &self.at {
            return Ok(self.file(path)?.1.entries);
        }
        Ok(CheckpointTopic::open(&self.kafka(matches)?)?.read(|_| true)?)
    }

    fn file(&self, path: &std::path::Path) -> Result<(PathBuf, LocalCheckpoint), Failure> {
        let path = checkpoint_beside(path);
        let found = LocalCheckpoint::read(&path).map_err(JobError::from)?;
        found.map(|found| (path.clone(), found)).ok_or_else(|| {
            Failure::usage(anyhow::anyhow!("there is no checkpoint \"{}\"", path.display()))
        })
    }

    fn kafka(&self, matches: &ArgMatches) -> Result<KafkaSettings, Failure> {
        let mut problems = Problems::default();
        let typed = options::typed(matches).kafka;
        let options = KafkaOptions::of_file(self.config.read()?, typed, &mut problems);
        options.check(&mut problems);
        let options = problems.or(options)?;
        let settings = options.settings();
        weak::warn(&settings);
        Ok(settings)
    }
}

fn jobs(entries: &Entries) -> BTreeSet<JobName> {
    entries.keys().filter_map(|key| JobName::of_key(key)).collect()
}

fn no_such_job(job: Option<&JobName>, jobs: &BTreeSet<JobName>) -> Failure {
    let there = match jobs.len() {
        0 => "there are none".to_owned(),
        _ => jobs.iter().map(|job| format!("\"{job}\"")).collect::<Vec<_>>().join(", "),
    };
    Failure::usage(match job {
        Some(job) => anyhow::anyhow!("there is no job \"{job}\"; jobs: {there}"),
        None => anyhow::anyhow!("which job? {there}"),
    })
}

fn list(entries: &Entries) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for job in jobs(entries) {
        let _ = match Overview::of(&job, entries) {
            Err(error) => writeln!(text, "{job}: cannot be read: {error}"),
            Ok(job_of) if job_of.instruments.is_empty() => {
                writeln!(text, "{job}: nothing applied yet")
            }
            Ok(job_of) => writeln!(
                text,
                "{job}: {}, settings {:08x}, last written by {}",
                counted(job_of.instruments.len() as u64, "instrument"),
                job_of.settings.as_ref().map_or(0, |settings| settings.hash() as u32),
                writer(&job_of),
            ),
        };
    }
    if text.is_empty() { "no job has a checkpoint\n".to_owned() } else { text }
}

fn writer(saved: &Overview) -> String {
    let newest = saved.shards.values().max_by_key(|shard| shard.writer.started);
    newest.map_or_else(|| "this computer".to_owned(), |shard| shard.writer.to_string())
}

fn list_json(entries: &Entries) -> String {
    let jobs = jobs(entries).into_iter().map(|job| match Overview::of(&job, entries) {
        Err(error) => json!({ "job": job.to_string(), "error": error.to_string() }),
        Ok(saved) => json!({
            "job": job.to_string(),
            "instruments": saved.instruments.len(),
            "settings": saved.settings.as_ref().map(|s| format!("{:016x}", s.hash())),
            "shards": saved.shards.len(),
        }),
    });
    lines(jobs)
}

fn lines(values: impl Iterator<Item = serde_json::Value>) -> String {
    values.map(|value| format!("{value}\n")).collect()
}

fn time(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(ns.into())
        .map_or_else(|_| ns.to_string(), |time| time.to_string())
}

fn show(job: &JobName, saved: &Saved) -> String {
    let mut text = format!("job {job}\n");
    // Writing to a String cannot fail.
    for (shard, who) in &saved.shards {
        let _ = writeln!(text, "shard {shard}: {}, {} commits", who.writer, who.committed);
    }
    if let Some(settings) = &saved.settings {
        let _ = writeln!(text, "settings {:016x}", settings.hash());
        for (key, value) in settings.all() {
            let _ = writeln!(text, "  {key} = {value}");
        }
    }
    for (instrument, state) in &saved.instruments {
        let _ = writeln!(text, "{instrument}");
        if let Some(at) = state.position() {
            let _ = writeln!(text, "  applied up to {at}");
        }
        if let Some(last) = state.last_time() {
            let _ = writeln!(text, "  last trade at {}", time(last));
        }
        for (spec, bars) in state.bars() {
            let _ = writeln!(text, "  {}: {}", spec.name(), counted(bars, "bar"));
        }
    }
    text
}

fn show_json(job: &JobName, saved: &Saved) -> String {
    lines(saved.instruments.iter().map(|(instrument, state)| {
        let bars: BTreeMap<String, u64> =
            state.bars().map(|(spec, bars)| (spec.name().to_string(), bars)).collect();
        json!({
            "job": job.to_string(),
            "instrument": instrument.as_str(),
            "position": state.position().map(position),
            "last_time": state.last_time(),
            "bars": bars,
        })
    }))
}

fn position(at: &Position) -> serde_json::Value {
    match at {
        Position::File(at) => json!({
            "source": &*at.source,
            "member": at.member.as_deref(),
            "byte": at.byte,
            "line": at.line,
            "trade_id": at.trade_id,
        }),
        Position::Feed(at) => json!({
            "source": &*at.source,
            "frames": at.frames,
            "trade_id": at.trade_id,
        }),
    }
}

fn delete(job: &JobName, place: &Place, matches: &ArgMatches) -> Result<(), Failure> {
    if let Some(path) = &place.at {
        let (path, checkpoint) = place.file(path)?;
        if !jobs(&checkpoint.entries).contains(job) {
            return Err(no_such_job(Some(job), &jobs(&checkpoint.entries)));
        }
        let lines = checkpoint.live.is_some() && path.with_extension("").is_file();
        let journal = files::open(&path.with_extension(if lines { "" } else { "journal" }));
        if journal.is_ok_and(|journal| journal.try_lock().is_err()) {
            let error = format!("job \"{job}\" is running; stop it first");
            return Err(Failure::from(SinkError::Fenced(error)));
        }
        if checkpoint.live.is_some() && !lines && checkpoint.bars > 0 {
            let error = format!(
                "job \"{job}\" has {} bars that no part holds yet; start it with --reset-state",
                checkpoint.bars
            );
            return Err(Failure::usage(anyhow::anyhow!(error)));
        }
        let live = checkpoint.live;
        LocalCheckpoint { live, ..LocalCheckpoint::default() }.write(&path)?;
        say!("job \"{job}\" starts from the beginning; {} is empty", path.display());
        return Ok(());
    }
    let settings = place.kafka(matches)?;
    let entries = CheckpointTopic::open(&settings)?.read(|_| true)?;
    if !jobs(&entries).contains(job) {
        return Err(no_such_job(Some(job), &jobs(&entries)));
    }
    // A running copy must not write the next checkpoint on top.
    let taken = ShardSinks::take(&settings, job, 0..1, 1, None);
    taken
        .and_then(|mut shard_sinks| shard_sinks.reset())
        .map_err(|error: SinkError| Failure::from(error))?;
    say!("job \"{job}\" starts from the beginning");
    Ok(())
}

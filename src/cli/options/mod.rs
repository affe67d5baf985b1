//! Options that several commands share, each declared once, in groups with a heading of their own.
//!
//! An option that sets a key of the configuration file is named in `KEYS`: what was typed,
//! or set in the environment, becomes a [`Section`] like those of a file, and is understood by the
//! same code.

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::config::replay::Typed;
use crate::config::section::{Section, Value};

mod input;
mod job;
mod output;

pub use input::{
    BarArgs, ConfigArgs, FileArgs, HistoryArgs, LayoutArgs, PartArgs, ReadingArgs, RecordingArgs,
    columns,
};
pub use job::{ClusterArgs, CorrectionArgs, FeedArgs, LoggingArgs, RevisionArgs, ThreadArgs};
pub use output::{
    BrokerArgs, ClosingArgs, ExpectationArgs, KafkaArgs, OutputArgs, QuarantineArgs, RecoveryArgs,
    RegistryArgs, TopicArgs,
};

/// A section of the configuration file that options go over.
#[derive(Clone, Copy)]
enum Table {
    /// `[replay]`, or `[live]` for live feeds.
    Run,
    /// `[sink]`.
    Sink,
    /// `[kafka]`.
    Kafka,
}

/// How the values of an option become the value of its key.
#[derive(Clone, Copy)]
enum Form {
    /// One text.
    Text,
    /// All of them.
    List,
    /// The value of an option without a value.
    Flag(&'static str),
}

/// Ids of options, and the keys that they set. The option is called like its id, and so is
/// its variable in the environment: `batch_rows`, `--batch-rows`, `BARFLOW_BATCH_ROWS`.
const KEYS: &[(&str, Table, &str, Form)] = &[
    ("files", Table::Run, "files", Form::List),
    ("protocol", Table::Run, "protocol", Form::Text),
    ("channel", Table::Run, "channel", Form::Text),
    ("any_host", Table::Run, "any_host", Form::Flag("true")),
    ("instrument", Table::Run, "instrument", Form::Text),
    ("store", Table::Run, "store", Form::Text),
    ("kind", Table::Run, "input", Form::Text),
    ("from", Table::Run, "from", Form::Text),
    ("to", Table::Run, "to", Form::Text),
    ("no_verify", Table::Run, "verify", Form::Flag("false")),
    ("quote", Table::Run, "quote", Form::Text),
    ("flush", Table::Run, "flush", Form::Flag("true")),
    ("empty_bars", Table::Run, "empty_bars", Form::Flag("true")),
    ("contract_size", Table::Run, "contract_size", Form::Text),
    ("columns", Table::Run, "columns", Form::Text),
    ("keep_suspicious", Table::Run, "keep_suspicious", Form::Flag("true")),
    ("workers", Table::Run, "workers", Form::Text),
    ("parallel", Table::Run, "parallel", Form::Text),
    ("hosts", Table::Run, "hosts", Form::Text),
    ("process", Table::Run, "process", Form::Text),
    ("cluster_secret", Table::Run, "cluster_secret", Form::Text),
    ("cluster_timeout", Table::Run, "cluster_timeout", Form::Text),
    ("corrections", Table::Run, "corrections", Form::Text),
    ("revision_window", Table::Run, "revision_window", Form::Text),
    ("quality", Table::Run, "quality", Form::Text),
    ("quarantine", Table::Run, "quarantine", Form::Text),
    ("quarantine_max_rows", Table::Run, "quarantine_max_rows", Form::Text),
    ("quarantine_max_size", Table::Run, "quarantine_max_size", Form::Text),
    ("max_bad", Table::Run, "max_bad", Form::Text),
    ("daily", Table::Run, "daily", Form::Text),
    ("sink_trades", Table::Run, "trades", Form::Text),
    ("no_clobber", Table::Run, "replace", Form::Flag("false")),
    ("order", Table::Run, "order", Form::Text),
    ("reorder_window", Table::Run, "reorder_window", Form::Text),
    ("batch_rows", Table::Run, "batch_rows", Form::Text),
    ("history", Table::Run, "history", Form::List),
    ("history_instrument", Table::Run, "history_instrument", Form::Text),
    ("gaps", Table::Run, "gaps", Form::Text),
    ("on_gap", Table::Run, "on_gap", Form::Text),
    ("record", Table::Run, "record", Form::Text),
    ("report_every", Table::Run, "report_every", Form::Text),
    ("metrics", Table::Run, "metrics", Form::Text),
    ("sink", Table::Sink, "kind", Form::Text),
    ("out", Table::Sink, "out", Form::Text),
    ("int64", Table::Sink, "int64", Form::Text),
    ("progress", Table::Sink, "progress", Form::Text),
    ("roll", Table::Sink, "roll", Form::Text),
    ("delivery", Table::Sink, "delivery", Form::Text),
    ("job", Table::Sink, "job", Form::Text),
    ("commit_interval", Table::Sink, "commit_interval", Form::Text),
    ("if_taken", Table::Sink, "if_taken", Form::Text),
    ("brokers", Table::Kafka, "brokers", Form::Text),
    ("topic", Table::Kafka, "topic", Form::Text),
    ("encoding", Table::Kafka, "encoding", Form::Text),
    ("schema_registry", Table::Kafka, "schema_registry", Form::Text),
    ("schema_registry_login", Table::Kafka, "schema_registry_login", Form::Text),
    ("schema_registry_token", Table::Kafka, "schema_registry_token", Form::Text),
    ("schema_register", Table::Kafka, "schema_register", Form::Text),
    ("key", Table::Kafka, "key", Form::Text),
    ("headers", Table::Kafka, "headers", Form::Text),
    ("create_topics", Table::Kafka, "create_topics", Form::Flag("true")),
    ("current", Table::Kafka, "current", Form::Flag("true")),
    ("progress_topic", Table::Kafka, "progress_topic", Form::Text),
    ("shutdown_timeout", Table::Kafka, "shutdown_timeout", Form::Text),
];

/// What was given for the options of a command, as sections to go over those of its file.
pub fn typed(matches: &ArgMatches) -> Typed {
    let mut typed = Typed::default();
    for (id, table, key, form) in KEYS {
        let section = match table {
            Table::Run => &mut typed.replay,
            Table::Sink => &mut typed.sink,
            Table::Kafka => &mut typed.kafka,
        };
        lay(matches, id, section, key, *form);
    }
    if let Some((bars, _)) = given(matches, "bar_specs") {
        typed.bars = bars;
    }
    typed
}

/// Lays options with one value each over a section: keys that are called like their options.
pub fn lay_all(matches: &ArgMatches, ids: &[&'static str], section: &mut Section) {
    for id in ids {
        lay(matches, id, section, id, Form::Text);
    }
}

fn lay(matches: &ArgMatches, id: &str, section: &mut Section, key: &'static str, form: Form) {
    let Some((values, origin)) = given(matches, id) else { return };
    let value = match (form, values.first()) {
        (Form::Flag(value), _) => Value::Text(value.to_owned()),
        (Form::Text, Some(value)) => Value::Text(value.clone()),
        _ => Value::List(values),
    };
    section.put(key, value, origin);
}

/// The values of an option and where they come from; none if the command does not have it, or
/// nobody gave it.
fn given(matches: &ArgMatches, id: &str) -> Option<(Vec<String>, String)> {
    matches.try_contains_id(id).ok().filter(|contains| *contains)?;
    let origin = match matches.value_source(id)? {
        ValueSource::CommandLine if id == "files" => "FILES".to_owned(),
        ValueSource::CommandLine => format!("--{}", id.replace('_', "-")),
        ValueSource::EnvVariable => format!("BARFLOW_{}", id.to_uppercase()),
        _ => return None,
    };
    // Options are texts: clap has refused what is not Unicode.
    let values = matches.get_raw(id)?.map(|value| value.to_string_lossy().into_owned());
    Some((values.collect(), origin))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::command::Cli;
    use super::*;

    /// What messages say about an option's origin is what clap calls it.
    #[test]
    fn options_are_called_like_their_ids() {
        let cli = Cli::command();
        for name in ["replay", "live", "verify", "sync-report", "sweep", "checkpoints"] {
            let command = cli.find_subcommand(name).unwrap();
            for (id, ..) in KEYS {
                let Some(argument) = command.get_arguments().find(|a| a.get_id() == id) else {
                    continue;
                };
                if let Some(long) = argument.get_long() {
                    assert_eq!(long, id.replace('_', "-"), "{name}");
                }
                if let Some(variable) = argument.get_env() {
                    let named = format!("BARFLOW_{}", id.to_uppercase());
                    assert_eq!(variable.to_str().unwrap(), named, "{name}");
                }
            }
        }
        let replay = cli.find_subcommand("replay").unwrap();
        let live = cli.find_subcommand("live").unwrap();
        for (id, ..) in KEYS {
            let has = |command: &clap::Command| command.get_arguments().any(|a| a.get_id() == id);
            assert!(has(replay) || has(live), "no command has {id}");
        }
    }

    #[test]
    fn an_option_is_not_taken_for_another_whose_name_it_begins() {
        let arguments = ["barflow", "replay", "x.csv", "--sink-trades", "kept", "--no-verify"];
        let matches = Cli::command().try_get_matches_from(arguments).unwrap();
        let (_, matches) = matches.subcommand().unwrap();
        let mut typed = typed(matches);
        assert_eq!(typed.replay.origin_of("trades"), "--sink-trades");
        assert_eq!(typed.replay.origin_of("files"), "FILES");
        let rest = typed.replay.take_rest();
        assert!(rest.iter().any(|(key, value, _)| {
            key == "verify" && *value == Value::Text("false".to_owned())
        }));
        assert!(typed.sink.take_rest().is_empty());
    }

    #[test]
    fn arguments_are_declared_consistently() {
        Cli::command().debug_assert();
    }
}

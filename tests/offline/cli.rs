//! The command as users meet it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Output};
use std::time::Duration;

use crate::support::days::{self, real_days};
use crate::support::process::{Process, barflow};

const DIB: &str = "dib=imbalance,measure=dollar,threshold=wald,target=1000,alpha=0.001,warmup=1000";

fn run(arguments: &[&str]) -> Output {
    barflow().args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs, expects this exit code and these texts on standard error; returns all of it.
fn check(arguments: &[&str], code: i32, wanted: &[&str]) -> String {
    let output = run(arguments);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted:?} in {text:?}");
    }
    text
}

fn synth(folder: &Path, trades: &str, days: &str) -> PathBuf {
    let out = folder.join("days");
    days::synth(&out, &format!("--trades {trades} --days {days}"));
    out
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_demo_makes_bars_from_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let output = run(&["demo", "--trades", "60000", "--out", text(&out)]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("times in UTC"), "{}", stdout(&output));
    assert!(stderr(&output).contains("Next:"));
    let bars = fs::read_to_string(out.join("bars.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(bars.lines().next().unwrap()).unwrap();
    assert_eq!(first["symbol"], "BTCUSDT");
}

#[test]
fn a_real_history_makes_the_same_bars_whatever_the_sink_batch_and_workers() {
    let Some(days) = real_days() else { return };
    let folder = tempfile::tempdir().unwrap();
    let plain = run(&["replay", text(&days), "--bar", DIB]);
    assert!(plain.status.success(), "{}", stderr(&plain));
    let lines: Vec<&str> = std::str::from_utf8(&plain.stdout).unwrap().lines().collect();
    assert!(lines.len() > 300, "{}", lines.len());
    let report = stderr(&plain);
    assert!(report.contains("740,397 trades"), "{report}");
    // A history of any length fits into 150 MiB; this one takes a tenth of that.
    let peak = report.split("peak memory ").nth(1).and_then(|rest| rest.split(' ').next());
    assert!(peak.unwrap().parse::<u32>().unwrap() <= 150, "{report}");
    for more in [
        &["--workers", "2"][..],
        &["--batch-rows", "77"],
        &["--no-verify", "--workers", "3", "--batch-rows", "65536"],
    ] {
        let mut arguments = vec!["replay", text(&days), "--bar", DIB];
        arguments.extend(more);
        assert_eq!(run(&arguments).stdout, plain.stdout, "{more:?}");
    }
    // Into trades Parquet and back.
    let store = folder.path().join("store");
    let kept = run(&["replay", text(&days), "--sink", "none", "--sink-trades", text(&store)]);
    assert!(kept.status.success(), "{}", stderr(&kept));
    let back = run(&["replay", text(&store), "--bar", DIB]);
    assert_eq!(back.stdout, plain.stdout);
    // Into a file, and into Parquet, field by field.
    let file = folder.path().join("bars.jsonl");
    run(&["replay", text(&days), "--bar", DIB, "--out", text(&file)]);
    assert_eq!(fs::read(&file).unwrap(), plain.stdout);
    let parquet = folder.path().join("parquet");
    let written =
        run(&["replay", text(&days), "--bar", DIB, "--sink", "parquet", "--out", text(&parquet)]);
    assert!(written.status.success(), "{}", stderr(&written));
    let path = parquet.join("binance-spot-XBTUSD.dib.parquet");
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(
        fs::File::open(path).unwrap(),
    )
    .unwrap();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    assert_eq!(rows, lines.len());
    let first: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
    use arrow_array::cast::AsArray;
    use arrow_array::types::Float64Type;
    let batch = &batches[0];
    for name in ["open", "vwap", "theta", "threshold", "sigma"] {
        let column = batch.column_by_name(name).unwrap().as_primitive::<Float64Type>();
        assert_eq!(Some(column.value(0)), first[name].as_f64(), "{name}");
    }
    let digests = batch.column_by_name("state_digest").unwrap().as_string::<i32>();
    assert_eq!(first["state_digest"], digests.value(0));
}

#[test]
fn overlapping_files_and_missing_days_are_counted() {
    let Some(days) = real_days() else { return };
    let folder = tempfile::tempdir().unwrap();
    let first = days.join("XBTUSD-trades-2018-01-01.zip");
    let third = days.join("XBTUSD-trades-2018-01-03.zip");
    let copy = folder.path().join("XBTUSD-trades-2018-01-01.zip");
    fs::copy(&first, &copy).unwrap();
    let text = check(
        &["replay", text(&first), text(&copy), text(&third), "--sink", "none", "--bar", DIB],
        0,
        &["duplicates 232,934", "gaps 1 (268,891 ids missing)", "ids 232935 to 501825 are missing"],
    );
    assert!(text.contains("3 files, 471,506 trades"), "{text}");
}

#[test]
fn disorder_repeats_and_jumps_are_put_right_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("A-trades-2024-01-01.csv");
    let row =
        |id: u64, ms: u64| format!("{id},10.5,1.0,10.5,{},true,true\n", 1_704_067_200_000 + ms);
    let rows = [row(2, 2), row(1, 1), row(3, 3), row(3, 3), row(4, 1), row(9, 9), row(10, 10)];
    fs::write(&path, rows.concat()).unwrap();
    let output = run(&["replay", text(&path), "--bar", "t=tick,size=2"]);
    let bars: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<_> = bars.iter().map(|bar| bar["last_trade_id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [2, 4, 10]);
    let report = stderr(&output);
    for wanted in ["duplicates 1", "out of order 1", "time running backwards 1", "ids 5 to 8"] {
        assert!(report.contains(wanted), "{wanted:?} in {report}");
    }
}

#[test]
fn a_source_without_aggressor_says_that_the_tick_rule_steps_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("BCHEUR.csv");
    fs::write(&path, "1672531436,90.5,1.1\n1672531471,90.4,1.0\n1672531472,90.4,1.0\n").unwrap();
    let output = run(&["replay", text(&path), "--bar", "t=tick,size=3"]);
    assert!(stderr(&output).contains("uses the tick rule for t"), "{}", stderr(&output));
    let bar: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&bar["buy_ticks"], &bar["instrument"]), (&1.into(), &"kraken:spot:BCHEUR".into()));
}

#[test]
fn a_bad_row_stops_the_run_or_goes_to_quarantine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("A-trades-2024-01-01.csv");
    let good = |id: u64| format!("{id},10.5,1.0,10.5,1704067200000,true,true\n");
    let rows =
        [good(1), good(2), "3,6l250.1,1,1,1704067200000,true,true\n".into(), good(4), good(5)];
    fs::write(&path, rows.concat()).unwrap();
    let output = run(&["replay", text(&path), "--bar", "t=tick,size=2"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output).lines().count(), 1, "what came before stands");
    let report = stderr(&output);
    assert!(report.contains("A-trades-2024-01-01.csv:3: field \"price\""), "{report}");
    assert!(report.contains("6l250.1") && report.contains("--quarantine"), "{report}");

    let aside = folder.path().join("rows.jsonl");
    let arguments = ["replay", text(&path), "--bar", "t=tick,size=2", "--quarantine", text(&aside)];
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().count(), 2);
    let row: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&aside).unwrap()).unwrap();
    assert_eq!((&row["line"], &row["field"]), (&3.into(), &"price".into()));
    assert_eq!(row["row"], "3,6l250.1,1,1,1704067200000,true,true");
    assert!(stderr(&output).contains("quarantined 1"), "{}", stderr(&output));
}

#[test]
fn wrong_files_are_refused_with_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let days = synth(folder.path(), "3000", "1");
    let zip = days.join("BTCUSDT-trades-2024-03-01.zip");
    let beside = days.join("BTCUSDT-trades-2024-03-01.zip.CHECKSUM");
    fs::write(&beside, format!("{}  x\n", "0".repeat(64))).unwrap();
    let output = run(&["replay", text(&zip)]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    check(&["replay", text(&zip)], 2, &["SHA-256", "expected 0000", "found", "download"]);
    check(&["replay", text(&zip), "--no-verify", "--sink", "none"], 0, &[]);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    check(&["replay", text(&empty)], 2, &["without trade files"]);
    check(&["replay", "no-such-file.zip"], 2, &["there is no file \"no-such-file.zip\""]);
    check(&["replay"], 2, &["no files were named"]);
}

#[test]
fn wrong_settings_are_all_reported_before_anything_is_read() {
    let text = check(
        &[
            "replay",
            "no-such-file.zip",
            "--bar",
            "a=imbalance,alpha=2,target=0,memory=1,tresholt=wald",
            "--bar",
            "b=imbalance,alpha=0,alpha_t=0.1,min=10,max=5",
            "--bar",
            "c=imbalanse",
            "--workers",
            "many",
            "--sink",
            "kafka",
        ],
        2,
        &[
            "unknown key \"tresholt\"",
            "did you mean \"threshold\"",
            "alpha = 2: must be greater than 0 and at most 1",
            "target = 0",
            "memory = 1",
            "alpha = 0",
            "min = 10: must not be above max = 5",
            "did you mean \"imbalance\"",
            "workers = \"many\" is not a whole number",
            "needs brokers",
        ],
    );
    assert!(!text.contains("there is no file"), "{text}");
    check(&["replay", "--nonsense"], 2, &["--nonsense"]);
}

#[test]
fn flags_go_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let days = synth(folder.path(), "3000", "1");
    let config = folder.path().join("c.toml");
    fs::write(
        &config,
        format!("[replay]\nfiles = [{:?}]\n[sink]\nkind = \"nonsense\"\n[bars.x]\nkind = \"tick\"\nsize = 1000\n", text(&days)),
    )
    .unwrap();
    check(&["replay", "--config", text(&config)], 2, &["c.toml:4", "nonsense", "jsonl"]);
    let with = |arguments: &[&str]| {
        let mut command = barflow();
        command.env("BARFLOW_SINK", "parquet").env("BARFLOW_OUT", folder.path().join("p"));
        command.args(["replay", "--config", text(&config)]).args(arguments).output().unwrap()
    };
    let output = with(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(folder.path().join("p/binance-spot-BTCUSDT.x.parquet").exists());
    let output = with(&["--sink", "jsonl", "--out", "-"]);
    assert_eq!(stdout(&output).lines().count(), 3, "{}", stderr(&output));
    let mut command = barflow();
    let output = command.env("BARFLOW_SINK", "oops").args(["replay", "x.csv"]).output().unwrap();
    assert!(stderr(&output).contains("BARFLOW_SINK: kind = \"oops\""), "{}", stderr(&output));
}

#[test]
fn arguments_need_not_be_unicode() {
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"\xff.toml");
    let arguments = ["replay", "x.csv", "--sink", "none", "--config"];
    let output = barflow().args(arguments).arg(odd).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("could not be read"), "{}", stderr(&output));
    let output = barflow().args(["replay", "x.csv", "--sink"]).arg(odd).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}

#[test]
fn commands_list_only_options_that_mean_something_there() {
    let days = ["x.csv"];
    for (command, options) in [
        ("verify", &["--sink", "--delivery", "--hosts", "--sink-trades", "--create-topics"][..]),
        ("sync-report", &["--sink", "--brokers", "--workers", "--parallel", "--quarantine"]),
        ("quality", &["--sink", "--brokers", "--workers", "--bar", "--no-verify"]),
    ] {
        let help = stdout(&run(&[command, "--help"]));
        for option in options {
            assert!(!help.contains(&format!("{option} ")), "{command} {option}");
            check(&[command, days[0], option, "1"], 2, &[option]);
        }
    }
}

/// The headings of a help text, and the options below each.
fn headings(help: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in help.lines() {
        match line.strip_suffix(':').filter(|line| !line.starts_with(' ')) {
            Some(heading) => found.push((heading, Vec::new())),
            None => {
                let option = line.split_whitespace().find(|word| word.starts_with("--"));
                let option = option.filter(|_| line.trim_start().starts_with('-'));
                if let Some((_, options)) = found.last_mut() {
                    options.extend(option);
                }
            }
        }
    }
    found
}

#[test]
fn options_of_a_conversion_are_under_the_headings_where_they_belong() {
    let help = stdout(&run(&["convert", "--help"]));
    let headings = headings(&help);
    let below = |heading: &str| {
        let found = headings.iter().find(|(name, _)| *name == heading);
        found.map(|(_, options)| options.as_slice()).unwrap_or_default()
    };
    let input = ["--instrument", "--contract-size", "--columns", "--keep-suspicious"];
    assert_eq!(below("Input"), input, "{help}");
    assert_eq!(below("Threads and processes"), ["--jobs"], "{help}");
    assert!(below("Options").starts_with(&["--store", "--again"]), "{help}");
}

#[test]
fn every_configuration_in_the_repository_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    let output = barflow().arg("check").args(&files).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output).matches(": ok").count(), files.len());
}

#[test]
fn a_wrong_configuration_names_line_key_and_section() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("c.toml");
    fs::write(&config, "[replay]\nworker = 2\n\n[sinks]\n\n[bars.a]\nkind = \"time\"\n").unwrap();
    let (config, name) = (text(&config), "c.toml");
    check(&["check", config], 2, &[&format!("{name}:4"), "unknown section [sinks]", "[sink]"]);
    fs::write(config, "[replay]\nworker = 2\n[bars.a]\nkind = \"time\"\n").unwrap();
    check(
        &["check", config],
        2,
        &[
            &format!("{name}:2"),
            "\"worker\"",
            "did you mean \"workers\"",
            "needs the key \"every\"",
        ],
    );
    fs::write(config, "[replay\n").unwrap();
    check(&["check", config], 2, &[&format!("{name}:1")]);
}

#[test]
fn unwritable_output_leaves_nothing_under_the_final_name() {
    let folder = tempfile::tempdir().unwrap();
    let days = synth(folder.path(), "3000", "1");
    check(
        &["replay", text(&days), "--out", "/proc/no/such/place.jsonl"],
        3,
        &["could not", "/proc/no/such"],
    );
    // /dev/full takes no byte: the disk is full.
    let full = Path::new("/dev/full");
    if full.exists() {
        let mut command = barflow();
        command.args(["replay", text(&days), "--bar", "t=tick,size=1"]);
        let output = command.stdout(fs::File::create(full).unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert!(stderr(&output).contains("No space left"), "{}", stderr(&output));
        let bars = folder.path().join("bars.jsonl");
        check(&["replay", text(&days), "--bar", "t=tick,size=500", "--out", text(&bars)], 0, &[]);
        let config = folder.path().join("replay.toml");
        fs::write(&config, "[replay]\n").unwrap();
        // Reports as well, one after another.
        for report in [
            &["quality", text(&days)][..],
            &["verify", text(&days), "--bar", "t=tick,size=500", "--against", text(&bars)],
            &["check", text(&config)],
            &["sync-report", text(&days)],
            &["completions", "bash"],
        ] {
            let full = fs::File::create(full).unwrap();
            let output = barflow().args(report).stdout(full).output().unwrap();
            assert_eq!(output.status.code(), Some(3), "{report:?} {}", stderr(&output));
            assert!(stderr(&output).contains("No space left"), "{}", stderr(&output));
        }
    }
}

#[test]
fn a_closed_pipe_ends_a_replay_as_it_ends_other_programs() {
    let folder = tempfile::tempdir().unwrap();
    let days = synth(folder.path(), "200000", "1");
    let (replay, out, first) = stuck(&days);
    drop(out);
    let (code, said) = replay.finish();
    assert!(first.starts_with('{'));
    // 128 + SIGPIPE: not all bars were written.
    assert_eq!(code, Some(141), "{said}");
}

/// A replay whose standard output is a pipe that nobody empties for now: it waits in the middle. With
/// its first bar.
fn stuck(days: &Path) -> (Process, BufReader<ChildStdout>, String) {
    let mut command = barflow();
    command.args(["replay", text(days), "--bar", "t=tick,size=2"]);
    let (process, out) = Process::start_with_pipe(command);
    let (mut out, mut first) = (BufReader::new(out), String::new());
    out.read_line(&mut first).unwrap();
    (process, out, first)
}

#[test]
fn a_signal_ends_a_replay_in_order_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let days = synth(folder.path(), "400000", "2");
    for (signal, expected) in [("TERM", 143), ("INT", 130)] {
        let (replay, mut out, mut lines) = stuck(&days);
        replay.signal(signal);
        out.read_to_string(&mut lines).unwrap();
        let (code, report) = replay.finish();
        assert_eq!(code, Some(expected), "{report}");
        assert!(report.contains(&format!("stopped by SIG{signal}")), "{report}");
        let next = "the output is incomplete; the same command starts from the beginning";
        assert!(report.contains(next), "{report}");
        let bars = lines.lines().count();
        assert!(bars < 400_000, "it stopped early: {bars}");
        // Every bar up to the position that is named, and none beyond.
        let applied: u64 = report
            .split("(trade ")
            .nth(1)
            .and_then(|rest| rest.split(')').next())
            .and_then(|id| id.parse().ok())
            .unwrap();
        let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        let trades = applied + 1 - first["first_trade_id"].as_u64().unwrap();
        assert_eq!(bars as u64, trades / 2, "{report}");
    }
}

/// `timeout` tells its child twice; somebody who presses Ctrl-C again after a while means it.
#[test]
fn an_echo_of_a_signal_is_no_second_one_and_a_second_one_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let days = synth(folder.path(), "100000", "2");
    for pause in [0, 1] {
        let (replay, mut out, mut lines) = stuck(&days);
        let script = format!("kill -TERM {0}; sleep {1}; kill -TERM {0}", replay.id(), pause);
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
        let ends_in_order = pause == 0;
        if ends_in_order {
            // Time for it to die of the second one.
            std::thread::sleep(Duration::from_millis(100));
            out.read_to_string(&mut lines).unwrap();
        }
        let (found, said) = replay.finish();
        assert_eq!(found, Some(143), "{said}");
        assert_eq!(said.contains("the output is incomplete"), ends_in_order, "{said}");
    }
}

#[test]
fn help_teaches_by_example_and_completions_are_made() {
    let help = stdout(&run(&["replay", "--help"]));
    for part in
        ["Examples:", "--bar", "\nInput:\n", "\nKafka:\n", "\nRecovery:\n", "imbalance: measure"]
    {
        assert!(help.contains(part), "{part} in {help}");
    }
    assert!(stdout(&run(&["--help"])).contains("Exit codes"));
    assert!(stdout(&run(&["help"])).contains("Exit codes"));
    assert_eq!(stdout(&run(&["help", "replay"])), help);
    assert!(stdout(&run(&["help", "store", "ls"])).contains("--json"));
    let bars = stdout(&run(&["help", "bars"]));
    assert!(bars.contains("--bar 'hour=time,every=1h'") && bars.contains("[1/target]"), "{bars}");
    check(&["help", "bar"], 2, &["\"bar\" is not a command or topic"]);
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&run(&["completions", shell])).contains("barflow"), "{shell}");
    }
}

/// `examples/embed.rs`, as it is printed in the documentation.
#[path = "../../examples/embed.rs"]
mod embed;

#[test]
fn a_program_runs_a_replay_without_the_command_line() {
    embed::main().unwrap();
}

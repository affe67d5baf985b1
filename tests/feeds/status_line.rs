//! The status line of `barflow live` on a terminal: it redraws itself, tears nothing, and leaves nothing.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::live::Simulator;
use crate::support::process::{barflow, wait_until};

/// Three trades a second of event time.
fn day(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("XBTUSD-trades-2024-03-01.csv");
    let row = |id: u64| {
        let time = 1_709_251_200_000_u64 + id * 333;
        format!("{id},{}.5,1.0,1.0,{time},{},True\n", 100 + id % 7, id.is_multiple_of(3))
    };
    fs::write(&path, (1..100_000).map(row).collect::<String>()).unwrap();
    path
}

/// A command on a terminal of its own, made by `script` of util-linux; none where that is absent. It ends
/// by itself.
fn on_a_terminal(command: &Command, environment: &[(&str, &str)], copy: &Path) -> Option<Command> {
    Command::new("script").arg("--version").stdout(Stdio::null()).status().ok()?;
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap());
    let words: Vec<String> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
    let mut script = Command::new("script");
    script.args(["-qefc", &words.join(" ")]).arg(copy).stdin(Stdio::null()).stdout(Stdio::null());
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        script.env_remove(name);
    }
    script.env("TERM", "xterm-256color").envs(environment.iter().copied());
    Some(script)
}

/// What a terminal shows of these bytes, line by line; and everything that a line was at any time.
fn shown(bytes: &str) -> (Vec<String>, String) {
    let (mut rows, mut row, mut column) = (vec![Vec::new()], 0, 0);
    let mut characters = bytes.chars().peekable();
    let mut ever = String::new();
    while let Some(character) = characters.next() {
        match character {
            '\r' => column = 0,
            '\n' => {
                row += 1;
                rows.resize(rows.len().max(row + 1), Vec::new());
            }
            '\x1b' => {
                // CSI parameters final.
                characters.next_if_eq(&'[');
                let mut number = String::new();
                let last = loop {
                    match characters.next() {
                        Some(last) if last.is_ascii_alphabetic() => break last,
                        Some(part) => number.push(part),
                        None => break 'm',
                    }
                };
                match last {
                    'A' => row -= number.parse::<usize>().unwrap_or(1),
                    'K' if number == "2" => rows[row].clear(),
                    'K' => rows[row].truncate(column),
                    _ => {}
                }
            }
            other => {
                let line = &mut rows[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = other;
                column += 1;
                ever.push(other);
            }
        }
    }
    (rows.into_iter().map(|row| row.into_iter().collect()).collect(), ever)
}

#[test]
fn a_terminal_shows_how_the_job_is_doing_and_keeps_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let day = day(folder.path());
    let simulator = Simulator::start(&["--protocol", "binance-spot", "--rate", "300"], &[&day]);
    let mut live = barflow();
    live.args(["live", "--venue", "binance-spot", "--instrument", "XBTUSD"]);
    live.args(["--at", &simulator.address, "--report-every", "100ms", "--for", "9s"]);
    live.args(["--bar", "v=volume,size=70", "--bar", "t=tick,size=30"]);
    let copy = folder.path().join("copy");
    let Some(mut script) = on_a_terminal(&live, &[], &copy) else { return };
    assert!(script.status().unwrap().success());
    let bytes = fs::read_to_string(&copy).unwrap();
    let (rows, ever) = shown(&bytes);
    for part in [" trades/s · lag ", ".5 · v ", " % · last bar "] {
        assert!(ever.contains(part), "{part}: {bytes}");
    }
    assert!(bytes.contains("\x1b[32m INFO") || bytes.contains("\x1b[32mINFO"), "{bytes}");
    // Everything else is whole, and nothing of the line is left.
    let (mut bars, mut logs) = (0, 0);
    for row in rows.iter().filter(|row| !row.starts_with("Script ")) {
        assert!(!row.contains(" trades/s · "), "{row:?} of {rows:#?}");
        let opens = row.matches("{\"spec\"").count();
        assert!(opens == 0 || opens == 1 && row.starts_with('{') && row.ends_with('}'), "{row}");
        bars += opens;
        let infos = row.matches(" INFO ").count();
        assert!(infos == 0 || infos == 1 && row.starts_with("20"), "{row}");
        logs += infos;
    }
    assert!(bars > 10 && logs > 10, "{bars} {logs} {rows:#?}");
    assert!(rows.iter().any(|row| row.starts_with("binance:spot:XBTUSD t: ")), "{rows:#?}");

    // Without colours where nobody wants them.
    let copy = folder.path().join("plain");
    let mut script = on_a_terminal(&live, &[("NO_COLOR", "1")], &copy).unwrap();
    assert!(script.status().unwrap().success());
    let bytes = fs::read_to_string(&copy).unwrap();
    assert!(bytes.contains(" trades/s · ") && !bytes.contains("\x1b[32m"), "{bytes}");
}

#[test]
fn a_run_that_never_connects_leaves_nothing_either() {
    let folder = tempfile::tempdir().unwrap();
    let mut live = barflow();
    // Nobody is there, so that the job tries on.
    live.args(["live", "--venue", "binance-spot", "--instrument", "XBTUSD"]);
    live.args(["--at", "127.0.0.1:1", "--bar", "t=tick,size=30", "--log", "error"]);
    live.args(["--for", "8s"]);
    let copy = folder.path().join("copy");
    let Some(mut script) = on_a_terminal(&live, &[], &copy) else { return };
    let mut child = script.spawn().unwrap();
    let bytes = || fs::read_to_string(&copy).unwrap_or_default();
    wait_until("the status line", || bytes().contains("not connected · 0.0 trades/s"));
    child.wait().unwrap();
    let (rows, _) = shown(&bytes());
    let line = |row: &&String| row.contains("trades/s · ");
    assert_eq!(rows.iter().find(line), None, "{rows:#?}");
}

#[test]
fn a_pipe_gets_no_status_line_and_no_colours() {
    let folder = tempfile::tempdir().unwrap();
    let day = day(folder.path());
    let simulator = Simulator::start(&["--protocol", "binance-spot", "--rate", "300"], &[&day]);
    let mut process = simulator.listen("--bar t=tick,size=30");
    process.wait_for(20);
    let (code, _, said) = process.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains(['\r', '\x1b']) && !said.contains(" · "), "{said}");
}

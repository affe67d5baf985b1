//! Input of people who mean harm: lengths that are lies, rows without end, names that are orders to a
//! terminal, links where our files are going to be, code named in a configuration.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::archives::{self, day_rows};
use crate::support::process::{run, told};

fn a_day(folder: &Path) -> PathBuf {
    archives::write(folder, "BTCUSDT-trades-2024-03-01", &day_rows(1, 400))
}

const ONCE: [&str; 9] = [
    "replay",
    "--bar",
    "t=tick,size=50",
    "--delivery",
    "exactly-once",
    "--job",
    "j",
    "--out",
    "b.jsonl",
];

#[test]
fn a_length_in_a_journal_is_not_believed_and_a_reset_helps() {
    let folder = tempfile::tempdir().unwrap();
    let day = a_day(folder.path());
    let day = day.to_str().unwrap();
    let once = [&ONCE[..], &[day]].concat();
    told(folder.path(), 0, &once);
    let (bars, journal) = (folder.path().join("b.jsonl"), folder.path().join("b.jsonl.journal"));
    let (whole, made) = (fs::read(&journal).unwrap(), fs::read(&bars).unwrap());
    // The head of an entry has its length in three bytes; a checksum of eight follows the bar.
    let head = u32::from_le_bytes(whole[..4].try_into().unwrap());
    let second = 4 + (head & 0xff_ffff) as usize + 8;
    for (at, length, said) in [
        (0, u32::MAX, "bar 1: its entry claims 4294967295 bytes, and the limit is"),
        (second, 1 << 20, "bar 2: its entry claims 1048576 bytes, and"),
        (second, 1, "is damaged at byte"),
        (0, 0, "is damaged at byte 0, bar 1"),
        // Bytes of the bar itself.
        (second - 13, 0x5555_5555, "is damaged at byte 0, bar 1: its checksum does not match"),
    ] {
        let mut damaged = whole.clone();
        damaged[at..at + 4].copy_from_slice(&length.to_le_bytes());
        fs::write(&journal, damaged).unwrap();
        let told = told(folder.path(), 3, &once);
        assert!(told.contains(said) && told.contains("b.jsonl.journal"), "{told}");
        assert!(told.contains("\nhint: --reset-state makes the bars again\n"), "{told}");
        let output = run(folder.path(), &[&once[..], &["--reset-state"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(
            (fs::read(&journal).unwrap(), fs::read(&bars).unwrap()),
            (whole.clone(), made.clone())
        );
    }
}

/// A day with one good row and many bad ones, in a small archive.
fn flood(folder: &Path, rows: usize, bad: &str) -> String {
    let mut all = vec![day_rows(1, 1).remove(0)];
    all.resize(rows + 1, bad.to_owned());
    archives::write(folder, "BTCUSDT-trades-2024-03-01", &all).to_str().unwrap().to_owned()
}

#[test]
fn a_quarantine_has_a_limit_and_rows_beyond_it_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let day = flood(folder.path(), 3000, "1");
    let set_aside = ["replay", "--bar", "t=tick,size=2", "--sink", "none", "--quarantine", "q"];
    let path = folder.path().join("q");
    for (limit, value, lines, left) in [
        ("--quarantine-max-rows", "5", 5, "2,995 more had no room there"),
        ("--quarantine-max-rows", "0", 0, "3,000 more had no room there"),
        ("--quarantine-max-size", "1KB", 0, " more had no room there"),
        ("--quarantine-max-rows", "3000", 3000, ""),
    ] {
        let _ = fs::remove_file(&path);
        let said = told(folder.path(), 1, &[&set_aside[..], &[&day, limit, value]].concat());
        assert!(said.contains("quarantined 3,000") && said.contains(left), "{said}");
        let full = said.matches("further lines are only counted").count();
        assert_eq!(full, usize::from(!left.is_empty()), "{said}");
        let kept = fs::read_to_string(&path).unwrap();
        match limit {
            "--quarantine-max-size" => assert!(kept.len() <= 1024 && kept.len() > 500, "{kept}"),
            _ => assert_eq!(kept.lines().count(), lines),
        }
    }
    let config = folder.path().join("run.toml");
    let text = "[replay]\nquarantine = \"q\"\nquarantine_max_rows = 7\nquarantine_max_size = \"1MB\"\n\
                [sink]\nkind = \"none\"\n[bars.t]\nkind = \"tick\"\nsize = 2\n";
    fs::write(&config, text).unwrap();
    fs::remove_file(&path).unwrap();
    told(folder.path(), 1, &["replay", "--config", "run.toml", &day]);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 7);
    let wrong = [&set_aside[..], &[&day, "--quarantine-max-size", "much"]].concat();
    assert!(told(folder.path(), 2, &wrong).contains("not a size such as 100MB"));
}

#[test]
fn an_input_most_of_whose_rows_are_bad_is_not_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let day = flood(folder.path(), 200_000, "1");
    let replay = ["replay", "--bar", "t=tick,size=2", "--sink", "none", "--quarantine", "q", &day];
    let said = told(folder.path(), 1, &replay);
    assert!(said.contains("error: 10,000 of the 10,001 rows read so far are bad"), "{said}");
    assert!(said.contains("more than 50%") && said.contains("--max-bad 100%"), "{said}");
    let said = told(folder.path(), 1, &[&replay[..], &["--max-bad", "100%"]].concat());
    assert!(said.contains("quarantined 200,000"), "{said}");
    let wrong = told(folder.path(), 2, &[&replay[..], &["--max-bad", "half"]].concat());
    assert!(wrong.contains("max_bad = \"half\": not a percentage"), "{wrong}");
}

#[test]
fn a_row_that_is_too_long_to_show_is_cut_with_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let row = format!("7,{},1,1,1,True,True", "9".repeat(100_000));
    let day = flood(folder.path(), 1, &row);
    let replay = ["replay", "--bar", "t=tick,size=2", "--sink", "none", &day];
    let said = told(folder.path(), 1, &replay);
    assert!(said.contains("… (100000 bytes)") && said.len() < 3000, "{said}");
    told(folder.path(), 1, &[&replay[..], &["--quarantine", "q"]].concat());
    let kept = fs::read_to_string(folder.path().join("q")).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["row"], format!("{}… (100018 bytes)", &row[..4096]));
}

/// Checks that a text for a person moves no cursor, and begins no line that is not ours.
fn assert_plain(told: &[u8]) -> String {
    let told = String::from_utf8(told.to_vec()).unwrap();
    let wrong = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!told.contains(wrong), "{told:?}");
    assert!(!told.lines().any(|line| line.starts_with("forged")), "{told}");
    told
}

#[test]
fn what_data_and_names_hold_never_reaches_a_terminal_as_it_is() {
    const EVIL: &str = "\u{1b}]0;PWNED\u{7}\u{1b}[2J\u{9b}31m\u{202e}";
    let folder = tempfile::tempdir().unwrap();
    let replay = ["replay", "--bar", "t=tick,size=2"];
    let field = folder.path().join("X-trades-2024-03-01.csv");
    fs::write(&field, format!("1,{EVIL}61000,1,1,1709251200000,True,True\n")).unwrap();
    let output = run(folder.path(), &[&replay[..], &[field.to_str().unwrap()]].concat());
    let said = assert_plain(&output.stderr);
    assert!(said.contains("\\u{1b}]0;PWNED\\u{7}\\u{1b}[2J\\u{9b}31m\\u{202e}61000"), "{said}");

    // The name of a member of an archive whose sum is wrong, and of a file.
    let member = format!("a{EVIL}\nforged.csv");
    let zip = folder.path().join("U-trades-2024-03-01.zip");
    let mut writer = zip::ZipWriter::new(fs::File::create(&zip).unwrap());
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    writer.start_file(&member, stored).unwrap();
    writer.write_all(day_rows(1, 3).join("\n").as_bytes()).unwrap();
    writer.finish().unwrap();
    let mut bytes = fs::read(&zip).unwrap();
    let at = bytes.windows(5).position(|bytes| bytes == b",True").unwrap();
    bytes[at + 1] = b'X';
    fs::write(&zip, bytes).unwrap();
    let output = run(folder.path(), &[&replay[..], &[zip.to_str().unwrap()]].concat());
    let said = assert_plain(&output.stderr);
    assert!(said.contains("\\u{1b}]0;PWNED") && said.contains("\\nforged"), "{said}");

    let name = "\u{1b}]0;X\u{7}\u{9b}31m\u{202e}\r\nforged: all is well.csv".to_owned();
    fs::write(folder.path().join(&name), "neither\nof these\n").unwrap();
    let said = assert_plain(&run(folder.path(), &[&replay[..], &[name.as_str()]].concat()).stderr);
    assert!(said.contains("\\nforged: all is well.csv"), "{said}");
    for command in [&["check"][..], &["quality"], &["convert", "--store", "s"], &["diff", "a"]] {
        let output = run(folder.path(), &[command, &[name.as_str()]].concat());
        assert!(!output.status.success());
        assert_plain(&output.stderr);
        assert_plain(&output.stdout);
    }
}

#[test]
fn what_was_typed_wrongly_is_quoted_with_escapes() {
    const EVIL: &str = "\u{1b}]0;PWNED\u{7}\u{1b}[2J\u{202e}\nforged: all is well";
    let folder = tempfile::tempdir().unwrap();
    let flag = format!("--{EVIL}");
    let value = format!("--threads={EVIL}");
    for arguments in [
        &["replay", flag.as_str()][..],
        &[EVIL],
        &["sweep", "x", &value, EVIL, "--holdout"],
        &["store", EVIL],
        &["convert", "--store", "s", "--jobs", EVIL],
    ] {
        for colour in ["never", "always"] {
            let output = run(folder.path(), &[&["--color", colour][..], arguments].concat());
            assert_eq!(output.status.code(), Some(2), "{arguments:?}");
            let said = String::from_utf8(output.stderr).unwrap();
            for raw in ["\u{1b}]", "\u{7}", "\u{1b}[2J", "\u{202e}", "\nforged"] {
                assert!(!said.contains(raw), "{arguments:?}: {said:?}");
            }
            assert!(said.contains("\\u{1b}]0;PWNED") || arguments[0] == "sweep", "{said:?}");
        }
    }
}

#[test]
fn a_feed_is_not_named_by_what_does_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[feeds.\"a\\u001B[2J\"]\nvenue = \"binance-spot\"\ninstruments = [\"BTCUSDT\"]\n\
                [bars.t]\nkind = \"tick\"\nsize = 2\n";
    fs::write(folder.path().join("live.toml"), text).unwrap();
    let output = run(folder.path(), &["check", "live.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let said = assert_plain(&output.stderr);
    assert!(said.contains("the name has characters that do not show"), "{said}");
}

#[test]
fn names_in_a_configuration_make_no_lines_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for venue in ["nowhere", "binance-spot"] {
        let feed = "[feeds.\"a\\nforged: \\u001B[2J\"]";
        writeln!(
            text,
            "{feed}\nvenue = \"{venue}\"\ninstruments = [\"BTCUSDT\\u001B[2J\\nforged\"]"
        )
        .unwrap();
        text += "[bars.t]\nkind = \"tick\"\nsize = 2\n";
        fs::write(folder.path().join("live.toml"), &text).unwrap();
        for command in [&["check"][..], &["live", "--config"]] {
            let output = run(folder.path(), &[command, &["live.toml"]].concat());
            assert_eq!(output.status.code(), Some(2));
            let said = assert_plain(&output.stderr);
            assert!(said.contains("\\u{1b}[2J") || venue == "nowhere", "{said}");
        }
        text.clear();
    }
}

#[test]
fn no_code_that_a_configuration_names_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let day = a_day(folder.path());
    for property in [
        "plugin.library.paths",
        "ssl.engine.location",
        "ssl.providers",
        "sasl.kerberos.kinit.cmd",
        "sasl.oauthbearer.token.endpoint.url",
        "offset.store.path",
    ] {
        let text = format!(
            "[sink]\nkind = \"kafka\"\n[kafka]\nbrokers = \"127.0.0.1:1\"\n[kafka.properties]\n\
             \"{property}\" = \"./missing.so\"\n[bars.t]\nkind = \"tick\"\nsize = 2\n"
        );
        fs::write(folder.path().join("kafka.toml"), text).unwrap();
        for command in [
            &["check", "kafka.toml"][..],
            &["replay", "--config", "kafka.toml", day.to_str().unwrap()],
        ] {
            let said = told(folder.path(), 2, command);
            let wanted = format!("kafka property \"{property}\" is not allowed: it ");
            assert!(said.contains(&wanted), "{said}");
        }
    }
}

#[test]
fn files_of_ours_are_not_written_through_links() {
    let folder = tempfile::tempdir().unwrap();
    let day = a_day(folder.path());
    let day = day.to_str().unwrap();
    let precious = folder.path().join("precious");
    fs::write(&precious, "precious\n").unwrap();
    symlink("precious", folder.path().join("b.jsonl.journal")).unwrap();
    let said = told(folder.path(), 3, &[&ONCE[..], &[day]].concat());
    assert!(said.contains("b.jsonl.journal") && said.contains("symbolic link"), "{said}");
    for name in ["conversions.lock", "conversions.jsonl"] {
        let store = folder.path().join(name.replace('.', "-"));
        fs::create_dir(&store).unwrap();
        symlink("../precious", store.join(name)).unwrap();
        let said = told(folder.path(), 3, &["convert", "--store", store.to_str().unwrap(), day]);
        assert!(said.contains(name), "{said}");
    }
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious\n");
}

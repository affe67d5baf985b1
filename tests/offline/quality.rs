//! `barflow quality` as users meet it: each expectation is broken once.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::days::{real_days, synth};
use crate::support::process::barflow;
use crate::support::spoiled::{Row, as_parquet, days, rewrite, write};
use serde_json::Value;

const SUITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/quality.toml");

fn quality(arguments: &[&str], files: &[PathBuf]) -> Output {
    barflow().arg("quality").args(arguments).args(files).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(arguments: &[&str], files: &[PathBuf]) -> (Value, Option<i32>) {
    let arguments = [&["--json", "-", "--suite", SUITE], arguments].concat();
    let output = quality(&arguments, files);
    let value = serde_json::from_str(&stdout(&output));
    (value.unwrap_or_else(|_| panic!("{}", stderr(&output))), output.status.code())
}

/// Broken expectations with their offenders, of the only instrument.
fn broken(report: &Value) -> Vec<(String, u64)> {
    assert_eq!(report["instruments"].as_array().unwrap().len(), 1);
    let expectations = report["instruments"][0]["expectations"].as_array().unwrap();
    let found = expectations.iter().filter(|e| e["offenders"].as_u64().unwrap() > 0);
    found
        .map(|e| (e["expectation"].as_str().unwrap().to_owned(), e["offenders"].as_u64().unwrap()))
        .collect()
}

/// Rows (or files) of the only instrument that an expectation was checked on.
fn rows(report: &Value, name: &str) -> u64 {
    let all = report["instruments"][0]["expectations"].as_array().unwrap();
    all.iter().find(|e| e["expectation"] == name).unwrap()["rows"].as_u64().unwrap()
}

fn spoiled(n: usize, spoil: impl FnOnce(&mut Vec<Vec<Row>>)) -> (Vec<(String, u64)>, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    let mut all = days(n, 20_000);
    spoil(&mut all);
    let (report, code) = json(&[], &write(folder.path(), &all));
    assert_eq!(report["passes"], code == Some(0));
    (broken(&report), code)
}

fn one(name: &str, offenders: u64) -> Vec<(String, u64)> {
    vec![(name.to_owned(), offenders)]
}

fn time(row: &Row) -> i64 {
    row[4].parse().unwrap()
}

#[test]
fn clean_days_pass() {
    assert_eq!(spoiled(2, |_| ()), (vec![], Some(0)));
}

#[test]
fn rows_that_are_missing_repeated_or_out_of_order_are_told_apart() {
    assert_eq!(spoiled(1, |days| drop(days[0].drain(100..103))), (one("no_id_gaps", 1), Some(0)));
    let twice = |days: &mut Vec<Vec<Row>>| {
        let row = days[0][100].clone();
        days[0].insert(101, row);
    };
    assert_eq!(spoiled(1, twice), (one("no_duplicate_ids", 1), Some(1)));
    let swap = |days: &mut Vec<Vec<Row>>| {
        let at = (100..).find(|at| time(&days[0][*at]) == time(&days[0][at + 1])).unwrap();
        days[0].swap(at, at + 1);
    };
    assert_eq!(spoiled(1, swap), (one("ids_in_order", 1), Some(1)));
}

#[test]
fn times_that_run_backwards_or_away_are_told_apart() {
    let back = |days: &mut Vec<Vec<Row>>| {
        let row = days[0].iter_mut().skip(3000).find(|row| time(row) % 86_400_000 > 1000).unwrap();
        row[4] = (time(row) - 60_000).to_string();
    };
    assert_eq!(spoiled(1, back), (one("time_monotone", 1), Some(1)));
    for away in [-40 * 86_400_000, 40 * 86_400_000] {
        let stray = |days: &mut Vec<Vec<Row>>| {
            days[0][3000][4] = (time(&days[0][3000]) + away).to_string();
        };
        assert_eq!(spoiled(2, stray), (one("time_inside_day", 1), Some(1)), "{away}");
    }
}

#[test]
fn values_out_of_bounds_are_told_apart() {
    let put = |column: usize, value: &'static str| {
        move |days: &mut Vec<Vec<Row>>| days[0][3000][column] = value.to_owned()
    };
    let (found, code) = spoiled(1, put(1, "-5"));
    let missing = ("no_id_gaps".to_owned(), 1);
    let expected = [missing.clone(), ("rows_valid".into(), 1), ("price_positive".into(), 1)];
    assert_eq!((found, code), (expected.to_vec(), Some(1)));
    let (found, _) = spoiled(1, put(2, "-1"));
    let expected = [missing.clone(), ("rows_valid".into(), 1), ("qty_within".into(), 1)];
    assert_eq!(found, expected);
    let (found, _) = spoiled(1, put(2, "oops"));
    assert_eq!(found, [missing, ("rows_valid".into(), 1)]);
    assert_eq!(spoiled(1, put(3, "1.0")), (one("quote_is_product", 1), Some(1)));
    let dear = |days: &mut Vec<Vec<Row>>| {
        let row = &mut days[0][3000];
        let (price, qty): (f64, f64) = (row[1].parse().unwrap(), row[2].parse().unwrap());
        (row[1], row[3]) = ((price * 1.5).to_string(), (price * 1.5 * qty).to_string());
    };
    assert_eq!(spoiled(1, dear), (one("price_near_median", 1), Some(0)));
    let large = |days: &mut Vec<Vec<Row>>| {
        let row = &mut days[0][3000];
        let price: f64 = row[1].parse().unwrap();
        (row[2], row[3]) = ("2000000000".to_owned(), (price * 2e9).to_string());
    };
    assert_eq!(spoiled(1, large), (one("qty_within", 1), Some(1)));
    let bought = |days: &mut Vec<Vec<Row>>| {
        days[0].iter_mut().for_each(|row| row[5] = "False".to_owned());
    };
    assert_eq!(spoiled(1, bought), (one("aggressor_share", 1), Some(0)));
}

#[test]
fn stretches_without_trades_are_told_apart() {
    let quiet = |days: &mut Vec<Vec<Row>>| {
        let noon = time(&days[0][0]) / 86_400_000 * 86_400_000 + 43_200_000;
        let later = days[0].iter_mut().filter(|row| (noon..noon + 700_000).contains(&time(row)));
        later.for_each(|row| row[4] = (noon + 700_000).to_string());
    };
    assert_eq!(spoiled(1, quiet), (one("no_silence", 1), Some(0)));
    let (found, code) = spoiled(3, |days| days[1].clear());
    let expected = [("no_missing_days", 1), ("no_id_gaps", 1), ("no_silence", 1)];
    assert_eq!(found, expected.map(|(name, n)| (name.to_owned(), n)));
    assert_eq!(code, Some(1));
    let slow = |days: &mut Vec<Vec<Row>>| {
        // All but a few trades of an hour come in the next one.
        let from = time(&days[3][0]) / 86_400_000 * 86_400_000 + 43_200_000;
        let hour = days[3].iter_mut().filter(|row| (from..from + 3_600_000).contains(&time(row)));
        for (n, row) in hour.enumerate() {
            row[4] = match n {
                0..7 => (from + n as i64 * 550_000).to_string(),
                _ => (from + 3_600_000).to_string(),
            };
        }
    };
    assert_eq!(spoiled(4, slow), (one("trades_per_hour", 1), Some(0)));
}

fn archives(folder: &Path, count: usize) -> Vec<PathBuf> {
    synth(folder, &format!("--trades 20000 --days {count}"))
}

#[test]
fn archives_need_a_checksum_that_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let files = archives(folder.path(), 2);
    assert_eq!(json(&[], &files), (json(&[], &files).0, Some(0)));
    let beside = format!("{}.CHECKSUM", files[0].display());
    fs::remove_file(&beside).unwrap();
    let (report, code) = json(&[], &files);
    assert_eq!((broken(&report), code), (one("checksum_right", 1), Some(1)));
    let example = report["instruments"][0]["expectations"].as_array().unwrap().last().unwrap();
    assert_eq!(example["examples"][0]["day"], "2024-03-01");
    fs::write(&beside, format!("{}  x.zip\n", "0".repeat(64))).unwrap();
    let (report, _) = json(&[], &files);
    assert_eq!(broken(&report), one("checksum_right", 1));
}

#[test]
fn of_a_range_of_days_only_its_files_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let files = archives(folder.path(), 3);
    let (report, code) = json(&["--from", "2024-03-02", "--to", "2024-03-03"], &files);
    assert_eq!((broken(&report), code), (vec![], Some(0)));
    let instrument = &report["instruments"][0];
    assert_eq!(instrument["files"], 1);
    let days = instrument["days"].as_array().unwrap();
    assert_eq!((days.len(), &days[0]["day"]), (1, &"2024-03-02".into()));
    assert_eq!(rows(&report, "checksum_right"), 1);
}

#[test]
fn a_store_is_held_against_its_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let files = archives(&folder.path().join("archive"), 1);
    let sum = fs::read_to_string(format!("{}.CHECKSUM", files[0].display())).unwrap();
    let sum = sum.split(' ').next().unwrap();
    fs::remove_file(format!("{}.CHECKSUM", files[0].display())).unwrap();
    let name = files[0].file_name().unwrap().to_str().unwrap();
    let store = folder.path().to_str().unwrap();
    let judge = |sha256: &str, rows: u64| {
        let line = format!(
            "{{\"path\":\"archive/{name}\",\"state\":\"fetched\",\"sha256\":\"{sha256}\",\"rows\":{rows}}}\n"
        );
        fs::write(folder.path().join("manifest.jsonl"), line).unwrap();
        let (report, code) = json(&["--store", store], &[]);
        (broken(&report), code)
    };
    assert_eq!(judge(sum, 20_000), (vec![], Some(0)));
    assert_eq!(judge(&"0".repeat(64), 20_000), (one("checksum_right", 1), Some(1)));
    assert_eq!(judge(sum, 20_001), (one("rows_as_recorded", 1), Some(1)));
    // What was converted comes before archives.
    let kept = as_parquet(&files, &folder.path().join("kept"));
    let place = folder.path().join("trades/binance/spot/trades/BTCUSDT");
    fs::create_dir_all(&place).unwrap();
    let parquet = place.join("BTCUSDT-trades-2024-03-01.parquet");
    fs::rename(&kept, &parquet).unwrap();
    let (report, code) = json(&["--store", store], &[]);
    assert_eq!((broken(&report), code), (vec![], Some(0)));
    assert_eq!(rows(&report, "rows_as_recorded"), 1);
    // A row is lost, and the seal knows of it.
    let short = folder.path().join("short.parquet");
    rewrite(&parquet, &short, |batch| batch.slice(0, batch.num_rows() - 1));
    let output = quality(&[], &[short]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).starts_with("DAMAGED: "), "{}", stdout(&output));
}

fn convert(store: &Path) {
    let output = barflow().args(["convert", "--store"]).arg(store).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_converted_store_is_judged_by_its_trades_and_its_archives_as_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().to_str().unwrap();
    let files = archives(&folder.path().join("archive"), 2);
    convert(folder.path());
    let judge = || {
        let (report, code) = json(&["--store", store], &[]);
        let judged = ["rows_as_recorded", "checksum_right"].map(|name| rows(&report, name));
        (broken(&report), code, judged[0], judged[1])
    };
    assert_eq!(judge(), (vec![], Some(0), 2, 2));
    fs::write(&files[1], "not an archive any more").unwrap();
    let output = quality(&["--store", store], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).starts_with("DAMAGED: "), "{}", stdout(&output));
    fs::remove_file(&files[1]).unwrap();
    fs::write(format!("{}.CHECKSUM", files[0].display()), format!("{}  x\n", "0".repeat(64)))
        .unwrap();
    assert_eq!(judge(), (one("checksum_right", 1), Some(1), 2, 1));
    // Archives that were converted may go.
    fs::remove_dir_all(folder.path().join("archive")).unwrap();
    assert_eq!(judge(), (vec![], Some(0), 2, 0));
    // The journal knows how many rows each file was made with.
    let journal = folder.path().join("conversions.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text.replacen("\"rows\":20000", "\"rows\":20001", 1)).unwrap();
    assert_eq!(judge(), (one("rows_as_recorded", 1), Some(1), 2, 0));
}

#[test]
fn rows_of_an_archive_are_those_of_its_conversion() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().to_str().unwrap();
    archives(&folder.path().join("archive"), 1);
    convert(folder.path());
    fs::remove_dir_all(folder.path().join("trades")).unwrap();
    assert_eq!(json(&["--store", store], &[]).1, Some(0));
    let journal = folder.path().join("conversions.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text.replace("\"source_rows\":20000", "\"source_rows\":20001")).unwrap();
    let (report, code) = json(&["--store", store], &[]);
    assert_eq!((broken(&report), code), (one("rows_as_recorded", 1), Some(1)));
}

/// Trades that an archive has twice are left out by `convert`, which is no loss.
#[test]
fn repeats_that_were_left_out_break_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().to_str().unwrap();
    let mut all = days(1, 20_000);
    let again = all[0][500].clone();
    all[0].insert(501, again);
    let archive = folder.path().join("archive");
    fs::create_dir(&archive).unwrap();
    let csv = write(folder.path(), &all).remove(0);
    let zipped = fs::File::create(archive.join("BTCUSDT-trades-2024-03-01.zip")).unwrap();
    let mut zipped = zip::ZipWriter::new(zipped);
    let options = zip::write::SimpleFileOptions::default();
    zipped.start_file("BTCUSDT-trades-2024-03-01.csv", options).unwrap();
    zipped.write_all(&fs::read(csv).unwrap()).unwrap();
    zipped.finish().unwrap();
    convert(folder.path());
    let (report, _) = json(&["--store", store], &[]);
    // Nobody published a checksum of it.
    assert_eq!(broken(&report), one("checksum_right", 1));
}

#[test]
fn trades_and_aggregates_of_one_instrument_are_judged_apart() {
    let folder = tempfile::tempdir().unwrap();
    archives(folder.path(), 1);
    synth(folder.path(), "--trades 20000 --kind aggTrades");
    let output = quality(&[], &[folder.path().to_owned()]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    for name in ["binance:spot:BTCUSDT: passes", "binance:spot:BTCUSDT aggTrades: passes"] {
        assert!(stdout(&output).contains(name), "{}", stdout(&output));
    }
}

#[test]
fn a_damaged_file_is_a_finding_and_the_others_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let files = write(folder.path(), &days(2, 20_000));
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&fs::read(&files[0]).unwrap()).unwrap();
    let whole = gz.finish().unwrap();
    let cut = files[0].with_extension("csv.gz");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let output = quality(&["--suite", SUITE], &[cut, files[1].clone()]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("DAMAGED: ") && text.contains("2024-03-02 "), "{text}");
    // One that cannot even be opened.
    let archives = archives(&folder.path().join("zips"), 2);
    fs::write(&archives[0], &fs::read(&archives[0]).unwrap()[..50_000]).unwrap();
    let output = quality(&["--suite", SUITE], &archives);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.starts_with("DAMAGED: ") && text.contains("20,000 trades, 1 day,"), "{text}");
}

#[test]
fn offenders_of_quarantine_expectations_are_all_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = days(1, 20_000);
    for at in (1000..1020).rev() {
        let row = all[0][at].clone();
        all[0].insert(at + 1, row);
    }
    let files = write(folder.path(), &all);
    let suite = folder.path().join("q.toml");
    fs::write(&suite, "[expect.no_duplicate_ids]\nseverity = \"quarantine\"\n").unwrap();
    let aside = folder.path().join("aside.jsonl");
    let arguments = ["--suite", suite.to_str().unwrap(), "--quarantine", aside.to_str().unwrap()];
    let output = quality(&arguments, &files);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let lines = fs::read_to_string(&aside).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 20);
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(line["expectation"], "no_duplicate_ids");
        assert_eq!(line["instrument"], "binance:spot:BTCUSDT");
        assert_eq!(line["day"], "2024-03-01");
        assert_eq!(line["line"], 1002 + 2 * n);
        assert_eq!(line["trade_id"].to_string(), all[0][1001 + 2 * n][0]);
        assert!(line["source"].as_str().unwrap().ends_with("-01.csv"));
    }
}

/// Checks that elements are closed in the order in which they were opened.
fn assert_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let body = page.strip_prefix("<!DOCTYPE html>").unwrap();
    for piece in body.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("unclosed <{piece}"));
        assert!(!text.contains('>'), "{piece}");
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{piece}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_page_needs_nothing_else_and_is_well_formed_whatever_names_files_have() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("<b>&amp;'odd'");
    fs::create_dir(&odd).unwrap();
    let mut all = days(2, 20_000);
    all[0].drain(100..103);
    all[1][50][3] = "7".to_owned();
    let files = write(&odd, &all);
    let page = folder.path().join("report.html");
    let output = quality(&["--html", page.to_str().unwrap()], &files);
    assert_eq!(output.status.code(), Some(1));
    let page = fs::read_to_string(page).unwrap();
    assert_well_formed(&page);
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(page.contains("&lt;b&gt;&amp;amp;&#39;odd&#39;"));
    assert!(
        page.contains("by barflow ") && page.contains("<dt>suite</dt><dd>all expectations"),
        "{page}"
    );
    assert!(page.contains("trade ids follow each other without a gap"), "{page}");
    for reference in ["http", "src=", "href", "url(", "<script", "<b>", "@import"] {
        assert!(!page.contains(reference), "{reference}");
    }
}

#[test]
fn the_table_says_what_is_wrong_and_which_days_are_worst() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = days(3, 20_000);
    all[1].drain(100..103);
    let output = quality(&["--days", "2"], &write(folder.path(), &all));
    assert_eq!(output.status.code(), Some(0), "warnings pass");
    let text = stdout(&output);
    for part in [
        "binance:spot:BTCUSDT: passes; 59,997 trades, 3 days, 3 files",
        "no_id_gaps         warn            3         59,997          1  warn            2024-03-02 trade ",
        "ids ",
        "are missing (3)",
        "2024-03-02.csv:101)",
        "data quality score: 1 of 3 days below 1",
        "and 1 day more (--days N)",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    let worst = text.split("below 1\n").nth(1).unwrap();
    assert!(worst.trim_start().starts_with("binance:spot:BTCUSDT 2024-03-02 0.9999"), "{worst}");
}

#[test]
fn mistakes_of_usage_end_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let suite = folder.path().join("q.toml");
    fs::write(&suite, "[expect.no_silence]\nlonger = \"1m\"\n").unwrap();
    let suite = suite.to_str().unwrap();
    for (arguments, said) in [
        (&["--suite", suite, "x.csv"][..], "q.toml:2: unknown key \"longer\""),
        (&["no-such-file.csv"], "no-such-file.csv"),
        (&["--store", "/no/such/store"], "/no/such/store"),
        (&[], "no files were named"),
        (&["--from", "soon", "x.csv"], "--from: \"soon\""),
        (&["--store", "a", "b"], "cannot be used with"),
    ] {
        let output = quality(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(said), "{said} in {}", stderr(&output));
    }
    let files = write(folder.path(), &days(1, 20_000));
    let output = quality(&["--html", "/proc/no/such/place.html"], &files);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}

#[test]
fn the_suite_in_the_repository_is_the_one_without_a_suite() {
    let written = barflow::config::quality::read(Path::new(SUITE)).unwrap();
    assert_eq!(written, barflow_operators::quality::suite::Suite::usual());
}

#[test]
fn real_days_pass_with_quotes_that_were_rounded() {
    let Some(data) = real_days() else { return };
    let (report, code) = json(&[], &[data]);
    assert_eq!((broken(&report), code), (vec![], Some(0)));
    let instrument = &report["instruments"][0];
    let judged: u64 = instrument["days"]
        .as_array()
        .unwrap()
        .iter()
        .map(|day| day["trades"].as_u64().unwrap())
        .sum();
    assert_eq!(judged, 740_397);
    assert_eq!(rows(&report, "quote_is_product"), judged);
}

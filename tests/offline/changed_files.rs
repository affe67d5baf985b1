//! A job that goes on in files that were changed since it read them: it makes the bars of one run over
//! all files, or says what is wrong.

use std::fmt::Write as _;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::support::process::run;

const MARCH_MS: i64 = 1_709_251_200_000;
const DAY_MS: i64 = 86_400_000;

/// Whether rows have ids of their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ids {
    Venue,
    None,
}

use Ids::Venue;

/// Trades n, n + 1, … with the time of trade n, ms.
fn at(ids: Ids, trades: RangeInclusive<i64>, time: impl Fn(i64) -> i64) -> String {
    trades.fold(String::new(), |mut text, n| {
        let (price, time) = (60_000 + n % 7, time(n));
        match ids {
            Venue => writeln!(text, "{n},{price},0.5,1,{time},True,True"),
            Ids::None => writeln!(text, "{}.{:03},{price},0.5", time / 1000, time % 1000),
        }
        .unwrap();
        text
    })
}

pub fn second(n: i64) -> i64 {
    MARCH_MS + n * 1000
}

fn rows(ids: Ids, trades: RangeInclusive<i64>) -> String {
    at(ids, trades, second)
}

pub struct Job {
    folder: TempDir,
    ids: Ids,
}

impl Job {
    pub fn new(ids: Ids) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("d")).unwrap();
        Self { folder, ids }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file below the folder that is read; the name of its part a day has its place.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join("d").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn add(&self, name: &str, trades: RangeInclusive<i64>) {
        self.write(name, &rows(self.ids, trades));
    }

    fn replay(&self, more: &[&str]) -> Output {
        let instrument = match self.ids {
            Venue => "binance:spot:BTCUSDT",
            Ids::None => "kraken:spot:XBTUSD",
        };
        let all = ["replay", "d", "--instrument", instrument, "--bar", "t=tick,size=1"];
        run(self.path(), &[&all[..], more].concat())
    }

    /// Runs the job: its exit code, bars so far, and what it said.
    pub fn run(&self, more: &[&str]) -> (Option<i32>, usize, String) {
        let once = ["--sink", "jsonl", "--delivery", "exactly-once", "--out", "o.jsonl"];
        let output = self.replay(&[&once[..], more].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), self.bars().lines().count(), said)
    }

    pub fn bars(&self) -> String {
        fs::read_to_string(self.path().join("o.jsonl")).unwrap_or_default()
    }

    /// Runs it; it must end well, with so many bars.
    fn good(&self, bars: usize) {
        let (code, found, said) = self.run(&[]);
        assert_eq!((code, found), (Some(0), bars), "{said}");
    }

    /// Runs it; it must be refused and say all this, and leave the bars as they are. Then it begins
    /// again with all files.
    fn refused(&self, words: &[&str], all: usize) {
        let before = self.bars();
        let (code, _, said) = self.run(&[]);
        assert_eq!(code, Some(2), "{said}");
        for word in [words, &["--reset-state"]].concat() {
            assert!(said.contains(word), "{word}: {said}");
        }
        assert_eq!(self.bars(), before);
        let (code, bars, said) = self.run(&["--reset-state"]);
        assert_eq!((code, bars), (Some(0), all), "{said}");
        self.same_as_one_run();
    }

    fn same_as_one_run(&self) {
        let one = String::from_utf8(self.replay(&[]).stdout).unwrap();
        assert!(self.bars() == one, "{}\n{one}", self.bars());
    }
}

#[test]
fn a_day_that_was_missing_is_refused_when_it_comes_and_may_stay_away() {
    let job = Job::new(Venue);
    job.add("a.csv", 1..=10);
    job.add("c.csv", 21..=30);
    job.good(20);
    job.add("b.csv", 11..=20);
    let before = job.bars();
    job.refused(&["d/b.csv:1 has trade 11", "leave this file out"], 30);
    // The bars of the first run, without it.
    let job = Job::new(Venue);
    job.add("a.csv", 1..=10);
    job.add("c.csv", 21..=30);
    job.good(20);
    assert_eq!(job.bars(), before);
    job.add("e.csv", 31..=35);
    job.good(25);
}

#[test]
fn a_job_that_continues_does_not_say_that_its_file_is_replaced() {
    let job = Job::new(Venue);
    job.add("a.csv", 1..=10);
    job.good(10);
    job.add("b.csv", 11..=20);
    let (code, bars, said) = job.run(&[]);
    assert_eq!((code, bars), (Some(0), 20), "{said}");
    assert!(!said.contains("is replaced"), "{said}");
    let (code, bars, said) = job.run(&["--reset-state"]);
    assert_eq!((code, bars), (Some(0), 20), "{said}");
    assert!(said.contains("o.jsonl of an earlier run is replaced"), "{said}");
}

#[test]
fn a_hole_in_a_file_that_is_filled_later_is_refused() {
    let job = Job::new(Venue);
    job.write("a.csv", &(rows(Venue, 1..=40) + &rows(Venue, 51..=100)));
    job.add("b.csv", 101..=120);
    job.good(110);
    // The same file, packed differently or read again: nothing is new in it.
    job.write("a.csv", &(rows(Venue, 1..=40) + "\n" + &rows(Venue, 51..=100)));
    job.good(110);
    job.add("a.csv", 1..=100);
    job.refused(&["d/a.csv:41 has trade 41"], 120);
}

#[test]
fn a_trade_that_comes_after_the_run_that_gave_it_up_is_a_late_row() {
    let job = Job::new(Venue);
    job.write("a.csv", &(rows(Venue, 1..=9) + &rows(Venue, 11..=11)));
    job.good(10);
    job.write("b.csv", &(rows(Venue, 10..=10) + &rows(Venue, 12..=20)));
    let (code, bars, said) = job.run(&[]);
    assert_eq!((code, bars), (Some(1), 10), "{said}");
    assert!(said.contains("d/b.csv:1: field \"trade_id\""), "{said}");
    assert!(said.contains("or in a later run"), "{said}");
    let (code, bars, said) = job.run(&["--quarantine", "q.jsonl"]);
    assert_eq!((code, bars), (Some(1), 19), "{said}");
    assert_eq!(fs::read_to_string(job.path().join("q.jsonl")).unwrap().lines().count(), 1);
    job.good(19);
}

#[test]
fn a_recording_whose_trades_were_given_up_is_not_passed_over() {
    let job = Job::new(Venue);
    let frame = |n: i64| {
        let time = second(n);
        format!(
            "{time}000000 {{\"stream\":\"btcusdt@trade\",\"data\":{{\"e\":\"trade\",\"E\":{time},\
             \"s\":\"BTCUSDT\",\"t\":{n},\"p\":\"60000.0\",\"q\":\"0.5\",\"T\":{time},\
             \"m\":true,\"M\":true}}}}\n"
        )
    };
    let add = |name: &str, trades: RangeInclusive<i64>| {
        job.write(name, &trades.map(frame).collect::<String>());
    };
    let recorded = ["--protocol", "binance-spot", "--any-host"];
    add("a.txt", 1..=20);
    add("c.txt", 41..=60);
    let (code, bars, said) = job.run(&recorded);
    assert_eq!((code, bars), (Some(0), 40), "{said}");
    add("b.txt", 21..=40);
    let (code, bars, said) = job.run(&recorded);
    assert_eq!((code, bars), (Some(1), 40), "{said}");
    assert!(said.contains("after its id was given up as missing: \"21\""), "{said}");
    let (code, bars, said) = job.run(&[&recorded[..], &["--quarantine", "q.jsonl"]].concat());
    assert_eq!((code, bars), (Some(1), 40), "{said}");
    assert_eq!(fs::read_to_string(job.path().join("q.jsonl")).unwrap().lines().count(), 20);
}

#[test]
fn files_that_come_and_grow_in_order_make_the_bars_of_one_run() {
    for ids in [Venue, Ids::None] {
        for more in [&[][..], &["--parallel", "2"], &["--batch-rows", "3"]] {
            let job = Job::new(ids);
            let good = |bars: usize| {
                let (code, found, said) = job.run(more);
                assert_eq!((code, found), (Some(0), bars), "{ids:?} {more:?}: {said}");
            };
            job.add("1/x.csv", 1..=1);
            good(1);
            job.add("1/x.csv", 1..=20);
            job.add("2/x.csv", 21..=22);
            good(22);
            job.add("2/x.csv", 21..=50);
            good(50);
            // An hour later, where one trade alone says so at first.
            let hour = |n: i64| second(n) + 3_600_000;
            job.write("3/x.csv", &at(ids, 51..=51, hour));
            good(51);
            job.write("3/x.csv", &at(ids, 51..=60, hour));
            good(60);
            job.same_as_one_run();
            // What was read may go, and what is left may move.
            fs::remove_dir_all(job.path().join("d/1")).unwrap();
            fs::rename(job.path().join("d/3"), job.path().join("d/moved")).unwrap();
            job.write("moved/x.csv", &at(ids, 51..=63, hour));
            good(63);
        }
    }
}

#[test]
fn rows_without_ids_of_a_file_that_comes_too_late_are_refused() {
    let job = Job::new(Ids::None);
    job.add("a.csv", 1..=10);
    job.write("c.csv", &at(Ids::None, 21..=30, |n| second(n) + DAY_MS));
    job.good(20);
    job.add("b.csv", 11..=20);
    job.refused(&["d/b.csv was not there when its time was read"], 30);
    // One that was read already has grown, or was written differently.
    job.add("b.csv", 11..=25);
    let words =
        ["d/b.csv is not the file that was read", "bytes", "only compressed", "leave it out"];
    job.refused(&words, 35);
    job.write("b.csv", &rows(Ids::None, 11..=25).replace("0.5", "0.50"));
    job.refused(&words, 35);
}

#[test]
fn rows_without_ids_go_on_only_in_the_file_that_was_read() {
    // Another file of its name, a window that moves on, a shorter file, other rows of the same times.
    let others = [
        rows(Ids::None, 11..=40),
        rows(Ids::None, 6..=40),
        rows(Ids::None, 1..=5),
        rows(Ids::None, 1..=40).replace(".000,", ".500,"),
    ];
    for (what, other) in others.iter().enumerate() {
        for name in ["d/x.csv", "d/other/x.csv"] {
            let job = Job::new(Ids::None);
            job.add("x.csv", 1..=10);
            job.good(10);
            fs::remove_file(job.path().join("d/x.csv")).unwrap();
            job.write(name.strip_prefix("d/").unwrap(), other);
            let before = job.bars();
            let (code, _, said) = job.run(&[]);
            assert_eq!(code, Some(2), "{what} {name}: {said}");
            assert!(said.contains("stopped in \"d/x.csv\""), "{said}");
            assert!(said.contains("before line 11") && said.contains("--reset-state"), "{said}");
            assert_eq!(job.bars(), before);
        }
    }
}

/// What lies between the position and the row that stopped the run has been applied as well.
#[test]
fn rows_without_ids_before_a_bad_row_may_not_change() {
    for (fixed, code) in [(rows(Ids::None, 1..=540), 0), (rows(Ids::None, 4..=540), 2)] {
        let job = Job::new(Ids::None);
        let bad = rows(Ids::None, 1..=500) + "oops,1,1\n";
        job.write("x.csv", &(bad + &rows(Ids::None, 501..=540)));
        let (stopped, _, said) = job.run(&["--columns", "time=1,price=2,qty=3"]);
        assert_eq!(stopped, Some(1), "{said}");
        job.write("x.csv", &fixed);
        let (found, bars, said) = job.run(&["--columns", "time=1,price=2,qty=3"]);
        assert_eq!(found, Some(code), "{said}");
        assert!(code != 0 || bars == 540, "{bars}");
        assert!(code == 0 || said.contains("d/x.csv:500 has the time"), "{said}");
    }
}

#[test]
fn ids_tell_what_is_new_in_a_file_that_was_replaced() {
    for first in [6, 3] {
        let job = Job::new(Venue);
        job.add("x.csv", 1..=10);
        job.good(10);
        // A window that moves on: its rows lie elsewhere in the file now.
        job.add("x.csv", first..=40);
        job.good(40);
        job.add("x.csv", 30..=35);
        job.good(40);
        let all = Job::new(Venue);
        all.add("x.csv", 1..=40);
        all.good(40);
        assert_eq!(job.bars(), all.bars());
    }
}

#[test]
fn a_wrong_time_at_the_end_of_one_run_is_told_in_the_next() {
    for ids in [Venue, Ids::None] {
        let job = Job::new(ids);
        let stray = at(ids, 10..=10, |n| second(n) + 30 * DAY_MS);
        job.write("x.csv", &(rows(ids, 1..=9) + &stray));
        job.good(10);
        job.write("x.csv", &(rows(ids, 1..=9) + &stray + &rows(ids, 11..=30)));
        let before = job.bars();
        let (code, _, said) = job.run(&[]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("2024-03-31T00:00:10Z") && said.contains("--reset-state"), "{said}");
        assert_eq!(job.bars(), before);
    }
}

#[test]
fn rows_behind_the_end_of_the_range_are_left_to_a_run_that_wants_them() {
    for ids in [Venue, Ids::None] {
        for more in [&[][..], &["--parallel", "2"]] {
            let job = Job::new(ids);
            job.add("a.csv", 1..=20);
            job.add("b.csv", 21..=40);
            let to = |second: &str| format!("2024-03-01T00:00:{second}");
            for (until, bars) in [("10", 9), ("15", 14), ("30", 29)] {
                let (code, found, said) = job.run(&[&["--to", &to(until)][..], more].concat());
                assert_eq!((code, found), (Some(0), bars), "{said}");
            }
            job.good(40);
            job.same_as_one_run();
        }
    }
}

/// Written with another number of digits, rows move all that follow: reading may not resume amid one.
#[test]
fn rows_that_change_their_length_move_no_others() {
    for more in [&[][..], &["--batch-rows", "10"]] {
        let rewritten = |ids, row: usize, from: &str, to: &str| {
            let job = Job::new(ids);
            job.add("a.csv", 1..=200);
            assert_eq!(job.run(more).0, Some(0));
            let text = rows(ids, 1..=230);
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            assert!(lines[row].contains(from), "{}", lines[row]);
            lines[row] = lines[row].replacen(from, to, 1);
            job.write("a.csv", &(lines.join("\n") + "\n"));
            job
        };
        for (from, to) in [(",0.5", ",0.500"), (",0.5", ",.5")] {
            // Ids tell that nothing but the last thirty is new.
            let job = rewritten(Venue, 195, from, to);
            let (code, bars, said) = job.run(more);
            assert_eq!((code, bars), (Some(0), 230), "{said}");
            job.same_as_one_run();
            let job = rewritten(Ids::None, 195, from, to);
            job.refused(&["those before line 201 are not the ones"], 230);
        }
    }
    // A last row without an end of line grows no digits, and gets its end.
    for (text, is_same) in [("\n", true), ("5\n", false)] {
        let job = Job::new(Ids::None);
        job.write("a.csv", rows(Ids::None, 1..=200).trim_end());
        job.good(200);
        job.write("a.csv", &(rows(Ids::None, 1..=200).trim_end().to_owned() + text));
        match is_same {
            true => job.good(200),
            false => job.refused(&["are not the ones"], 200),
        }
    }
}

#[test]
fn a_range_that_leaves_no_place_to_continue_from_is_refused() {
    for ids in [Venue, Ids::None] {
        let job = Job::new(ids);
        let time = |n: i64| {
            second(if n == 15 {
                18
            } else if n == 18 {
                15
            } else {
                n
            })
        };
        job.write("a.csv", &at(ids, 1..=40, time));
        let to = ["--to", "2024-03-01T00:00:17Z"];
        let (code, _, said) = job.run(&to);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("d/a.csv") && said.contains("give a --to at which"), "{said}");
        // Nobody continues a run that is no job.
        assert!(job.replay(&to).status.success());
        assert_eq!(job.run(&["--reset-state"]).0, Some(0));
        job.same_as_one_run();
    }
}

#[test]
fn trades_of_one_instant_in_another_order_are_not_counted_twice() {
    let row = |second: i64, price: i64| format!("{},{price},1\n", MARCH_MS / 1000 + second);
    let ties = |prices: &[i64]| prices.iter().map(|price| row(5, *price)).collect::<String>();
    for (second, code) in [(&[2, 1, 3][..], 2), (&[3, 2, 1], 2), (&[4, 1], 2), (&[4, 5], 0)] {
        let job = Job::new(Ids::None);
        job.write("a.csv", &(row(0, 9) + &ties(&[1, 2, 3])));
        job.write("b.csv", &(ties(second) + &row(6, 9)));
        let output = job.replay(&[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{second:?}: {said}");
    }
}

#[test]
fn the_last_row_of_a_run_may_not_change_whatever_ids_say() {
    let job = Job::new(Venue);
    job.add("a.csv", 1..=10);
    job.good(10);
    let changed = rows(Venue, 1..=20).replacen("10,60003,", "10,60009,", 1);
    job.write("a.csv", &changed);
    job.refused(&["d/a.csv:10 is the last row"], 20);
}

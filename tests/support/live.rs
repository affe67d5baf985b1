//! `barflow simulator` and `barflow live` as processes.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::days::real_days;
use super::process::{Process, barflow};

pub const DIB: &str =
    "dib=imbalance,measure=dollar,threshold=wald,target=200,alpha=0.01,warmup=200";

/// The first rows of two real days as CSV, in a folder of the test's own: a history and a day that
/// continues from it. None where the data is absent.
pub fn two_days(folder: &Path, rows: usize) -> Option<(PathBuf, PathBuf)> {
    let data = real_days()?;
    let zip = fs::File::open(data.join("XBTUSD-trades-2018-01-01.zip")).unwrap();
    let mut zip = zip::ZipArchive::new(zip).unwrap();
    let member = BufReader::new(zip.by_index(0).unwrap());
    let lines: Vec<String> = member.lines().take(2 * rows).map(Result::unwrap).collect();
    // Without numbers, trades of the very ms in which a history ends cannot be told from its own.
    let time = |line: &String| line.split(',').nth(4).map(str::to_owned);
    let cut = (rows..).find(|at| time(&lines[*at]) != time(&lines[*at - 1])).unwrap();
    let (first, second) = lines.split_at(cut);
    let write = |name: &str, lines: &[String]| {
        let path = folder.join(name);
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        path
    };
    Some((
        write("XBTUSD-trades-2018-01-01.csv", first),
        write("XBTUSD-trades-2018-01-02.csv", second),
    ))
}

/// Two whole real days, one behind the other. None where the data is absent.
pub fn whole_days() -> Option<(PathBuf, PathBuf)> {
    let data = real_days()?;
    let day = |day| data.join(format!("XBTUSD-trades-2018-01-{day}.zip"));
    Some((day("01"), day("02")))
}

/// The same rows as those of coin-margined contracts, which have the base quantity beside the number of
/// contracts, of 100 US dollars each.
pub fn in_contracts(day: &Path, folder: &Path) -> PathBuf {
    let mut file = fs::File::open(day).unwrap();
    let mut text = String::new();
    if day.extension().is_some_and(|end| end == "zip") {
        let mut zip = zip::ZipArchive::new(file).unwrap();
        zip.by_index(0).unwrap().read_to_string(&mut text).unwrap();
    } else {
        file.read_to_string(&mut text).unwrap();
    }
    let row = |line: &str| {
        let mut fields: Vec<&str> = line.split(',').collect();
        let number = |at: usize| fields[at].parse::<f64>().unwrap();
        let base = format!("{:.8}", number(2) * 100.0 / number(1));
        fields[3] = &base;
        fields.join(",") + "\n"
    };
    let folder = folder.join("contracts");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(day.file_name().unwrap()).with_extension("csv");
    fs::write(&path, text.lines().map(row).collect::<String>()).unwrap();
    path
}

/// The instrument as which the files of these tests are taken, whatever they are named for.
pub fn renamed(instrument: &str) -> String {
    format!("XBTUSD={instrument}")
}

/// Arguments of a live run that joins a history of a [`renamed`] instrument, with the bars of these
/// tests.
pub fn joining<'a>(history: &'a Path, instrument: &'a str) -> [&'a str; 6] {
    let history = history.to_str().unwrap();
    ["--history", history, "--history-instrument", instrument, "--bar", DIB]
}

/// Bars of a replay, line by line.
pub fn replayed(files: &[&Path], instrument: &str, bar: &str) -> Vec<String> {
    let output = barflow()
        .arg("replay")
        .args(files)
        .args(["--instrument", &renamed(instrument), "--bar", bar])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A `barflow simulator`.
pub struct Simulator {
    process: Process,
    pub address: String,
}

impl Simulator {
    pub fn start(arguments: &[&str], files: &[&Path]) -> Self {
        let mut command = barflow();
        command.args(["simulator", "--listen", "127.0.0.1:0"]).args(arguments).args(files);
        let mut process = Process::start(command);
        process.wait_for(1);
        let address = process.bars()[0].strip_prefix("listening on ").unwrap().to_owned();
        Self { process, address }
    }

    /// A `barflow live` that listens to it, if it is Binance's spot market, by these words.
    pub fn listen(&self, more: &str) -> Process {
        let mut arguments = words("--venue binance-spot --instrument XBTUSD");
        arguments.extend(["--at", &self.address]);
        arguments.extend(words(more));
        listen(&arguments)
    }

    /// Ends it in good order; what it said.
    pub fn stop(self) -> String {
        self.terminate().2
    }

    /// Ends it in good order; its exit code, its lines and what it said.
    pub fn terminate(self) -> (Option<i32>, Vec<String>, String) {
        self.process.stop()
    }

    /// Waits for its end; its exit code and what it said.
    pub fn finish(self) -> (Option<i32>, String) {
        self.process.finish()
    }
}

/// Arguments, as one types them.
pub fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// A `barflow live` whose bars come over standard output.
pub fn listen(arguments: &[&str]) -> Process {
    let mut command = barflow();
    command.args(["live", "--report-every", "0"]).args(arguments);
    Process::start(command)
}

/// Bars that stand, by their last trade.
#[derive(Default)]
pub struct Net {
    pub standing: Vec<String>,
    pub retracted: usize,
    taken: usize,
}

impl Net {
    /// Takes in those of all bars that are new.
    pub fn take(&mut self, bars: &[String]) {
        bars[self.taken..].iter().for_each(|line| self.take_one(line.clone()));
        self.taken = bars.len();
    }

    fn take_one(&mut self, line: String) {
        let bar = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let last = |line: &String| bar(line)["last_trade_id"].as_u64().unwrap();
        if bar(&line)["retracts"] == true {
            self.retracted += 1;
            // Withdrawn later than it was known.
            let plain = |line: &String| {
                let mut bar = bar(line);
                (bar["retracts"], bar["known_time"]) = (false.into(), 0.into());
                bar
            };
            let gone = plain(&line);
            let at = self.standing.iter().position(|other| plain(other) == gone).expect(&line);
            self.standing.remove(at);
            return;
        }
        let at = self.standing.partition_point(|other| last(other) < last(&line));
        self.standing.insert(at, line);
    }
}

/// Fails with the first difference in words.
pub fn assert_same(live: &[String], replayed: &[String], about: &str) {
    for (at, (live, replayed)) in live.iter().zip(replayed).enumerate() {
        assert_eq!(live, replayed, "{about}: bar {at}");
    }
    assert_eq!(live.len(), replayed.len(), "{about}: number of bars");
}

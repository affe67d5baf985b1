//! Reading other programs' bars and comparing ours with them.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barflow_operators::bar::Bar;
use barflow_operators::bars::machine::BarMachine;
use barflow_operators::batch::{Feed, TradeBatch};
use barflow_operators::sign::SignRule;
use barflow_operators::spec::{BarSpec, LimitSpec, RuleSpec};
use barflow_operators::trade::{Aggressor, Trade};

/// A folder or file beside the repository; says so and gives none where it is absent.
pub fn shared(part: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(part);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is absent", path.display());
    None
}

/// The bar files of a folder, with their names without ending, in order.
pub fn bar_files(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<(String, PathBuf)> = entries
        .filter(|path| path.extension().is_some_and(|ending| ending == "csv"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path))
        .filter(|(name, _)| name != "trades")
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no bars in {}", folder.display());
    files
}

/// A CSV file with a header and no quotes.
pub struct Table {
    columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect());
        Self { columns: lines.next().unwrap(), rows: lines.collect() }
    }

    pub fn text(&self, row: usize, column: &str) -> &str {
        let index = self.columns.iter().position(|name| name == column).unwrap();
        &self.rows[row][index]
    }

    pub fn f64(&self, row: usize, column: &str) -> f64 {
        self.text(row, column).parse().unwrap()
    }

    /// Compares a column with what each bar says: to a relative 1e-12, whole numbers exactly.
    pub fn assert_column(&self, name: &str, column: &str, bars: &[Bar], of: impl Fn(&Bar) -> f64) {
        self.assert_close(name, column, 1e-12, bars, of);
    }

    /// Compares a column to a relative `tolerance`.
    pub fn assert_close(
        &self,
        name: &str,
        column: &str,
        tolerance: f64,
        bars: &[Bar],
        of: impl Fn(&Bar) -> f64,
    ) {
        for (row, bar) in bars.iter().enumerate() {
            let (ours, theirs) = (of(bar), self.f64(row, column));
            assert!(
                (ours - theirs).abs() <= tolerance * theirs.abs(),
                "{name}: bar {row}: {column}: {ours} here, {theirs} there"
            );
        }
    }

    pub fn assert_ohlc(&self, name: &str, bars: &[Bar]) {
        self.assert_column(name, "open", bars, |bar| bar.open);
        self.assert_column(name, "high", bars, |bar| bar.high);
        self.assert_column(name, "low", bars, |bar| bar.low);
        self.assert_column(name, "close", bars, |bar| bar.close);
    }
}

/// Time in ms as these files write it.
pub fn ms(time_ns: i64) -> f64 {
    (time_ns / 1_000_000) as f64
}

/// The trades of an aggTrades file without header. Ids are row numbers from 1 on, which is what
/// the bars of these files name.
pub fn agg_trades(path: &Path) -> Vec<Trade> {
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().enumerate();
    rows.map(|(row, line)| {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |index: usize| -> f64 { fields[index].parse().unwrap() };
        trade(row, number(1), number(2), None, fields[5], fields[6])
    })
    .collect()
}

/// The trades of an archived file in Binance's `trades` layout, with the source's quote values.
pub fn archived_trades(path: &Path) -> Vec<Trade> {
    let mut archive = zip::ZipArchive::new(fs::File::open(path).unwrap()).unwrap();
    let mut text = String::new();
    archive.by_index(0).unwrap().read_to_string(&mut text).unwrap();
    let rows = text.lines().enumerate();
    rows.map(|(row, line)| {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |index: usize| -> f64 { fields[index].parse().unwrap() };
        trade(row, number(1), number(2), Some(number(3)), fields[4], fields[5])
    })
    .collect()
}

fn trade(row: usize, price: f64, qty: f64, quote: Option<f64>, ms: &str, maker: &str) -> Trade {
    let buyer_is_maker = match maker {
        "True" => true,
        "False" => false,
        other => panic!("row {row}: {other} is not a flag"),
    };
    Trade {
        trade_id: row as u64 + 1,
        event_time: ms.parse::<i64>().unwrap() * 1_000_000,
        price,
        qty,
        quote: quote.unwrap_or(price * qty),
        aggressor: if buyer_is_maker { Aggressor::Seller } else { Aggressor::Buyer },
        count: 1,
    }
}

/// The bars that a rule makes of a tape, given in batches.
pub fn bars_of(rule: RuleSpec, sign: SignRule, trades: &[Trade]) -> Vec<Bar> {
    let spec = BarSpec::new("golden", sign, LimitSpec::default(), rule).unwrap();
    let (mut machine, mut bars) = (BarMachine::new(&spec), Vec::new());
    for part in trades.chunks(997) {
        machine.on_batch(&TradeBatch::from_trades(feed(), part), &mut bars);
    }
    bars
}

/// A feed with the aggressor.
pub fn feed() -> Arc<Feed> {
    Arc::new(Feed::numbered("golden:test:TAPE".parse().unwrap()))
}

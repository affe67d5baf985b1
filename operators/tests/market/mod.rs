//! Real trades for tests, read from the folder of shared data beside the repository.
//!
//! Each loader gives `None`, and says so, when that folder is absent.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use barflow_operators::trade::{Aggressor, Trade};

/// The trades of one instrument, in venue order.
pub struct Tape {
    pub name: &'static str,
    pub trades: Vec<Trade>,
    /// Whether the source has the aggressor; if not, signs come from the tick rule.
    pub has_aggressor: bool,
}

fn path(file: &str) -> Option<PathBuf> {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found =
        folders.map(|folder| folder.join("shared/data").join(file)).find(|path| path.exists());
    if found.is_none() {
        println!("skipped: shared/data/{file} is absent");
    }
    found
}

fn unzipped(path: &Path) -> String {
    let mut archive = zip::ZipArchive::new(File::open(path).unwrap()).unwrap();
    let mut text = String::new();
    archive.by_index(0).unwrap().read_to_string(&mut text).unwrap();
    text
}

/// BitMEX XBTUSD, 2018-01-01 to `days` days later (at most 3), in Binance's spot layout:
/// `id, price, qty, quoteQty, ms, isBuyerMaker, isBestMatch`. The quote value is the file's.
pub fn bitmex(days: u32) -> Option<Tape> {
    let mut trades = Vec::new();
    for day in 1..=days {
        let text = unzipped(&path(&format!("binance-layout/XBTUSD-trades-2018-01-0{day}.zip"))?);
        for line in text.lines() {
            let field: Vec<&str> = line.split(',').collect();
            trades.push(Trade {
                trade_id: field[0].parse().unwrap(),
                event_time: field[4].parse::<i64>().unwrap() * 1_000_000,
                price: field[1].parse().unwrap(),
                qty: field[2].parse().unwrap(),
                quote: field[3].parse().unwrap(),
                aggressor: if field[5] == "True" { Aggressor::Seller } else { Aggressor::Buyer },
                count: 1,
            });
        }
    }
    Some(Tape { name: "BitMEX", trades, has_aggressor: true })
}

/// SPY, 2013-10-10: `ms since midnight New York, price × 10,000, size, exchange, flags,
/// suspicious`. No aggressor, no ids: rows are numbered. The 10 rows flagged suspicious are left
/// out.
pub fn spy() -> Option<Tape> {
    // Midnight in New York was 04:00 UTC: 2013-10-10T04:00:00Z.
    const MIDNIGHT_MS: i64 = 1_381_377_600_000;
    let text = unzipped(&path("lean/spy/20131010_trade.zip")?);
    let mut trades = Vec::new();
    for line in text.lines() {
        let field: Vec<&str> = line.trim_end().split(',').collect();
        if field[5] == "1" {
            continue;
        }
        let price = field[1].parse::<f64>().unwrap() / 10_000.0;
        let qty = field[2].parse::<f64>().unwrap();
        trades.push(Trade {
            trade_id: trades.len() as u64 + 1,
            event_time: (MIDNIGHT_MS + field[0].parse::<i64>().unwrap()) * 1_000_000,
            price,
            qty,
            quote: price * qty,
            aggressor: Aggressor::Unknown,
            count: 1,
        });
    }
    Some(Tape { name: "SPY", trades, has_aggressor: false })
}

/// Binance USD-M futures BTCUSDT, 2024-08-08 23:54 to midnight: the `trade` frames of a recorded
/// stream, market trades only (no insurance fund or ADL).
pub fn binance_futures() -> Option<Tape> {
    #[derive(serde::Deserialize)]
    struct Frame {
        data: Execution,
    }
    #[derive(serde::Deserialize)]
    struct Execution {
        #[serde(rename = "T")]
        time_ms: i64,
        #[serde(rename = "t")]
        id: u64,
        p: String,
        q: String,
        #[serde(rename = "X")]
        kind: String,
        m: bool,
    }
    let file = File::open(path("hftbacktest/usdm/btcusdt_20240808.gz")?).unwrap();
    let mut trades = Vec::new();
    for line in BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines() {
        let line = line.unwrap();
        if !line.contains("\"e\":\"trade\"") {
            continue;
        }
        let (_received, frame) = line.split_once(' ').unwrap();
        let Execution { time_ms, id, p, q, kind, m } =
            serde_json::from_str::<Frame>(frame).unwrap().data;
        if kind != "MARKET" {
            continue;
        }
        let (price, qty): (f64, f64) = (p.parse().unwrap(), q.parse().unwrap());
        trades.push(Trade {
            trade_id: id,
            event_time: time_ms * 1_000_000,
            price,
            qty,
            quote: price * qty,
            aggressor: if m { Aggressor::Seller } else { Aggressor::Buyer },
            count: 1,
        });
    }
    Some(Tape { name: "Binance", trades, has_aggressor: true })
}

/// All sets that are there; the first holds `bitmex_days` days.
pub fn all(bitmex_days: u32) -> Vec<Tape> {
    [bitmex(bitmex_days), spy(), binance_futures()].into_iter().flatten().collect()
}

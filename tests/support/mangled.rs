//! A day as it was, as it was delivered, and what was wrong with the delivery.

use super::days;
use std::fs;
use std::path::{Path, PathBuf};

/// Files of one instrument's trades.
pub struct Mangled {
    /// The true history.
    pub right: PathBuf,
    /// The same with rows missing, struck or changed.
    pub delivered: PathBuf,
    /// What mends it.
    pub corrections: PathBuf,
    /// How many there are.
    pub count: usize,
}

/// Rows of a real day if it is there, else of a made-up one.
pub fn rows(folder: &Path, most: usize) -> Vec<String> {
    let mut rows = days::rows(&days::a_day(folder, 60_000));
    rows.truncate(most);
    rows
}

/// Makes about one in `every` rows wrong; each becomes known up to `lag` trades later.
pub fn mangle(folder: &Path, rows: &[String], every: u64, lag: u64, seed: u64) -> Mangled {
    let mut random = fastrand::Rng::with_seed(seed);
    let id = |row: &String| row.split(',').next().unwrap().parse::<u64>().unwrap();
    let last = id(rows.last().unwrap());
    let (mut right, mut delivered) = (String::new(), String::new());
    let mut corrections = String::from("action,trade_id,time,price,qty,side,known_after\n");
    let mut count = 0;
    let put = |text: &mut String, row: &str| {
        text.push_str(row);
        text.push('\n');
    };
    for (at, row) in rows.iter().enumerate() {
        // The ends stay: a history that begins or ends elsewhere is another matter.
        if at == 0 || at + 1 == rows.len() || random.u64(0..every) > 0 {
            put(&mut right, row);
            put(&mut delivered, row);
            continue;
        }
        count += 1;
        let mut fields: Vec<String> = row.split(',').map(str::to_owned).collect();
        let nanoseconds = fields[4].len() < 16;
        let time =
            if nanoseconds { format!("{}000000", fields[4]) } else { format!("{}000", fields[4]) };
        let side = if fields[5].eq_ignore_ascii_case("true") { "sell" } else { "buy" };
        let known = (id(row) + random.u64(0..lag)).min(last);
        let trade = format!("{time},{},{},{side},{known}", fields[1], fields[2]);
        match random.u8(0..3) {
            0 => {
                put(&mut right, row);
                put(&mut corrections, &format!("add,{},{trade}", fields[0]));
            }
            1 => {
                put(&mut delivered, row);
                put(&mut corrections, &format!("remove,{},,,,,{known}", fields[0]));
            }
            _ => {
                put(&mut right, row);
                put(&mut corrections, &format!("replace,{},{trade}", fields[0]));
                fields[1] = format!("{}", fields[1].parse::<f64>().unwrap() * 1.25);
                put(&mut delivered, &fields.join(","));
            }
        }
    }
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    };
    Mangled {
        right: file("right/BTCUSDT-trades-2018-01-02.csv", &right),
        delivered: file("delivered/BTCUSDT-trades-2018-01-02.csv", &delivered),
        corrections: file("corrections.csv", &corrections),
        count,
    }
}

//! finmlkit's tick, volume, dollar and time bars, bar by bar.
//!
//! Its volumes are f32; where it merges trades first (`merged_*`), its amounts are too.

use crate::golden::{Table, agg_trades, bar_files, bars_of, shared};
use barflow_operators::bar::Bar;
use barflow_operators::measure::Measure;
use barflow_operators::sign::SignRule;
use barflow_operators::spec::RuleSpec;
use barflow_operators::trade::Trade;

/// Relative error of a number rounded to f32 and summed in few roundings.
const F32: f64 = 2e-7;

const MINUTE_NS: i64 = 60_000_000_000;

#[test]
fn finmlkit_on_aggregates() {
    let Some(folder) = shared("golden/finmlkit-0.1.11") else { return };
    let raw = agg_trades(&folder.join("trades.csv"));
    let merged = merge(&raw);
    for (name, path) in bar_files(&folder) {
        let (table, name) = (Table::read(&path), name.as_str());
        match name.split_once('_').unwrap() {
            ("raw", kind) => {
                compare(name, kind, &table, &raw);
            }
            ("merged", kind) => {
                let bars = compare(name, kind, &table, &merged);
                compare_sides(name, &table, &bars);
            }
            _ => panic!("no test knows {name}"),
        }
    }
}

/// Consecutive trades of equal time, price and side become one, its quantity summed in f32; ids
/// are ordinals again.
fn merge(trades: &[Trade]) -> Vec<Trade> {
    let mut merged: Vec<Trade> = Vec::new();
    for trade in trades {
        let key = |t: &Trade| (t.event_time, t.price.to_bits(), t.aggressor);
        match merged.last_mut() {
            Some(last) if key(last) == key(trade) => {
                last.qty = f64::from(last.qty as f32 + trade.qty as f32);
            }
            _ => {
                let (trade_id, qty) = (merged.len() as u64 + 1, f64::from(trade.qty as f32));
                merged.push(Trade { trade_id, qty, ..*trade });
            }
        }
    }
    for trade in &mut merged {
        trade.quote = trade.price * trade.qty;
    }
    merged
}

fn compare(name: &str, kind: &str, table: &Table, trades: &[Trade]) -> Vec<Bar> {
    let finmlkit = |measure, size| RuleSpec::Finmlkit { measure, size };
    let is_time = kind == "time_60s";
    let bars = match kind {
        "tick_100" => bars_of(finmlkit(Measure::Tick, 100.0), SignRule::Aggressor, trades),
        "volume_2.0" => bars_of(finmlkit(Measure::Volume, 2.0), SignRule::Aggressor, trades),
        "dollar_100000.0" => bars_of(finmlkit(Measure::Dollar, 1e5), SignRule::Aggressor, trades),
        "time_60s" => time_bars(trades),
        _ => panic!("no test knows {name}"),
    };
    for (row, bar) in bars.iter().enumerate().take(table.rows.len()) {
        let minute = bar.close_time.div_euclid(MINUTE_NS) + 1;
        let end = if is_time { minute * MINUTE_NS } else { bar.close_time };
        assert_eq!(end, time_of_day(table.text(row, "timestamp")), "{name}: {row}");
    }
    assert_eq!(bars.len(), table.rows.len(), "{name}");
    table.assert_ohlc(name, &bars);
    table.assert_column(name, "trades", &bars, |bar| bar.ticks as f64);
    table.assert_close(name, "volume", F32, &bars, |bar| bar.volume);
    table.assert_close(name, "vwap", 1e-12, &bars, |bar| bar.vwap);
    table.assert_close(name, "median_trade_size", 1e-12, &bars, |bar| median(bar, trades));
    bars
}

/// Time bars are our own, and here the first trade is in one. finmlkit writes the last interval
/// although the tape ends in it; a trade of the next one ends it for us.
fn time_bars(trades: &[Trade]) -> Vec<Bar> {
    let mut tape = trades.to_vec();
    let last = tape[tape.len() - 1];
    tape.push(Trade { event_time: last.event_time + MINUTE_NS, ..last });
    bars_of(RuleSpec::Time { every: MINUTE_NS }, SignRule::Aggressor, &tape)
}

fn compare_sides(name: &str, table: &Table, bars: &[Bar]) {
    table.assert_column(name, "ticks_buy", bars, |bar| bar.buy_ticks as f64);
    table.assert_column(name, "ticks_sell", bars, |bar| (bar.ticks - bar.buy_ticks) as f64);
    // Summed in f32 there.
    table.assert_close(name, "volume_buy", 2e-5, bars, |bar| bar.buy_volume);
    table.assert_close(name, "volume_sell", 2e-5, bars, |bar| bar.volume - bar.buy_volume);
    table.assert_close(name, "dollars_buy", 2e-5, bars, |bar| bar.buy_quote_volume);
    table.assert_close(name, "dollars_sell", 2e-5, bars, |bar| {
        bar.quote_volume - bar.buy_quote_volume
    });
}

/// The median quantity of the bar's trades, whose ids are their ordinals.
fn median(bar: &Bar, trades: &[Trade]) -> f64 {
    let range = bar.first_trade_id as usize - 1..bar.last_trade_id as usize;
    let mut sizes: Vec<f64> = trades[range].iter().map(|trade| trade.qty).collect();
    sizes.sort_by(f64::total_cmp);
    (sizes[(sizes.len() - 1) / 2] + sizes[sizes.len() / 2]) / 2.0
}

/// ns since the epoch of a time on 2023-11-14, the one day of this tape.
fn time_of_day(text: &str) -> i64 {
    let time = text.strip_prefix("2023-11-14 ").unwrap();
    let mut parts = time.split([':', '.']);
    let mut next = |digits: usize| -> i64 {
        let part = parts.next().unwrap_or("0");
        format!("{part:0<digits$}").parse().unwrap()
    };
    let (hours, minutes, seconds, ms) = (next(2), next(2), next(2), next(3));
    1_699_920_000_000_000_000
        + ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000
        + ms * 1_000_000
}

#[test]
fn every_folder_of_other_programs_has_a_test() {
    let Some(folder) = shared("golden") else { return };
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut folders: Vec<String> = entries
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let known = [
        "RiskLabAI-2.0.1",
        "finmlkit-0.1.11",
        "mlfinpy-0.1.2",
        "mlfinpy-0.1.2-agg20k",
        "nautilus_trader-1.231.0",
        "predecessor",
    ];
    assert_eq!(folders, known);
}

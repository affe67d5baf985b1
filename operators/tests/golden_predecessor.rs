//! The pipeline that this project replaces, bar by bar.

use crate::golden::{Table, archived_trades, bar_files, bars_of, ms, shared};
use barflow_operators::bar::Bar;
use barflow_operators::sign::SignRule;
use barflow_operators::spec::RuleSpec;
use barflow_operators::trade::Trade;

/// The number after `key` in a part of a file's name.
fn number(name: &str, key: &str) -> f64 {
    let mut parts = name.split('_').filter_map(|part| part.strip_prefix(key));
    parts.find_map(|rest| rest.parse().ok()).unwrap()
}

#[test]
fn the_predecessor_on_a_day_of_real_trades() {
    let Some(folder) = shared("golden/predecessor") else { return };
    let Some(path) = shared("data/binance-layout/XBTUSD-trades-2018-01-01.zip") else { return };
    let trades = archived_trades(&path);
    for (name, path) in bar_files(&folder) {
        let table = Table::read(&path);
        match name.split('_').next() {
            Some("head") => compare_head(&name, &table, &trades),
            Some("seed") => compare_seed(&name, &table, &trades),
            _ => panic!("no test knows {name}"),
        }
    }
}

fn compare_head(name: &str, table: &Table, trades: &[Trade]) {
    let time_reset = number(name, "reset");
    let rule = RuleSpec::PredecessorHead {
        init_ticks: number(name, "ticks") as u64,
        alpha_ticks: number(name, "at"),
        alpha_imbalance: number(name, "ai"),
        time_reset,
    };
    let bars = bars_of(rule, SignRule::Aggressor, trades);
    compare_money(name, table, &bars, "theta_k");
    table.assert_column(name, "ticks", &bars, |bar| bar.ticks as f64);
    table.assert_column(name, "ticks_buy", &bars, |bar| bar.buy_ticks as f64);
    // Their columns are the expectations after a close; ours go into the next bar's test.
    for (row, pair) in bars.windows(2).enumerate() {
        let hours = (pair[0].close_time - pair[0].open_time) as f64 / 3.6e12;
        assert_eq!(pair[1].threshold.is_none(), hours > time_reset, "{name}: {row}");
        if pair[1].threshold.is_some() {
            let (ticks, imbalance) = (pair[1].expected_ticks, pair[1].expected_imbalance);
            assert_near(ticks.unwrap(), table.f64(row, "ewma_T"), name, row);
            assert_near(imbalance.unwrap(), table.f64(row, "ewma_imbalance"), name, row);
        }
    }
}

fn compare_seed(name: &str, table: &Table, trades: &[Trade]) {
    let rule = RuleSpec::PredecessorSeed {
        init_t: number(name, "T"),
        alpha_volume: number(name, "av"),
        alpha_imbalance: number(name, "ai"),
    };
    let bars = bars_of(rule, SignRule::Aggressor, trades);
    compare_money(name, table, &bars, "imbalance_col");
    assert_eq!(bars[0].threshold, Some(number(name, "T")));
    for (row, pair) in bars.windows(2).enumerate() {
        assert_near(pair[1].expected_imbalance.unwrap(), table.f64(row, "ewma_dif"), name, row);
        assert_near(pair[1].threshold.unwrap(), table.f64(row, "thres"), name, row);
    }
}

fn compare_money(name: &str, table: &Table, bars: &[Bar], theta: &str) {
    for (row, bar) in bars.iter().enumerate().take(table.rows.len()) {
        assert_eq!(ms(bar.close_time), table.f64(row, "end_time"), "{name}: {row}");
    }
    assert_eq!(bars.len(), table.rows.len(), "{name}");
    table.assert_ohlc(name, bars);
    table.assert_column(name, "start_time", bars, |bar| ms(bar.open_time));
    table.assert_column(name, theta, bars, |bar| bar.theta);
    table.assert_column(name, "total_volume", bars, |bar| bar.volume);
    table.assert_column(name, "total_volume_usd", bars, |bar| bar.quote_volume);
    table.assert_column(name, "total_volume_buy_usd", bars, |bar| bar.buy_quote_volume);
}

fn assert_near(ours: f64, theirs: f64, name: &str, row: usize) {
    assert!((ours - theirs).abs() <= 1e-12 * theirs.abs(), "{name}: {row}: {ours}, not {theirs}");
}

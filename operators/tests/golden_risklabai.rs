//! RiskLabAI, bar by bar.

use crate::golden::{Table, agg_trades, bar_files, bars_of, ms, shared};
use barflow_operators::measure::Measure;
use barflow_operators::sign::SignRule;
use barflow_operators::spec::{CompatFlavour, CompatTicks, MlfinlabSpec, RuleSpec};

fn rule(name: &str) -> RuleSpec {
    let (kind, measure) = name.rsplit_once('_').unwrap();
    let measure = match measure {
        "tick" => Measure::Tick,
        "volume" => Measure::Volume,
        "dollar" => Measure::Dollar,
        _ => panic!("no test knows {name}"),
    };
    let expected = MlfinlabSpec {
        flavour: CompatFlavour::RiskLabAi,
        ticks: CompatTicks::Ema,
        num_prev_bars: 3,
        window: 500,
        init: 200.0,
        min: 50.0,
        max: 1000.0,
    };
    let fixed = MlfinlabSpec { ticks: CompatTicks::Const, ..expected };
    let unbounded = MlfinlabSpec { min: 0.0, max: f64::INFINITY, ..expected };
    match kind {
        "expected_imbalance" => RuleSpec::MlfinlabImbalance { measure, params: expected },
        "expected_imbalance_unbounded" => {
            RuleSpec::MlfinlabImbalance { measure, params: unbounded }
        }
        "fixed_imbalance" => RuleSpec::MlfinlabImbalance { measure, params: fixed },
        "expected_run" => RuleSpec::MlfinlabRuns { measure, params: expected },
        "fixed_run" => RuleSpec::MlfinlabRuns { measure, params: fixed },
        _ => panic!("no test knows {name}"),
    }
}

#[test]
fn risklabai_on_aggregates() {
    let Some(folder) = shared("golden/RiskLabAI-2.0.1") else { return };
    let trades = agg_trades(&folder.join("trades.csv"));
    for (name, path) in bar_files(&folder) {
        let (table, name) = (Table::read(&path), name.as_str());
        let bars = bars_of(rule(name), SignRule::TickRuleFromZero, &trades);
        for (row, bar) in bars.iter().enumerate().take(table.rows.len()) {
            assert_eq!(bar.last_trade_id.to_string(), table.text(row, "tick_num"), "{name}: {row}");
        }
        assert_eq!(bars.len(), table.rows.len(), "{name}");
        table.assert_ohlc(name, &bars);
        table.assert_column(name, "date_time", &bars, |bar| ms(bar.close_time));
        table.assert_column(name, "volume", &bars, |bar| bar.volume);
        table.assert_column(name, "buy_volume", &bars, |bar| bar.buy_volume);
        // Theirs is a sum of its own, ours a difference; a sign of 0 sells there.
        table.assert_close(name, "sell_volume", 1e-11, &bars, |bar| bar.volume - bar.buy_volume);
        table.assert_column(name, "ticks", &bars, |bar| bar.ticks as f64);
        table.assert_column(name, "dollar", &bars, |bar| bar.quote_volume);
        table.assert_column(name, "threshold", &bars, |bar| bar.threshold.unwrap());
    }
}

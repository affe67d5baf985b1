//! nautilus_trader's nine aggregators, bar by bar.

use crate::golden::{Table, agg_trades, bar_files, bars_of, shared};
use barflow_operators::sign::SignRule;
use barflow_operators::spec::{NautilusAggregation, NautilusSpec, RuleSpec};

fn aggregation(name: &str) -> NautilusAggregation {
    match name {
        "tick" => NautilusAggregation::Tick,
        "volume" => NautilusAggregation::Volume,
        "value" => NautilusAggregation::Value,
        "tick_imbalance" => NautilusAggregation::TickImbalance,
        "volume_imbalance" => NautilusAggregation::VolumeImbalance,
        "value_imbalance" => NautilusAggregation::ValueImbalance,
        "tick_runs" => NautilusAggregation::TickRuns,
        "volume_runs" => NautilusAggregation::VolumeRuns,
        "value_runs" => NautilusAggregation::ValueRuns,
        _ => panic!("no test knows {name}"),
    }
}

#[test]
fn nautilus_on_aggregates() {
    let Some(folder) = shared("golden/nautilus_trader-1.231.0") else { return };
    let trades = agg_trades(&folder.join("trades.csv"));
    for (name, path) in bar_files(&folder) {
        let (table, name) = (Table::read(&path), name.as_str());
        let (kind, step) = name.rsplit_once('_').unwrap();
        let params = NautilusSpec {
            aggregation: aggregation(kind),
            step: step.parse().unwrap(),
            price_precision: 2,
            size_precision: 6,
        };
        let bars = bars_of(RuleSpec::Nautilus(params), SignRule::Aggressor, &trades);
        for (row, bar) in bars.iter().enumerate().take(table.rows.len()) {
            let time = bar.close_time.to_string();
            assert_eq!(time, table.text(row, "ts_event_ns"), "{name}: {row}");
        }
        assert_eq!(bars.len(), table.rows.len(), "{name}");
        table.assert_ohlc(name, &bars);
        for (row, bar) in bars.iter().enumerate() {
            assert_eq!(bar.volume, table.f64(row, "volume"), "{name}: {row}");
        }
    }
}

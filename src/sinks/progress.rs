//! Progress as readers get it: one flat JSON object, fields in a fixed order.

use barflow_operators::progress::Progress;
use serde::Serialize;

/// Version of the record's fields. Fields are only ever added.
pub const PROGRESS_VERSION: u32 = 1;

/// How far the bars of an instrument by a specification are complete (docs/kafka.md, "Progress").
///
/// Times are ns since the Unix epoch. The fields from `ticks` on are those of a bar with the same names,
/// as of the open one; they are null, and `ticks` is 0, while no bar is open.
#[derive(Clone, Debug, Serialize)]
pub struct ProgressRecord<'a> {
    /// Name of the specification.
    pub spec: &'a str,
    /// The instrument, `venue:market:symbol`.
    pub instrument: &'a str,
    /// Every trade up to this id is in a bar, in the open one, or known not to come.
    pub complete_trade_id: u64,
    /// Every trade before this event time is, and every bar whose `known_time` is not after it is in the
    /// bar topic.
    pub complete_time: i64,
    /// Bars made so far: the `seq` of the next one.
    pub bars: u64,
    /// Whether trades are missing and still waited or asked for. Then only this and `gap_since` change.
    pub gap_open: bool,
    /// Since when, by the clock of the computer; null without a gap.
    pub gap_since: Option<i64>,
    /// As the bars' header of this name: `true`, `false` or `unknown`.
    pub synchronised: &'a str,
    /// Trades that the warm-up still needs.
    pub warmup_left: u64,
    /// What the open bar, or the next one, has to reach, in the bar's measure; null in the warm-up and where
    /// there is no threshold.
    pub threshold: Option<f64>,
    /// The share of the threshold that the open bar has reached: 1 closes it.
    pub reached: Option<f64>,
    /// Rows of the input in the open bar; 0 if there is none.
    pub ticks: u64,
    /// Event time of the first trade.
    pub open_time: Option<i64>,
    /// Event time of the last trade.
    pub close_time: Option<i64>,
    /// Price of the first trade.
    pub open: Option<f64>,
    /// Highest price.
    pub high: Option<f64>,
    /// Lowest price.
    pub low: Option<f64>,
    /// Price of the last trade.
    pub close: Option<f64>,
    /// Σ qty, in base currency.
    pub volume: Option<f64>,
    /// Σ quote value, in quote currency.
    pub quote_volume: Option<f64>,
    /// Σ qty of buys.
    pub buy_volume: Option<f64>,
    /// Σ quote value of buys.
    pub buy_quote_volume: Option<f64>,
    /// θ = Σ b·v, in the bar's measure.
    pub theta: Option<f64>,
    /// θ⁺ (runs bars only).
    pub theta_buy: Option<f64>,
    /// θ⁻ (runs bars only).
    pub theta_sell: Option<f64>,
}

impl<'a> From<&'a Progress> for ProgressRecord<'a> {
    fn from(progress: &'a Progress) -> Self {
        let Progress { builder, gap_since, .. } = progress;
        let open = builder.open.as_ref();
        Self {
            spec: &progress.spec,
            instrument: progress.feed.instrument.as_str(),
            complete_trade_id: progress.complete_trade_id,
            complete_time: progress.complete_time,
            bars: builder.bars,
            gap_open: gap_since.is_some(),
            gap_since: *gap_since,
            synchronised: builder.synchronised.as_str(),
            warmup_left: builder.warmup_left,
            threshold: builder.levels.threshold,
            reached: open.and(builder.reached),
            ticks: open.map_or(0, |bar| bar.ticks),
            open_time: open.map(|bar| bar.open_time),
            close_time: open.map(|bar| bar.close_time),
            open: open.map(|bar| bar.open),
            high: open.map(|bar| bar.high),
            low: open.map(|bar| bar.low),
            close: open.map(|bar| bar.close),
            volume: open.map(|bar| bar.volume),
            quote_volume: open.map(|bar| bar.quote_volume),
            buy_volume: open.map(|bar| bar.buy_volume),
            buy_quote_volume: open.map(|bar| bar.buy_quote_volume),
            theta: open.map(|bar| bar.theta),
            theta_buy: open.and(builder.levels.theta_buy),
            theta_sell: open.and(builder.levels.theta_sell),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use barflow_operators::bar::{Levels, OpenBar};
    use barflow_operators::batch::Feed;
    use barflow_operators::convergence::monitor::Synchronised;
    use barflow_operators::progress::BuilderProgress;

    use super::*;
    use crate::sinks::encode::json::{self, Int64};

    fn progress(open: Option<OpenBar>, gap_since: Option<i64>) -> Progress {
        Progress {
            spec: "dib".into(),
            feed: Arc::new(Feed::numbered("a:b:C".parse().unwrap())),
            complete_trade_id: 9,
            complete_time: 1_700_000_000_000_000_001,
            builder: BuilderProgress {
                bars: 3,
                open,
                levels: Levels { threshold: Some(12.5), ..Levels::default() },
                reached: Some(0.2),
                warmup_left: 0,
                synchronised: Synchronised::Yes,
            },
            gap_since,
        }
    }

    fn text(progress: &Progress, int64: Int64) -> String {
        let mut bytes = Vec::new();
        json::write(&mut bytes, &ProgressRecord::from(progress), int64).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_bytes_of_a_record_are_pinned() {
        let open = OpenBar {
            ticks: 2,
            open_time: 5,
            close_time: 6,
            open: 100.5,
            high: 101.0,
            low: 100.5,
            close: 101.0,
            volume: 3.0,
            quote_volume: 302.5,
            buy_volume: 1.0,
            buy_quote_volume: 101.0,
            theta: -2.5,
            ..OpenBar::default()
        };
        assert_eq!(
            text(&progress(Some(open), None), Int64::Number),
            "{\"spec\":\"dib\",\"instrument\":\"a:b:C\",\"complete_trade_id\":9,\
             \"complete_time\":1700000000000000001,\"bars\":3,\"gap_open\":false,\"gap_since\":null,\
             \"synchronised\":\"true\",\"warmup_left\":0,\"threshold\":12.5,\"reached\":0.2,\"ticks\":2,\
             \"open_time\":5,\"close_time\":6,\"open\":100.5,\"high\":101.0,\"low\":100.5,\"close\":101.0,\
             \"volume\":3.0,\"quote_volume\":302.5,\"buy_volume\":1.0,\"buy_quote_volume\":101.0,\
             \"theta\":-2.5,\"theta_buy\":null,\"theta_sell\":null}"
        );
    }

    #[test]
    fn no_open_bar_has_no_prices_and_a_gap_has_its_time() {
        assert_eq!(
            text(&progress(None, Some(77)), Int64::Text),
            "{\"spec\":\"dib\",\"instrument\":\"a:b:C\",\"complete_trade_id\":\"9\",\
             \"complete_time\":\"1700000000000000001\",\"bars\":\"3\",\"gap_open\":true,\
             \"gap_since\":\"77\",\"synchronised\":\"true\",\"warmup_left\":\"0\",\"threshold\":12.5,\
             \"reached\":null,\"ticks\":\"0\",\"open_time\":null,\"close_time\":null,\"open\":null,\
             \"high\":null,\"low\":null,\"close\":null,\"volume\":null,\"quote_volume\":null,\
             \"buy_volume\":null,\"buy_quote_volume\":null,\"theta\":null,\"theta_buy\":null,\
             \"theta_sell\":null}"
        );
    }
}

//! The fast and the careful way of reading a row, whatever it holds.

use std::sync::Arc;

use barflow_operators::batch::{Feed, TradeBatch};
use barflow_operators::trade::Trade;
use barflow_replay::decode::MARGIN;
use barflow_replay::rows::edges::Edges;
use barflow_replay::rows::read::read_rows;
use barflow_replay::rows::{Exclude, Layout, Output, Quote, RowFormat, RowRules, careful};
use proptest::prelude::*;

/// Trades, other rows, and what was not read.
type Made = (Vec<Trade>, usize, String);

/// Rows through the fast path and, one by one, through the careful one.
fn both_ways(columns: usize, agg: bool, text: &str) -> (Made, Made) {
    let feed = Arc::new(Feed::numbered("a:b:C".parse().unwrap()));
    let layout = if agg { Layout::AggTrades { columns } } else { Layout::Trades { columns } };
    let rules = RowRules {
        format: RowFormat {
            exclude: Exclude { zero_qty: layout.is_of_futures(), suspicious: true },
            layout,
            unit: 1_000_000,
            market: None,
            quote: Quote::Product,
            header: None,
        },
        from: i64::MIN,
        to: i64::MAX,
    };
    let mut bytes = vec![b'7'; MARGIN];
    bytes.extend_from_slice(text.as_bytes());
    let end = bytes.len();
    bytes.resize(end + 2 * MARGIN, b',');
    let run = |fast: bool| {
        let mut batch = TradeBatch::with_capacity(Arc::clone(&feed), 8);
        let (mut rejects, mut left_out, mut ordinal) = (Vec::new(), Vec::new(), 1);
        let source: Arc<str> = "t".into();
        let mut out = Output {
            edges: &mut Edges::default(),
            behind: None,
            other_header: false,
            batch: &mut batch,
            rejects: &mut rejects,
            left_out: &mut left_out,
            source: &source,
            line: 1,
            ordinal: &mut ordinal,
            rows: usize::MAX,
        };
        let mut at = MARGIN;
        if fast {
            at = read_rows(&rules, &bytes, at, end, &mut out);
        } else {
            while at < end && !out.other_header {
                at = careful::read_line(&rules, &bytes, at, end, &mut out);
            }
        }
        // Neither reads on after what may be a header of other columns, nor is that line counted.
        assert!(at == end || out.other_header, "{at} of {end}");
        let rest = text[at - MARGIN..].to_owned();
        (batch.iter().collect(), rejects.len() + left_out.len(), rest)
    };
    (run(true), run(false))
}

proptest! {
    #[test]
    fn fast_and_careful_agree_on_every_row(
        rows in proptest::collection::vec(
            (
                "[0-9]{1,18}",
                "([0-9]{1,9}(\\.[0-9]{0,9})?|[-+.eE0-9]{0,6})",
                "[0-9]{0,6}\\.?[0-9]{1,9}",
                "([0-9]{12,14}|[0-9]{0,20}|x)",
                "(True|False|true|false|TRUE|FALSE|0|1|yes|)",
                "(\n|\r\n|\n\n|,\n| \n)",
            ),
            1..12,
        ),
        spot in any::<bool>(),
        agg in any::<bool>(),
    ) {
        let mut text = String::new();
        for (id, price, qty, time, side, end) in rows {
            let middle = if agg { format!("{id},{id}") } else { qty.clone() };
            let best = if spot { ",True" } else { "" };
            text += &format!("{id},{price},{qty},{middle},{time},{side}{best}{end}");
        }
        let columns = if agg { 7 } else { 6 } + usize::from(spot);
        let (fast, careful) = both_ways(columns, agg, &text);
        prop_assert_eq!(fast, careful);
    }

    #[test]
    fn whatever_the_bytes_nothing_panics_and_every_line_is_accounted_for(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let text = String::from_utf8_lossy(&bytes).replace('\u{feff}', "?") + "\n";
        let (fast, careful) = both_ways(7, false, &text);
        prop_assert_eq!(fast, careful);
    }
}

//! Real files and every spelling of a row.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use barflow_operators::batch::{IdKind, InputKind};
use barflow_operators::input_batch::InputBatch;
use barflow_operators::position::FilePosition;
use barflow_operators::trade::{Aggressor, Trade};
use barflow_replay::error::ReplayError;
use barflow_replay::plan::{InstrumentPlan, Plan, PlanOptions};
use barflow_replay::planner::plan;
use barflow_replay::read_options::ReadOptions;
use barflow_replay::stream::InstrumentStream;
use barflow_replay::trades_parquet::write::{TradeWriter, WriteOptions};

fn data(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(path);
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

fn planned(paths: &[&Path], options: &PlanOptions) -> Result<Plan, ReplayError> {
    let inputs: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    plan(&inputs, options)
}

fn input_batches(
    history: &InstrumentPlan,
    options: ReadOptions,
) -> Result<Vec<InputBatch>, ReplayError> {
    InstrumentStream::open(history.clone(), options)?.collect()
}

fn trades(history: &InstrumentPlan, rows: usize) -> Vec<Trade> {
    let input_batches = input_batches(history, ReadOptions::new(rows)).unwrap();
    for input_batch in &input_batches {
        assert_eq!(input_batch.rejects, []);
        assert!(input_batch.trades.len() <= rows);
    }
    input_batches.iter().flat_map(|input_batch| input_batch.trades.iter()).collect()
}

fn only(plan: Plan) -> InstrumentPlan {
    assert_eq!(plan.instruments.len(), 1);
    plan.instruments[0].clone()
}

#[test]
fn the_three_bitmex_days_are_read_whole_and_in_order() {
    let Some(folder) = data("binance-layout") else { return };
    let history = only(planned(&[&folder], &PlanOptions::default()).unwrap());
    assert_eq!(history.feed.instrument.as_str(), "binance:spot:XBTUSD");
    assert_eq!(history.feed.ids, IdKind::Venue);
    assert_eq!(history.files.len(), 3);
    for (file, rows) in history.files.iter().zip([232_934, 268_891, 238_572]) {
        let one = InstrumentPlan { files: vec![file.clone()], ..history.clone() };
        assert_eq!(trades(&one, 8192).len(), rows);
    }
    let all = trades(&history, 10_000);
    assert!(all.iter().zip(1..).all(|(trade, id)| trade.trade_id == id));
    assert_eq!(all[0].event_time, 1_514_764_802_610_000_000);
    assert_eq!(all[0].quote, 13873.0 * 0.00072082);
    let from_source = PlanOptions { quote_from_source: true, ..PlanOptions::default() };
    let sourced = trades(&only(planned(&[&folder], &from_source).unwrap()), 8192);
    assert_eq!(sourced[0].quote, 10.0);
    assert_eq!(sourced.iter().map(|t| t.quote).sum::<f64>().fract(), 0.0);
}

#[test]
fn lean_days_have_new_york_times_and_no_aggressor() {
    let Some(folder) = data("lean/spy") else { return };
    let history = only(planned(&[&folder], &PlanOptions::default()).unwrap());
    assert_eq!(history.feed.instrument.as_str(), "lean:equity:SPY");
    assert!(!history.feed.has_aggressor);
    assert_eq!(history.feed.ids, IdKind::Ordinal);
    let all = trades(&history, 65_536);
    // Ten of them are flagged as suspicious.
    assert_eq!(all.len(), 250_601 + 451_545 + 439_677 + 460_032 - 10);
    // 2013-10-07 04:00:00.… in New York is 08:00 UTC: daylight saving time.
    let first = jiff::Timestamp::from_nanosecond(i128::from(all[0].event_time)).unwrap();
    assert!(first.to_string().starts_with("2013-10-07T08:0"), "{first}");
    assert!((100.0..200.0).contains(&all[0].price));
    assert!(all.iter().zip(1..).all(|(trade, ordinal)| trade.trade_id == ordinal));
}

#[test]
fn kraken_time_and_sales_are_read_without_aggressor() {
    let Some(file) = data("freqtrade/kraken/trades_csv/BCHEUR.csv") else { return };
    let history = only(planned(&[&file], &PlanOptions::default()).unwrap());
    assert_eq!(history.feed.instrument.as_str(), "kraken:spot:BCHEUR");
    let all = trades(&history, 100);
    assert_eq!(all.len(), 148);
    assert_eq!(all[0].event_time, 1_672_531_436_000_000_000);
    assert_eq!(
        (all[0].price, all[0].qty, all[0].aggressor),
        (90.54, 1.1044842, Aggressor::Unknown)
    );
}

const ROWS: [&str; 3] = [
    "3340296447,42283.58000000,0.00236000,99.78924880,1704067200000,True,True",
    "3340296448,42283.57000000,0.10000000,4228.35700000,1704067200001,False,True",
    "3340296449,42283.58000000,12345.67890123,99.78924880,1704067200001,True,True",
];

#[test]
fn tardis_rows_name_their_instrument_and_their_aggressor() {
    let Some(file) = data("nautilus_trader/tardis/trades.csv.gz") else { return };
    let history = only(planned(&[&file], &PlanOptions::default()).unwrap());
    assert_eq!(history.feed.instrument.as_str(), "binance:um:BTCUSDT");
    assert_eq!((history.feed.ids, history.feed.input), (IdKind::Venue, InputKind::Trades));
    assert!(history.feed.has_aggressor);
    let all = trades(&history, 1_000);
    assert_eq!(all.len(), 9_999);
    let first = &all[0];
    assert_eq!((first.trade_id, first.event_time), (42_377_944, 1_582_329_602_111_000_000));
    assert_eq!((first.price, first.qty, first.aggressor), (9682.0, 0.132, Aggressor::Buyer));
    assert!(all.iter().zip(42_377_944..).all(|(trade, id)| trade.trade_id == id));
}

const TARDIS: &str = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n";

#[test]
fn a_tardis_file_is_one_instrument_that_is_known_or_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trades.csv");
    let row = |market, id, side| format!("{market},1582329602111000,1,{id},{side},9682,0.5\n");
    for (market, name) in [
        ("binance,BTCUSDT", "binance:spot:BTCUSDT"),
        ("binance-delivery,BTCUSD_PERP", "binance:cm:BTCUSD_PERP"),
    ] {
        write(&path, format!("{TARDIS}{}", row(market, 1, "sell")).as_bytes());
        let history = only(planned(&[&path], &PlanOptions::default()).unwrap());
        assert_eq!(history.feed.instrument.as_str(), name);
        assert_eq!(trades(&history, 10)[0].aggressor, Aggressor::Seller);
    }

    let rows = ["bitmex,XBTUSD", "bitmex,ETHUSD", "deribit,XBTUSD", "bitmex,XBTUSD"];
    let rows: String = rows.iter().zip(1..).map(|(market, id)| row(market, id, "buy")).collect();
    let text = format!("{TARDIS}{rows}{}", row("bitmex,XBTUSD", 5, "unknown"));
    let text = text + &row("bitmex,XBTUSD", 6, "bid");
    write(&path, text.as_bytes());
    let error = planned(&[&path], &PlanOptions::default()).unwrap_err().to_string();
    assert!(error.contains("bitmex,XBTUSD") && error.contains("--instrument"), "{error}");
    let instrument = Some("bitmex:perp:XBTUSD".parse().unwrap());
    let options = PlanOptions { instrument, ..PlanOptions::default() };
    let history = only(planned(&[&path], &options).unwrap());
    let input_batches = input_batches(&history, ReadOptions::new(10)).unwrap();
    let ids: Vec<_> =
        input_batches.iter().flat_map(|i| i.trades.iter()).map(|t| t.trade_id).collect();
    assert_eq!(ids, [1, 4, 5]);
    let rejects: Vec<_> =
        input_batches.iter().flat_map(|i| &i.rejects).map(|r| (r.line, r.field.as_str())).collect();
    assert_eq!(rejects, [(3, "symbol"), (4, "exchange"), (7, "side")]);

    let headless = row("binance,BTCUSDT", 1, "buy") + &row("binance,BTCUSDT", 2, "buy");
    write(&path, headless.as_bytes());
    let error = planned(&[&path], &PlanOptions::default()).unwrap_err().to_string();
    assert!(error.contains("does not begin with their header"), "{error}");
}

fn write(path: &Path, text: &[u8]) {
    let name = path.to_str().unwrap();
    if name.ends_with(".gz") {
        let mut out = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        out.write_all(text).unwrap();
        fs::write(path, out.finish().unwrap()).unwrap();
    } else if name.ends_with(".zst") {
        fs::write(path, zstd::encode_all(text, 3).unwrap()).unwrap();
    } else if name.ends_with(".zip") {
        let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
        zip.start_file("inner.csv", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text).unwrap();
        zip.finish().unwrap();
    } else {
        fs::write(path, text).unwrap();
    }
}

fn read_text(name: &str, text: &str) -> Vec<Trade> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    write(&path, text.as_bytes());
    trades(&only(planned(&[&path], &PlanOptions::default()).unwrap()), 8192)
}

#[test]
fn packing_line_ends_headers_and_marks_change_no_trade() {
    let plain = read_text("BTCUSDT-trades-2024-01-01.csv", &(ROWS.join("\n") + "\n"));
    assert_eq!(plain.len(), 3);
    assert_eq!(plain[0].aggressor, Aggressor::Seller);
    assert_eq!(plain[1].price.to_bits(), 42283.57f64.to_bits());
    assert_eq!(plain[2].qty.to_bits(), 12345.67890123f64.to_bits());
    let header = "id,price,qty,quote_qty,time,is_buyer_maker,is_best_match";
    for ending in ["csv", "csv.gz", "csv.zst", "zip"] {
        for text in [
            ROWS.join("\n"),
            ROWS.join("\r\n") + "\r\n",
            format!("{header}\n{}\n", ROWS.join("\n")),
            format!("\u{feff}{header}\r\n{}", ROWS.join("\r\n")),
            format!("{}\n\n", ROWS.join("\n")),
            ROWS.join("\n").replace("True", "true").replace("False", "0"),
        ] {
            let read = read_text(&format!("BTCUSDT-trades-2024-01-01.{ending}"), &text);
            assert_eq!(read, plain, "{ending}: {text:?}");
        }
    }
}

#[test]
fn units_of_time_are_told_per_file() {
    let text =
        "1,10.0,1.0,10.0,1735689600000001,true,true\n2,10.0,1.0,10.0,1735689600000,true,true";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("BTCUSDT-trades-2025-01-01.csv");
    fs::write(&path, text).unwrap();
    let history = only(planned(&[&path], &PlanOptions::default()).unwrap());
    let read = input_batches(&history, ReadOptions::new(10)).unwrap();
    assert_eq!(read[0].trades.event_time, [1_735_689_600_000_001_000]);
    assert_eq!((read[0].rejects[0].line, &*read[0].rejects[0].field), (2, "time"));
}

#[test]
fn aggregates_count_their_trades_and_layouts_are_told_apart() {
    let futures = read_text(
        "BTCUSDT-aggTrades-2024-01-01.csv",
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n\
         7,42000.5,1.25,100,104,1704067200000,true\n8,42000.5,1,105,105,1704067200000,false\n",
    );
    assert_eq!(futures.iter().map(|t| t.count).collect::<Vec<_>>(), [5, 1]);
    let folder = tempfile::tempdir().unwrap();
    for (name, text, instrument, input) in [
        (
            "A-aggTrades-2024-01-01.csv",
            "7,4.5,1.2,1,4,1704067200000,true",
            "binance:um:A",
            InputKind::AggTrades,
        ),
        (
            "A-aggTrades-2024-01-02.csv",
            "7,4.5,1.2,1,4,1704067200000,true,true",
            "binance:spot:A",
            InputKind::AggTrades,
        ),
        (
            "A-trades-2024-01-03.csv",
            "7,4.5,1.2,5.4,1704067200000,true",
            "binance:um:A",
            InputKind::Trades,
        ),
        (
            "A-trades-2024-01-04.csv",
            "7,4.5,1.2,5.4,1704067200000,true,True",
            "binance:spot:A",
            InputKind::Trades,
        ),
        (
            "AUSD_PERP-trades-2024-01-05.csv",
            "7,4.5,1,2.2,1704067200000,true",
            "binance:cm:AUSD_PERP",
            InputKind::Trades,
        ),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let history = only(planned(&[&path], &PlanOptions::default()).unwrap());
        assert_eq!(history.feed.instrument.as_str(), instrument, "{name}");
        assert_eq!(history.feed.input, input, "{name}");
    }
}

#[test]
fn coin_margined_contracts_are_worth_their_size() {
    let read =
        read_text("BTCUSD_PERP-trades-2024-01-01.csv", "7,40000.0,3,0.0075,1704067200000,true");
    assert_eq!((read[0].quote, read[0].qty), (300.0, 300.0 / 40000.0));
    let read =
        read_text("ETHUSD_PERP-trades-2024-01-01.csv", "7,2000.0,3,0.015,1704067200000,true");
    assert_eq!((read[0].quote, read[0].qty), (30.0, 30.0 / 2000.0));
}

#[test]
fn every_bad_row_is_named_and_no_good_one_is_lost() {
    let good = |id: u64| format!("{id},10.5,1.0,10.5,1704067200000,true,true");
    let bad = [
        ("2,10.5,1.0,10.5,1704067200000,true", "row", "too few fields"),
        ("2,10.5,1.0,10.5,1704067200000,true,true,true", "row", "too many fields"),
        ("x,10.5,1.0,10.5,1704067200000,true,true", "trade_id", "not a whole number"),
        ("2,6l250.1,1.0,10.5,1704067200000,true,true", "price", "not a decimal number"),
        ("2,NaN,1.0,10.5,1704067200000,true,true", "price", "not a decimal number"),
        ("2,inf,1.0,10.5,1704067200000,true,true", "price", "not a decimal number"),
        ("2,0,1.0,10.5,1704067200000,true,true", "price", "greater than 0"),
        ("2,-1.5,1.0,10.5,1704067200000,true,true", "price", "greater than 0"),
        ("2,10.5,0.00000000,10.5,1704067200000,true,true", "qty", "greater than 0"),
        ("2,10.5,,10.5,1704067200000,true,true", "qty", "not a decimal number"),
        ("2,10.5,1.0,20abc,1704067200000,true,true", "quote_qty", "not a decimal number"),
        ("2,10.5,1.0,2;01.5,1704067200000,true,true", "quote_qty", "not a decimal number"),
        ("2,10.5,1.0,10.5,12,true,true", "time", "not between"),
        ("2,10.5,1.0,10.5,99999999999999999999,true,true", "time", "not a whole number"),
        ("2,10.5,1.0,10.5,1704067200000,maybe,true", "is_buyer_maker", "not True or False"),
        ("2,10.5,1.0,10.5,1704067200000,true,x", "is_best_match", "not True or False"),
        ("\u{fffd}garbage", "row", "too few fields"),
    ];
    let mut text = good(1) + "\n";
    for (row, _, _) in &bad {
        text += &format!("{row}\n{}\n", good(3));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("A-trades-2024-01-01.csv");
    fs::write(&path, text).unwrap();
    let history = only(planned(&[&path], &PlanOptions::default()).unwrap());
    let read = input_batches(&history, ReadOptions::new(8192)).unwrap();
    assert_eq!(read[0].trades.len(), 1 + bad.len());
    assert_eq!(read[0].rejects.len(), bad.len());
    for (place, (reject, (row, field, reason))) in read[0].rejects.iter().zip(bad).enumerate() {
        assert_eq!(reject.line, 2 + 2 * place as u64, "{row}");
        assert_eq!(reject.field, field, "{row}");
        assert!(reject.reason.contains(reason), "{row}: {}", reject.reason);
        assert_eq!(reject.raw, row);
        assert_eq!(reject.row as usize, place + 1);
        assert!(reject.source.ends_with("A-trades-2024-01-01.csv"));
    }
}

#[test]
fn only_the_wanted_times_are_taken() {
    let Some(folder) = data("binance-layout") else { return };
    let (from, to) = (1_514_851_200_000_000_000, 1_514_937_600_000_000_000);
    let options = PlanOptions { from: Some(from), to: Some(to), ..PlanOptions::default() };
    let history = only(planned(&[&folder], &options).unwrap());
    let read = ReadOptions { from: Some(from), to: Some(to), ..ReadOptions::new(8192) };
    let all: Vec<Trade> =
        input_batches(&history, read).unwrap().iter().flat_map(|i| i.trades.iter()).collect();
    assert_eq!(all.len(), 268_891);
}

#[test]
fn reading_resumes_at_every_batch() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for (day, ending) in ["zip", "csv.gz", "csv", "csv.zst"].iter().enumerate() {
        let rows: Vec<String> = (0..40)
            .map(|row| {
                let id = day * 40 + row + 1;
                format!("{id},10.{row:02},1.5,1.0,{},true,true", 1_704_067_200_000u64 + id as u64)
            })
            .collect();
        let path = folder.path().join(format!("A-trades-2024-01-0{}.{ending}", day + 1));
        write(&path, rows.join("\r\n").as_bytes());
        paths.push(path);
    }
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let history = only(planned(&paths, &PlanOptions::default()).unwrap());
    resumes_at_every_batch(&history);
    let nowhere = FilePosition::start("other.zip".into());
    let options = ReadOptions { resume: Some(nowhere), ..ReadOptions::new(7) };
    assert!(matches!(InstrumentStream::open(history, options), Err(ReplayError::Resume(_))));
}

/// Rows without ids are numbered as they are read: from the position on where they were before,
/// at the beginning of a later file too.
#[test]
fn rows_without_ids_keep_their_numbers_wherever_reading_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for file in 0..4 {
        let rows: Vec<String> = (0..40)
            .map(|row| format!("{},10.{row:02},1.5", 1_704_067_200 + file * 40 + row))
            .collect();
        let path = folder.path().join(format!("{file}.csv"));
        write(&path, rows.join("\n").as_bytes());
        paths.push(path);
    }
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let instrument = Some("kraken:spot:XBT-USD".parse().unwrap());
    let options = PlanOptions { instrument, ..PlanOptions::default() };
    let history = only(planned(&paths, &options).unwrap());
    assert_eq!(history.feed.ids, IdKind::Ordinal);
    resumes_at_every_batch(&history);
}

/// A position may be anybody's: no number is given twice, and none after the last there is.
#[test]
fn rows_without_ids_are_not_numbered_beyond_the_last_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.csv");
    write(&path, b"1704067200,10.1,1.5\n1704067201,10.2,1.5\n1704067202,10.3,1.5");
    let instrument = Some("kraken:spot:XBT-USD".parse().unwrap());
    let options = PlanOptions { instrument, ..PlanOptions::default() };
    let history = only(planned(&[&path], &options).unwrap());
    let read = |last| {
        let start = FilePosition::start(path.display().to_string().into());
        let resume = Some(FilePosition { trade_id: Some(last), ..start });
        let options = ReadOptions { resume, ..ReadOptions::new(2) };
        input_batches(&history, options).map(|batches| {
            let ids = batches.iter().flat_map(|batch| batch.trades.trade_id.iter().copied());
            ids.collect::<Vec<u64>>()
        })
    };
    let last = u64::MAX - 1;
    assert_eq!(read(last - 3).unwrap(), [last - 2, last - 1, last]);
    for last in last - 2..=u64::MAX {
        assert!(matches!(read(last), Err(ReplayError::Resume(_))), "{last}");
    }
}

fn resumes_at_every_batch(history: &InstrumentPlan) {
    let all = input_batches(history, ReadOptions::new(7)).unwrap();
    let tape: Vec<Trade> = all.iter().flat_map(|input_batch| input_batch.trades.iter()).collect();
    assert_eq!(tape.len(), 160);
    let mut done = 0;
    for input_batch in &all {
        for (position, done) in
            [(&input_batch.start, done), (&input_batch.end, done + input_batch.trades.len())]
        {
            let resumed = ReadOptions { resume: position.file().cloned(), ..ReadOptions::new(11) };
            let rest: Vec<Trade> = input_batches(history, resumed)
                .unwrap()
                .iter()
                .flat_map(|input_batch| input_batch.trades.iter())
                .collect();
            assert_eq!(rest, tape[done..], "{position:?}");
        }
        done += input_batch.trades.len();
    }
}

#[test]
fn trades_parquet_gives_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text, quote) in [
        ("A-trades-2024-01-01.csv", ROWS.join("\n"), false),
        (
            "B-aggTrades-2024-01-01.csv",
            "7,4.5,1.2,1,4,1704067200000,true\n8,4.5,1.2,5,5,1704067200001,false".into(),
            false,
        ),
        ("BTCUSD_PERP-trades-2024-01-01.csv", "7,40000.1,3,0.0075,1704067200000,true".into(), true),
    ] {
        let csv = folder.path().join(name);
        fs::write(&csv, text).unwrap();
        let history = only(planned(&[&csv], &PlanOptions::default()).unwrap());
        let read = input_batches(&history, ReadOptions::new(2)).unwrap();
        let path = folder.path().join(name.replace("csv", "parquet"));
        let mut writer = TradeWriter::create(
            &path,
            &history.feed,
            WriteOptions { with_quote: quote, ..WriteOptions::default() },
        )
        .unwrap();
        read.iter().for_each(|input_batch| writer.write(&input_batch.trades).unwrap());
        assert!(!path.exists(), "nothing stands under the name before it is whole");
        writer.finish().unwrap();
        let back = only(planned(&[&path], &PlanOptions::default()).unwrap());
        assert_eq!(back.feed, history.feed);
        assert_eq!(back.files[0].first_time, history.files[0].first_time);
        assert_eq!(trades(&back, 2), trades(&history, 2));
        let pieces = input_batches(&back, ReadOptions::new(2)).unwrap();
        let resumed = ReadOptions { resume: pieces[0].end.file().cloned(), ..ReadOptions::new(2) };
        let rest: usize =
            input_batches(&back, resumed).unwrap().iter().map(|i| i.trades.len()).sum();
        assert_eq!(rest, trades(&back, 2).len() - pieces[0].trades.len());
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6, "no unfinished file stays");
}

#[test]
fn a_quote_value_of_its_own_is_never_dropped_silently() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("BTCUSD_PERP-trades-2024-01-01.csv");
    fs::write(&csv, "7,40000.1,3,0.0075,1704067200000,true").unwrap();
    let history = only(planned(&[&csv], &PlanOptions::default()).unwrap());
    let mut read = input_batches(&history, ReadOptions::new(2)).unwrap();
    read[0].trades.quote[0] = 123.0;
    let mut writer = TradeWriter::create(
        &folder.path().join("x.parquet"),
        &history.feed,
        WriteOptions::default(),
    )
    .unwrap();
    let error = writer.write(&read[0].trades).unwrap_err();
    assert!(error.to_string().contains("quote value"), "{error}");
}

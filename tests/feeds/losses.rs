//! What a websocket loses, repeats or makes up: it is filled, or said, and never passes for something else.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::live::listen;
use crate::support::process::{Process, wait_until};
use crate::support::scripted::{
    Act, BEGIN, Row, ScriptedVenue, binance, binance_page, bybit, bybit_list, rows,
};

/// A live run of single-trade bars from a scripted venue, and the files that it writes.
struct Run {
    folder: tempfile::TempDir,
    process: Process,
}

/// How a run ended.
struct Ran {
    code: Option<i32>,
    /// The trades that made bars, by their prices less 100.
    trades: Vec<u64>,
    said: String,
    /// Ids of the ledger, or times in seconds since the script's begin where there are none.
    gaps: Vec<(i64, i64)>,
    quarantine: Vec<Value>,
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl Run {
    fn start(venue: &ScriptedVenue, protocol: &str, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("live.toml");
        let symbol = if protocol == "okx" { "BTC-USDT" } else { "BTCUSDT" };
        let feed = format!("venue = \"{protocol}\"\ninstruments = [\"{symbol}\"]");
        fs::write(&config, format!("[feeds.f]\n{feed}\n{settings}\n")).unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let process = listen(&[
            "--config",
            &file("live.toml"),
            "--at",
            &venue.address,
            "--bar",
            "t=tick,size=1",
            "--gaps",
            &file("gaps"),
            "--quarantine",
            &file("quarantine"),
        ]);
        Self { folder, process }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn stop(self) -> Ran {
        let (gaps, quarantine) = (self.file("gaps"), self.file("quarantine"));
        let (code, bars, said) = self.process.stop();
        let trade = |bar: &String| {
            let bar: Value = serde_json::from_str(bar).unwrap();
            bar["open"].as_f64().unwrap() as u64 - 100
        };
        let second = |time: &Value| time.as_i64().unwrap() / 1_000_000_000 - BEGIN;
        let gap = |gap: &Value| match gap["first_missing"].as_i64() {
            Some(first) => (first, gap["last_missing"].as_i64().unwrap()),
            None => (second(&gap["after_time"]), second(&gap["before_time"])),
        };
        Ran {
            code,
            trades: bars.iter().map(trade).collect(),
            said,
            gaps: lines(&gaps).iter().map(gap).collect(),
            quarantine: lines(&quarantine),
        }
    }
}

impl Ran {
    /// How many gaps the summary counts as given up.
    fn given_up(&self) -> usize {
        let line = self.said.lines().rfind(|line| line.contains("gaps: ")).unwrap();
        let before = line.split(" given up").next().unwrap();
        before.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

fn cut(mut acts: Vec<Act>) -> Vec<Act> {
    acts.push(Act::Cut);
    acts
}

#[test]
fn without_ids_every_loss_before_rest_answers_lies_in_a_window_of_the_ledger() {
    for losses in 1..4_u64 {
        // Ten come, five are lost, and so on; REST answers only then, and reaches back to none of it.
        let stretch = |n: u64| 15 * n + 1..15 * n + 11;
        let mut scripts: Vec<_> = (0..losses).map(|n| cut(bybit(&rows(stretch(n))))).collect();
        let last = 15 * losses + 1;
        scripts.push(bybit(&rows(last..100)));
        let venue = ScriptedVenue::start(scripts, move |_, at| {
            at.wait_for(losses as usize + 1);
            bybit_list(&rows(90..100))
        });
        let mut run = Run::start(&venue, "bybit-spot", "");
        let came = losses * 10 + 100 - last;
        run.process.wait_for(came as usize);
        let ran = run.stop();
        assert_eq!((ran.code, ran.trades.len() as u64), (Some(0), came), "{}", ran.said);
        for lost in (1..100).filter(|id| !ran.trades.contains(id)) {
            let told = |(after, before): &(i64, i64)| (*after..=*before).contains(&(lost as i64));
            assert!(ran.gaps.iter().any(told), "{lost} is lost in silence: {:?}", ran.gaps);
        }
        // Ledger, log and summary say it equally often.
        let logged = ran.said.matches("trades may be missing").count();
        assert_eq!((ran.gaps.len(), logged), (ran.given_up(), ran.given_up()), "{}", ran.said);
    }
}

#[test]
fn a_rest_that_lags_is_asked_again_and_one_that_goes_on_is_believed() {
    let sent: Vec<Row> = rows((1..=10).chain(15..=24));
    // It ends before what is missing, then it has everything.
    let venue = ScriptedVenue::start(vec![binance(&sent)], |path, at| match at.requests() {
        1..=5 => binance_page(path, &rows(1..=10)),
        _ => binance_page(path, &rows(1..=24)),
    });
    let mut run = Run::start(&venue, "binance-spot", "");
    run.process.wait_for(24);
    let ran = run.stop();
    assert_eq!((ran.code, &ran.trades), (Some(0), &(1..=24).collect()), "{}", ran.said);
    assert_eq!((ran.gaps.len(), ran.given_up()), (0, 0), "{}", ran.said);
    assert!(ran.said.contains("1 filled (on average after"), "{}", ran.said);

    let listed = sent.clone();
    let venue =
        ScriptedVenue::start(vec![binance(&sent)], move |path, _| binance_page(path, &listed));
    let mut run = Run::start(&venue, "binance-spot", "");
    run.process.wait_for(20);
    let ran = run.stop();
    assert_eq!((ran.gaps, venue.progress.requests()), (vec![(11, 14)], 3), "{}", ran.said);
    assert!(ran.said.contains("the venue's REST does not have them"), "{}", ran.said);
}

#[test]
fn what_a_venue_refuses_for_a_while_is_not_a_gap() {
    let sent: Vec<Row> = rows((1..=10).chain(15..=24));
    let venue = ScriptedVenue::start(vec![binance(&sent)], |path, at| match at.requests() {
        1..=4 => ("429 Slow down\r\nretry-after: 0".to_owned(), "{}".to_owned()),
        5..=6 => ("503 Away".to_owned(), "{}".to_owned()),
        _ => binance_page(path, &rows(1..=24)),
    });
    // The pauses after six refusals are far longer.
    let mut run = Run::start(&venue, "binance-spot", "backfill_budget = \"100ms\"");
    run.process.wait_for(24);
    let ran = run.stop();
    assert_eq!((ran.code, ran.gaps.len()), (Some(0), 0), "{}", ran.said);
    assert_eq!(ran.trades, (1..=24).collect::<Vec<_>>());
}

/// Trades of these ids that happen so many seconds later than those of [`rows`], at other prices.
fn anew(ids: std::ops::RangeInclusive<u64>, later: i64) -> Vec<Row> {
    let row = |row: Row| Row { seconds: row.seconds + later, price: row.price + 5_000, ..row };
    rows(ids).into_iter().map(row).collect()
}

#[test]
fn ids_that_begin_anew_are_an_error_and_do_not_pass_for_repeated_ones() {
    // Far below, just below, and among those that came.
    let again = [1..=30_u64, 950..=990, 1_002..=1_008];
    // After a reconnect, and on a connection that stands.
    for (again, stands) in again.into_iter().flat_map(|ids| [(ids.clone(), false), (ids, true)]) {
        let first = rows(1_000..=1_009);
        let count = again.clone().count();
        let second = anew(again.clone(), 2_000);
        let scripts = match stands {
            true => vec![[binance(&first), binance(&second)].concat()],
            false => vec![cut(binance(&first)), binance(&second)],
        };
        let venue = ScriptedVenue::start(scripts, move |path, _| binance_page(path, &first));
        let mut run = Run::start(&venue, "binance-spot", "");
        let quarantine = run.file("quarantine");
        run.process.wait_until("all set aside", |_| lines(&quarantine).len() >= count);
        let ran = run.stop();
        let said = &ran.said;
        assert_eq!((ran.code, ran.trades), (Some(1), (1_000..=1_009).collect()), "{said}");
        assert_eq!(ran.quarantine.len(), count);
        let id = |row: &Value| row["value"].as_str().unwrap().parse::<u64>().unwrap();
        assert!(ran.quarantine.iter().map(id).eq(again.clone()), "{:?}", ran.quarantine);
        assert!(said.contains("ERROR") && said.contains(", 0 duplicates"), "{said}");
        assert!(said.contains("--reset-state"), "{said}");
        assert!(
            said.contains(&format!("{count} trades after a reset of the id sequence")),
            "{said}"
        );
        // The first, the tenth and so on, and not each of them besides.
        let logged = |level: &str| {
            said.lines().filter(|line| line.contains(level) && line.contains("last one")).count()
        };
        assert_eq!((logged("ERROR"), logged("WARN")), (count.ilog10() as usize + 1, 0), "{said}");
    }
}

#[test]
fn a_repeat_is_equal_and_what_is_not_equal_is_counted_apart() {
    let first = rows(1..=10);
    let mut other = rows(5..=5);
    other[0].price += 1;
    for (again, conflicts) in [(rows(3..=8), 0), (other, 1)] {
        let second: Vec<Row> = again.iter().copied().chain(rows(11..=12)).collect();
        let all = rows(1..=12);
        let scripts = vec![cut(binance(&first)), binance(&second)];
        let venue = ScriptedVenue::start(scripts, move |path, _| binance_page(path, &all));
        let mut run = Run::start(&venue, "binance-spot", "");
        run.process.wait_for(12);
        let ran = run.stop();
        assert_eq!(ran.trades, (1..=12).collect::<Vec<_>>(), "the first one counts");
        assert_eq!((ran.code, ran.quarantine.len()), (Some(conflicts), conflicts as usize));
        let counted = format!("{conflicts} repeated ids with other content");
        assert_eq!(ran.said.contains(&counted), conflicts > 0, "{}", ran.said);
    }
}

#[test]
fn a_trade_far_ahead_of_its_receive_time_is_a_bad_row_and_leaves_no_gap() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let ahead = now.as_secs() as i64 - BEGIN + 2 * 86_400;
    let mut all = rows(1..=20);
    all[5].seconds = ahead;
    // Once over the websocket, once only by REST.
    for lost in [false, true] {
        let sent: Vec<Row> = all.iter().copied().filter(|row| !lost || row.id != 6).collect();
        let listed = all.clone();
        let venue =
            ScriptedVenue::start(vec![binance(&sent)], move |path, _| binance_page(path, &listed));
        let mut run = Run::start(&venue, "binance-spot", "");
        run.process.wait_for(19);
        let ran = run.stop();
        let expected: Vec<u64> = (1..=20).filter(|id| *id != 6).collect();
        assert_eq!((ran.code, &ran.trades), (Some(1), &expected), "{}", ran.said);
        assert_eq!((ran.gaps.len(), ran.given_up()), (0, 0), "{}", ran.said);
        assert!(ran.quarantine.iter().any(|row| row["field"] == "time"), "{:?}", ran.quarantine);
        assert!(ran.said.contains("time in the future 1"), "{}", ran.said);
    }
    // Any time is believed where the setting says so.
    let sent = all.clone();
    let venue = ScriptedVenue::start(vec![binance(&sent)], move |path, _| binance_page(path, &all));
    let mut run = Run::start(&venue, "binance-spot", "ahead_max = \"0\"");
    run.process.wait_for(20);
    assert_eq!(run.stop().quarantine.len(), 0);
}

/// Otherwise every later trade would come too late.
#[test]
fn an_id_far_ahead_is_a_bad_row_when_the_venue_continues_below_it() {
    // REST lags: most trades below the id come over the websocket alone.
    let listed = rows(1..=20);
    let mut sent = rows(1..=60);
    sent.insert(5, Row { id: 1 << 50, ..listed[5] });
    let venue =
        ScriptedVenue::start(vec![binance(&sent)], move |path, _| binance_page(path, &listed));
    let mut run = Run::start(&venue, "binance-spot", "backfill_budget = \"5s\"");
    run.process.wait_until_it_says("an id far ahead of all others");
    run.process.wait_for(60);
    let ran = run.stop();
    assert_eq!((ran.code, ran.trades.clone()), (Some(1), (1..=60).collect()), "{}", ran.said);
    assert_eq!((ran.gaps.len(), ran.quarantine.len()), (0, 1), "{}", ran.said);
    assert!(ran.said.contains("quarantined 1"), "{}", ran.said);
}

/// A frame of OKX's aggregates: one trade that stands for these ids.
fn okx_aggregate(first: u64, last: u64) -> Act {
    let data = json!([{
        "instId": "BTC-USDT", "tradeId": last.to_string(), "px": (100 + last).to_string(),
        "sz": (last - first + 1).to_string(), "side": "buy", "count": (last - first + 1).to_string(),
        "ts": ((BEGIN + last as i64) * 1_000).to_string(), "source": "0", "seqId": last
    }]);
    let arg = json!({"channel": "trades", "instId": "BTC-USDT"});
    Act::Say(json!({"arg": arg, "data": data}).to_string())
}

/// A list of OKX's REST, of single trades, newest first.
fn okx_list(ids: impl DoubleEndedIterator<Item = u64>) -> (String, String) {
    let row = |id: u64| {
        json!({
            "instId": "BTC-USDT", "tradeId": id.to_string(), "px": (100 + id).to_string(),
            "sz": "1", "side": "buy", "ts": ((BEGIN + id as i64) * 1_000).to_string()
        })
    };
    let rows: Vec<Value> = ids.rev().map(row).collect();
    ("200 OK".to_owned(), json!({"code": "0", "msg": "", "data": rows}).to_string())
}

/// REST lists one by one what the stream brings as one.
#[test]
fn an_aggregate_and_its_single_trades_count_once() {
    let ack = json!({
        "event": "subscribe", "arg": {"channel": "trades", "instId": "BTC-USDT"}, "connId": "x"
    });
    let ack = Act::Say(ack.to_string());
    let asked = Arc::new(AtomicBool::new(false));
    let first = vec![ack.clone(), okx_aggregate(101, 103), okx_aggregate(104, 110), Act::Cut];
    let second = vec![ack, Act::Wait(Arc::clone(&asked)), okx_aggregate(801, 805)];
    let venue = ScriptedVenue::start(vec![first, second], move |path, progress| {
        if !path.contains("history-trades") {
            // The aggregate comes while the list of the latest trades is under way.
            asked.store(true, Ordering::Release);
            progress.wait_for(2);
            return okx_list(306..=806);
        }
        let after = path.split("after=").nth(1).and_then(|rest| rest.split('&').next());
        let after: u64 = after.unwrap().parse().unwrap();
        // One is in no list.
        okx_list((after - 100..after.min(807)).filter(|id| *id != 115))
    });
    let mut run = Run::start(&venue, "okx", "channel = \"aggregates\"");
    run.process.wait_for(693);
    let ran = run.stop();
    let single = (111..=800).filter(|id| *id != 115);
    let expected: Vec<u64> = [103, 110].into_iter().chain(single).chain([805, 806]).collect();
    assert_eq!((ran.code, &ran.trades), (Some(0), &expected), "{}", ran.said);
    assert_eq!(ran.gaps, [(115, 115)], "{}", ran.said);
}

/// Bybit's names repeat after a reconnect; another trade under one of them is not the same trade.
#[test]
fn a_name_that_comes_again_with_other_content_is_a_conflict() {
    let first = rows(1..=10);
    let mut other = rows(8..=12);
    other[0].price += 1;
    let scripts = vec![cut(bybit(&first)), bybit(&other)];
    let venue = ScriptedVenue::start(scripts, |_, _| bybit_list(&rows(1..=12)));
    let mut run = Run::start(&venue, "bybit-spot", "");
    run.process.wait_for(12);
    let ran = run.stop();
    assert_eq!(ran.trades, (1..=12).collect::<Vec<_>>(), "the first one counts");
    assert_eq!((ran.code, ran.quarantine.len()), (Some(1), 1), "{}", ran.said);
    assert!(ran.said.contains("1 repeated ids with other content"), "{}", ran.said);
}

/// Bars that do not wait for a trade can take it for as long as the revision window reaches.
#[test]
fn a_trade_that_comes_after_the_revision_window_has_passed_is_lost_and_said_to_be() {
    let all = rows(1..=3_000);
    let sent: Vec<Row> = all.iter().copied().filter(|row| !(11..=12).contains(&row.id)).collect();
    let passed = Arc::new(AtomicBool::new(false));
    let wait = Arc::clone(&passed);
    // More than the window comes when the gap has been put off.
    let more = Arc::new(AtomicBool::new(false));
    let (first, second) = sent.split_at(1_500);
    let script = [binance(first), vec![Act::Wait(Arc::clone(&more))], binance(second)].concat();
    let venue = ScriptedVenue::start(vec![script], move |path, _| {
        wait_until("the window's end", || wait.load(Ordering::Acquire));
        binance_page(path, &all)
    });
    // A request that ends in vain meanwhile is made again.
    let settings =
        "backfill_budget = \"10m\"\n[live]\non_gap = \"revise\"\nrevision_window = \"500\"";
    let mut run = Run::start(&venue, "binance-spot", settings);
    run.process.wait_for(first.len());
    more.store(true, Ordering::Release);
    run.process.wait_for(sent.len());
    passed.store(true, Ordering::Release);
    let gaps = run.file("gaps");
    run.process.wait_until("both lost", |_| lines(&gaps).len() == 2);
    let ran = run.stop();
    let said = &ran.said;
    assert_eq!((ran.code, ran.trades.len()), (Some(1), sent.len()), "{said}");
    assert_eq!(ran.gaps, [(11, 11), (12, 12)]);
    assert_eq!(ran.quarantine.len(), 2, "{said}");
    assert!(said.contains("gaps: 1 opened, 0 filled, 2 given up (2 ids)"), "{said}");
    assert!(said.contains("quarantined 2") && said.contains("2 refused"), "{said}");
    assert!(said.contains("revision_window"), "{said}");
}

/// They came, and no bar contains them.
#[test]
fn trades_that_wait_for_missing_ones_at_the_end_are_told() {
    let sent: Vec<Row> = rows((1..=10).chain(15..=24));
    let venue = ScriptedVenue::start(vec![binance(&sent)], |path, _| {
        let (status, body) = binance_page(path, &rows(1..=10));
        (
            if path.contains("istoricalTrades") {
                "503 Service Unavailable".into()
            } else {
                status
            },
            body,
        )
    });
    let mut run = Run::start(&venue, "binance-spot", "backfill_budget = \"10m\"");
    run.process.wait_for(10);
    run.process.wait_until("a request for them", |_| venue.progress.requests() >= 1);
    let ran = run.stop();
    assert_eq!((ran.code, ran.trades.len()), (Some(0), 10), "{}", ran.said);
    assert!(ran.said.contains("10 trades waited for missing ones at the end"), "{}", ran.said);
}

#[test]
fn a_bad_row_of_rest_is_set_aside_and_fails_the_run() {
    let sent: Vec<Row> = rows((1..=10).chain(15..=24));
    let venue = ScriptedVenue::start(vec![binance(&sent)], |path, _| {
        let (status, body) = binance_page(path, &rows(1..=24));
        (status, body.replace("\"price\":\"112\"", "\"price\":\"-112\""))
    });
    let mut run = Run::start(&venue, "binance-spot", "");
    run.process.wait_for(23);
    let ran = run.stop();
    let expected: Vec<u64> = (1..=24).filter(|id| *id != 12).collect();
    assert_eq!((ran.code, &ran.trades), (Some(1), &expected), "{}", ran.said);
    assert_eq!(ran.gaps, [(12, 12)], "{}", ran.said);
    assert!(ran.quarantine.iter().all(|row| row["field"] == "price"), "{:?}", ran.quarantine);
    let quarantined = format!("quarantined {}", ran.quarantine.len());
    assert!(!ran.quarantine.is_empty() && ran.said.contains(&quarantined), "{}", ran.said);
}

/// No id says that it is left out.
#[test]
fn a_time_in_the_future_of_a_venue_without_ids_fails_the_run() {
    let mut sent = rows(1..=10);
    sent[5].seconds += 10 * 366 * 86_400;
    let listed = sent[..3].to_vec();
    let venue = ScriptedVenue::start(vec![bybit(&sent)], move |_, _| bybit_list(&listed));
    let mut run = Run::start(&venue, "bybit-spot", "");
    run.process.wait_for(9);
    let ran = run.stop();
    assert_eq!((ran.code, ran.quarantine.len()), (Some(1), 1), "{}", ran.said);
    assert!(ran.said.contains("quarantined 1"), "{}", ran.said);
    assert!(!ran.said.contains(": late"), "{}", ran.said);
}

#[test]
fn a_recording_whose_folder_is_removed_ends_with_code_3() {
    let sent = rows(1..=10);
    let venue = ScriptedVenue::start(vec![binance(&sent)], |path, _| binance_page(path, &[]));
    let folder = tempfile::tempdir().unwrap();
    let recordings = folder.path().join("recordings");
    let record = format!("[live]\nrecord = \"{}\"", recordings.display());
    let mut run = Run::start(&venue, "binance-spot", &record);
    run.process.wait_for(10);
    wait_until("a recording", || {
        fs::read_dir(&recordings).is_ok_and(|mut files| files.next().is_some())
    });
    fs::remove_dir_all(&recordings).unwrap();
    let ran = run.stop();
    assert_eq!(ran.code, Some(3), "{}", ran.said);
    assert!(ran.said.contains(recordings.to_str().unwrap()), "{}", ran.said);
}

#[test]
fn a_pipe_in_the_place_of_the_settings_changes_nothing_and_holds_nothing_up() {
    let sent = rows(1..=10);
    let venue = ScriptedVenue::start(vec![binance(&sent)], |path, _| binance_page(path, &[]));
    let mut run = Run::start(&venue, "binance-spot", "");
    run.process.wait_for(10);
    let config = run.file("live.toml");
    let settings = fs::read_to_string(&config).unwrap();
    fs::remove_file(&config).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&config).status().unwrap();
    assert!(made.success());
    run.process.signal("HUP");
    run.process.wait_until_it_says("it is a pipe, not a regular file");
    // And the next settings are heard of.
    fs::remove_file(&config).unwrap();
    fs::write(&config, settings.replace("\"BTCUSDT\"", "\"BTCUSDT\", \"ETHUSDT\"")).unwrap();
    run.process.signal("HUP");
    run.process.wait_until_it_says("instrument added");
    let ran = run.stop();
    assert_eq!((ran.code, ran.trades.len()), (Some(0), 10), "{}", ran.said);
    assert!(ran.said.contains("live.toml"), "{}", ran.said);
}

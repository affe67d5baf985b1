//! Three columns without a header: Kraken's, or anybody's.

use std::fs;

use crate::support::process::run;

const MARCH_MS: i64 = 1_709_251_200_000;
const BAR: [&str; 2] = ["--bar", "t=tick,size=1"];
const OWN: [&str; 2] = ["--instrument", "own:spot:X"];

/// BitMEX and others write time, price and a quantity whose sign is the side: Kraken's order of columns.
#[test]
fn three_columns_without_names_are_krakens_only_where_a_name_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, time: &dyn Fn(i64) -> String, sells_after: i64| {
        let row = |n: i64| {
            let sign = if n >= sells_after && n % 2 == 0 { "-" } else { "" };
            format!("{},{},{sign}{}\n", time(n), 9_000 + n % 7, 1 + n % 3)
        };
        fs::write(folder.path().join(name), (0..2_000).map(row).collect::<String>()).unwrap();
    };
    let seconds = |n: i64| format!("{}", MARCH_MS / 1000 + n);
    let ms = |n: i64| format!("{}", MARCH_MS + n * 1000);
    // Unsigned at first, or altogether: nothing in the rows tells them from Kraken's.
    file("trades.csv", &seconds, i64::MAX);
    file("XBTUSD-1M-2024-03.csv", &seconds, 1_500);
    file("XBTUSD.csv", &seconds, 10);
    file("XBTEUR.csv", &ms, i64::MAX);
    file("ETHUSD.csv", &seconds, i64::MAX);
    for (name, why) in [
        ("trades.csv", "its name is not one of Kraken's pairs"),
        ("XBTUSD-1M-2024-03.csv", "its name is not one of Kraken's pairs"),
        ("XBTUSD.csv", "no header, and a negative quantity"),
        ("XBTEUR.csv", "no header, and times that are not in seconds"),
    ] {
        for more in [&[][..], &OWN] {
            let output = run(folder.path(), &[&["replay", name][..], &BAR, more].concat());
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{name}: {said}");
            assert!(said.contains(why), "{name}: {said}");
            assert!(said.contains("--columns time=1,price=2,qty=3"), "{name}: {said}");
            assert!(output.stdout.is_empty(), "{name}");
        }
        // As advised.
        let columns = ["--columns", "time=1,price=2,qty=3,side=3"];
        let output = run(folder.path(), &[&["replay", name][..], &BAR, &OWN, &columns].concat());
        let bars = String::from_utf8(output.stdout).unwrap();
        assert_eq!((output.status.code(), bars.lines().count()), (Some(0), 2_000), "{name}");
    }
    // Days and quarters of a pair are one history.
    for n in 0..3_i64 {
        let name = format!("LTCUSD_2024-03-{:02}.csv", n + 1);
        file(&name, &|row| format!("{}", MARCH_MS / 1000 + n * 86_400 + row), i64::MAX);
    }
    let days =
        ["replay", "LTCUSD_2024-03-01.csv", "LTCUSD_2024-03-02.csv", "LTCUSD_2024-03-03.csv"];
    let output = run(folder.path(), &[&days[..], &["--bar", "t=tick,size=6000"]].concat());
    let bars = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), bars.lines().count()), (Some(0), 1));
    assert!(bars.contains("\"instrument\":\"kraken:spot:LTCUSD\""), "{bars}");
    // With a header, the name still has to say the pair, or the archives' form.
    let mut headed = "time,price,volume\n".to_owned();
    headed += &fs::read_to_string(folder.path().join("LTCUSD_2024-03-01.csv")).unwrap();
    for (name, expected) in [("LTCUSD-trades-2024-03-01.csv", 0), ("my_LTCUSD.csv", 2)] {
        fs::write(folder.path().join(name), &headed).unwrap();
        let output = run(folder.path(), &[&["replay", name][..], &BAR].concat());
        assert_eq!(output.status.code(), Some(expected), "{name}");
        let bars = String::from_utf8(output.stdout).unwrap();
        let is_named = bars.contains("\"instrument\":\"kraken:spot:LTCUSD\"");
        assert_eq!(is_named, expected == 0, "{name}");
    }
    for (name, more) in
        [("ETHUSD.csv", &[][..]), ("trades.csv", &["--instrument", "kraken:spot:ETHUSD"])]
    {
        let output = run(folder.path(), &[&["replay", name][..], &BAR, more].concat());
        let bars = String::from_utf8(output.stdout).unwrap();
        assert_eq!((output.status.code(), bars.lines().count()), (Some(0), 2_000), "{name}");
        assert!(bars.contains("\"instrument\":\"kraken:spot:ETHUSD\""), "{name}");
    }
}

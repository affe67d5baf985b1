//! Files whose last row is cut, because they are still being written, and jobs that go on.

use std::ops::RangeInclusive;

use super::changed_files::{Ids::Venue, Job, second};

/// A file that is still being written may end amid a number.
#[test]
fn half_a_number_is_not_kept_by_a_job_that_goes_on() {
    let columns = ["--columns", "id=1,time=2,time_unit=ms,qty=3,price=4"];
    let text = |trades: RangeInclusive<i64>| {
        let row = |n: i64| format!("{n},{},0.5,{}\n", second(n), 60_000 + n % 7);
        trades.map(row).collect::<String>()
    };
    for more in [&[][..], &["--parallel", "2"], &["--batch-rows", "3"]] {
        let options = [&columns[..], more].concat();
        for (cut, grown, line) in [(3, 10, 10), (3, 25, 10), (1, 25, 0)] {
            let job = Job::new(Venue);
            let whole = text(1..=10);
            job.write("x.csv", &whole[..whole.len() - cut]);
            let (code, bars, said) = job.run(&options);
            assert_eq!((code, bars), (Some(0), 10), "{said}");
            let before = job.bars();
            job.write("x.csv", &text(1..=grown));
            let (code, bars, said) = job.run(&options);
            if line == 0 {
                // Only its line end was missing.
                assert_eq!((code, bars), (Some(0), grown as usize), "{said}");
                continue;
            }
            assert_eq!(code, Some(2), "{more:?}: {said}");
            for word in ["d/x.csv:10 is the last row", "reads differently", "--reset-state"] {
                assert!(said.contains(word), "{word}: {said}");
            }
            assert_eq!(job.bars(), before);
            let (code, bars, said) = job.run(&[&options[..], &["--reset-state"]].concat());
            assert_eq!((code, bars), (Some(0), grown as usize), "{said}");
        }
    }
}

/// It may have been read to its end, and other files after it.
#[test]
fn half_a_number_is_not_kept_where_further_files_were_read() {
    let columns = ["--columns", "id=1,time=2,time_unit=ms,qty=3,price=4"];
    let text = |trades: RangeInclusive<i64>| {
        let row = |n: i64| format!("{n},{},0.5,{}\n", second(n), 60_000 + n % 7);
        trades.map(row).collect::<String>()
    };
    for (cut, is_refused) in [(3, true), (1, false), (0, false)] {
        let job = Job::new(Venue);
        let whole = text(1..=10);
        job.write("a.csv", &whole[..whole.len() - cut]);
        job.write("b.csv", &text(11..=20));
        let (code, bars, said) = job.run(&columns);
        assert_eq!((code, bars), (Some(0), 20), "{said}");
        let before = job.bars();
        job.write("a.csv", &whole);
        job.write("c.csv", &text(21..=30));
        let (code, bars, said) = job.run(&columns);
        if !is_refused {
            assert_eq!((code, bars), (Some(0), 30), "{said}");
            continue;
        }
        assert_eq!(code, Some(2), "{said}");
        let was = format!("d/a.csv had {} bytes when the job read it", whole.len() - cut);
        for word in [&*was, "amid its last row, which continues now", "--reset-state"] {
            assert!(said.contains(word), "{word}: {said}");
        }
        assert_eq!(job.bars(), before);
        let (code, bars, said) = job.run(&[&columns[..], &["--reset-state"]].concat());
        assert_eq!((code, bars), (Some(0), 30), "{said}");
    }
}

/// The id of the row may be what was cut.
#[test]
fn half_an_id_is_not_kept_by_a_job_that_goes_on() {
    let columns = ["--columns", "time=1,time_unit=ms,qty=2,price=3,id=4"];
    let row = |n: i64, id: i64| format!("{},0.5,60000,{id}\n", second(n));
    let text = (1..=5).map(|n| row(n, n)).collect::<String>() + &row(6, 1234);
    let job = Job::new(Venue);
    job.write("x.csv", text.strip_suffix("34\n").unwrap());
    let (code, bars, said) = job.run(&columns);
    assert_eq!((code, bars), (Some(0), 6), "{said}");
    job.write("x.csv", &text);
    let (code, _, said) = job.run(&columns);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("d/x.csv:6 is the last row"), "{said}");
}

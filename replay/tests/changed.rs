//! A file that changes between the look at it and its end is not taken for whole.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use barflow_replay::error::ReplayError;
use barflow_replay::plan::PlanOptions;
use barflow_replay::planner::plan;
use barflow_replay::read_options::ReadOptions;
use barflow_replay::stream::InstrumentStream;

fn rows(ids: std::ops::Range<u64>) -> String {
    ids.map(|id| format!("{id},60000,0.5,30000,{},true,true\n", 1_709_251_200_000 + id)).collect()
}

#[test]
fn a_file_that_grows_or_shrinks_while_it_is_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("BTCUSDT-trades-2024-03-01.csv");
    let read = |change: &dyn Fn()| -> Result<usize, ReplayError> {
        fs::write(&path, rows(1..2000)).unwrap();
        let found = plan(&[path.display().to_string()], &PlanOptions::default()).unwrap();
        let mut stream =
            InstrumentStream::open(found.instruments[0].clone(), ReadOptions::new(100)).unwrap();
        let first = stream.next().unwrap()?.trades.len();
        change();
        stream.try_fold(first, |rows, batch| Ok(rows + batch?.trades.len()))
    };
    assert_eq!(read(&|| {}).unwrap(), 1999);
    let grow = || {
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(rows(2000..2001).as_bytes()).unwrap();
    };
    let error = read(&grow).unwrap_err().to_string();
    assert!(error.contains("changed while it was read"), "{error}");
    let replace = || fs::write(&path, rows(1..10)).unwrap();
    let error = read(&replace).unwrap_err().to_string();
    assert!(error.contains("changed while it was read"), "{error}");
}

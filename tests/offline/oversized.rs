//! Values that are far longer, and claims that are far larger, than those of any honest file.

use std::fs;
use std::path::{Path, PathBuf};

use crate::hostile::peak;
use crate::support::archives;
use crate::support::process::{Process, barflow};
use crate::support::spoiled;

/// Trades as we keep them, with another value of a key of the footer.
fn footer_says(folder: &Path, key: &str, value: &dyn Fn(Option<String>) -> String) -> PathBuf {
    let kept = folder.join("kept");
    let kept = match fs::read_dir(&kept) {
        Ok(mut files) => files.next().unwrap().unwrap().path(),
        Err(_) => {
            let rows = archives::day_rows(1, 200);
            let archive = archives::write(folder, "BTCUSDT-trades-2024-03-01", &rows);
            spoiled::as_parquet(&[archive], &kept)
        }
    };
    let path = folder.join("changed.trades.parquet");
    spoiled::rewrite_with_note(&kept, &path, key, value);
    path
}

fn finish(arguments: &[&str], path: &Path) -> (Option<i32>, String) {
    let mut command = barflow();
    command.args(arguments).arg(path);
    Process::start(command).finish()
}

const REPLAY: [&str; 5] = ["replay", "--bar", "t=tick,size=50", "--sink", "none"];

#[test]
fn ids_that_a_footer_leaves_out_are_counted_before_they_are_believed() {
    let folder = tempfile::tempdir().unwrap();
    let says = |text: &str| footer_says(folder.path(), "barflow.left_out", &|_| text.to_owned());
    for text in [
        r#"{"x":[[1,4611686018427387904]]}"#,
        r#"{"x":[[0,18446744073709551615]]}"#,
        r#"{"x":[[5000,7000000]]}"#,
        r#"{"x":[[2,1]]}"#,
    ] {
        let path = says(text);
        for more in [&[][..], &["--parallel", "2"]] {
            let (code, said) = finish(&[&REPLAY[..], more].concat(), &path);
            assert_eq!(code, Some(2), "{text}: {said}");
            let named = said.contains("changed.trades.parquet: barflow.left_out: expected");
            assert!(named, "{text}: {said}");
        }
    }
    let path = says(r#"{"x":[[10000,1009999]]}"#);
    let (code, said) = finish(&REPLAY, &path);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("left out 1,000,000 (x)") && peak(&said) < 300, "{said}");
}

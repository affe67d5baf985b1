//! Any bytes as a file that is said to be a recording.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use barflow::recording::reader::{self, Format};
use barflow::recording::{RecordingError, Recorded, native};
use libfuzzer_sys::fuzz_target;

/// Items taken of a file: a few KB of zstd can hold millions of lines, and they teach nothing new.
const ITEMS: usize = 2_000;

/// The reader opens files, since recordings are larger than memory. One file per process: fuzzers
/// run side by side.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::temp_dir().join(format!("barflow-fuzz-{}.capture", std::process::id()))
});

/// All there is in a file, and whether the end was remarked on; lines that are no frames are only
/// counted in their place.
#[derive(Debug, PartialEq)]
struct Contents {
    format: Format,
    lines: Vec<(u64, Option<Recorded>)>,
    broken: bool,
    remarked: bool,
}

fn contents(path: &Path) -> Option<Contents> {
    let mut reader = reader::open(path).ok()?;
    let format = reader.format();
    let mut all = Contents { format, lines: Vec::new(), broken: false, remarked: false };
    while let Some(item) = reader.next() {
        assert!(!all.broken, "an item behind an error that should have been the last");
        match item {
            Ok(recorded) => all.lines.push((reader.line(), Some(recorded))),
            Err(RecordingError::Line { line, .. }) => {
                assert_eq!(line, reader.line());
                all.lines.push((line, None));
            }
            Err(RecordingError::Broken { .. }) => all.broken = true,
            Err(error) => panic!("a file of bytes in memory gives no such error: {error}"),
        }
        if all.lines.len() == ITEMS {
            return Some(all);
        }
    }
    assert!(reader.next().is_none(), "the end is the end");
    assert!(all.lines.is_sorted_by(|a, b| a.0 < b.0), "one item a line");
    all.remarked = reader.remark().is_some();
    Some(all)
}

fuzz_target!(|bytes: &[u8]| {
    let complete = FILE.as_path();
    let part = complete.with_extension("part");
    fs::write(complete, bytes).expect("the folder for temporary files can be written");
    let whole = contents(complete);
    fs::rename(complete, &part).expect("it was just written");
    let cut = contents(&part);

    // A file that was being written may end anywhere: the same frames, and a remark where a
    // complete file is called broken.
    match (&whole, &cut) {
        (Some(whole), Some(cut)) => {
            assert!(!whole.remarked);
            assert_eq!((whole.format, &whole.lines), (cut.format, &cut.lines));
            assert_eq!(whole.broken, cut.remarked || cut.broken);
        }
        (None, Some(cut)) => assert!(cut.lines.is_empty() && cut.remarked, "{cut:?}"),
        (Some(_), None) => panic!("a recording only when it is complete"),
        (None, None) => {}
    }

    // Whatever was read can be written as a recording of ours and comes back.
    for (_, recorded) in whole.into_iter().flat_map(|whole| whole.lines) {
        let Some(recorded) = recorded else { continue };
        let mut line = Vec::new();
        native::encode(&recorded, &mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        assert!(!line.contains(&b'\n'));
        assert_eq!(native::parse(&line), Ok(Some(recorded)));
    }
});

//! Any text as a configuration: of a replay, of a live run, of a sweep, and as an expectation suite.
#![no_main]

use barflow::config::file::ConfigFile;
use barflow::config::live::LiveSettings;
use barflow::config::problem::Problems;
use barflow::config::quality;
use barflow::config::replay::{ReplaySettings, Typed};
use barflow::config::sweep::{SweepSettings, TypedSweep};
use libfuzzer_sys::fuzz_target;

/// A refusal has a reason.
fn judge<T>(understood: Result<T, Problems>) {
    if let Err(problems) = understood {
        assert!(!problems.0.is_empty());
        assert!(!problems.to_string().is_empty());
    }
}

fuzz_target!(|text: &str| {
    let file = || ConfigFile::parse("c.toml", text);
    match file() {
        Ok(file) if !file.expect.is_empty() => judge(quality::understand(file, "c.toml")),
        Ok(_) => {}
        Err(problems) => return judge::<()>(Err(problems)),
    }
    let again = || file().unwrap_or_default();
    judge(ReplaySettings::understand(again(), Typed::default()));
    judge(LiveSettings::understand(again(), Typed::default()));
    judge(SweepSettings::understand(again(), TypedSweep::default()));
});

//! `barflow check`: is a configuration lawful? Touches nothing.

use super::args::CheckArgs;
use super::failure::{Failure, Outcome};
use crate::config::file::ConfigFile;
use crate::config::problem::Problems;
use crate::config::replay::{ReplaySettings, Typed};

/// Checks every file and says what each would do.
///
/// # Errors
/// All problems of all files.
pub fn run(args: &CheckArgs) -> Result<Outcome, Failure> {
    let mut problems = Problems::default();
    for path in &args.files {
        let understood = ConfigFile::read(path)
            .and_then(|file| ReplaySettings::understand(file, Typed::default()));
        match understood {
            Ok(settings) => {
                let bars = settings.bars.orders();
                let names: Vec<&str> = bars.iter().map(|order| &**order.spec.name()).collect();
                println!("{}: ok ({} bars: {})", path.display(), bars.len(), names.join(", "));
            }
            Err(found) => problems.0.extend(found.0),
        }
    }
    problems.or(Outcome::Done).map_err(Failure::usage)
}

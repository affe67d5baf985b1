//! Other programs, in the Python that `.ci/peers` makes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that has `module`; none, said aloud, where there is none.
pub fn python(module: &str) -> Option<PathBuf> {
    let python = std::env::var_os("BARFLOW_PEERS_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/python"),
        PathBuf::from,
    );
    let find = format!("import importlib.util as u; assert u.find_spec('{module}')");
    let found = Command::new(&python).args(["-c", &find]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    println!("SKIPPED: no {module} in {} (.ci/peers installs it)", python.display());
    None
}

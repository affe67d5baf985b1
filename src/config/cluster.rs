//! One process of several: who they are, and which of them this is.

use std::path::Path;
use std::time::Duration;

use super::durations::duration;
use super::problem::Problems;
use super::section::Section;

/// How long is waited for the other processes at the start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keys `hosts`, `process` and `mesh_patience`, validated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterSettings {
    /// `host:port` of every process; empty for a process that is alone.
    pub hosts: Vec<String>,
    /// Which of them this is.
    pub process: usize,
    /// How long to wait for the others.
    pub patience: Duration,
}

impl ClusterSettings {
    pub(super) fn understand(section: &mut Section, problems: &mut Problems) -> Self {
        let patience = duration(section, "mesh_patience", problems, PATIENCE).unwrap_or_default();
        let hosts = section.text("hosts", problems);
        let origin = section.origin_of("process");
        let process = section.text("process", problems);
        let (hosts, process) = match (hosts, process) {
            (None, None) => return Self { patience, ..Self::default() },
            (Some((_, origin)), None) => {
                let message = "hosts needs process: the number of this process";
                problems.add(origin, message);
                return Self::default();
            }
            (None, Some((_, origin))) => {
                problems.add(origin, "process needs hosts: a file with one host:port per line");
                return Self::default();
            }
            (Some((path, origin)), Some((process, _))) => (read(&path, &origin, problems), process),
        };
        let Ok(process) = process.trim().parse() else {
            problems.add(origin, format!("process = \"{process}\" is not a whole number"));
            return Self::default();
        };
        if process >= hosts.len() && !hosts.is_empty() {
            let last = hosts.len() - 1;
            let s = if hosts.len() == 1 { "" } else { "s" };
            let message = format!("process = {process}: {} host{s}, so 0 to {last}", hosts.len());
            problems.add(origin, message);
        }
        Self { hosts, process, patience }
    }
}

/// The hosts of a file, none if something is wrong with it.
fn read(path: &str, origin: &str, problems: &mut Problems) -> Vec<String> {
    match std::fs::read_to_string(Path::new(path)) {
        Ok(text) => understand(path, &text, problems),
        Err(error) => {
            problems.add(origin, format!("hosts = \"{path}\" could not be read: {error}"));
            Vec::new()
        }
    }
}

/// One `host:port` a line; `#` begins a comment.
fn understand(path: &str, text: &str, problems: &mut Problems) -> Vec<String> {
    let before = problems.0.len();
    let mut hosts: Vec<String> = Vec::new();
    for (line, text) in text.lines().enumerate() {
        let host = text.split('#').next().unwrap_or_default().trim();
        if host.is_empty() {
            continue;
        }
        let at = || format!("{path}:{}", line + 1);
        if !is_address(host) {
            problems.add(at(), format!("\"{host}\" is not host:port"));
        } else if hosts.iter().any(|other| other == host) {
            problems
                .add(at(), format!("{host} is listed twice; every process needs its own address"));
        } else {
            hosts.push(host.to_owned());
        }
    }
    if problems.0.len() > before {
        return Vec::new();
    }
    if hosts.is_empty() {
        problems.add(path, "no hosts: the file must have one host:port per line");
    }
    hosts
}

fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    // Colons within a host are IPv6's, and are in brackets.
    let whole = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
    let named = !host.is_empty() && whole && !host.contains(char::is_whitespace);
    named && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_are_no_hosts() {
        let mut problems = Problems::default();
        let text = "# the job\n\nalpha:7000  # the first\n  [::1]:7001\n\n10.0.0.3:7000\n";
        let hosts = understand("hosts.txt", text, &mut problems);
        assert_eq!(hosts, ["alpha:7000", "[::1]:7001", "10.0.0.3:7000"]);
        assert_eq!(problems, Problems::default());
    }

    #[test]
    fn every_wrong_line_is_named() {
        let mut problems = Problems::default();
        let text = "alpha\nalpha:0\n# fine\nalpha:7000\nalpha:70000\nalpha:7000\n::1:7000\n:7000\n";
        assert!(understand("hosts.txt", text, &mut problems).is_empty());
        let at: Vec<&str> = problems.0.iter().map(|problem| problem.origin.as_str()).collect();
        let lines = [1, 2, 5, 6, 7, 8].map(|line| format!("hosts.txt:{line}"));
        assert_eq!(at, lines.each_ref().map(String::as_str));
        assert!(problems.0[3].message.contains("twice"), "{problems}");
        let mut problems = Problems::default();
        assert!(understand("hosts.txt", "# nobody\n", &mut problems).is_empty());
        assert_eq!(problems.0.len(), 1);
    }
}

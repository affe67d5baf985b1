//! One process of several: who they are, and which of them this is.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use barflow_replay::files;

use super::durations::duration;
use super::file::LONGEST;
use super::problem::Problems;
use super::section::Section;
use crate::secrets::Value;

/// How long is waited for the other processes at the start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keys `hosts`, `process`, `cluster_secret` and `cluster_timeout`, validated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterSettings {
    /// `host:port` of every process; empty for a process that is alone.
    pub hosts: Vec<String>,
    /// Which of them this is.
    pub process: usize,
    /// Where the secret is that they share; without one, all of them are on this computer.
    pub secret: Option<String>,
    /// How long to wait for the others.
    pub patience: Duration,
}

impl ClusterSettings {
    pub(super) fn understand(section: &mut Section, problems: &mut Problems) -> Self {
        let patience = duration(section, "cluster_timeout", problems, PATIENCE).unwrap_or_default();
        let secret = secret(section, problems);
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
            (Some((path, origin)), Some((process, _))) => {
                let hosts = read(&path, &origin, problems);
                if secret.is_none() {
                    demand_secret(&hosts, &origin, problems);
                }
                (hosts, process)
            }
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
        Self { hosts, process, secret, patience }
    }
}

/// Where the secret is: never the secret itself, which others could read in a file or a list of processes.
fn secret(section: &mut Section, problems: &mut Problems) -> Option<String> {
    let (text, origin) = section.text("cluster_secret", problems)?;
    match Value::parse(&text) {
        Ok(Value::Environment(_) | Value::File(_)) => Some(text),
        _ => {
            problems.add(origin, "cluster_secret must be a reference ${NAME} or ${file:/path}");
            None
        }
    }
}

/// Processes that connect over a network have to know each other.
fn demand_secret(hosts: &[String], origin: &str, problems: &mut Problems) {
    if hosts.len() < 2 {
        return;
    }
    if let Some(host) = hosts.iter().find(|host| !is_loopback(host)) {
        let message = format!(
            "hosts: {host} is not a loopback address, so the processes need a secret: cluster_secret = \
             \"${{file:/path}}\" or \"${{NAME}}\", the same for all (`openssl rand -hex 32` makes \
             one)"
        );
        problems.add(origin, message);
    }
}

/// Whether only this computer reaches an address; names are looked up when it is used.
fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// The hosts of a file, none if something is wrong with it.
fn read(path: &str, origin: &str, problems: &mut Problems) -> Vec<String> {
    match files::read_named(Path::new(path), LONGEST) {
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
    let (mut hosts, mut known) = (Vec::new(), HashSet::new());
    for (line, text) in text.lines().enumerate() {
        let host = text.split('#').next().unwrap_or_default().trim();
        if host.is_empty() {
            continue;
        }
        let at = || format!("{path}:{}", line + 1);
        if !is_address(host) {
            // Not repeated: a configuration may name any file, such as one that holds a secret.
            problems.add(at(), "not host:port");
        } else if !known.insert(host) {
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
    fn only_addresses_of_this_computer_need_no_secret() {
        let problems = |hosts: &[&str]| {
            let mut problems = Problems::default();
            let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            demand_secret(&hosts, "live.toml:3", &mut problems);
            problems.0.into_iter().map(|problem| problem.message).collect::<Vec<_>>()
        };
        assert!(problems(&["127.0.0.1:1", "[::1]:2", "localhost:3", "127.9.9.9:4"]).is_empty());
        assert!(problems(&["alpha:1"]).is_empty());
        for host in ["alpha:7000", "10.0.0.1:7000", "[2001:db8::1]:7000", "localhost.evil:7000"] {
            let said = problems(&["127.0.0.1:1", host]);
            assert!(said[0].contains(&format!("{host} is not a loopback address")), "{said:?}");
        }
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

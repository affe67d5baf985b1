//! README as a user follows it: its blocks in order, pasted in one folder, with what they print.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::kafka;
use crate::support::members::free_addresses;
use crate::support::process::{PATIENCE, until};

/// What servers say once they can be used.
const READY: &str = "listening on";

struct Block {
    language: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(Block { language: language.to_owned(), text: text.join("\n") });
        }
    }
    blocks
}

/// A block as commands of bash whose output goes to a file. The broker runs already, and what comes after
/// a server waits until that listens.
fn script(block: &str, out: &Path) -> String {
    let block = block.replace("\\\n", " ");
    let lines = block.lines().filter(|line| !line.starts_with("deploy/kafka/broker "));
    let wait =
        format!("\nuntil grep -q '{READY}' {}; do kill -0 $!; sleep 0.05; done", out.display());
    let lines = lines.map(|line| match line.ends_with(" &") {
        true => line.to_owned() + &wait,
        false => line.to_owned(),
    });
    format!("{{ :\n{}\n}} >> {} 2>&1\n", lines.collect::<Vec<_>>().join("\n"), out.display())
}

/// A line without what differs from run to run: how long it took, how fast it was, how much it needed.
fn lasting(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let varies = |at: usize| {
        let next = words.get(at + 1).map_or("", |next| next.trim_end_matches([',', ';', ')']));
        matches!(next, "s" | "ms" | "µs" | "MiB" | "KiB") || next.ends_with("/s")
    };
    let kept = (0..words.len()).filter(|at| !varies(*at)).map(|at| words[at]);
    kept.collect::<Vec<_>>().join(" ")
}

/// Killed with all that it started when dropped.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

#[test]
fn every_block_works_when_pasted_in_order_in_one_folder() {
    if kafka::broker().is_none() {
        return;
    }
    // Of its own: README's jobs and topics have names that others use too.
    let kafka = kafka::start(&[]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let (place, outs) = (folder.path().join("barflow"), folder.path().join("out"));
    fs::create_dir(&place).unwrap();
    fs::create_dir(&outs).unwrap();
    std::os::unix::fs::symlink(root.join("configs"), place.join("configs")).unwrap();
    // Addresses that are free here instead of the usual ones, and time for a slow machine.
    let [simulator, archive] = free_addresses(2).try_into().unwrap();
    let mut page = fs::read_to_string(root.join("README.md")).unwrap();
    for (usual, here) in [
        ("localhost:9092", kafka.plain.clone()),
        ("127.0.0.1:9000", simulator.clone()),
        ("127.0.0.1:8800", archive.clone()),
        ("barflow simulator ", format!("barflow simulator --listen {simulator} ")),
        ("--for 15s", "--for 25s".to_owned()),
        ("barflow archive-server ", format!("barflow archive-server --listen {archive} ")),
    ] {
        page = page.replace(usual, &here);
    }
    let blocks = blocks(&page);
    let out = |at: usize| outs.join(format!("{at:02}"));
    let mut all = "set -euo pipefail\n".to_owned();
    for (at, block) in blocks.iter().enumerate().filter(|(_, block)| block.language == "sh") {
        all += &script(&block.text, &out(at));
    }
    let bin = Path::new(env!("CARGO_BIN_EXE_barflow")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    command.args(["-c", &all]).current_dir(&place).env("PATH", path).process_group(0);
    let said = folder.path().join("said");
    command.stdin(Stdio::null()).stderr(fs::File::create(&said).unwrap());
    let mut shell = Shell(command.spawn().unwrap());
    let ended = until(2 * PATIENCE, || shell.0.try_wait().unwrap());
    let printed = |at: usize| fs::read_to_string(out(at)).unwrap_or_default();
    let last = (0..blocks.len()).rev().find(|at| out(*at).exists()).unwrap_or_default();
    assert!(
        ended.is_some_and(|status| status.success()),
        "{ended:?} in\n{}\n{}\n{}",
        blocks[last].text,
        printed(last),
        fs::read_to_string(&said).unwrap()
    );
    // What is shown under a block is what the blocks above it have printed.
    for (at, block) in blocks.iter().enumerate().filter(|(_, block)| block.language == "text") {
        let above: String = (0..at).map(printed).collect();
        let above: Vec<String> = above.lines().map(lasting).collect();
        for line in block.text.lines().filter(|line| !line.trim().is_empty()) {
            assert!(above.contains(&lasting(line)), "not printed: {line}\n{}", above.join("\n"));
        }
    }
}

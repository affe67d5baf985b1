//! What the documents name is there: files, folders, flags, keys, types.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::ROOT;
use super::rust::files;
use crate::support::process::barflow;

/// Flags of `deploy/kafka/broker`.
const OTHERS_FLAGS: [&str; 4] = ["--dir", "--port", "--sasl", "--tls"];

/// Most characters of a line of prose; tables and code may be wider.
const LINE: usize = 120;

/// Words that look like names of ours and are those of others.
const OTHERS_NAMES: [&str; 3] = ["is_deleted", "isolation_level", "NoClassDefFoundError"];

/// Pages with their paths. The changelog tells of what was.
pub fn pages() -> Vec<(String, String)> {
    let root = Path::new(ROOT);
    let mut paths = files(root, "docs", ".md");
    paths.extend(["README.md", "fuzz/README.md"].map(str::to_owned));
    paths
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(root.join(path)).unwrap()))
        .collect()
}

/// Whether a text has this as words of their own.
pub fn has_word(text: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        !inside(text[..at].chars().next_back()) && !inside(text[at + word.len()..].chars().next())
    })
}

/// Code within lines, and the lines of blocks with the language of each.
struct Page {
    path: String,
    spans: Vec<String>,
    blocks: Vec<(String, String)>,
    links: Vec<String>,
}

impl Page {
    /// Blocks of commands: those that a test runs (`sh`) and others (`bash`).
    fn commands(&self) -> impl Iterator<Item = &String> {
        let is_command = |language: &str| matches!(language, "sh" | "bash");
        self.blocks.iter().filter(move |(language, _)| is_command(language)).map(|(_, block)| block)
    }
}

fn parsed() -> Vec<Page> {
    let parse = |(path, text): (String, String)| {
        let mut page = Page { path, spans: Vec::new(), blocks: Vec::new(), links: Vec::new() };
        let mut prose = String::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            match line.trim_start().strip_prefix("```") {
                Some(language) => {
                    let block =
                        lines.by_ref().take_while(|line| !line.trim_start().starts_with("```"));
                    let block: Vec<&str> = block.collect();
                    page.blocks.push((language.to_owned(), block.join("\n") + "\n"));
                }
                None => prose += &format!("{line}\n"),
            }
        }
        for paragraph in prose.split("\n\n") {
            page.spans.extend(
                paragraph.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")),
            );
            let links = paragraph.split("](").skip(1).filter_map(|link| link.split(')').next());
            page.links.extend(links.map(str::to_owned));
        }
        page
    };
    pages().into_iter().map(parse).collect()
}

#[test]
fn architecture_names_every_folder() {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/ARCHITECTURE.md")).unwrap();
    let mut missing = BTreeSet::new();
    for crate_folder in super::CRATES.iter().map(|(_, folder, _)| *folder) {
        for file in files(Path::new(ROOT), crate_folder, ".rs") {
            let below = file.strip_prefix(crate_folder).unwrap().trim_start_matches('/');
            let folder = below
                .split_once('/')
                .map_or(crate_folder.to_owned(), |(folder, _)| format!("{crate_folder}/{folder}"));
            let short = folder.replace("/src", "");
            if !text.contains(&format!("`{folder}")) && !text.contains(&format!("`{short}")) {
                missing.insert(folder);
            }
        }
    }
    assert!(missing.is_empty(), "docs/ARCHITECTURE.md does not name {missing:#?}");
}

#[test]
fn the_index_names_every_page() {
    let index = fs::read_to_string(Path::new(ROOT).join("docs/README.md")).unwrap();
    let pages = files(Path::new(ROOT), "docs", ".md").into_iter();
    let pages = pages.map(|path| path["docs/".len()..].to_owned());
    let missing: BTreeSet<String> = pages
        .filter(|page| page != "README.md" && !index.contains(&format!("]({page})")))
        .collect();
    assert!(missing.is_empty(), "docs/README.md does not name {missing:#?}");
}

#[test]
fn lines_fit_a_screen() {
    let is_prose = |line: &str| {
        let link = line.starts_with('[') && line.contains("]: ");
        !link && !line.trim_start().starts_with(['|', '#', '!'])
    };
    let mut long = BTreeSet::new();
    for (path, text) in pages() {
        let mut in_block = false;
        for (line, number) in text.lines().zip(1..) {
            let is_fence = line.trim_start().starts_with("```");
            in_block ^= is_fence;
            if !in_block && !is_fence && is_prose(line) && line.chars().count() > LINE {
                long.insert(format!("{path}:{number}"));
            }
        }
    }
    assert!(long.is_empty(), "lines of more than {LINE} characters: {long:#?}");
}

/// Headings as links name them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let slug = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    };
    headings.map(slug).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = BTreeSet::new();
    for page in parsed() {
        for link in page.links.iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let own = Path::new(ROOT).join(&page.path);
            let target = if file.is_empty() { own.clone() } else { own.with_file_name(file) };
            let target = if file.contains('/') { own.parent().unwrap().join(file) } else { target };
            let found = target.exists()
                && (anchor.is_empty()
                    || anchors(&fs::read_to_string(&target).unwrap()).contains(anchor));
            if !found {
                wrong.insert(format!("{}: {link}", page.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn paths_exist() {
    let root = Path::new(ROOT);
    let tops: BTreeSet<String> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "target" && name != ".git")
        .collect();
    let mut wrong = BTreeSet::new();
    for page in parsed() {
        let texts = page.spans.iter().chain(page.commands());
        for word in texts.flat_map(|text| text.split([' ', '\n', ',', ';', '\'', '(', ')'])) {
            let word = word.trim_end_matches(['/', '.', ':']);
            let Some((top, _)) = word.split_once('/') else { continue };
            if !tops.contains(top) || word.contains(['<', '{', '*', '…', '$']) {
                continue;
            }
            if !root.join(word).exists() && !root.join(format!("{word}.rs")).exists() {
                wrong.insert(format!("{}: {word}", page.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn help(arguments: &[&str]) -> String {
    String::from_utf8(barflow().args(arguments).arg("--help").output().unwrap().stdout).unwrap()
}

/// Words that begin with two dashes.
fn flags(text: &str) -> BTreeSet<String> {
    let is_flag = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let before = |at: usize| text[..at].chars().next_back();
    text.match_indices("--")
        .filter(|(at, _)| before(*at).is_none_or(|c| c.is_whitespace() || "`[(\"'".contains(c)))
        .map(|(at, _)| text[at..].split(|c| !is_flag(c)).next().unwrap().to_owned())
        .filter(|flag| flag.len() > 2)
        .collect()
}

/// The flags of all commands, and of theirs.
fn known_flags(command: &mut Vec<String>) -> BTreeSet<String> {
    let text = help(&command.iter().map(String::as_str).collect::<Vec<_>>());
    let mut known = flags(&text);
    let list = text.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
    let names = list.lines().take_while(|line| !line.is_empty());
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for name in
        names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help")
    {
        command.push(name.to_owned());
        known.extend(known_flags(command));
        command.pop();
    }
    known
}

#[test]
fn flags_exist() {
    let known = known_flags(&mut Vec::new());
    assert!(known.len() > 60, "{known:?}");
    let mut wrong = BTreeSet::new();
    for page in parsed() {
        let ours = |command: &&str| {
            let command = command.trim_start();
            command.starts_with("barflow ") || command.starts_with("--") || command.starts_with('[')
        };
        let lines: Vec<String> = page.commands().map(|block| block.replace("\\\n", " ")).collect();
        let commands = lines.iter().flat_map(|block| block.split(['\n', '|', ';', '&']));
        for text in page.spans.iter().map(String::as_str).chain(commands).filter(ours) {
            let named = flags(text).into_iter().filter(|flag| !known.contains(flag));
            let named = named.filter(|flag| !OTHERS_FLAGS.contains(&flag.as_str()));
            wrong.extend(named.map(|flag| format!("{}: {flag}", page.path)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn configurations_have_known_keys() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.toml");
    let mut wrong = Vec::new();
    for page in parsed() {
        for (_, block) in page.blocks.iter().filter(|(language, _)| language == "toml") {
            fs::write(&file, block).unwrap();
            let checked = barflow().arg("check").arg(&file).output().unwrap();
            let said = String::from_utf8(checked.stderr).unwrap();
            if ["unknown key", "unknown section", "TOML"].iter().any(|sign| said.contains(sign)) {
                wrong.push(format!("{}: {said}\n{block}", page.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Keys, metrics, fields and types: whatever looks like a name of ours is in the code.
#[test]
fn names_are_those_of_the_code() {
    let folders = super::CRATES.iter().map(|(_, folder, _)| *folder);
    let folders = folders.chain([
        "tests",
        "operators/tests",
        "examples",
        "replay/tests",
        "benches",
        "fuzz",
        "deploy",
        "configs",
        ".ci",
    ]);
    let paths = folders.flat_map(|folder| files(Path::new(ROOT), folder, ""));
    let text = |path: String| {
        let text = fs::read_to_string(Path::new(ROOT).join(&path)).ok()?;
        Some(format!("{path}\n{text}\n"))
    };
    let code: String = paths.filter_map(text).collect();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let words: BTreeSet<&str> = code.split(|c| !is_word(c)).collect();
    let mut wrong = BTreeSet::new();
    for page in parsed() {
        for word in page
            .spans
            .iter()
            .flat_map(|span| span.split([' ', ':', '.', '(', ')', '[', ']', '=', ',']))
        {
            let plain = !word.is_empty() && word.chars().all(is_word);
            let snake = word.contains('_') && word.chars().all(|c| !c.is_uppercase());
            let capitals = word.chars().filter(|c| c.is_uppercase()).count();
            let camel = word.starts_with(char::is_uppercase)
                && capitals > 1
                && word.chars().any(char::is_lowercase);
            if plain && (snake || camel) && !words.contains(word) && !OTHERS_NAMES.contains(&word) {
                wrong.insert(format!("{}: {word}", page.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

//! Reads Rust files as far as the rules of the house need: what is code, what is prose, which other
//! files a file names, and how long its functions are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A file, with its code and its prose in two texts of the same lines.
pub struct Source {
    /// From the root of the repository.
    pub path: String,
    /// Without comments and literals, and without the tests within.
    pub code: String,
    /// Comments and string literals alone.
    pub prose: String,
}

/// All files below a folder whose names end so, in the order of their names.
pub fn files(root: &Path, folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return found };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let path = format!("{folder}/{}", name.to_str().unwrap());
        if root.join(&path).is_dir() {
            found.extend(files(root, &path, ending));
        } else if path.ends_with(ending) {
            found.push(path);
        }
    }
    found
}

impl Source {
    pub fn read(root: &Path, path: &str) -> Self {
        let (mut code, prose) = separate(&fs::read_to_string(root.join(path)).unwrap());
        while let Some(at) = code.find("#[cfg(test)]") {
            let Some(open) = code[at..].find(['{', ';']).map(|open| at + open) else { break };
            let end = if code.as_bytes()[open] == b'{' { closing(&code, open) } else { open };
            let lines = code[at..=end].matches('\n').count();
            code.replace_range(at..=end, &"\n".repeat(lines));
        }
        Self { path: path.to_owned(), code, prose }
    }

    /// The module that the file is, below `src/`; none of its names for the crate itself.
    pub fn module(&self) -> Vec<String> {
        let below = self.path.split_once("src/").unwrap().1.trim_end_matches(".rs");
        let mut names: Vec<String> = below.split('/').map(str::to_owned).collect();
        if matches!(names.last().unwrap().as_str(), "mod" | "lib" | "main") {
            names.pop();
        }
        names
    }

    /// Every path that begins in this crate, from the crate on; `children` are modules of the file.
    pub fn paths(&self, children: &BTreeSet<String>) -> BTreeSet<Vec<String>> {
        let words = words(&self.code);
        let text = |at: usize| words.get(at).map_or("", |(word, _)| *word);
        let mut found = BTreeSet::new();
        for at in 0..words.len() {
            if text(at + 1) != "::" || (at > 0 && matches!(text(at - 1), "::" | "$")) {
                continue;
            }
            let mut start = self.module();
            let mut next = at;
            match text(at) {
                "crate" => start.clear(),
                "self" => {}
                "super" => {
                    while text(next) == "super" {
                        start.pop();
                        next += 2;
                    }
                    next -= 2;
                }
                child if children.contains(child) => start.push(child.to_owned()),
                _ => continue,
            }
            expand(&words, next + 2, &start, &mut found);
        }
        found
    }

    /// Names of functions with the lines that they take.
    pub fn functions(&self) -> Vec<(&str, usize)> {
        let words = words(&self.code);
        let mut found = Vec::new();
        for at in 0..words.len().saturating_sub(1) {
            let ("fn", begin) = words[at] else { continue };
            let name = words[at + 1].0;
            if name == "(" {
                // The type of a function has no body.
                continue;
            }
            let mut depth = 0;
            let body = words[at..].iter().find(|(word, _)| {
                depth +=
                    i32::from(matches!(*word, "(" | "[")) - i32::from(matches!(*word, ")" | "]"));
                depth == 0 && matches!(*word, "{" | ";")
            });
            if let Some(("{", open)) = body {
                let end = closing(&self.code, *open);
                found.push((name, 1 + self.code[begin..end].matches('\n').count()));
            }
        }
        found
    }
}

/// Cuts a text into code and prose; what belongs to the other is blank.
fn separate(text: &str) -> (String, String) {
    let (mut code, mut prose) = (String::new(), String::new());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = literal(rest, code.chars().last());
        let (piece, blank, into) = match length {
            Some(length) => (&rest[..length], &mut code, &mut prose),
            None => (&rest[..first.len_utf8()], &mut prose, &mut code),
        };
        into.push_str(piece);
        blank.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[piece.len()..];
    }
    (code, prose)
}

/// How long the comment or literal is with which a text begins.
fn literal(text: &str, before: Option<char>) -> Option<usize> {
    let end = |from: usize, mark: &str| {
        text[from..].find(mark).map_or(text.len(), |at| from + at + mark.len())
    };
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(end(2, "*/"));
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let raw = text.strip_prefix("br").or_else(|| text.strip_prefix('r')).filter(|_| !in_word);
    if let Some(raw) = raw {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let open = text.len() - raw.len() + hashes + 1;
            return Some(end(open, &format!("\"{}", "#".repeat(hashes))));
        }
    }
    let mut inner = text.char_indices().skip(1);
    match text.chars().next() {
        Some('"') => {
            while let Some((at, c)) = inner.next() {
                match c {
                    '\\' => drop(inner.next()),
                    '"' => return Some(at + 1),
                    _ => {}
                }
            }
            Some(text.len())
        }
        // A character, not a lifetime.
        Some('\'') => match (inner.next()?.1, inner.next()?) {
            ('\\', _) => text[3..].find('\'').map(|at| at + 4),
            (_, (at, '\'')) => Some(at + 1),
            _ => None,
        },
        _ => None,
    }
}

/// Words, `::` and other signs, with where they stand.
fn words(code: &str) -> Vec<(&str, usize)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = code[at..].chars().next() {
        let length = match first {
            c if is_word(c) => code[at..].find(|c| !is_word(c)).unwrap_or(code.len() - at),
            ':' if code[at..].starts_with("::") => 2,
            c => c.len_utf8(),
        };
        if !first.is_whitespace() {
            found.push((&code[at..at + length], at));
        }
        at += length;
    }
    found
}

/// The paths of a tree of names, `a::{b, c::d}`, that begins here; where it ends.
fn expand(
    words: &[(&str, usize)],
    mut at: usize,
    start: &[String],
    found: &mut BTreeSet<Vec<String>>,
) -> usize {
    let mut path = start.to_vec();
    while let Some((word, _)) = words.get(at) {
        at += 1;
        if *word == "{" {
            while let Some((word, _)) = words.get(at).filter(|(word, _)| *word != "}") {
                at = if *word == "," { at + 1 } else { expand(words, at, &path, found) };
            }
            return at + 1;
        }
        if *word != "self" {
            path.push((*word).to_owned());
        }
        if words.get(at).is_none_or(|(word, _)| *word != "::") {
            break;
        }
        at += 1;
    }
    found.insert(path);
    // `name as other`
    if words.get(at).is_some_and(|(word, _)| *word == "as") { at + 2 } else { at }
}

/// Where the brace that opens here is closed.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        depth += i32::from(byte == b'{') - i32::from(byte == b'}');
        if depth == 0 {
            return at;
        }
    }
    code.len() - 1
}

/// Which files of a crate name which others of it. That a part of a folder names what the folder's own
/// file has is left out: they are one thing.
pub fn imports(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeMap<Vec<String>, &str> =
        sources.iter().map(|source| (source.module(), source.path.as_str())).collect();
    let mut imports = BTreeMap::new();
    for source in sources {
        let own = source.module();
        let children = modules.keys().filter(|module| module.len() == own.len() + 1);
        let children = children.filter(|module| module.starts_with(&own));
        let children = children.map(|module| module[own.len()].clone()).collect();
        let paths = source.paths(&children);
        let named = paths.iter().filter_map(|path| {
            let prefixes = (1..=path.len()).rev().map(|length| &path[..length]);
            prefixes.filter_map(|prefix| modules.get(prefix).copied()).next()
        });
        let above = |path: &str| {
            path.strip_suffix("mod.rs").is_some_and(|folder| source.path.starts_with(folder))
        };
        let others = named.filter(|path| *path != source.path && !above(path)).map(str::to_owned);
        imports.insert(source.path.clone(), others.collect::<BTreeSet<_>>());
    }
    imports
}

/// Groups of files of which each leads to every other.
pub fn circles(imports: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<BTreeSet<String>> {
    let reached = |from: &str| {
        let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(at) = open.pop() {
            open.extend(
                imports[at]
                    .iter()
                    .filter(|next| reached.insert((*next).clone()))
                    .map(String::as_str),
            );
        }
        reached
    };
    let all: BTreeMap<&String, BTreeSet<String>> =
        imports.keys().map(|file| (file, reached(file))).collect();
    let inside = |file: &String| {
        let group = all[file].iter().filter(|other| all[other].contains(file));
        group.cloned().collect::<BTreeSet<_>>()
    };
    imports.keys().map(inside).filter(|group| !group.is_empty()).collect()
}

//! What is taken from others: crates by licence and source, everything that scripts and workflows
//! download by version and sum.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, Licensee, ParseMode};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(ROOT).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn deny() -> toml::Table {
    read("deny.toml").parse().unwrap()
}

/// What the lock file holds for this computer's platform, dependencies of tests included.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let rustc = String::from_utf8(rustc.stdout).unwrap();
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--all-features"])
        .args(["--filter-platform", host])
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let resolved = metadata["resolve"]["nodes"].as_array().unwrap();
    let resolved: Vec<String> =
        resolved.iter().map(|node| node["id"].as_str().unwrap().to_owned()).collect();
    let Value::Array(mut packages) = metadata["packages"].take() else { panic!("no packages") };
    packages.retain(|package| resolved.iter().any(|id| package["id"] == **id));
    assert!(packages.len() > 100, "{} packages", packages.len());
    packages
}

/// Why a crate of this licence cannot be taken.
fn refusal(license: Option<&str>, allowed: &[Licensee]) -> Option<String> {
    let Some(license) = license else { return Some("names no licence".to_owned()) };
    let Ok(expression) = Expression::parse_mode(license, ParseMode::LAX) else {
        return Some(format!("\"{license}\" is not an SPDX expression"));
    };
    let is_allowed = expression.evaluate(|wanted| allowed.iter().any(|one| one.satisfies(wanted)));
    (!is_allowed).then(|| format!("\"{license}\" is not allowed by deny.toml"))
}

fn allowed() -> Vec<Licensee> {
    let deny = deny();
    let allowed = deny["licenses"]["allow"].as_array().unwrap();
    allowed.iter().map(|one| Licensee::parse(one.as_str().unwrap()).unwrap()).collect()
}

#[test]
fn every_crate_has_a_licence_that_is_allowed() {
    let allowed = allowed();
    let ours = |package: &Value| package["source"].is_null();
    let refused: Vec<String> = packages()
        .iter()
        .filter(|package| !ours(package))
        .filter_map(|package| {
            let why = refusal(package["license"].as_str(), &allowed)?;
            Some(format!("{} {}: {why}", package["name"], package["version"]))
        })
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn one_of_several_licences_is_enough_and_all_of_several_are_needed() {
    let allowed = allowed();
    for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0-only OR MIT", "MIT AND (ISC OR LGPL-3.0-only)"] {
        assert_eq!(refusal(Some(good), &allowed), None, "{good}");
    }
    for bad in ["LGPL-3.0-only", "MIT AND GPL-2.0-only", "AGPL-3.0-only", "Mine", "MPL-2.0"] {
        assert!(refusal(Some(bad), &allowed).is_some(), "{bad}");
    }
    assert!(refusal(None, &allowed).is_some());
}

#[test]
fn crates_come_from_the_registry_alone_each_with_its_sum() {
    for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
        let lock: toml::Table = read(lock).parse().unwrap();
        for package in lock["package"].as_array().unwrap() {
            let name = &package["name"];
            match package.get("source").map(|source| source.as_str().unwrap()) {
                None => assert!(name.as_str().unwrap().starts_with("barflow"), "{name}: no source"),
                Some(source) => {
                    assert_eq!(source, REGISTRY, "{name}");
                    let sum = package["checksum"].as_str().unwrap_or_default();
                    assert_eq!(sum.len(), 64, "{name}");
                }
            }
        }
    }
}

#[test]
fn versions_are_bounded_and_no_banned_crate_is_used() {
    let deny = deny();
    let banned: Vec<&str> = deny["bans"]
        .get("deny")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
        .map(|ban| ban.get("crate").unwrap_or(ban).as_str().unwrap())
        .collect();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        assert!(!banned.contains(&name), "{name} is banned");
        if !package["source"].is_null() {
            continue;
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            assert_ne!(dependency["req"], "*", "{name}: {}", dependency["name"]);
        }
    }
}

/// Scripts and workflows, and what they say, without comments.
fn scripts() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = [".ci", ".github", "deploy"].map(PathBuf::from).into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(Path::new(ROOT).join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                let text = read(&path);
                let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
                found.insert(path, lines.collect::<Vec<_>>().join("\n").replace("\\\n", " "));
            }
        }
    }
    assert!(found.len() > 10);
    found
}

/// What a line does that takes something unchecked from elsewhere.
fn unchecked(line: &str) -> Option<&'static str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let has = |wanted: &str| line.contains(wanted);
    let pair = |first: &str, second: &str| words.windows(2).any(|w| w == [first, second]);
    if let Some((_, action)) = line.split_once("uses:") {
        let commit = action.split('@').nth(1).and_then(|rest| rest.split_whitespace().next());
        let is_commit = |of: &str| of.len() == 40 && of.bytes().all(|b| b.is_ascii_hexdigit());
        // An action of this repository is of the same commit.
        if !action.trim().starts_with("./") && !commit.is_some_and(is_commit) {
            return Some("an action without a commit");
        }
    }
    let to_shell = |part: &str| {
        matches!(
            part.split_whitespace().next(),
            Some("sh" | "bash" | "sudo" | "python3" | "python")
        )
    };
    if (has("curl ") || has("wget ")) && line.split('|').skip(1).any(to_shell) {
        return Some("a download that is run unseen");
    }
    if pair("pip", "install") && !has("--require-hashes") {
        return Some("Python packages without hashes");
    }
    let is_version = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    if words.windows(3).any(|w| w[..2] == ["toolchain", "install"] && !is_version(w[2])) {
        return Some("a compiler without a version");
    }
    let is_pinned = has("--locked") && has("--version");
    if pair("cargo", "install") && !is_pinned {
        return Some("a program of cargo without a version");
    }
    if (pair("npm", "install") || pair("go", "install")) && !has("@") {
        return Some("a program without a version");
    }
    (has("docker ") || has("image:"))
        .then_some("an image; pin it by its digest, and this test with it")
        .filter(|_| !has("@sha256:"))
}

#[test]
fn scripts_and_workflows_take_nothing_unchecked() {
    for (path, text) in scripts() {
        for line in text.lines() {
            let found = unchecked(line);
            assert_eq!(found, None, "{}: {line}", path.display());
        }
        let downloads = text.contains("curl ") || text.contains("wget ") || text.contains("mvn -");
        let checks = text.contains("sha256sum --check");
        assert!(!downloads || checks, "{} downloads and checks no sum", path.display());
    }
}

#[test]
fn what_is_unchecked_is_known() {
    for bad in [
        "      - uses: actions/checkout@v4",
        "      - uses: taiki-e/install-action@cargo-tarpaulin",
        "curl -sSf https://sh.rustup.rs |   sh -s -- -y",
        "python -m pip install -r requirements.txt",
        "    pip install 'great_expectations==1.24.*' pandas pyarrow",
        "rustup toolchain install stable --profile minimal",
        "cargo install cargo-tarpaulin --locked",
        "docker run apache/kafka:4.0.0",
    ] {
        assert!(unchecked(bad).is_some(), "{bad}");
    }
    let commit = "0123456789abcdef0123456789abcdef01234567";
    assert_eq!(unchecked(&format!("- uses: actions/checkout@{commit} # v6.0.2")), None);
    assert_eq!(unchecked("cargo install cargo-deny --locked --version 0.20.2"), None);
}

#[test]
fn every_python_package_has_a_version_and_hashes() {
    for folder in ["deploy/peers", "deploy/readers"] {
        let text = read(format!("{folder}/requirements.txt")).replace("\\\n", " ");
        let names: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(names.len() > 50);
        for line in &names {
            assert!(line.contains("==") && line.contains("--hash=sha256:"), "{line}");
        }
        let text = read("deploy/peers/build.txt").replace("\\\n", " ");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.contains("==") && line.contains("--hash=sha256:"), "{line}");
        }
        let wanted = read(format!("{folder}/requirements.in"));
        for wanted in wanted.lines().filter(|line| !line.starts_with('#')) {
            let (name, version) = wanted.split_once("==").unwrap();
            // Without what is installed besides.
            let name = name.split('[').next().unwrap().replace('_', "-");
            let wanted = format!("{name}=={version}");
            assert!(names.iter().any(|line| line.starts_with(&wanted)), "{wanted} is not locked");
        }
    }
}

#[test]
fn the_brokers_jars_have_sums_of_the_version_that_is_used() {
    let pom = read("deploy/kafka/pom.xml");
    let version = pom.split("<kafka.version>").nth(1).unwrap().split('<').next().unwrap();
    let sums = read("deploy/kafka/jars.sha256");
    let jar = format!("  kafka_2.13-{version}.jar");
    assert!(sums.lines().any(|line| line.ends_with(&jar)), "no sum of{jar}");
}

#[test]
fn the_readers_jars_have_sums_of_the_versions_that_are_used() {
    let pom = read("deploy/readers/pom.xml");
    let sums = read("deploy/readers/jars.sha256");
    let inside = |text: &str, tag: &str| {
        let rest = text.split(&format!("<{tag}>")).nth(1).unwrap();
        rest.split(&format!("</{tag}>")).next().unwrap().to_owned()
    };
    let dependencies: Vec<&str> = pom.split("<dependency>").skip(1).collect();
    assert!(dependencies.len() > 3);
    for dependency in dependencies {
        let (name, version) = (inside(dependency, "artifactId"), inside(dependency, "version"));
        let property = version.strip_prefix("${").and_then(|name| name.strip_suffix('}'));
        let version = property.map_or(version.clone(), |name| inside(&pom, name));
        let jar = format!("  {name}-{version}.jar");
        assert!(sums.lines().any(|line| line.ends_with(&jar)), "no sum of{jar}");
    }
    for line in sums.lines() {
        let (sum, jar) = line.split_once("  ").unwrap();
        let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_sum && jar.ends_with(".jar"), "{line}");
    }
}

#[test]
fn everything_that_is_pinned_is_raised() {
    let dependabot = read(".github/dependabot.yml");
    let of = |ecosystem: &str| {
        let mut parts = dependabot.split("package-ecosystem: ");
        parts.find(|part| part.split_whitespace().next() == Some(ecosystem)).unwrap().to_owned()
    };
    for (file, ecosystem) in [("requirements.txt", "pip"), ("pom.xml", "maven")] {
        let found: Vec<PathBuf> =
            scripts().into_keys().filter(|path| path.ends_with(file)).collect();
        assert!(found.len() > 1, "{found:?}");
        for path in found {
            let folder = format!("/{}", path.parent().unwrap().display());
            let is_raised =
                of(ecosystem).split([' ', '"', ',', '[', ']', '\n']).any(|w| w == folder);
            assert!(is_raised, "{ecosystem}: {folder}");
        }
    }
}

//! Is a store versioned with DVC as docs/history.md says: made by the pipeline, kept by a remote, pulled
//! elsewhere as it was?

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::days::synth;
use crate::support::peers::python;
use crate::support::process::barflow;
use barflow_simulator::archive::tree::Tree;
use barflow_simulator::archive::{ServerOptions, start};

/// What runs in a project's folder.
struct Tools {
    dvc: PathBuf,
    /// With barflow on it.
    path: String,
    archive: String,
    /// DVC's own caches and settings stay here.
    home: PathBuf,
}

impl Tools {
    fn run(&self, folder: &Path, line: &str) -> String {
        let mut words = line.split(' ');
        let program = match words.next().unwrap() {
            "dvc" => self.dvc.clone(),
            other => PathBuf::from(other),
        };
        let output = Command::new(program)
            .args(words)
            .current_dir(folder)
            .env("PATH", &self.path)
            .env("BARFLOW_ARCHIVE_URL", &self.archive)
            .env("HOME", &self.home)
            .env("DVC_NO_ANALYTICS", "1")
            .env("DVC_SITE_CACHE_DIR", self.home.join("site"))
            .envs([("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@example.org")])
            .envs([("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@example.org")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        said
    }
}

/// Every file that the pipeline made, by its path.
fn made(project: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for pattern in ["history/archive/**/*", "history/trades/**/*", "bars/*", "quality.*"] {
        for path in glob::glob(&project.join(pattern).to_string_lossy()).unwrap() {
            let path = path.unwrap();
            if path.is_file() {
                let name = path.strip_prefix(project).unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_store_is_made_kept_and_pulled_by_dvc() {
    let Some(python) = python("dvc") else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let published = at("published");
    synth(&published, "--days 3 --trades 20000");
    let options = ServerOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        faults: "cut=0.2".parse().unwrap(),
        seed: 3,
        page: Some(1000),
    };
    let tree = Tree::of(&[published.display().to_string()], None).unwrap();
    let server = start(tree, options).unwrap();

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bin = Path::new(env!("CARGO_BIN_EXE_barflow")).parent().unwrap();
    let tools = Tools {
        dvc: python.with_file_name("dvc"),
        path: format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default()),
        archive: format!("http://{}", server.address),
        home: at("home"),
    };
    for name in ["home", "project", "remote"] {
        fs::create_dir(at(name)).unwrap();
    }
    let project = at("project");
    for file in ["deploy/dvc/dvc.yaml", "deploy/dvc/params.yaml", "configs/quality.toml"] {
        let file = root.join(file);
        fs::copy(&file, project.join(file.file_name().unwrap())).unwrap();
    }
    tools.run(&project, "git init -q");
    tools.run(&project, "dvc init -q");
    tools.run(&project, &format!("dvc remote add --default keep {}", at("remote").display()));
    tools.run(&project, "dvc repro");
    let first = made(&project);
    let count = |part: &str| -> usize {
        first.keys().filter(|path| path.extension().is_some_and(|it| it == part)).count()
    };
    assert_eq!(
        (count("zip"), count("parquet"), count("html")),
        (3, 3 + 1, 1),
        "{:?}",
        first.keys()
    );
    // Nothing has changed: nothing is made.
    let said = tools.run(&project, "dvc repro");
    assert!(!said.contains("Running stage"), "{said}");
    assert!(made(&project) == first);
    tools.run(&project, "git add .");
    tools.run(&project, "git commit -qm March");
    tools.run(&project, "dvc push -q");

    // Elsewhere, without the archive.
    drop(server);
    tools.run(folder.path(), "git clone -q project clone");
    let clone = at("clone");
    tools.run(&clone, "dvc pull -q");
    assert!(made(&clone) == first, "pulled as it was");
    let store = clone.join("history").display().to_string();
    let verified = barflow().args(["store", "verify", "--store", &store]).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

//! Files by their key in the public archive's layout.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use barflow_replay::checksum::{checksum_file, sha256, sum_in};
use barflow_replay::error::ReplayError;
use barflow_replay::files;
use barflow_replay::find::{ends_with, find};
use barflow_replay::naming;
use barflow_replay::progress::StopFlag;
use barflow_replay::store::layout;

/// Which of the exchange's markets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Market {
    /// Spot.
    Spot,
    /// Futures margined in a stable coin.
    Um,
    /// Futures margined in the coin itself.
    Cm,
}

impl FromStr for Market {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "spot" => Ok(Self::Spot),
            "um" => Ok(Self::Um),
            "cm" => Ok(Self::Cm),
            _ => Err("is not one of spot, um, cm".to_owned()),
        }
    }
}

/// A key: an archive, or the checksum of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// What is served.
    pub content: Content,
    /// Its size.
    pub bytes: u64,
    /// Tag of the content, in quotes.
    pub etag: String,
}

/// What is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file, at the place without links where it was found.
    File(PathBuf),
    /// A text.
    Text(String),
}

/// What is published, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// In order.
    pub keys: BTreeMap<String, Published>,
    /// Files whose names are not those of archives.
    pub ignored: Vec<PathBuf>,
    /// Files to which a symbolic link in a folder leads: only what was named itself is followed.
    pub linked: Vec<PathBuf>,
}

impl Tree {
    /// Finds archives by their names, in folders of any layout. Whose market no folder tells is taken
    /// to be of `market`, or of the one that its symbol says. A checksum beside an archive is served as
    /// it is; where there is none, it is computed.
    ///
    /// # Errors
    /// When there is nothing, or it cannot be read.
    pub fn of(inputs: &[String], market: Option<Market>) -> Result<Self, ReplayError> {
        let mut tree = Self::default();
        for path in find(inputs, &StopFlag::default())?.paths {
            if is_linked(&path, inputs) {
                tree.linked.push(path);
                continue;
            }
            let is_zip = ends_with(&path, ".zip");
            match key(&path, market).filter(|_| is_zip) {
                Some(key) => tree.add(key, path)?,
                None => tree.ignored.push(path),
            }
        }
        if tree.keys.is_empty() {
            let text = "no file is named as the archive names them, such as \
                        BTCUSDT-trades-2024-03-01.zip";
            return Err(ReplayError::NothingToRead(text.to_owned()));
        }
        Ok(tree)
    }

    fn add(&mut self, key: String, path: PathBuf) -> Result<(), ReplayError> {
        let read = |e| ReplayError::io("read", &path, e);
        let bytes = std::fs::metadata(&path).map_err(read)?.len();
        let beside = checksum_file(&path);
        let text = match beside.exists() && !beside.is_symlink() {
            true => {
                let bytes = files::read(&beside, LONGEST_SUM);
                let bytes = bytes.map_err(|e| ReplayError::io("read", &beside, e))?;
                String::from_utf8_lossy(&bytes).into_owned()
            }
            false => {
                let name = key.rsplit('/').next().unwrap_or(&key);
                format!("{}  {name}\n", sha256(&path).map_err(read)?)
            }
        };
        // Changes with the content, as far as its checksum does.
        let sum = sum_in(&text).unwrap_or_else(|| text.clone());
        let etag = format!("\"{:016x}\"", xxhash_rust::xxh3::xxh3_64(sum.as_bytes()));
        let checksum = Published {
            bytes: text.len() as u64,
            content: Content::Text(text),
            etag: etag.clone(),
        };
        self.keys.insert(format!("{key}.CHECKSUM"), checksum);
        let place = path.canonicalize().map_err(read)?;
        self.keys.insert(key, Published { content: Content::File(place), bytes, etag });
        Ok(())
    }
}

/// Opens a published file, if no link leads to it by now: what is open is what stands at its place.
///
/// # Errors
/// When something else is there.
pub fn open_published(place: &Path) -> io::Result<File> {
    let file = files::open(place)?;
    let there = std::fs::symlink_metadata(place.canonicalize()?)?;
    let opened = file.metadata()?;
    let is_same = (there.dev(), there.ino()) == (opened.dev(), opened.ino());
    match is_same && place.canonicalize()? == place {
        true => Ok(file),
        false => Err(io::Error::other("a symbolic link leads to it")),
    }
}

/// Bytes of a checksum file that are read: far above one line.
const LONGEST_SUM: u64 = 4096;

/// Whether a link leads to a file from where the inputs begin.
fn is_linked(path: &Path, inputs: &[String]) -> bool {
    let roots = inputs.iter().map(|input| root(input)).filter(|root| path.starts_with(root));
    let nearest = roots.max_by_key(|root| root.components().count());
    path.ancestors().take_while(|at| Some(*at) != nearest).any(Path::is_symlink)
}

/// What was named itself: the folder above the first wildcard of a pattern.
fn root(input: &str) -> &Path {
    let wildcard = input.find(['*', '?', '[']).filter(|_| !Path::new(input).exists());
    Path::new(match wildcard {
        Some(at) => input[..at].rfind('/').map_or("", |slash| &input[..slash]),
        None => input,
    })
}

/// The key of a file, by its name and folders.
fn key(path: &Path, market: Option<Market>) -> Option<String> {
    let naming = naming::read(path);
    let symbol = naming.symbol?;
    let known = naming.market.and_then(|market| market.parse().ok()).or(market);
    let usual = || if naming::is_coin_margined(&symbol) { Market::Cm } else { Market::Spot };
    let market = match known.unwrap_or_else(usual) {
        Market::Spot => "spot",
        Market::Um => "futures/um",
        Market::Cm => "futures/cm",
    };
    let (first, last) = naming.days?;
    let how = if first == last { "daily" } else { "monthly" };
    let (kind, period) = (layout::kind(naming.input?), layout::period(first, last));
    Some(format!("data/{market}/{how}/{kind}/{symbol}/{symbol}-{kind}-{period}.zip"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_of_any_folder_get_their_key() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| std::fs::write(folder.path().join(name), name).unwrap();
        std::fs::create_dir_all(folder.path().join("futures/um")).unwrap();
        for name in [
            "BTCUSDT-trades-2024-03-01.zip",
            "BTCUSDT-trades-2024-03.zip",
            "BTCUSD_PERP-aggTrades-2024-03-01.zip",
            "futures/um/ETHUSDT-trades-2024-03-01.zip",
            "BTCUSDT-trades-2024-03-02.csv",
        ] {
            write(name);
        }
        let sum = "ab".repeat(32) + "  BTCUSDT-trades-2024-03.zip\n";
        std::fs::write(folder.path().join("BTCUSDT-trades-2024-03.zip.CHECKSUM"), &sum).unwrap();
        let tree = Tree::of(&[folder.path().display().to_string()], None).unwrap();
        let archives: Vec<&String> =
            tree.keys.keys().filter(|key| !key.ends_with(".CHECKSUM")).collect();
        assert_eq!(
            archives,
            [
                "data/futures/cm/daily/aggTrades/BTCUSD_PERP/BTCUSD_PERP-aggTrades-2024-03-01.zip",
                "data/futures/um/daily/trades/ETHUSDT/ETHUSDT-trades-2024-03-01.zip",
                "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-03-01.zip",
                "data/spot/monthly/trades/BTCUSDT/BTCUSDT-trades-2024-03.zip",
            ]
        );
        assert_eq!((tree.keys.len(), tree.ignored.len()), (8, 1));
        let monthly = &tree.keys[&format!("{}.CHECKSUM", archives[3])];
        assert_eq!(monthly.content, Content::Text(sum));
        assert!(
            Tree::of(&[folder.path().join("futures/none").display().to_string()], None).is_err()
        );
    }

    #[test]
    fn links_in_a_folder_are_not_served() {
        use std::os::unix::fs::symlink;

        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let day = |day: u8| format!("BTCUSDT-trades-2024-03-0{day}.zip");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at(&day(1)), "one").unwrap();
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        symlink(outside.path().join("secret"), at(&day(2))).unwrap();
        symlink(outside.path().join("secret"), at(&(day(1) + ".CHECKSUM"))).unwrap();
        std::fs::write(outside.path().join(day(3)), "three").unwrap();
        symlink(outside.path(), at("sub")).unwrap();
        let text = |path: &Path| path.display().to_string();
        let tree = Tree::of(&[text(folder.path())], None).unwrap();
        assert_eq!((tree.keys.len(), tree.linked.len()), (2, 2), "{tree:?}");
        for published in tree.keys.values() {
            assert!(!matches!(&published.content, Content::Text(text) if text.contains("secret")));
        }
        let place = at(&day(1)).canonicalize().unwrap();
        assert!(open_published(&place).is_ok());
        std::fs::remove_file(&place).unwrap();
        symlink(outside.path().join("secret"), &place).unwrap();
        assert!(open_published(&place).is_err(), "a link that was made later");
        std::fs::create_dir(at("later")).unwrap();
        std::fs::write(at("later").join(day(3)), "three").unwrap();
        let place = at("later").join(day(3)).canonicalize().unwrap();
        std::fs::rename(at("later"), at("before")).unwrap();
        symlink(outside.path(), at("later")).unwrap();
        assert!(open_published(&place).is_err(), "a link in the place of a folder");
        // What is named itself is served.
        let tree = Tree::of(&[text(&at(&day(2))), text(&at("sub"))], None).unwrap();
        assert_eq!((tree.keys.len(), tree.linked.len()), (4, 0), "{tree:?}");
    }
}

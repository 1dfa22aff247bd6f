//! Trust roots on disk: [`TrustOptions`] says where, [`survey`] reads all there are, [`find`] one
//! by its name.
//!
//! A root NAME is the file `NAME.json` in the first folder of `roots` that has it; `NAME.root.json`
//! beside it is the TUF root that its updates are checked from. Files that others may write are
//! refused (attack E4).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use sigstore_trust_root::TrustedRoot;

use super::error::{FileFault, RootFault};
use super::files;
use super::shipped::shipped;

/// Most bytes of a trusted root, or of a TUF root: Sigstore's have under 40 KiB.
pub const ROOT_MAX: usize = 1 << 20;
/// Most files in a folder of roots; an organisation has a handful.
const FILES_MAX: usize = 256;
/// Longest name of a root: it is a file name, a label and a word in a policy.
const NAME_MAX: usize = 64;
/// What the name of a trusted root's file ends with.
const ENDING: &str = ".json";
/// What the name of a TUF root's file ends with.
const TUF_ENDING: &str = ".root.json";

/// Trust roots, the `[trust]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrustOptions {
    /// Folders of trust roots; of two files of one name that in the earlier folder counts. Default:
    /// the operator's (`/etc/sealgate/trust`), what was fetched (`/var/lib/sealgate/trust`), what
    /// was shipped (`/usr/share/sealgate/trust`).
    pub roots: Vec<PathBuf>,
    /// The folder that `sealgate trust update` writes to. Default: `/var/lib/sealgate/trust`.
    pub state: PathBuf,
    /// The roots that `sealgate trust update` refreshes when none is named, and whose end is
    /// watched. Default: Sigstore's public-good instance.
    pub update: Vec<String>,
    /// Where the updates of a root are published, root name -> URL. Plain HTTP where the URL says
    /// so: what is fetched is signed. The shipped roots need no entry. Default: none.
    pub mirrors: BTreeMap<String, String>,
    /// Proxy for updates (`http://host:port`). Default: `HTTPS_PROXY` and `NO_PROXY` of the
    /// environment, or `HTTP_PROXY` for a mirror by plain HTTP.
    pub proxy: Option<String>,
    /// Seconds that one update may take, all requests together. Default 120: half a dozen small
    /// files.
    pub update_seconds: u32,
    /// Days before its end at which an authority, a log or a key becomes a warning. Default 30:
    /// time to ask for a new one.
    pub expiry_warning_days: u16,
}

impl Default for TrustOptions {
    fn default() -> Self {
        Self {
            roots: ["/etc/sealgate/trust", "/var/lib/sealgate/trust", "/usr/share/sealgate/trust"]
                .map(PathBuf::from)
                .to_vec(),
            state: PathBuf::from("/var/lib/sealgate/trust"),
            update: vec!["public-good".to_owned()],
            mirrors: BTreeMap::new(),
            proxy: None,
            update_seconds: 120,
            expiry_warning_days: 30,
        }
    }
}

impl TrustOptions {
    /// Refuses what cannot work together.
    ///
    /// # Errors
    /// Which key, and why.
    pub fn check(&self) -> Result<(), String> {
        if !self.roots.contains(&self.state) {
            let state = self.state.display();
            return Err(format!(
                "trust.state is {state}, which is not in trust.roots: what is fetched would not be \
                 used"
            ));
        }
        if let Some(name) =
            self.update.iter().chain(self.mirrors.keys()).find(|name| !is_root_name(name))
        {
            return Err(format!(
                "{name:?} in [trust] cannot be the name of a root: expected lower-case letters, \
                 digits, -, _, ."
            ));
        }
        if self.update_seconds == 0 {
            return Err("trust.update_seconds must be at least 1".to_owned());
        }
        Ok(())
    }
}

/// A trust root's file, read.
#[derive(Debug)]
pub struct Found {
    /// What policies call it.
    pub name: String,
    /// The file that counts.
    pub file: PathBuf,
    /// Files of the same name in later folders, which do not count.
    pub hidden: Vec<PathBuf>,
    /// What is in it.
    pub root: Result<TrustedRoot, RootFault>,
}

/// Whether this can be the name of a root: lower-case letters, digits, `-`, `_` and `.`, a letter
/// or digit first.
#[must_use]
pub fn is_root_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= NAME_MAX
        && name.starts_with(plain)
        && name.chars().all(|c| plain(c) || matches!(c, '-' | '_' | '.'))
        && !name.ends_with(".root")
}

/// A `trusted_root.json` that a verifier accepts.
///
/// # Errors
/// [`RootFault::Content`] when it is none, names nothing to verify with, or has a key or
/// certificate that cannot be used.
pub fn parse_root(bytes: &[u8]) -> Result<TrustedRoot, RootFault> {
    let fault = |why: String| RootFault::Content(why);
    let text = std::str::from_utf8(bytes).map_err(|_| fault("not utf-8".to_owned()))?;
    let root = TrustedRoot::from_json(text).map_err(|error| fault(error.to_string()))?;
    if root.tlogs.is_empty()
        && root.timestamp_authorities.is_empty()
        && root.certificate_authorities.is_empty()
    {
        return Err(fault("it has no log and no authority".to_owned()));
    }
    sigstore_verify::Verifier::new(&root).map_err(|error| fault(error.to_string()))?;
    Ok(root)
}

/// Every root in the folders, by name. A folder that is not there holds none.
///
/// # Errors
/// The folder that cannot be used, and why.
pub fn survey(options: &TrustOptions) -> Result<Vec<Found>, (PathBuf, FileFault)> {
    let mut names = BTreeSet::new();
    for folder in &options.roots {
        match files::names(folder, FILES_MAX) {
            Ok(found) => names.extend(found.iter().filter_map(|file| root_name(Path::new(file)))),
            Err(FileFault::Io(io::ErrorKind::NotFound)) => {}
            Err(fault) => return Err((folder.clone(), fault)),
        }
    }
    Ok(names.iter().filter_map(|name| find(options, name)).collect())
}

/// The root of this name; none where no folder has it, or it can be no name.
#[must_use]
pub fn find(options: &TrustOptions, name: &str) -> Option<Found> {
    let (file, hidden) = places(options, name, ENDING)?;
    let bytes = files::read(&file, ROOT_MAX).map_err(RootFault::File);
    Some(Found {
        name: name.to_owned(),
        file,
        hidden,
        root: bytes.and_then(|bytes| parse_root(&bytes)),
    })
}

/// The file of the root of this name, and what is in it; none where no folder has it, or it can be
/// no name.
pub(super) fn read(
    options: &TrustOptions,
    name: &str,
) -> Option<(PathBuf, Result<Vec<u8>, FileFault>)> {
    let (file, _) = places(options, name, ENDING)?;
    let bytes = files::read(&file, ROOT_MAX);
    Some((file, bytes))
}

/// The TUF root that updates of this root are checked from: the file in the folders, else the
/// shipped one.
///
/// # Errors
/// The file that cannot be read, and why. None where there is none.
pub fn tuf_root(
    options: &TrustOptions,
    name: &str,
) -> Result<Option<Vec<u8>>, (PathBuf, FileFault)> {
    match places(options, name, TUF_ENDING) {
        Some((file, _)) => tuf_root_file(&file).map(Some).map_err(|fault| (file, fault)),
        None => Ok(shipped(name).map(|shipped| shipped.tuf_root.as_bytes().to_vec())),
    }
}

/// Reads a TUF root that an operator names.
///
/// # Errors
/// [`FileFault`] when it cannot be read, is too large, or others may write it.
pub fn tuf_root_file(file: &Path) -> Result<Vec<u8>, FileFault> {
    files::read(file, ROOT_MAX)
}

/// The first file of this name, and the others.
fn places(options: &TrustOptions, name: &str, ending: &str) -> Option<(PathBuf, Vec<PathBuf>)> {
    if !is_root_name(name) {
        return None;
    }
    let files = options.roots.iter().map(|folder| folder.join(format!("{name}{ending}")));
    // A link that leads nowhere is a fault, not an absence.
    let mut there = files.filter(|file| file.symlink_metadata().is_ok());
    Some((there.next()?, there.collect()))
}

fn root_name(file: &Path) -> Option<String> {
    let name = file.to_str()?;
    let name = name.strip_suffix(ENDING).filter(|name| is_root_name(name))?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn write(file: &Path, text: &str, mode: u32) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn stage() -> (tempfile::TempDir, TrustOptions) {
        let dir = tempfile::tempdir().unwrap();
        let roots = ["etc", "var", "usr"].map(|name| dir.path().join(name)).to_vec();
        (dir, TrustOptions { roots, ..TrustOptions::default() })
    }

    #[test]
    fn the_first_folder_that_has_a_root_counts() {
        let (dir, options) = stage();
        let text = shipped("public-good").unwrap().trusted_root;
        write(&dir.path().join("usr/acme.json"), text, 0o644);
        write(&dir.path().join("usr/acme.root.json"), "{}", 0o644);
        write(&dir.path().join("usr/.acme.json.new"), "{", 0o644);
        write(&dir.path().join("var/acme.json"), text, 0o644);
        let found = survey(&options).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name.as_str(), &found[0].file),
            ("acme", &dir.path().join("var/acme.json"))
        );
        assert_eq!(found[0].hidden, [dir.path().join("usr/acme.json")]);
        assert!(found[0].root.is_ok());
        assert!(find(&options, "other").is_none());
        assert!(find(&options, "../usr/acme").is_none());
    }

    #[test]
    fn a_broken_root_hides_the_one_behind_it() {
        let (dir, options) = stage();
        let text = shipped("public-good").unwrap().trusted_root;
        write(&dir.path().join("usr/acme.json"), text, 0o644);
        for broken in ["{", "{}", "{\"mediaType\": \"x\"}"] {
            write(&dir.path().join("etc/acme.json"), broken, 0o644);
            assert!(
                matches!(find(&options, "acme").unwrap().root, Err(RootFault::Content(_))),
                "{broken}"
            );
        }
    }

    #[test]
    fn attack_e4_a_root_that_others_can_write_is_refused() {
        let (dir, options) = stage();
        let (file, tuf) = (dir.path().join("etc/acme.json"), dir.path().join("etc/acme.root.json"));
        write(&file, shipped("public-good").unwrap().trusted_root, 0o666);
        write(&tuf, "{}", 0o666);
        let fault = |what| FileFault::Writable { what, mode: 0o666 };
        assert_eq!(find(&options, "acme").unwrap().root.unwrap_err(), RootFault::File(fault(file)));
        assert_eq!(tuf_root(&options, "acme"), Err((tuf.clone(), fault(tuf))));
    }

    #[test]
    fn the_tuf_root_is_the_operators_or_the_shipped_one() {
        let (dir, options) = stage();
        let tuf = shipped("staging").unwrap().tuf_root.as_bytes().to_vec();
        assert_eq!(tuf_root(&options, "staging"), Ok(Some(tuf)));
        assert_eq!(tuf_root(&options, "acme"), Ok(None));
        write(&dir.path().join("etc/staging.root.json"), "mine", 0o644);
        assert_eq!(tuf_root(&options, "staging"), Ok(Some(b"mine".to_vec())));
    }

    #[test]
    fn options_must_fit_together() {
        assert_eq!(TrustOptions::default().check(), Ok(()));
        let one = |text: &str| toml::from_str::<TrustOptions>(text).unwrap().check();
        assert!(one("state = '/elsewhere'").is_err());
        assert!(one("state = '/x'\nroots = ['/x']").is_ok());
        assert!(one("update = ['../x']").is_err());
        assert!(one("mirrors = { 'A b' = 'https://tuf.example' }").is_err());
        assert!(one("update_seconds = 0").is_err());
        assert!(toml::from_str::<TrustOptions>("mirror = 'x'").is_err());
    }

    #[test]
    fn names_are_plain() {
        for good in ["public-good", "a", "acme.example_2"] {
            assert!(is_root_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "A", "a b", "-a", "a.root", "ä", &"a".repeat(65)] {
            assert!(!is_root_name(bad), "{bad}");
        }
    }
}

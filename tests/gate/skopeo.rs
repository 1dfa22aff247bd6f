//! [`Skopeo`]: the real program, as a second opinion on images under a `policy.json`; [`Why`] it
//! refuses one, told from everything that keeps it from judging.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rig::HOST;

/// What a build of skopeo says that verifies no Sigstore signature.
const DISABLED: &str = "Debian-local change: sigstore disabled";
/// Why skopeo refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// A requirement of the type `reject`.
    Rejected,
    /// There is no signature where it looks.
    Unsigned,
    /// There are signatures, and none by that key for that name.
    NoneCounts,
}

impl Why {
    /// The reason in what skopeo says; anything else is no verdict on the image.
    pub(crate) fn of(said: &str) -> Self {
        assert!(said.contains("Source image rejected: "), "skopeo could not judge: {said}");
        assert!(!said.contains(DISABLED), "this skopeo is no judge: {said}");
        for (words, why) in [
            ("is rejected by policy", Self::Rejected),
            ("A signature was required, but no signature exists", Self::Unsigned),
            ("None of the signatures were accepted", Self::NoneCounts),
            ("cryptographic signature verification failed", Self::NoneCounts),
            ("is not accepted", Self::NoneCounts),
        ] {
            if said.contains(words) {
                return why;
            }
        }
        panic!("skopeo refuses for a reason that is not known: {said}");
    }

    /// Whether the gate's code says the same. What rejects is a digest that no image has, and so is
    /// what asks for signatures where `registries.d` looks for none.
    pub(crate) fn is(self, code: &str, looks: bool) -> bool {
        match self {
            Self::Rejected => code == "digest-not-listed",
            Self::Unsigned => code == "unsigned" || (!looks && code == "digest-not-listed"),
            Self::NoneCounts => code == "no-signature-counts",
        }
    }
}

/// A skopeo, as it is started.
pub(crate) struct Skopeo(Vec<PathBuf>);

impl Skopeo {
    /// The machine's own, and the unpacked ones with the libraries that they were built for.
    fn all() -> Vec<Self> {
        let mut found = vec![Self(vec![PathBuf::from("skopeo")])];
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/skopeo");
        for suite in std::fs::read_dir(unpacked).into_iter().flatten().flatten() {
            let root = suite.path().join("usr");
            let libraries = root.join("lib/x86_64-linux-gnu");
            found.push(Self(vec![
                libraries.join("ld-linux-x86-64.so.2"),
                PathBuf::from("--library-path"),
                libraries,
                root.join("bin/skopeo"),
            ]));
        }
        found.retain(|skopeo| skopeo.command().arg("--version").output().is_ok());
        found
    }

    /// One that verifies Sigstore's signatures, as it shows with an image that is signed.
    pub(crate) fn that_verifies(folder: &Path, image: &str) -> Option<Self> {
        for skopeo in Self::all() {
            match skopeo.copies(folder, image) {
                Ok(()) => return Some(skopeo),
                Err(said) => assert!(
                    said.contains(DISABLED) || !said.contains("Source image rejected"),
                    "a signed image is refused: {said}"
                ),
            }
        }
        None
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.0[0]);
        command.args(&self.0[1..]);
        command
    }

    /// Whether it copies the image under the policy in this folder; what it says where it does not.
    pub(crate) fn copies(&self, folder: &Path, image: &str) -> Result<(), String> {
        let to = folder.join("to");
        drop(std::fs::remove_dir_all(&to));
        let output = self
            .command()
            .env("HOME", folder)
            .env_remove("XDG_CONFIG_HOME")
            .arg("--policy")
            .arg(folder.join("policy.json"))
            .arg("--registries.d")
            .arg(folder.join("registries.d"))
            .arg("--tmpdir")
            .arg(folder)
            .args(["--override-os", "linux", "--override-arch", "amd64"])
            .args(["copy", "--remove-signatures"])
            .arg(format!("docker://{HOST}/{image}"))
            .arg(format!("dir:{}", to.display()))
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

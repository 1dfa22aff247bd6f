//! The kubelet's configuration file with its drop-ins, and the files of kubeadm, k3s and RKE2 that
//! become arguments. Reads no more of them than what they say about the runtime.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::arguments::Arguments;
use super::setting::{Place, Setting, Unread};
use crate::node::{self, Unusable};

/// Most drop-ins, and how deep their folders are followed.
const DROP_INS_MAX: usize = 256;
const DEPTH_MAX: usize = 4;

/// What of a `KubeletConfiguration` counts (kubelet.config.k8s.io/v1beta1).
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct KubeletConfiguration {
    container_runtime_endpoint: Option<String>,
    image_service_endpoint: Option<String>,
}

/// What of a configuration of k3s or RKE2 counts.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct DistributionConfiguration {
    container_runtime_endpoint: Option<String>,
    image_service_endpoint: Option<String>,
    #[serde(alias = "kubelet-arg+")]
    kubelet_arg: OneOrMany,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// Reads files below a root, and remembers what could not be used.
#[derive(Debug)]
pub(super) struct Files<'r> {
    pub(super) root: &'r Path,
    pub(super) unread: Vec<Unread>,
}

impl Files<'_> {
    /// Where a path of the node is.
    pub(super) fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The text of a file; none where it is not there or cannot be used.
    fn text(&mut self, path: &Path) -> Option<String> {
        let why = match node::read(&self.at(path)) {
            Ok(text) => return Some(text),
            Err(Unusable::Absent) => return None,
            Err(unusable) => unusable.to_string(),
        };
        self.unread.push(Unread { file: path.to_owned(), why });
        None
    }

    fn yaml<T: for<'de> Deserialize<'de>>(&mut self, path: &Path, text: &str) -> Option<T> {
        match serde_saphyr::from_str(text) {
            Ok(value) => Some(value),
            Err(error) => {
                // The first line: the rest draws the place.
                let why = error.to_string().lines().next().unwrap_or_default().to_owned();
                self.unread.push(Unread { file: path.to_owned(), why });
                None
            }
        }
    }

    /// What a kubelet's configuration file says; one that is named and not there cannot be used.
    pub(super) fn kubelet_config(&mut self, path: &Path, is_named: bool) -> Arguments {
        let Some(text) = self.text(path) else {
            if is_named && !self.unread.iter().any(|unread| unread.file == path) {
                self.unread
                    .push(Unread { file: path.to_owned(), why: Unusable::Absent.to_string() });
            }
            return Arguments::default();
        };
        let Some(read) = self.yaml::<KubeletConfiguration>(path, &text) else {
            return Arguments::default();
        };
        let setting = |endpoint: Option<String>, key| {
            let place = Place { file: path.to_owned(), line: line_of(&text, key) };
            endpoint.filter(|endpoint| !endpoint.is_empty()).map(|endpoint| Setting {
                endpoint,
                place,
                is_default: false,
            })
        };
        Arguments {
            runtime: setting(read.container_runtime_endpoint, "containerRuntimeEndpoint"),
            images: setting(read.image_service_endpoint, "imageServiceEndpoint"),
            ..Arguments::default()
        }
    }

    /// What the drop-ins of a folder say together: every `*.conf`, in the order of their paths, the
    /// later over the earlier.
    pub(super) fn drop_ins(&mut self, folder: &Path) -> Arguments {
        let mut paths = Vec::new();
        self.list(folder, ".conf", DEPTH_MAX, &mut paths);
        paths
            .into_iter()
            .fold(Arguments::default(), |below, path| self.kubelet_config(&path, true).over(below))
    }

    /// What k3s or RKE2 is told by its file and its drop-ins.
    pub(super) fn distribution(&mut self, file: &Path) -> Arguments {
        let mut paths = vec![file.to_owned()];
        self.list(&PathBuf::from(format!("{}.d", file.display())), ".yaml", 1, &mut paths);
        paths
            .into_iter()
            .fold(Arguments::default(), |below, path| self.distribution_file(&path).over(below))
    }

    fn distribution_file(&mut self, path: &Path) -> Arguments {
        let mut read = Arguments::default();
        let Some(text) = self.text(path) else { return read };
        let Some(said) = self.yaml::<DistributionConfiguration>(path, &text) else { return read };
        let place = |key: &str| Place { file: path.to_owned(), line: line_of(&text, key) };
        for (name, value) in [
            ("container-runtime-endpoint", said.container_runtime_endpoint),
            ("image-service-endpoint", said.image_service_endpoint),
        ] {
            read.take(name, &value.unwrap_or_default(), &place(name));
        }
        let arguments = match said.kubelet_arg {
            OneOrMany::One(argument) => vec![argument],
            OneOrMany::Many(arguments) => arguments,
        };
        for argument in arguments {
            read.take("kubelet-arg", &argument, &place(&argument));
        }
        read
    }

    /// What a file of environment variables gives the kubelet for arguments.
    pub(super) fn environment(&mut self, path: &Path) -> Arguments {
        let Some(text) = self.text(path) else { return Arguments::default() };
        let mut read = Arguments::default();
        for (number, line) in (1..).zip(text.lines()) {
            let Some((_, value)) =
                line.split_once('=').filter(|_| !line.trim_start().starts_with('#'))
            else {
                continue;
            };
            let place = Place { file: path.to_owned(), line: Some(number) };
            let words = value.trim().trim_matches(['"', '\'']).split_whitespace();
            read = Arguments::read(words, &place).over(read);
        }
        read
    }

    fn list(&mut self, folder: &Path, ending: &str, depth: usize, paths: &mut Vec<PathBuf>) {
        let mut names = Vec::new();
        match fs::read_dir(self.at(folder)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => {
                return self
                    .unread
                    .push(Unread { file: folder.to_owned(), why: error.to_string() });
            }
            Ok(entries) => names.extend(entries.flatten().take(DROP_INS_MAX + 1)),
        }
        names.sort_by_key(fs::DirEntry::file_name);
        for entry in names {
            let path = folder.join(entry.file_name());
            if depth > 1 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.list(&path, ending, depth - 1, paths);
            } else if path.to_string_lossy().ends_with(ending) {
                paths.push(path);
            }
        }
        if paths.len() > DROP_INS_MAX {
            let why = format!("more than {DROP_INS_MAX} drop-ins");
            self.unread.push(Unread { file: folder.to_owned(), why });
        }
    }
}

/// The last line that holds this word, which is the one that counts.
fn line_of(text: &str, word: &str) -> Option<usize> {
    let at = text.lines().rev().position(|line| line.contains(word))?;
    Some(text.lines().count() - at)
}

//! [`Configuration`]: containerd's configuration file with what it imports, and where in it a value
//! stands.
//!
//! What is read here is a claim: containerd reads the files when it starts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::check::Check;
use crate::node::{self, Process};

/// Where containerd has its configuration and its socket by default.
const CONFIG: &str = "/etc/containerd/config.toml";
const ADDRESS: &str = "/run/containerd/containerd.sock";
/// Most files that one imports.
const IMPORTS_MAX: usize = 64;

/// One file of the configuration.
struct ConfigFile {
    file: PathBuf,
    text: String,
    table: Table,
}

/// The file and those that it imports, in the order in which they count.
pub(super) struct Configuration(Vec<ConfigFile>);

/// A value, and where it stands.
pub(super) struct Found<'c> {
    pub(super) value: &'c Value,
    pub(super) place: String,
}

impl Configuration {
    /// Reads a file and what it imports.
    fn read(root: &Path, file: &Path) -> Result<Self, (PathBuf, String)> {
        let main = ConfigFile::read(root, file)?;
        let imports = main.table.get("imports").and_then(Value::as_array).cloned();
        let mut parts = vec![main];
        for import in imports.iter().flatten().filter_map(Value::as_str) {
            let import = file.parent().unwrap_or(file).join(import);
            for path in matching(root, &import) {
                if path == file {
                    continue;
                }
                if parts.len() > IMPORTS_MAX {
                    return Err((
                        file.to_owned(),
                        format!("imports more than {IMPORTS_MAX} files"),
                    ));
                }
                parts.push(ConfigFile::read(root, &path)?);
            }
        }
        Ok(Self(parts))
    }

    /// The value of a key below the first of these plugins that has it; the last file counts.
    pub(super) fn find(&self, plugins: &[&str], keys: &[&str]) -> Option<Found<'_>> {
        self.0.iter().rev().find_map(|part| {
            let all = part.table.get("plugins")?.as_table()?;
            plugins.iter().find_map(|plugin| {
                let value = keys.iter().try_fold(all.get(*plugin)?, |value, key| value.get(key))?;
                Some(Found { value, place: part.line_of_key(plugin, keys) })
            })
        })
    }

    fn address(&self) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find_map(|part| part.table.get("grpc")?.get("address")?.as_str())
            .filter(|address| !address.is_empty())
    }

    /// The check, at the place of what was found, or else in the main file.
    pub(super) fn placed(&self, check: Check, found: Option<Found<'_>>) -> Check {
        let place = found.map(|found| found.place);
        check.at(place.unwrap_or_else(|| self.line_of("")))
    }

    /// The place of a word in the main file.
    pub(super) fn line_of(&self, word: &str) -> String {
        self.0.first().map(|part| part.line_of(word)).unwrap_or_default()
    }
}

impl ConfigFile {
    fn read(root: &Path, file: &Path) -> Result<Self, (PathBuf, String)> {
        let failed = |why: String| (file.to_owned(), why);
        let text = node::read(&below(root, file))
            .map_err(|unusable| failed(format!("cannot be read: {unusable}")))?;
        let table = text
            .parse::<Table>()
            .map_err(|error| failed(format!("cannot be read: {}", error.message())))?;
        Ok(Self { file: file.to_owned(), text, table })
    }

    fn line_of(&self, word: &str) -> String {
        let line = self.text.lines().position(|line| line.contains(word));
        self.place(line.filter(|_| !word.is_empty()))
    }

    /// The place of a key of a plugin: in the table that names the plugin and the keys above it, or
    /// where the word stands first.
    fn line_of_key(&self, plugin: &str, keys: &[&str]) -> String {
        let Some((key, above)) = keys.split_last() else { return self.line_of(plugin) };
        let mut in_table = false;
        let line = self.text.lines().position(|line| {
            let line = line.trim_start();
            if line.starts_with('[') {
                in_table = line.contains(plugin) && above.iter().all(|key| line.contains(key));
            }
            let rest = line.strip_prefix(key).unwrap_or_default().trim_start();
            in_table && (rest.starts_with('=') || (line.starts_with('[') && line.contains(key)))
        });
        line.map_or_else(|| self.line_of(key), |line| self.place(Some(line)))
    }

    fn place(&self, line: Option<usize>) -> String {
        match line {
            Some(line) => format!("{}:{}", self.file.display(), line + 1),
            None => self.file.display().to_string(),
        }
    }
}

/// The configuration of the containerd that serves `socket`; the file that the gate is told of where
/// it says that it is for that socket and none runs.
pub(super) fn of_socket(
    root: &Path,
    processes: &[Process],
    runtime: &crate::containerd::Options,
) -> Result<Option<Configuration>, (PathBuf, String)> {
    let socket = runtime.socket.as_path();
    for process in processes {
        let option = |names: [&str; 2]| option(&process.command, names);
        let config = option(["--config", "-c"]).unwrap_or_else(|| CONFIG.to_owned());
        let address = option(["--address", "-a"]);
        // One that serves another socket, and has no readable configuration, is none of ours.
        let Ok(configuration) = Configuration::read(root, Path::new(&config)) else {
            if address.as_deref().is_some_and(|address| Path::new(address) == socket) {
                return Configuration::read(root, Path::new(&config)).map(Some);
            }
            continue;
        };
        let address = address.as_deref().or_else(|| configuration.address()).unwrap_or(ADDRESS);
        if Path::new(address) == socket {
            return Ok(Some(configuration));
        }
    }
    if !below(root, &runtime.config).exists() {
        return Ok(None);
    }
    let configuration = Configuration::read(root, &runtime.config)?;
    let is_ours = Path::new(configuration.address().unwrap_or(ADDRESS)) == socket;
    Ok(is_ours.then_some(configuration))
}

fn option(command: &[String], names: [&str; 2]) -> Option<String> {
    let mut words = command.iter();
    while let Some(word) = words.next() {
        if names.contains(&word.as_str()) {
            return words.next().cloned();
        }
        if let Some((name, value)) = word.split_once('=')
            && names.contains(&name)
        {
            return Some(value.to_owned());
        }
    }
    None
}

/// The files that an import names: a path, or a folder with `*.toml`.
fn matching(root: &Path, import: &Path) -> Vec<PathBuf> {
    let name = import.file_name().map(|name| name.to_string_lossy().into_owned());
    let (Some(name), Some(folder)) = (name, import.parent()) else { return Vec::new() };
    let Some((before, after)) = name.split_once('*') else { return vec![import.to_owned()] };
    let list = || -> io::Result<Vec<PathBuf>> {
        let names = fs::read_dir(below(root, folder))?.flatten().map(|entry| entry.file_name());
        let mut paths: Vec<PathBuf> = names
            .filter(|name| {
                let name = name.to_string_lossy();
                name.starts_with(before) && name.ends_with(after)
            })
            .map(|name| folder.join(name))
            .collect();
        paths.sort();
        Ok(paths)
    };
    // A folder that is not there holds nothing.
    list().unwrap_or_default()
}

/// A path of the node as it lies below `root`.
pub(super) fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

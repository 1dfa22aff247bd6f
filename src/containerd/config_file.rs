//! containerd's configuration file, as far as it names the sandbox image ([`sandbox_image`]): the
//! file, and those that it imports.
//!
//! What is read here is a claim: containerd reads the files when it starts, and what it made is
//! proven afterwards.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Most files that are read: the configuration and its imports, which packages drop into a folder.
const FILES_MAX: usize = 64;
/// Longest file, in bytes: that of containerd's own defaults has some 10 KiB.
const FILE_MAX: u64 = 1 << 20;

/// Where the image stands: of containerd 2.x, and of the configurations of 1.x that 2.x still reads.
const PLACES: [&[&str]; 2] = [
    &["io.containerd.cri.v1.images", "pinned_images", "sandbox"],
    &["io.containerd.grpc.v1.cri", "sandbox_image"],
];

/// The sandbox image that the configuration at this path names; none when it names none or is not
/// there, as containerd starts without one.
///
/// # Errors
/// Which file cannot be read or understood, and why.
pub(super) async fn sandbox_image(path: PathBuf) -> Result<Option<String>, String> {
    // Files may lie on a disk that is busy.
    let reading = tokio::task::spawn_blocking(move || read_all(&path));
    reading.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// The main file first, then what it imports, in order: the last that names it counts, as for
/// containerd.
fn read_all(main: &Path) -> Result<Option<String>, String> {
    let mut pending = VecDeque::from([main.to_owned()]);
    let (mut seen, mut image) = (Vec::new(), None);
    // Ends with the limit on files.
    while let Some(path) = pending.pop_front() {
        if seen.contains(&path) {
            continue;
        }
        if seen.len() == FILES_MAX {
            return Err(format!("{} imports more than {FILES_MAX} files", main.display()));
        }
        let Some(table) = read(&path)? else {
            if path == main {
                return Ok(None);
            }
            return Err(format!("{} is imported and is not there", path.display()));
        };
        if let Some(named) = named(&table) {
            image = Some(named);
        }
        for import in imports(&table) {
            pending.extend(matching(path.parent().unwrap_or_else(|| Path::new("/")), import)?);
        }
        seen.push(path);
    }
    Ok(image)
}

fn read(path: &Path) -> Result<Option<Table>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let length = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    if length > FILE_MAX {
        return Err(failed(&format!("{length} bytes, of which at most {FILE_MAX} are read")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    text.parse().map(Some).map_err(|error: toml::de::Error| failed(&error.message()))
}

/// The image that this file names.
fn named(table: &Table) -> Option<String> {
    PLACES.iter().find_map(|place| {
        let mut value = table.get("plugins")?;
        for key in *place {
            value = value.get(*key)?;
        }
        value.as_str().filter(|image| !image.is_empty()).map(str::to_owned)
    })
}

fn imports(table: &Table) -> impl Iterator<Item = &str> {
    table.get("imports").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The files that an import means: relative to the file that imports it, with `*` for any text in
/// the last part.
fn matching(folder: &Path, import: &str) -> Result<Vec<PathBuf>, String> {
    let path = folder.join(import);
    let (Some(parent), Some(pattern)) =
        (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Err(format!("the import {import:?} names no file"));
    };
    if !import.contains(['*', '?', '[', '\\']) {
        return Ok(vec![path]);
    }
    let in_parent = parent.to_str().is_some_and(|parent| parent.contains(['*', '?', '[', '\\']));
    let Some((begin, end)) = pattern.split_once('*') else {
        return Err(format!("the import {import:?} is not understood"));
    };
    if in_parent || end.contains(['*', '?', '[', '\\']) || begin.contains(['?', '[', '\\']) {
        return Err(format!("the import {import:?} is not understood"));
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_meant = name.to_str().is_some_and(|name| {
            name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end)
        });
        if is_meant {
            found.push(entry.path());
        }
        if found.len() > FILES_MAX {
            return Err(format!("the import {import:?} means more than {FILES_MAX} files"));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn the_last_file_that_names_the_image_counts() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let old =
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"a/old:1\"\n";
        assert_eq!(read_all(&write(folder, "old.toml", old)), Ok(Some("a/old:1".to_owned())));
        let new = |image: &str| {
            format!(
                "version = 3\n[plugins.\"io.containerd.cri.v1.images\".pinned_images]\nsandbox = \
                 \"{image}\"\n"
            )
        };
        let main = format!("imports = [\"conf.d/*.toml\"]\n{}", new("a/main:1"));
        let main = write(folder, "config.toml", &main);
        assert_eq!(read_all(&main), Ok(Some("a/main:1".to_owned())));
        write(folder, "conf.d/1.toml", &new("a/one:1"));
        write(folder, "conf.d/2.toml", &new("a/two:1"));
        write(folder, "conf.d/3.toml.bak", &new("a/bak:1"));
        assert_eq!(read_all(&main), Ok(Some("a/two:1".to_owned())));
        // A file that imports itself, and one that says nothing.
        let around = write(folder, "around.toml", "imports = [\"around.toml\"]\n");
        assert_eq!(read_all(&around), Ok(None));
        assert_eq!(read_all(&folder.join("absent.toml")), Ok(None));
    }

    /// Attack A5: what cannot be understood names nothing, and is never taken for a default.
    #[test]
    fn attack_a5_a_configuration_that_cannot_be_read_is_no_default() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for text in [
            "not toml",
            "imports = [\"absent.toml\"]\n",
            "imports = [\"a[bc].toml\"]\n",
            "imports = [\"*/x.toml\"]\n",
        ] {
            assert!(read_all(&write(folder, "config.toml", text)).is_err(), "{text}");
        }
        let long = " ".repeat(usize::try_from(FILE_MAX).unwrap() + 1);
        assert!(read_all(&write(folder, "config.toml", &long)).is_err());
        let many: Vec<String> = (0..=FILES_MAX).map(|n| format!("\"{n}.toml\"")).collect();
        for n in 0..=FILES_MAX {
            write(folder, &format!("{n}.toml"), "");
        }
        let many = format!("imports = [{}]", many.join(", "));
        assert!(read_all(&write(folder, "config.toml", &many)).is_err());
    }
}

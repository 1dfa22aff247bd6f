//! The file of the containers that the gate made: a first line with the time since which the
//! runtime is gated, and a line for each container with its id and when containerd made it; a line
//! for each namespace that was looked at, and for each container that was there then.
//!
//! An empty file beside it, while there is one, says that containers are missing in it, since they
//! could not be written.
//!
//! A line that is torn or none of ours is passed over: its container is then not known.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc;

use crate::file_trust;

/// How the first line begins, with the version of the format.
const HEAD: &str = "sealgate-containers 1 ";
/// Largest file that is read, bytes: twice as many lines as are remembered.
const FILE_MAX: u64 = 8 << 20;
/// Bytes from which on the file is written anew without those that are gone: more than all that is
/// remembered takes.
const LARGE: u64 = 5 << 20;
/// Longest id, bytes: containerd's own limit for identifiers (`pkg/identifiers`).
const ID_MAX: usize = 76;
/// How the name of the mark ends that containers are missing in the file.
const MARK_ENDING: &str = ".incomplete";
/// Permission bits of the file.
const MODE: u32 = 0o600;

/// Whether the file should be written anew.
pub(super) enum Size {
    Small,
    Large,
}

/// What is kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KeptContainers {
    /// When the runtime was first gated, since 1970 UTC.
    pub(super) began: Duration,
    /// What the gate made, oldest first.
    pub(super) containers: Vec<(String, Duration)>,
    /// The namespaces that were looked at.
    pub(super) surveyed: Vec<String>,
    /// What was there then.
    pub(super) present: Vec<KeptPresent>,
}

/// A container that was there when its namespace was first looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeptPresent {
    pub(super) namespace: String,
    pub(super) id: String,
    pub(super) created: Duration,
    pub(super) is_older: bool,
}

/// A line after the first.
enum KeptLine {
    Made(String, Duration),
    Surveyed(String),
    Present(KeptPresent),
}

/// What the file says; none where there is no file.
pub(super) fn read(path: &Path) -> Result<Option<KeptContainers>, String> {
    let failed = |error: io::Error| format!("{}: {}", path.display(), error.kind());
    let mut how = OpenOptions::new();
    let file = match how.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    file_trust::check_open(path, &metadata).map_err(|fault| fault.to_string())?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes).map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes);
    // What has no end is torn.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut lines = whole.lines();
    let began = lines.next().and_then(|head| head.strip_prefix(HEAD)).and_then(nanos);
    let began = began.ok_or_else(|| format!("{}: no list of containers", path.display()))?;
    let mut kept = KeptContainers { began, ..KeptContainers::default() };
    for line in lines.filter_map(parsed) {
        match line {
            KeptLine::Made(id, created) => kept.containers.push((id, created)),
            KeptLine::Surveyed(namespace) => kept.surveyed.push(namespace),
            KeptLine::Present(present) => kept.present.push(present),
        }
    }
    Ok(Some(kept))
}

fn parsed(line: &str) -> Option<KeptLine> {
    let words: Vec<&str> = line.split(' ').collect();
    let name = |text: &str| is_id(text).then(|| text.to_owned());
    Some(match *words.as_slice() {
        ["made", id, created] => KeptLine::Made(name(id)?, nanos(created)?),
        ["surveyed", namespace] => KeptLine::Surveyed(name(namespace)?),
        [word @ ("before" | "untold"), namespace, id, created] => KeptLine::Present(KeptPresent {
            namespace: name(namespace)?,
            id: name(id)?,
            created: nanos(created)?,
            is_older: word == "before",
        }),
        _ => return None,
    })
}

fn nanos(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_nanos)
}

fn is_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !id.is_empty() && id.len() <= ID_MAX && id.bytes().all(is_plain)
}

fn lines(containers: &[(String, Duration)]) -> String {
    let known = containers.iter().filter(|(id, _)| is_id(id));
    known.map(|(id, created)| format!("made {id} {}\n", created.as_nanos())).collect()
}

fn present_line(present: &KeptPresent) -> String {
    let word = if present.is_older { "before" } else { "untold" };
    format!("{word} {} {} {}\n", present.namespace, present.id, present.created.as_nanos())
}

/// The whole file.
fn text(kept: &KeptContainers) -> String {
    let surveyed = kept.surveyed.iter().map(|namespace| format!("surveyed {namespace}\n"));
    let is_plain = |present: &&KeptPresent| is_id(&present.namespace) && is_id(&present.id);
    let present = kept.present.iter().filter(is_plain).map(present_line);
    format!(
        "{HEAD}{}\n{}{}{}",
        kept.began.as_nanos(),
        surveyed.collect::<String>(),
        present.collect::<String>(),
        lines(&kept.containers)
    )
}

/// Adds containers to the file.
pub(super) fn append(path: &Path, containers: &[(String, Duration)]) -> Result<Size, String> {
    let failed = |error: io::Error| format!("{}: {}", path.display(), error.kind());
    let mut how = OpenOptions::new();
    let mut file = how.append(true).custom_flags(libc::O_NOFOLLOW).open(path).map_err(failed)?;
    file.write_all(lines(containers).as_bytes()).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    Ok(if size > LARGE { Size::Large } else { Size::Small })
}

/// Writes the file anew: a crash leaves the old one or this.
pub(super) fn write(path: &Path, kept: &KeptContainers) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {}", path.display(), error.kind());
    let beside = beside(path, ".new");
    // What a crash left there is of no use.
    let _may_not_be_there = fs::remove_file(&beside);
    let mut how = OpenOptions::new();
    let mut file = how.write(true).create_new(true).mode(MODE).open(&beside).map_err(failed)?;
    file.write_all(text(kept).as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).and_then(|()| sync_folder(path)).map_err(failed)
}

/// Says for the next start that containers are missing in the file. A disk without room for their
/// names often has some for this.
pub(super) fn mark_incomplete(path: &Path) -> Result<(), String> {
    let mark = beside(path, MARK_ENDING);
    let mut how = OpenOptions::new();
    how.write(true).create(true).truncate(false).mode(MODE).custom_flags(libc::O_NOFOLLOW);
    let marked = how.open(&mark).and_then(|_| sync_folder(path));
    marked.map_err(|error| format!("{}: {}", mark.display(), error.kind()))
}

/// Whether containers are missing in the file, or that cannot be seen.
pub(super) fn is_incomplete(path: &Path) -> bool {
    match fs::symlink_metadata(beside(path, MARK_ENDING)) {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Says that no container is missing in the file any more.
pub(super) fn mark_complete(path: &Path) -> Result<(), String> {
    let mark = beside(path, MARK_ENDING);
    match fs::remove_file(&mark) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("{}: {}", mark.display(), error.kind()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder).and_then(|folder| folder.sync_all()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, nanos: u64) -> (String, Duration) {
        (id.to_owned(), Duration::from_nanos(nanos))
    }

    #[test]
    fn what_was_written_is_read_and_torn_lines_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("containers");
        assert_eq!(read(&path), Ok(None));
        let present = |id: &str, is_older| KeptPresent {
            namespace: "k8s.io".to_owned(),
            id: id.to_owned(),
            created: Duration::from_nanos(3),
            is_older,
        };
        let kept = |containers: Vec<_>| KeptContainers {
            began: Duration::from_nanos(5),
            containers,
            surveyed: vec!["k8s.io".to_owned(), "moby".to_owned()],
            present: vec![present("old", true), present("odd", false)],
        };
        let first = kept(vec![container("a", 7)]);
        write(&path, &first).unwrap();
        assert_eq!(read(&path), Ok(Some(first)));
        append(&path, &[container("b-2", 1 << 60), container("no id", 5)]).unwrap();
        let both = kept(vec![container("a", 7), container("b-2", 1 << 60)]);
        assert_eq!(read(&path), Ok(Some(both)));
        let whole = text(&kept(vec![container("b", 9)]));
        for torn in ["c", "made c", "made c 1", "made c 12\nmade d", "made c x\nbefore d 1\n"] {
            fs::write(&path, format!("{whole}{torn}")).unwrap();
            let read = read(&path).unwrap().unwrap();
            assert!(read.containers.iter().all(|(id, _)| id != "d"));
            assert_eq!(read.containers.first(), Some(&container("b", 9)));
            assert_eq!(read.present.len(), 2);
        }
    }

    #[test]
    fn attack_e4_a_file_that_is_none_of_ours_says_nothing() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("containers");
        for broken in ["", "made a 1\n", "sealgate-containers 2 5\n", "sealgate-containers 1 x\n"] {
            fs::write(&path, broken).unwrap();
            assert!(read(&path).is_err(), "{broken:?}");
        }
        write(&path, &KeptContainers::default()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(read(&path).is_err(), "others could add containers");
    }
}

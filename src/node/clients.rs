//! [`clients`]: the processes that are connected to a Unix socket of the node, and whose they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use super::process::{self, Owner};
use super::unix_diag;

/// Most processes that are looked at, as many as there can be by default.
const PROCESSES_MAX: usize = 32_768;
/// Most open files that are looked at, of all processes together: a busy node has some ten thousand.
const FILES_MAX: usize = 1 << 20;

/// A process that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its id.
    pub pid: u32,
    /// Its name, which it chose.
    pub name: String,
    /// Whose it is.
    pub owner: Owner,
    /// How many connections it has.
    pub connections: usize,
}

/// Who is connected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clients {
    /// The processes, by their ids.
    pub seen: Vec<Client>,
    /// Connections of processes that cannot be seen.
    pub unseen: usize,
}

/// Who is connected to the socket at `path`; none when nobody listens there that can be seen.
///
/// # Errors
/// What the system answered.
pub fn clients(path: &Path) -> io::Result<Option<Clients>> {
    let Some(ends) = unix_diag::peers(path)? else { return Ok(None) };
    let ends: BTreeSet<u32> = ends.into_iter().collect();
    let mut held: BTreeMap<u32, usize> = BTreeMap::new();
    let (mut left, mut seen) = (FILES_MAX, BTreeSet::new());
    let proc = Path::new("/proc");
    for entry in fs::read_dir(proc)?.flatten().take(PROCESSES_MAX) {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid.filter(|_| !ends.is_empty()) else { continue };
        // One that has ended, or may not be looked at, is counted among those unseen.
        for file in fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten() {
            left = left.saturating_sub(1);
            if left == 0 {
                return Err(io::Error::other("this node has too many open files to look at"));
            }
            if let Some(end) = socket(&file.path()).filter(|end| ends.contains(end)) {
                seen.insert(end);
                *held.entry(pid).or_default() += 1;
            }
        }
    }
    let unseen = ends.len().saturating_sub(seen.len());
    let seen = held.into_iter().filter_map(|(pid, connections)| {
        let (name, owner) = process::owner(proc, pid)?;
        Some(Client { pid, name, owner, connections })
    });
    Ok(Some(Clients { seen: seen.collect(), unseen }))
}

/// The inode of the socket that an open file is: `socket:[4711]`.
fn socket(file: &Path) -> Option<u32> {
    let target = fs::read_link(file).ok()?;
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn those_that_hold_a_connection_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(clients(&path).unwrap(), Some(Clients::default()));
        let own = UnixStream::connect(&path).unwrap();
        let handed = UnixStream::connect(&path).unwrap();
        let _taken = [listener.accept().unwrap(), listener.accept().unwrap()];
        let mut child = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(handed)))
            .spawn()
            .unwrap();
        let found = clients(&path).unwrap().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let mut expected = [std::process::id(), child.id()];
        expected.sort_unstable();
        assert_eq!(found.seen.iter().map(|client| client.pid).collect::<Vec<_>>(), expected);
        assert!(found.seen.iter().all(|client| client.connections == 1), "{found:?}");
        assert_eq!(found.unseen, 0);
        drop(own);
        drop(listener);
        assert_eq!(clients(&path).unwrap(), None);
    }
}

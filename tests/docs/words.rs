//! What must not be in a committed file, and what groff says of the manual pages.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::files;

/// What is not committed: what git keeps, and what building and fuzzing leave behind
/// (`tests/fuzz/.gitignore`).
const NOT_OURS: [&str; 7] = [
    "target",
    ".git",
    "result",
    "tests/fuzz/Cargo.lock",
    "tests/fuzz/target",
    "tests/fuzz/artifacts",
    "tests/fuzz/coverage",
];

/// Paths of one machine and hosts of package registries; in two parts, so that this file has none
/// of them.
const FORBIDDEN: [(&str, &str); 8] = [
    ("/wo", "rk/"),
    ("/tmp/", "wt"),
    ("/tmp/", "plan"),
    ("sealgate-", "tools"),
    ("crates", ".io"),
    ("py", "pi.org"),
    ("registry.npm", "js"),
    ("deb.debian", ".org"),
];

#[test]
fn no_file_names_a_machine_or_a_package_registry() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut looked_at = 0;
    for path in committed(root) {
        let name = path.strip_prefix(root).unwrap().display();
        // Cargo writes where each crate is from; that is what the file is for.
        if name.to_string() == "Cargo.lock" {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            for (head, tail) in FORBIDDEN {
                assert!(!line.contains(&format!("{head}{tail}")), "{name}:{}: {line}", number + 1);
            }
        }
        looked_at += 1;
    }
    assert!(looked_at > 100, "{looked_at} files looked at");
}

fn committed(root: &Path) -> Vec<std::path::PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let ours = !NOT_OURS.iter().any(|name| path == root.join(name));
            if path.is_dir() && !path.is_symlink() && ours {
                folders.push(path);
            } else if path.is_file() && ours {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn the_manual_pages_have_no_errors() {
    let pages: Vec<String> = [files("packaging/man", ".5"), files("packaging/man", ".8")].concat();
    assert!(pages.iter().any(|page| page.ends_with("sealgate.8")), "{pages:?}");
    let root = env!("CARGO_MANIFEST_DIR");
    for page in &pages {
        let groff = Command::new("groff")
            .args(["-man", "-ww", "-z", "-Tutf8"])
            .arg(page)
            .current_dir(root)
            .output();
        let output = groff.expect(
            "groff is needed to look at the manual pages: make deps, or apt-get install man-db",
        );
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{page}: {said}");
    }
}

//! Whether the kubelet uses the gate, now and after its next start.

use std::path::Path;

use super::check::Check;
use crate::kubelet::{Found, Setting, Source, Standing, View};

/// One check for each endpoint of a kubelet that runs, one for what its next start takes from files,
/// and one for what could not be read.
#[must_use]
pub fn kubelets(found: &Found, socket: &Path) -> Vec<Check> {
    let mut checks: Vec<Check> =
        found.views.iter().flat_map(|view| of_view(view, found, socket)).collect();
    for unread in &found.unread {
        let mend = "correct the file, or make it readable for root";
        checks.push(
            Check::warn("kubelet-files", format!("cannot be read: {}", unread.why), mend)
                .at(unread.file.display()),
        );
    }
    if found.views.is_empty() {
        let mend = format!(
            "start the kubelet with --container-runtime-endpoint=unix://{}",
            socket.display()
        );
        checks.push(Check::warn("kubelet", "no kubelet runs, and no file names its runtime", mend));
    }
    checks
}

fn of_view(view: &View, found: &Found, socket: &Path) -> Vec<Check> {
    let (runtime, images, whose) = match &view.source {
        Source::Process { pid, name } => {
            ("kubelet", "kubelet-images", format!("{name} (process {pid})"))
        }
        Source::Files => ("kubelet-next-start", "kubelet-next-start", "its next start".to_owned()),
    };
    let mut checks = vec![of_setting(runtime, &whose, &view.runtime, found, socket)];
    if let Some(setting) = &view.images {
        checks.push(of_setting(images, &whose, setting, found, socket));
    }
    checks
}

fn of_setting(
    id: &'static str,
    whose: &str,
    setting: &Setting,
    found: &Found,
    socket: &Path,
) -> Check {
    let alone = Found {
        views: vec![View { source: Source::Files, runtime: setting.clone(), images: None }],
        unread: found.unread.clone(),
    };
    let name =
        if id == "kubelet-images" { "imageServiceEndpoint" } else { "containerRuntimeEndpoint" };
    let check = match alone.standing(socket) {
        // Whatever else cannot be read, this one is set, and to this.
        Standing::Ours | Standing::Unknown(_) if !setting.is_default => {
            Check::ok(id, format!("{whose} uses the gate, by {setting}"))
        }
        Standing::Ours | Standing::Absent => {
            Check::ok(id, format!("{whose} uses the gate, by {setting}"))
        }
        Standing::Unknown(unread) => {
            let seen = format!("{whose} may use another socket: {unread}");
            Check::warn(id, seen, "make the file readable, and run this again")
        }
        Standing::Elsewhere(_) => Check::fail(
            id,
            format!("{whose} goes around the gate: its endpoint is {setting}"),
            format!(
                "set {name}: unix://{} there, and: systemctl restart kubelet",
                socket.display()
            ),
        ),
    };
    check.at(&setting.place)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::doctor::Outcome;
    use crate::kubelet::{Place, Unread};

    fn setting(endpoint: &str) -> Setting {
        let place = Place { file: PathBuf::from("/c.yaml"), line: Some(3) };
        Setting { endpoint: endpoint.to_owned(), place, is_default: false }
    }

    fn outcomes(found: &Found) -> Vec<(&'static str, Outcome)> {
        let checks = kubelets(found, Path::new("/run/sealgate/cri.sock"));
        checks.iter().map(|check| (check.id, check.outcome)).collect()
    }

    #[test]
    fn each_endpoint_has_a_line_of_its_own() {
        let ours = "unix:///run/sealgate/cri.sock";
        let source = Source::Process { pid: 9, name: "kubelet".to_owned() };
        let images = Some(setting("unix:///c.sock"));
        let view = View { source, runtime: setting(ours), images };
        let next = View { source: Source::Files, runtime: setting("/c.sock"), images: None };
        let mut found = Found { views: vec![view, next], unread: Vec::new() };
        assert_eq!(
            outcomes(&found),
            [
                ("kubelet", Outcome::Ok),
                ("kubelet-images", Outcome::Fail),
                ("kubelet-next-start", Outcome::Fail)
            ]
        );
        found.views.truncate(1);
        found.views[0].images = None;
        assert_eq!(outcomes(&found), [("kubelet", Outcome::Ok)]);
        // A file that cannot be read casts no doubt on what is set elsewhere, but on a default.
        found.unread.push(Unread { file: PathBuf::from("/x"), why: "denied".to_owned() });
        let files = ("kubelet-files", Outcome::Warn);
        assert_eq!(outcomes(&found), [("kubelet", Outcome::Ok), files]);
        found.views[0].runtime =
            Setting { is_default: true, ..setting("unix:///run/containerd/containerd.sock") };
        assert_eq!(outcomes(&found), [("kubelet", Outcome::Warn), files]);
        assert_eq!(outcomes(&Found::default()), [("kubelet", Outcome::Warn)]);
    }
}

//! The unit files and manual pages as a part of the product: systemd and groff find nothing wrong
//! with them, the sandbox stays as tight as it was, and sockets that systemd hands over are taken
//! by their names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]
#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test says what it leaves out, and a child what it did"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test talks to its child through the environment, and has a deadline"
)]

mod commit;
#[path = "../support/skipped.rs"]
mod skipped;

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use sealgate::systemd::{CONTROL, CRI, Inherited};
use skipped::skipped;

/// Ten times the highest exposure level that the service may have on systemd's scale.
const EXPOSURE_MAX: &str = "20";
/// Tells a test that it runs as the child of another.
const CHILD: &str = "SEALGATE_TEST_INHERITS";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a program answers; none where it is not installed.
fn ask(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skipped(&format!("{program} is not installed"));
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

/// The units in a folder of their own, where the service starts a program that is there.
fn installed() -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for entry in fs::read_dir(repository().join("systemd")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let copy = dir.path().join(path.file_name().unwrap());
        fs::write(&copy, text.replace("/usr/bin/sealgate", env!("CARGO_BIN_EXE_sealgate")))
            .unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
        paths.push(copy);
    }
    assert_eq!(paths.len(), 6, "{paths:?}");
    (dir, paths)
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let (_dir, units) = installed();
    let verify = |units: &[PathBuf]| {
        let mut arguments = vec!["verify", "--man=no", "--recursive-errors=no"];
        arguments.extend(units.iter().map(|unit| unit.to_str().unwrap()));
        ask("systemd-analyze", &arguments)
    };
    let Some(output) = verify(&units) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    let service = units.iter().find(|unit| unit.ends_with("sealgate.service")).unwrap();
    let text = fs::read_to_string(service).unwrap();
    fs::write(service, text.replace("WatchdogSec=", "WatchdogSecs=")).unwrap();
    assert!(!verify(&units).unwrap().stderr.is_empty(), "a misspelt key is found");
}

#[test]
fn the_services_are_sandboxed() {
    for unit in ["sealgate.service", "sealgate-trust-update.service", "sealgate-export.service"] {
        is_sandboxed(&repository().join("systemd").join(unit));
    }
}

fn is_sandboxed(unit: &Path) {
    let security = |threshold: &str| {
        let threshold = format!("--threshold={threshold}");
        ask("systemd-analyze", &["security", "--offline=yes", &threshold, unit.to_str().unwrap()])
    };
    let Some(output) = security(EXPOSURE_MAX) else { return };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Overall exposure level"), "{said}");
    assert!(!security("0").unwrap().status.success(), "the threshold is looked at");
}

#[test]
fn the_service_has_no_capability_and_the_socket_is_roots() {
    let service = fs::read_to_string(repository().join("systemd/sealgate.service")).unwrap();
    for line in
        ["CapabilityBoundingSet=", "AmbientCapabilities=", "NoNewPrivileges=yes", "LimitCORE=0"]
    {
        assert!(service.lines().any(|there| there == line), "{line}");
    }
    assert!(
        !service.contains("RuntimeDirectory=/") && !service.contains("\nRuntimeDirectory="),
        "it would remove the sockets"
    );
    for (unit, name) in [("sealgate.socket", CRI), ("sealgate-control.socket", CONTROL)] {
        let socket = fs::read_to_string(repository().join("systemd").join(unit)).unwrap();
        for line in ["SocketMode=0600", "SocketUser=root", &format!("FileDescriptorName={name}")] {
            assert!(socket.lines().any(|there| there == line), "{unit}: {line}");
        }
    }
}

/// The refresh of trust roots: no capability, one folder, a reload of the gate afterwards, and a
/// timer for it.
#[test]
fn the_refresh_of_trust_roots_may_write_one_folder() {
    let read = |unit: &str| fs::read_to_string(repository().join("systemd").join(unit)).unwrap();
    let service = read("sealgate-trust-update.service");
    for line in [
        "Type=oneshot",
        "ExecStart=/usr/bin/sealgate trust update",
        "CapabilityBoundingSet=",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "StateDirectory=sealgate/trust",
    ] {
        assert!(service.lines().any(|there| there == line), "{line}");
    }
    assert!(!service.contains("\nReadWritePaths="), "nothing but the state folder is written");
    let state = sealgate::config::Settings::default().trust.state;
    assert_eq!(state, Path::new("/var/lib/sealgate/trust"), "where StateDirectory= leads");
    let after: Vec<&str> =
        service.lines().filter(|line| line.starts_with("ExecStartPost=")).collect();
    assert_eq!(
        after,
        ["ExecStartPost=+/usr/bin/systemctl --no-block try-reload-or-restart sealgate.service"]
    );
    let timer = read("sealgate-trust-update.timer");
    for line in ["OnCalendar=daily", "Persistent=yes", "WantedBy=timers.target"] {
        assert!(timer.lines().any(|there| there == line), "{line}");
    }
    assert!(timer.contains("\nRandomizedDelaySec="), "not all nodes at once");
}

/// The export of the log: no capability, one folder, and nothing that enables it.
#[test]
fn the_export_may_write_its_cursor_alone() {
    let service = fs::read_to_string(repository().join("systemd/sealgate-export.service")).unwrap();
    for line in [
        "ExecStart=/usr/bin/sealgate audit export --follow",
        "CapabilityBoundingSet=",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "StateDirectory=sealgate/otlp",
    ] {
        assert!(service.lines().any(|there| there == line), "{line}");
    }
    assert!(!service.contains("\nReadWritePaths="), "nothing but the state folder is written");
    let cursor = sealgate::config::Settings::default().otlp.cursor;
    assert!(cursor.starts_with("/var/lib/sealgate/otlp"), "where StateDirectory= leads");
}

/// `make install` and `make uninstall` from a copy of what is installed, where the program of the
/// tests stands for the release: every file of the refresh is there, and gone again.
#[test]
fn the_roots_and_units_are_installed_and_uninstalled() {
    let (tree, to) = (tree(), tempfile::tempdir().unwrap());
    make(tree.path(), "install", to.path(), "/usr").unwrap();
    is_installed(to.path());
    make(tree.path(), "uninstall", to.path(), "/usr").unwrap();
    is_uninstalled(to.path());
}

/// What `make install` needs, with the program of the tests in the place of the release.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let parts = ["Makefile", "systemd", "packaging", "docs", "LICENSE"];
    let documents =
        ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md"];
    for part in parts.into_iter().chain(documents) {
        let copied = Command::new("cp")
            .arg("-r")
            .arg(repository().join(part))
            .arg(tree.path())
            .status()
            .unwrap();
        assert!(copied.success(), "{part}");
    }
    let release = tree.path().join("target/release");
    fs::create_dir_all(&release).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_sealgate"), release.join("sealgate")).unwrap();
    tree
}

/// What it says when it fails.
fn make(tree: &Path, target: &str, to: &Path, prefix: &str) -> Result<(), String> {
    let variables = [format!("DESTDIR={}", to.display()), format!("PREFIX={prefix}")];
    let output = Command::new("make")
        .arg("-s")
        .arg("-C")
        .arg(tree)
        .arg(target)
        .args(variables)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8(said).unwrap()) }
}

/// Below another prefix the units name the program that is there and lie where systemd looks, and
/// the shipped roots are found; where the service would not see its program, nothing is installed.
#[test]
fn the_units_fit_another_prefix() {
    let tree = tree();
    for (prefix, units) in [("/usr/local", "usr/local"), ("/opt/gate", "usr/local")] {
        let to = tempfile::tempdir().unwrap();
        make(tree.path(), "install", to.path(), prefix).unwrap();
        let program = format!("{prefix}/bin/sealgate");
        assert!(to.path().join(&program[1..]).is_file());
        let units = to.path().join(units).join("lib/systemd/system");
        let read = |unit: &str| fs::read_to_string(units.join(unit)).unwrap();
        for (unit, command) in [
            ("sealgate.service", "run"),
            ("sealgate-trust-update.service", "trust update"),
            ("sealgate-export.service", "audit export --follow"),
        ] {
            let starts = format!("ExecStart={program} {command}");
            assert!(read(unit).lines().any(|line| line == starts), "{unit}: {starts}");
            assert!(!read(unit).contains("/usr/bin/sealgate"), "{unit}");
        }
        assert!(
            read("sealgate-trust-update.service").contains("=+/usr/bin/systemctl "),
            "the machine's own"
        );
        let documents = to.path().join(&prefix[1..]).join("share/doc/sealgate");
        let rules = fs::read_to_string(documents.join("prometheus/sealgate.rules.yaml")).unwrap();
        let runbook = "docs/respond/runbook.md";
        assert!(rules.contains(&format!("{prefix}/share/doc/sealgate/{runbook}#")), "{prefix}");
        assert!(!rules.contains("/usr/share/doc/") && documents.join(runbook).is_file());
        let config = to.path().join("etc/sealgate/config.toml");
        let text = fs::read_to_string(&config).unwrap();
        let roots = format!(
            "\nroots = [\"/etc/sealgate/trust\", \"/var/lib/sealgate/trust\", \"{prefix}/share/sealgate/trust\"]\n"
        );
        assert!(text.contains(&roots), "{text}");
        // What is there stays.
        fs::write(&config, "# mine\n").unwrap();
        make(tree.path(), "install", to.path(), prefix).unwrap();
        assert_eq!(fs::read_to_string(&config).unwrap(), "# mine\n");
        make(tree.path(), "uninstall", to.path(), prefix).unwrap();
        assert!(
            !to.path().join(&program[1..]).exists() && !units.join("sealgate.service").exists()
        );
    }
    for prefix in ["/root/gate", "/home/me", "gate"] {
        let to = tempfile::tempdir().unwrap();
        let said = make(tree.path(), "install", to.path(), prefix).unwrap_err();
        assert!(said.contains("PREFIX"), "{said}");
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
    }
}

/// Stand-ins for the programs that change a machine, on one with Docker's containerd.
fn machine_of_docker() -> tempfile::TempDir {
    let machine = tempfile::tempdir().unwrap();
    let bin = machine.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let script = |name: &str, text: &str| {
        let (path, log) = (bin.join(name), machine.path().join("log"));
        let head = format!(
            "#!/bin/bash\nm={}\necho \"{name} $*\" >>{}\n",
            machine.path().display(),
            log.display()
        );
        fs::write(&path, head + text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    script(
        "apt-get",
        "case \"$*\" in\n\
         *-s*busybox-static) echo 'Remv busybox [1.35]'; echo 'Inst busybox-static';;\n\
         *-s*) echo \"Inst ${*: -1}\";;\n\
         'install '*) [ -x $m/policy ] && touch $m/quiet; touch $m/installed;;\n\
         download*) touch busybox-static.deb;;\n\
         esac\n",
    );
    script(
        "dpkg-query",
        "case \"$*\" in\n\
         *Package*) echo 'base installed'; [ -e $m/installed ] && echo 'docker-registry \
         installed'; true;;\n\
         *-L*docker-registry) echo /lib/systemd/system/docker-registry.service;;\n\
         *containerd.io) echo installed;;\n\
         *) exit 1;;\n\
         esac\n",
    );
    script("dpkg", "[ \"$1\" = -x ] && mkdir -p $3/bin && touch $3/bin/busybox\n");
    script("systemctl", "[ \"$1\" = is-enabled ] && echo enabled\ntrue\n");
    script("id", "echo 0\n");
    machine
}

/// What `tests/deps.sh` would do to a machine with Docker's containerd.
#[test]
fn what_the_demo_installs_replaces_nothing_and_leaves_no_service() {
    let machine = machine_of_docker();
    let bin = machine.path().join("bin");
    let run = || {
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(repository().join("tests/deps.sh"));
        command.arg(machine.path().join("deps")).args([
            "containerd",
            "runc",
            "docker-registry",
            "busybox-static",
        ]);
        command.env("PATH", path).env("POLICY_RC_D", machine.path().join("policy"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (
            String::from_utf8(output.stdout).unwrap(),
            fs::read_to_string(machine.path().join("log")).unwrap(),
        )
    };
    let (said, did) = run();
    let installs: Vec<&str> =
        did.lines().filter(|line| line.starts_with("apt-get install -y")).collect();
    assert_eq!(
        installs,
        ["apt-get install -y -q --no-install-recommends --no-remove docker-registry"]
    );
    assert!(did.contains("systemctl disable -q docker-registry.service"), "{did}");
    assert!(machine.path().join("quiet").exists(), "nothing is started while it is installed");
    assert!(!machine.path().join("policy").exists());
    assert!(machine.path().join("deps/bin/busybox").exists());
    for told in [
        "installing from Debian",
        "docker-registry",
        "busybox-static is unpacked",
        "would remove: busybox",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
}

const INSTALLED: [&str; 16] = [
    "usr/bin/sealgate",
    "usr/lib/systemd/system/sealgate-export.service",
    "usr/lib/systemd/system/sealgate-trust-update.service",
    "usr/lib/systemd/system/sealgate-trust-update.timer",
    "usr/share/doc/sealgate/README.md",
    "usr/share/doc/sealgate/docs/respond/runbook.md",
    "usr/share/doc/sealgate/docs/design/decisions/time.md",
    "usr/share/doc/sealgate/prometheus/sealgate.rules.yaml",
    "usr/share/doc/sealgate/grafana/sealgate.json",
    "usr/share/bash-completion/completions/sealgate",
    "usr/share/zsh/site-functions/_sealgate",
    "usr/share/fish/vendor_completions.d/sealgate.fish",
    "usr/share/sealgate/trust/public-good.json",
    "usr/share/sealgate/trust/public-good.root.json",
    "usr/share/sealgate/trust/staging.json",
    "usr/share/sealgate/trust/staging.root.json",
];

fn is_installed(root: &Path) {
    for file in INSTALLED {
        assert!(root.join(file).is_file(), "{file}");
    }
    for folder in ["etc/sealgate/trust", "etc/sealgate/keys", "var/lib/sealgate/trust"] {
        let mode = fs::metadata(root.join(folder)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o755, "{folder}");
    }
}

fn is_uninstalled(root: &Path) {
    for file in INSTALLED {
        assert!(!root.join(file).exists(), "{file}");
    }
    assert!(
        root.join("etc/sealgate/config.toml").is_file()
            && root.join("var/lib/sealgate/trust").is_dir()
    );
}

#[test]
fn the_socket_unit_listens_where_the_configuration_says() {
    let socket = fs::read_to_string(repository().join("systemd/sealgate.socket")).unwrap();
    let listen = sealgate::config::Settings::default().listen.socket;
    assert!(socket.lines().any(|line| line == format!("ListenStream={}", listen.display())));
}

/// What each shell gets has the commands and their options, and bash completes with it.
#[test]
fn shells_complete_commands_and_options() {
    let script = |shell: &str| {
        let program = env!("CARGO_BIN_EXE_sealgate");
        let output = Command::new(program)
            .args(["--config", "/nonexistent/config.toml", "completion", shell])
            .output()
            .unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish"] {
        let text = script(shell);
        for word in ["verify-bundle", "prune", "certificate-oidc-issuer", "refused", "completion"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    let completed = |before: &str, word: &str| {
        let typed: Vec<&str> = before.split(' ').chain([word]).collect();
        let (at, last) = (typed.len() - 1, typed[typed.len() - 2]);
        let code = format!(
            "{}\nCOMP_WORDS=({} '{word}'); COMP_CWORD={at}\n\
             _sealgate sealgate '{word}' '{last}'; echo \"${{COMPREPLY[*]}}\"\n",
            script("bash"),
            typed[..at].join(" ")
        );
        // The script is longer than one argument of a program may be.
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("completed.sh");
        fs::write(&file, code).unwrap();
        let output = Command::new("bash").arg("--norc").arg(&file).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(completed("sealgate", "aud"), "audit");
    assert_eq!(completed("sealgate audit", "ta"), "tail");
    assert_eq!(completed("sealgate evidence prune", "--unu"), "--unused-days");
    assert_eq!(completed("sealgate completion", "f"), "fish");
}

/// The last line of `make test`: each test that did not run once, with its reason.
#[test]
fn what_was_skipped_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let said = |file: &str| {
        let script = repository().join("tests/skipped.sh");
        let output = Command::new(script).arg(dir.path().join(file)).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(said("none"), "skipped: none\n");
    fs::write(dir.path().join("some"), "b::y: needs root\na::x: no tool\nb::y: needs root\n")
        .unwrap();
    assert_eq!(said("some"), "skipped: 2 (a::x: no tool; b::y: needs root)\n");
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let rule = makefile.split_once("\ntest: ").unwrap().1.split_once("\n\n").unwrap().0;
    assert!(rule.contains("tests/skipped.sh"), "{rule}");
}

/// The alert rules play as their tests say, and the text that the gate serves has no fault by
/// Prometheus' own tool.
#[test]
fn promtool_finds_nothing_wrong_with_the_rules_and_the_metrics() {
    let unpacked = repository().join("target/monitor/bookworm/usr/bin/promtool");
    let promtool = if unpacked.is_file() { unpacked } else { "promtool".into() };
    let promtool = promtool.to_str().unwrap();
    let shipped = |name: &str| repository().join("packaging/prometheus").join(name);
    let (rules, played) = (shipped("sealgate.rules.yaml"), shipped("sealgate.rules.test.yaml"));
    for arguments in [
        ["check", "rules", "--lint-fatal", rules.to_str().unwrap()].as_slice(),
        &["test", "rules", played.to_str().unwrap()],
    ] {
        let Some(output) = ask(promtool, arguments) else { return };
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    let text = fs::File::open(repository().join("src/metrics/text/expected.prom")).unwrap();
    let output = Command::new(promtool).args(["check", "metrics"]).stdin(text).output().unwrap();
    let is_silent = output.stdout.is_empty() && output.stderr.is_empty();
    assert!(output.status.success() && is_silent, "{output:?}");
}

#[test]
fn groff_finds_nothing_wrong_with_the_manual_pages() {
    let mut pages = 0;
    for entry in fs::read_dir(repository().join("packaging/man")).unwrap() {
        let page = entry.unwrap().path();
        let Some(output) = ask("groff", &["-man", "-ww", "-z", "-Tutf8", page.to_str().unwrap()])
        else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{}: {said}", page.display());
        pages += 1;
    }
    assert!(pages >= 2);
}

/// Every field of a record is described, and so is every note.
#[test]
fn the_manual_page_of_the_log_names_every_field() {
    let page = fs::read_to_string(repository().join("packaging/man/sealgate-audit.5")).unwrap();
    let record = include_str!("../../src/audit/record.rs");
    let mut fields = 0;
    for line in record.lines().filter_map(|line| line.strip_prefix("    pub ")) {
        let Some((name, _)) = line.split_once(": ") else { continue };
        if name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            assert!(page.contains(name), "{name} is not described");
            fields += 1;
        }
    }
    assert!(fields > 25, "{fields}");
    for note in ["recovered", "lost", "counted"] {
        assert!(page.contains(&format!(".B {note}\n")), "{note} is not described");
    }
}

struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _it_may_have_ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// With systemd's own tool for it in the place of systemd.
#[test]
fn sockets_are_inherited_by_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let (cri, control) = (dir.path().join("cri.sock"), dir.path().join("control.sock"));
    let started = Command::new("systemd-socket-activate")
        .args([
            "-l",
            cri.to_str().unwrap(),
            "-l",
            control.to_str().unwrap(),
            "--fdname=cri:control",
        ])
        .arg(format!("--setenv={CHILD}=1"))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_inherits", "--ignored", "--nocapture", "--test-threads=1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match started {
        Ok(child) => Ends(child),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skipped("systemd-socket-activate is not installed");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    // The connection comes before the program: it waits in the socket's queue.
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut stream = loop {
        match UnixStream::connect(&control) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut told = String::new();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.read_to_string(&mut told).unwrap();
    assert_eq!(told, "control answers");
    let out = BufReader::new(child.0.stdout.take().unwrap());
    // The test harness begins the first line.
    let said = |line: String| line.find("inherited ").map(|start| line[start..].to_owned());
    let lines: Vec<String> = out.lines().map(Result::unwrap).filter_map(said).collect();
    assert_eq!(
        lines,
        [format!("inherited cri at {}", cri.display()), "inherited 0 more".to_owned()]
    );
}

#[test]
#[ignore = "the child of sockets_are_inherited_by_their_names"]
fn child_that_inherits() {
    if std::env::var(CHILD).is_err() {
        return;
    }
    let mut inherited = Inherited::take().unwrap();
    let cri = inherited.socket(CRI).unwrap();
    let control = inherited.socket(CONTROL).unwrap();
    println!("inherited cri at {}", cri.path.unwrap().display());
    println!("inherited {} more", inherited.left().count());
    assert!(inherited.socket(CRI).is_none(), "each once");
    assert_eq!(
        cri.listener.accept().unwrap_err().kind(),
        ErrorKind::WouldBlock,
        "non-blocking, and nobody called"
    );
    let (mut stream, _) = control.listener.accept().unwrap();
    std::io::Write::write_all(&mut stream, b"control answers").unwrap();
}

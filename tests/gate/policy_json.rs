//! The same images under a `policy.json` by skopeo, and by the gate under what
//! `sealgate policy import` makes of it: they accept and refuse the same, for the same reason.
//!
//! Where the gate is stricter, [`STRICTER`] says why, where it accepts more, [`WIDER`]; the test
//! fails when that is so no more, and when it is so anywhere else.
//!
//! Some builds of skopeo verify no Sigstore signature: Debian 12's refuses each one with a reason of
//! its own. The judge is one that does, the machine's own or the one unpacked below `target/skopeo`.

use std::collections::BTreeMap;
use std::path::Path;

use sealgate::cri::{Ending, Gate};
use sealgate::import::{Format, Surroundings, import};
use sealgate::policy::{Documents, Material, PolicyFile, PolicySet, Unmatched};
use sealgate::verify::PublicKey;

use crate::fixtures;
use crate::registry::{Settings, TestRegistry};
use crate::rig::{HOST, Rig, Special, pull};
use crate::signing::{Signer, payload};
use crate::skipped::skipped;
use crate::skopeo::{Skopeo, Why};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// Where the gate refuses what skopeo accepts: policy, image, why.
const STRICTER: &[(&str, &str, &str)] = &[
    ("a, repository", "diff/named:other", OTHER_TAG),
    ("wide a, narrow b", "diff/named:other", OTHER_TAG),
    ("a below a domain", "diff/named:other", OTHER_TAG),
    ("a by default", "diff/named:other", OTHER_TAG),
    ("off in a part", "diff/named:other", OTHER_TAG),
    ("a, data", "diff/named:other", OTHER_TAG),
    ("a and anything", "diff/named:other", OTHER_TAG),
    ("one tag signed", "diff/none:1", "a rule for a tag holds for the whole repository"),
];
/// Where the gate accepts what skopeo refuses: image, skopeo's reason, why.
const WIDER: &[(&str, Why, &str)] = &[(
    "diff/index:1",
    Why::Unsigned,
    "a signature on an index counts for the manifest in it; containers/image looks at the platform's \
     manifest alone. Each import says so (Notice::IndexCounts)",
)];
const OTHER_TAG: &str = "matchRepository becomes a remap onto itself, which holds a signature that \
    names a tag to the tag that is asked for";

/// A policy with what skopeo needs beside.
struct Case {
    name: &'static str,
    policy: String,
    registries: &'static str,
    unmatched: Unmatched,
}

const ON: &str = "default-docker:\n  use-sigstore-attachments: true\n";
const ANY_NAME: &str = r#","signedIdentity":{"type":"matchRepository"}"#;
const ACCEPT: &str = r#"{"type":"insecureAcceptAnything"}"#;
const REJECT: &str = r#"{"type":"reject"}"#;

fn case(name: &'static str, default: &str, scopes: &[(&str, String)]) -> Case {
    let scopes: Vec<String> =
        scopes.iter().map(|(name, list)| format!("\"{name}\": [{list}]")).collect();
    let docker = scopes.join(",\n    ");
    let policy = format!(
        "{{\n  \"default\": [{default}],\n  \"transports\": {{\"docker\": {{\n    {docker}\n  }}}}\n}}\n"
    );
    Case { name, policy, registries: ON, unmatched: Unmatched::Deny }
}

/// A requirement of the key in this file.
fn signed(folder: &Path, key: &str, identity: &str) -> String {
    let path = folder.join(format!("{key}.pub"));
    format!(r#"{{"type":"sigstoreSigned","keyPath":"{}"{identity}}}"#, path.display())
}

fn cases(folder: &Path) -> Vec<Case> {
    let a = |identity: &str| signed(folder, "a", identity);
    let b = || signed(folder, "b", ANY_NAME);
    let host = HOST.to_owned();
    let one = |name, list: String| case(name, REJECT, &[(host.as_str(), list)]);
    let exact = format!(
        r#","signedIdentity":{{"type":"exactReference","dockerReference":"{HOST}/diff/named:1"}}"#
    );
    let repository = format!(
        r#","signedIdentity":{{"type":"exactRepository","dockerRepository":"{HOST}/diff/moved-from"}}"#
    );
    let data = {
        use base64::Engine as _;
        let pem = std::fs::read(folder.join("a.pub")).unwrap();
        base64::engine::general_purpose::STANDARD.encode(pem)
    };
    vec![
        case("reject", REJECT, &[]),
        Case { unmatched: Unmatched::Admit, ..case("accept", ACCEPT, &[]) },
        one("a, repository", a(ANY_NAME)),
        one("a", a("")),
        one("a, exact", a(r#","signedIdentity":{"type":"matchExact"}"#)),
        one("a, reference", a(&exact)),
        one("a, another repository", a(&repository)),
        one("a, data", format!(r#"{{"type":"sigstoreSigned","keyData":"{data}"{ANY_NAME}}}"#)),
        one("a and b", format!("{},{}", a(ANY_NAME), b())),
        one("a and anything", format!("{ACCEPT},{}", a(ANY_NAME))),
        one("a and nothing", format!("{REJECT},{}", a(ANY_NAME))),
        one("a twice", format!("{},{}", a(ANY_NAME), a(""))),
    ]
}

/// Scopes within scopes, defaults, and where no signatures are looked for.
fn nested(folder: &Path) -> Vec<Case> {
    let a = |identity: &str| signed(folder, "a", identity);
    let b = || signed(folder, "b", ANY_NAME);
    let scope = |path: &str| format!("{HOST}{path}");
    let host = scope("");
    let one = |name, list: String| case(name, REJECT, &[(host.as_str(), list)]);
    let (plain, named, both) = (scope("/diff/plain"), scope("/diff/named"), scope("/diff/both"));
    vec![
        case(
            "wide open, narrow a",
            REJECT,
            &[(&host, ACCEPT.to_owned()), (&plain, a(ANY_NAME)), (&both, REJECT.to_owned())],
        ),
        case(
            "wide a, narrow open",
            REJECT,
            &[(&host, a(ANY_NAME)), (&scope("/diff"), ACCEPT.to_owned()), (&named, b())],
        ),
        case("wide a, narrow b", REJECT, &[(&host, a(ANY_NAME)), (&both, b()), (&plain, b())]),
        case(
            "a below a domain",
            REJECT,
            &[("*.example.test", a(ANY_NAME)), ("*.test", REJECT.to_owned())],
        ),
        case("a by default", &a(ANY_NAME), &[(&both, REJECT.to_owned())]),
        case("a prefix that is no part", REJECT, &[(&scope("/diff/pla"), ACCEPT.to_owned())]),
        Case {
            unmatched: Unmatched::Admit,
            ..case("open, a part signed", ACCEPT, &[(&scope("/diff/none"), a(ANY_NAME))])
        },
        case(
            "one tag signed",
            REJECT,
            &[(&scope("/diff"), ACCEPT.to_owned()), (&scope("/diff/none:signed"), a(ANY_NAME))],
        ),
        Case {
            registries: "default-docker:\n  use-sigstore-attachments: true\ndocker:\n  registry.example.test/diff/plain:\n    use-sigstore-attachments: false\n",
            ..one("off in a part", a(ANY_NAME))
        },
        Case { registries: "docker: {}\n", ..one("off", a(ANY_NAME)) },
    ]
}

/// An image of its own content, signed in cosign's older form by these keys for these names.
fn put(
    registry: &TestRegistry,
    name: &str,
    tags: &[&str],
    signatures: &[(&Signer, &str)],
) -> String {
    let path = format!("diff/{name}");
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Env":["N={name}"]}},"rootfs":{{"type":"layers","diff_ids":[]}}}}"#
    );
    let digest = registry.put_blob(&path, config.as_bytes());
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"{CONFIG}","digest":"{digest}","size":{}}},"layers":[]}}"#,
        config.len()
    );
    let mut image = String::new();
    for tag in tags {
        image = registry.put_manifest(&path, Some(tag), manifest.as_bytes(), MANIFEST);
    }
    sign(registry, &path, &image, signatures);
    image
}

/// An index of one manifest, either of which is signed.
fn put_index(registry: &TestRegistry, name: &str, key: &Signer, is_index_signed: bool) {
    let path = format!("diff/{name}");
    let child = put(registry, name, &["child"], &[]);
    let size = registry.stored(&path, &child).unwrap().len();
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{MANIFEST}","digest":"{child}","size":{size},"platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#
    );
    let index = registry.put_manifest(&path, Some("1"), index.as_bytes(), INDEX);
    let signed = if is_index_signed { &index } else { &child };
    sign(registry, &path, signed, &[(key, &format!("{HOST}/{path}"))]);
}

/// Signatures on what has this digest, where cosign puts its older form.
fn sign(registry: &TestRegistry, path: &str, image: &str, signatures: &[(&Signer, &str)]) {
    let config = registry.put_blob(path, b"{}");
    let mut layers = Vec::new();
    for (key, reference) in signatures {
        let payload = payload(image, reference);
        let signature = &key.annotations(payload.as_bytes())[SIGNATURE];
        let digest = registry.put_blob(path, payload.as_bytes());
        layers.push(format!(
            r#"{{"mediaType":"{SIMPLE_SIGNING}","digest":"{digest}","size":{},"annotations":{{"{SIGNATURE}":"{signature}"}}}}"#,
            payload.len()
        ));
    }
    if !layers.is_empty() {
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"{CONFIG}","digest":"{config}","size":2}},"layers":[{}]}}"#,
            layers.join(",")
        );
        let tag = format!("{}.sig", image.replace(':', "-"));
        registry.put_manifest(path, Some(&tag), manifest.as_bytes(), MANIFEST);
    }
}

/// What is asked for, below the host.
pub(crate) fn images(registry: &TestRegistry, a: &Signer, b: &Signer) -> Vec<String> {
    let name = |path: &str| format!("{HOST}/diff/{path}");
    let plain = name("plain");
    put(registry, "none", &["1"], &[]);
    put(registry, "plain", &["1"], &[(a, &plain)]);
    put(registry, "b", &["1"], &[(b, &name("b"))]);
    put(registry, "both", &["1"], &[(b, &name("both")), (a, &name("both"))]);
    put(registry, "elsewhere", &["1"], &[(a, &plain)]);
    put(registry, "moved", &["1"], &[(a, &name("moved-from:7"))]);
    let named = put(registry, "named", &["1", "other"], &[(a, &name("named:1"))]);
    put_index(registry, "index", a, true);
    put_index(registry, "instance", a, false);
    let paths = ["none", "plain", "b", "both", "elsewhere", "moved", "named", "index", "instance"];
    let mut images: Vec<String> = paths.iter().map(|path| format!("diff/{path}:1")).collect();
    images.push("diff/named:other".to_owned());
    images.push(format!("diff/named@{named}"));
    // By cosign itself, with another key.
    images.extend(["prod/signed-v2:v1", "prod/unsigned:v1"].map(str::to_owned));
    images
}

/// The set of policies that the import of that policy makes.
fn set(folder: &Path, case: &Case) -> PolicySet {
    let file = |name: &str, text: &str| PolicyFile {
        name: name.to_owned(),
        bytes: text.as_bytes().to_owned(),
    };
    let files = [file("policy.json", &case.policy), file("sigstore.yaml", case.registries)];
    let read = |path: &str| std::fs::read(path).map_err(|error| error.to_string());
    let surroundings = Surroundings { read: &read, trust_root: &|_| None };
    let imported = import(Some(Format::PolicyJson), &files, &surroundings)
        .unwrap_or_else(|faults| panic!("{}: {faults:?} in {}", case.name, folder.display()));
    let keys: BTreeMap<String, PublicKey> = imported
        .files
        .iter()
        .map(|(name, pem)| (name.clone(), PublicKey::parse_pem(pem).unwrap()))
        .collect();
    let documents = match imported.documents {
        0 => Documents::parse(&[]).unwrap(),
        _ => Documents::parse(&[file("imported.yaml", &imported.text)]).unwrap(),
    };
    PolicySet::build(documents, Material { keys, ..Material::default() }, case.unmatched).unwrap()
}

/// What skopeo reads beside the policy: the registry at its address, under the name that images have.
fn prepare(folder: &Path, rig: &Rig) {
    for name in ["registries.d", ".config/containers"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    let location = format!(
        "[[registry]]\nprefix = \"{HOST}\"\nlocation = \"{}\"\ninsecure = true\n",
        rig.registry.host()
    );
    std::fs::write(folder.join(".config/containers/registries.conf"), location).unwrap();
}

/// Writes the policy; `registries.d` is asked about where the registry is, not by its name.
fn write(folder: &Path, case: &Case, rig: &Rig) {
    std::fs::write(folder.join("policy.json"), &case.policy).unwrap();
    let registries = case.registries.replace(HOST, &rig.registry.host());
    std::fs::write(folder.join("registries.d/sigstore.yaml"), registries).unwrap();
}

/// How the gate answers under this policy, against skopeo; none where they agree.
async fn differs(
    case: &Case,
    gate: &Gate,
    image: &str,
    theirs: Result<(), String>,
) -> Option<String> {
    let ours = pull(gate, &format!("{HOST}/{image}")).await;
    if let Err(refusal) = &ours {
        assert_eq!(refusal.ending(), Ending::Refused, "{}: {refusal}", case.name);
    }
    let code = ours.err().map(|refusal| refusal.code());
    let why = theirs.err().map(|said| Why::of(&said));
    let is_stricter = STRICTER.iter().any(|(policy, of, _)| *policy == case.name && *of == image);
    let wider = WIDER.iter().find(|(of, ..)| *of == image).map(|(_, why, _)| *why);
    let agrees = match (why, code) {
        (None, None) => !is_stricter,
        (None, Some(_)) => is_stricter,
        (Some(why), None) => wider == Some(why),
        // The gate sees the signature that skopeo does not look at.
        (Some(why), Some("no-signature-counts")) if wider == Some(why) => !is_stricter,
        (Some(why), Some(code)) => !is_stricter && why.is(code, case.registries == ON),
    };
    (!agrees).then(|| format!("{:?}, {image}: skopeo {why:?}, the gate {code:?}", case.name))
}

#[tokio::test]
async fn the_gate_judges_as_skopeo_under_an_imported_policy() {
    let rig = Rig::new(Settings::without_referrers());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (a, b) = (Signer::p256(), Signer::p256());
    std::fs::write(path.join("a.pub"), a.pem()).unwrap();
    std::fs::write(path.join("b.pub"), b.pem()).unwrap();
    std::fs::write(path.join("build.pub"), fixtures::key("build")).unwrap();
    let images = images(&rig.registry, &a, &b);
    prepare(path, &rig);
    let mut all = cases(path);
    all.extend(nested(path));
    all.push(case(
        "cosign's own",
        REJECT,
        &[(&format!("{HOST}/prod"), signed(path, "build", ANY_NAME))],
    ));
    write(path, &all[2], &rig);
    let Some(skopeo) = Skopeo::that_verifies(path, "diff/plain:1") else {
        skipped("no skopeo here verifies Sigstore signatures: make runtimes unpacks one");
        return;
    };
    let (mut faults, mut accepted) = (Vec::new(), 0);
    for case in &all {
        write(path, case, &rig);
        let gate = rig.special(Special { policy: set(path, case), ..Special::default() });
        for image in &images {
            let theirs = skopeo.copies(path, image);
            accepted += usize::from(theirs.is_ok());
            faults.extend(differs(case, &gate, image, theirs).await);
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(accepted > 60, "hardly anything was accepted: {accepted}");
}

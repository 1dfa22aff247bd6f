//! Signatures beyond the host that has the image: at the next hosts, in the end at the registry
//! itself.

use sealgate::image::{Digest, Repository};
use sealgate::registry::{
    Class, Filter, HostFallback, List, Malformed, Referrers, RegistryError, Why,
};

use crate::rig::{NAME, Rig, push, repository};
use crate::support::{self, Answer, OCI_MANIFEST, Rule, Settings, TestRegistry};

const ALL: Filter = Filter::all(1024);

/// A mirror, and the registry under its own name, which `hosts.toml` does not mention.
fn stood_in() -> (TestRegistry, TestRegistry, Rig, Repository) {
    let (mirror, upstream) =
        (TestRegistry::start(Settings::conforming()), TestRegistry::start(Settings::conforming()));
    let rig = Rig::new();
    let folder = upstream.host().replace(':', "_") + "_";
    rig.hosts(&folder, &format!("[host.\"{}\"]\n", mirror.url()));
    let repository = Repository::parse(&format!("{}/acme/app", upstream.host())).unwrap();
    (mirror, upstream, rig, repository)
}

/// Something that refers to a manifest, called `name`.
fn refer(server: &TestRegistry, subject: &Digest, name: &str) -> String {
    let text = format!(
        r#"{{"schemaVersion":2,"artifactType":"{name}","subject":{{"digest":"{subject}"}}}}"#
    );
    server.put_manifest("acme/app", None, text.as_bytes(), OCI_MANIFEST)
}

fn names(found: &HostFallback<Referrers>) -> Vec<String> {
    let Referrers::Listed(list) = &found.answer else { panic!("{found:?}") };
    list.iter().map(|entry| entry.artifact_type.clone().unwrap_or_default()).collect()
}

#[tokio::test]
async fn the_registry_behind_a_mirror_is_asked_last() {
    let (mirror, upstream, rig, repository) = stood_in();
    let (_, digest) = push(&mirror);
    let signature = refer(&upstream, &digest, "sig");
    let session = rig.session();
    assert_eq!(session.tag(&repository, "1").await.unwrap().host, mirror.host());
    assert_eq!(upstream.requests(), []);
    let found = session.referrers_from(&repository, &digest, ALL, 0).await.unwrap();
    assert_eq!(
        (names(&found), found.at, found.next, &found.passed),
        (vec!["sig".to_owned()], 1, None, &None)
    );
    let signature = Digest::parse(&signature).unwrap();
    let fetched = session.manifest_at(&repository, &signature, 1000, found.at).await.unwrap();
    assert_eq!((fetched.digest, fetched.host), (signature.clone(), upstream.host()));
    assert_eq!(mirror.count("manifests/sha256:"), 0, "who named it is asked first");
    assert_eq!(upstream.requests()[0].query, "", "it is the registry itself");
}

/// `server` in the registry's place: it is the last that is asked, as hosts.md promises.
#[tokio::test]
async fn a_server_in_the_registrys_place_is_the_end() {
    let (mirror, upstream, rig, repository) = stood_in();
    rig.hosts(
        &(upstream.host().replace(':', "_") + "_"),
        &format!("server = \"{}\"\n", mirror.url()),
    );
    let (_, digest) = push(&mirror);
    refer(&upstream, &digest, "sig");
    let session = rig.session();
    let found = session.referrers_from(&repository, &digest, ALL, 0).await.unwrap();
    assert_eq!((found.answer, found.next), (Referrers::Listed(List::default()), None));
    assert_eq!(
        session.tag_from(&repository, "sig", (0, u64::MAX)).await.unwrap_err().class(),
        Class::Absent
    );
    assert_eq!(upstream.requests(), []);
}

#[tokio::test]
async fn the_first_that_has_any_has_the_last_word_when_told_so() {
    let (mirror, upstream, mut rig, repository) = stood_in();
    rig.options.signatures_upstream = false;
    let (_, digest) = push(&mirror);
    refer(&upstream, &digest, "sig");
    let found = rig.session().referrers_from(&repository, &digest, ALL, 0).await.unwrap();
    assert_eq!(
        (names(&found), found.next),
        (vec!["sig".to_owned()], None),
        "who has none sends the question on"
    );
    refer(&mirror, &digest, "stale");
    let found = rig.session().referrers_from(&repository, &digest, ALL, 0).await.unwrap();
    assert_eq!((names(&found), found.next), (vec!["stale".to_owned()], None));
}

/// What the mirror has may not suffice: the next answers are asked for one by one.
#[tokio::test]
async fn each_answer_says_where_to_go_on() {
    let (first, second) =
        (TestRegistry::start(Settings::conforming()), TestRegistry::start(Settings::conforming()));
    let rig = Rig::new();
    rig.hosts(NAME, &format!("server = \"{}\"\n[host.\"{}\"]\n", second.url(), first.url()));
    let (_, digest) = push(&first);
    refer(&first, &digest, "stale");
    refer(&second, &digest, "fresh");
    first.put_manifest("acme/app", Some("t"), b"{\"a\":1}", OCI_MANIFEST);
    second.put_manifest("acme/app", Some("t"), b"{\"a\":2}", OCI_MANIFEST);
    let session = rig.session();
    let one = session.referrers_from(&repository(), &digest, ALL, 0).await.unwrap();
    assert_eq!((names(&one), one.next), (vec!["stale".to_owned()], Some(1)));
    assert_eq!(second.requests(), []);
    let two = session.referrers_from(&repository(), &digest, ALL, one.next.unwrap()).await.unwrap();
    assert_eq!((names(&two), two.next), (vec!["fresh".to_owned()], None));
    let one = session.tag_from(&repository(), "t", (0, u64::MAX)).await.unwrap();
    let two = session.tag_from(&repository(), "t", (one.next.unwrap(), u64::MAX)).await.unwrap();
    assert_eq!((one.answer.bytes.as_ref(), one.at), (b"{\"a\":1}".as_slice(), 0));
    assert_eq!((two.answer.bytes.as_ref(), two.at, two.next), (b"{\"a\":2}".as_slice(), 1, None));
}

/// An unreachable mirror and a registry that has nothing: not absent. What was passed over on the
/// way is told.
#[tokio::test]
async fn silence_before_or_behind_is_never_absence() {
    let (mirror, upstream, rig, repository) = stood_in();
    let (_, digest) = push(&upstream);
    for (silent, other) in [(&mirror, &upstream), (&upstream, &mirror)] {
        mirror.clear_rules();
        upstream.clear_rules();
        silent.rule(Rule::new("/v2/", Answer::Status(503, "UNAVAILABLE")));
        other.rule(Rule::new("/manifests/sig", Answer::Status(404, "MANIFEST_UNKNOWN")));
        let session = rig.session();
        let error = session.referrers_from(&repository, &digest, ALL, 0).await.unwrap_err();
        assert_eq!(error.class(), Class::Unreachable, "{error:?}");
        let error = session.tag_from(&repository, "sig", (0, u64::MAX)).await.unwrap_err();
        assert_eq!(error.class(), Class::Unreachable, "{error:?}");
        let error = session.manifest_at(&repository, &Digest::of(b"x"), 1000, 0).await.unwrap_err();
        assert_eq!(error.class(), Class::Unreachable, "{error:?}");
    }
    mirror.clear_rules();
    upstream.clear_rules();
    mirror.rule(Rule::new("/v2/", Answer::Drop));
    refer(&upstream, &digest, "sig");
    let found = rig.session().referrers_from(&repository, &digest, ALL, 0).await.unwrap();
    assert_eq!(names(&found), ["sig"]);
    assert!(
        matches!(found.passed, Some(RegistryError::Unreachable { why: Why::Connection(_), .. })),
        "{found:?}"
    );
}

/// The registry behind a mirror is not named by the operator: it may not be on this node's link.
#[tokio::test]
async fn attack_e5_the_registry_behind_a_mirror_may_not_be_local() {
    let mirror = TestRegistry::start(Settings::conforming());
    let rig = Rig::new();
    rig.hosts("_default", &format!("[host.\"{}\"]\n", mirror.url()));
    let repository = Repository::parse("169.254.169.254/acme/app").unwrap();
    let (_, digest) = push(&mirror);
    let session = rig.session();
    session.tag(&repository, "1").await.unwrap();
    let error = session.referrers_from(&repository, &digest, ALL, 0).await.unwrap_err();
    assert!(matches!(error, RegistryError::ForbiddenAddress { .. }), "{error:?}");
}

/// Attack E1: credentials for the registry go to it and not to the mirror in its place, and the
/// other way round.
#[tokio::test]
async fn attack_e1_each_host_has_its_own_credentials_upstream_too() {
    let mirror = TestRegistry::start(Settings::conforming());
    let upstream =
        TestRegistry::start(Settings::conforming().auth(support::Auth::basic("hunter2-planted")));
    let rig = Rig::new();
    rig.hosts(
        &(upstream.host().replace(':', "_") + "_"),
        &format!("[host.\"{}\"]\n", mirror.url()),
    );
    let repository = Repository::parse(&format!("{}/acme/app", upstream.host())).unwrap();
    let (_, digest) = push(&mirror);
    refer(&upstream, &digest, "sig");
    let session = rig.session_of(&crate::rig::robot("hunter2-planted", &upstream.host()));
    let found = session.referrers_from(&repository, &digest, ALL, 0).await.unwrap();
    assert_eq!(names(&found), ["sig"]);
    assert!(mirror.requests().iter().all(|request| request.authorization.is_none()));
}

#[tokio::test]
async fn entries_that_cannot_be_proven_make_a_list_that_is_not_whole() {
    let server = TestRegistry::start(Settings::conforming());
    let (_, digest) = push(&server);
    let (rig, index) = (Rig::serving(&server), support::OCI_INDEX);
    let foreign = format!(r#"{{"mediaType":"m","digest":"sha512:{}","size":3}}"#, "a".repeat(128));
    let good = format!(r#"{{"mediaType":"m","digest":"{digest}","size":3}}"#);
    let list = |entries: &str| Answer::Full {
        status: 200,
        headers: vec![("content-type", index.to_owned())],
        body: format!(r#"{{"manifests":[{entries}]}}"#).into_bytes(),
    };
    server.rule(Rule::new("/referrers/", list(&foreign)));
    let error = rig.session().referrers_from(&repository(), &digest, ALL, 0).await.unwrap_err();
    assert!(
        matches!(error, RegistryError::Malformed { what: Malformed::Algorithm, .. }),
        "{error:?}"
    );
    assert_eq!(
        rig.session().referrers(&repository(), &digest).await.unwrap_err().class(),
        Class::Unable
    );
    server.clear_rules();
    server.rule(Rule::new("/referrers/", list(&format!("{foreign},{good}"))));
    let found = rig.session().referrers_from(&repository(), &digest, ALL, 0).await.unwrap();
    assert!(matches!(&found.answer, Referrers::Listed(list) if list.len() == 1));
    assert!(
        matches!(found.passed, Some(RegistryError::Malformed { what: Malformed::Algorithm, .. })),
        "{found:?}"
    );
}

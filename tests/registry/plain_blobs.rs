//! A registry over HTTPS whose content is on storage by plain HTTP: what its digest proves is
//! fetched there, with nothing that is a secret, and nothing else is.

use sealgate::image::Digest;
use sealgate::registry::{Class, RedirectFault, RegistryError};

use crate::rig::{NAME, Rig, push, repository, robot};
use crate::support::{Answer, Auth, OCI_MANIFEST, Rule, Settings, TestRegistry};

const PASSWORD: &str = "hunter2-planted";
const BLOB: &[u8] = b"payload";

/// A registry that redirects all content to the storage, the rig that knows both, and the blob's
/// digest.
fn stage(auth: Auth) -> (TestRegistry, TestRegistry, Rig, Digest) {
    let storage = TestRegistry::start(Settings::conforming());
    // The blob is asked for first: behind the demand for credentials, where there is one.
    let first = if auth == Auth::Anonymous { 1 } else { 2 };
    let server = TestRegistry::start(Settings::conforming().auth(auth).tls());
    let blob = Digest::parse(&storage.put_blob("acme/app", BLOB)).unwrap();
    let (_, manifest) = push(&storage);
    for (path, to, first) in [
        ("/blobs/", format!("blobs/{blob}"), first),
        ("/manifests/", format!("manifests/{manifest}"), 1),
    ] {
        let redirect =
            Answer::Redirect(307, format!("{}/v2/acme/app/{to}?X-Signature=s", storage.url()));
        server.rule(Rule::new(path, redirect).calls(first..=usize::MAX));
    }
    let mut rig = Rig::serving(&server);
    rig.options.allow_local_hosts = vec![storage.host()];
    rig.options.credential_hosts = [(NAME.to_owned(), vec![server.host()])].into();
    (server, storage, rig, blob)
}

#[tokio::test]
async fn attack_e1_what_its_digest_proves_may_come_without_tls_and_no_secret_goes_along() {
    for auth in [Auth::Anonymous, Auth::basic(PASSWORD), Auth::bearer(PASSWORD)] {
        let (server, storage, rig, blob) = stage(auth);
        let session = rig.session_of(&robot(PASSWORD, NAME));
        assert_eq!(session.blob(&repository(), &blob, 7, 100).await.unwrap().as_ref(), BLOB);
        let (_, manifest) = push(&storage);
        storage.clear_log();
        assert_eq!(session.manifest(&repository(), &manifest).await.unwrap().digest, manifest);
        let asked = storage.requests();
        assert!(!asked.is_empty());
        for entry in &asked {
            assert_eq!(entry.authorization, None);
            assert!(!format!("{entry:?}").contains(PASSWORD));
        }
        drop(server);
    }
}

/// What a tag means, and what refers to something, rests on who says it: there TLS is not left.
#[tokio::test]
async fn attack_e1_what_no_digest_proves_does_not_leave_tls() {
    let (server, storage, rig, _) = stage(Auth::Anonymous);
    server.rule(Rule::new("/referrers/", Answer::Redirect(307, format!("{}/x", storage.url()))));
    let session = rig.session();
    let downgrade = |error: &RegistryError| {
        matches!(error, RegistryError::Redirect { fault: RedirectFault::Downgrade, .. })
    };
    let error = session.tag(&repository(), "1").await.unwrap_err();
    assert!(downgrade(&error) && error.class() == Class::Unable, "{error:?}");
    let error = session.referrers(&repository(), &Digest::of(b"x")).await.unwrap_err();
    assert!(downgrade(&error), "{error:?}");
    assert_eq!(storage.requests(), []);
}

/// Whoever is between can put other content there, or ask for secrets: the one is seen, the other
/// not answered.
#[tokio::test]
async fn attack_e1_nobody_between_gets_a_secret_or_has_his_content_taken() {
    let (server, storage, rig, blob) = stage(Auth::basic(PASSWORD));
    let access = robot(PASSWORD, NAME);
    let other = Answer::Full {
        status: 200,
        headers: vec![("content-type", OCI_MANIFEST.to_owned())],
        body: b"another".to_vec(),
    };
    storage.rule(Rule::new("/blobs/", other).calls(1..=1));
    let error = rig.session_of(&access).blob(&repository(), &blob, 7, 100).await.unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error:?}");
    for challenge in [
        "Basic realm=\"x\"".to_owned(),
        format!("Bearer realm=\"{}/token?by=another\"", server.url()),
    ] {
        storage.clear_rules();
        let demand = Answer::Full {
            status: 401,
            headers: vec![("www-authenticate", challenge)],
            body: vec![],
        };
        storage.rule(Rule::new("/blobs/", demand));
        server.clear_log();
        let error = rig.session_of(&access).blob(&repository(), &blob, 7, 100).await.unwrap_err();
        assert!(matches!(error, RegistryError::Unauthorized { status: 401, .. }), "{error:?}");
        assert_eq!(server.count("/token"), 0);
    }
    assert!(storage.requests().iter().all(|entry| entry.authorization.is_none()));
}

/// Attack E5: without TLS as with it, this node is not asked unless the operator named it.
#[tokio::test]
async fn attack_e5_a_redirect_without_tls_to_this_node_is_refused() {
    let (server, storage, mut rig, blob) = stage(Auth::Anonymous);
    rig.options.allow_local_hosts.clear();
    let error = rig.session().blob(&repository(), &blob, 7, 100).await.unwrap_err();
    assert!(matches!(error, RegistryError::ForbiddenAddress { .. }), "{error:?}");
    server.clear_rules();
    server.rule(Rule::new(
        "/blobs/",
        Answer::Redirect(307, "http://169.254.169.254/latest/meta-data/".to_owned()),
    ));
    let error = rig.session().blob(&repository(), &blob, 7, 100).await.unwrap_err();
    assert!(matches!(error, RegistryError::ForbiddenAddress { .. }), "{error:?}");
    assert_eq!(storage.requests(), []);
}

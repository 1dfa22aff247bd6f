//! Attack E5: addresses of the node and its link, where the operator did not name that host.

use sealgate::registry::{Class, RegistryError};

use crate::rig::{Rig, push, reference, repository};
use crate::support::{Answer, Rule, Settings, TestRegistry};

/// A registry that leads to `to`, and what came of following.
async fn follow(to: &str, allowed: &[String]) -> RegistryError {
    let server = TestRegistry::start(Settings::conforming());
    server.rule(Rule::new("/manifests/", Answer::Redirect(307, to.to_owned())));
    let mut rig = Rig::serving(&server);
    rig.options.allow_local_hosts = allowed.to_vec();
    rig.session().tag(&repository(), "1").await.unwrap_err()
}

#[tokio::test]
async fn attack_e5_a_redirect_to_this_node_is_refused() {
    let victim = TestRegistry::start(Settings::conforming());
    push(&victim);
    let port = victim.address().port();
    for host in ["127.0.0.1", "localhost", "127.1", "2130706433", "0.0.0.0", "[::ffff:127.0.0.1]"] {
        let error = follow(&format!("http://{host}:{port}/v2/acme/app/manifests/1"), &[]).await;
        assert!(matches!(error, RegistryError::ForbiddenAddress { .. }), "{host}: {error:?}");
        assert_eq!(error.class(), Class::Unable);
    }
    assert_eq!(victim.requests(), []);
}

#[tokio::test]
async fn attack_e5_a_redirect_to_the_metadata_service_is_refused() {
    for to in [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/",
        "http://[fd00:ec2::254]/",
        "http://100.100.100.200/",
    ] {
        let error = follow(to, &[]).await;
        assert!(matches!(error, RegistryError::ForbiddenAddress { .. }), "{to}: {error:?}");
    }
}

/// A host that the operator named is followed; another port of it is not, unless the name stands
/// without a port.
#[tokio::test]
async fn attack_e5_what_the_operator_named_is_followed() {
    let target = TestRegistry::start(Settings::conforming());
    let to = format!("http://{}/v2/nothing/manifests/1", target.host());
    for allowed in [target.host(), "127.0.0.1".to_owned()] {
        let error = follow(&to, &[allowed]).await;
        assert_eq!(error.class(), Class::Absent, "{error:?}");
    }
    let error = follow(&to, &["127.0.0.1:1".to_owned()]).await;
    assert!(matches!(error, RegistryError::ForbiddenAddress { .. }), "{error:?}");
}

#[tokio::test]
async fn attack_e5_a_token_service_on_this_node_is_refused() {
    let victim = TestRegistry::start(Settings::conforming());
    for host in ["127.0.0.1", "localhost"] {
        let server = TestRegistry::start(Settings::conforming());
        let realm = format!(r#"Bearer realm="https://{host}:{}/token""#, victim.address().port());
        let demand =
            Answer::Full { status: 401, headers: vec![("www-authenticate", realm)], body: vec![] };
        server.rule(Rule::new("/manifests/", demand));
        let error = Rig::serving(&server).session().tag(&repository(), "1").await.unwrap_err();
        assert!(matches!(error, RegistryError::ForbiddenAddress { .. }), "{host}: {error:?}");
    }
    assert_eq!(victim.requests(), []);
}

/// The reference's own host: link-local and metadata addresses are refused, loopback by its own
/// name is not.
#[tokio::test]
async fn attack_e5_a_reference_to_a_link_local_address_is_refused() {
    let rig = Rig::new();
    for name in ["169.254.169.254/a:1", "[fe80::1]/a:1", "100.100.100.200/a:1", "0.0.0.0:5000/a:1"]
    {
        let error = rig.session().resolve(&reference(name)).await.unwrap_err();
        assert!(matches!(error, RegistryError::ForbiddenAddress { .. }), "{name}: {error:?}");
    }
    let server = TestRegistry::start(Settings::conforming());
    push(&server);
    for host in [server.host(), format!("localhost:{}", server.address().port())] {
        rig.session().resolve(&reference(&format!("{host}/acme/app:1"))).await.unwrap();
    }
}

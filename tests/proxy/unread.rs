//! What the gate does not read is no reason to refuse, and nothing of a request changes but what
//! was decided on: any bytes in every field that no decision rests on, and the registry's name in a
//! secret that has none.

use prost::Message;
use sealgate::audit::OnFailure;
use sealgate::proto::cri;
use sealgate::proxy::wire::{self, FieldStep};

use crate::decide::{CREATE, House, PULL};
use crate::standin::frame;

/// No UTF-8, no message, and not even a whole varint.
pub const BYTES: &[u8] = b"\xff\xfe\x80";
/// Fields of text or messages of `CreateContainerRequest`, `ContainerConfig`, `PodSandboxConfig`
/// and a mount that no decision rests on, and some that no version of the API has.
const OF_REQUEST: [u32; 1] = [14_321];
const OF_CONFIG: [u32; 12] = [3, 4, 5, 6, 9, 10, 11, 16, 17, 18, 19, 14_321];
const OF_SANDBOX: [u32; 8] = [2, 3, 4, 5, 6, 7, 9, 14_321];
const OF_IMAGE: [u32; 3] = [2, 19, 14_321];
const OF_MOUNT: [u32; 4] = [1, 8, 10, 14_321];

/// The message with any bytes in these fields of the message at `parent`.
pub fn with(message: Vec<u8>, parent: &[FieldStep], fields: &[u32]) -> Vec<u8> {
    fields.iter().fold(message, |message, field| {
        let at: Vec<FieldStep> = parent.iter().copied().chain([FieldStep::only(*field)]).collect();
        wire::put(&message, &at, BYTES).unwrap().to_vec()
    })
}

/// A map's entry and an environment variable are on the wire the same: a message of two texts.
fn entry() -> Vec<u8> {
    [&b"\x0a\x03"[..], BYTES, b"\x12\x03", BYTES].concat()
}

fn only_body(house: &House, path: &str) -> Vec<u8> {
    let received = house.standin.received();
    let mut bodies = received.iter().filter(|request| request.path == path);
    let body = bodies.next().unwrap().body.clone();
    assert!(bodies.next().is_none());
    body
}

#[tokio::test]
async fn a_create_with_any_bytes_in_every_unread_field_passes_as_it_came() {
    let house = House::with(OnFailure::RefuseNew);
    let mut client = house.client().await;
    let mount = OF_MOUNT.iter().fold(Vec::new(), |mount, field| with(mount, &[], &[*field]));
    let good = cri::CreateContainerRequest::decode(&*house.create()).unwrap();
    let sandbox = cri::PodSandboxConfig { hostname: "h".to_owned(), ..Default::default() };
    let message =
        cri::CreateContainerRequest { sandbox_config: Some(sandbox), ..good }.encode_to_vec();
    let (config, sandbox) = ([FieldStep::only(2)], [FieldStep::only(3)]);
    let message =
        wire::remove(&message, &[FieldStep::only(3), FieldStep::only(2)]).unwrap().to_vec();
    let message = with(message, &config, &OF_CONFIG);
    let message = with(message, &[FieldStep::only(2), FieldStep::only(2)], &OF_IMAGE);
    let message = with(with(message, &sandbox, &OF_SANDBOX), &[], &OF_REQUEST);
    let message = wire::put(&message, &[FieldStep::only(2), FieldStep::only(7)], &mount).unwrap();
    // Environment variables and annotations as they are, with values that are no UTF-8.
    let message =
        wire::replace(&message, &[FieldStep::only(2), FieldStep::only(6)], &entry()).unwrap();
    let message =
        wire::replace(&message, &[FieldStep::only(2), FieldStep::only(10)], &entry()).unwrap();
    assert!(
        cri::CreateContainerRequest::decode(&*message).is_err(),
        "the whole of it cannot be decoded"
    );
    let (code, text) = client.call(CREATE, &message).await.status();
    assert_eq!(code, 0, "{text}");
    assert_eq!(
        only_body(&house, CREATE),
        frame(&message),
        "the id was there already: not a byte changed"
    );
}

#[tokio::test]
async fn a_pull_with_any_bytes_in_every_unread_field_passes() {
    let house = House::with(OnFailure::RefuseNew);
    let mut client = house.client().await;
    let (message, pinned) = house.pull(None);
    let message = wire::put(&message, &[FieldStep::only(3)], b"").unwrap().to_vec();
    let unread: Vec<u32> = OF_SANDBOX.into_iter().filter(|field| *field != 7).collect();
    let message = with(message, &[FieldStep::only(3)], &unread);
    let message = with(with(message, &[FieldStep::only(1)], &[20, 14_321]), &[], &[14_321]);
    // Annotations are looked at for those that steer a snapshotter; others are the pod's.
    let message = wire::put(&message, &[FieldStep::only(3), FieldStep::only(7)], &entry()).unwrap();
    let message = wire::put(&message, &[FieldStep::only(1), FieldStep::only(2)], &entry()).unwrap();
    let (code, text) = client.call(PULL, &message).await.status();
    assert_eq!(code, 0, "{text}");
    assert!(pinned.contains('@'));
    assert_eq!(only_body(&house, PULL), frame(&message), "it was by digest: not a byte changed");
    // A handler that is no text is no handler that anybody allowed.
    let chosen = with(message.to_vec(), &[FieldStep::only(1)], &[19]);
    let (code, text) = client.call(PULL, &chosen).await.status();
    assert!(code == 2 && text.contains("runtime handler"), "{code} {text}");
}

/// Attack E1, fact P18: the runtime shows a secret that names no registry to every mirror.
#[tokio::test]
async fn attack_e1_a_secret_that_names_no_registry_names_the_images_own() {
    let secret = cri::AuthConfig::default;
    let given = [
        cri::AuthConfig { username: "u".to_owned(), password: "p".to_owned(), ..secret() },
        cri::AuthConfig { auth: "dTpw".to_owned(), ..secret() },
        cri::AuthConfig { identity_token: "i".to_owned(), ..secret() },
        cri::AuthConfig { registry_token: "r".to_owned(), ..secret() },
    ];
    for auth in given {
        let house = House::with(OnFailure::RefuseNew);
        let mut client = house.client().await;
        let (message, _) = house.pull(Some(auth.clone()));
        // The field may also be there, and empty.
        let empty =
            wire::put(&message, &[FieldStep::only(2), FieldStep::only(4)], b"").unwrap().to_vec();
        for message in [message, empty] {
            let (code, text) = client.call(PULL, &message).await.status();
            assert_eq!(code, 0, "{text}");
        }
        for request in house.standin.received().iter().filter(|request| request.path == PULL) {
            let sent = cri::PullImageRequest::decode(&request.body[5..]).unwrap();
            let named =
                cri::AuthConfig { server_address: "https://reg.test".to_owned(), ..auth.clone() };
            assert_eq!(sent.auth, Some(named), "{auth:?}");
        }
    }
}

#[tokio::test]
async fn a_secret_that_names_a_registry_and_none_at_all_stay_as_they_are() {
    let named = cri::AuthConfig {
        username: "u".to_owned(),
        server_address: "https://reg.test/v2/".to_owned(),
        ..Default::default()
    };
    for auth in [Some(named), Some(cri::AuthConfig::default()), None] {
        let house = House::with(OnFailure::RefuseNew);
        let (message, _) = house.pull(auth);
        let (code, text) = house.client().await.call(PULL, &message).await.status();
        assert_eq!(code, 0, "{text}");
        assert_eq!(only_body(&house, PULL), frame(&message));
    }
}

/// Attack D2: two addresses in one secret, of which parsers take one or the other.
#[tokio::test]
async fn attack_d2_two_server_addresses_are_refused() {
    let house = House::with(OnFailure::RefuseNew);
    let auth = cri::AuthConfig { username: "u".to_owned(), ..Default::default() };
    let (message, _) = house.pull(Some(auth.clone()));
    let twice = [&auth.encode_to_vec()[..], b"\x22\x01a\x22\x01b"].concat();
    let message = wire::replace(&message, &[FieldStep::only(2)], &twice).unwrap();
    assert_eq!(house.client().await.call(PULL, &message).await.code(), 3);
    assert_eq!(house.standin.paths(), [""; 0]);
}

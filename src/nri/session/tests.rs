//! The session against a runtime that a test plays, frame by frame.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A judge that admits one name, and remembers what it was asked about and told.
#[derive(Default)]
struct One(Mutex<Vec<NewContainer>>, Mutex<Vec<bool>>);

impl Judge for One {
    fn may_be_made(&self, container: &NewContainer) -> Result<(), String> {
        self.0.lock().unwrap().push(container.clone());
        if container.name == "good" { Ok(()) } else { Err("around the gate ".repeat(1000)) }
    }

    fn changed(&self, asks: Result<(), &SessionError>) {
        self.1.lock().unwrap().push(asks.is_ok());
    }
}

/// The runtime's side of the stream.
struct Runtime(UnixStream);

impl Runtime {
    async fn frame(&mut self, conversation: u32, content: &[u8]) {
        let length = u32::try_from(content.len()).unwrap();
        self.0.write_all(&conversation.to_be_bytes()).await.unwrap();
        self.0.write_all(&length.to_be_bytes()).await.unwrap();
        self.0.write_all(content).await.unwrap();
    }

    /// Calls the plugin, in frames of this many bytes, and reads its answer.
    async fn call(&mut self, method: &str, payload: Vec<u8>, piece: usize) -> nri::Response {
        let service = "nri.pkg.api.v1alpha1.Plugin".to_owned();
        let request = nri::Request { service, method: method.to_owned(), payload }.encode_to_vec();
        let mut message = u32::try_from(request.len()).unwrap().to_be_bytes().to_vec();
        message.extend([0, 0, 0, 3, 1, 0]);
        message.extend(request);
        for piece in message.chunks(piece) {
            self.frame(PLUGIN, piece).await;
        }
        let (conversation, message) = self.read().await;
        assert_eq!((conversation, &message[4..10]), (PLUGIN, [0, 0, 0, 3, 2, 0].as_slice()));
        nri::Response::decode(&message[10..]).unwrap()
    }

    async fn read(&mut self) -> (u32, Vec<u8>) {
        let conversation = self.0.read_u32().await.unwrap();
        let length = usize::try_from(self.0.read_u32().await.unwrap()).unwrap();
        assert!(length <= SENT_MAX, "the runtime would not take a frame of {length} bytes");
        let mut message = vec![0; length];
        self.0.read_exact(&mut message).await.unwrap();
        (conversation, message)
    }

    async fn registration(&mut self) -> nri::Request {
        let (conversation, message) = self.read().await;
        assert_eq!(conversation, RUNTIME);
        let answer = nri::Response::default().encode_to_vec();
        let mut response = u32::try_from(answer.len()).unwrap().to_be_bytes().to_vec();
        response.extend([0, 0, 0, 1, 2, 0]);
        response.extend(answer);
        self.frame(RUNTIME, &response).await;
        nri::Request::decode(&message[10..]).unwrap()
    }
}

fn create(name: &str) -> Vec<u8> {
    let pod = nri::PodSandbox { id: "pod".to_owned(), ..Default::default() };
    let container = nri::Container { name: name.to_owned(), ..Default::default() };
    nri::CreateContainerRequest { pod: Some(pod), container: Some(container) }.encode_to_vec()
}

/// Plays the runtime; what the session ended with, and what the judge was asked.
async fn play<F>(script: impl FnOnce(Runtime) -> F) -> (SessionError, Tripwire, Vec<NewContainer>)
where
    F: Future<Output = ()>,
{
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (judge, tripwire) = (One::default(), Tripwire::default());
    let (error, ()) =
        futures_util::future::join(run(ours, &judge, &tripwire), script(Runtime(theirs))).await;
    let asked = judge.0.into_inner().unwrap();
    (error, tripwire, asked)
}

#[tokio::test]
async fn a_container_that_nobody_decided_on_is_refused() {
    let (error, tripwire, asked) = play(|mut runtime| async move {
        let registered = runtime.registration().await;
        assert_eq!(registered.method, "RegisterPlugin");
        let configured = runtime.call("Configure", Vec::new(), 4096).await;
        let configured = nri::ConfigureResponse::decode(configured.payload.as_slice()).unwrap();
        assert_eq!(configured.events, 8, "no event but the one that every runtime knows");
        for more in [true, true, false] {
            let part = nri::SynchronizeRequest { more }.encode_to_vec();
            let answer = runtime.call("Synchronize", part, 4096).await;
            let answer = nri::SynchronizeResponse::decode(answer.payload.as_slice()).unwrap();
            assert_eq!(answer.more, more);
        }
        // In pieces of three bytes, and whole.
        let good = runtime.call("CreateContainer", create("good"), 3).await;
        assert_eq!(good, nri::Response::default());
        let bad = runtime.call("CreateContainer", create("bad"), 4096).await;
        assert_eq!(bad.status.map(|status| status.code), Some(PERMISSION_DENIED));
        let unknown = runtime.call("Tomorrow", Vec::new(), 4096).await;
        assert_eq!(unknown.status.map(|status| status.code), Some(UNIMPLEMENTED));
        runtime.call("Shutdown", Vec::new(), 4096).await;
    })
    .await;
    assert_eq!(error, SessionError::Shutdown);
    let names: Vec<&str> = asked.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["good", "bad"]);
    let health = tripwire.health();
    assert_eq!((health.connected, health.asked, health.refused), (true, 2, 1));
    let (first, again) = (tripwire.ended(&error), tripwire.ended(&error));
    assert!(first.asked && first.is_news && !tripwire.health().connected);
    assert!(!again.asked && !again.is_news, "told once");
}

/// Attack D1: a length is a claim, and is not believed before it is within its limit.
#[tokio::test]
async fn attack_d1_a_frame_or_message_beyond_its_limit_ends_the_session() {
    let (error, ..) = play(|mut runtime| async move {
        runtime.registration().await;
        runtime.0.write_all(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]).await.unwrap();
    })
    .await;
    assert!(matches!(error, SessionError::TooLarge { .. }), "{error:?}");
    let (error, ..) = play(|mut runtime| async move {
        runtime.registration().await;
        runtime.frame(PLUGIN, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 1, 0]).await;
    })
    .await;
    assert!(matches!(error, SessionError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn what_the_protocol_does_not_have_ends_the_session() {
    let cases: [(u32, &[u8]); 3] = [
        (7, &[]),
        (PLUGIN, &[0, 0, 0, 0, 0, 0, 0, 1, 9, 0]),
        (PLUGIN, &[0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0xff]),
    ];
    for (conversation, content) in cases {
        let (error, ..) = play(|mut runtime| async move {
            runtime.registration().await;
            runtime.frame(conversation, content).await;
        })
        .await;
        let fits = matches!(error, SessionError::Malformed { .. } | SessionError::Undecodable);
        assert!(fits, "{error:?}");
    }
}

/// A runtime that goes away and comes back is told of once each time, however often it is tried.
#[tokio::test]
async fn each_change_of_the_connection_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("nri.sock");
    let (judge, tripwire) = (One::default(), Tripwire::default());
    let options = crate::nri::Options { socket: socket.clone(), ..crate::nri::Options::default() };
    let keeping = crate::nri::keep(options, &judge, &tripwire);
    let runtime = async {
        for _ in 0..2 {
            let listener = tokio::net::UnixListener::bind(&socket).unwrap();
            let mut runtime = Runtime(listener.accept().await.unwrap().0);
            runtime.registration().await;
            runtime.call("Configure", Vec::new(), 4096).await;
            let last = nri::SynchronizeRequest { more: false }.encode_to_vec();
            runtime.call("Synchronize", last, 4096).await;
            drop(listener);
            std::fs::remove_file(&socket).unwrap();
            drop(runtime);
            while tripwire.health().connected {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::select! {
        () = keeping => {}
        () = runtime => {}
    }
    assert_eq!(*judge.1.lock().unwrap(), [true, false, true, false]);
}

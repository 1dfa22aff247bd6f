//! How the gate ends: it serves until nothing is in flight that would be a loss, and loses no call
//! that was accepted.

use std::{
    io::Write as _,
    os::unix::net::{UnixListener, UnixStream},
    sync::Arc,
    time::Duration,
};

use sealgate::proxy::{Answer, Drained, Listener, Options};
use tokio::{sync::Notify, task::JoinHandle};

use crate::{
    client::{Client, EVENTS, PULL, Untaken, VERSION, read, request},
    eventually,
    gate::Gate,
    life::options,
    soon,
    standin::frame,
};

/// A gate whose pulls end when they are let go.
fn pulling(tweak: impl FnOnce(&mut Options)) -> (Gate, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let waited = Arc::clone(&go);
    let gate = Gate::with(tweak, move |_| {
        let waited = Arc::clone(&waited);
        Box::pin(async move {
            waited.notified().await;
            Answer::status(sealgate::proxy::Code::Unknown, "pulled")
        })
    });
    (gate, go)
}

/// A pull under way on a connection of its own.
async fn pull(gate: &Gate) -> JoinHandle<i32> {
    let mut client = gate.client().await;
    let before = gate.calls.lock().unwrap().len();
    let pull = tokio::spawn(async move { client.call(PULL, b"").await.code() });
    eventually("the pull is under way", || gate.calls.lock().unwrap().len() > before).await;
    pull
}

#[tokio::test]
async fn told_to_stop_it_accepts_and_serves_until_no_pull_is_in_flight() {
    let (mut gate, go) = pulling(|_| {});
    let standin = gate.standin();
    let mut client = gate.client().await;
    assert_eq!(client.call(VERSION, b"first").await.code(), 0);
    let first = pull(&gate).await;
    gate.stop();
    for round in 0..20 {
        assert_eq!(
            client.call(VERSION, b"old").await.code(),
            0,
            "round {round}: who was connected is served"
        );
        assert_eq!(
            gate.client().await.call(VERSION, b"new").await.code(),
            0,
            "round {round}: who connects is served"
        );
    }
    // One that begins now is waited for too.
    let second = pull(&gate).await;
    go.notify_one();
    assert_eq!(first.await.unwrap(), 2);
    assert_eq!(client.call(VERSION, b"still").await.code(), 0);
    go.notify_one();
    assert_eq!(second.await.unwrap(), 2);
    assert_eq!(gate.ended().await, Drained { cut: 0, streams: 0 });
    eventually("the client is told to go", || client.is_closed()).await;
    assert!(Client::try_connect(&gate.socket).await.is_err());
    assert_eq!(standin.canceled(), 0);
}

#[tokio::test]
async fn a_call_that_is_short_is_finished_after_the_goodbye() {
    let mut gate = Gate::start();
    let standin = gate.standin();
    let mut client = gate.client().await;
    assert_eq!(client.call(VERSION, b"first").await.code(), 0);
    standin.delay(Duration::from_millis(300));
    let mut running = client.clone();
    let call = tokio::spawn(async move { running.call(VERSION, b"last").await });
    eventually("the call runs", || standin.received().len() == 2).await;
    gate.stop();
    assert_eq!(call.await.unwrap().body, frame(b"last"));
    assert_eq!(gate.ended().await, Drained { cut: 0, streams: 0 });
}

#[tokio::test]
async fn a_stream_that_never_ends_ends_unavailable_and_holds_nothing_up() {
    let mut gate = Gate::start();
    let standin = gate.standin();
    let mut client = gate.client().await;
    let events = client.open(request(EVENTS, frame(b""))).await.unwrap();
    gate.stop();
    assert_eq!(read(events).await.unwrap().code(), 14);
    assert_eq!(gate.ended().await, Drained { cut: 0, streams: 1 });
    eventually("the runtime's stream is cancelled", || standin.canceled() == 1).await;
}

#[tokio::test]
async fn a_pull_that_does_not_end_in_time_ends_unavailable() {
    let (mut gate, _never) = pulling(|options| options.drain_seconds = 1);
    let pull = pull(&gate).await;
    gate.stop();
    assert_eq!(pull.await.unwrap(), 14);
    assert_eq!(gate.ended().await, Drained { cut: 1, streams: 0 });
}

/// Clients that connect, call and go, without a pause, while the gate ends: who was connected is
/// answered, or was told to go before any of the call was taken.
#[tokio::test]
async fn no_request_that_was_accepted_is_lost() {
    for _ in 0..20 {
        let mut gate = Gate::start();
        let standin = gate.standin();
        let calls = |new: bool| {
            let socket = gate.socket.clone();
            tokio::spawn(async move {
                let mut answered = 0;
                let mut client = Client::connect(&socket).await;
                loop {
                    if new || client.is_closed() {
                        match Client::try_connect(&socket).await {
                            Ok(next) => client = next,
                            Err(_) => return answered,
                        }
                    }
                    match client.try_call(VERSION, b"x").await {
                        Ok(answer) => assert_eq!(answer.code(), 0),
                        Err(Untaken) => continue,
                    }
                    answered += 1;
                }
            })
        };
        let callers = [calls(true), calls(true), calls(false)];
        eventually("calls are made", || standin.received().len() > 20).await;
        gate.stop();
        assert_eq!(gate.ended().await, Drained { cut: 0, streams: 0 });
        let mut answered = 0;
        for caller in callers {
            answered += soon("the caller", caller).await.unwrap();
        }
        assert_eq!(
            answered,
            standin.received().len(),
            "every call that reached the runtime was answered"
        );
    }
}

/// How often 40 pulls are tried until one of them comes at the goodbye: on a busy machine three
/// rounds of four have one.
const ROUNDS_MAX: usize = 12;

/// A pull that is sent at the very moment of the goodbye gets the time of a pull, not that of a
/// short call.
#[tokio::test]
async fn a_pull_that_begins_at_the_goodbye_is_waited_for() {
    let one = |later: usize| async move {
        let (mut gate, go) = pulling(|_| {});
        let _standin = gate.standin();
        let mut client = gate.client().await;
        assert_eq!(client.call(VERSION, b"").await.code(), 0);
        gate.stop();
        for _ in 0..later {
            tokio::task::yield_now().await;
        }
        let pull =
            tokio::spawn(
                async move { client.try_call(PULL, b"").await.map(|answer| answer.code()) },
            );
        // Longer than calls get that are short.
        tokio::time::sleep(Duration::from_secs(4)).await;
        go.notify_one();
        let taken = pull.await.unwrap().is_ok_and(|code| code == 2);
        assert_eq!(gate.ended().await, Drained { cut: 0, streams: 0 }, "after {later} turns");
        usize::from(taken)
    };
    // Which of them comes before the client reads the goodbye is for the scheduler to say: now and
    // then none does.
    for _ in 0..ROUNDS_MAX {
        let taken: usize = futures_util::future::join_all((0..40).map(one)).await.into_iter().sum();
        if taken > 0 {
            return;
        }
    }
    panic!("not one pull came before the client read the goodbye");
}

#[tokio::test]
async fn who_waits_in_the_queue_of_an_inherited_socket_is_left_to_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let socket = UnixListener::bind(folder.path().join("cri.sock")).unwrap();
    let first = Listener::inherited(socket.try_clone().unwrap()).unwrap();
    assert!(first.close().is_empty());
    let mut waiting = UnixStream::connect(folder.path().join("cri.sock")).unwrap();
    waiting.write_all(b"hello").unwrap();
    let next = Listener::inherited(socket).unwrap();
    let stream = soon("the next process accepts", next.accept()).await.unwrap();
    let mut came = [0; 5];
    stream.readable().await.unwrap();
    assert_eq!(stream.try_read(&mut came).unwrap(), 5);
}

#[tokio::test]
async fn who_waits_in_the_queue_of_an_own_socket_is_given_back_and_nobody_else_connects() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(&folder);
    let listener = Listener::bind(&options).unwrap();
    let waiting: Vec<_> = (0..5).map(|_| UnixStream::connect(&options.socket).unwrap()).collect();
    let given = listener.close();
    assert_eq!(given.len(), waiting.len());
    assert!(UnixStream::connect(&options.socket).is_err());
    // The next process takes the place over.
    drop(Listener::bind(&options).unwrap());
}

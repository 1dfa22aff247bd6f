//! Connections: none is silent for ever, and who leaks them locks out nobody.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    client::{EVENTS, VERSION, request},
    eventually,
    gate::Gate,
    life::refusing,
    standin::frame,
};

/// Closed, whatever the client does: with nothing said, and with a hello after which pings are not
/// answered.
#[tokio::test(start_paused = true)]
async fn attack_d1_silent_connections_are_closed() {
    let gate = Gate::start();
    for said in
        [&b""[..], b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"]
    {
        let mut stream = tokio::net::UnixStream::connect(&gate.socket).await.unwrap();
        stream.write_all(said).await.unwrap();
        let began = tokio::time::Instant::now();
        let mut all = Vec::new();
        // The clock of the test jumps when nothing else happens.
        let _reset_or_ended = stream.read_to_end(&mut all).await;
        assert!(began.elapsed() <= Duration::from_secs(60), "{:?} after {said:?}", began.elapsed());
        assert_eq!(gate.connections.counts().open, 0);
    }
}

#[tokio::test]
async fn attack_d1_one_connection_too_many_is_closed() {
    let gate = Gate::with(|options| options.connections = 2, refusing);
    let _standin = gate.standin();
    let mut first = gate.client().await;
    let mut second = gate.client().await;
    let streams = (
        first.open(request(EVENTS, frame(b""))).await.unwrap(),
        second.open(request(EVENTS, frame(b""))).await.unwrap(),
    );
    let mut third = gate.client().await;
    assert!(third.open(request(VERSION, frame(b""))).await.is_err());
    assert!(gate.connections.counts().refused > 0);
    drop((streams, first, third));
    for _ in 0..1000 {
        let mut again = gate.client().await;
        if again.open(request(VERSION, frame(b""))).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("a place that is free again is not given");
}

#[tokio::test]
async fn attack_d1_leaked_connections_make_room_for_new_ones() {
    let gate = Gate::start();
    let _standin = gate.standin();
    let mut leaked = Vec::new();
    for round in 0..200 {
        let mut client = gate.client().await;
        assert_eq!(client.call(VERSION, b"").await.code(), 0, "round {round}");
        leaked.push(client);
        assert!(gate.connections.counts().open <= 16, "one process has a quarter of 64");
    }
    // Who was told to go was told so before it asked.
    eventually("all but a share are closed", || {
        leaked.iter().filter(|client| client.is_closed()).count() >= 200 - 16
    })
    .await;
    assert_eq!(gate.connections.counts().refused, 0);
}

/// Those that say nothing and do not go when they are told to: the process's own places, and nobody
/// waits for them.
#[tokio::test]
async fn attack_d1_a_flood_of_silent_connections_holds_up_nobody() {
    let gate = Gate::start();
    let _standin = gate.standin();
    let mut kubelet = gate.client().await;
    let call = kubelet.open(request(EVENTS, frame(b""))).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..400 {
        silent.push(tokio::net::UnixStream::connect(&gate.socket).await.unwrap());
    }
    eventually("the flood is refused", || gate.connections.counts().refused > 300).await;
    assert!(gate.connections.counts().open <= 16);
    assert_eq!(
        kubelet.call(VERSION, b"").await.code(),
        0,
        "who has a call on its connection keeps it"
    );
    drop(call);
}

//! The table of methods against the published API, and what becomes of methods that it does not
//! name.

use std::collections::BTreeSet;

use sealgate::proxy::{METHODS, Treatment, UnknownMethods};

use crate::client::VERSION;
use crate::gate::{Answering, Gate};

/// Every method that is published, one path in a line; its first lines say how it was made.
const PUBLISHED: &str = include_str!("../fixtures/cri/methods-1.37.txt");
/// Two methods of versions to come.
const NEXT: [&str; 2] =
    ["/runtime.v1.RuntimeService/NotYetInvented", "/runtime.v1.ImageService/NorThis"];

#[test]
fn the_table_has_every_published_method_and_no_other() {
    let published: BTreeSet<String> =
        PUBLISHED.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let table: BTreeSet<String> = METHODS.iter().map(|method| method.path()).collect();
    assert_eq!(table, published);
    assert_eq!((table.len(), published.len()), (METHODS.len(), 43), "one row for each");
}

#[tokio::test]
async fn an_unknown_method_passes_and_is_told_of_once() {
    let gate = Gate::start();
    let standin = gate.standin();
    let mut client = gate.client().await;
    for path in [NEXT[0], NEXT[1], NEXT[0], VERSION, NEXT[1]] {
        assert_eq!(client.call(path, b"x").await.code(), 0, "{path}");
    }
    assert_eq!(standin.paths().len(), 5);
    assert_eq!(*gate.unknown.lock().unwrap(), NEXT);
    assert!(gate.unread.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_unknown_method_is_refused_where_the_configuration_says_so() {
    let gate = Gate::with(|options| options.unknown_methods = UnknownMethods::Refuse, never);
    let standin = gate.standin();
    let mut client = gate.client().await;
    for path in NEXT {
        let (code, text) = client.call(path, b"x").await.status();
        assert_eq!(code, 12);
        assert!(text.contains("listen.unknown_methods"), "{text}");
    }
    assert_eq!(client.call(VERSION, b"x").await.code(), 0);
    assert_eq!(standin.paths(), [VERSION]);
    assert_eq!(gate.unread.lock().unwrap().len(), 2, "each is recorded");
}

#[tokio::test]
async fn a_call_that_is_checked_goes_on_as_it_came_or_is_answered_by_the_gate() {
    let gate = Gate::start();
    let standin = gate.standin();
    let mut client = gate.client().await;
    let checked: Vec<_> =
        METHODS.iter().filter(|row| row.treatment == Treatment::Checked).collect();
    assert_eq!(checked.len(), 6);
    for row in &checked {
        assert_eq!(client.call(&row.path(), b"\x0a\x01c").await.code(), 0, "{}", row.name);
        let (code, text) = client.call(&row.path(), b"\x0a\x07refused").await.status();
        assert_eq!((code, text.as_str()), (7, "not admitted"), "{}", row.name);
    }
    assert_eq!(standin.paths().len(), checked.len(), "what is refused never reaches the runtime");
    let checked = gate.checked.lock().unwrap();
    let messages = checked.iter().map(|call| call.message.clone());
    assert!(messages.take(2).eq([&b"\x0a\x01c"[..], b"\x0a\x07refused"]));
}

fn never(call: sealgate::proxy::Call) -> Answering {
    panic!("{:?} is no owned method", call.method)
}

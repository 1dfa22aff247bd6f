//! [`Events`]: containerd's word that a container was made, started or removed, as it happens, in the
//! namespaces that are asked for.
//!
//! A claim like all of containerd's words; and a stream that breaks off when containerd goes away.
//! What happened meanwhile is in [`Listing`](super::Listing).

use std::time::Duration;

use prost::Message as _;
use tonic::{Request, Streaming};

use super::images::since_1970;
use super::{Runtime, RuntimeError};
use crate::proto::containerd::events::{ContainerCreate, ContainerDelete, TaskStart};
use crate::proto::containerd::services::events::v1::{Envelope, SubscribeRequest};

/// The call that begins the stream.
const CALL: &str = "Events/Subscribe";
/// A container was made.
const CREATED: &str = "/containers/create";
/// Its first process was started.
const STARTED: &str = "/tasks/start";

/// It is gone.
const DELETED: &str = "/containers/delete";

/// The stream of events.
#[derive(Debug)]
pub struct Events(Streaming<Envelope>);

/// Something happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// containerd's namespace.
    pub namespace: String,
    /// The container's id.
    pub id: String,
    /// When, since 1970 UTC, by containerd's clock.
    pub at: Duration,
    /// What.
    pub what: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// It was made.
    Created {
        /// The image's name, as its maker wrote it.
        image: String,
        /// The runtime type.
        runtime: String,
    },
    /// Its first process was started.
    Started,
    /// It is gone.
    Removed,
}

impl Runtime {
    /// Subscribes to what happens to containers in these namespaces. containerd says nothing before
    /// the first event, so that this waits for one.
    ///
    /// # Errors
    /// [`RuntimeError`] when the runtime did not answer.
    pub async fn events(&self, namespaces: &[String]) -> Result<Events, RuntimeError> {
        let filters = namespaces.iter().flat_map(|namespace| {
            [CREATED, STARTED, DELETED]
                .map(|topic| format!("namespace=={namespace:?},topic=={topic:?}"))
        });
        // No time limit: it lives as long as containerd does.
        let request = Request::new(SubscribeRequest { filters: filters.collect() });
        let mut client = self.events_client();
        let stream = client.subscribe(request).await.map_err(|status| (CALL, status))?;
        Ok(Events(stream.into_inner()))
    }
}

impl Events {
    /// The next event; none when containerd has ended the stream.
    ///
    /// # Errors
    /// [`RuntimeError`] when it broke off, or an event cannot be read: then something was missed.
    pub async fn next(&mut self) -> Result<Option<Event>, RuntimeError> {
        let envelope =
            self.0.message().await.map_err(|status| RuntimeError::from((CALL, status)))?;
        envelope.map(read).transpose()
    }
}

fn read(envelope: Envelope) -> Result<Event, RuntimeError> {
    let malformed = |what| RuntimeError::Malformed { call: CALL, what };
    let bytes = envelope.event.map(|event| event.value).unwrap_or_default();
    let (id, what) = match envelope.topic.as_str() {
        CREATED => {
            let event = ContainerCreate::decode(bytes.as_slice())
                .map_err(|_| malformed("a new container that does not parse"))?;
            let runtime = event.runtime.map(|runtime| runtime.name).unwrap_or_default();
            (event.id, Happened::Created { image: event.image, runtime })
        }
        STARTED => {
            let event = TaskStart::decode(bytes.as_slice())
                .map_err(|_| malformed("a started task that does not parse"))?;
            (event.container_id, Happened::Started)
        }
        DELETED => {
            let event = ContainerDelete::decode(bytes.as_slice())
                .map_err(|_| malformed("a removed container that does not parse"))?;
            (event.id, Happened::Removed)
        }
        _ => return Err(malformed("an event that was not asked for")),
    };
    let at = envelope.timestamp.as_ref().map(since_1970).unwrap_or_default();
    Ok(Event { namespace: envelope.namespace, id, at, what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::wellknown::{Any, Timestamp};

    fn envelope(topic: &str, value: Vec<u8>) -> Envelope {
        Envelope {
            timestamp: Some(Timestamp { seconds: 5, nanos: 7 }),
            namespace: "default".to_owned(),
            topic: topic.to_owned(),
            event: Some(Any { type_url: String::new(), value }),
        }
    }

    #[test]
    fn events_are_read_by_their_topic() {
        // Byte for byte: id, image and the runtime's name.
        let created = read(envelope(CREATED, b"\x0a\x01c\x12\x01i\x1a\x03\x0a\x01r".to_vec()));
        let what = Happened::Created { image: "i".to_owned(), runtime: "r".to_owned() };
        let event = |id: &str, what| Event {
            namespace: "default".to_owned(),
            id: id.to_owned(),
            at: Duration::new(5, 7),
            what,
        };
        assert_eq!(created, Ok(event("c", what)));
        let started = read(envelope(STARTED, b"\x0a\x01c\x10\x07".to_vec()));
        assert_eq!(started, Ok(event("c", Happened::Started)));
        let removed = read(envelope(DELETED, b"\x0a\x01c".to_vec()));
        assert_eq!(removed, Ok(event("c", Happened::Removed)));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_no_silence() {
        assert!(read(envelope(CREATED, b"\xff".to_vec())).is_err());
        assert!(read(envelope(STARTED, b"\x0a\xff".to_vec())).is_err());
        assert!(read(envelope(DELETED, b"\xff".to_vec())).is_err());
        assert!(read(envelope("/tasks/exit", Vec::new())).is_err());
    }
}

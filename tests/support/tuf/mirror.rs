//! [`Mirror`]: a server on loopback that serves a repository, or misbehaves, and remembers what it
//! was asked.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::repository::Repository;

/// What a path answers.
#[derive(Clone)]
pub enum Reply {
    /// The file.
    File(Vec<u8>),
    /// Elsewhere.
    Redirect(String),
    /// This status and nothing else.
    Status(u16),
    /// Bytes without end, and without a length.
    Endless,
    /// Nothing, for as long as the client waits.
    Silence,
}

#[derive(Default)]
struct State {
    replies: BTreeMap<String, Reply>,
    asked: Vec<String>,
}

/// The server; its thread ends with the process.
pub struct Mirror {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Mirror {
    /// Serves a repository.
    pub fn serve(repository: &Repository) -> Self {
        let mirror = Self::empty();
        mirror.publish(repository);
        mirror
    }

    /// Serves nothing yet.
    pub fn empty() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&shared);
                thread::spawn(move || answer(stream.unwrap(), &state));
            }
        });
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves this repository and nothing of before.
    pub fn publish(&self, repository: &Repository) {
        let files = repository.files().into_iter().map(|(path, bytes)| (path, Reply::File(bytes)));
        self.state.lock().unwrap().replies = files.collect();
    }

    /// One path answers so from now on.
    pub fn set(&self, path: &str, reply: Reply) {
        self.state.lock().unwrap().replies.insert(path.to_owned(), reply);
    }

    /// The path that begins and ends so answers so from now on.
    pub fn set_target(&self, reply: Reply) {
        let mut state = self.state.lock().unwrap();
        let path = state.replies.keys().find(|path| path.starts_with("/targets/")).unwrap().clone();
        state.replies.insert(path, reply);
    }

    /// What was asked, as it stood in the request's first line.
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else { return };
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let target = first.split(' ').nth(1).unwrap().to_owned();
    // A proxy is asked for whole URLs.
    let path = target
        .strip_prefix("http://")
        .map_or(target.as_str(), |rest| &rest[rest.find('/').unwrap()..]);
    let reply = {
        let mut state = state.lock().unwrap();
        state.asked.push(target.clone());
        state.replies.get(path).cloned().unwrap_or(Reply::Status(404))
    };
    // The client may have gone; that is what some tests are about.
    drop(write(stream, reply));
}

fn write(mut stream: TcpStream, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::File(bytes) => {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                bytes.len()
            )?;
            stream.write_all(&bytes)
        }
        Reply::Redirect(to) => {
            write!(
                stream,
                "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: {to}\r\nContent-Length: \
                 0\r\n\r\n"
            )
        }
        Reply::Status(code) => {
            write!(stream, "HTTP/1.1 {code} No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        }
        Reply::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                stream.write_all(&[b' '; 4096])?;
            }
        }
        Reply::Silence => loop {
            thread::park();
        },
    }
}

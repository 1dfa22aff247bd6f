//! The proxy under test, in a folder of its own.

use std::{
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex},
};

use sealgate::daemon::CLOCK;
use sealgate::proxy::{
    Answer, Call, CheckedCall, Connections, Drained, Interceptor, Listener, Options, Proxy,
    RejectedUnread, serve,
};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{client::Client, standin::Standin};

pub type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A folder with a gate in it, and the socket where its runtime is or will be.
pub struct Gate {
    pub folder: TempDir,
    pub socket: PathBuf,
    pub runtime: PathBuf,
    pub connections: Arc<Connections>,
    pub calls: Arc<Mutex<Vec<Call>>>,
    /// What was checked.
    pub checked: Arc<Mutex<Vec<CheckedCall>>>,
    /// What was refused unread.
    pub unread: Arc<Mutex<Vec<RejectedUnread>>>,
    /// Unknown methods that passed.
    pub unknown: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Drained>,
}

struct Double<F> {
    calls: Arc<Mutex<Vec<Call>>>,
    checked: Arc<Mutex<Vec<CheckedCall>>>,
    unread: Arc<Mutex<Vec<RejectedUnread>>>,
    unknown: Arc<Mutex<Vec<String>>>,
    answer: F,
}

impl<F: Fn(Call) -> Answering + Send + Sync + 'static> Interceptor for Double<F> {
    fn call(&self, call: Call) -> Answering {
        let copy = Call {
            headers: call.headers.clone(),
            message: call.message.clone(),
            upstream: call.upstream.clone(),
            ..call
        };
        self.calls.lock().unwrap().push(copy);
        (self.answer)(call)
    }

    fn check(&self, call: CheckedCall) -> Pin<Box<dyn Future<Output = Option<Answer>> + Send>> {
        self.checked.lock().unwrap().push(call.clone());
        let refused = call.message.ends_with(b"refused");
        let answer = Answer::status(sealgate::proxy::Code::PermissionDenied, "not admitted");
        Box::pin(async move { refused.then_some(answer) })
    }

    fn unread(&self, unread: RejectedUnread) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.unread.lock().unwrap().push(unread);
        Box::pin(async {})
    }

    fn passed_unknown(&self, path: &str) {
        self.unknown.lock().unwrap().push(path.to_owned());
    }
}

impl Gate {
    /// A gate whose owned methods fail the test's expectation loudly when they are called.
    pub fn start() -> Self {
        Self::with(
            |_| {},
            |_| Box::pin(async { Answer::status(sealgate::proxy::Code::Aborted, "not expected") }),
        )
    }

    pub fn with(
        tweak: impl FnOnce(&mut Options),
        answer: impl Fn(Call) -> Answering + Send + Sync + 'static,
    ) -> Self {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let unread = Arc::new(Mutex::new(Vec::new()));
        let unknown = Arc::new(Mutex::new(Vec::new()));
        let checked: Arc<Mutex<Vec<CheckedCall>>> = Arc::default();
        let owned = Arc::new(Double {
            calls: Arc::clone(&calls),
            checked: Arc::clone(&checked),
            unread: Arc::clone(&unread),
            unknown: Arc::clone(&unknown),
            answer,
        });
        Self { calls, checked, unread, unknown, ..Self::serving(tweak, |_| owned) }
    }

    /// A gate whose owned methods are answered by what is made for the runtime's socket.
    pub fn owned(make: impl FnOnce(&Path) -> Arc<dyn Interceptor>) -> Self {
        Self::serving(|_| {}, make)
    }

    fn serving(
        tweak: impl FnOnce(&mut Options),
        make: impl FnOnce(&Path) -> Arc<dyn Interceptor>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (socket, runtime) =
            (folder.path().join("cri.sock"), folder.path().join("containerd.sock"));
        let mut options = Options { socket: socket.clone(), ..Options::default() };
        tweak(&mut options);
        let listener = Listener::bind(&options).unwrap();
        let (stop, stopped) = oneshot::channel();
        let connections = Connections::new(options.connections, CLOCK);
        let proxy = Proxy {
            options,
            owned: make(&runtime),
            runtime: runtime.clone(),
            connections: Arc::clone(&connections),
            clock: CLOCK,
        };
        let task = tokio::spawn(serve(listener, proxy, async move {
            let _ = stopped.await;
        }));
        let (calls, unread, unknown) = (Arc::default(), Arc::default(), Arc::default());
        let checked = Arc::default();
        let stop = Some(stop);
        Self { folder, socket, runtime, connections, calls, checked, unread, unknown, stop, task }
    }

    pub fn standin(&self) -> Standin {
        Standin::start(&self.runtime)
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.socket).await
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Asks the gate to end.
    pub fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    pub async fn ended(&mut self) -> Drained {
        crate::soon("the drain", &mut self.task).await.unwrap()
    }
}
